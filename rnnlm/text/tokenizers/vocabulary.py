"""The base of all tokenizers: settings, a vocabulary with special symbols first, its file, the
fingerprint, and the offsets of lines."""

import functools
import hashlib
import itertools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from rnnlm.amounts import amount
from rnnlm.errors import (
    ArgumentTypeError,
    ModelError,
    SettingsError,
    TextError,
    given,
    joined_message,
    keyword,
)
from rnnlm.interface import UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.text import normalisation
from rnnlm.text.lines import Lines
from rnnlm.text.tokenizer_settings import TokenizerSettings

# ---- The symbols of a tokenizer in the order of their ids, with their training counts, and the
# file `vocab.txt` that holds them.

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_ESCAPED = re.compile(r"[\\\t\n\r\0]")
_NOT_KNOWN = "?"  # written for each count where none is known
_UNESCAPES = {escaped[1]: chr(plain) for plain, escaped in _ESCAPES.items()}


@dataclass(frozen=True)
class Vocabulary:
    """The symbols of a tokenizer. symbols: id to symbol, a tuple or :class:`StoredSymbols`.
    counts_V: int64, how often each occurs in the training text; None where that is not known."""

    symbols: Sequence[str]
    counts_V: np.ndarray | None

    @classmethod
    def from_counts(
        cls,
        counts: Counter[str],
        specials: dict[str, int],
        min_count: int = 1,
        max_size: int | None = None,
    ) -> "Vocabulary":
        """Return the vocabulary of `specials` (symbol to count), then the symbols of `counts` by
        descending count, ties by spelling.

        Symbols below `min_count`, or beyond `max_size` in all, are left out; their occurrences are
        added to the count of the special symbol `<unk>` where there is one.
        """
        symbols = sorted(counts.keys() - specials.keys())
        in_utf8 = [symbol.encode("utf-8", "surrogatepass") for symbol in symbols]
        counts_S = np.array([counts[symbol] for symbol in symbols], dtype=np.int64)
        totals = dict(specials)
        if UNKNOWN in totals:
            totals[UNKNOWN] += sum(counts[symbol] for symbol in specials)
        return cls.from_sorted([(in_utf8, counts_S)], totals, min_count, max_size)

    @classmethod
    def from_sorted(
        cls,
        parts: Iterable[tuple[list[bytes], np.ndarray]],
        specials: dict[str, int],
        min_count: int = 1,
        max_size: int | None = None,
        room: int | None = None,
    ) -> "Vocabulary":
        """Return the same for symbols in ascending order, with their counts. They come part by
        part; no more of them are in memory than are needed.

        room: bytes of memory that a tokenizer with these symbols may take; None: any. Special
        symbols are not among them.

        Raises:
            SettingsError: the tokenizer would take more memory.
        """
        most = sys.maxsize if max_size is None else max(0, max_size - len(specials))
        best = _Symbols([], [_NOTHING])
        occurrences = 0
        # How many symbols occur so often; the last number is of all that are more frequent.
        symbols_by_count = np.zeros(1 << 10, dtype=np.int64)
        for symbols, counts_S in parts:
            occurrences += int(counts_S.sum())
            is_frequent_S = counts_S >= min_count
            counts_S = counts_S[is_frequent_S]
            symbols_by_count += np.bincount(
                np.minimum(counts_S, len(symbols_by_count) - 1), minlength=len(symbols_by_count)
            )
            frequent = list(itertools.compress(symbols, is_frequent_S))
            best.symbols += frequent
            best.counts.append(counts_S)
            if room is not None:
                best.bytes += tokenizer_bytes(frequent)
                best.drop_rare(most, room)

        # Symbols are in ascending order, which a stable sort keeps where counts are equal.
        counts_S = np.concatenate(best.counts)
        order = np.argsort(-counts_S, kind="stable")[:most]
        if room is not None:
            wanted = min(int(symbols_by_count.sum()), most)
            fitting = best.fitting(order, room)
            if fitting < wanted:
                raise _no_room(wanted, fitting, symbols_by_count, len(specials), room)

        # All other words are unknown.
        totals: dict[str, int] = dict(specials)
        if UNKNOWN in totals:
            totals[UNKNOWN] += occurrences - int(counts_S[order].sum())
        ordered_symbols = list(map(best.symbols.__getitem__, order.tolist()))
        # All at once is faster, if no symbol holds a newline.
        texts = b"\n".join(ordered_symbols).decode("utf-8", "surrogatepass").split("\n")
        if len(texts) != len(ordered_symbols):
            texts = [symbol.decode("utf-8", "surrogatepass") for symbol in ordered_symbols]
        counts_V = np.concatenate([list(totals.values()), counts_S[order]]).astype(np.int64)
        return cls((*totals, *texts), counts_V)

    def to_bytes(self) -> bytes:
        """Return one line per symbol: count (`?` where it is not known), tab, symbol (backslash,
        tab, CR, LF and NUL escaped)."""
        counts: Iterable[object] = itertools.repeat(_NOT_KNOWN, len(self.symbols))
        if self.counts_V is not None:
            counts = self.counts_V.tolist()
        # Few symbols hold characters that are escaped.
        symbols = [
            symbol.translate(_ESCAPES) if _ESCAPED.search(symbol) else symbol
            for symbol in self.symbols
        ]
        lines = [f"{count}\t{symbol}\n" for count, symbol in zip(counts, symbols, strict=True)]
        return "".join(lines).encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """Return the vocabulary whose :meth:`to_bytes` gave `data`.

        Raises:
            ModelError: a line is not of that form, or a symbol occurs twice.
        """
        try:
            _check_lines(data)
            symbols: Sequence[str]
            if len(data) >= LEAST_STORED and b"\\" not in data:
                counts, symbols = _stored_symbols(data)
            else:
                # Counts and symbols take turns, which is faster to split than line by line.
                fields = data.decode("utf-8").removesuffix("\n").replace("\n", "\t").split("\t")
                counts = fields[::2] if data else []
                symbols = tuple(map(_unescape, fields[1::2]))
                if len(set(symbols)) != len(symbols):
                    raise ValueError("duplicate symbol")
            counts_V = None
            different = set(counts)
            if different != {_NOT_KNOWN}:
                # Most symbols are rare, so few counts differ.
                values = map({count: int(count) for count in different}.__getitem__, counts)
                counts_V = np.fromiter(values, dtype=np.int64, count=len(counts))
        except (ValueError, OverflowError) as error:
            raise ModelError("the vocabulary is damaged", str(error)) from None
        if counts_V is not None and counts_V.min(initial=0) < 0:
            raise ModelError("the vocabulary is damaged", "a count is below zero")
        return cls(symbols, counts_V)


def _check_lines(data: bytes) -> None:
    """Make sure that each line has one tab, and the last line its end."""
    if not data.endswith(b"\n") and data:
        raise ValueError("the last line is truncated")

    # Tabs and line ends must take turns.
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    tabs = np.flatnonzero(bytes_N == ord("\t"))
    ends = np.flatnonzero(bytes_N == ord("\n"))
    if len(tabs) != len(ends) or (tabs > ends).any() or (tabs[1:] < ends[:-1]).any():
        odd = next(line for line in data.split(b"\n") if line.count(b"\t") != 1)
        raise ValueError(f"no tab, or several, in {odd[:40].decode('utf-8', 'replace')!r}")


def _unescape(symbol: str) -> str:
    if "\\" not in symbol:
        return symbol
    head, *rest = symbol.split("\\")
    plain = [head]
    parts = iter(rest)
    for part in parts:
        if part == "":  # an escaped backslash splits into an empty part and the text after it
            plain.append("\\" + next(parts, ""))
        elif part[0] in _UNESCAPES:
            plain.append(_UNESCAPES[part[0]] + part[1:])
        else:
            raise ValueError(f"unknown escape in {symbol[:40]!r}")
    return "".join(plain)


# ---- The symbols of a large stored vocabulary. Making a string and an entry of a dictionary of a
# million words would take longer than the rest of a command that scores a line.

LEAST_STORED = 1 << 20  # bytes of a vocabulary
KEY_BYTES = 8
_BEFORE_SYMBOLS = b"\n" * (KEY_BYTES - 1)
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)  # odd, random bits


class StoredSymbols(Sequence[str]):
    """Symbols in UTF-8, each followed by a newline. Strings are made of those that are asked for.

    lines: the symbols, with eight newlines before them. sizes_V: their lengths in bytes.
    """

    def __init__(self, lines: bytes, sizes_V: np.ndarray) -> None:
        self.lines = lines
        self.ends_V = KEY_BYTES - 1 + np.cumsum(sizes_V + 1)
        self.starts_V = self.ends_V - sizes_V

    def __len__(self) -> int:
        return len(self.ends_V)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[id] for id in range(*place.indices(len(self))))
        return self._encoded(place).decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        return iter(joined_symbols(self).decode("utf-8").split("\n"))

    def ids_of(self, words: Sequence[bytes]) -> list[int]:
        """Return the ids of a few words; -1 for those that are not here."""
        sizes_W = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        asked = StoredSymbols(b"\n".join([_BEFORE_SYMBOLS, *words, b""]), sizes_W)
        # Comparing all keys with a few takes less time than sorting them would.
        candidates = np.flatnonzero(np.isin(self._keys_V, asked._keys_V)).tolist()
        id_of = {self._encoded(id): id for id in candidates}
        return [id_of.get(word, -1) for word in words]

    def _encoded(self, id: int) -> bytes:
        return self.lines[self.starts_V[id] : self.ends_V[id]]

    @functools.cached_property
    def _keys_V(self) -> np.ndarray:
        """A number of each symbol, which few others have: of its first and last eight bytes and its
        length. Of shorter symbols, all bytes are among the last eight, and count alone."""
        shape = (len(self.lines) - KEY_BYTES + 1,)
        eights_N = np.ndarray(shape, dtype="<u8", buffer=self.lines, strides=(1,))
        sizes_V = self.ends_V - self.starts_V
        foreign_V = KEY_BYTES - np.clip(sizes_V, 1, KEY_BYTES)
        last_V = eights_N[self.ends_V - KEY_BYTES] >> (8 * foreign_V).astype(np.uint64)
        first_V = eights_N[np.minimum(self.starts_V, len(eights_N) - 1)] * (foreign_V == 0)
        return (last_V * _FACTORS[0]) ^ (first_V * _FACTORS[1]) ^ sizes_V.astype(np.uint64)


def joined_symbols(symbols: Sequence[str]) -> bytes:
    """Return symbols in UTF-8, with newlines between them."""
    if isinstance(symbols, StoredSymbols):
        return symbols.lines[KEY_BYTES:-1]
    return "\n".join(symbols).encode("utf-8")


def _stored_symbols(data: bytes) -> tuple[list[str], StoredSymbols]:
    """Return the counts, as they are written, and the symbols of a file without escapes."""
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    tabs_V, ends_V = np.flatnonzero(bytes_N == ord("\t")), np.flatnonzero(bytes_N == ord("\n"))
    # Symbols, with the newlines behind them, begin behind tabs.
    change_N = np.zeros(len(data) + 1, dtype=np.int8)
    change_N[tabs_V + 1] = 1
    change_N[ends_V + 1] = -1
    is_symbol_N = np.cumsum(change_N[:-1], dtype=np.int8).view(bool)
    counts = bytes_N[~is_symbol_N].tobytes().decode("ascii").removesuffix("\t").split("\t")
    lines = _BEFORE_SYMBOLS + b"\n" + bytes_N[is_symbol_N].tobytes()
    lines.decode("utf-8")  # a ValueError where it is not
    return counts, StoredSymbols(lines, ends_V - tabs_V - 1)


# ---- The most frequent symbols, where memory is limited.

_NOTHING = np.zeros(0, dtype=np.int64)


# Raises SettingsError where a vocabulary of at least so many symbols, from so many tokens that
# were read, is too large for the work that follows.
VocabularyCheck = Callable[[int, int], None]


def accept_any_size(size: int, tokens_read: int) -> None:
    """Refuse no vocabulary."""


@dataclass(frozen=True)
class MemoryLimit:
    """Limits of a new vocabulary of words: bytes of memory while words are `counting`, and when the
    `vocabulary` is made; threads. Words that do not fit while they are counted are written in
    `folder`. check: called as the vocabulary grows."""

    counting: int
    vocabulary: int
    folder: Path
    threads: int = 1
    check: VocabularyCheck = accept_any_size


# Memory of a word of n bytes in a tokenizer: as a symbol, in its dictionary of ids, and in its file
# (measured: 300 to 370 bytes, at the moment when the file is written)
SYMBOL_BYTES, LETTER_BYTES = 300, 6
MOST_WAITING = 1 << 20  # bytes that symbols may take beside twice as many as fit


def tokenizer_bytes(symbols: Sequence[bytes]) -> int:
    """Return how much memory a tokenizer with these symbols takes."""
    return SYMBOL_BYTES * len(symbols) + LETTER_BYTES * sum(map(len, symbols))


@dataclass
class _Symbols:
    """Symbols in ascending order; their counts, joined; the memory of a tokenizer with them."""

    symbols: list[bytes]
    counts: list[np.ndarray]
    bytes: int = 0

    def drop_rare(self, most: int, room: int) -> None:
        """Drop all but the `most` frequent that fit, if many others are here. An entry needs a
        quarter of the memory it will need in the tokenizer."""
        if self.bytes <= 2 * room + MOST_WAITING:
            return
        counts_S = np.concatenate(self.counts)
        order = np.argsort(-counts_S, kind="stable")[:most]
        kept = np.sort(order[: self.fitting(order, room)])
        self.symbols = list(map(self.symbols.__getitem__, kept.tolist()))
        self.counts = [counts_S[kept]]
        self.bytes = tokenizer_bytes(self.symbols)

    def fitting(self, order: np.ndarray, room: int) -> int:
        """Return how many of the symbols fit, in that order."""
        length_S = np.array([len(symbol) for symbol in self.symbols], dtype=np.int64)
        ends = np.cumsum(SYMBOL_BYTES + LETTER_BYTES * length_S[order])
        return int(np.searchsorted(ends, room, side="right"))


def _no_room(
    wanted: int, fitting: int, symbols_by_count: np.ndarray, specials: int, room: int
) -> SettingsError:
    hints = []
    # The largest vocabulary that fits, in three digits, which are easier to read and to type
    largest = fitting + specials
    unit = 10 ** max(0, len(str(largest)) - 3)
    largest = largest // unit * unit
    if largest > specials:
        hints.append(keyword("max_vocab", int(largest)))

    # The least count that leaves few enough symbols, but some
    up_to_count = np.cumsum(symbols_by_count)
    left = up_to_count[-1] - up_to_count[:-1]  # left[c]: those that occur more often than c
    enough = np.flatnonzero(left <= fitting)
    if len(enough) and left[enough[0]]:
        hints.append(keyword("min_count", int(enough[0]) + 1))
    hints.append("more memory")
    return SettingsError(
        f"the vocabulary of {wanted:,} words does not fit in memory",
        f"{amount(room, unit='bytes')} hold {fitting:,}",
        "use " + joined_message(" or ", hints),
    )


# ---- base

VOCABULARY_FILE = "vocab.txt"
_BYTE = re.compile("<0x([0-9A-F]{2})>")


@keeps(Tokenizer)
class VocabularyTokenizer:
    """A tokenizer over a :class:`Vocabulary`.

    Subclasses have a `name`, `encode` and `_decode`.
    """

    name: str
    boundary_id = 0
    unk_id: int | None = 1
    relevant: tuple[str, ...] = ()  # the settings that shape its ids, for the fingerprint
    segmentation = ""  # other facts that shape them: a hash
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
    def rewriting(self) -> str:
        forms = (self.settings.normalise or "").replace(",", "+")
        normalised = f"normalise={forms}" if forms else ""
        removed = "punctuation=removed" if self.settings.remove_punctuation else ""
        return ",".join(filter(None, (normalised, removed)))

    @functools.cached_property
    def seen_text(self) -> tuple[str, bytes]:
        symbols = list(self.vocabulary.symbols)
        if self.counts_V is not None:
            symbols = list(itertools.compress(symbols, self.counts_V.tolist()))

        # Of bytes, the symbols are only names: the word <0x41> is a word.
        has_bytes = self.name in ("byte", "sentencepiece")
        texts = []
        single = []
        for symbol in symbols:
            byte = _BYTE.fullmatch(symbol) if has_bytes else None
            if byte:
                single.append(int(byte[1], 16))
            else:
                texts.append(symbol)
        return "\n".join(texts), bytes(single)

    @property
    def literal_unk(self) -> str:
        return self.settings.literal_unk

    @functools.cached_property
    def fingerprint(self) -> str:
        names = ("tokenizer", "lowercase", *self.relevant)
        shaping = [f"{name}={getattr(self.settings, name)}" for name in names]
        if self.rewriting:
            shaping.append(self.rewriting)
        symbols = joined_symbols(self.vocabulary.symbols)
        content = [*map(str.encode, shaping), symbols, self.segmentation.encode("utf-8")]
        return hashlib.sha256(b"\n".join(content)).hexdigest()[:12]

    def normalise(self, lines: Sequence[str]) -> Sequence[str]:
        return rewritten(lines, self.settings)

    def normalise_with_offsets(self, line: str) -> tuple[str, np.ndarray, np.ndarray]:
        traced = normalisation.trace(line, self.settings.normalise)
        if self.settings.remove_punctuation:
            traced = normalisation.trace_without_punctuation(traced)
        return normalisation.untraced(traced)

    def encode(self, lines: Sequence[str]) -> Encoded:
        raise NotImplementedError

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        check_ids(ids)
        return self._decode(ids)

    def surface(self, line: str) -> list[str]:
        return self.surfaces([line])[0]

    def surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        check_lines(lines)
        return self._surfaces(lines)

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        raise NotImplementedError

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        symbols = self.vocabulary.symbols
        return [[symbols[id] for id in self.encode([line]).ids] for line in lines]

    def symbols(self) -> list[str]:
        return list(self.vocabulary.symbols)

    def token_bytes(self) -> list[bytes]:
        texts = [symbol.encode("utf-8") for symbol in self.vocabulary.symbols]
        texts[self.boundary_id] = b"\n"
        return texts

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
        return asdict(self.settings)


def stored_vocabulary(files: dict[str, bytes], specials: tuple[str, ...]) -> Vocabulary:
    """Return the vocabulary of a model folder. Raise ModelError where the file is missing or
    damaged, or does not begin with the `specials`."""
    if VOCABULARY_FILE not in files:
        raise ModelError("the model has no vocabulary", f"{VOCABULARY_FILE} is missing")
    vocabulary = Vocabulary.from_bytes(files[VOCABULARY_FILE])
    if vocabulary.symbols[: len(specials)] != specials:
        raise ModelError(
            "the vocabulary is damaged", f"it does not begin with {' '.join(specials)}"
        )
    return vocabulary


def rewritten(lines: Sequence[str], settings: TokenizerSettings) -> Sequence[str]:
    """Return the lines as a tokenizer with these settings reads them, case apart: as they are where
    nothing is normalised or removed."""
    check_lines(lines)
    if not lines or not (settings.normalise or settings.remove_punctuation):
        return lines
    # A newline in a line makes two of it, which is noticed when the ids are split into lines.
    lines = normalisation.normalise("\n".join(lines), settings.normalise).split("\n")
    if not settings.remove_punctuation:
        return lines
    return list(map(normalisation.remove_punctuation, lines))


def check_lines(lines: Sequence[str]) -> None:
    """Check that a tokenizer was given several lines, each a str."""
    if isinstance(lines, Lines):
        return
    if isinstance(lines, (str, bytes)) or not hasattr(lines, "__len__"):
        raise ArgumentTypeError(
            f"a tokenizer's lines must be a list of str, not {given(lines)}",
            hint="a single line is [line]",
        )
    # All types at once are faster than line by line.
    if set(map(type, lines)) - {str}:
        for number, line in enumerate(lines):
            if not isinstance(line, str):
                raise ArgumentTypeError(
                    f"a tokenizer's lines[{number}] must be a str, not {given(line)}"
                )


def check_ids(ids: Sequence[int] | np.ndarray) -> None:
    """Check that the ids of tokens are whole numbers in one row."""
    wrong = ""
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            wrong = f"a {ids.ndim}-d array of {ids.dtype}"
    elif not isinstance(ids, Iterable):
        wrong = given(ids)
    else:
        for kind in set(map(type, ids)):
            if not hasattr(kind, "__index__"):
                wrong = f"a {type(ids).__name__} of {kind.__name__}"
    if wrong:
        raise ArgumentTypeError(
            f"a tokenizer's ids must be a list of int or a 1-d array of them, not {wrong}"
        )


def newline_error() -> TextError:
    return TextError("a line holds a newline", hint="give each line separately")


def cut_into_lines(
    ids: np.ndarray, boundary_id: int, lines: Sequence[str], oov: np.ndarray = _NOTHING
) -> Encoded:
    """Return `ids` with the offsets of `lines`, each of which ends in `boundary_id`."""
    ends = np.flatnonzero(ids == boundary_id) + 1
    # A line with a newline inside makes more ends than lines.
    if len(ends) != len(lines):
        raise newline_error()
    return Encoded(ids, np.concatenate(([0], ends)).astype(np.int64), oov)
