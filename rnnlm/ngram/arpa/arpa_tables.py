"""The tables of an ARPA file while it is read, order by order, in which each context comes to be an n-gram of its own.

Programs that prune may leave out the context of an n-gram that they keep. It is put in with the probability that
backing off gives it and backoff weight 1: no score changes by that.
"""

import numpy as np

from rnnlm.ngram.tables import NOWHERE, BackoffLevel, find, find_many, make_keys


class ArpaTables:
    """The orders read so far; `levels[n - 1]` is that of order n. The first is made of the values of V words and `<s>`."""

    def __init__(self, unigram_values_M2: np.ndarray) -> None:
        self.size = len(unigram_values_M2) - 1
        self.levels = [BackoffLevel(self.size, np.arange(self.size + 1, dtype=np.uint64), unigram_values_M2)]

    def add(self, keys_M: np.ndarray, values_M2: np.ndarray) -> None:
        """The next order; keys are sorted."""
        self.levels.append(BackoffLevel(self.size, keys_M, values_M2))

    def numbers(self, ids_MK: np.ndarray) -> np.ndarray:
        """The number of each K-gram, NOWHERE where it is not there."""
        numbers_M = ids_MK[:, 0].astype(np.int64)
        for at in range(1, ids_MK.shape[1]):
            numbers_M = find_many(self.levels[at].keys_M, make_keys(numbers_M, ids_MK[:, at], self.size))
        return numbers_M

    def insert(self, ids_QK: np.ndarray) -> np.ndarray:
        """Put in the K-grams that are not there, with all that they begin with; the numbers of K-grams before which they went."""
        places = np.zeros(0, dtype=np.int64)
        for n in range(2, ids_QK.shape[1] + 1):
            ids_QN = ids_QK[:, :n]
            keys_Q = make_keys(self.numbers(ids_QN[:, :-1]), ids_QN[:, -1], self.size)
            absent = np.flatnonzero(find(self.levels[n - 1].keys_M, keys_Q) == NOWHERE)
            keys_A, first = np.unique(keys_Q[absent], return_index=True)
            places = self._put_in(n, keys_A, self._backed_off(ids_QN[absent[first]]))
        return places

    def _backed_off(self, ids_QK: np.ndarray) -> np.ndarray:
        """log p of each last word after the words before it, as a model with these tables gives it."""
        logprob_Q, is_open_Q = np.zeros(len(ids_QK)), np.ones(len(ids_QK), dtype=bool)
        for first in range(ids_QK.shape[1]):
            level, numbers_Q = self.levels[ids_QK.shape[1] - first - 1], self.numbers(ids_QK[:, first:])
            is_hit_Q = is_open_Q & (numbers_Q >= 0)
            logprob_Q[is_hit_Q] += level.logprob_M[numbers_Q[is_hit_Q]]
            is_open_Q &= ~is_hit_Q
            if not is_open_Q.any():
                break
            below, contexts_Q = self.levels[ids_QK.shape[1] - first - 2], self.numbers(ids_QK[:, first:-1])
            gives_up_Q = is_open_Q & (contexts_Q >= 0)
            logprob_Q[gives_up_Q] += below.logbackoff_M[contexts_Q[gives_up_Q]]
        return logprob_Q

    def _put_in(self, n: int, keys_A: np.ndarray, logprob_A: np.ndarray) -> np.ndarray:
        """Insert n-grams of order n and renumber what follows them; before which numbers they went."""
        level = self.levels[n - 1]
        places = np.searchsorted(level.keys_M, keys_A)
        values_A2 = np.stack([logprob_A, np.zeros(len(keys_A))], axis=1)
        keys_M, values_M2 = np.insert(level.keys_M, places, keys_A), np.insert(level.values_MK, places, values_A2, axis=0)
        self.levels[n - 1] = BackoffLevel(self.size, keys_M, values_M2)
        if n < len(self.levels):
            after = self.levels[n]
            keys_M = make_keys(moved(after.contexts_M, places), after.words_M, self.size)
            self.levels[n] = BackoffLevel(self.size, keys_M, after.values_MK)
        return places


def moved(numbers_M: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What `numbers_M` become where n-grams were put in before the numbers `places`."""
    return numbers_M + np.searchsorted(places, numbers_M, side="right")
