"""How often words occurred in the training text, as a covariate of reading times.

log10_frequency = log10(count of the word / all words of the training text): 0.001 is -3. Add 6 for occurrences per million words, 9
for the Zipf scale (van Heuven et al. 2014).
"""

import numpy as np

from rnnlm.inference.word_surprisal import WordSpans
from rnnlm.interface import Tokenizer
from rnnlm.text.encoding import known_ids


class WordFrequencies:
    """The frequencies of the words of a tokenizer. are_known: false where tokens are pieces of words, or were not counted."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        counts_V = tokenizer.counts_V
        self.are_known = tokenizer.name == "word" and counts_V is not None
        if counts_V is None or not self.are_known:
            return
        counts_V = np.where(np.arange(len(counts_V)) == tokenizer.boundary_id, 0.0, counts_V)
        with np.errstate(divide="ignore", invalid="ignore"):
            log10_V = np.log10(counts_V / counts_V.sum())
        log10_V[[tokenizer.boundary_id, *([] if tokenizer.unk_id is None else [tokenizer.unk_id])]] = np.nan
        self._log10_V = np.where(np.isfinite(log10_V), log10_V, np.nan)
        self._is_mark_V = np.array([not any(map(str.isalnum, symbol)) for symbol in tokenizer.symbols()])

    def of(self, words: WordSpans, ids_N: np.ndarray) -> np.ndarray:
        """log10_frequency of each of the words, (W,), NaN where it has none.

        A written word has that of the one token in it that holds a letter or digit: "dog." counts as "dog" where the mark is a token of
        its own. Unknown words have none, nor have words of several such tokens, nor `</s>`.
        """
        if not self.are_known:
            return np.full(len(words.starts), np.nan)
        ids_N = known_ids(ids_N, self._tokenizer)
        parts_N = np.flatnonzero(~self._is_mark_V[ids_N])
        first_W, last_W = np.searchsorted(parts_N, words.starts), np.searchsorted(parts_N, words.ends)
        is_mark_W = (first_W == last_W) & (words.ends == words.starts + 1)
        at_W = np.where(is_mark_W, words.starts, np.append(parts_N, 0)[first_W])
        return np.where(is_mark_W | (last_W == first_W + 1), self._log10_V[ids_N[at_W]], np.nan)
