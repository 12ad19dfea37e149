"""Read spans of a text through a language model: the one loop behind evaluation, scoring and
validation.

A span is read from the initial state: it is a line (context: reset), a document, or the whole text
(context: carry). Spans are batched by length and cut into windows with the state carried, so a span
may be of any length; the result depends neither on the batch nor on the order.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

import numpy as np

from rnnlm import arrays
from rnnlm.errors import ModelError, keyword
from rnnlm.events import never, pieces, tokens_of_a_piece
from rnnlm.interface import LanguageModel, State
from rnnlm.text.batches import gather, span_batches, with_boundary
from rnnlm.text.lines import Progress, silent

TOKENS_PER_ROW = 64  # rows are not made more than so short
INTERRUPTIBLE_TOKENS = 1 << 10  # of a window, where others may interrupt between two
# nats: rounding in bf16, and backoff weights in ARPA files, may take a score a little above 0
MOST_LOGPROB = 1.0
Result = TypeVar("Result")
# the states belong to one model
Step = Callable[[np.ndarray, np.ndarray, Any], tuple[Result, Any]]
# the numbers of spans -> the state that each is read from, row by row
Initial = Callable[[np.ndarray], State]


def score_spans(
    model: LanguageModel,
    ids: np.ndarray,
    spans: np.ndarray,
    initial: Initial | None = None,
    report: Progress = silent,
) -> np.ndarray:
    """Return the log-probability (nats, float64) of each token of `ids` that lies in one of the
    `spans` ((S, 2) bounds); 0 elsewhere.

    initial: where spans begin, such as in the states of their conditions; None: in the model's
    initial state. report: called with how many tokens were read.
    """
    if model.boundary_resets_state and initial is None:
        spans = _join_spans(ids, spans, model.tokenizer.boundary_id)

    scored = []
    done = 0
    wanted = int((spans[:, 1] - spans[:, 0]).sum())
    report(f"0 of {wanted:,} tokens scored")
    for window in windows(model, ids, spans, model.score, initial=initial):
        scored.append(window)
        if report is not silent:
            done += int((window[1] - window[0]).sum())
            report(f"{done:,} of {wanted:,} tokens scored")
    return placed(scored, len(ids))


def score_on(model: LanguageModel, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """Score `ids` as :func:`score_spans` does, as the next part of a stream whose last token was a
    boundary. Return the scores and the state after them."""
    carried = StatefulStep(model.score, state)
    return placed(windows(model, ids, whole_text(ids), carried.step), len(ids)), carried.state


class StatefulStep(Generic[Result]):
    """A step that continues from its own last state and ignores the state it is given: so one
    stream is read in parts."""

    def __init__(self, step: Step[Result], state: State) -> None:
        self._step = step
        self.state = state

    def step(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[Result, State]:
        """Return the result of the step on the window, and the state after it."""
        result, self.state = self._step(inputs_BT, targets_BT, self.state)
        return result, self.state


def read_on(model: LanguageModel, inputs_BT: np.ndarray, state: State) -> State:
    """Return the state after all inputs but the last of each row, from `state` on; there may be any
    number of them."""
    rows, last = inputs_BT.shape[0], inputs_BT.shape[1] - 1
    length = max(1, window_tokens(model, model.call_tokens) // rows)
    for part in pieces(arrays.blocks(last, length)):
        _, state = model.score(inputs_BT[:, part], inputs_BT[:, 1:][:, part], state)
    return state


def placed(scored: Iterable[tuple[np.ndarray, np.ndarray, object]], tokens: int) -> np.ndarray:
    """Return the scores of windows, as :func:`windows` yields them, at their places among so many
    tokens; 0 where no window is."""
    logprob_N = np.zeros(tokens)
    # Scores stay on the device until all are computed: a copy waits for it.
    for start_B, end_B, logprob_BT in list(scored):
        # One row is a slice, which is faster than placing tokens one by one.
        if len(start_B) == 1:
            start, end = int(start_B[0]), int(end_B[0])
            logprob_N[start:end] = arrays.as_numpy(logprob_BT)[0, : end - start]
            continue
        position_BT, inside_BT = positions(start_B, end_B)
        logprob_N[position_BT[inside_BT]] = arrays.as_numpy(logprob_BT)[inside_BT]
    return logprob_N


def positions(start_B: np.ndarray, end_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position in the text of each cell of a window, (B, T), and whether it lies within
    its row."""
    position_BT = start_B[:, None] + np.arange(int((end_B - start_B).max(initial=0)))
    return position_BT, position_BT < end_B[:, None]


def _join_spans(ids: np.ndarray, spans: np.ndarray, boundary_id: int) -> np.ndarray:
    """Join spans that follow one another with a boundary between them: one is faster to read."""
    if not len(spans):
        return spans
    begins, ends_before = spans[1:, 0], spans[:-1, 1]
    follows = (begins == ends_before) & (begins > 0)
    follows &= ids[begins - 1] == boundary_id
    starts = np.flatnonzero(np.append(True, ~follows))
    return np.stack([spans[starts, 0], spans[np.append(starts[1:], len(spans)) - 1, 1]], axis=1)


def windows(
    model: LanguageModel,
    ids: np.ndarray,
    spans: np.ndarray,
    step: Step[Result],
    call_tokens: int | None = None,
    initial: Initial | None = None,
    stop: Callable[[], bool] = never,
) -> Iterator[tuple[np.ndarray, np.ndarray, Result]]:
    """Yield (start_B, end_B, the result of `step(inputs_BT, targets_BT, state)`) for each of the
    windows in which all of `spans` are read, side by side: row b has the targets
    `ids[start_B[b]:end_B[b]]`. The state is carried; finished rows drop out.

    call_tokens: the most of a window, over all rows; None: the model's. initial: as in
    :func:`score_spans`. stop: asked before each window; there are no more once it says so.
    """
    # Rows share the tokens of a call: wider batches have shorter windows.
    stream = with_boundary(ids, model.tokenizer.boundary_id)
    call_tokens = call_tokens or model.call_tokens
    most = max(1, call_tokens // TOKENS_PER_ROW)
    most_tokens = window_tokens(model, call_tokens)
    for batch in span_batches(spans, min(most, model.max_rows or most)):
        reading = 0
        for start_B, end_B in pieces(batch.windows(most_tokens)):
            if stop():
                return
            rows = len(start_B)

            # The first window of a batch begins in the initial state; later ones drop finished
            # rows.
            if not reading:
                state = initial(batch.spans[:rows]) if initial else model.initial_state(rows)
            elif rows < reading:
                state = state.select(np.arange(rows))
            reading = rows
            result, state = step(*gather(ids, stream, start_B, end_B), state)
            yield start_B, end_B, result


def window_tokens(model: LanguageModel, call_tokens: int) -> int:
    """Return how many tokens are read between two interruption points."""
    # A network knows how many it reads in a second.
    half_a_second = getattr(model, "piece_tokens", call_tokens) // 2
    return tokens_of_a_piece(call_tokens, min(half_a_second, INTERRUPTIBLE_TOKENS))


def check_scores(logprob: np.ndarray) -> None:
    """Make sure that log-probabilities are numbers, and none far above 0; -inf is the one of
    zero."""
    highest = float(logprob.max(initial=-math.inf))  # NaN if any of them is
    if math.isnan(highest) or highest > MOST_LOGPROB:
        fault = f"above 0: one is {highest:.4g}" if math.isfinite(highest) else "not numbers"
        raise ModelError(
            f"the model's scores are {fault}",
            "its weights are damaged or were adapted too fast, or its state overflowed on a long "
            "text",
            "see rnnlm doctor, or try "
            + keyword("context", "reset")
            + "; with NAME+dynamic, a smaller adaptation_rate",
        )


def whole_text(ids: np.ndarray) -> np.ndarray:
    """Return the one span of a text read as one stream."""
    return np.array([[0, len(ids)]], dtype=np.int64)


def spans_between(offsets: np.ndarray) -> np.ndarray:
    """Return the spans between consecutive `offsets`, (S, 2)."""
    return np.stack([offsets[:-1], offsets[1:]], axis=1)


def stream_perplexity(model: LanguageModel, ids: np.ndarray) -> float:
    """Return the perplexity of a text read as one stream; infinite where a token has probability
    zero."""
    total = score_spans(model, ids, whole_text(ids)).sum(dtype=np.float64)
    return perplexity(total, len(ids)) or math.inf


def perplexity(logprob_nats: float, count: int) -> float | None:
    """Return exp(-logprob_nats / count), or None where that is not a finite number."""
    if count <= 0 or not math.isfinite(logprob_nats):
        return None
    mean = -logprob_nats / count
    return math.exp(mean) if mean < 700 else None


# ---- Lines that are conditional on others: a model that offers `states` begins each line in the
# state of its source.


def reads_sources(model: LanguageModel) -> bool:
    """Return whether the model gives probabilities of a line given its source, as the decoder of an
    encoder-decoder does."""
    return hasattr(model, "states")


def initial_states(model: LanguageModel, sources: Sequence[str | None]) -> Initial | None:
    """Return where lines of these sources begin, as :func:`score_spans` takes it; None: the model
    reads no sources. A source that several lines of a batch share is read once."""
    if not reads_sources(model):
        return None
    decoder = cast(Any, model)

    def initial(lines: np.ndarray) -> State:
        numbers: dict[str | None, int] = {}
        rows = [numbers.setdefault(sources[line], len(numbers)) for line in lines.tolist()]
        state: State = decoder.states(list(numbers))
        return state if len(rows) == len(numbers) else state.select(rows)

    return initial
