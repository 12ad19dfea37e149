"""What all tokenizers share: settings, a vocabulary with `</s>` first, its file, the fingerprint,
and the cutting into lines."""

import copy
import dataclasses
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self

import numpy as np

from rnnlm.errors import ArgumentTypeError, ModelError, SettingsError, TextError, given
from rnnlm.interface import Encoded, Tokenizer, keeps
from rnnlm.text import encoding, normalisation
from rnnlm.text.tokenizer_settings import TokenizerSettings, as_stored

# ---- The symbols of a tokenizer in the order of their ids, with their training counts, and their
# file `vocab.txt`.

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
_NOT_KNOWN = "?"  # stands for each count where none is known
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}


@dataclass(frozen=True)
class Vocabulary:
    """symbols: id to symbol. counts_V: int64, how often each occurs in the training text; None
    where that is not known."""

    symbols: tuple[str, ...]
    counts_V: np.ndarray | None

    @classmethod
    def from_counts(
        cls,
        counts: Counter[str],
        specials: dict[str, int],
        min_count: int = 1,
        max_size: int | None = None,
    ) -> "Vocabulary":
        """`specials` (symbol to count) first, then the symbols of `counts` by descending count,
        ties by spelling.

        Symbols below `min_count`, or beyond `max_size` in all, are left out; their occurrences are
        added to the count of the special symbol `<unk>` where there is one.
        """
        ordered = sorted(
            (
                (symbol, count)
                for symbol, count in counts.items()
                if count >= min_count and symbol not in specials
            ),
            key=lambda item: (-item[1], item[0]),
        )
        if max_size is not None:
            ordered = ordered[: max(0, max_size - len(specials))]
        totals = dict(specials)
        if "<unk>" in totals:
            totals["<unk>"] += sum(counts.values()) - sum(count for _, count in ordered)
        entries = [*totals.items(), *ordered]
        return cls(
            tuple(symbol for symbol, _ in entries),
            np.array([count for _, count in entries], dtype=np.int64),
        )

    def to_bytes(self) -> bytes:
        """One line per symbol: count (`?` where it is not known), tab, symbol (backslash, tab, CR,
        LF and NUL escaped)."""
        counts = repeat(_NOT_KNOWN, len(self.symbols)) if self.counts_V is None else self.counts_V
        lines = (
            f"{count}\t{_escape(symbol)}\n"
            for count, symbol in zip(counts, self.symbols, strict=True)
        )
        return "".join(lines).encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """The inverse of :meth:`to_bytes`.

        Raises:
            ModelError: a line is not of that form, or a symbol occurs twice.
        """
        try:
            _check_lines(data)
            fields = (
                data.decode("utf-8").removesuffix("\n").replace("\n", "\t").split("\t")
                if data
                else []
            )
            counts = fields[::2]
            symbols = [_unescape(symbol) if "\\" in symbol else symbol for symbol in fields[1::2]]
            is_known = set(counts) != {_NOT_KNOWN}
            counts_V = np.array(list(map(int, counts)), dtype=np.int64) if is_known else None
        except (ValueError, OverflowError) as error:
            raise ModelError("the vocabulary is damaged", str(error)) from None
        if len(set(symbols)) != len(symbols):
            raise ModelError("the vocabulary is damaged", "duplicate symbol")
        if counts_V is not None and counts_V.min(initial=0) < 0:
            raise ModelError("the vocabulary is damaged", "a count is below zero")
        return cls(tuple(symbols), counts_V)


def _check_lines(data: bytes) -> None:
    """Whether each line has one tab, and the last line its end."""
    if not data.endswith(b"\n") and data:
        raise ValueError("the last line is cut off")
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    tabs, ends = np.flatnonzero(bytes_N == ord("\t")), np.flatnonzero(bytes_N == ord("\n"))
    if len(tabs) != len(ends) or (tabs > ends).any() or (tabs[1:] < ends[:-1]).any():
        odd = next(line for line in data.split(b"\n") if line.count(b"\t") != 1)
        raise ValueError(f"no tab, or several, in {odd[:40].decode('utf-8', 'replace')!r}")


def _escape(symbol: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in symbol)


def _unescape(symbol: str) -> str:
    head, *rest = symbol.split("\\")
    plain, characters = [head], iter(rest)
    for part in characters:
        if part == "":  # an escaped backslash splits into an empty part and what follows it
            plain.append("\\" + next(characters, ""))
        elif part[0] in _UNESCAPES:
            plain.append(_UNESCAPES[part[0]] + part[1:])
        else:
            raise ValueError(f"unknown escape in {symbol[:40]!r}")
    return "".join(plain)


# ---- base

VOCABULARY_FILE = "vocab.txt"
_BYTE = re.compile("<0x([0-9A-F]{2})>")


@keeps(Tokenizer)
class VocabularyTokenizer:
    """A tokenizer over a :class:`Vocabulary`. Subclasses give `name`, `_encode` and `_decode`,
    which know of no direction."""

    name: str
    boundary_id = 0
    unk_id: int | None = 1
    relevant: tuple[str, ...] = ()  # the settings that shape its ids, for the fingerprint
    segmentation = ""  # what else shapes them: a hash
    spells = False

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        self.settings = settings
        self.vocabulary = vocabulary

    @property
    def size(self) -> int:
        return len(self.vocabulary.symbols)

    @property
    def input_size(self) -> int:
        return self.size

    @property
    def counts_V(self) -> np.ndarray | None:
        return self.vocabulary.counts_V

    @property
    def keeps_case(self) -> bool:
        return not self.settings.lowercase

    @property
    def keeps_text(self) -> bool:
        return not (self.settings.lowercase or self.settings.split_punctuation or self.rewriting)

    @property
    def is_reversed(self) -> bool:
        return self.settings.reversed

    def in_direction(self, is_reversed: bool) -> Self:
        if is_reversed == self.is_reversed:
            return self
        other = copy.copy(self)
        other.settings = dataclasses.replace(self.settings, reversed=is_reversed)
        return other

    @property
    def rewriting(self) -> str:
        forms = (
            [f"normalise={self.settings.normalise.replace(',', '+')}"]
            if self.settings.normalise
            else []
        )
        return ",".join(
            [*forms, "punctuation=removed"] if self.settings.remove_punctuation else forms
        )

    @functools.cached_property
    def seen_text(self) -> tuple[str, bytes]:
        counts = [1] * self.size if self.counts_V is None else self.counts_V.tolist()
        symbols = [
            symbol for symbol, count in zip(self.vocabulary.symbols, counts, strict=True) if count
        ]
        single = {
            symbol: match
            for symbol in symbols
            if (match := _BYTE.fullmatch(symbol)) and self.name in ("byte", "sentencepiece")
        }
        return "\n".join(each for each in symbols if each not in single), bytes(
            int(match[1], 16) for match in single.values()
        )

    @property
    def literal_unk(self) -> str:
        return self.settings.literal_unk

    @property
    def fingerprint(self) -> str:
        shaping = [
            f"{name}={getattr(self.settings, name)}"
            for name in ("tokenizer", "lowercase", *self.relevant)
        ]
        shaping += [self.rewriting] if self.rewriting else []  # else as it was before there was any
        shaping += ["reversed=True"] if self.is_reversed else []
        content = "\n".join([*shaping, *self.vocabulary.symbols, self.segmentation])
        return hashlib.sha256(content.encode("utf-8")).hexdigest()[:12]

    def normalise(self, lines: Sequence[str]) -> Sequence[str]:
        return rewritten(lines, self.settings)

    def normalise_with_offsets(self, line: str) -> tuple[str, np.ndarray, np.ndarray]:
        traced = normalisation.trace(line, self.settings.normalise)
        if self.settings.remove_punctuation:
            traced = normalisation.trace_without_punctuation(traced)
        return normalisation.untraced(traced)

    def encode(self, lines: Sequence[str]) -> Encoded:
        encoded = self._encode(lines)
        return encoding.mirrored(encoded) if self.is_reversed else encoded

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        check_ids(ids)
        return self._decode(
            encoding.mirrored_stream(np.asarray(ids), self.boundary_id) if self.is_reversed else ids
        )

    def surface(self, line: str) -> list[str]:
        return self.surfaces([line])[0]

    def surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        check_lines(lines)
        found = self._surfaces(lines)
        return [[*tokens[-2::-1], tokens[-1]] for tokens in found] if self.is_reversed else found

    def _encode(self, lines: Sequence[str]) -> Encoded:
        raise NotImplementedError

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        raise NotImplementedError

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        return [[self.vocabulary.symbols[id] for id in self._encode([line]).ids] for line in lines]

    def symbols(self) -> list[str]:
        return list(self.vocabulary.symbols)

    def token_bytes(self) -> list[bytes]:
        return [
            b"\n" if id == self.boundary_id else symbol.encode("utf-8")
            for id, symbol in enumerate(self.vocabulary.symbols)
        ]

    def spellings(self, start: int = 0) -> list[str]:
        return list(self.vocabulary.symbols[start:])

    def spelling(self) -> Tokenizer:
        raise SettingsError(
            f"the {self.name} tokenizer has no words to spell",
            "its tokens are characters or bytes already",
            "set tokenizer=word or sentencepiece, or leave characters out",
        )  # fmt: skip

    def to_files(self) -> dict[str, bytes]:
        return {VOCABULARY_FILE: self.vocabulary.to_bytes()}

    def to_settings(self) -> dict[str, Any]:
        return as_stored(dataclasses.asdict(self.settings))


def stored_vocabulary(files: dict[str, bytes], specials: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of a model folder.

    Raises:
        ModelError: the file is missing or damaged, or does not begin with the `specials`.
    """
    if VOCABULARY_FILE not in files:
        raise ModelError("the model has no vocabulary", f"{VOCABULARY_FILE} is missing")
    vocabulary = Vocabulary.from_bytes(files[VOCABULARY_FILE])
    if vocabulary.symbols[: len(specials)] != specials:
        raise ModelError(
            "the vocabulary is damaged", f"it does not begin with {' '.join(specials)}"
        )
    return vocabulary


def rewritten(lines: Sequence[str], settings: TokenizerSettings) -> Sequence[str]:
    """The lines as a tokenizer with these settings reads them, before the case: themselves where
    nothing is normalised or removed.

    Raises:
        ArgumentTypeError: they are not several, each a str.
    """
    check_lines(lines)
    if not lines or not (settings.normalise or settings.remove_punctuation):
        return lines
    # a newline in a line makes two, which shows later
    lines = normalisation.normalise("\n".join(lines), settings.normalise).split("\n")
    return (
        [normalisation.remove_punctuation(line) for line in lines]
        if settings.remove_punctuation
        else lines
    )


def check_lines(lines: Sequence[str]) -> None:
    """Check that a tokenizer was given several lines, each a str.

    Raises:
        ArgumentTypeError: it was given a single one, or what is not text.
    """
    if isinstance(lines, (str, bytes)) or not hasattr(lines, "__len__"):
        raise ArgumentTypeError(
            f"a tokenizer's lines must be a list of str, not {given(lines)}",
            hint="a single line is [line]",
        )
    if set(map(type, lines)) - {str}:  # quicker than line by line
        for number, line in enumerate(lines):
            if not isinstance(line, str):
                raise ArgumentTypeError(
                    f"a tokenizer's lines[{number}] must be a str, not {given(line)}"
                )


def check_ids(ids: Sequence[int] | np.ndarray) -> None:
    """Check that the ids of tokens are whole numbers, one after the other.

    Raises:
        ArgumentTypeError: they are not.
    """
    if isinstance(ids, np.ndarray):
        wrong = (
            None
            if ids.ndim == 1 and (ids.dtype.kind in "iu" or not ids.size)
            else f"a {ids.ndim}-d array of {ids.dtype}"
        )
    elif not hasattr(ids, "__iter__"):
        wrong = given(ids)
    else:
        wrong = next(
            (
                f"a {type(ids).__name__} of {kind.__name__}"
                for kind in set(map(type, ids))
                if not hasattr(kind, "__index__")
            ),
            None,
        )
    if wrong:
        raise ArgumentTypeError(
            f"a tokenizer's ids must be a list of int or a 1-d array of them, not {wrong}"
        )


def newline_error() -> TextError:
    return TextError("a line holds a newline", hint="give each line on its own")


def cut_into_lines(
    ids: np.ndarray, oov: np.ndarray, boundary_id: int, lines: Sequence[str]
) -> Encoded:
    """`ids` with the offsets of the lines that end in `boundary_id`.

    Raises:
        TextError: a line itself held a newline.
    """
    ends = np.flatnonzero(ids == boundary_id) + 1
    if len(ends) != len(lines):
        raise newline_error()
    return Encoded(ids, np.concatenate(([0], ends)).astype(np.int64), oov)
