"""Labelled examples: words, with a label for each word or for the whole text."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

LABEL_SEPARATOR = "|"  # between the labels of a text that has several


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence or a text of at least one word.

    word_labels: for each label column of words, a label of each word. text_labels: for each label column of texts, its label; with several
    labels they are joined by LABEL_SEPARATOR, and "" is none. line: where it begins in its file, from 1 (the row of a Parquet file, the
    element of a JSON array). source: the file's name.
    """

    words: tuple[str, ...]
    word_labels: tuple[tuple[str, ...], ...]
    text_labels: tuple[str, ...]
    line: int
    source: str

    @property
    def where(self) -> str:
        """Where it stands, for messages."""
        return f"{self.source}, line {self.line}"


@dataclass(frozen=True)
class LabelledText:
    """Examples that have the same label columns.

    word_columns, text_columns: their names, as `word_labels` and `text_labels` of the examples have them. format: of
    :class:`LabelledSettings`, never "auto". scheme: how each word column writes spans, of :mod:`rnnlm.text.labelled.schemes`.
    """

    examples: tuple[Example, ...]
    word_columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    format: str
    scheme: dict[str, str] = field(default_factory=dict)

    @cached_property
    def content_hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over words and labels, whatever file, format or compression they came in."""
        digest = hashlib.sha256()
        encode = msgspec.json.Encoder().encode
        for example in self.examples:
            digest.update(encode((example.words, example.word_labels, example.text_labels)) + b"\n")
        return digest.hexdigest()[:12]


def labels_in(joined: str) -> tuple[str, ...]:
    """The labels that are joined by LABEL_SEPARATOR, each once."""
    return tuple(dict.fromkeys(label for label in joined.split(LABEL_SEPARATOR) if label))


def joined_labels(labels: Iterable[str]) -> str:
    """Several labels as one text, each once."""
    return LABEL_SEPARATOR.join(dict.fromkeys(labels))
