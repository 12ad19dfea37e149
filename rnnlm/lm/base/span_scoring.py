"""Read spans of a text through a language model: the one loop behind evaluation, scoring and
validation; and apply functions to whole distributions at chosen places.

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
from rnnlm.interface import Array, ConditionalLanguageModel, HiddenStateModel, LanguageModel, State
from rnnlm.parallel import interruptible_pieces, tokens_of_a_piece
from rnnlm.text.batches import gather, span_batches, with_boundary
from rnnlm.text.encoding import known_ids
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

    def reported() -> Iterator[tuple[np.ndarray, np.ndarray, Array]]:
        done = 0
        wanted = int((spans[:, 1] - spans[:, 0]).sum())
        report(f"0 of {wanted:,} tokens scored")
        for window in windows(model, ids, spans, model.score, initial=initial):
            yield window
            if report is not silent:
                done += int((window[1] - window[0]).sum())
                report(f"{done:,} of {wanted:,} tokens scored")

    return placed(reported(), len(ids))


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
    for part in interruptible_pieces(arrays.blocks(last, length)):
        _, state = model.score(inputs_BT[:, part], inputs_BT[:, 1:][:, part], state)
    return state


def placed(scored: Iterable[tuple[np.ndarray, np.ndarray, object]], tokens: int) -> np.ndarray:
    """Return the scores of windows, as :func:`windows` yields them, at their places among so many
    tokens; 0 where no window is."""
    logprob_N = np.zeros(tokens)
    waiting = []
    for window in scored:
        # Scores stay on the device until all are computed: a copy waits for it.
        if isinstance(window[2], np.ndarray):
            _place(logprob_N, *window)
        else:
            waiting.append(window)
    for window in waiting:
        _place(logprob_N, *window)
    return logprob_N


def _place(
    logprob_N: np.ndarray, start_B: np.ndarray, end_B: np.ndarray, logprob_BT: object
) -> None:
    """Put the scores of a window at their places."""
    # One row is a slice, which is faster than placing tokens one by one.
    if len(start_B) == 1:
        start, end = int(start_B[0]), int(end_B[0])
        logprob_N[start:end] = arrays.as_numpy(logprob_BT)[0, : end - start]
        return
    position_BT, inside_BT = positions(start_B, end_B)
    logprob_N[position_BT[inside_BT]] = arrays.as_numpy(logprob_BT)[inside_BT]


def positions(start_B: np.ndarray, end_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position in the text of each cell of a window, (B, T), and whether it lies within
    its row."""
    position_BT = start_B[:, None] + np.arange(int((end_B - start_B).max(initial=0)))
    return position_BT, position_BT < end_B[:, None]


def _join_spans(ids: np.ndarray, spans: np.ndarray, boundary_id: int) -> np.ndarray:
    """Join spans that follow one another with a boundary between them: one is faster to read."""
    if len(spans) < 2:
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
    stop: Callable[[], bool] | None = None,
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
        for start_B, end_B in interruptible_pieces(batch.windows(most_tokens)):
            if stop and stop():
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
            + "; adapt it more slowly, if it adapts",
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


# ---- Lines with conditions: a model that offers `states` begins each line in the state of its
# condition, which only the model understands.


def reads_conditions(model: LanguageModel) -> bool:
    """Return whether the model gives probabilities of a line given its condition, as a
    :class:`rnnlm.interface.ConditionalLanguageModel` does."""
    return hasattr(model, "states")


def initial_states(model: LanguageModel, conditions: Sequence[Any]) -> Initial | None:
    """Return where lines of these conditions begin, as :func:`score_spans` takes it; None: the
    model reads none. A condition that several lines of a batch share is read once."""
    if not reads_conditions(model):
        return None
    conditional = cast(ConditionalLanguageModel, model)

    def initial(lines: np.ndarray) -> State:
        numbers: dict[Any, int] = {}
        rows = [numbers.setdefault(conditions[line], len(numbers)) for line in lines.tolist()]
        state = conditional.states(list(numbers))
        return state if len(rows) == len(numbers) else state.select(rows)

    return initial


# ---- Whole distributions at chosen places, in bounded memory. A network runs once; its output
# layer is computed in full at the chosen places alone. Other models predict everywhere, a few
# tokens at a time.

MOST_CELLS = 1 << 22  # of distributions in memory at once

# log-probabilities (nats), (M, V), and the ids of the tokens there, (M,) -> what to keep, (M, ...)
DistributionFunction = Callable[[Array, np.ndarray], np.ndarray]


def score_and_apply(
    model: LanguageModel,
    ids: np.ndarray,
    spans: np.ndarray,
    is_place_N: np.ndarray,
    function: DistributionFunction,
    state: State | None = None,
    initial: Initial | None = None,
) -> tuple[np.ndarray, np.ndarray, State | None]:
    """Score `ids` as :func:`rnnlm.lm.base.span_scoring.score_spans` does, and apply `function` to
    the distribution of the token at each place (within the spans).

    Return the scores, the results of `function` in the order of places, and the state after the
    last token.

    state: where a single span begins; None: in its initial state, and no state is returned.
    initial: where spans begin, as in `score_spans`.
    """
    reader, tokens = _reader_of(model)
    carried = StatefulStep(reader.step, state) if state is not None else None
    step = carried.step if carried else reader.step

    logprob_N = np.zeros(len(ids))
    known_N = known_ids(ids, model.tokenizer)
    places: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    for start_B, end_B, (logprob_BT, read) in windows(model, ids, spans, step, tokens, initial):
        position_BT, inside_BT = positions(start_B, end_B)
        logprob_N[position_BT[inside_BT]] = arrays.as_numpy(logprob_BT)[inside_BT]
        # Padding may come after the last token, where there is no place.
        chosen_BT = inside_BT & is_place_N[np.minimum(position_BT, len(ids) - 1)]
        if chosen_BT.any():
            at_M = position_BT[chosen_BT]
            places.append(at_M)
            for logprob_MV in reader.distributions(read, *np.nonzero(chosen_BT)):
                here, at_M = np.split(at_M, [len(logprob_MV)])
                seen.append(function(logprob_MV, known_N[here]))

    # Spans are read by length: bring the results into the order of the text.
    seen_M = np.concatenate(seen)[np.argsort(np.concatenate(places))] if places else np.zeros(0)
    return logprob_N, seen_M, carried.state if carried else None


def _reader_of(model: LanguageModel) -> "tuple[_HiddenReader | _PredictionReader, int]":
    """Return a function that reads tokens and gives their distributions, and the best number of
    tokens for one call."""
    # The distributions of a network are computed from its hidden vectors, a few at a time. Other
    # models return all distributions of a call, so their calls are short.
    at_once = max(1, MOST_CELLS // model.tokenizer.size)
    if isinstance(model, HiddenStateModel):
        return _HiddenReader(model, at_once), model.call_tokens
    return _PredictionReader(model), min(model.call_tokens, at_once)


class _HiddenReader:
    """Reader of a network, which computes distributions from hidden vectors, (B, T, H)."""

    def __init__(self, model: HiddenStateModel, at_once: int) -> None:
        self.model = model
        self.at_once = at_once

    def step(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[Array, Array], State]:
        hidden_BTH, state = self.model.hidden(inputs_BT, state)
        return (self.model.score_hidden(hidden_BTH, targets_BT), hidden_BTH), state

    def distributions(
        self, hidden_BTH: Array, rows_M: np.ndarray, times_M: np.ndarray
    ) -> Iterator[Array]:
        for part in interruptible_pieces(arrays.blocks(len(rows_M), self.at_once)):
            rows = arrays.as_array_of(rows_M[part], hidden_BTH)
            times = arrays.as_array_of(times_M[part], hidden_BTH)
            yield self.model.predict_hidden(hidden_BTH[rows, times][None])[0]


class _PredictionReader:
    """Reader of any model, which predicts everywhere, (B, T, V)."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def step(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[Array, Array], State]:
        predicted_BTV, state = self.model.predict(inputs_BT, state)
        known_BT = np.maximum(known_ids(targets_BT, self.model.tokenizer), 0)
        rows_B1 = arrays.as_array_of(np.arange(len(known_BT))[:, None], predicted_BTV)
        times_T = arrays.as_array_of(np.arange(known_BT.shape[1]), predicted_BTV)
        targets_BT = arrays.as_array_of(known_BT, predicted_BTV)
        return (predicted_BTV[rows_B1, times_T, targets_BT], predicted_BTV), state

    def distributions(
        self, predicted_BTV: Array, rows_M: np.ndarray, times_M: np.ndarray
    ) -> Iterator[Array]:
        rows = arrays.as_array_of(rows_M, predicted_BTV)
        times = arrays.as_array_of(times_M, predicted_BTV)
        yield predicted_BTV[rows, times]


def log_sum(logprob_MV: Array) -> np.ndarray:
    """Return the log of the sum over V of the probabilities, (M,), float64, nats; -inf where the
    sum is 0."""
    xp = arrays.library(logprob_MV)
    largest_M = xp.amax(logprob_MV, -1)
    shift_M = xp.where(xp.isinf(largest_M), xp.zeros_like(largest_M), largest_M)
    sum_M = arrays.as_numpy(xp.exp(logprob_MV - shift_M[:, None]).sum(-1)).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.log(sum_M) + arrays.as_numpy(shift_M)


def entropy_bits(logprob_MV: Array) -> np.ndarray:
    """Return the entropy of each distribution, (M,), float64, bits; one that does not sum to one is
    divided by its sum first."""
    xp = arrays.library(logprob_MV)
    p_MV = xp.exp(logprob_MV)
    weighted_MV = p_MV * xp.where(p_MV > 0, logprob_MV, xp.zeros_like(logprob_MV))
    mean_M = arrays.as_numpy(weighted_MV.sum(-1)).astype(np.float64)
    total_M = arrays.as_numpy(p_MV.sum(-1)).astype(np.float64)
    # After an impossible context the sum is 0 and the entropy NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(0.0, np.log(total_M) - mean_M / total_M) / np.log(2)


def rank(logprob_MV: Array, ids_M: np.ndarray) -> np.ndarray:
    """Return the rank of each token, (M,): one more than the number of likelier ones, so that of
    equally likely tokens all have the best rank."""
    logprob_MV = arrays.as_numpy(logprob_MV)
    own_M1 = np.take_along_axis(logprob_MV, ids_M[:, None], axis=1)
    return 1 + (logprob_MV > own_M1).sum(axis=1)


def side_by_side(functions: Sequence[DistributionFunction]) -> DistributionFunction:
    """Return a function that puts the results of all `functions` into the columns of one array,
    (M, columns)."""

    def apply_all(logprob_MV: Array, ids_M: np.ndarray) -> np.ndarray:
        results = [function(logprob_MV, ids_M) for function in functions]
        return np.concatenate([result.reshape(len(ids_M), -1) for result in results], axis=1)

    return apply_all


def likeliest(logprob_MV: Array, count: int) -> np.ndarray:
    """Return the `count` likeliest tokens of each distribution, likeliest first, (M, count, 2):
    their ids and log-probabilities."""
    logprob_MV = arrays.as_numpy(logprob_MV)
    count = min(count, logprob_MV.shape[1])
    ids_MK = np.argpartition(-logprob_MV, count - 1, axis=1)[:, :count]
    top_MK = np.take_along_axis(logprob_MV, ids_MK, axis=1)
    order_MK = np.lexsort((ids_MK, -top_MK), axis=1)
    both = [np.take_along_axis(values_MK, order_MK, axis=1) for values_MK in (ids_MK, top_MK)]
    return np.stack(both, axis=2)


def stepping(model: LanguageModel) -> LanguageModel:
    """Return a model for one caller that reads token by token: one with caches for this, if `model`
    offers it."""
    return model.stepping() if hasattr(model, "stepping") else model


def predict(model: LanguageModel, input_B: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """Return the distribution after one more token in each row, (B, V), and the state there."""
    predicted, state = model.predict(input_B[:, None], state)
    logprob_BV = arrays.as_numpy(predicted)[:, -1]
    check_scores(logprob_BV.max(axis=1))  # the largest of a row that holds a NaN is one
    return logprob_BV, state
