"""Scores of a text, and what is seen of whole distributions at chosen places of it, in bounded
memory.

A network runs once; its output layer is worked out in full at the chosen places alone. Other models
predict everywhere, a few tokens at a time.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnnlm import arrays
from rnnlm.inference import span_scoring
from rnnlm.inference.span_scoring import check_scores
from rnnlm.interface import Array, HiddenStateModel, LanguageModel, State, answers_of
from rnnlm.text.encoding import known_ids

MOST_CELLS = 1 << 22  # of distributions in memory at once

# log-probabilities (nats), (M, V) -> what is kept of them, (M, ...)
Look = Callable[[Array], np.ndarray]


def score_and_look(
    model: LanguageModel, ids: np.ndarray, spans: np.ndarray, is_place_N: np.ndarray, look: Look,
    state: State | None = None,
    initial: span_scoring.Initial | None = None,
) -> tuple[np.ndarray, np.ndarray, State | None]:  # fmt: skip
    """The scores of `ids` as by :func:`rnnlm.inference.span_scoring.score_spans`; what `look` sees
    of the distribution of the token at each place (within the spans), in the order of places; and
    the state after the last token.

    state: what a single span begins with; None: its initial state, and none is given back. initial:
    what spans begin with, as there.
    """
    at_once = max(1, MOST_CELLS // model.tokenizer.size)
    network = answers_of(model).with_hidden_states
    reader: _Hidden | _Predicting
    if network is None:
        reader, tokens = _Predicting(model), min(model.call_tokens, at_once)
    else:
        reader, tokens = _Hidden(network, at_once), model.call_tokens
    carried = span_scoring.Carried(reader.step, state) if state is not None else None
    logprob_N = np.zeros(len(ids))
    places: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    step = carried.step if carried else reader.step
    for start_B, end_B, (logprob_BT, read) in span_scoring.windows(
        model, ids, spans, step, tokens, initial
    ):
        position_BT, inside_BT = span_scoring.positions(start_B, end_B)
        logprob_N[position_BT[inside_BT]] = arrays.as_numpy(logprob_BT)[inside_BT]
        chosen_BT = inside_BT & is_place_N[np.minimum(position_BT, len(ids) - 1)]
        if chosen_BT.any():
            places.append(position_BT[chosen_BT])
            seen.extend(map(look, reader.distributions(read, *np.nonzero(chosen_BT))))
    if not places:
        return logprob_N, np.zeros(0), carried.state if carried else None
    return (
        logprob_N,
        np.concatenate(seen)[np.argsort(np.concatenate(places))],
        carried.state if carried else None,
    )


class _Hidden:
    """Reads by way of hidden vectors, (B, T, H)."""

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
        for start in range(0, len(rows_M), self.at_once):
            chosen = (
                arrays.as_array_of(each[start : start + self.at_once], hidden_BTH)
                for each in (rows_M, times_M)
            )
            yield self.model.predict_hidden(hidden_BTH[tuple(chosen)][None])[0]


class _Predicting:
    """Reads by predicting, (B, T, V)."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def step(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[Array, Array], State]:
        predicted_BTV, state = self.model.predict(inputs_BT, state)
        known_BT = np.maximum(known_ids(targets_BT, self.model.tokenizer), 0)
        rows_B1, times_T = np.arange(len(known_BT))[:, None], np.arange(known_BT.shape[1])
        return (
            predicted_BTV[
                tuple(
                    arrays.as_array_of(each, predicted_BTV) for each in (rows_B1, times_T, known_BT)
                )
            ],
            predicted_BTV,
        ), state

    def distributions(
        self, predicted_BTV: Array, rows_M: np.ndarray, times_M: np.ndarray
    ) -> Iterator[Array]:
        yield predicted_BTV[
            tuple(arrays.as_array_of(each, predicted_BTV) for each in (rows_M, times_M))
        ]


def log_sum(logprob_MV: Array) -> np.ndarray:
    """log of the sum over V of the probabilities, (M,), float64, nats; -inf where that is 0."""
    xp = arrays.library(logprob_MV)
    largest_M = xp.amax(logprob_MV, -1)
    shift_M = xp.where(xp.isinf(largest_M), xp.zeros_like(largest_M), largest_M)
    sum_M = arrays.as_numpy(xp.exp(logprob_MV - shift_M[:, None]).sum(-1)).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.log(sum_M) + arrays.as_numpy(shift_M)


def entropy_bits(logprob_MV: Array) -> np.ndarray:
    """The entropy of each distribution, (M,), float64, bits; one that does not sum to one is
    divided by its sum before."""
    xp = arrays.library(logprob_MV)
    p_MV = xp.exp(logprob_MV)
    weighted_MV = p_MV * xp.where(p_MV > 0, logprob_MV, xp.zeros_like(logprob_MV))
    mean_M, total_M = (
        arrays.as_numpy(each_MV.sum(-1)).astype(np.float64) for each_MV in (weighted_MV, p_MV)
    )
    # after a context in which nothing is possible
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(0.0, np.log(total_M) - mean_M / total_M) / np.log(2)


def side_by_side(looks: Sequence[Look]) -> Look:
    """What all of `looks` see, as the columns of one array, (M, columns)."""
    return lambda logprob_MV: np.concatenate(
        [look(logprob_MV).reshape(len(logprob_MV), -1) for look in looks], axis=1
    )


def likeliest(logprob_MV: Array, count: int) -> np.ndarray:
    """The `count` likeliest tokens of each distribution, likeliest first, (M, count, 2): their ids,
    their log-probabilities."""
    logprob_MV = arrays.as_numpy(logprob_MV)
    count = min(count, logprob_MV.shape[1])
    top_MK = np.argpartition(-logprob_MV, count - 1, axis=1)[:, :count]
    its_MK = np.take_along_axis(logprob_MV, top_MK, axis=1)
    order_MK = np.lexsort((top_MK, -its_MK), axis=1)
    return np.stack(
        [np.take_along_axis(each, order_MK, axis=1) for each in (top_MK, its_MK)], axis=2
    )


def predict(model: LanguageModel, input_B: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """The distribution after one more token in each row, (B, V), and the state there.

    Raises:
        ModelError: it is not made of numbers.
    """
    predicted, state = model.predict(input_B[:, None], state)
    logprob_BV = arrays.as_numpy(predicted)[:, -1]
    check_scores(logprob_BV.max(axis=1))  # the largest of a row that holds a NaN is one
    return logprob_BV, state
