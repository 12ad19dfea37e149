"""Log-probabilities of tokens after less than all that stands before them: the last tokens alone, or all but the last ones shuffled.

What a model has read before a target are inputs: the tokens from where reading began, and the boundary `</s>` before the first of them.
The last k of them are read from the initial state with no boundary before them; where no more than k stand there, that is the true
beginning, boundary and all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.interface import HiddenStateModel, LanguageModel
from rnnlm.text.batches import with_boundary

Arrange = Callable[[np.ndarray, np.ndarray], np.ndarray]  # inputs (B, T) and the numbers of their places -> as they are read


@dataclass(frozen=True)
class Places:
    """Targets of a text, and what they may be predicted from. at_P: ascending positions in the ids. begin_P: where reading began
    before each, in `stream_N`, which holds the input of each position: `stream_N[begin_P[p] : at_P[p] + 1]` are all inputs before target p.
    """

    ids_N: np.ndarray
    stream_N: np.ndarray
    at_P: np.ndarray
    begin_P: np.ndarray

    @property
    def inputs_P(self) -> np.ndarray:
        """How many inputs stand before each target."""
        return self.at_P + 1 - self.begin_P

    def every(self, step: int) -> "Places":
        """One of `step` of these places."""
        return Places(self.ids_N, self.stream_N, self.at_P[::step], self.begin_P[::step])


def draw_places(ids_N: np.ndarray, spans_S2: np.ndarray, boundary_id: int, count: int, seed: int) -> Places:
    """At most `count` positions of a text, drawn at random without replacement. spans_S2: what is read from the initial state, as
    :func:`rnnlm.evaluation.perplexity.spans_of` has it."""
    generator = np.random.default_rng(seed)
    at_P = np.arange(len(ids_N)) if count >= len(ids_N) else np.sort(generator.choice(len(ids_N), count, replace=False))
    begin_P = spans_S2[np.searchsorted(spans_S2[:, 0], at_P, side="right") - 1, 0]
    return Places(ids_N, with_boundary(ids_N, boundary_id), at_P, begin_P)


def with_last(model: LanguageModel, places: Places, length: int) -> np.ndarray:
    """Log-probability (nats) of each target where only the last `length` inputs are read, (P,)."""
    return _score(model, places, length, lambda inputs_BT, _: inputs_BT)


def with_shuffled(model: LanguageModel, places: Places, kept: int, window: int, seed: int) -> np.ndarray:
    """Log-probability (nats) of each target where the last `window` inputs are read, those but the last `kept` of them in random
    order, (P,). The boundary that a text begins with stays first. The order depends on the seed alone: models of the same tokens read
    the same.
    """
    keys_PW = np.random.default_rng(seed).random((len(places.at_P), window))
    at_beginning_P = places.inputs_P <= window

    def shuffled(inputs_BT: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
        length = inputs_BT.shape[1]
        keys_BT = keys_PW[rows_B, window - length :]
        keys_BT[:, length - min(kept, length) :] = 1 + np.arange(min(kept, length))  # behind all others, in their order
        keys_BT[at_beginning_P[rows_B], 0] = -1
        return np.take_along_axis(inputs_BT, np.argsort(keys_BT, axis=1), axis=1)

    return _score(model, places, window, shuffled)


def _score(model: LanguageModel, places: Places, length: int, arrange: Arrange) -> np.ndarray:
    """Each target after at most `length` inputs. Equal lengths are read together, so that no row is padded."""
    length_P = np.minimum(places.inputs_P, length)
    logprob_P = np.empty(len(length_P))
    for its in np.unique(length_P).tolist():
        rows_R = np.flatnonzero(length_P == its)
        at_once = max(1, model.call_tokens // its)
        for rows_B in (rows_R[start : start + at_once] for start in range(0, len(rows_R), at_once)):
            at_B = places.at_P[rows_B]
            inputs_BT = places.stream_N[at_B[:, None] + np.arange(1 - its, 1)].astype(np.int64)
            logprob_P[rows_B] = _last(model, arrange(inputs_BT, rows_B), places.ids_N[at_B].astype(np.int64))
    return logprob_P


def _last(model: LanguageModel, inputs_BT: np.ndarray, target_B: np.ndarray) -> np.ndarray:
    """The target behind the last input of each row. A network works its output layer out there alone."""
    rows, length = inputs_BT.shape
    step = max(1, model.call_tokens // rows)
    targets_BT = np.concatenate([inputs_BT[:, 1:], target_B[:, None]], axis=1)
    state = model.initial_state(rows)
    for start in range(0, length, step):
        read = slice(start, start + step)
        if isinstance(model, HiddenStateModel):
            last_BTH, state = model.hidden(inputs_BT[:, read], state)
        else:
            last_BT, state = model.score(inputs_BT[:, read], targets_BT[:, read], state)
    if isinstance(model, HiddenStateModel):
        last_BT = model.score_hidden(last_BTH[:, -1:], targets_BT[:, -1:])
    return arrays.as_numpy(last_BT)[:, -1].astype(np.float64)
