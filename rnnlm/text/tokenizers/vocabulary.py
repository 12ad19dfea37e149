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

from rnnlm import arrays
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
from rnnlm.text.tokenizer_settings import CCNET, TokenizerSettings

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
        best = _Symbols()
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
            best.add(list(itertools.compress(symbols, is_frequent_S)), counts_S)
            if room is not None:
                best.drop_rare(most, room)

        # Symbols are in ascending order, which a stable sort keeps where counts are equal.
        best.join()
        order = best.by_count(most)
        if room is not None:
            wanted = min(int(symbols_by_count.sum()), most)
            fitting = best.fitting(order, room)
            if fitting < wanted:
                raise _no_room(wanted, fitting, symbols_by_count, len(specials), room)

        # All other words are unknown.
        best.take(order)
        totals: dict[str, int] = dict(specials)
        if UNKNOWN in totals:
            totals[UNKNOWN] += occurrences - int(best.counts_S.sum())
        counts_V = np.concatenate([list(totals.values()), best.counts_S]).astype(np.int64)
        return cls(best.behind(list(totals)), counts_V)

    def to_bytes(self) -> bytes:
        """Return one line per symbol: count (`?` where it is not known), tab, symbol (backslash,
        tab, CR, LF and NUL escaped)."""
        # Block by block: strings of all symbols would take much memory.
        blocks = []
        for here in arrays.blocks(len(self.symbols), AT_ONCE):
            counts: Iterable[object] = itertools.repeat(_NOT_KNOWN)
            if self.counts_V is not None:
                counts = self.counts_V[here].tolist()
            # Few symbols hold characters that are escaped.
            symbols = [
                symbol.translate(_ESCAPES) if _ESCAPED.search(symbol) else symbol
                for symbol in self.symbols[here]
            ]
            lines = [f"{count}\t{symbol}\n" for count, symbol in zip(counts, symbols, strict=False)]
            blocks.append("".join(lines).encode("utf-8"))
        return b"".join(blocks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """Return the vocabulary whose :meth:`to_bytes` gave `data`.

        Raises:
            ModelError: a line is not of that form, or a symbol occurs twice.
        """
        try:
            _check_lines(data)
            stored = _stored_symbols(data) if len(data) >= LEAST_STORED else None
            if stored is not None:
                return cls(*stored)
            # Counts and symbols take turns, which is faster to split than line by line.
            fields = data.decode("utf-8").removesuffix("\n").replace("\n", "\t").split("\t")
            symbols = tuple(map(_unescape, fields[1::2]))
            if len(set(symbols)) != len(symbols):
                raise ValueError("duplicate symbol")
            counts_V = _parsed([fields[::2]] if data else [])
        except (ValueError, OverflowError) as error:
            raise ModelError("the vocabulary is damaged", str(error)) from None
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


def _parsed(blocks: Iterable[list[str]]) -> np.ndarray | None:
    """Return the counts that are written in these fields; None where none is known."""
    # Most symbols are rare, so few counts differ.
    values: dict[str, int] = {}
    counts = [_NOTHING]
    unknown = 0
    for fields in blocks:
        different = set(fields)
        if different == {_NOT_KNOWN}:
            unknown += len(fields)
            continue
        values.update({count: int(count) for count in different - values.keys()})
        parsed = map(values.__getitem__, fields)
        counts.append(np.fromiter(parsed, dtype=np.int64, count=len(fields)))
    counts_V = np.concatenate(counts)
    if unknown and len(counts_V):
        raise ValueError("some counts are not known")
    if counts_V.min(initial=0) < 0:
        raise ValueError("a count is below zero")
    return None if unknown else counts_V


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
AT_ONCE = 1 << 16  # symbols that are handled at a time
_BEFORE_SYMBOLS = b"\n" * (KEY_BYTES - 1)
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)  # odd, random bits


class StoredSymbols(Sequence[str]):
    """Symbols in UTF-8, each followed by a newline. Strings are made of those that are asked for.

    lines: the symbols, with eight newlines before them. sizes_V: their lengths in bytes.
    """

    def __init__(self, lines: bytes, sizes_V: np.ndarray) -> None:
        self.lines = lines
        self.ends_V = np.cumsum(sizes_V, dtype=np.int64)
        self.ends_V += np.arange(KEY_BYTES, KEY_BYTES + len(sizes_V))

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

    @classmethod
    def of(cls, words: Sequence[bytes]) -> "StoredSymbols":
        sizes_W = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        return cls(b"\n".join([_BEFORE_SYMBOLS, *words, b""]), sizes_W)

    def ids_of_few(self, words: Sequence[bytes]) -> list[int]:
        """Return the ids of a few words; -1 for those that are not here."""
        # Comparing all keys with a few takes less time than sorting them would.
        asked = StoredSymbols.of(words)._keys(slice(0, len(words)))
        candidates = [
            np.flatnonzero(np.isin(self._keys(here), asked)) + here.start
            for here in arrays.blocks(len(self), AT_ONCE)
        ]
        id_of = {self._encoded(id): id for id in np.concatenate(candidates).tolist()}
        return [id_of.get(word, -1) for word in words]

    def ids_of(self, words: Sequence[bytes]) -> np.ndarray:
        """Return the ids of words, int32; -1 for those that are not here."""
        if not len(words):
            return np.zeros(0, np.int32)
        # Block by block: the bytes of all words would take much memory.
        blocks = arrays.blocks(len(words), AT_ONCE)
        return np.concatenate([self._ids_in_block(words[here]) for here in blocks])

    def _ids_in_block(self, words: Sequence[bytes]) -> np.ndarray:
        keys_V, ids_V, twins = self._sorted
        asked = StoredSymbols.of(words)
        keys_W = asked._keys(slice(0, len(words)))
        places_W = np.minimum(keys_V.searchsorted(keys_W), len(keys_V) - 1)
        ids_W = np.where(keys_V[places_W] == keys_W, ids_V[places_W], np.int32(-1))

        # Equal keys may be of other words: compare the bytes.
        found = np.flatnonzero(ids_W >= 0)
        if len(found):
            is_same = self._compared(ids_W[found], asked, found)
            for number in found[~is_same].tolist():
                ids_W[number] = twins.get(words[number], -1)
        return ids_W

    def _compared(
        self, ids: np.ndarray, other: "StoredSymbols", other_ids: np.ndarray
    ) -> np.ndarray:
        """Return which of these symbols are those of the other ones."""
        starts, sizes = self._starts(ids), self._sizes(ids)
        is_same = sizes == other._sizes(other_ids)
        # Bytes of symbols of one length lie one after the other.
        lengths = np.where(is_same, sizes, 0)
        firsts = np.cumsum(lengths) - lengths
        within = np.arange(int(lengths.sum())) - np.repeat(firsts, lengths)
        own = np.frombuffer(self.lines, np.uint8)[within + np.repeat(starts, lengths)]
        others = np.frombuffer(other.lines, np.uint8)
        others = others[within + np.repeat(other._starts(other_ids), lengths)]
        differing = np.searchsorted(firsts, np.flatnonzero(own != others), side="right") - 1
        is_same[differing] = False
        return is_same

    @functools.cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray, dict[bytes, int]]:
        """The keys, ascending; the id of each; and the ids of the words that share their keys."""
        keys_V = np.empty(len(self), np.uint64)
        for here in arrays.blocks(len(self), AT_ONCE):
            keys_V[here] = self._keys(here)
        ids_V = np.argsort(keys_V).astype(np.int32)
        keys_V.sort()
        is_equal = keys_V[1:] == keys_V[:-1]
        shared = np.append(is_equal, False) | np.append(False, is_equal)
        ids = ids_V[shared].tolist()
        twins = {self._encoded(id): id for id in ids}
        if len(twins) < len(ids):
            raise ModelError("the vocabulary is damaged", "duplicate symbol")
        return keys_V, ids_V, twins

    def _starts(self, ids: np.ndarray) -> np.ndarray:
        return np.where(ids > 0, self.ends_V[ids - 1] + 1, KEY_BYTES)

    def _sizes(self, ids: np.ndarray) -> np.ndarray:
        return self.ends_V[ids] - self._starts(ids)

    def _encoded(self, id: int) -> bytes:
        start = int(self.ends_V[id - 1]) + 1 if id % len(self) else KEY_BYTES
        return self.lines[start : self.ends_V[id]]

    def _keys(self, here: slice) -> np.ndarray:
        """Return a number of each symbol in a range, which few others have: of its first and last
        eight bytes and its length. Of symbols up to that length, the last ones are all."""
        shape = (len(self.lines) - KEY_BYTES + 1,)
        eights_N = np.ndarray(shape, dtype="<u8", buffer=self.lines, strides=(1,))
        ends = self.ends_V[here]
        starts = self._starts(np.arange(here.start, here.start + len(ends)))
        sizes = ends - starts
        foreign = KEY_BYTES - np.clip(sizes, 1, KEY_BYTES)
        last = eights_N[ends - KEY_BYTES] >> (8 * foreign).astype(np.uint64)
        first = eights_N[np.minimum(starts, len(eights_N) - 1)] * (sizes > KEY_BYTES)
        return (last * _FACTORS[0]) ^ (first * _FACTORS[1]) ^ sizes.astype(np.uint64)


def joined_symbols(symbols: Sequence[str]) -> bytes:
    """Return symbols in UTF-8, with newlines between them."""
    if isinstance(symbols, StoredSymbols):
        return symbols.lines[KEY_BYTES:-1]
    return "\n".join(symbols).encode("utf-8")


def _stored_symbols(data: bytes) -> tuple[StoredSymbols, np.ndarray | None] | None:
    """Return the symbols and counts of a file; None where a symbol holds a newline."""
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    ends_V = np.flatnonzero(bytes_N == ord("\n")) + 1
    lines = [_BEFORE_SYMBOLS, b"\n"]
    sizes = []
    counts = []
    # Of each line, the count lies before the tab, and the symbol with its newline behind.
    for here in arrays.blocks(len(ends_V), AT_ONCE):
        start, stop = int(ends_V[here.start - 1]) if here.start else 0, int(ends_V[here.stop - 1])
        fields = data[start:stop].replace(b"\n", b"\t").split(b"\t")
        symbols = [
            _unescape(symbol.decode("utf-8")).encode("utf-8") if b"\\" in symbol else symbol
            for symbol in fields[1::2]
        ]
        sizes.append(np.fromiter(map(len, symbols), dtype=np.int64, count=len(symbols)))
        lines.append(b"\n".join([*symbols, b""]))
        counts.append(b"\t".join(fields[:-1:2]).decode("ascii"))
    joined = b"".join(lines)
    joined.decode("utf-8")  # a ValueError where it is not
    if joined.count(b"\n") != KEY_BYTES + len(ends_V):
        return None
    parsed = _parsed(fields.split("\t") for fields in counts)
    return StoredSymbols(joined, np.concatenate(sizes)), parsed


# ---- The most frequent symbols, where memory is limited.

_NOTHING = np.zeros(0, dtype=np.int64)


# Raises SettingsError where a vocabulary of at least so many symbols, from so many tokens that
# were read, is too large for the work that follows; the share of the text that they are, if known.
VocabularyCheck = Callable[[int, int, float | None], None]


def accept_any_size(size: int, tokens_read: int, share: float | None) -> None:
    """Refuse no vocabulary."""


def no_share() -> float | None:
    """Know no share of the text that was read."""
    return None


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
    share: Callable[[], float | None] = no_share  # of the text that was read


# Memory of a word of n bytes in a tokenizer, at the moment when that is made (measured)
SYMBOL_BYTES, LETTER_BYTES = 80, 4
MOST_WAITING = 1 << 20  # bytes that symbols may take beside twice as many as fit


class _Symbols:
    """Symbols in ascending order, one after the other, with their sizes and counts; the memory of a
    tokenizer with them."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._sizes: list[np.ndarray] = [_NOTHING]
        self._counts: list[np.ndarray] = [_NOTHING]
        self.bytes = 0

    def add(self, symbols: Sequence[bytes], counts_S: np.ndarray) -> None:
        sizes = np.fromiter(map(len, symbols), dtype=np.int32, count=len(symbols))
        self._texts.append(b"".join(symbols))
        self._sizes.append(sizes)
        self._counts.append(counts_S.astype(np.min_scalar_type(int(counts_S.max(initial=0)))))
        self.bytes += SYMBOL_BYTES * len(symbols) + LETTER_BYTES * len(self._texts[-1])

    def join(self) -> None:
        """Join all parts: `text`, sizes_S, counts_S."""
        self.text = b"".join(self._texts)
        self.sizes_S = np.concatenate(self._sizes, dtype=np.int32, casting="unsafe")
        self.counts_S = np.concatenate(self._counts).astype(np.int64)
        self._texts, self._sizes, self._counts = [self.text], [self.sizes_S], [self.counts_S]

    def by_count(self, most: int) -> np.ndarray:
        """Return the places of the `most` frequent ones. A stable sort keeps the order of the
        alphabet where counts are equal."""
        return np.argsort(-self.counts_S, kind="stable")[:most]

    def take(self, order: np.ndarray) -> None:
        """Keep these symbols alone, in that order."""
        bytes_N = np.frombuffer(self.text, np.uint8)
        starts_S = np.cumsum(self.sizes_S, dtype=np.int64) - self.sizes_S
        self._texts = []
        for here in arrays.blocks(len(order), AT_ONCE):
            places = order[here]
            sizes = self.sizes_S[places]
            firsts = starts_S[places] - (np.cumsum(sizes) - sizes)
            within = np.arange(int(sizes.sum())) + np.repeat(firsts, sizes)
            self._texts.append(bytes_N[within].tobytes())
        self._sizes, self._counts = [self.sizes_S[order]], [self.counts_S[order]]
        self.join()
        self.bytes = SYMBOL_BYTES * len(order) + LETTER_BYTES * len(self.text)

    def drop_rare(self, most: int, room: int) -> None:
        """Drop all but the `most` frequent that fit, if many others are here. An entry needs a
        quarter of the memory it will need in the tokenizer."""
        if self.bytes <= 2 * room + MOST_WAITING:
            return
        self.join()
        order = self.by_count(most)
        self.take(np.sort(order[: self.fitting(order, room)]))

    def fitting(self, order: np.ndarray, room: int) -> int:
        """Return how many of the symbols fit, in that order."""
        ends = np.cumsum(SYMBOL_BYTES + LETTER_BYTES * self.sizes_S[order].astype(np.int64))
        return int(np.searchsorted(ends, room, side="right"))

    def behind(self, specials: Sequence[str]) -> Sequence[str]:
        """Return the symbols behind special ones: stored, if they are many, without newlines."""
        is_stored = len(self.text) >= LEAST_STORED and b"\n" not in self.text
        lines = [_BEFORE_SYMBOLS, b"\n", *(f"{special}\n".encode() for special in specials)]
        texts = list(specials) if not is_stored else []
        ends_S = np.cumsum(self.sizes_S, dtype=np.int64)
        for here in arrays.blocks(len(ends_S), AT_ONCE):
            start = int(ends_S[here.start] - self.sizes_S[here.start])
            ends = ends_S[here].tolist()
            pairs = itertools.pairwise([start, *ends])
            symbols = [self.text[start:end] for start, end in pairs]
            if is_stored:
                lines.append(b"\n".join([*symbols, b""]))
            else:
                texts += [symbol.decode("utf-8", "surrogatepass") for symbol in symbols]
        if not is_stored:
            return tuple(texts)
        special_sizes = [len(line) - 1 for line in lines[2 : 2 + len(specials)]]
        return StoredSymbols(b"".join(lines), np.append(special_sizes, self.sizes_S))


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
        return not (self.settings.lowercase or self.settings.normalise == CCNET)

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
