"""A prepared text, or its first or last lines, as families are fitted on it and evaluation reads
it."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.amounts import amount, plural
from rnnlm.arrays import drop_pages
from rnnlm.config import from_stored
from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.interface import Tokenizer
from rnnlm.storage.files import tensors
from rnnlm.system import quoted
from rnnlm.text import tokenizers
from rnnlm.text.encoding import (
    LINE_COUNTS,
    EncodedText,
    IdFiles,
    IntArray,
    LinesHash,
    ReadText,
    as_bytes,
    compact_type,
    kept,
    total,
)
from rnnlm.text.lines import Block, Progress, TextSettings, silent
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.prepared.folder import JOURNAL
from rnnlm.tools.prepared.index import (
    EncodedLines,
    PreparedIndex,
    check,
    files_of,
    index_name,
    read_index,
    shard_name,
)
from rnnlm.training.card import first_names, not_defaults

# Tokens, unless a share is requested: as many as WikiText-103 has for validation
MOST_HELD_OUT = 250_000
MOST_OPEN = 512  # shards; each one that is mapped keeps a file open


def load(folder: Path) -> "PreparedText":
    """Return the prepared text in `folder`.

    Every file must be there, of its length, with arrays of the types and lengths in the index. The
    tokenizer's files are read and their hashes compared; the shards' hashes when they are first
    read.
    """
    index = read_index(folder)
    tokenizer = load_tokenizer(folder, index)
    settings = from_stored(TextSettings, index.text_settings)
    # A missing shard must be an error here, not in the middle of training.
    shards = Shards(folder, index, compact_type(tokenizer))
    shards.check()
    return PreparedText(
        folder=folder,
        index=index,
        tokenizer=tokenizer,
        settings=settings,
        shards=shards,
        start=0,
        stop=index.counts.lines,
    )


def tokenizer_files(folder: Path, index: PreparedIndex) -> dict[str, bytes]:
    """Return the tokenizer's files by their role, as :func:`rnnlm.text.tokenizers.load` takes
    them."""
    return {entry.role: files_of(folder).read(name, entry) for name, entry in index.files.items()}


def load_tokenizer(folder: Path, index: PreparedIndex) -> Tokenizer:
    """Return the tokenizer of a prepared text."""
    return tokenizers.load_from(
        files_of(folder),
        index.files,
        index.tokenizer,
        index.tokenizer_fingerprint,
        index.vocabulary_size,
    )


def tokenizer_in(folder: Path) -> Tokenizer:
    """Return the tokenizer of the prepared text in `folder`; of its files, no shard is read."""
    return load_tokenizer(folder, read_index(folder))


class Shards:
    """The shards of a prepared text, mapped when they are asked for. The last :data:`MOST_OPEN`
    stay mapped."""

    def __init__(self, folder: Path, index: PreparedIndex, ids_type: type[np.integer]) -> None:
        self.files = files_of(folder)
        self.index = index
        self.ids_type = ids_type
        counts = [shard.counts for shard in index.shards]
        self.token_starts = np.cumsum([0, *(shard_counts.tokens for shard_counts in counts)])
        self.line_starts = np.cumsum([0, *(shard_counts.lines for shard_counts in counts)])
        self.oov_starts = np.cumsum([0, *(shard_counts.oov_tokens for shard_counts in counts)])
        self.arrays = functools.lru_cache(MOST_OPEN)(self._checked_arrays)
        self._checked: set[int] = set()

    def close(self) -> None:
        """Keep no shard mapped."""
        self.arrays.cache_clear()

    def within(self, tokens: int) -> list[str]:
        """Return the names of the shards that hold none but the first `tokens`."""
        ends = zip(self.index.shards, self.token_starts[1:].tolist(), strict=True)
        return [shard.name for shard, end in ends if end <= tokens]

    def check(self) -> None:
        """Map each shard once; :meth:`_arrays` checks its header."""
        for number in range(len(self.index.shards)):
            self._arrays(number)

    def lines(self, number: int) -> EncodedLines:
        """Return the content of a shard; all but its ids is read."""
        return EncodedLines.from_arrays(self.arrays(number))

    def _checked_arrays(self, number: int) -> dict[str, np.ndarray]:
        """Return the arrays of a shard, whose hash is compared when it is first read."""
        arrays = self._arrays(number)
        if number not in self._checked:
            shard = self.index.shards[number]
            self.files.plain_file(shard.name, shard.file_bytes, shard.sha256)
            self._checked.add(number)
        return arrays

    def _arrays(self, number: int) -> dict[str, np.ndarray]:
        shard = self.index.shards[number]
        path = self.files.plain_file(shard.name, shard.file_bytes)
        try:
            arrays = tensors.mapped(path)
            check(arrays, shard.counts.lines, shard.counts.tokens, self.ids_type)
            if len(arrays["oov"]) != shard.counts.oov_tokens:
                raise ModelError("the shard is damaged", "array 'oov' does not match the index")
        except ModelError as error:
            raise self.files.error(f"{shard.name}: {error.why}") from None
        return arrays

    def ids(self) -> tensors.ChunkedArray:
        return tensors.ChunkedArray(
            self.token_starts,
            lambda number: self.arrays(number)["ids"],
            self.ids_type,
            self.index.vocabulary_size,
        )

    def id_files(self) -> IdFiles:
        names = tuple(shard.name for shard in self.index.shards)
        return IdFiles(self.files.folder.absolute(), names, tuple(self.token_starts.tolist()))

    def line_offsets(self) -> tensors.ChunkedArray:
        """Return a zero, then where each line ends, (lines + 1,)."""
        return tensors.ChunkedArray(
            [0, *(self.line_starts + 1)],
            lambda part: self._line_ends(part - 1) if part else np.zeros(1, dtype=np.int64),
            np.int64,
        )

    def oov(self) -> tensors.ChunkedArray:
        return tensors.ChunkedArray(
            self.oov_starts,
            lambda number: self.arrays(number)["oov"] + self.token_starts[number],
            np.int64,
            below=int(self.token_starts[-1]),
        )

    def document_starts(self) -> np.ndarray:
        """Return the lines that begin documents, int64; they must be lines of the text, in
        order."""
        none = np.zeros(0, dtype=np.int64)
        stored = [
            self.arrays(number).get("document_lines", none) + start
            for number, start in enumerate(self.line_starts[:-1])
        ]
        starts = np.concatenate([none, *stored])
        if (np.diff(starts) <= 0).any() or starts.max(initial=-1) >= self.line_starts[-1]:
            raise self.files.error("its documents are not in order")
        return starts

    def ends_of(self, line_numbers: np.ndarray) -> np.ndarray:
        """Return the number of tokens before each of these lines (ascending, up to the number of
        all lines)."""
        offsets = self.line_offsets()
        starts = np.empty(len(line_numbers), dtype=np.int64)
        # Read the offsets of one shard at a time, and only between the lines asked for.
        borders = np.searchsorted(line_numbers, self.line_starts[1:], side="right")
        start = 0
        for border in borders:
            if border > start:
                shard_lines = line_numbers[start:border]
                first, last = int(shard_lines[0]), int(shard_lines[-1])
                starts[start:border] = offsets[first : last + 1][shard_lines - first]
            start = int(border)
        return starts

    def oov_before(self, token: int) -> int:
        """Return how many unknown tokens come before that one."""
        number = self._shard_of(token)
        within = np.searchsorted(self.arrays(number)["oov"], token - self.token_starts[number])
        return int(self.oov_starts[number] + within)

    def line_from(self, token: int) -> int:
        """Return the first line that begins with that token or after it."""
        number = self._shard_of(token)
        starts = np.append(self.token_starts[number], self._line_ends(number))
        return int(self.line_starts[number] + np.searchsorted(starts, token))

    def _shard_of(self, token: int) -> int:
        number = np.searchsorted(self.token_starts, token, side="right") - 1
        return int(np.clip(number, 0, len(self.index.shards) - 1))

    def line_counts(self, name: str) -> tensors.ChunkedArray:
        """Return the counts of each line by that name: words, oov_words, characters or bytes."""
        return tensors.ChunkedArray(
            self.line_starts,
            lambda number: getattr(self.lines(number), f"{name}_L"),
            np.int64,
            sums=[getattr(shard.counts, name) for shard in self.index.shards],
        )

    def _line_ends(self, number: int) -> np.ndarray:
        start = self.token_starts[number]
        ends = np.cumsum(self.arrays(number)["tokens"], dtype=np.int64) + start
        last = ends[-1] if len(ends) else start
        if last != self.token_starts[number + 1]:
            raise self.files.error(f"the lines of {shard_name(number)} do not add up to its tokens")
        return ends


@dataclass(frozen=True)
class PreparedText:
    """The lines from `start` to `stop` of the prepared text in `folder`. release: as in an
    :class:`EncodedText`. copy_of: the text that was prepared for one run alone, which trains on the
    lines that it would train on if they were in memory. part_hash: the hash of lines of that text,
    where these are not all.
    """

    folder: Path
    index: PreparedIndex
    tokenizer: Tokenizer
    settings: TextSettings
    shards: Shards
    start: int
    stop: int
    release: Callable[[int], None] = kept
    copy_of: ReadText | None = None
    part_hash: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        return (str(self.folder),)

    def blocks(self) -> Iterator[Block]:
        """Raise a TextError: the text itself is not kept.

        Raises:
            TextError: always.
        """
        raise TextError(
            f"{self.folder} is a prepared text",
            "it holds token ids; this needs the text itself",
            "name the text",
        )

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        """Return its ids and counts, read into memory.

        Raises:
            UsageError: `tokenizer` is another one, or needs the words' spelling.
        """
        mapped = self.mapped(tokenizer)
        arrays: dict[str, Any] = {
            name: np.asarray(value)
            for name, value in vars(mapped).items()
            if isinstance(value, tensors.ChunkedArray)
        }
        return replace(mapped, files=None, **arrays)

    def split(self, share: float, is_chosen: bool = True) -> "PreparedSplit":
        return PreparedSplit(self, share, None if is_chosen else MOST_HELD_OUT)

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Make sure that it is the one that the text is prepared with.

        Raises:
            UsageError: it is another one, or needs the words' spelling.
        """
        if tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UsageError(
                f"{self.folder} was prepared with another tokenizer",
                f"{self.tokenizer.name}:{self.tokenizer.fingerprint} there, "
                f"{tokenizer.name}:{tokenizer.fingerprint} here",
                "give the text itself, or prepare it with rnnlm prepare --tokenizer-from",
            )
        if tokenizer.spells:
            raise UsageError(
                f"{self.folder} does not store the spelling of unknown words",
                "this model reads characters",
                "give the text itself",
            )

    def mapped(self, tokenizer: Tokenizer) -> EncodedText:
        """Return its ids and counts, which are read when they are asked for, if it begins with the
        first line of the text.

        Raises:
            UsageError: `tokenizer` is another one, or needs the words' spelling.
        """
        self.check_tokenizer(tokenizer)
        shards = self.shards
        first, last = map(int, shards.ends_of(np.array([self.start, self.stop])))
        ids: IntArray = shards.ids().until(last)
        offsets: IntArray = shards.line_offsets().until(self.stop + 1)
        oov: IntArray = shards.oov().until(shards.oov_before(last))
        counts: dict[str, IntArray] = {
            name: shards.line_counts(name.removesuffix("_L")).until(self.stop)
            for name in LINE_COUNTS
        }

        # The end of a text fits into memory, and counts its tokens from its own beginning.
        if self.start:
            ids = ids[first:]
            offsets = offsets[self.start :] - first
            oov = oov[shards.oov_before(first) :] - first
            counts = {name: array[self.start :] for name, array in counts.items()}
        return EncodedText(
            ids,
            offsets,
            self._document_offsets(first, last),
            oov,
            **counts,
            lines_hash=self._lines_hash(),
            blank_lines=self.settings.blank_lines,
            unwrap=self.settings.unwrap,
            release=self.release,
            files=None if self.start else shards.id_files(),
        )

    def in_two(
        self, share: float, most_tokens: int | None = None
    ) -> "tuple[PreparedText, PreparedText | None]":
        """Return the two parts of :meth:`split`; the second has at most `most_tokens`, up to a line
        or document. None: nothing is held out."""
        if not share:
            return self, None
        border = self.stop - max(1, round(self.stop * share))

        # However few tokens are allowed, a line is held out.
        if most_tokens is not None:
            line = self.shards.line_from(self.index.counts.tokens - most_tokens)
            border = max(border, min(self.stop - 1, line))

        # The border lies where the nearest document begins, but for the first one.
        if self.settings.blank_lines == "documents":
            wanted = border
            starts = [int(start) for start in self.shards.document_starts() if start > 0]
            border = min(starts, key=lambda start: abs(start - wanted), default=0)
        if border <= 0:
            return self, None
        return replace(self, stop=border), replace(self, start=border)

    def _document_offsets(self, first: int, last: int) -> np.ndarray | None:
        if self.settings.blank_lines != "documents":
            return None
        starts = self.shards.document_starts()
        starts = starts[(starts >= self.start) & (starts < self.stop)]
        return np.append(self.shards.ends_of(starts), last) - first

    def _lines_hash(self) -> str:
        """Return the hash of the text itself for all of its lines; for some of them their own hash
        if it is known, else one made from the text's hash and the numbers of the lines."""
        if self.part_hash:
            return self.part_hash
        whole = self.index.lines_hash
        if (self.start, self.stop) == (0, self.index.counts.lines):
            return whole
        return hashlib.sha256(f"{whole}:{self.start}:{self.stop}".encode()).hexdigest()[:12]


class PreparedSplit:
    """A prepared text in two parts."""

    def __init__(self, text: PreparedText, share: float, most_tokens: int | None) -> None:
        self.text = text
        self.share = share
        self.parts = text.in_two(share, most_tokens)
        # All of the share of a copy is left out of training, but no more is read than fits.
        first, held_out = self.parts
        if text.copy_of is not None and held_out is not None:
            first = text.in_two(share)[0]
            hash_of_first, hash_of_rest = _hashes(text.copy_of, first.stop, held_out.start)
            first = replace(first, part_hash=hash_of_first)
            self.parts = (first, replace(held_out, part_hash=hash_of_rest))

    @property
    def held_out(self) -> str:
        _, held = self.parts
        lines = held.stop - held.start if held else 0
        # If less than the share is held out, its size is more informative.
        if lines < round(self.text.stop * self.share):
            return plural(lines, "line")
        return f"{self.share:.0%}"

    def blocks(self) -> Iterator[Block]:
        return self.text.blocks()

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        """Return both parts; the ids of the first stay on disk."""
        first, held_out = self.parts
        train = first.mapped(tokenizer)
        if held_out is None:
            return train, None

        # The second part is in memory: a caller that releases all of the first needs no more of the
        # text.
        def release(tokens: int) -> None:
            if tokens >= train.tokens:
                for name in LINE_COUNTS:
                    total(getattr(train, name))  # remembered, as are lines in whole files
                tokens = self.text.index.counts.tokens
            self.text.release(tokens)

        return replace(train, release=release), held_out.encode(tokenizer)

    def encode_once(
        self, settings: object, progress: Progress = silent
    ) -> tuple[Tokenizer, EncodedText, EncodedText | None]:
        return self.text.tokenizer, *self.encode(self.text.tokenizer)


def _hashes(text: ReadText, first_lines: int, later: int) -> tuple[str, str]:
    """Return the hashes of a text's `first_lines` and of those from line `later` on."""
    first, second = LinesHash(), LinesHash()
    read = 0
    for block in text.blocks():
        size = len(block.lines)
        before = block.split_at(min(max(first_lines - read, 0), size))[0]
        after = block.split_at(min(max(later - read, 0), size))[1]
        for part, hash_of_part in ((before, first), (after, second)):
            if part.lines:
                hash_of_part.update_block(part, as_bytes(part.lines))
        read += size
    return first.hexdigest(), second.hexdigest()


# ---- The description of a prepared text for `rnnlm info`, and its check for `rnnlm doctor`.


def describe(folder: Path) -> dict[str, Any]:
    """Return the counts, tokenizer and settings of the prepared text in `folder`; those so far,
    where it is not finished."""
    name = index_name(folder)
    index = read_index(folder, name)
    interrupted = "interrupted: run the same rnnlm prepare to resume it"
    return {
        "folder": str(folder),
        "prepared text": interrupted if name == JOURNAL else "finished",
        "format_version": index.format_version,
        "text": index.text,
        "tokenizer": f"{index.tokenizer.get('tokenizer')}:{index.tokenizer_fingerprint}",
        "vocabulary_size": index.vocabulary_size,
        "vocabulary of": msgspec.to_builtins(index.sample),
        "counts": msgspec.to_builtins(index.counts),
        "lines_hash": index.lines_hash,
        "shards": len(index.shards),
        "file_bytes": sum(shard.file_bytes for shard in index.shards),
        "settings": {**index.text_settings, **index.tokenizer},
    }


def summary(folder: Path) -> list[tuple[str, str]]:
    """Return the lines of :func:`describe` that matter, as (name, text)."""
    about = describe(folder)
    counts, sample = about["counts"], about["vocabulary of"] or {"how": "", "bytes": 0}
    tokenizer = f"{about['tokenizer']}, V = {about['vocabulary_size']:,}"
    settings_of_tokenizer = not_defaults(about["settings"], TokenizerSettings)
    sizes = [f"{counts[key]:,} {key}" for key in ("lines", "words", "tokens", "bytes")]
    sample_size = amount(sample["bytes"], unit="bytes")
    return [
        ("prepared text", about["prepared text"]),
        ("folder", about["folder"]),
        ("text", first_names(about["text"] or []).replace("`", "")),
        ("tokenizer", ", ".join([tokenizer, *settings_of_tokenizer])),
        ("vocabulary of", f"{sample['how']}, {sample_size}" if sample["how"] else ""),
        ("counts", ", ".join(sizes)),
        ("unknown", f"{counts['oov_words']:,} words, {counts['oov_tokens']:,} tokens"),
        ("read with", " ".join(not_defaults(about["settings"], TextSettings))),
        ("hash", f"{about['lines_hash']}, of its lines"),
        ("files", f"{about['shards']:,}, {amount(about['file_bytes'], unit='bytes')}"),
        ("use it", f"rnnlm train {quoted(str(folder))}"),
    ]


def problems(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Check index, tokenizer and each shard. Yield (the checked part, its fault or "", the
    findings)."""
    # Without these two, shards cannot be read.
    try:
        index = read_index(folder)
        tokens = f"a prepared text of {plural(index.counts.tokens, 'token')}"
        yield "index", "", f"{tokens}, format {index.format_version}"
        tokenizer = load_tokenizer(folder, index)
        name = f"{tokenizer.name}:{tokenizer.fingerprint}"
        yield "tokenizer", "", f"{name}, {tokenizer.size:,} symbols"
    except ModelError as error:
        yield "index and tokenizer", error.fault, ""
        return

    shards = Shards(folder, index, compact_type(tokenizer))
    numbers = range(len(index.shards))
    wrong = list(filter(None, (_problem(index, shards, number) for number in numbers)))
    yield from (("shard", problem, "") for problem in wrong)
    if not wrong:
        files = plural(len(index.shards), "file")
        yield "shards", "", f"{files}, SHA-256 as recorded, counts as in the index"


def _problem(index: PreparedIndex, shards: Shards, number: int) -> str:
    """Return the fault of a shard, or ""."""
    shard = index.shards[number]
    try:
        lines = shards.lines(number)
        totals = lines.totals()
        recorded = msgspec.to_builtins(shard.counts)
        # The index may have been made to agree with the hash of the file.
        if any(totals[name] != recorded[name] for name in totals):
            return f"{shard.name} does not match the index"
        if len(lines.ids_N) and lines.ids_N.max() >= index.vocabulary_size:
            return f"{shard.name} holds tokens that the vocabulary lacks"
        # All shards are checked in turn, and need not be in memory together.
        drop_pages(lines.ids_N)
    except ModelError as error:
        return error.why
    return ""
