"""A prepared text, or the first or last of its lines, as the families are fitted on it and
evaluation reads it."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.arrays import drop_pages
from rnnlm.config import from_stored
from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.files import tensors, writing
from rnnlm.files.tensors import ChunkedArray
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers
from rnnlm.text.encoding import LINE_COUNTS, EncodedText, Numbers, compact_type
from rnnlm.text.lines import Block, Progress, TextSettings, silent
from rnnlm.text.prepared.index import (
    INDEX,
    JOURNAL,
    EncodedLines,
    Index,
    check,
    file_in,
    read_index,
)

# tokens, unless a share is asked for: as many as WikiText-103 has for validation
MOST_HELD_OUT = 250_000
MOST_OPEN = 512  # shards; each that is mapped holds a file open


def load(folder: Path) -> "PreparedText":
    """The prepared text in `folder`. Every file is there, of its length, with arrays of the types
    and lengths that the index says; the tokenizer's are read and their hashes compared, the shards'
    by `rnnlm doctor` alone.

    Raises:
        ModelError: it is missing, damaged or unfinished.
    """
    index = read_index(folder)
    tokenizer = load_tokenizer(folder, index)
    settings = from_stored(TextSettings, index.text_settings)
    shards = Shards(folder, index, compact_type(tokenizer))
    shards.check()
    return PreparedText(folder, index, tokenizer, settings, shards, 0, index.counts.lines)


def tokenizer_files(folder: Path, index: Index) -> dict[str, bytes]:
    """The tokenizer's files by their role, as :func:`rnnlm.text.tokenizers.load` wants them.

    Raises:
        ModelError: one is missing, or not the one that was written.
    """
    files = {}
    for name, entry in index.files.items():
        data = file_in(folder, name, entry.bytes).read_bytes()
        if writing.digest([data]) != entry.sha256:
            raise ModelError(
                f"the prepared text in {folder} is damaged",
                f"{name} is not the file that was written",
            )
        files[entry.role] = data
    return files


def load_tokenizer(folder: Path, index: Index) -> Tokenizer:
    """The tokenizer of a prepared text.

    Raises:
        ModelError: a file is missing or damaged.
    """
    files = tokenizer_files(folder, index)
    try:
        tokenizer = tokenizers.load(index.tokenizer, files)
    except ModelError as error:
        raise ModelError(
            f"the prepared text in {folder} is damaged",
            ": ".join(filter(None, (error.what, error.why))),
        ) from None
    if (tokenizer.fingerprint, tokenizer.size) != (
        index.tokenizer_fingerprint,
        index.vocabulary_size,
    ):
        raise ModelError(
            f"the prepared text in {folder} is damaged",
            "its tokenizer is not the one it was made with",
        )
    return tokenizer


class Shards:
    """The shards of a prepared text, mapped when they are asked for; the last :data:`MOST_OPEN`
    stay so."""

    def __init__(self, folder: Path, index: Index, ids_type: type[np.integer]) -> None:
        self.folder = folder
        self.index = index
        self.ids_type = ids_type
        counts = [shard.counts for shard in index.shards]
        self.token_starts = np.cumsum([0, *(each.tokens for each in counts)])
        self.line_starts = np.cumsum([0, *(each.lines for each in counts)])
        self.oov_starts = np.cumsum([0, *(each.oov_tokens for each in counts)])
        self.arrays = functools.lru_cache(MOST_OPEN)(self._arrays)

    def check(self) -> None:
        """Map each once; :meth:`_arrays` looks at its header."""
        for number in range(len(self.index.shards)):
            self._arrays(number)

    def lines(self, number: int) -> EncodedLines:
        """What a shard holds; all but its ids is read."""
        return EncodedLines.from_arrays(self.arrays(number))

    def _arrays(self, number: int) -> dict[str, np.ndarray]:
        shard = self.index.shards[number]
        path = file_in(self.folder, shard.name, shard.file_bytes)
        try:
            arrays = tensors.mapped(path)
            check(arrays, shard.counts.lines, shard.counts.tokens, self.ids_type)
            if len(arrays["oov"]) != shard.counts.oov_tokens:
                raise ModelError("the shard is damaged", "array 'oov' does not match the index")
        except ModelError as error:
            raise ModelError(
                f"the prepared text in {self.folder} is damaged", f"{shard.name}: {error.why}"
            ) from None
        return arrays

    def ids(self) -> ChunkedArray:
        return ChunkedArray(
            self.token_starts,
            lambda number: self.arrays(number)["ids"],
            self.ids_type,
            self.index.vocabulary_size,
        )

    def line_offsets(self) -> ChunkedArray:
        """(lines + 1,): a zero, then where each line ends."""
        starts = [0, *(self.line_starts + 1)]
        return ChunkedArray(
            starts,
            lambda part: self._line_ends(part - 1) if part else np.zeros(1, dtype=np.int64),
            np.int64,
        )

    def oov(self) -> ChunkedArray:
        tokens = int(self.token_starts[-1])
        return ChunkedArray(
            self.oov_starts,
            lambda number: self.arrays(number)["oov"] + self.token_starts[number],
            np.int64,
            tokens,
        )

    def document_starts(self) -> np.ndarray:
        """The lines that begin documents, int64.

        Raises:
            ModelError: they are not lines of the text, in order.
        """
        none = np.zeros(0, dtype=np.int64)
        stored = [
            self.arrays(number).get("document_lines", none) + start
            for number, start in enumerate(self.line_starts[:-1])
        ]
        starts = np.concatenate([none, *stored])
        if (np.diff(starts) <= 0).any() or starts.max(initial=-1) >= self.line_starts[-1]:
            raise ModelError(
                f"the prepared text in {self.folder} is damaged",
                "its documents are not in order",
                "see rnnlm doctor",
            )
        return starts

    def ends_of(self, line_numbers: np.ndarray) -> np.ndarray:
        """The tokens before each of these lines (ascending, up to the number of all)."""
        offsets, found = self.line_offsets(), np.empty(len(line_numbers), dtype=np.int64)
        borders = np.searchsorted(line_numbers, self.line_starts[1:], side="right")
        start = 0
        for border in borders:
            if border > start:
                first, last = int(line_numbers[start]), int(line_numbers[border - 1])
                found[start:border] = offsets[first : last + 1][line_numbers[start:border] - first]
            start = int(border)
        return found

    def oov_before(self, token: int) -> int:
        """How many unknown tokens come before that one."""
        number = self._shard_of(token)
        return int(
            self.oov_starts[number]
            + np.searchsorted(self.arrays(number)["oov"], token - self.token_starts[number])
        )

    def line_from(self, token: int) -> int:
        """The first line that begins with that token or after it."""
        number = self._shard_of(token)
        starts = np.concatenate([self.token_starts[number : number + 1], self._line_ends(number)])
        return int(self.line_starts[number] + np.searchsorted(starts, token))

    def _shard_of(self, token: int) -> int:
        return int(
            np.clip(
                np.searchsorted(self.token_starts, token, side="right") - 1,
                0,
                len(self.index.shards) - 1,
            )
        )

    def line_counts(self, name: str) -> ChunkedArray:
        """What is counted of each line by that name: words, oov_words, characters or bytes."""
        sums = [getattr(shard.counts, name) for shard in self.index.shards]
        return ChunkedArray(
            self.line_starts,
            lambda number: getattr(self.lines(number), f"{name}_L"),
            np.int64,
            sums=sums,
        )

    def _line_ends(self, number: int) -> np.ndarray:
        ends = np.cumsum(self.arrays(number)["tokens"], dtype=np.int64) + self.token_starts[number]
        if (ends[-1] if len(ends) else self.token_starts[number]) != self.token_starts[number + 1]:
            why = f"the lines of {self.index.shards[number].name} do not add up to its tokens"
            raise ModelError(
                f"the prepared text in {self.folder} is damaged", why, "see rnnlm doctor"
            )
        return ends


@dataclass(frozen=True)
class PreparedText:
    """The lines `start` to `stop` of the prepared text in `folder`."""

    folder: Path
    index: Index
    tokenizer: Tokenizer
    settings: TextSettings
    shards: Shards
    start: int
    stop: int

    @property
    def sources(self) -> tuple[str, ...]:
        return (str(self.folder),)

    def blocks(self) -> Iterator[Block]:
        """None: the text itself is not kept.

        Raises:
            TextError: always.
        """
        raise TextError(
            f"{self.folder} is a prepared text",
            "it holds token ids; what is asked for needs the text itself",
            "name the text",
        )

    def encode(self, tokenizer: Tokenizer, progress: Progress = silent) -> EncodedText:
        """Its ids and counts, read into memory.

        Raises:
            UsageError: `tokenizer` is another one, or needs the words' spelling.
        """
        mapped = self.mapped(tokenizer)
        read: dict[str, Any] = {
            each.name: np.asarray(value)
            for each in fields(mapped)
            if isinstance(value := getattr(mapped, each.name), ChunkedArray)
        }
        return replace(mapped, **read)

    def split(self, share: float, is_asked: bool = True) -> "PreparedSplit":
        return PreparedSplit(self, share, None if is_asked else MOST_HELD_OUT)

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Make sure that it is the one that the text is prepared with.

        Raises:
            UsageError: it is another one, or needs the words' spelling.
        """
        if tokenizer.is_reversed != self.tokenizer.is_reversed:
            stored, needed = (
                ("end", "beginning") if self.tokenizer.is_reversed else ("beginning", "end")
            )
            why = (
                f"its lines are stored from their {stored}; this model reads them from "
                f"their {needed}"
            )
            hint = "prepare it with --tokenizer-from, or give the text itself"
            raise UsageError(f"{self.folder} is prepared in another direction", why, hint)
        if tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UsageError(
                f"{self.folder} is prepared with another tokenizer",
                f"{self.tokenizer.name}:{self.tokenizer.fingerprint} there, "
                f"{tokenizer.name}:{tokenizer.fingerprint} here",
                "prepare it with --tokenizer-from, or give the text itself",
            )  # fmt: skip
        if tokenizer.spells:
            raise UsageError(
                f"{self.folder} does not keep how unknown words are spelled",
                "this model reads characters",
                "give the text itself",
            )

    def mapped(self, tokenizer: Tokenizer) -> EncodedText:
        """Its ids and counts; where it begins as the text does, they are read when they are asked
        for.

        Raises:
            UsageError: `tokenizer` is another one, or needs the words' spelling.
        """
        self.check_tokenizer(tokenizer)
        shards = self.shards
        first, last = (int(end) for end in shards.ends_of(np.array([self.start, self.stop])))
        ids: Numbers = shards.ids().until(last)
        offsets: Numbers = shards.line_offsets().until(self.stop + 1)
        oov: Numbers = shards.oov().until(shards.oov_before(last))
        counts: dict[str, Numbers] = {
            name: shards.line_counts(name.removesuffix("_L")).until(self.stop)
            for name in LINE_COUNTS
        }
        if self.start:
            ids, offsets, oov = (
                ids[first:],
                offsets[self.start :] - first,
                oov[shards.oov_before(first) :] - first,
            )
            counts = {name: array[self.start :] for name, array in counts.items()}
        documents = self._document_offsets(first, last)
        return EncodedText(
            ids,
            offsets,
            documents,
            oov,
            **counts,
            lines_hash=self._lines_hash(),
            blank_lines=self.settings.blank_lines,
        )

    def in_two(
        self, share: float, most_tokens: int | None = None
    ) -> "tuple[PreparedText, PreparedText | None]":
        """The two parts of :meth:`split`; the second has at most `most_tokens`, up to a line or
        document. None: nothing is held out."""
        if not share:
            return self, None
        wanted = self.stop - max(1, round(self.stop * share))
        if most_tokens is not None:
            wanted = max(
                wanted,
                min(self.stop - 1, self.shards.line_from(self.index.counts.tokens - most_tokens)),
            )
        if self.settings.blank_lines == "documents":
            inner = [int(border) for border in self.shards.document_starts() if 0 < border]
            wanted = min(inner, key=lambda border: abs(border - wanted)) if inner else 0
        return (
            (replace(self, stop=wanted), replace(self, start=wanted))
            if wanted > 0
            else (self, None)
        )

    def _document_offsets(self, first: int, last: int) -> np.ndarray | None:
        if self.settings.blank_lines != "documents":
            return None
        starts = self.shards.document_starts()
        starts = starts[(starts >= self.start) & (starts < self.stop)]
        return np.append(self.shards.ends_of(starts), last) - first

    def _lines_hash(self) -> str:
        """Of all lines that of the text itself; of some of them one of their own, made of that and
        of which they are."""
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

    @property
    def held_out(self) -> str:
        held = self.parts[1]
        lines = held.stop - held.start if held else 0
        return (
            f"{lines:,} lines"
            if lines < round(self.text.stop * self.share)
            else f"{self.share:.0%}"
        )

    def blocks(self) -> Iterator[Block]:
        return self.text.blocks()

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        """The ids of the first part stay on disk."""
        first, held_out = self.parts
        return first.mapped(tokenizer), held_out.encode(tokenizer) if held_out else None


# ---- What a prepared text is, and whether it is whole: for `rnnlm info` and `rnnlm doctor`.


def describe(folder: Path) -> dict[str, Any]:
    """The counts, tokenizer and settings of the prepared text in `folder`; of one that is not
    finished, so far.

    Raises:
        ModelError: its index is damaged.
    """
    is_finished = (folder / INDEX).is_file()
    index = read_index(folder, INDEX if is_finished else JOURNAL)
    return {
        "folder": str(folder),
        "prepared text": "finished"
        if is_finished
        else "cut off: go on with rnnlm prepare ... --resume",
        "format_version": index.format_version,
        "text": index.request.get("text"),
        "tokenizer": f"{index.tokenizer.get('tokenizer')}:{index.tokenizer_fingerprint}",
        "vocabulary_size": index.vocabulary_size,
        "vocabulary of": msgspec.to_builtins(index.sample),
        "counts": msgspec.to_builtins(index.counts),
        "lines_hash": index.lines_hash,
        "shards": len(index.shards),
        "file_bytes": sum(shard.file_bytes for shard in index.shards),
        "settings": {**index.text_settings, **index.tokenizer},
    }


def problems(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(what is looked at, what is wrong with it or nothing, what was found) of index, tokenizer and
    each shard."""
    try:
        index = read_index(folder)
        yield (
            "index",
            "",
            f"a prepared text of {index.counts.tokens:,} tokens, format {index.format_version}",
        )
        tokenizer = load_tokenizer(folder, index)
        yield (
            "tokenizer",
            "",
            f"{tokenizer.name}:{tokenizer.fingerprint}, {tokenizer.size:,} symbols",
        )
    except ModelError as error:
        yield "index and tokenizer", "; ".join(filter(None, (error.what, error.why))), ""
        return
    shards = Shards(folder, index, compact_type(tokenizer))
    wrong = [
        problem
        for number in range(len(index.shards))
        if (problem := _problem(folder, index, shards, number))
    ]
    for problem in wrong:
        yield "shard", problem, ""
    if not wrong:
        yield (
            "shards",
            "",
            f"{len(index.shards)} files, SHA-256 as recorded, counts as the index says",
        )


def _problem(folder: Path, index: Index, shards: Shards, number: int) -> str:
    """What is wrong with a shard, or nothing."""
    shard = index.shards[number]
    if writing.sha256(folder / shard.name) != shard.sha256:
        return f"{shard.name} is missing, or has changed: its SHA-256 is not the one recorded"
    try:
        lines = shards.lines(number)
        found, recorded = lines.totals(), msgspec.to_builtins(shard.counts)
        if any(found[name] != recorded[name] for name in found) or not _is_sound(
            lines, index.vocabulary_size
        ):
            return f"{shard.name} does not hold what the index says"
        drop_pages(lines.ids_N)
    except ModelError as error:
        return error.why
    return ""


def _is_sound(lines: EncodedLines, size: int) -> bool:
    """Whether ids are in the vocabulary, and positions in the shard."""
    ids_N = lines.ids_N
    in_order = all(bool(np.all(np.diff(each) > 0)) for each in (lines.oov, lines.document_lines))
    within = lines.oov.max(initial=-1) < len(ids_N) and lines.document_lines.max(initial=-1) < len(
        lines
    )
    return bool(ids_N.min(initial=0) >= 0 and ids_N.max(initial=0) < size and within and in_order)
