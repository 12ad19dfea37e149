"""The formats of files with labels: how each is recognised, read and written, and reading a file in
any of them.

A file is compared with them in the order of FORMATS. `columns` is the last, as it takes any lines
that have equally many words. CSV, JSON-lines and Parquet are recognised by the name of the file or
its first character (:func:`rnnlm.text.named_columns.detect_format`).
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, permutations
from os import PathLike
from pathlib import Path

from rnnlm.errors import TextError, UsageError, keyword, nearest, notice, shown
from rnnlm.storage.files import tables
from rnnlm.tasks.common.text_files import are_pronounced
from rnnlm.tasks.labelling.formats import conllu, documents, labelled_tables, line_formats, trees
from rnnlm.tasks.labelling.formats.example import Example, LabelledSettings, LabelledText, Level
from rnnlm.tasks.labelling.formats.schemes import NONE, OUTSIDE, check_label, detect_scheme, strays
from rnnlm.text import named_columns, sources
from rnnlm.text.lines import split_words

SAMPLE_LINES = 100


@dataclass(frozen=True)
class Sample:
    """The first lines of a file, at least one, none of them blank, and the purpose of reading them.

    level: of the labels. known_labels: the labels that a model knows, if the file is to be tagged.
    """

    source: str
    lines: list[str]
    settings: LabelledSettings
    level: Level = "word"
    known_labels: Collection[str] = ()


def _never(sample: Sample) -> bool:
    return False


@dataclass(frozen=True)
class LabelFormat:
    """A format of files with labels.

    Attributes:
        name: Name of the format.
        levels: Units that have labels: words, texts, or either.
        fits: Function that returns whether a file with labels is in this format. It looks at most
            of the words, so that one fault in a file becomes an error instead of another format.
        fits_document: Function that returns whether a file to be tagged, which may be plain text,
            is in this format.
        read: Function that reads a file into examples; None for tables, which `labelled_tables`
            reads.
        read_document: Function that yields the sentences of a file, each of which can be written
            again with other labels; None for tables, and for formats that `rnnlm tag` does not
            take.
        has_columns: Whether the columns of words and labels can be named.
        has_sentence_labels: Whether a sentence can have labels besides the labels of its words.
    """

    name: str
    levels: tuple[Level, ...] = ("word", "text")
    fits: Callable[[Sample], bool] = _never
    fits_document: Callable[[Sample], bool] = _never
    read: Callable[[str, LabelledSettings], LabelledText] | None = None
    read_document: (
        Callable[[str, LabelledSettings], Iterator[documents.DocumentSentence]] | None
    ) = None
    has_columns: bool = True
    has_sentence_labels: bool = True

    @property
    def is_table(self) -> bool:
        return self.name in named_columns.KINDS

    @property
    def can_be_tagged(self) -> bool:
        """Whether `rnnlm tag` can write labels into a file of this format."""
        return self.is_table or self.read_document is not None


# ---- How each is recognised.


def _are_most(lines: Sequence[str], fits: Callable[[str], object]) -> bool:
    return sum(bool(fits(line)) for line in lines) > len(lines) / 2


# A word: ten columns, of which the first is its number and the seventh the number of its head.
_CONLLU_WORD = re.compile(r"[0-9]+([-.][0-9]+)?(\t[^\t]*){5}\t([0-9]+|_)?(\t[^\t]*){3}")


def _has_words_of_conllu(sample: Sample) -> bool:
    # A short sentence has more comments than words.
    words = [line for line in sample.lines if not line.startswith("#")]
    return _are_most(words, _CONLLU_WORD.fullmatch)


def _fits_fasttext(sample: Sample) -> bool:
    def is_labelled(line: str) -> bool:
        return any(word.startswith(line_formats.PREFIX) for word in split_words(line))

    # Most texts may have none of several labels.
    has_multi_label = sample.settings.multi_label and any(map(is_labelled, sample.lines))
    return has_multi_label or _are_most(sample.lines, is_labelled)


def _fits_trees(sample: Sample) -> bool:
    return _are_most(sample.lines, trees.is_tree)


_PRONOUNCED_TSV = re.compile(r"[^\t]+\t\S+( \S+)+\s*")  # a word and several sounds


def _fits_tsv(sample: Sample) -> bool:
    if sample.settings.align and (
        are_pronounced(sample.lines) or _are_most(sample.lines, _PRONOUNCED_TSV.fullmatch)
    ):
        return True
    return "\t" in sample.lines[0] and (
        sample.level == "text" or _is_table(sample.lines, sample.settings)
    )


def _fits_document_of_tsv(sample: Sample) -> bool:
    return tables.kind_of(sample.source) == tables.TSV and _is_table(sample.lines, sample.settings)


def _is_table(lines: list[str], settings: LabelledSettings) -> bool:
    """Return whether the lines are rows of a table: below a header, or each with a label for each
    of several words."""
    first, *others = [line.split("\t") for line in lines]
    has_texts = sum(" " in "\t".join(cells).strip() for cells in others) > len(others) / 2
    header = named_columns.header_in(first, others, settings.named_columns)
    if header == "surely" or (header == "perhaps" and has_texts):
        return True

    # Without a header: words, and as many labels.
    names = [str(number) for number in range(1, len(first) + 1)]
    rows = (first, *others)
    sample = [tables.Row("", dict(zip(names, cells, strict=False))) for cells in rows]
    tokens = {name: labelled_tables.tokens_of(name, sample) for name in names}
    for words, tags in permutations(names, 2):
        if labelled_tables.are_tags(tokens, words, tags):
            return sum(map(len, tokens[words])) > 1.5 * len(sample)
    return False


def _fits_columns(sample: Sample) -> bool:
    """Return whether each line is a word and its labels. These are sentences of them, or a word a
    line."""
    has_columns = "\t" in sample.lines[0] or line_formats.has_columns(sample.lines)
    return sample.level == "word" and has_columns and not _fits_trees(sample)


LABELLED = 0.9  # the share of words with known labels that shows columns


def _has_known_labels(sample: Sample) -> bool:
    """Return whether nearly all (LABELLED) of the words have a known label in one of the columns
    behind them, of which most lines have as many."""
    layout, numbered = line_formats.layout_of(sample.source, enumerate(sample.lines, start=1))
    rows = [
        layout.split(line)
        for _, line in numbered
        if not line_formats.is_document_start(line) and not layout.is_comment(line)
    ]
    alike = [row for row in rows if len(row) == layout.count]
    _, *columns = zip(*alike, strict=True) if alike else ((),)
    known = [sum(cell in sample.known_labels for cell in column) for column in columns]
    # A single line does not show columns.
    return len(rows) > 1 and max(known, default=0) >= LABELLED * len(rows)


# ---- The table.

FORMATS = {
    format.name: format
    for format in (
        LabelFormat(
            "conllu",
            levels=("word",),
            fits=_has_words_of_conllu,
            fits_document=_has_words_of_conllu,
            read=conllu.read,
            read_document=documents.read_conllu,
        ),
        LabelFormat(
            trees.FORMAT, levels=("text",), fits=_fits_trees, read=trees.read, has_columns=False
        ),
        LabelFormat(
            "fasttext",
            levels=("text",),
            fits=_fits_fasttext,
            read=line_formats.read_fasttext,
            has_columns=False,
        ),
        LabelFormat("csv"),
        LabelFormat("jsonl"),
        LabelFormat("parquet"),
        LabelFormat("tsv", fits=_fits_tsv, fits_document=_fits_document_of_tsv),
        LabelFormat(
            "columns",
            levels=("word",),
            fits=_fits_columns,
            fits_document=_has_known_labels,
            read=line_formats.read_columns,
            read_document=documents.read_columns,
            has_sentence_labels=False,
        ),
    )
}


# ---- Reading files in any format into examples.


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

    # The examples of all files as one text, with the scheme of each column of words.
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
                hint="name them with " + keyword("label_column"),
            )

    examples = list(chain.from_iterable(part.examples for _, part in filled))
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
    return replace(first, examples=tuple(examples), scheme=schemes)


def _read(source: str, settings: LabelledSettings, level: Level, aligned: bool) -> LabelledText:
    format = FORMATS[detect_format(source, settings, level)]

    # Refuse columns that the format does not have.
    names = (*settings.label_columns, *settings.sentence_label_columns)
    if not format.has_columns and (settings.column or len(names) > 1):
        what = f"column {settings.column!r}" if settings.column else f"{len(names)} label columns"
        raise UsageError(
            f"{source}: {what}, but format {format.name} has words and one label",
            hint="name none, or another " + keyword("format"),
        )
    has_sentence_labels = format.has_sentence_labels or level == "text"
    if settings.sentence_label_columns and not has_sentence_labels:
        raise UsageError(
            f"{source}: no label of the whole sentence",
            f"there is none in format {format.name}",
            "tables have columns for it, and CoNLL-U comments",
        )

    if level not in format.levels:
        tasks = ("tagging", "classification")
        task, other = tasks if level == "word" else reversed(tasks)
        raise UsageError(
            f"{source}: format {format.name} labels {format.levels[0]}s",
            f"{task} learns labels of {level}s",
            "use " + keyword("task", other),
        )
    if format.read is None:
        return labelled_tables.read(source, settings, level, format.name, aligned)
    return format.read(source, settings)


def _without_strays(examples: list[Example], place: int, scheme: str) -> list[Example]:
    """Return the examples with O for the few labels of a column that write no spans, where nearly
    all others do; a notice names them."""
    # Find the odd labels, if they are few enough to be slips.
    counts = Counter(chain.from_iterable(example.word_labels[place] for example in examples))
    odd, is_few = strays(counts, scheme)
    if not odd or (not is_few and scheme != "auto"):
        return examples

    # Replace them by O, and remember the first one for the notice.
    first = ""
    changed = []
    for example in examples:
        labels = example.word_labels[place]
        if odd.isdisjoint(labels):
            changed.append(example)
            continue
        word = [label in odd for label in labels].index(True)
        first = first or f"{example.where_of(word)}: {shown(labels[word])}"
        columns = list(example.word_labels)
        columns[place] = tuple(OUTSIDE if label in odd else label for label in labels)
        changed.append(replace(example, word_labels=tuple(columns)))

    # Report them: either they were replaced, or the labels are taken as they are.
    count = sum(counts[label] for label in odd)
    what = f"{first} is not a span label, unlike nearly all others"
    if count > 1:
        what += f" ({count:,} of {counts.total():,} labels are like it)"
    if not is_few:
        notice(f"{what}: labels are learned as they are, without spans")
        return examples
    notice(
        f"{what}: it is read as O; "
        + keyword("scheme", "none")
        + " reads labels as they are, without spans"
    )
    return changed


# ---- The format of a file with labels, detected from its first lines.

_BY_NAME = (tables.CSV, tables.JSON_LINES, tables.PARQUET)  # TSV may hold columns, too


def detect_format(source: str, settings: LabelledSettings, level: Level) -> str:
    """Return the format of a file, as :class:`LabelledSettings` calls it."""

    def by_lines(lines: Iterator[str]) -> str:
        first_lines = list(islice(lines, SAMPLE_LINES))
        if not first_lines:
            # For an empty file any format will do: reading it reports that it is empty.
            return "fasttext" if level == "text" else "columns"
        sample = Sample(source, first_lines, settings, level)
        fitting = [name for name, format in FORMATS.items() if format.fits(sample)]
        if fitting:
            # A format of the other level is only named in the error about it.
            return next((name for name in fitting if level in FORMATS[name].levels), fitting[0])
        which = "format columns has a word and its labels on each line"
        if level == "text":
            which = "in a table, a tab separates a text from its label"
        raise TextError(
            f"{source}: its label format is not recognised",
            f"its first line is {shown(first_lines[0])}",
            "name it with " + keyword("format") + f"; {which}",
        )

    errors = settings.encoding_errors
    return named_columns.detect_format(source, errors, by_lines, _BY_NAME, settings.format)


# ---- Opening a file of any format that labels are written into.


def detect_document_format(
    source: str, settings: LabelledSettings, labels: Collection[str] = ()
) -> str:
    """Return the format of a file where it is not named. labels: those that a model knows.

    CoNLL-U and JSON-lines are recognised by their content, tables by their suffix, and columns by
    the labels they hold; everything else is raw text, or TSV by its suffix.
    """

    def by_lines(lines: Iterator[str]) -> str:
        usual = "tsv" if tables.kind_of(source) == tables.TSV else documents.RAW
        first_lines = list(islice(lines, SAMPLE_LINES))
        if not first_lines:
            return usual
        sample = Sample(source, first_lines, settings, known_labels=labels)
        fitting = (name for name, format in FORMATS.items() if format.fits_document(sample))
        return next(fitting, usual)

    return named_columns.detect_format(source, settings.encoding_errors, by_lines, _BY_NAME)


def written_as(format: str) -> str:
    """Return the format in which a document of this one is written where it is not named."""
    return {documents.RAW: "conllu", "parquet": "tsv"}.get(format, format)


def open_document(
    source: str, format: str, settings: LabelledSettings, output: str | None = None
) -> Iterator[documents.DocumentSentence]:
    """Return the sentences of a file or of standard input (`-`), one after the other, whether they
    have labels or not.

    format: RAW, or one of FORMATS that can be tagged. settings: their `column` names the words.
    output: for raw text and tables, the one of WRITTEN that they are written in; None: CoNLL-U, and
    for a table its own or TSV.
    """
    if Path(source).is_dir():
        raise TextError(f"{source} is a directory", hint="name a file")
    output = output or written_as(format)
    inputs = [name for name, known in FORMATS.items() if known.can_be_tagged]
    for name, names in ((format, (*inputs, documents.RAW)), (output, (*documents.WRITTEN, format))):
        if name not in names:
            raise UsageError(
                f"labels cannot be written in format {name!r}", hint=nearest(name, names)
            )
    if format == documents.RAW:
        return documents.read_raw(source, settings, output)
    read_document = FORMATS[format].read_document
    if read_document is None:
        return documents.read_table(source, settings, format, output)
    return read_document(source, settings)
