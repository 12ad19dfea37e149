"""Beam search for the best continuations of many texts at once, from the states that they are given.

At each step the `beam` best continuations of a text are taken, `</s>` among them; those that end are finished, the others go on. A
text is settled when `beam` of its continuations are finished, when nothing alive can become one of the best `nbest`, or at its limit,
where those that did not end are ranked as they stand. A settled text leaves the batch.

Texts are ranked by log P / lp with lp = ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation 14). Of equal continuations the one
with the better beginning is taken, then the one with the lower token id; of equal texts the shorter, then the lower ids. With a beam of 1
that is greedy search. :mod:`rnnlm.generation.beam_search` lets every beginning end at every step.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from rnnlm.config import Count, NonNegative
from rnnlm.errors import UsageError
from rnnlm.generation.best_tokens import best_tokens
from rnnlm.generation.starts import Found, Starts
from rnnlm.generation.word_constraints import LOOK_BACK, Ban
from rnnlm.interface import Array, LanguageModel, State

MOST_CELLS = 1 << 24  # of the scores, (R, V), that one call of the model gives
FEW = 8  # tokens that are forbidden at every step, so many without a copy of the scores


@dataclass(frozen=True)
class SearchSettings:
    """How wide the beam is, how texts of different length compare, and how many are wanted."""

    beam: Annotated[Annotated[int, Meta(ge=1, le=1 << 16)], Meta(description="continuations kept at each step; 1: greedy search")] = 5
    length_power: Annotated[NonNegative, Meta(description="0: by probability, which favours short texts; 1: nearly per token")] = 1.0
    nbest: Annotated[Count, Meta(description="texts to give back, at most as many as the beam is wide")] = 1
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False


def search(model: LanguageModel, starts: Starts, settings: SearchSettings = SearchSettings(), ban: Ban | None = None) -> list[list[Found]]:
    """For each text its `nbest` best continuations, best first; fewer where no more are possible.

    What is found for a text depends on the others only as far as the model's rounding does. ban: what must not be written, beside <unk>
    where `settings` forbid it.

    Raises:
        UsageError: `nbest` is above the beam's width; the model reads fewer rows at once; nothing is left to write. ModelError: the model's
            scores are not numbers.
    """
    if settings.nbest > settings.beam:
        raise UsageError(f"nbest = {settings.nbest} does not go with a beam of {settings.beam}", "it keeps so many texts", "widen the beam")
    if model.max_rows and model.max_rows < len(starts) * settings.beam:
        raise UsageError(f"this model reads {model.max_rows} texts at a time", "its weights follow them", "search without --adapt dynamic")
    reader = _Reader(model, settings, ban)
    beams = _Beams(starts, settings, model.tokenizer.boundary_id)
    state, input_R = starts.state, np.asarray(starts.input_S)
    while len(input_R):
        token_RK, logprob_RK, state = reader.read(input_R, state, beams)
        origin_R, input_R = beams.grow(token_RK, logprob_RK)
        if len(input_R) and not np.array_equal(origin_R, np.arange(len(token_RK))):
            state = state.select(origin_R)
    return [_ranked(found, settings.nbest) for found in beams.found_S]


def length_penalty(tokens: np.ndarray | int, length_power: float) -> np.ndarray | float:
    """What the log-probability of a text of so many tokens is divided by (Wu et al. 2016, equation 14, without its coverage)."""
    return ((5 + tokens) / 6) ** length_power


def _ranked(found: list[Found], count: int) -> list[Found]:
    if not found:
        raise UsageError("nothing is left to write", "every text has probability zero or is forbidden", "forbid less")
    return sorted(found, key=lambda text: (-text.score, len(text.ids), text.ids))[:count]


class _Beams:
    """The texts while they grow: R rows, those of a text side by side, the best first. All are of the same length."""

    def __init__(self, starts: Starts, settings: SearchSettings, boundary: int) -> None:
        self.starts, self.limits_S, self.settings, self.boundary = starts, np.asarray(starts.limits_S), settings, boundary
        self.found_S: list[list[Found]] = [[] for _ in range(len(starts))]
        self.number_S = np.zeros(len(starts), dtype=np.int64)  # of those found
        self.worst_S = np.full(len(starts), -np.inf)  # score of the last that would be given back
        self.text_R = np.arange(len(starts))
        self.total_R = np.zeros(len(starts))
        self.ids_RT = np.zeros((len(starts), 0), dtype=np.int64)

    def grow(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Adds a token to each of the texts that go on: the rows that they come from, and the tokens."""
        text_L, first_L, slot_R = np.unique(self.text_R, return_index=True, return_inverse=True)  # the L texts that are alive
        place_R = np.arange(len(slot_R)) - first_L[slot_R]
        total_LPK = np.full((len(text_L), int(place_R.max()) + 1, token_RK.shape[1]), -np.inf)
        total_LPK[slot_R, place_R] = self.total_R[:, None] + logprob_RK
        at_LB, total_LB = best_tokens(total_LPK.reshape(len(text_L), -1), self.settings.beam)
        place_LB, candidate_LB = np.divmod(at_LB, token_RK.shape[1])
        is_possible_LB = total_LB > -np.inf
        origin_LB = np.where(is_possible_LB, first_L[:, None] + place_LB, 0)
        token_LB = token_RK[origin_LB, candidate_LB]
        length = self.ids_RT.shape[1] + 1
        is_ended_LB = is_possible_LB & (token_LB == self.boundary)
        is_last_L1 = (self.limits_S[text_L] == length)[:, None]
        for slot, place in np.argwhere(is_possible_LB & (is_ended_LB | is_last_L1)).tolist():
            ids = (*self.ids_RT[origin_LB[slot, place]].tolist(), int(token_LB[slot, place]))
            self._add(int(text_L[slot]), ids, float(total_LB[slot, place]))
        is_going_LB = is_possible_LB & ~is_ended_LB & ~is_last_L1
        is_going_LB &= ~self._is_settled(text_L, np.where(is_going_LB, total_LB, -np.inf).max(axis=1))[:, None]
        origin_R, token_R = origin_LB[is_going_LB], token_LB[is_going_LB]
        self.text_R = np.broadcast_to(text_L[:, None], is_going_LB.shape)[is_going_LB]
        self.total_R = total_LB[is_going_LB]
        self.ids_RT = np.concatenate([self.ids_RT[origin_R], token_R[:, None]], axis=1)
        return origin_R, token_R

    def forbidden(self, ban: Ban, row: int) -> list[int]:
        """What must not come next in a row, beside what never may."""
        text, ids_T = int(self.text_R[row]), self.ids_RT[row]
        before = [*self.starts.prompt(text)[-LOOK_BACK:].tolist(), *ids_T[-LOOK_BACK:].tolist()]
        return ban.forbidden(before, bool(len(ids_T) + 1 == self.limits_S[text]))

    def _add(self, text: int, ids: tuple[int, ...], total: float) -> None:
        score = total / float(length_penalty(len(ids), self.settings.length_power))
        self.found_S[text].append(Found(ids, total, score, ids[-1] == self.boundary))
        self.number_S[text] += 1
        if self.number_S[text] >= self.settings.nbest:
            self.worst_S[text] = sorted(found.score for found in self.found_S[text])[-self.settings.nbest]

    def _is_settled(self, text_L: np.ndarray, best_L: np.ndarray) -> np.ndarray:
        """Whether enough is found of each text, or `best_L`, the likeliest of those alive, cannot become good enough: its probability only
        falls, and no length divides it by more than the limit does."""
        highest_L = best_L / length_penalty(self.limits_S[text_L], self.settings.length_power)
        is_enough_L = self.number_S[text_L] >= self.settings.beam
        return np.asarray(is_enough_L | ((self.number_S[text_L] >= self.settings.nbest) & (highest_L <= self.worst_S[text_L])))


class _Reader:
    """Reads one token of each row, and gives the likeliest that may come next."""

    def __init__(self, model: LanguageModel, settings: SearchSettings, ban: Ban | None) -> None:
        self.model, self.ban = model, ban
        self.count = min(settings.beam, model.tokenizer.size)
        self.most_rows = max(1, MOST_CELLS // model.tokenizer.size)
        unk_id = model.tokenizer.unk_id
        forbidden = [] if settings.unknown or unk_id is None else [unk_id]
        self.always = sorted({*forbidden, *(ban.always.tolist() if ban else ())})

    def read(self, input_R: np.ndarray, state: State, beams: _Beams) -> tuple[np.ndarray, np.ndarray, State]:
        """Tokens (R, K) and their log-probabilities (R, K), and the state after the inputs."""
        if len(input_R) <= self.most_rows:
            predicted_R1V, state = self.model.predict(input_R[:, None], state)
            return *self._best(predicted_R1V[:, -1], beams, 0), state
        parts, states = [], []
        for first in range(0, len(input_R), self.most_rows):
            rows = np.arange(first, min(first + self.most_rows, len(input_R)))
            predicted_R1V, after = self.model.predict(input_R[rows][:, None], state.select(rows))
            parts.append(self._best(predicted_R1V[:, -1], beams, first))
            states.append(after)
        return *map(np.concatenate, zip(*parts, strict=True)), self.model.concat_states(states)

    def _best(self, logprob_RV: Array, beams: _Beams, first: int) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, of the rows from `first` on."""
        looks_back = self.ban is not None and self.ban.looks_back
        if len(self.always) <= FEW and not looks_back:
            return best_tokens(logprob_RV, self.count, self.always)
        allowed_RV = logprob_RV.copy() if isinstance(logprob_RV, np.ndarray) else logprob_RV.clone()
        allowed_RV[:, self.always] = -np.inf
        if self.ban is not None and looks_back:
            for row in range(len(allowed_RV)):
                allowed_RV[row, beams.forbidden(self.ban, first + row)] = -np.inf
        return best_tokens(allowed_RV, self.count)
