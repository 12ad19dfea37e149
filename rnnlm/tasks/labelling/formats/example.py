"""Labelled examples: words, with a label for each word or for the whole text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from sys import intern
from typing import Annotated, Literal

import msgspec

from rnnlm.amounts import plural
from rnnlm.config import about
from rnnlm.errors import SettingsError, TextError, keyword, shown
from rnnlm.storage.files import writing
from rnnlm.text.lines import Line, is_blank, without_end

LABEL_SEPARATOR = "|"  # between the labels of a text that has several


class Tree(tuple[str, ...]):
    """The words of a text, and the binary tree over them: whatever reads words reads these, too.

    Nodes are numbered: the words first, from 0 on, then the inner nodes, each after its children,
    the root last. children: the left and the right child of each inner node. labels: of all nodes,
    "" where there is none. places: the column of the line, from 1, in which each node begins.
    collapsed, folded: how many nodes had one child, or more than two.
    """

    def __init__(
        self,
        words: Iterable[str],
        children: tuple[tuple[int, int], ...] = (),
        labels: tuple[str, ...] = (),
        places: tuple[int, ...] = (),
        collapsed: int = 0,
        folded: int = 0,
    ) -> None:
        self.children, self.labels, self.places = children, labels, places
        self.nodes = (children, labels)  # for hashes of the data
        self.collapsed, self.folded = collapsed, folded

    def __new__(cls, words: Iterable[str], *nodes: object) -> "Tree":
        return super().__new__(cls, words)


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence or a text of at least one word.

    word_labels: for each label column of words, a label of each word. text_labels: for each label
    column of texts, its label; several labels are joined by LABEL_SEPARATOR, and "" is none. line:
    where it begins in its file, from 1 (the row of a Parquet file, the element of a JSON array).
    source: the file's name. is_of_lines: whether each of its words is a line.
    """

    words: tuple[str, ...]
    word_labels: tuple[tuple[str, ...], ...]
    text_labels: tuple[str, ...]
    line: int
    source: str
    is_of_lines: bool = False

    @property
    def where(self) -> str:
        """Its file and line, for messages."""
        return self.where_of(0)

    def where_of(self, word: int) -> str:
        """Return the file and line of a word, or where only that is known, of the first one."""
        return f"{self.source}, line {self.line + (word if self.is_of_lines else 0)}"


@dataclass(frozen=True)
class LabelledText:
    """Examples that have the same label columns.

    word_columns, text_columns: the names of `word_labels` and `text_labels` of the examples.
    format: of :class:`LabelledSettings`, never "auto". scheme: how each word column writes spans,
    one of :mod:`rnnlm.tasks.labelling.formats.schemes`. column: of the words or texts in a table.
    """

    examples: tuple[Example, ...]
    word_columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    format: str
    scheme: dict[str, str] = field(default_factory=dict)
    column: str | None = None

    @cached_property
    def content_hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over words and labels, whatever file, format
        or compression they came in."""
        rows = (
            (
                example.words,
                example.word_labels,
                example.text_labels,
                *getattr(example.words, "nodes", ()),
            )
            for example in self.examples
        )
        return writing.digest(msgspec.json.encode(row) + b"\n" for row in rows)[:12]


def labels_of_nodes(example: Example) -> tuple[str, ...]:
    """Return the labels of the nodes below the root, if the words have a tree."""
    words = example.words
    return tuple(filter(None, words.labels[:-1])) if isinstance(words, Tree) else ()


def labels_in(joined: str) -> tuple[str, ...]:
    """Return the labels that are joined by LABEL_SEPARATOR, each once."""
    return tuple(dict.fromkeys(label for label in joined.split(LABEL_SEPARATOR) if label))


def joined_labels(labels: Iterable[str]) -> str:
    """Return several labels as one text, each once."""
    return LABEL_SEPARATOR.join(dict.fromkeys(labels))


# ---- Settings for reading labelled texts.

Level = Literal["word", "text"]  # what has a label: each word (tagging), or the whole text
Format = Literal["auto", "conllu", "columns", "tsv", "csv", "jsonl", "parquet", "fasttext", "trees"]
SchemeName = Literal["auto", "none", "iob1", "bio", "bioes", "bilou", "bmes"]


@dataclass(frozen=True)
class LabelledSettings:
    """Settings for reading labelled texts. Columns are named by the header of a table, by the names
    of CoNLL-U's fields, or by numbers from 1 on, also in a table without a header."""

    format: Annotated[
        Format,
        about(
            "data format: conllu, columns, tsv, csv, jsonl, parquet, fasttext or trees; auto "
            "infers it from the content",
            title="FORMAT",
        ),
    ] = "auto"
    column: Annotated[str | None, about("column of the words or texts", title="NAME")] = None
    label_column: Annotated[
        str | None,
        about(
            "columns of the labels to learn, by name or number, separated by commas",
            title="NAME,...",
        ),
    ] = None
    sentence_label_column: Annotated[
        str | None, about("columns of labels for the whole sentence, separated by commas")
    ] = None
    sentence_column: Annotated[
        str | None,
        about("column that identifies the sentence, in tables with one word per row", title="NAME"),
    ] = None
    scheme: Annotated[
        SchemeName | None,
        about(
            "span scheme of the labels: none, iob1, bio, bioes, bilou or bmes; auto infers it "
            "from the labels",
            title="SCHEME",
        ),
    ] = "auto"
    multi_label: Annotated[
        bool, about("each text can have any number of labels, separated by |")
    ] = False
    align: Annotated[
        bool,
        about(
            "labels are the sounds of a word, in any number; training aligns them with its letters"
        ),
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        about("invalid UTF-8 is an error (strict), or becomes U+FFFD (replace)"),
    ] = "strict"

    def __post_init__(self) -> None:
        # Settings read the word "none" as None.
        object.__setattr__(self, "scheme", self.scheme or "none")
        for name in ("label_column", "sentence_label_column"):
            columns = names_in(getattr(self, name))
            if len(set(columns)) < len(columns):
                raise SettingsError(f"{name} = {shown(getattr(self, name))} names a column twice")

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label columns that are named."""
        return names_in(self.label_column)

    @property
    def named_columns(self) -> tuple[str, ...]:
        """All columns that are named."""
        named = (self.column, self.sentence_column)
        return (*filter(None, named), *self.label_columns, *self.sentence_label_columns)

    @property
    def sentence_label_columns(self) -> tuple[str, ...]:
        """The named columns of labels of the whole sentence."""
        return names_in(self.sentence_label_column)


def names_in(joined: str | None) -> tuple[str, ...]:
    """Return the names that are joined by commas."""
    return tuple(filter(None, map(str.strip, (joined or "").split(","))))


# ---- The lines of a file, sentence by sentence, and the errors for words without labels.


def column_at(rows: Iterable[Sequence[str]], place: int) -> tuple[str, ...]:
    """Return the cells of all rows at a place, interned: few different ones are repeated often."""
    return tuple(intern(row[place]) for row in rows)


def chunks(lines: Iterable[Line], is_word: Callable[[str], bool]) -> Iterator[list[Line]]:
    """Yield all lines with their ends, a sentence at a time, each with the blank lines behind it.

    Lines that `is_word` refuses go with the sentence that follows, the last ones with the one
    before. Where no line has a word, there are no sentences.
    """
    # The last whole sentence waits, as lines without words may follow it to the end.
    before: list[Line] = []
    chunk: list[Line] = []
    has_words = is_over = False
    for number, line in lines:
        blank = is_blank(without_end(line))
        if is_over and not blank:
            if before:
                yield before
            before = chunk
            chunk = []
            has_words = is_over = False
        chunk.append((number, line))
        has_words = has_words or (not blank and is_word(line))
        is_over = blank and has_words

    if before and has_words:
        yield before
        before = []
    if before or has_words:
        yield before + chunk


def unequal(where: str, labels: int, words: int, column: str) -> TextError:
    """Return the error for a sentence that has more or fewer labels than words."""
    hint = (
        "with "
        + keyword("align")
        + " letters have any number of sounds; labels of whole texts are for "
        + keyword("task", "classification")
    )
    return TextError(
        f"{where}: {plural(words, 'word')} and {plural(labels, 'label')} in {column!r}",
        "each word needs one label",
        hint,
    )


def no_words(where: str) -> TextError:
    """Return the error for a sentence or a text without words."""
    return TextError(f"{where}: no words", "a sentence needs at least one", "remove it")
