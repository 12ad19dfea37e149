"""The beams of many texts while they grow by one token at a time; knows nothing of the model."""

import heapq
import math

import numpy as np

from rnnlm.generation.best_tokens import best_tokens
from rnnlm.generation.starts import Found, Starts
from rnnlm.generation.word_constraints import LOOK_BACK, Ban


def length_penalty(tokens: int, length_power: float) -> float:
    """What the log-probability of a text of so many tokens is divided by: ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation 14,
    without its coverage)."""
    return math.pow((5 + tokens) / 6, length_power)


class Beams:
    """R rows, those of a text side by side, the best first; all have as many tokens. And what is found of each of the S texts."""

    def __init__(self, starts: Starts, beam: int, length_power: float, nbest: int, boundary: int) -> None:
        """nbest: how many of each text will be wanted; what cannot be among them is not kept."""
        self.starts, self.beam, self.length_power, self.nbest, self.boundary = starts, beam, length_power, nbest, boundary
        self.limits_S = np.asarray(starts.limits_S)
        self.highest_penalty_S = np.array([length_penalty(limit, length_power) for limit in self.limits_S.tolist()])
        self.found_S: list[list[Found]] = [[] for _ in range(len(starts))]
        self._scores_S: list[list[float]] = [[] for _ in range(len(starts))]  # heaps of the nbest best
        self.number_S = np.zeros(len(starts), dtype=np.int64)  # of those that are finished
        self.worst_S = np.full(len(starts), -np.inf)  # score of the last of the nbest best
        self.text_R = np.arange(len(starts))
        self.total_R = np.zeros(len(starts))
        self.ids_RT = np.zeros((len(starts), 0), dtype=np.int64)

    def forbidden(self, ban: Ban, row: int) -> list[int]:
        """What must not come next in a row, beside what never may."""
        text, ids_T = int(self.text_R[row]), self.ids_RT[row]
        before = [*self.starts.prompt(text)[-LOOK_BACK:].tolist(), *ids_T[-LOOK_BACK:].tolist()]
        return ban.forbidden(before, bool(len(ids_T) + 1 == self.limits_S[text]))

    def grow(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Adds a token, out of those of each row, to the texts that go on: the rows that they come from, and the tokens."""
        text_L, origin_LB, token_LB, total_LB = self._best(token_RK, logprob_RK)
        is_possible_LB = total_LB > -np.inf
        is_over_LB = (token_LB == self.boundary) | (self.limits_S[text_L] == self.ids_RT.shape[1] + 1)[:, None]
        for slot, place in np.argwhere(is_possible_LB & is_over_LB).tolist():
            self._add(int(origin_LB[slot, place]), int(token_LB[slot, place]), float(total_LB[slot, place]))
        is_going_LB = is_possible_LB & ~is_over_LB
        best_L = np.where(is_going_LB, total_LB, -np.inf).max(axis=1)
        is_hopeless_L = best_L / self.highest_penalty_S[text_L] <= self.worst_S[text_L]
        is_going_LB &= ~(is_hopeless_L | (self.number_S[text_L] >= self.beam))[:, None]
        origin_R, token_R = origin_LB[is_going_LB], token_LB[is_going_LB]
        self.text_R, self.total_R = self.text_R[origin_R], total_LB[is_going_LB]
        self.ids_RT = np.concatenate([self.ids_RT[origin_R], token_R[:, None]], axis=1)
        return origin_R, token_R

    def _best(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The L texts that are alive, and the `beam` best continuations of each: row, token and log-probability, (L, beam); -inf where
        there is none."""
        text_L, first_L, slot_R = np.unique(self.text_R, return_index=True, return_inverse=True)
        place_R = np.arange(len(slot_R)) - first_L[slot_R]
        total_LPK = np.full((len(text_L), int(place_R.max()) + 1, token_RK.shape[1]), -np.inf)
        total_LPK[slot_R, place_R] = self.total_R[:, None] + logprob_RK
        at_LB, total_LB = best_tokens(total_LPK.reshape(len(text_L), -1), self.beam)
        place_LB, candidate_LB = np.divmod(at_LB, token_RK.shape[1])
        origin_LB = np.where(total_LB > -np.inf, first_L[:, None] + place_LB, 0)
        return text_L, origin_LB, token_RK[origin_LB, candidate_LB], total_LB

    def _add(self, row: int, token: int, total: float) -> None:
        """A text is finished: that of a row and one more token."""
        text = int(self.text_R[row])
        score = total / length_penalty(self.ids_RT.shape[1] + 1, self.length_power)
        self.number_S[text] += 1
        if score < self.worst_S[text]:
            return
        self.found_S[text].append(Found((*self.ids_RT[row].tolist(), token), total, score, token == self.boundary))
        scores = self._scores_S[text]
        if len(scores) < self.nbest:
            heapq.heappush(scores, score)
        else:
            heapq.heappushpop(scores, score)
        if len(scores) == self.nbest:
            self.worst_S[text] = scores[0]
