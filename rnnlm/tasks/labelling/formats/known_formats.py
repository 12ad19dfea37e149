"""The formats of files with labels: how each is recognised, read and written.

A file is compared with them in the order of FORMATS. `columns` is the last, as it takes any lines
that have equally many words. CSV, JSON-lines and Parquet are recognised by the name of the file or
its first character (:func:`rnnlm.text.named_columns.detect_format`).
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from rnnlm.storage.files import tables
from rnnlm.tasks.labelling.formats import conllu, documents, line_formats, trees
from rnnlm.tasks.labelling.formats.documents import DocumentSentence
from rnnlm.tasks.labelling.formats.example import LabelledSettings, LabelledText, Level
from rnnlm.tasks.labelling.formats.labelled_tables import are_tags, tokens_of
from rnnlm.tasks.labelling.formats.line_formats import PREFIX
from rnnlm.text.lines import split_words
from rnnlm.text.named_columns import KINDS, header_in

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
    read_document: Callable[[str, LabelledSettings], Iterator[DocumentSentence]] | None = None
    has_columns: bool = True
    has_sentence_labels: bool = True

    @property
    def is_table(self) -> bool:
        return self.name in KINDS

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
        return any(word.startswith(PREFIX) for word in split_words(line))

    # Most texts may have none of several labels.
    has_multi_label = sample.settings.multi_label and any(map(is_labelled, sample.lines))
    return has_multi_label or _are_most(sample.lines, is_labelled)


def _fits_trees(sample: Sample) -> bool:
    return _are_most(sample.lines, trees.is_tree)


_PRONOUNCED_TSV = re.compile(r"[^\t]+\t\S+( \S+)+\s*")  # a word and several sounds


def _fits_tsv(sample: Sample) -> bool:
    if sample.settings.align and (
        tables.are_pronounced(sample.lines) or _are_most(sample.lines, _PRONOUNCED_TSV.fullmatch)
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
    header = header_in(first, others, settings.named_columns)
    if header == "surely" or (header == "perhaps" and has_texts):
        return True

    # Without a header: words, and as many labels.
    names = [str(number) for number in range(1, len(first) + 1)]
    rows = (first, *others)
    sample = [tables.Row("", dict(zip(names, cells, strict=False))) for cells in rows]
    tokens = {name: tokens_of(name, sample) for name in names}
    for words, tags in permutations(names, 2):
        if are_tags(tokens, words, tags):
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
