"""Score a text and apply functions to whole distributions at chosen places, in bounded memory.

A network runs once; its output layer is computed in full at the chosen places alone. Other models
predict everywhere, a few tokens at a time.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnnlm import arrays
from rnnlm.events import pieces
from rnnlm.interface import Array, HiddenStateModel, LanguageModel, State
from rnnlm.lm.base import span_scoring
from rnnlm.lm.base.span_scoring import check_scores
from rnnlm.text.encoding import known_ids

MOST_CELLS = 1 << 22  # of distributions in memory at once

# log-probabilities (nats), (M, V) -> the part of them to keep, (M, ...)
DistributionFunction = Callable[[Array], np.ndarray]


def score_and_apply(
    model: LanguageModel,
    ids: np.ndarray,
    spans: np.ndarray,
    is_place_N: np.ndarray,
    function: DistributionFunction,
    state: State | None = None,
    initial: span_scoring.Initial | None = None,
) -> tuple[np.ndarray, np.ndarray, State | None]:
    """Score `ids` as :func:`rnnlm.lm.base.span_scoring.score_spans` does, and apply `function` to
    the distribution of the token at each place (within the spans).

    Return the scores, the results of `function` in the order of places, and the state after the
    last token.

    state: where a single span begins; None: in its initial state, and no state is returned.
    initial: where spans begin, as in `score_spans`.
    """
    reader, tokens = _reader_of(model)
    carried = span_scoring.StatefulStep(reader.step, state) if state is not None else None
    step = carried.step if carried else reader.step

    logprob_N = np.zeros(len(ids))
    places: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    for start_B, end_B, (logprob_BT, read) in span_scoring.windows(
        model, ids, spans, step, tokens, initial
    ):
        position_BT, inside_BT = span_scoring.positions(start_B, end_B)
        logprob_N[position_BT[inside_BT]] = arrays.as_numpy(logprob_BT)[inside_BT]
        # Padding may come after the last token, where there is no place.
        chosen_BT = inside_BT & is_place_N[np.minimum(position_BT, len(ids) - 1)]
        if chosen_BT.any():
            places.append(position_BT[chosen_BT])
            rows_M, times_M = np.nonzero(chosen_BT)
            seen += map(function, reader.distributions(read, rows_M, times_M))

    # Spans are read by length: bring the results into the order of the text.
    seen_M = np.concatenate(seen)[np.argsort(np.concatenate(places))] if places else np.zeros(0)
    return logprob_N, seen_M, carried.state if carried else None


def ranks(
    model: LanguageModel,
    ids: np.ndarray,
    spans: np.ndarray,
    initial: span_scoring.Initial | None = None,
) -> np.ndarray:
    """Return the rank of each token of `ids` within the `spans`, (N,): 1 is the likeliest; of
    equally likely tokens all have the best rank. 0 elsewhere.

    spans, initial: as in :func:`rnnlm.lm.base.span_scoring.score_spans`.
    """
    reader, tokens = _reader_of(model)
    rank_N = np.zeros(len(ids), dtype=np.int64)
    known_N = known_ids(ids, model.tokenizer)
    for start_B, end_B, (_, read) in span_scoring.windows(
        model, ids, spans, reader.step, tokens, initial
    ):
        position_BT, inside_BT = span_scoring.positions(start_B, end_B)
        at_M = position_BT[inside_BT]
        first = 0
        for logprob_MV in reader.distributions(read, *np.nonzero(inside_BT)):
            logprob_MV = arrays.as_numpy(logprob_MV)
            part_M = at_M[first : first + len(logprob_MV)]
            own_M1 = np.take_along_axis(logprob_MV, known_N[part_M, None], axis=1)
            rank_N[part_M] = 1 + (logprob_MV > own_M1).sum(axis=1)
            first += len(part_M)
    return rank_N


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
        for part in pieces(arrays.blocks(len(rows_M), self.at_once)):
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


def side_by_side(functions: Sequence[DistributionFunction]) -> DistributionFunction:
    """Return a function that puts the results of all `functions` into the columns of one array,
    (M, columns)."""

    def apply_all(logprob_MV: Array) -> np.ndarray:
        columns = [function(logprob_MV).reshape(len(logprob_MV), -1) for function in functions]
        return np.concatenate(columns, axis=1)

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
