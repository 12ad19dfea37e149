"""The symbols of a tokenizer in the order of their ids, with their training counts, and their file `vocab.txt`."""

from collections import Counter
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from rnnlm.errors import ModelError

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
_NOT_KNOWN = "?"  # stands for each count where none is known
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}


@dataclass(frozen=True)
class Vocabulary:
    """symbols: id to symbol. counts_V: int64, how often each occurs in the training text; None where that is not known."""

    symbols: tuple[str, ...]
    counts_V: np.ndarray | None

    @classmethod
    def from_counts(cls, counts: Counter[str], specials: dict[str, int], min_count: int = 1, max_size: int | None = None) -> "Vocabulary":
        """`specials` (symbol to count) first, then the symbols of `counts` by descending count, ties by spelling.

        Symbols below `min_count`, or beyond `max_size` in all, are left out; their occurrences are added to the
        count of the special symbol `<unk>` where there is one.
        """
        ordered = sorted(
            ((symbol, count) for symbol, count in counts.items() if count >= min_count and symbol not in specials),
            key=lambda item: (-item[1], item[0]),
        )
        if max_size is not None:
            ordered = ordered[: max(0, max_size - len(specials))]
        totals = dict(specials)
        if "<unk>" in totals:
            totals["<unk>"] += sum(counts.values()) - sum(count for _, count in ordered)
        entries = [*totals.items(), *ordered]
        return cls(tuple(symbol for symbol, _ in entries), np.array([count for _, count in entries], dtype=np.int64))

    def to_bytes(self) -> bytes:
        """One line per symbol: count (`?` where it is not known), tab, symbol (backslash, tab, CR, LF and NUL escaped)."""
        counts = repeat(_NOT_KNOWN, len(self.symbols)) if self.counts_V is None else self.counts_V
        lines = (f"{count}\t{_escape(symbol)}\n" for count, symbol in zip(counts, self.symbols, strict=True))
        return "".join(lines).encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """The inverse of :meth:`to_bytes`.

        Raises:
            ModelError: a line is not of that form, or a symbol occurs twice.
        """
        try:
            _check_lines(data)
            fields = data.decode("utf-8").removesuffix("\n").replace("\n", "\t").split("\t") if data else []
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
