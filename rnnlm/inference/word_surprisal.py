"""Surprisals of whole words under models of pieces: bytes, characters, subwords (Pimentel & Meister 2024; Oh & Schuler 2024).

That w is the next word after the words c includes that the piece behind it begins another one. Along the tokenizer's own
segmentation, with B(x) the sum of P(v|x) over the pieces v that begin a word (`</s>` among them):

    P(w|c) = P(pieces of w | c) B(c w) / B(c),   B = 1 at the start of a line

`</s>` is an item of its own, P(</s>|c) / B(c): the factors B cancel, and the surprisals of a line's words and of its end add up to
the line's. White space belongs to the word behind it, at the end of a line to `</s>`. Of tokenizers whose every token is a word, B
is 1.
"""

from dataclasses import dataclass

import numpy as np

from rnnlm.inference.distributions import log_sum
from rnnlm.interface import Array, Encoded, Tokenizer
from rnnlm.text.lines import WORD_SPACE

ROUNDING_NATS = 1e-5


@dataclass(frozen=True)
class WordSpans:
    """Where the words of a chunk of lines are. starts, ends: (W,) bounds in the ids, `</s>` an item of its own.

    line_bounds: (lines + 1,) the items of line i are those from `line_bounds[i]` to `line_bounds[i + 1]`.
    is_place_N: where B is needed, before the token there is read.
    """

    starts: np.ndarray
    ends: np.ndarray
    line_bounds: np.ndarray
    is_place_N: np.ndarray


class WordFinder:
    """Finds words among the tokens of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.starts_word_V = tokenizer.starts_word_V
        self.starters = np.flatnonzero(self.starts_word_V)
        self.tokens_are_words = bool(self.starts_word_V.all())
        self.is_space_V = np.zeros(tokenizer.size, dtype=bool)
        if not self.tokens_are_words:
            candidates = [id for id in self.starters.tolist() if id != tokenizer.boundary_id]
            self.is_space_V[[id for id in candidates if not tokenizer.decode([id]).strip(WORD_SPACE)]] = True

    def log_boundary(self, logprob_MV: Array) -> np.ndarray:
        """log B (nats), (M,) float64, of distributions over the next token."""
        return log_sum(logprob_MV[:, self.starters])

    def find(self, encoded: Encoded, begins: np.ndarray) -> WordSpans:
        """The words of the lines, each read from its token `begins` on: what stands before is given."""
        if self.tokens_are_words:
            return self._each_token(encoded, begins)
        is_start_N = self.starts_word_V[encoded.ids]
        is_start_N[1:] &= ~self.is_space_V[encoded.ids[:-1]]
        is_start_N[begins] = True
        starts = np.flatnonzero(is_start_N & _within(encoded, begins))
        line_starts = encoded.offsets[:-1]
        is_place_N = np.zeros(len(encoded.ids), dtype=bool)
        is_place_N[starts] = True
        is_place_N[line_starts] = False
        return _words(encoded, starts, is_place_N)

    def _each_token(self, encoded: Encoded, begins: np.ndarray) -> WordSpans:
        starts = np.flatnonzero(_within(encoded, begins))
        return _words(encoded, starts, np.zeros(len(encoded.ids), dtype=bool))


def _within(encoded: Encoded, begins: np.ndarray) -> np.ndarray:
    """Which tokens do not stand before their line's `begins`."""
    return np.arange(len(encoded.ids)) >= np.repeat(begins, np.diff(encoded.offsets))


def _words(encoded: Encoded, starts: np.ndarray, is_place_N: np.ndarray) -> WordSpans:
    line_bounds = np.searchsorted(starts, encoded.offsets)
    ends = np.append(starts[1:], len(encoded.ids))
    ends[line_bounds[1:] - 1] = encoded.offsets[1:]
    return WordSpans(starts, ends, line_bounds, is_place_N)


def surprisals(words: WordSpans, logprob_N: np.ndarray, log_boundary: np.ndarray | float) -> np.ndarray:
    """-log2 p of each item, (W,); infinite or NaN where it or what stands before it is impossible.

    log_boundary: log B (nats) at the places of `words`, in their order.
    """
    log_boundary_N = np.zeros(len(logprob_N) + 1)
    log_boundary_N[:-1][words.is_place_N] = log_boundary
    after_W = log_boundary_N[words.ends]
    after_W[words.line_bounds[1:] - 1] = 0.0  # behind `</s>`; with a given text there may be a place at the next line's begin
    with np.errstate(invalid="ignore"):
        cost_W = -(np.add.reduceat(logprob_N, words.starts) if _is_gapless(words) else _sums(words, logprob_N))
        cost_W = cost_W - after_W + log_boundary_N[words.starts]
    return np.where((cost_W < 0) & (cost_W > -ROUNDING_NATS), 0.0, cost_W) / np.log(2)


def _is_gapless(words: WordSpans) -> bool:
    return len(words.starts) > 0 and bool((words.ends[:-1] == words.starts[1:]).all())


def _sums(words: WordSpans, logprob_N: np.ndarray) -> np.ndarray:
    bounds = np.stack([words.starts, words.ends], axis=1).ravel()
    return np.add.reduceat(np.append(logprob_N, 0.0), bounds)[::2]
