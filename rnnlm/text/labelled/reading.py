"""Files with labels read into examples, whatever their format."""

from collections.abc import Iterable, Sequence
from os import PathLike

from rnnlm.errors import TextError, UsageError
from rnnlm.text import sources
from rnnlm.text.labelled import columns, conllu, labelled_lines, labelled_tables, parallel, slashes
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.labelled.formats import detect_format
from rnnlm.text.labelled.schemes import NONE, check_scheme, detect_scheme
from rnnlm.text.labelled.settings import LabelledSettings, Task

_OF_WORDS = {"conllu": conllu.read, "columns": columns.read_columns, "slashes": slashes.read_slashes}
_OF_TEXTS = {"label-first": labelled_lines.read_label_first, "fasttext": labelled_lines.read_fasttext}


def read_labelled(
    paths: Iterable[str | PathLike[str]], settings: LabelledSettings, task: Task,
    labels: Sequence[str | PathLike[str]] = (), aligned: bool = True,
) -> LabelledText:  # fmt: skip
    """The examples of some files, in order.

    paths: files, globs, `-`. labels: for each of the files one with its labels, line by line. aligned: whether each word needs one label;
    else the labels of an example may be more or fewer (letters and sounds that are yet to be aligned).

    Raises:
        TextError: a file cannot be read, its format cannot be told or is not kept, it lacks a column, or holds no examples; a sentence has
            no words, or not as many labels. UsageError: what is asked for does not go together.
    """
    files = sources.expand_files(paths, "labels", ".conllu")
    label_files = sources.expand_files(labels, "labels", ".conllu")
    _check(files, label_files, settings)
    if label_files:
        _check_columns(label_files[0], "parallel", settings, task)
        parts = [parallel.read_parallel(*pair, settings, task, aligned) for pair in zip(files, label_files, strict=True)]
    else:
        parts = [_read(source, settings, task, aligned) for source in files]
    return _joined(files, parts, settings)


def _check(files: Sequence[str], labels: Sequence[str], settings: LabelledSettings) -> None:
    if labels and len(labels) != len(files):
        raise UsageError(f"{len(files)} files of text and {len(labels)} of labels", "each text needs one", "name as many with --labels")
    if (settings.format == "parallel" and not labels) or (labels and settings.format not in ("auto", "parallel")):
        why = "labels are in files of their own" if labels else "there is no file with labels"
        raise UsageError(f"format {settings.format}: {why}", hint="--format parallel and --labels go together")


def _read(source: str, settings: LabelledSettings, task: Task, aligned: bool) -> LabelledText:
    format = detect_format(source, settings, task)
    _check_columns(source, format, settings, task)
    if format in _OF_WORDS:
        if task != "tagging":
            raise UsageError(f"{source}: format {format} labels words", f"{task} learns labels of texts", "use --task tagging")
        return _OF_WORDS[format](source, settings)
    if format in _OF_TEXTS:
        if task == "tagging":
            raise UsageError(f"{source}: format {format} labels texts", "tagging learns labels of words", "use --task classification")
        return _OF_TEXTS[format](source, settings)
    return labelled_tables.read(source, settings, task, format, aligned)


def _check_columns(source: str, format: str, settings: LabelledSettings, task: Task) -> None:
    """Whether no columns are asked for that a format does not have: most hold words and one label of each."""
    names = (*settings.label_columns, *settings.sentence_label_columns)
    if format in ("slashes", "parallel", *_OF_TEXTS) and (settings.column or names[1:]):
        what = f"column {settings.column!r}" if settings.column else f"{len(names)} label columns"
        raise UsageError(f"{source}: {what}, but format {format} has words and one label", hint="name none, or another --format")
    if format in ("slashes", "columns", "parallel") and task == "tagging" and settings.sentence_label_columns:
        why = f"there is none in format {format}"
        raise UsageError(f"{source}: no label of the whole sentence", why, "tables have columns for it, and CoNLL-U comments")


def _joined(files: Sequence[str], parts: Sequence[LabelledText], settings: LabelledSettings) -> LabelledText:
    filled = [(name, part) for name, part in zip(files, parts, strict=True) if part.examples]
    if not filled:
        raise TextError(f"no sentences in {', '.join(files)}", "nothing stands in it")
    first_name, first = filled[0]
    for name, part in filled:
        if (part.word_columns, part.text_columns) != (first.word_columns, first.text_columns):
            labels, others = (", ".join((*each.word_columns, *each.text_columns)) for each in (first, part))
            raise TextError(f"{name}: labels of {others}, but those of {first_name} are {labels}", hint="name them with --label-column")
    examples = tuple(example for _, part in filled for example in part.examples)
    schemes = {}
    for place, name in enumerate(first.word_columns):
        named = settings.scheme or NONE
        scheme = named if named != "auto" else detect_scheme(example.word_labels[place] for example in examples)
        schemes[name] = scheme
        for example in examples:
            check_scheme(example.word_labels[place], scheme, example.where)
    return LabelledText(examples, first.word_columns, first.text_columns, first.format, schemes)
