"""Cut token ids into batches: windows over parallel streams for training, padded spans for scoring.

Everywhere input t is the target of t-1 and the input before the first token is the boundary. So one
array is enough, `stream = [boundary, *ids]`: the window of targets `ids[s:e]` has the inputs
`stream[s:e]`.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rnnlm.errors import TextError, notice
from rnnlm.interface import PADDING
from rnnlm.storage.files.tensors import ChunkedArray


@dataclass(frozen=True)
class Window:
    """One step of truncated BPTT: row b reads targets `ids[start_B[b]:end_B[b]]`.

    fresh_B: rows that begin from the initial state (a row's first window, and the one after a
    border). length: the tokens asked for; where the text ends, rows have fewer. since_B: tokens of
    each row from its last initial state to the window; None: not counted.
    """

    start_B: np.ndarray
    end_B: np.ndarray
    fresh_B: np.ndarray
    length: int
    since_B: np.ndarray | None = None

    @property
    def tokens_B(self) -> np.ndarray:
        """The number of targets of each row."""
        return self.end_B - self.start_B

    @property
    def tokens(self) -> int:
        """The number of targets of all rows."""
        return int(self.tokens_B.sum())


def stream_bounds(tokens: int, rows: int) -> np.ndarray:
    """Return the (rows + 1,) borders that cut `tokens` into contiguous streams whose lengths differ
    by one at most."""
    return np.arange(rows + 1, dtype=np.int64) * tokens // rows


NO_BORDER = np.iinfo(np.int64).max


class Borders(Protocol):
    """Positions in the ids at which the state is initial again."""

    def after(self, position_B: np.ndarray, length: int) -> np.ndarray:
        """Return for each row the border where a window of at most `length` tokens from its
        position on has to end, or one that lies beyond. A row's positions grow from call to
        call."""


class DocumentBorders:
    """The ends of documents, given as (documents + 1,) offsets."""

    def __init__(self, offsets: np.ndarray) -> None:
        self.offsets = offsets

    def after(self, position_B: np.ndarray, length: int) -> np.ndarray:
        next_B = np.searchsorted(self.offsets, position_B, side="right")
        return self.offsets[next_B.clip(max=len(self.offsets) - 1)]


class DrawnLineBorders:
    """The ends of about a `share` of the lines: a window that has a line's end in its last part
    ends there.

    The size of that part is drawn by `random` for each row and window, evenly around `share` of the
    window. So lines of every length are as likely to be drawn, and little of a window stays empty;
    with a share of 1 all lines are drawn. Of a text on disk, only the ends of the lines near the
    rows that begin at `start_B` are read.
    """

    def __init__(
        self,
        line_offsets: np.ndarray | ChunkedArray,
        start_B: np.ndarray,
        share: float,
        random: "np.random.Generator",  # evaluation does not import numpy.random
    ) -> None:
        self.line_offsets = line_offsets
        self.parts = max(0.0, 2 * share - 1), min(1.0, 2 * share)
        self.random = random
        self.line_B = [_line_at(line_offsets, start) for start in start_B.tolist()]

    def after(self, position_B: np.ndarray, length: int) -> np.ndarray:
        part_B = self.random.uniform(*self.parts, len(position_B))
        earliest_B = position_B + np.floor(length * (1 - part_B)).astype(np.int64)
        earliest = enumerate(earliest_B.tolist())
        return np.array([self._first_beyond(row, position) for row, position in earliest])

    def _first_beyond(self, row: int, position: int) -> int:
        """Return the first end of a line beyond `position`, from the one that `row` has reached."""
        while self.line_B[row] < len(self.line_offsets):
            border = _item(self.line_offsets, self.line_B[row])
            if border > position:
                return border
            self.line_B[row] += 1
        return NO_BORDER


def _line_at(line_offsets: np.ndarray | ChunkedArray, position: int) -> int:
    """Return the number of the line that holds `position`."""
    lines = range(len(line_offsets))
    return bisect_right(lines, position, key=lambda line: _item(line_offsets, line)) - 1


def _item(array: np.ndarray | ChunkedArray, index: int) -> int:
    return int(array[index : index + 1][0])


class StreamWindows:
    """Windows over the streams between `bounds`, one after the other, each of the length asked for;
    every token is a target once.

    A row's window ends at a border, and its next one is fresh.
    """

    def __init__(self, bounds: np.ndarray, borders: Sequence[Borders] = ()) -> None:
        self.position_B = bounds[:-1].copy()
        self.stop_B = bounds[1:]
        self.fresh_B = np.ones(len(self.position_B), dtype=bool)
        self.borders = borders

    def next(self, length: int) -> Window | None:
        """Return the next window, of at most `length` tokens a row; None at the end of the text."""
        start_B, stop_B = self.position_B, self.stop_B
        if not (start_B < stop_B).any():
            return None
        # A row ends at the nearest border, at the end of its stream, or when it is long enough.
        borders = [borders.after(start_B, length) for borders in self.borders]
        border_B = np.minimum.reduce([np.full_like(stop_B, NO_BORDER), *borders])
        end_B = np.minimum.reduce([start_B + length, stop_B, border_B])
        window = Window(start_B.copy(), end_B, self.fresh_B, length)
        self.fresh_B = end_B == border_B
        self.position_B = end_B
        return window


PADDING_SHARE = 0.1  # the most that may be padding in a window


@dataclass(frozen=True)
class SpanBatch:
    """Spans of similar length, read side by side from their initial states, the longest first.

    spans: (B,) indices of the spans. start_B, end_B: their bounds in the ids.
    """

    spans: np.ndarray
    start_B: np.ndarray
    end_B: np.ndarray

    def windows(self, cells: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (start_B, end_B) of consecutive windows of at most `cells` cells, rows times tokens
        (but at least one token a row).

        Finished rows are left out, so that windows have fewer and fewer rows: the first ones of
        those before.
        """
        length_B = self.end_B - self.start_B
        offset = 0
        while rows := int((length_B > offset).sum()):
            left_B = length_B[:rows] - offset
            end = offset + _window_length(np.minimum(left_B, max(1, cells // rows)))
            start_B = self.start_B[:rows] + offset
            yield start_B, np.minimum(self.start_B[:rows] + end, self.end_B[:rows])
            offset = end


def _window_length(length_B: np.ndarray) -> int:
    """Return the longest window over rows of these descending lengths that has no more padding than
    PADDING_SHARE."""
    if len(length_B) == 1:
        return int(length_B[0])
    shorter_B = length_B[::-1].cumsum()[::-1] - length_B  # tokens of the rows behind each
    used_B = (np.arange(1, len(length_B) + 1) * length_B + shorter_B) / (len(length_B) * length_B)
    return int(length_B[np.argmax(used_B >= 1 - PADDING_SHARE)])


def span_batches(spans: np.ndarray, max_rows: int) -> Iterator[SpanBatch]:
    """Yield batches of the `spans` ((S, 2) bounds), sorted by length, of at most `max_rows`
    rows."""
    order = np.argsort(spans[:, 0] - spans[:, 1], kind="stable")
    for at in range(0, len(order), max_rows):
        chosen = order[at : at + max_rows]
        yield SpanBatch(chosen, spans[chosen, 0], spans[chosen, 1])


def gather(
    ids: np.ndarray, stream: np.ndarray, start_B: np.ndarray, end_B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs_BT, targets_BT (int64) of the windows `start_B:end_B`; targets beyond a row's
    end are padding.

    Positions beyond the end read some token as input; nothing depends on it.
    """
    # One row is a slice, which is faster than picking tokens one by one.
    if len(start_B) == 1:
        window = slice(int(start_B[0]), int(end_B[0]))
        return stream[None, window].astype(np.int64), ids[None, window].astype(np.int64)

    position_BT = start_B[:, None] + np.arange((end_B - start_B).max(initial=0))
    inside_BT = position_BT < end_B[:, None]
    position_BT = np.minimum(position_BT, len(ids) - 1)
    inputs_BT = stream[position_BT].astype(np.int64)
    return inputs_BT, np.where(inside_BT, ids[position_BT].astype(np.int64), PADDING)


def with_boundary(ids: np.ndarray, boundary_id: int) -> np.ndarray:
    """Return `[boundary, *ids]`, the inputs of `ids`, in the same compact type."""
    return np.concatenate([np.array([boundary_id], dtype=ids.dtype), ids])


LONGEST_WHOLE = 1 << 15  # tokens of a line that is read as a whole: up to a gigabyte of states


NO_WORDS = "no words"  # why a line has no result, while others have one


def why_too_long(tokens: int) -> str | None:
    """Return why a line of so many tokens is not read, beside others that are; None: it is."""
    if tokens <= LONGEST_WHOLE:
        return None
    return f"{tokens:,} tokens; it is read as a whole, and the limit is {LONGEST_WHOLE:,}"


def is_surely_short(*texts: str) -> bool:
    """Return whether texts can be read as wholes, regardless of their tokens: a character is four
    tokens at most."""
    return 4 * max(map(len, texts)) < LONGEST_WHOLE


def can_be_read(lengths_N: np.ndarray) -> np.ndarray:
    """Return which lines of these lengths, in tokens, can be read as wholes."""
    return np.asarray(lengths_N <= LONGEST_WHOLE)


def tell_too_long(count: int, total: int, what: str) -> None:
    """Send a notice of lines that are left out of a text because they are too long, if there are
    any; raise TextError if none are left. what: the lines."""
    if not count:
        return
    why = f"more than {LONGEST_WHOLE:,} tokens, which are read as a whole"
    if count == total:
        raise TextError(f"all {what} have {why}", hint="split them into shorter ones")
    notice(f"{count:,} of {total:,} {what} have {why}: they are left out")


def check_lengths(lengths_N: np.ndarray | Sequence[int]) -> None:
    """Make sure that lines of these lengths, in tokens, can be read as wholes."""
    too_long = np.flatnonzero(~can_be_read(np.asarray(lengths_N)))
    if len(too_long):
        raise TextError(
            f"a line has {lengths_N[too_long[0]]:,} tokens",
            f"it is read as a whole, and the limit is {LONGEST_WHOLE:,}",
            "split it into shorter lines",
        )


def by_length(lengths_N: np.ndarray, tokens: int, rows: int | None = None) -> Iterator[np.ndarray]:
    """Yield the numbers of rows of such lengths, in batches of about the same length, the shortest
    first. Each has about `tokens` tokens with its padding, one row at least, and no more than
    `rows`."""
    check_lengths(lengths_N)
    order = np.argsort(lengths_N, kind="stable")
    most_rows = len(order) if rows is None else rows
    start = 0
    while start < len(order):
        # Take rows for as long as the batch, padded to the longest of them, is small enough.
        end = start + 1
        last = min(len(order), start + most_rows)
        while end < last and (end - start + 1) * max(1, lengths_N[order[end]]) <= tokens:
            end += 1
        yield order[start:end]
        start = end


def padded(rows: Sequence[np.ndarray], padding: int) -> np.ndarray:
    """Return rows of different lengths side by side, (T, B) int64, T being the length of the
    longest one."""
    padded_TB = np.full((max(map(len, rows)), len(rows)), padding, dtype=np.int64)
    for number, row in enumerate(rows):
        padded_TB[: len(row), number] = row
    return padded_TB
