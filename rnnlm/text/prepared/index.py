"""index.json of a prepared text, and unfinished.json, which is of the same form until the work is done."""

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from rnnlm.errors import ModelError
from rnnlm.files.reading import read_json
from rnnlm.files.writing import UNFINISHED, FileEntry, replace_file

FORMAT_VERSION = 1
INDEX, JOURNAL = "index.json", "unfinished.json"
LARGEST_INDEX = 64 << 20
SHARD = re.compile(r"shard-\d{5,}\.safetensors")
OURS = re.compile(rf"({SHARD.pattern}|vocab\.txt|tokenizer\.model|index\.json|unfinished\.json)({re.escape(UNFINISHED)})?")


@dataclass(frozen=True)
class Counts:
    """What is counted of a text: characters and bytes with each line's end, as evaluation counts them."""

    lines: int = 0
    documents: int = 0
    tokens: int = 0
    oov_tokens: int = 0
    words: int = 0
    oov_words: int = 0
    characters: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in Counts.__dataclass_fields__))


@dataclass(frozen=True)
class Shard:
    """One file of consecutive lines. lines_hash: of the whole text up to its end, as :class:`rnnlm.text.encoding.LinesHash` has it."""

    name: str
    file_bytes: int
    sha256: str
    lines_hash: str
    counts: Counts


@dataclass(frozen=True)
class Sample:
    """The text that the vocabulary was made of. how: "all", "even" (stretches at even distances), "start", or the model that it is of."""

    how: str
    bytes: int


@dataclass(frozen=True)
class Index:
    """What the folder holds. request: what was asked for, so that the work goes on with the same alone."""

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
        return replace(self, shards=list(shards), counts=counts, lines_hash=shards[-1].lines_hash if shards else "")


def is_prepared(folder: str | Path) -> bool:
    """Whether there is a prepared text, finished or not."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in (INDEX, JOURNAL))


def read_index(folder: Path, name: str = INDEX) -> Index:
    """The index in `folder`, checked.

    Raises:
        ModelError: there is none, the work was not finished, or it is damaged, of a newer format, or names files that are none of ours.
    """
    path = folder / name
    if name == INDEX and not path.is_file() and (folder / JOURNAL).is_file():
        raise ModelError(
            f"the text in {folder} is not prepared to its end", "the work was cut off", "go on with rnnlm prepare ... --resume"
        )
    if not path.is_file():
        raise ModelError(f"no prepared text in {folder}", f"there is no {name}", f"make it with rnnlm prepare TEXT -o {folder}")
    index = read_json(path, Index, ModelError, _damaged(folder), newest=(f"the text in {folder}", FORMAT_VERSION), limit=LARGEST_INDEX)
    if why := _disorder(index) or (name == INDEX and not index.counts.tokens and "it holds no tokens"):
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
        raise ModelError(_damaged(folder), f"{name} is missing, or no plain file", "rnnlm prepare it anew with --overwrite")
    if (found := os.path.getsize(path)) != size:
        raise ModelError(_damaged(folder), f"{name} has {found} bytes instead of {size}", "rnnlm prepare it anew with --overwrite")
    return path


def _damaged(folder: Path) -> str:
    return f"the prepared text in {folder} is damaged"


def _disorder(index: Index) -> str:
    """What is wrong with an index of the right form, or nothing."""
    names = [*index.files, *(shard.name for shard in index.shards)]
    strange = [name for name in names if not OURS.fullmatch(name)]
    if strange:
        return f"it names a file that is none of ours: {strange[0]!r}"
    if any(shard.name != shard_name(number) for number, shard in enumerate(index.shards)):
        return "its shards are not in order"
    totals = index.with_shards(index.shards)
    if any(value < 0 for each in index.shards for value in msgspec.to_builtins(each.counts).values()):
        return "a count is below zero"
    return "" if (totals.counts, totals.lines_hash) == (index.counts, index.lines_hash) else "its totals are not those of its shards"


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"
