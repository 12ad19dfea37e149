"""Labelled data that a model is evaluated on: read as its training data were, unless something else
is asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.checks import several
from rnnlm.config import Layer, from_stored, resolve
from rnnlm.errors import UsageError, notice
from rnnlm.models.manifest import read_manifest
from rnnlm.tasks.labels import sounds
from rnnlm.tasks.labels.data import (
    EDIT,
    LEVELS,
    MULTI,
    SOUNDS,
    Codec,
    LabelColumn,
    LabelledData,
    encode_examples,
)
from rnnlm.tasks.labels.model import TaskModel
from rnnlm.text.labelled import schemes
from rnnlm.text.labelled.alignment import join
from rnnlm.text.labelled.example import Example, LabelledSettings, LabelledText, labels_in
from rnnlm.text.labelled.reading import read_labelled

MOST_NAMED = 5  # labels in a notice
Paths = Sequence[str | PathLike[str]]


def open_data(
    model: TaskModel,
    paths: Paths,
    labels: Paths = (),
    overrides: Mapping[str, Any] | None = None,
    called: str = "",
) -> LabelledData:
    """The examples of some files as `model` reads them. A bundled corpus is named, and stands for
    its test part.

    labels: for each file one with its labels. overrides: settings of
    :class:`~rnnlm.text.labelled.example.LabelledSettings` that are not to be those of the training
    data. called: the model, in notices. These name labels that training never saw, and how many
    words cannot be aligned: they count as wrong.

    Raises:
        TextError: a file cannot be read, or lacks a column. UsageError: the labels are not those
            that the model has learned.
        ModelError: the model's folder is damaged.
    """
    settings = _settings(model, labels, overrides or {})
    text = read_labelled(
        _files(paths),
        settings,
        LEVELS[model.task],
        [fspath(each) for each in several(labels, "labels")],
        aligned=not settings.align,
    )
    return labelled_data(model.codec, text, ", ".join(map(str, paths)), called)


def labelled_data(codec: Codec, text: LabelledText, name: str, called: str = "") -> LabelledData:
    """A text whose columns of labels are those of the codec, in its order, as numbers. name: of the
    text, and called: of the model, in notices.

    Raises:
        UsageError: it has other columns.
    """
    text = _in_schemes(codec, text)
    name += f", {called}" if called else ""
    notice_unseen_labels(codec, text, name)
    if codec.columns[0].form == SOUNDS:
        return _of_sounds(codec, text, name)
    return encode_examples(codec, text, text)


def notice_unseen_labels(codec: Codec, text: LabelledText, name: str) -> None:
    """Send a notice that names the labels of a text, called `name`, that training never saw, and
    how many there are."""
    unseen: Counter[str] = Counter()
    for column, labels in _labels(codec, text):
        seen = _seen(column)
        unseen.update(label for label in labels if label not in seen)
    if unseen:
        counted = unseen.most_common()
        shown = ", ".join(f"{label!r} ({count:,})" for label, count in counted[:MOST_NAMED])
        shown += f" and {len(counted) - MOST_NAMED:,} more" if len(counted) > MOST_NAMED else ""
        notice(
            f"{name}: training never saw {unseen.total():,} of the labels; they count as "
            f"wrong: {shown}"
        )


def _files(paths: Paths) -> list[str]:
    """The files that `paths` name; of bundled corpora the test parts. A folder of that name is no
    data, but perhaps a model."""
    bundled = {str(path): corpora.labelled(str(path)) for path in paths if not Path(path).is_file()}
    return [
        fspath(path) if (corpus := bundled.get(str(path))) is None else str(corpus.test)
        for path in paths
    ]


def _settings(model: TaskModel, labels: Paths, overrides: Mapping[str, Any]) -> LabelledSettings:
    """How the model's training data were read, but for what is asked for; a model in memory knows
    nothing of that."""
    stored: dict[str, Any] = {"align": any(column.form == SOUNDS for column in model.codec.columns)}
    if model.origin is not None:
        stored = asdict(
            from_stored(LabelledSettings, read_manifest(Path(model.origin[0])).settings)
        )
    asked = {name: value for name, value in overrides.items() if value is not None}
    if labels or stored.get("format") == "parallel":
        asked = {"format": "parallel" if labels else "auto", **asked}
    # columns of another format have other names
    if asked.get("format", stored.get("format")) != stored.get("format"):
        stored = {name: value for name, value in stored.items() if "column" not in name}
    layers = [Layer("the model", stored), Layer("what is asked for", asked)]
    return resolve([LabelledSettings], layers).make(LabelledSettings)


def _in_schemes(codec: Codec, text: LabelledText) -> LabelledText:
    """The text with the spans of each column of words written as the codec has them."""
    found, learned = (
        (len(text.word_columns), len(text.text_columns)),
        (len(codec.word_columns), len(codec.text_columns)),
    )
    if found != learned:
        names = [
            ", ".join(each)
            for each in (
                (*text.word_columns, *text.text_columns),
                [column.name for column in codec.columns],
            )
        ]
        why = f"they are {names[0]}, and it has learned {names[1]}"
        raise UsageError(
            "the labels of the data are not those of the model",
            why,
            "name columns with --label-column",
        )
    columns = zip(text.word_columns, codec.word_columns, strict=True)
    from_to = [(text.scheme.get(name, schemes.NONE), column.scheme) for name, column in columns]
    if all(before == after or schemes.NONE in (before, after) for before, after in from_to):
        return text
    examples = tuple(
        replace(
            each,
            word_labels=tuple(
                tuple(schemes.convert(row, *both))
                for row, both in zip(each.word_labels, from_to, strict=True)
            ),
        )
        for each in text.examples
    )
    return replace(text, examples=examples)


def _labels(codec: Codec, text: LabelledText) -> Iterable[tuple[LabelColumn, Iterable[str]]]:
    """Each column with all its labels in the text; not of lemmas and the like, of which any may be
    written."""
    for place, column in enumerate(codec.word_columns):
        if column.form != EDIT:
            yield column, (label for each in text.examples for label in each.word_labels[place])
    for place, column in enumerate(codec.text_columns):
        rows = (each.text_labels[place] for each in text.examples)
        yield (
            column,
            (label for row in rows for label in labels_in(row)) if column.form == MULTI else rows,
        )


def _seen(column: LabelColumn) -> set[str]:
    """The labels that a column can write."""
    return set(join(column.symbols)) if column.form == SOUNDS else column.labels_in(column.scheme)


def _of_sounds(codec: Codec, text: LabelledText, name: str) -> LabelledData:
    """Letters and sounds, of which it is not known which letter bears which."""
    most = max(len(join([symbol])) for symbol in codec.columns[0].symbols)
    if beyond := sum(len(each.word_labels[0]) > most * len(each.words) for each in text.examples):
        notice(
            f"{name}: {beyond:,} of {len(text.examples):,} words need more than {most} sounds "
            "a letter; they count as wrong"
        )
    return encode_examples(
        codec, text, replace(text, examples=tuple(map(_unaligned, text.examples)))
    )


def _unaligned(example: Example) -> Example:
    return replace(example, word_labels=((sounds.UNALIGNED,) * len(example.words),))
