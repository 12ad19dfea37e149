"""Files with labels read into examples, whatever their format."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from os import PathLike

from rnnlm.errors import TextError, UsageError, shown
from rnnlm.files import tables
from rnnlm.text import sources
from rnnlm.text.labelled import conllu, labelled_tables, line_formats
from rnnlm.text.labelled.example import LabelledSettings, LabelledText, Task
from rnnlm.text.labelled.labelled_tables import USUAL_LABELS, USUAL_TEXT
from rnnlm.text.labelled.line_formats import PREFIX, is_document_start
from rnnlm.text.labelled.schemes import NONE, check_scheme, detect_scheme
from rnnlm.text.lines import is_blank, lines_with_ends, split_words, without_end
from rnnlm.text.named_columns import format_of

_OF_WORDS = {
    "conllu": conllu.read,
    "columns": line_formats.read_columns,
    "slashes": line_formats.read_slashes,
}
_OF_TEXTS = {"label-first": line_formats.read_label_first, "fasttext": line_formats.read_fasttext}


def read_labelled(
    paths: Iterable[str | PathLike[str]], settings: LabelledSettings, task: Task,
    labels: Sequence[str | PathLike[str]] = (), aligned: bool = True,
) -> LabelledText:  # fmt: skip
    """The examples of some files, in order.

    paths: files, globs, `-`. labels: for each of the files one with its labels, line by line.
    aligned: whether each word needs one label; else the labels of an example may be more or fewer
    (letters and sounds that are yet to be aligned).
    """
    files = sources.expand_files(paths, "labels", ".conllu")
    label_files = sources.expand_files(labels, "labels", ".conllu")
    _check(files, label_files, settings)
    if label_files:
        _check_columns(label_files[0], "parallel", settings, task)
        parts = [
            line_formats.read_parallel(*pair, settings, task, aligned)
            for pair in zip(files, label_files, strict=True)
        ]
    else:
        parts = [_read(source, settings, task, aligned) for source in files]
    return _joined(files, parts, settings)


def _check(files: Sequence[str], labels: Sequence[str], settings: LabelledSettings) -> None:
    if labels and len(labels) != len(files):
        raise UsageError(
            f"{len(files)} files of text and {len(labels)} of labels",
            "each text needs one",
            "name as many with --labels",
        )
    if (settings.format == "parallel" and not labels) or (
        labels and settings.format not in ("auto", "parallel")
    ):
        why = "labels are in files of their own" if labels else "there is no file with labels"
        raise UsageError(
            f"format {settings.format}: {why}",
            hint="--input-format parallel and --labels go together",
        )


def _read(source: str, settings: LabelledSettings, task: Task, aligned: bool) -> LabelledText:
    format = detect_format(source, settings, task)
    _check_columns(source, format, settings, task)
    if format in _OF_WORDS:
        if task != "tagging":
            raise UsageError(
                f"{source}: format {format} labels words",
                f"{task} learns labels of texts",
                "use --task tagging",
            )
        return _OF_WORDS[format](source, settings)
    if format in _OF_TEXTS:
        if task == "tagging":
            raise UsageError(
                f"{source}: format {format} labels texts",
                "tagging learns labels of words",
                "use --task classification",
            )
        return _OF_TEXTS[format](source, settings)
    return labelled_tables.read(source, settings, task, format, aligned)


def _check_columns(source: str, format: str, settings: LabelledSettings, task: Task) -> None:
    """Refuse columns that a format does not have: most hold words and one label
    of each."""
    names = (*settings.label_columns, *settings.sentence_label_columns)
    if format in ("slashes", "parallel", *_OF_TEXTS) and (settings.column or names[1:]):
        what = f"column {settings.column!r}" if settings.column else f"{len(names)} label columns"
        raise UsageError(
            f"{source}: {what}, but format {format} has words and one label",
            hint="name none, or another --input-format",
        )
    if (
        format in ("slashes", "columns", "parallel")
        and task == "tagging"
        and settings.sentence_label_columns
    ):
        why = f"there is none in format {format}"
        raise UsageError(
            f"{source}: no label of the whole sentence",
            why,
            "tables have columns for it, and CoNLL-U comments",
        )


def _joined(
    files: Sequence[str], parts: Sequence[LabelledText], settings: LabelledSettings
) -> LabelledText:
    filled = [(name, part) for name, part in zip(files, parts, strict=True) if part.examples]
    if not filled:
        raise TextError(f"no sentences in {', '.join(files)}", "nothing stands in it")
    first_name, first = filled[0]
    for name, part in filled:
        if (part.word_columns, part.text_columns) != (first.word_columns, first.text_columns):
            labels, others = (
                ", ".join((*each.word_columns, *each.text_columns)) for each in (first, part)
            )
            raise TextError(
                f"{name}: labels of {others}, but those of {first_name} are {labels}",
                hint="name them with --label-column",
            )
    examples = tuple(example for _, part in filled for example in part.examples)
    schemes = {}
    for place, name in enumerate(first.word_columns):
        named = settings.scheme or NONE
        scheme = (
            named
            if named != "auto"
            else detect_scheme(example.word_labels[place] for example in examples)
        )
        schemes[name] = scheme
        for example in examples:
            check_scheme(example.word_labels[place], scheme, example.where)
    return LabelledText(examples, first.word_columns, first.text_columns, first.format, schemes)


# ---- The format of a file with labels, detected from its first lines.

SAMPLE_LINES = 100


def detect_format(source: str, settings: LabelledSettings, task: Task) -> str:
    """The format of a file, as :class:`LabelledSettings` calls it."""
    if settings.format != "auto":
        return settings.format
    kind = tables.kind_with(settings.delimiter, tables.kind_of(source))
    if kind in (tables.CSV, tables.JSON_LINES, tables.PARQUET):
        return format_of(kind)
    lines = [
        without_end(line)
        for _, line in islice(lines_with_ends(source, settings.encoding_errors), SAMPLE_LINES)
    ]
    found = _by_lines(lines, settings, task)
    if not found:
        hint = "name it with --input-format; --labels names a file that holds only labels"
        hint = (
            "name it with --input-format; label-first is for lines that begin with their label"
            if task == "classification"
            else hint
        )
        first = next((line for line in lines if not is_blank(line)), "")
        raise TextError(
            f"{source}: cannot tell how its labels are written",
            f"its first line is {shown(first)}",
            hint,
        )
    return found


def _by_lines(lines: list[str], settings: LabelledSettings, task: Task) -> str | None:
    """The format of a file that begins with these lines."""
    filled = [line for line in lines if not is_blank(line)]
    if not filled:
        # an empty file, which whoever asked for it tells
        return "label-first" if task == "classification" else "columns"
    if tables.is_json(filled[0]):
        return "jsonl"
    if any(is_word_of_conllu(line) for line in filled):
        return "conllu"
    if "\t" in filled[0] and _is_header(filled, settings):
        return "tsv"
    if task == "classification":
        has_prefix = any(word.startswith(PREFIX) for word in split_words(filled[0]))
        return "fasttext" if has_prefix else "label-first" if "\t" in filled[0] else None
    if all(line_formats.parse(token) for line in filled for token in split_words(line)):
        return "slashes"
    rows = [split_words(line) for line in filled if not is_document_start(line)]
    is_one_word = len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    return "columns" if "\t" in filled[0] or is_one_word else None


def is_word_of_conllu(line: str) -> bool:
    """Whether the line is one of a word in CoNLL-U."""
    cells = line.split("\t")
    return (
        len(cells) == len(conllu.FIELDS)
        and re.fullmatch(r"[0-9]+([-.][0-9]+)?", cells[0]) is not None
    )


def _is_header(lines: list[str], settings: LabelledSettings) -> bool:
    """Whether the first of the lines holds the names of columns. Only then can others than numbers
    be asked for; where nobody asks, it names a text and labels as is usual, or there are texts of
    several words below it."""
    asked = (settings.column, *settings.label_columns, *settings.sentence_label_columns)
    if any(name and not name.isdigit() for name in asked):
        return True
    names = lines[0].split("\t")
    has_texts = any(" " in cell.strip() for line in lines[1:] for cell in line.split("\t"))
    has_labels = any(name in names for usual in USUAL_LABELS.values() for name in usual)
    return any(name in names for name in USUAL_TEXT) and (has_texts or has_labels)
