"""index.json of a prepared text, and unfinished.json, which is of the same form until the work is
done."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.errors import ModelError
from rnnlm.files.reading import read_json
from rnnlm.files.writing import FileEntry, replace_file, whole_name
from rnnlm.text.encoding import smallest

FORMAT_VERSION = 1
INDEX, JOURNAL = "index.json", "unfinished.json"
LARGEST_INDEX = 64 << 20
SHARD = re.compile(r"shard-\d{5,}\.safetensors")
OURS = re.compile(rf"{SHARD.pattern}|vocab\.txt|tokenizer\.model|index\.json|unfinished\.json")


@dataclass(frozen=True)
class Counts:
    """What is counted of a text: characters and bytes with each line's end, as evaluation counts
    them."""

    lines: int = 0
    documents: int = 0
    tokens: int = 0
    oov_tokens: int = 0
    words: int = 0
    oov_words: int = 0
    characters: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            *(getattr(self, name) + getattr(other, name) for name in Counts.__dataclass_fields__)
        )


@dataclass(frozen=True)
class Shard:
    """One file of consecutive lines. lines_hash: of the whole text up to its end, as
    :class:`rnnlm.text.encoding.LinesHash` has it."""

    name: str
    file_bytes: int
    sha256: str
    lines_hash: str
    counts: Counts


@dataclass(frozen=True)
class Sample:
    """The text that the vocabulary was made of. how: "all", "even" (stretches at even distances),
    "start", or the model that it is of."""

    how: str
    bytes: int


@dataclass(frozen=True)
class Index:
    """What the folder holds. request: what was asked for, so that the work goes on with the same
    alone."""

    request: dict[str, Any]
    text_settings: dict[str, Any]
    tokenizer: dict[str, Any]
    tokenizer_fingerprint: str
    vocabulary_size: int
    files: dict[str, FileEntry]
    sample: Sample
    shards: list[Shard] = field(default_factory=list)
    counts: Counts = Counts()
    lines_hash: str = ""
    format_version: int = FORMAT_VERSION

    def with_shards(self, shards: list[Shard]) -> "Index":
        """The same with these shards, and what they hold together."""
        counts = sum((shard.counts for shard in shards), Counts())
        return replace(
            self,
            shards=list(shards),
            counts=counts,
            lines_hash=shards[-1].lines_hash if shards else "",
        )


def is_ours(name: str) -> bool:
    """Whether a file of that name is one of a prepared text, or is about to be."""
    return bool(OURS.fullmatch(whole_name(name)))


def is_prepared(folder: str | Path) -> bool:
    """Whether there is a prepared text, finished or not."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in (INDEX, JOURNAL))


def read_index(folder: Path, name: str = INDEX) -> Index:
    """The index in `folder`, checked.

    Raises:
        ModelError: there is none, the work was not finished, or it is damaged, of a newer format,
            or names an unexpected file.
    """
    path = folder / name
    if name == INDEX and not path.is_file() and (folder / JOURNAL).is_file():
        raise ModelError(
            f"the text in {folder} is not prepared to its end",
            "preparation was interrupted",
            "continue with rnnlm prepare ... --resume",
        )
    if not path.is_file():
        raise ModelError(
            f"no prepared text in {folder}",
            f"there is no {name}",
            f"make it with rnnlm prepare TEXT -o {folder}",
        )
    index = read_json(
        path,
        Index,
        ModelError,
        _damaged(folder),
        newest=(f"the text in {folder}", FORMAT_VERSION),
        limit=LARGEST_INDEX,
    )
    if why := _disorder(index) or (
        name == INDEX and not index.counts.tokens and "it holds no tokens"
    ):
        raise ModelError(_damaged(folder), f"{name}: {why}")
    return index


def write_index(folder: Path, index: Index, name: str = INDEX) -> None:
    """Replace the index, at once.

    Raises:
        OSError: it cannot be written.
    """
    data = json.dumps(msgspec.to_builtins(index), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(folder / name, data.encode("utf-8", "backslashreplace") + b"\n")


def file_in(folder: Path, name: str, size: int) -> Path:
    """The path of a file that the index names, seen to be a plain file of that length.

    Raises:
        ModelError: it is not.
    """
    path = folder / name
    if os.path.islink(path) or not os.path.isfile(path):
        raise ModelError(
            _damaged(folder),
            f"{name} is missing, or is not a regular file",
            "prepare the text again with --overwrite",
        )
    if (found := os.path.getsize(path)) != size:
        raise ModelError(
            _damaged(folder),
            f"{name} has {found} bytes instead of {size}",
            "prepare the text again with --overwrite",
        )
    return path


def _damaged(folder: Path) -> str:
    return f"the prepared text in {folder} is damaged"


def _disorder(index: Index) -> str:
    """What is wrong with an index of the right form, or nothing."""
    names = [*index.files, *(shard.name for shard in index.shards)]
    strange = [name for name in names if not OURS.fullmatch(name)]
    if strange:
        return f"unexpected file name: {strange[0]!r}"
    if any(shard.name != shard_name(number) for number, shard in enumerate(index.shards)):
        return "its shards are not in order"
    totals = index.with_shards(index.shards)
    if any(
        value < 0 for each in index.shards for value in msgspec.to_builtins(each.counts).values()
    ):
        return "a count is below zero"
    return (
        ""
        if (totals.counts, totals.lines_hash) == (index.counts, index.lines_hash)
        else "its totals are not those of its shards"
    )


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


# ---- Consecutive lines as token ids, with all that is counted about each: what a shard holds.

COUNTS = ("tokens", "words", "oov_words", "characters", "bytes")
_SMALL = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True)
class EncodedLines:
    """L lines of N tokens.

    ids_N: in the tokenizer's compact type. oov: ascending positions in `ids_N` of unknown tokens.
    tokens_L, words_L, oov_words_L, characters_L, bytes_L: of each line, its end counted as a token,
    a character and a byte. document_lines: the lines that begin a document.
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
        return {
            name: int(getattr(self, f"{name}_L")[start:stop].sum(dtype=np.int64)) for name in COUNTS
        }

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
        """Arrays by name, as a shard stores them: in small types, without what follows from the
        others."""
        arrays = {
            "ids": self.ids_N,
            "oov": self.oov.astype(np.uint32),
            "bytes": smallest(self.bytes_L),
            "tokens": smallest(self.tokens_L),
        }
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
            oov_words_L=arrays["oov_words"].astype(np.int64)
            if "oov_words" in arrays
            else _per_line(oov, tokens_L),
            characters_L=arrays["characters"].astype(np.int64)
            if "characters" in arrays
            else bytes_L,
            bytes_L=bytes_L,
            document_lines=arrays.get("document_lines", np.zeros(0, dtype=np.uint32)).astype(
                np.int64
            ),
        )

    def _oov_L(self) -> np.ndarray:
        return _per_line(self.oov, self.tokens_L)


def joined(parts: Sequence[EncodedLines]) -> EncodedLines:
    """Lines that follow one upon the other."""
    tokens = np.cumsum([0, *(len(part.ids_N) for part in parts)])
    lines = np.cumsum([0, *map(len, parts)])
    counts = {
        f"{name}_L": np.concatenate([getattr(part, f"{name}_L") for part in parts])
        for name in COUNTS
    }
    return EncodedLines(
        ids_N=np.concatenate([part.ids_N for part in parts]),
        oov=np.concatenate([part.oov + at for part, at in zip(parts, tokens, strict=False)]),
        document_lines=np.concatenate(
            [part.document_lines + at for part, at in zip(parts, lines, strict=False)]
        ),
        **counts,
    )


def check(
    arrays: Mapping[str, np.ndarray], lines: int, tokens: int, ids_type: type[np.integer]
) -> None:
    """Whether `arrays` can be those of a shard with so many lines and tokens; nothing but their
    types and lengths is read.

    Raises:
        ModelError: they cannot.
    """
    lengths = {
        "ids": tokens,
        "tokens": lines,
        "bytes": lines,
        "characters": lines,
        "words": lines,
        "oov_words": lines,
    }
    if missing := {"ids", "oov", "tokens", "bytes"} - arrays.keys():
        raise ModelError("the shard is damaged", f"it has no array {min(missing)!r}")
    for name, array in arrays.items():
        kinds = (ids_type,) if name == "ids" else _SMALL
        fits = (
            array.ndim == 1 and array.dtype in kinds and len(array) == lengths.get(name, len(array))
        )
        if not fits or name not in {*lengths, "oov", "document_lines"}:
            raise ModelError("the shard is damaged", f"array {name!r} does not match the index")


def _per_line(oov: np.ndarray, tokens_L: np.ndarray) -> np.ndarray:
    """How many of the positions `oov` each line has, int64."""
    return np.diff(np.searchsorted(oov, np.cumsum(tokens_L, dtype=np.int64)), prepend=0)
