"""Read labelled data that a model is evaluated on: as its training data were read, unless requested
otherwise."""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rnnlm.corpora as corpora
from rnnlm.amounts import plural
from rnnlm.choices import taken_choices
from rnnlm.errors import UsageError, first_of, keyword, notice
from rnnlm.storage.manifest import read_manifest
from rnnlm.tasks.common.example_texts import resolved_reading, stored_reading
from rnnlm.tasks.labelling.data import (
    EDIT,
    LEVELS,
    MULTI,
    SOUNDS,
    TEXT,
    WORD,
    Codec,
    LabelColumn,
    LabelledData,
    encode_examples,
)
from rnnlm.tasks.labelling.formats import schemes
from rnnlm.tasks.labelling.formats.alignment import UNALIGNED, join
from rnnlm.tasks.labelling.formats.example import (
    LabelledSettings,
    LabelledText,
    Tree,
    labels_in,
    labels_of_nodes,
)
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.text.normalisation import normalise

if TYPE_CHECKING:
    from rnnlm.tasks.labelling.model import TaskModel

MOST_NAMED = 5  # labels in a notice
FEW_TEXTS = 9  # so few may all have different labels
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
Paths = Sequence[str | PathLike[str]]


def open_data(
    model: "TaskModel", paths: Paths, overrides: Mapping[str, Any] | None = None, called: str = ""
) -> LabelledData:
    """Read the examples of some files as `model` needs them. The name of a bundled corpus means its
    test split.

    overrides: settings of :class:`~rnnlm.tasks.labelling.formats.example.LabelledSettings` that
    differ from the settings of the training data. called: the model, in notices. These name labels
    that training never saw, and how many words cannot be aligned: they count as wrong.
    """
    settings = _settings(model, overrides or {}, paths)
    text = read_labelled(_files(paths), settings, LEVELS[model.task], aligned=not settings.align)
    if text.format == "columns" and text.column != settings.column:
        other = keyword("column") + " names another one"
        notice(f"words are read from column {text.column}, behind their numbers; " + other)
    return labelled_data(model.codec, text, ", ".join(map(str, paths)), called)


def labelled_data(codec: Codec, text: LabelledText, name: str, called: str = "") -> LabelledData:
    """Encode a text that has the label columns of the codec, in its order. name: name of the text,
    and called: name of the model, in notices."""
    text = _in_schemes(codec, text)
    if called:
        name += f", {called}"
    notice_unseen_labels(codec, text, name)
    if codec.columns[0].form != SOUNDS:
        return encode_examples(codec, text, text)

    # The alignment of letters and sounds is unknown. No letter has more sounds than one did in
    # training.
    most = max(len(join([symbol])) for symbol in codec.columns[0].symbols)
    beyond = sum(
        len(example.word_labels[0]) > most * len(example.words) for example in text.examples
    )
    if beyond:
        notice(
            f"{name}: {beyond:,} of {len(text.examples):,} words need more than {most} sounds per "
            "letter; they count as wrong"
        )
    unaligned = tuple(
        replace(example, word_labels=((UNALIGNED,) * len(example.words),))
        for example in text.examples
    )
    return encode_examples(codec, text, replace(text, examples=unaligned))


def notice_unseen_labels(codec: Codec, text: LabelledText, name: str) -> None:
    """Send a notice that names the labels of a text, called `name`, that training never saw, and
    how many there are."""
    unseen: Counter[str] = Counter()
    for column, labels in _labels(codec, text):
        # The labels that the column can write.
        is_of_sounds = column.form == SOUNDS
        seen = set(join(column.symbols)) if is_of_sounds else column.labels_in(column.scheme)
        unseen.update(label for label in labels if label not in seen)
    if unseen:
        named = [f"{label!r} ({count:,})" for label, count in unseen.most_common()]
        are_wrong = plural(
            unseen.total(),
            "of the labels does not occur in the training data; it counts as wrong",
            "of the labels do not occur in the training data; they count as wrong",
        )
        where = _first_place(text, unseen)
        notice(f"{name}: {are_wrong}: {first_of(named, MOST_NAMED)}{where}")


def notice_odd_labels(codec: Codec, text: LabelledText) -> None:
    """Send notices of labels in training data that are probably meant otherwise: labels that differ
    only in how they are written, ratings, numbers in place of spans, and fastText labels that run
    into the next word."""
    for column, labels in _labels(codec, text):
        if column.form == SOUNDS:
            continue
        counts = Counter(labels)
        _notice_alike(column, counts)

        # One label per text: a class that few texts share is hardly a class.
        is_single = column.level == TEXT and column.form != MULTI
        is_rating = all(map(_is_number, counts)) and any("." in label for label in counts)
        if is_single and len(counts) > max(FEW_TEXTS, counts.total() / 2):
            notice(
                f"column {column.name} has {len(counts):,} different labels in {counts.total():,} "
                "texts, and each is learned as a class; "
                + keyword("label_column")
                + " names another column"
            )
        elif is_single and is_rating and len({float(label) for label in counts}) > 2:
            notice(
                f"column {column.name} holds numbers with fractions: each of the {len(counts):,} "
                "is learned as a class, without their order"
            )
        if column.level == WORD and all(label.lstrip("-").isdigit() for label in counts):
            notice(
                f"the labels of column {column.name} are numbers: accuracy is measured, but no F1 "
                "of spans, which needs names such as B-PER"
            )

    if text.format == "fasttext":
        _notice_commas(text)


def _notice_alike(column: LabelColumn, counts: Counter[str]) -> None:
    """Send a notice of labels that differ only in case, in white space, as numbers do, or in forms
    of characters, which are shown as escapes."""
    alike: dict[str | float, list[str]] = {}
    for label in counts:
        key = float(label) if _is_number(label) else "".join(normalise(label).casefold().split())
        alike.setdefault(key, []).append(label)
    several = [labels for labels in alike.values() if len(labels) > 1]
    if several:
        pairs = [" and ".join(f"{name!a} ({counts[name]:,})" for name in row) for row in several]
        notice(
            f"labels of column {column.name} differ only in how they are written, and are learned "
            f"as different: {first_of(pairs, MOST_NAMED)}"
        )


def _is_number(label: str) -> bool:
    return NUMBER.fullmatch(label) is not None


def _notice_commas(text: LabelledText) -> None:
    """Send a notice where most fastText labels hold a comma: `__label__neg,the film` has the label
    `neg,the`, as white space alone ends a label."""
    labels = [label for example in text.examples for label in example.text_labels]
    with_comma = [label for label in labels if "," in label]
    if len(with_comma) > len(labels) / 2:
        notice(
            f"{len(with_comma):,} of {len(labels):,} labels hold a comma, the first is "
            f"{with_comma[0]!r}: a label ends at a blank, so put one after it"
        )


def _first_place(text: LabelledText, labels: Collection[str]) -> str:
    """Return where one of the labels comes first, if the texts are trees."""
    for example in text.examples:
        if isinstance(example.words, Tree):
            for label, place in zip(example.words.labels, example.words.places, strict=True):
                if label in labels:
                    return f"; the first is at {example.where}, column {place}"
    return ""


def _files(paths: Paths) -> list[str]:
    """Return the files that `paths` name; of bundled corpora the test splits."""
    files = []
    for path in paths:
        # A folder with the name of a corpus is no data, but perhaps a model.
        corpus = None if Path(path).is_file() else corpora.labelled(str(path))
        files.append(fspath(path) if corpus is None else str(corpus.test))
    return files


def _settings(model: "TaskModel", overrides: Mapping[str, Any], paths: Paths) -> LabelledSettings:
    """Return the settings of the model's training data, changed as requested."""
    # A model in memory does not know how its data were read, but whether its labels are sounds.
    stored: dict[str, Any] = {"align": any(column.form == SOUNDS for column in model.codec.columns)}
    if model.origin is not None:
        stored = stored_reading(model.origin[0], LabelledSettings, _files(paths))
        # A column of words that was found in the training data may have another name in these.
        chosen = taken_choices(read_manifest(Path(model.origin[0])).training)
        if "column" in [choice.name for choice in chosen]:
            stored["column"] = None
    requested = {name: value for name, value in overrides.items() if value is not None}
    return resolved_reading(LabelledSettings, stored, requested)


def _in_schemes(codec: Codec, text: LabelledText) -> LabelledText:
    """Return the text with the spans of each column of words written as the codec has them."""
    columns_found = len(text.word_columns), len(text.text_columns)
    learned = len(codec.word_columns), len(codec.text_columns)
    if columns_found != learned:
        data_names = ", ".join((*text.word_columns, *text.text_columns))
        names = ", ".join(column.name for column in codec.columns)
        raise UsageError(
            "the labels of the data are not those of the model",
            f"the data has {data_names}; the model predicts {names}",
            "name columns with " + keyword("label_column"),
        )

    # The scheme of each column in the data, and the model's.
    from_to = [
        (text.scheme.get(name, schemes.NONE), column.scheme)
        for name, column in zip(text.word_columns, codec.word_columns, strict=True)
    ]
    if all(before == after or schemes.NONE in (before, after) for before, after in from_to):
        return text

    examples = []
    for example in text.examples:
        rows = zip(example.word_labels, from_to, strict=True)
        word_labels = tuple(tuple(schemes.convert(row, *schemes_of)) for row, schemes_of in rows)
        examples.append(replace(example, word_labels=word_labels))
    return replace(text, examples=tuple(examples))


def _labels(codec: Codec, text: LabelledText) -> Iterable[tuple[LabelColumn, Iterable[str]]]:
    """Yield each column with all its labels in the text."""
    for place, column in enumerate(codec.word_columns):
        # Lemmas may be any, seen in training or not.
        if column.form != EDIT:
            rows = [example.word_labels[place] for example in text.examples]
            yield column, itertools.chain.from_iterable(rows)
    for place, column in enumerate(codec.text_columns):
        labels = [example.text_labels[place] for example in text.examples]
        if codec.node_loss is not None:
            labels += itertools.chain.from_iterable(map(labels_of_nodes, text.examples))
        if column.form == MULTI:
            yield column, itertools.chain.from_iterable(map(labels_in, labels))
        else:
            yield column, labels
