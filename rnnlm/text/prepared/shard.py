"""Consecutive lines as token ids, with all that is counted about each: what a shard holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.text.encoding import smallest

COUNTS = ("tokens", "words", "oov_words", "characters", "bytes")
_SMALL = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True)
class EncodedLines:
    """L lines of N tokens.

    ids_N: in the tokenizer's compact type. oov: ascending positions in `ids_N` of unknown tokens. tokens_L, words_L, oov_words_L,
    characters_L, bytes_L: of each line, its end counted as a token, a character and a byte. document_lines: the lines that begin
    a document.
    """

    ids_N: np.ndarray
    oov: np.ndarray
    tokens_L: np.ndarray
    words_L: np.ndarray
    oov_words_L: np.ndarray
    characters_L: np.ndarray
    bytes_L: np.ndarray
    document_lines: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens_L)

    @cached_property
    def ends_L(self) -> np.ndarray:
        """Where in `ids_N` each line ends."""
        return np.cumsum(self.tokens_L, dtype=np.int64)

    def totals(self, start: int = 0, stop: int | None = None) -> dict[str, int]:
        """What is counted of the lines from `start` to `stop`, by name."""
        return {name: int(getattr(self, f"{name}_L")[start:stop].sum(dtype=np.int64)) for name in COUNTS}

    def cut(self, lines: int) -> tuple["EncodedLines", "EncodedLines"]:
        """The first so many lines, and the others."""
        return self._between(0, lines), self._between(lines, len(self))

    def _between(self, start: int, stop: int) -> "EncodedLines":
        first, last = (int(self.ends_L[at - 1]) if at else 0 for at in (start, stop))
        oov = self.oov[np.searchsorted(self.oov, first) : np.searchsorted(self.oov, last)] - first
        borders = self.document_lines
        borders = borders[(borders >= start) & (borders < stop)] - start
        counts = {f"{name}_L": getattr(self, f"{name}_L")[start:stop] for name in COUNTS}
        return EncodedLines(ids_N=self.ids_N[first:last], oov=oov, document_lines=borders, **counts)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, as a shard stores them: in small types, without what follows from the others."""
        arrays = {"ids": self.ids_N, "oov": self.oov.astype(np.uint32), "bytes": smallest(self.bytes_L), "tokens": smallest(self.tokens_L)}
        if not np.array_equal(self.characters_L, self.bytes_L):
            arrays["characters"] = smallest(self.characters_L)
        if not np.array_equal(self.words_L, self.tokens_L - 1):
            arrays["words"] = smallest(self.words_L)
        if not np.array_equal(self.oov_words_L, self._oov_L()):
            arrays["oov_words"] = smallest(self.oov_words_L)
        if len(self.document_lines):
            arrays["document_lines"] = self.document_lines.astype(np.uint32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "EncodedLines":
        """The inverse of :meth:`to_arrays`; `arrays` as :func:`check` wants them."""
        tokens_L = arrays["tokens"].astype(np.int64)
        bytes_L = arrays["bytes"].astype(np.int64)
        oov = arrays["oov"].astype(np.int64)
        return cls(
            ids_N=arrays["ids"],
            oov=oov,
            tokens_L=tokens_L,
            words_L=arrays["words"].astype(np.int64) if "words" in arrays else tokens_L - 1,
            oov_words_L=arrays["oov_words"].astype(np.int64) if "oov_words" in arrays else _per_line(oov, tokens_L),
            characters_L=arrays["characters"].astype(np.int64) if "characters" in arrays else bytes_L,
            bytes_L=bytes_L,
            document_lines=arrays.get("document_lines", np.zeros(0, dtype=np.uint32)).astype(np.int64),
        )

    def _oov_L(self) -> np.ndarray:
        return _per_line(self.oov, self.tokens_L)


def joined(parts: Sequence[EncodedLines]) -> EncodedLines:
    """Lines that follow one upon the other."""
    tokens = np.cumsum([0, *(len(part.ids_N) for part in parts)])
    lines = np.cumsum([0, *map(len, parts)])
    counts = {f"{name}_L": np.concatenate([getattr(part, f"{name}_L") for part in parts]) for name in COUNTS}
    return EncodedLines(
        ids_N=np.concatenate([part.ids_N for part in parts]),
        oov=np.concatenate([part.oov + at for part, at in zip(parts, tokens, strict=False)]),
        document_lines=np.concatenate([part.document_lines + at for part, at in zip(parts, lines, strict=False)]),
        **counts,
    )


def check(arrays: Mapping[str, np.ndarray], lines: int, tokens: int, ids_type: type[np.integer]) -> None:
    """Whether `arrays` can be those of a shard with so many lines and tokens; nothing but their types and lengths is read.

    Raises:
        ModelError: they cannot.
    """
    lengths = {"ids": tokens, "tokens": lines, "bytes": lines, "characters": lines, "words": lines, "oov_words": lines}
    if missing := {"ids", "oov", "tokens", "bytes"} - arrays.keys():
        raise ModelError("the shard is damaged", f"it has no array {min(missing)!r}")
    for name, array in arrays.items():
        kinds = (ids_type,) if name == "ids" else _SMALL
        fits = array.ndim == 1 and array.dtype in kinds and len(array) == lengths.get(name, len(array))
        if not fits or name not in {*lengths, "oov", "document_lines"}:
            raise ModelError("the shard is damaged", f"array {name!r} does not match the index")


def _per_line(oov: np.ndarray, tokens_L: np.ndarray) -> np.ndarray:
    """How many of the positions `oov` each line has, int64."""
    return np.diff(np.searchsorted(oov, np.cumsum(tokens_L, dtype=np.int64)), prepend=0)
