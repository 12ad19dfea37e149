"""Reading files with labels into examples, whatever their format."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, permutations
from os import PathLike

from rnnlm.errors import TextError, UsageError, notice, shown
from rnnlm.storage.files import tables
from rnnlm.tasks.labelling.formats import conllu, labelled_tables, line_formats
from rnnlm.tasks.labelling.formats.example import Example, LabelledSettings, LabelledText, Level
from rnnlm.tasks.labelling.formats.labelled_tables import are_tags, tokens_of
from rnnlm.tasks.labelling.formats.line_formats import PREFIX
from rnnlm.tasks.labelling.formats.schemes import NONE, OUTSIDE, check_label, detect_scheme, strays
from rnnlm.text import named_columns, sources
from rnnlm.text.lines import split_words
from rnnlm.text.named_columns import header_in

_OF_WORDS = {"conllu": conllu.read, "columns": line_formats.read_columns}
_OF_TEXTS = {"fasttext": line_formats.read_fasttext}


def read_labelled(
    paths: Iterable[str | PathLike[str]], settings: LabelledSettings, level: Level,
    aligned: bool = True,
) -> LabelledText:  # fmt: skip
    """Return the examples of some files, in order.

    paths: files, globs, `-`. aligned: whether each word needs one label; else the labels of an
    example may be more or fewer (letters and sounds that are yet to be aligned).
    """
    files = sources.expand_files(paths, "labels", ".conllu")
    sources.warn_of_repeats(files)
    parts = [_read(source, settings, level, aligned) for source in files]
    return _joined(files, parts, settings)


def _read(source: str, settings: LabelledSettings, level: Level, aligned: bool) -> LabelledText:
    format = detect_format(source, settings, level)
    _check_columns(source, format, settings, level)
    if format in _OF_WORDS:
        if level != "word":
            raise UsageError(
                f"{source}: format {format} labels words",
                "classification learns labels of texts",
                'use `task="tagging"`',
            )
        return _OF_WORDS[format](source, settings)
    if format in _OF_TEXTS:
        if level == "word":
            raise UsageError(
                f"{source}: format {format} labels texts",
                "tagging learns labels of words",
                'use `task="classification"`',
            )
        return _OF_TEXTS[format](source, settings)
    return labelled_tables.read(source, settings, level, format, aligned)


def _check_columns(source: str, format: str, settings: LabelledSettings, level: Level) -> None:
    """Refuse columns that a format does not have: most hold words and one label of each."""
    names = (*settings.label_columns, *settings.sentence_label_columns)
    has_one_label = format in _OF_TEXTS
    if has_one_label and (settings.column or len(names) > 1):
        what = f"column {settings.column!r}" if settings.column else f"{len(names)} label columns"
        raise UsageError(
            f"{source}: {what}, but format {format} has words and one label",
            hint="name none, or another `format`",
        )
    if format == "columns" and level == "word" and settings.sentence_label_columns:
        raise UsageError(
            f"{source}: no label of the whole sentence",
            f"there is none in format {format}",
            "tables have columns for it, and CoNLL-U comments",
        )


def _joined(
    files: Sequence[str], parts: Sequence[LabelledText], settings: LabelledSettings
) -> LabelledText:
    """Return the examples of all files as one text, with the scheme of each column of words."""
    filled = [(name, part) for name, part in zip(files, parts, strict=True) if part.examples]
    if not filled:
        raise TextError(f"no sentences in {', '.join(files)}", "it is empty, or has no words")

    # All files must have the same label columns.
    first_name, first = filled[0]
    columns = (*first.word_columns, *first.text_columns)
    for name, part in filled:
        if (part.word_columns, part.text_columns) != (first.word_columns, first.text_columns):
            others = (*part.word_columns, *part.text_columns)
            raise TextError(
                f"{name}: labels of {', '.join(others)}, but those of {first_name} are "
                f"{', '.join(columns)}",
                hint="name them with `label_column`",
            )

    examples: list[Example] = []
    for _, part in filled:
        examples.extend(part.examples)
    schemes = {}
    for place, name in enumerate(first.word_columns):
        scheme = settings.scheme or NONE
        if scheme != NONE:
            examples = _without_strays(examples, place, scheme)
        if scheme == "auto":
            scheme = detect_scheme(example.word_labels[place] for example in examples)
        for example in examples:
            for word, label in enumerate(example.word_labels[place]):
                check_label(label, scheme, example.where_of(word))
        schemes[name] = scheme
    return LabelledText(
        tuple(examples), first.word_columns, first.text_columns, first.format, schemes
    )


def _without_strays(examples: list[Example], place: int, scheme: str) -> list[Example]:
    """Return the examples with O for the few labels of a column that write no spans, where nearly
    all others do; a notice names them."""
    counts: Counter[str] = Counter()
    for example in examples:
        counts.update(example.word_labels[place])
    odd, is_few = strays(counts, scheme)
    if not odd or (not is_few and scheme != "auto"):
        return examples
    first = ""
    changed = []
    for example in examples:
        labels = example.word_labels[place]
        if odd.isdisjoint(labels):
            changed.append(example)
            continue
        word = [label in odd for label in labels].index(True)
        first = first or f"{example.where_of(word)}: {shown(labels[word])}"
        labels = tuple(OUTSIDE if label in odd else label for label in labels)
        columns = list(example.word_labels)
        columns[place] = labels
        changed.append(replace(example, word_labels=tuple(columns)))

    count = sum(counts[label] for label in odd)
    what = f"{first} is not a span label, unlike nearly all others"
    if count > 1:
        what += f" ({count:,} of {counts.total():,} labels are like it)"
    if not is_few:
        notice(f"{what}: labels are learned as they are, without spans")
        return examples
    notice(f'{what}: it is read as O; `scheme="none"` reads labels as they are, without spans')
    return changed


# ---- The format of a file with labels, detected from its first lines.

SAMPLE_LINES = 100
NAMED = (tables.CSV, tables.JSON_LINES, tables.PARQUET)  # TSV may hold columns, too


def detect_format(source: str, settings: LabelledSettings, level: Level) -> str:
    """Return the format of a file, as :class:`LabelledSettings` calls it."""

    def by_lines(lines: Iterator[str]) -> str:
        sample = list(islice(lines, SAMPLE_LINES))
        format = _by_lines(sample, settings, level)
        if format:
            return format
        which = "format columns has a word and its labels on each line"
        if level == "text":
            which = "in a table, a tab separates a text from its label"
        raise TextError(
            f"{source}: cannot tell how its labels are written",
            f"its first line is {shown(sample[0])}",
            f"name it with `format`; {which}",
        )

    errors = settings.encoding_errors
    return named_columns.detect_format(source, errors, by_lines, NAMED, settings.format)


def _by_lines(filled: list[str], settings: LabelledSettings, level: Level) -> str | None:
    """Return the format of a file that begins with these lines; None where it cannot be told."""
    if not filled:
        # For an empty file any format will do: reading it reports that it is empty.
        return "fasttext" if level == "text" else "columns"

    # Formats of any task.
    first = filled[0]
    if any(map(is_word_of_conllu, filled)):
        return "conllu"

    # Lines that hold a text and its label.
    if level == "text":
        if any(word.startswith(PREFIX) for word in split_words(first)):
            return "fasttext"
        return "tsv" if "\t" in first else None

    # Words with their labels: sentences of them, or a word a line.
    if "\t" in first and is_table(filled, settings):
        return "tsv"
    return "columns" if "\t" in first or line_formats.has_columns(filled) else None


def is_word_of_conllu(line: str) -> bool:
    """Return whether the line describes a word in CoNLL-U."""
    cells = line.split("\t")
    if len(cells) != len(conllu.FIELDS):
        return False
    return re.fullmatch(r"[0-9]+([-.][0-9]+)?", cells[0]) is not None


def is_table(lines: list[str], settings: LabelledSettings) -> bool:
    """Return whether the lines are rows of a table: below a header, or each with a label for each
    of several words."""
    first, *others = [line.split("\t") for line in lines]
    has_texts = sum(" " in "\t".join(cells).strip() for cells in others) > len(others) / 2
    header = header_in(first, others, settings.named_columns)
    if header == "surely" or (header == "perhaps" and has_texts):
        return True

    # Without a header: words, and as many labels.
    names = [str(number) for number in range(1, len(first) + 1)]
    sample = []
    for cells in (first, *others):
        sample.append(tables.Row("", dict(zip(names, cells, strict=False))))
    tokens = {name: tokens_of(name, sample) for name in names}
    for words, tags in permutations(names, 2):
        if are_tags(tokens, words, tags):
            return sum(map(len, tokens[words])) > 1.5 * len(sample)
    return False
