"""Token ids cut into batches: windows over parallel streams for training, padded spans for scoring.

Everywhere input t is the target of t-1 and the input before the first token is the boundary, so one array
`stream = [boundary, *ids]` serves: the window of targets `ids[s:e]` has the inputs `stream[s:e]`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rnnlm.interface import PADDING


@dataclass(frozen=True)
class Window:
    """One step of truncated BPTT: row b reads targets `ids[start_B[b]:end_B[b]]`.

    fresh_B: rows that begin from the initial state (a row's first window, a document's start).
    length: the tokens asked for; where the text ends, rows have fewer.
    """

    start_B: np.ndarray
    end_B: np.ndarray
    fresh_B: np.ndarray
    length: int


def stream_bounds(tokens: int, rows: int) -> np.ndarray:
    """(rows + 1,) borders that cut `tokens` into contiguous streams whose lengths differ by one at most."""
    return np.arange(rows + 1, dtype=np.int64) * tokens // rows


def tbptt_windows(bounds: np.ndarray, lengths: Iterable[int], document_offsets: np.ndarray | None = None) -> Iterator[Window]:
    """Windows of at most so many tokens (one of `lengths` after the other) over the streams between `bounds`; every token
    is a target once.

    With documents, a row's window ends where a document does, and its next one is fresh.
    """
    position_B, stop_B = bounds[:-1].copy(), bounds[1:]
    fresh_B = np.ones(len(position_B), dtype=bool)
    for length in lengths:
        if not (position_B < stop_B).any():
            return
        end_B = np.minimum(position_B + length, stop_B)
        fresh_after_B = np.zeros_like(fresh_B)
        if document_offsets is not None:
            next_border = np.searchsorted(document_offsets, position_B, side="right").clip(max=len(document_offsets) - 1)
            end_B = np.minimum(end_B, document_offsets[next_border])
            fresh_after_B = end_B == document_offsets[next_border]
        yield Window(position_B.copy(), end_B, fresh_B, length)
        fresh_B = fresh_after_B
        position_B = end_B


@dataclass(frozen=True)
class SpanBatch:
    """Spans of similar length, read side by side from their initial states.

    spans: (B,) indices of the spans. start_B, end_B: their bounds in the ids.
    """

    spans: np.ndarray
    start_B: np.ndarray
    end_B: np.ndarray

    def windows(self, length: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(start_B, end_B) of consecutive windows of `length` tokens; shorter rows run empty first."""
        for offset in range(0, int((self.end_B - self.start_B).max(initial=0)), length):
            start_B = np.minimum(self.start_B + offset, self.end_B)
            yield start_B, np.minimum(start_B + length, self.end_B)


def span_batches(spans: np.ndarray, max_rows: int, max_tokens: int) -> Iterator[SpanBatch]:
    """Batches of the `spans` ((S, 2) bounds), sorted by length, of at most `max_rows` rows and `max_tokens` with padding
    (a single longer span is a batch of its own)."""
    lengths = spans[:, 1] - spans[:, 0]
    order = np.argsort(-lengths, kind="stable")
    at = 0
    while at < len(order):
        rows = int(np.clip(max_tokens // max(1, lengths[order[at]]), 1, max_rows))
        chosen = order[at : at + rows]
        yield SpanBatch(chosen, spans[chosen, 0], spans[chosen, 1])
        at += rows


def gather(ids: np.ndarray, stream: np.ndarray, start_B: np.ndarray, end_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """inputs_BT, targets_BT (int64) of the windows `start_B:end_B`; targets beyond a row's end are padding.

    Positions beyond the end read some token as input; nothing depends on it.
    """
    length = int((end_B - start_B).max(initial=0))
    if len(start_B) == 1:
        window = slice(int(start_B[0]), int(end_B[0]))
        return stream[None, window].astype(np.int64), ids[None, window].astype(np.int64)
    position_BT = start_B[:, None] + np.arange(length)
    inside_BT = position_BT < end_B[:, None]
    position_BT = np.minimum(position_BT, len(ids) - 1)
    inputs_BT = stream[position_BT].astype(np.int64)
    return inputs_BT, np.where(inside_BT, ids[position_BT].astype(np.int64), PADDING)


def with_boundary(ids: np.ndarray, boundary_id: int) -> np.ndarray:
    """`[boundary, *ids]`: the inputs of `ids`, in the same compact type."""
    return np.concatenate([np.array([boundary_id], dtype=ids.dtype), ids])
