"""index.json of a prepared text, and unfinished.json, which has the same form until the work is
done."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.storage.files.folder import FolderFiles
from rnnlm.storage.files.reading import read_json
from rnnlm.storage.files.writing import FileEntry, whole_name, write_facts
from rnnlm.system import quoted
from rnnlm.text.encoding import shifted, smallest
from rnnlm.tools.prepared.folder import INDEX, JOURNAL

FORMAT_VERSION = 1
PREPARED_TEXT = "text"  # how a folder begins that is made for one run, among its temporary files
LARGEST_INDEX = 64 << 20
SHARD = re.compile(r"shard-\d{5,}\.safetensors")
OURS = re.compile(
    rf"{SHARD.pattern}|vocab\.txt|tokenizer\.model|tokenizer(-ids)?\.json|index\.json|"
    r"unfinished\.json"
)


@dataclass(frozen=True)
class TextCounts:
    """Counts of a text. Characters and bytes include each line's end, as in evaluation."""

    lines: int = 0
    documents: int = 0
    tokens: int = 0
    oov_tokens: int = 0
    words: int = 0
    oov_words: int = 0
    characters: int = 0
    bytes: int = 0

    def __add__(self, other: "TextCounts") -> "TextCounts":
        names = TextCounts.__dataclass_fields__
        return TextCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Shard:
    """One file of consecutive lines. lines_hash: a :class:`rnnlm.text.encoding.LinesHash` over the
    text from its beginning to the end of this shard."""

    name: str
    file_bytes: int
    sha256: str
    lines_hash: str
    counts: TextCounts


@dataclass(frozen=True)
class TokenizerSample:
    """The text that the vocabulary was made from. how: "all", "even" (stretches at even distances),
    "start", or the model that the vocabulary belongs to."""

    how: str
    bytes: int


@dataclass(frozen=True)
class PreparedIndex:
    """The content of the folder. identity: of the work, by :mod:`rnnlm.storage.files.resuming`.
    text: the names of the sources."""

    identity: dict[str, str]
    text: list[str]
    text_settings: dict[str, Any]
    tokenizer: dict[str, Any]
    tokenizer_fingerprint: str
    vocabulary_size: int
    files: dict[str, FileEntry]
    sample: TokenizerSample
    shards: list[Shard] = field(default_factory=list)
    counts: TextCounts = TextCounts()
    lines_hash: str = ""
    format_version: int = FORMAT_VERSION

    def with_shards(self, shards: list[Shard]) -> "PreparedIndex":
        """Return the index with these shards, and the totals over them."""
        counts = sum((shard.counts for shard in shards), TextCounts())
        lines_hash = shards[-1].lines_hash if shards else ""
        return replace(self, shards=list(shards), counts=counts, lines_hash=lines_hash)


def is_ours(name: str) -> bool:
    """Return whether a file of that name belongs to a prepared text, or will."""
    return bool(OURS.fullmatch(whole_name(name)))


def index_name(folder: Path) -> str:
    """Return the name of the index in the folder: of a whole text, else of one so far."""
    return INDEX if (folder / INDEX).is_file() else JOURNAL


def read_index(folder: Path, name: str = INDEX) -> PreparedIndex:
    """Return the index in `folder`, checked. A ModelError reports its fault."""
    path = folder / name
    if name == INDEX and not path.is_file() and (folder / JOURNAL).is_file():
        raise ModelError(
            f"the text in {folder} is only partly prepared",
            "preparation was interrupted",
            "run the same rnnlm prepare to resume it",
        )
    if not path.is_file():
        raise ModelError(
            f"no prepared text in {folder}",
            f"there is no {name}",
            f"make it with rnnlm prepare TEXT -o {quoted(str(folder))}",
        )
    index = read_json(
        path,
        PreparedIndex,
        ModelError,
        files_of(folder).damaged,
        format=(f"the text in {folder}", FORMAT_VERSION),
        limit=LARGEST_INDEX,
        has_hash=True,
    )
    why = _disorder(index)
    # A journal may be without tokens still.
    if not why and name == INDEX and not index.counts.tokens:
        why = "it holds no tokens"
    if why:
        raise files_of(folder).error(f"{name}: {why}")
    return index


def write_index(folder: Path, index: PreparedIndex, name: str = INDEX) -> None:
    """Replace the index, at once."""
    write_facts(folder / name, index)


def files_of(folder: Path) -> FolderFiles:
    """Return the files of the prepared text in a folder, to be checked."""
    hint = "prepare the text again: rnnlm prepare ... --overwrite"
    return FolderFiles(folder, f"the prepared text in {folder} is damaged", hint)


def _disorder(index: PreparedIndex) -> str:
    """Return the fault of an index of the right form, or ""."""
    # No name may lead out of the folder.
    names = [*index.files, *(shard.name for shard in index.shards)]
    strange = [name for name in names if not OURS.fullmatch(name)]
    if strange:
        return f"unexpected file name: {strange[0]!r}"

    if any(shard.name != shard_name(number) for number, shard in enumerate(index.shards)):
        return "its shards are not in order"
    if any(count < 0 for shard in index.shards for count in vars(shard.counts).values()):
        return "a count is below zero"
    totals = index.with_shards(index.shards)
    if (totals.counts, totals.lines_hash) != (index.counts, index.lines_hash):
        return "its totals are not those of its shards"
    return ""


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


# ---- The content of a shard: consecutive lines as token ids, with all that is counted about each.

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
        """The place in `ids_N` where each line ends."""
        return np.cumsum(self.tokens_L, dtype=np.int64)

    def totals(self) -> dict[str, int]:
        """Return the sums over all lines, by name."""
        return {
            name: int(counts_L.sum(dtype=np.int64)) for name, counts_L in self._counts().items()
        }

    def _counts(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, f"{name}_L") for name in COUNTS}

    def split_at(self, lines: int) -> tuple["EncodedLines", "EncodedLines"]:
        """Return the first `lines` lines, and the others."""
        return self._between(0, lines), self._between(lines, len(self))

    def _between(self, start: int, stop: int) -> "EncodedLines":
        first = int(self.ends_L[start - 1]) if start else 0
        last = int(self.ends_L[stop - 1]) if stop else 0
        first_oov, last_oov = np.searchsorted(self.oov, [first, last])
        is_inside = (self.document_lines >= start) & (self.document_lines < stop)
        counts = {f"{name}_L": counts_L[start:stop] for name, counts_L in self._counts().items()}
        return EncodedLines(
            ids_N=self.ids_N[first:last],
            oov=self.oov[first_oov:last_oov] - first,
            document_lines=self.document_lines[is_inside] - start,
            **counts,
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return arrays by name, as a shard stores them: in small types, and only arrays that do
        not follow from the others."""
        arrays = {
            "ids": self.ids_N,
            "oov": self.oov.astype(np.uint32),
            "bytes": smallest(self.bytes_L),
            "tokens": smallest(self.tokens_L),
        }
        # In ASCII each byte is a character; to a word tokenizer each word is a token.
        if not np.array_equal(self.characters_L, self.bytes_L):
            arrays["characters"] = smallest(self.characters_L)
        if not np.array_equal(self.words_L, self.tokens_L - 1):
            arrays["words"] = smallest(self.words_L)
        if not np.array_equal(self.oov_words_L, _per_line(self.oov, self.tokens_L)):
            arrays["oov_words"] = smallest(self.oov_words_L)
        if len(self.document_lines):
            arrays["document_lines"] = self.document_lines.astype(np.uint32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "EncodedLines":
        """Return the lines whose :meth:`to_arrays` gave `arrays`, which :func:`check` has
        passed."""
        counts = {name: array.astype(np.int64) for name, array in arrays.items() if name != "ids"}
        tokens_L = counts["tokens"]
        bytes_L = counts["bytes"]
        oov = counts["oov"]

        # Restore the arrays that follow from the others.
        if "oov_words" not in counts:
            counts["oov_words"] = _per_line(oov, tokens_L)
        return cls(
            ids_N=arrays["ids"],
            oov=oov,
            tokens_L=tokens_L,
            words_L=counts.get("words", tokens_L - 1),
            oov_words_L=counts["oov_words"],
            characters_L=counts.get("characters", bytes_L),
            bytes_L=bytes_L,
            document_lines=counts.get("document_lines", np.zeros(0, dtype=np.int64)),
        )


def joined(parts: Sequence[EncodedLines]) -> EncodedLines:
    """Return lines that follow one upon the other as one."""
    # Positions of unknown tokens and of documents are counted from the beginning of all lines.
    tokens_before = [0, *itertools.accumulate(len(part.ids_N) for part in parts)]
    lines_before = [0, *itertools.accumulate(map(len, parts))]
    names = [f"{name}_L" for name in COUNTS]
    return EncodedLines(
        ids_N=np.concatenate([part.ids_N for part in parts]),
        oov=shifted([part.oov for part in parts], tokens_before),
        document_lines=shifted([part.document_lines for part in parts], lines_before),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
    )


def check(
    arrays: Mapping[str, np.ndarray], lines: int, tokens: int, ids_type: type[np.integer]
) -> None:
    """Make sure that `arrays` can be the arrays of a shard with these numbers of lines and tokens.
    Only their types and lengths are read."""
    # The other arrays follow from these where they are left out.
    missing = {"ids", "oov", "tokens", "bytes"} - arrays.keys()
    if missing:
        raise ModelError("the shard is damaged", f"it has no array {min(missing)!r}")
    lengths = {
        "ids": tokens,
        "tokens": lines,
        "bytes": lines,
        "characters": lines,
        "words": lines,
        "oov_words": lines,
    }
    for name, array in arrays.items():
        kinds = (ids_type,) if name == "ids" else _SMALL
        is_known = name in lengths or name in ("oov", "document_lines")
        has_length = array.ndim == 1 and len(array) == lengths.get(name, len(array))
        if not is_known or not has_length or array.dtype not in kinds:
            raise ModelError("the shard is damaged", f"array {name!r} does not match the index")


def _per_line(oov: np.ndarray, tokens_L: np.ndarray) -> np.ndarray:
    """Return how many of the positions `oov` each line has, int64."""
    return np.diff(np.searchsorted(oov, np.cumsum(tokens_L, dtype=np.int64)), prepend=0)
