"""How a task's model encodes words and labels as numbers: the tokenizer of its words, and the symbols of each label column."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from rnnlm.errors import ModelError, TextError
from rnnlm.files.reading import decode_json
from rnnlm.interface import PADDING, Tokenizer
from rnnlm.text.labelled import edit_scripts, schemes
from rnnlm.text.labelled.example import labels_in

FILE = "labels.json"
WORD, TEXT = "word", "text"
PLAIN, EDIT, SOUNDS, MULTI = "plain", "edit", "sounds", "multi"  # forms

_Scheme = Annotated[str, Meta(pattern=f"^({'|'.join((schemes.NONE, *schemes.LETTERS))})$")]


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one column.

    level: "word" or "text", what a label belongs to. symbols: the K classes that the network distinguishes. scheme: the scheme in which the
    training data write spans; inner: that of `symbols`. form: "plain"; "edit": symbols are edit scripts from a word to its label, as for
    lemmas; "sounds": a symbol joins the sounds that a letter stands for; "multi": a text has any number of labels.
    """

    name: str
    level: Annotated[str, Meta(pattern=f"^({WORD}|{TEXT})$")]
    symbols: tuple[str, ...]
    scheme: _Scheme = schemes.NONE
    inner: _Scheme = schemes.NONE
    form: Annotated[str, Meta(pattern=f"^({PLAIN}|{EDIT}|{SOUNDS}|{MULTI})$")] = PLAIN

    @cached_property
    def ids(self) -> dict[str, int]:
        """The number of each symbol."""
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def to_symbols(self, labels: Sequence[str], words: Sequence[str]) -> Sequence[str]:
        """The labels of a sentence's words as symbols, known ones or not."""
        if self.form == EDIT:
            return [edit_scripts.script(word, label) for word, label in zip(words, labels, strict=True)]
        return schemes.convert(labels, self.scheme, self.inner)

    def encode_words(self, labels: Sequence[str], words: Sequence[str]) -> list[int]:
        """The number of each word's symbol, -1 where training never saw it."""
        return [self.ids.get(symbol, PADDING) for symbol in self.to_symbols(labels, words)]

    def encode_text(self, label: str) -> np.ndarray:
        """The number of a text's label, (1,), -1 if training never saw it; in a column of the form "multi" which symbols are among the
        labels, as zeros and ones, (K,)."""
        if self.form != MULTI:
            return np.array([self.ids.get(label, PADDING)])
        found = np.zeros(len(self.symbols), dtype=np.int64)
        found[[self.ids[each] for each in labels_in(label) if each in self.ids]] = 1
        return found

    def decode_words(self, ids: Sequence[int], words: Sequence[str]) -> tuple[str, ...]:
        """The labels of a sentence's words as the training data write them."""
        symbols = [self.symbols[id] for id in ids]
        if self.form == EDIT:
            return tuple(edit_scripts.apply(script, word) for script, word in zip(symbols, words, strict=True))
        return tuple(schemes.convert(symbols, self.inner, self.scheme))

    def labels_in(self, scheme: str) -> set[str]:
        """The labels that training saw, and those that write other spans of the same types, as `scheme` writes them."""
        if scheme == schemes.NONE:
            return set(self.symbols)
        kinds = {schemes.parse(symbol)[1] for symbol in self.symbols if symbol != schemes.OUTSIDE}
        return {schemes.OUTSIDE, *(label for kind in kinds for label in _all_labels(kind, scheme))}

    @cached_property
    def constraints(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Which symbols may begin, end and follow each other; None where all may."""
        return None if self.inner == schemes.NONE else schemes.allowed(self.symbols, self.inner)


def column_of(
    name: str, level: str, rows: Iterable[tuple[Sequence[str], Sequence[str]]], scheme: str, inner: str, form: str
) -> LabelColumn:
    """The column whose symbols are those of `rows`, most frequent first. rows: the labels of each sentence, and its words."""
    empty = LabelColumn(name, level, (), scheme, inner, form)
    counts: Counter[str] = Counter()
    for labels, words in rows:
        counts.update(empty.to_symbols(labels, words) if level == WORD else labels)
    symbols = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    if level == WORD and inner != schemes.NONE:  # so that spans of several words can be of any length
        single = schemes.LETTERS[inner][-1] if inner == schemes.BIOES else ""
        parsed = [schemes.parse(symbol) for symbol in symbols if symbol != schemes.OUTSIDE]
        kinds = sorted({kind for letter, kind in parsed if letter != single})
        symbols += [each for kind in kinds for each in _all_labels(kind, inner) if each not in counts]
        symbols += [] if schemes.OUTSIDE in counts else [schemes.OUTSIDE]
    return LabelColumn(name, level, tuple(symbols), scheme, inner, form)


def _all_labels(kind: str, scheme: str) -> list[str]:
    """The labels that a scheme has for spans of a kind."""
    return [letter + (f"-{kind}" if kind else "") for letter in dict.fromkeys(f"B{schemes.LETTERS[scheme]}")]


class Codec:
    """A tokenizer of words and the label columns. A task's model stores it where a language model stores its tokenizer.

    details: the format of the training data, and how they split raw text (:mod:`rnnlm.tasks.splitting`). beside: the language models of
    `--contextual` (a :class:`rnnlm.tasks.encoders.contextual.FrozenModels`), which read the same words; None without any.
    """

    def __init__(
        self, tokenizer: Tokenizer, columns: Sequence[LabelColumn], details: dict[str, Any] | None = None, beside: Any = None
    ) -> None:
        self.tokenizer, self.beside = tokenizer, beside
        self.columns = tuple(columns)
        self.details = details or {}

    @property
    def word_columns(self) -> tuple[LabelColumn, ...]:
        """Those whose labels belong to words."""
        return tuple(column for column in self.columns if column.level == WORD)

    @property
    def text_columns(self) -> tuple[LabelColumn, ...]:
        """Those whose labels belong to the whole text."""
        return tuple(column for column in self.columns if column.level == TEXT)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The place of each column among those of its level, where examples have its labels."""
        levels = [column.level for column in self.columns]
        return tuple(levels[:number].count(level) for number, level in enumerate(levels))

    def spelling(self) -> "Codec":
        """The codec for a network that reads characters: its tokenizer gives every word an id of its own."""
        return Codec(self.tokenizer.spelling(), self.columns, self.details, self.beside)

    @property
    def name(self) -> str:
        """Of the tokenizer."""
        return self.tokenizer.name

    @property
    def size(self) -> int:
        """How many words, or pieces of words, have vectors of their own."""
        return self.tokenizer.size

    @property
    def is_reversed(self) -> bool:
        """False: a task's network reads both ways, or from the beginning."""
        return False

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over the tokenizer and the labels."""
        return hashlib.sha256(self.tokenizer.fingerprint.encode() + self._to_json()).hexdigest()[:12]

    def to_settings(self) -> dict[str, Any]:
        """Those of the tokenizer."""
        return self.tokenizer.to_settings()

    def to_files(self) -> dict[str, bytes]:
        """The files from which :func:`codec` restores it, by role."""
        return {**self.tokenizer.to_files(), FILE: self._to_json()}

    def _to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode({"columns": [asdict(each) for each in self.columns], **self.details}), indent=1)


def _check(column: LabelColumn) -> None:
    """Whether a stored column is one that :func:`column_of` could have made.

    Raises:
        ValueError, TextError: it is not.
    """
    "".join((column.name, *column.symbols)).encode()  # JSON can hold halves of characters
    if not len(set(column.symbols)) == len(column.symbols) > 0:
        raise ValueError(f"the column {column.name!r} has no labels, or one of them twice")
    is_text, has_spans = column.level == TEXT, column.scheme != schemes.NONE
    if column.form != PLAIN and (column.form == MULTI) != is_text:
        raise ValueError(f"labels of a {column.level} are not of the form {column.form}")
    if has_spans != (column.inner != schemes.NONE) or (has_spans and is_text):
        raise ValueError(f"labels of a {column.level} are not of scheme {column.scheme}, inside {column.inner}")
    if column.inner not in (column.scheme, schemes.BIOES):
        raise ValueError(f"spans of scheme {column.scheme} are not learned as {column.inner}")
    if column.form == PLAIN:
        schemes.check_scheme(column.symbols, column.inner, column.name)
    for symbol in column.symbols if column.form == EDIT else ():
        edit_scripts.apply(symbol, "word")


class _Stored(msgspec.Struct):
    columns: list[LabelColumn]


def codec(tokenizer: Tokenizer, files: dict[str, bytes]) -> Codec:
    """The codec whose `to_files()` are in a model's folder.

    Raises:
        ModelError: the file of labels is missing or damaged.
    """
    if FILE not in files:
        raise ModelError("the model has no labels", f"{FILE} is missing")
    try:
        columns = decode_json(files[FILE], _Stored).columns
        details = decode_json(files[FILE], dict[str, Any])
        for column in columns:
            _check(column)
    except (ValueError, TextError) as error:
        raise ModelError(f"{FILE} is damaged", error.what if isinstance(error, TextError) else str(error)) from None
    if not columns or len({(column.level, column.name) for column in columns}) < len(columns):
        raise ModelError(f"{FILE} is damaged", "there are no columns, or one of them twice")
    details.pop("columns")
    return Codec(tokenizer, columns, details)
