"""The beams of many texts while they grow by one token at a time; knows nothing of the model."""

import heapq
import math
from typing import Annotated

import numpy as np
from msgspec import Meta

from rnnlm.generation.best_tokens import best_tokens
from rnnlm.generation.starts import Found, Starts
from rnnlm.generation.word_constraints import LOOK_BACK, Ban

LengthPower = Annotated[float, Meta(ge=0, le=10)]  # at 10, texts of 10^30 tokens have a penalty still


def length_penalty(tokens: int, length_power: float) -> float:
    """What the log-probability of a text of so many tokens is divided by: ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation 14,
    without its coverage)."""
    return math.pow((5 + tokens) / 6, length_power)


class Beams:
    """L texts that are alive, P rows for each, the best first; all have as many tokens. And what is found of each of the S texts.

    Rows stand in equal groups by text, so that a decoder's memory of a source serves its group: a text of which fewer are alive has rows of
    no probability at the end of its group.
    """

    def __init__(self, starts: Starts, beam: int, length_power: float, nbest: int, boundary: int) -> None:
        """nbest: how many of each text will be wanted; what cannot be among them is not kept."""
        self.starts, self.beam, self.length_power, self.nbest, self.boundary = starts, beam, length_power, nbest, boundary
        self.limits_S = np.asarray(starts.limits_S)
        self.highest_penalty_S = np.array([length_penalty(limit, length_power) for limit in self.limits_S.tolist()])
        self.found_S: list[list[Found]] = [[] for _ in range(len(starts))]
        self._scores_S: list[list[float]] = [[] for _ in range(len(starts))]  # heaps of the nbest best
        self.number_S = np.zeros(len(starts), dtype=np.int64)  # of those that are finished
        self.worst_S = np.full(len(starts), -np.inf)  # score of the last of the nbest best
        self.text_L = np.arange(len(starts))
        self.total_LP = np.zeros((len(starts), 1))
        self.ids_RT = np.zeros((len(starts), 0), dtype=np.int64)  # R = L P

    def forbidden(self, ban: Ban, row: int) -> list[int]:
        """What must not come next in a row, beside what never may."""
        text, ids_T = int(self.text_L[row // self.total_LP.shape[1]]), self.ids_RT[row]
        before = [*self.starts.prompt(text)[-LOOK_BACK:].tolist(), *ids_T[-LOOK_BACK:].tolist()]
        return ban.forbidden(before, bool(len(ids_T) + 1 == self.limits_S[text]))

    def grow(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Adds a token, out of those of each row, to the texts that go on: the rows that they come from, and the tokens."""
        origin_LB, token_LB, total_LB = self._best(token_RK, logprob_RK)
        is_possible_LB = total_LB > -np.inf
        is_over_LB = (token_LB == self.boundary) | (self.limits_S[self.text_L] == self.ids_RT.shape[1] + 1)[:, None]
        for slot, place in np.argwhere(is_possible_LB & is_over_LB).tolist():
            ids = (*self.ids_RT[origin_LB[slot, place]].tolist(), int(token_LB[slot, place]))
            self._add(int(self.text_L[slot]), ids, float(total_LB[slot, place]))
        total_LB = np.where(is_over_LB, -np.inf, total_LB)
        highest_L = total_LB.max(axis=1) / self.highest_penalty_S[self.text_L]
        is_settled_L = (highest_L <= self.worst_S[self.text_L]) | (self.number_S[self.text_L] >= self.beam)
        alive = np.flatnonzero(~is_settled_L)[:, None]
        most = int((total_LB[alive[:, 0]] > -np.inf).sum(axis=1).max(initial=0))
        order_LP = np.argsort(total_LB[alive[:, 0]] == -np.inf, axis=1, kind="stable")[:, :most]  # those that go on, then the others
        origin_R, token_R = origin_LB[alive, order_LP].ravel(), token_LB[alive, order_LP].ravel()
        self.text_L, self.total_LP = self.text_L[alive[:, 0]], total_LB[alive, order_LP]
        self.ids_RT = np.concatenate([self.ids_RT[origin_R], token_R[:, None]], axis=1)
        return origin_R, token_R

    def _best(self, token_RK: np.ndarray, logprob_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The `beam` best continuations of each text: row, token and log-probability, (L, B); -inf where there is none."""
        (texts, places), candidates = self.total_LP.shape, token_RK.shape[1]
        total_LPK = self.total_LP[:, :, None] + logprob_RK.reshape(texts, places, candidates)
        at_LB, total_LB = best_tokens(total_LPK.reshape(texts, -1), self.beam)
        place_LB, candidate_LB = np.divmod(at_LB, candidates)
        origin_LB = np.arange(texts)[:, None] * places + place_LB
        return origin_LB, token_RK[origin_LB, candidate_LB], total_LB

    def _add(self, text: int, ids: tuple[int, ...], total: float) -> None:
        """One of the continuations of a text is finished."""
        score = total / length_penalty(len(ids), self.length_power)
        self.number_S[text] += 1
        if score < self.worst_S[text]:
            return
        self.found_S[text].append(Found(ids, total, score, ids[-1] == self.boundary))
        scores = self._scores_S[text]
        if len(scores) < self.nbest:
            heapq.heappush(scores, score)
        else:
            heapq.heappushpop(scores, score)
        if len(scores) == self.nbest:
            self.worst_S[text] = scores[0]
