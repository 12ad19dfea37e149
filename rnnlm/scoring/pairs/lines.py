"""Lines read each from the initial state, with the log-probability of every token; what pairs and suites are scored with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.inference import span_scoring
from rnnlm.inference.distributions import score_and_look
from rnnlm.inference.word_surprisal import WordFinder
from rnnlm.interface import Encoded, LanguageModel, Tokenizer
from rnnlm.text.lines import check_reserved, is_blank


class Unscorable(Exception):
    """Why a text, or what was to be made of it, has no score."""


@dataclass(frozen=True)
class ReadLines:
    """Lines as tokens, each with its log-probability given the line so far.

    logprob_N: nats, of all tokens. word_start_N: log-probability (nats) that a word starts at the place of each token; 0 where
    each token starts one, and at the start of a line.
    """

    lines: Sequence[str]
    tokenizer: Tokenizer
    encoded: Encoded
    logprob_N: np.ndarray
    word_start_N: np.ndarray

    def length(self, line: int) -> int:
        """The tokens of a line, `</s>` included."""
        return int(self.encoded.offsets[line + 1] - self.encoded.offsets[line])

    def logprob_nats(self, line: int, start: int, stop: int) -> float:
        """Of the tokens from `start` to `stop` of a line; -inf where one has probability zero."""
        first = self.encoded.offsets[line]
        return float(self.logprob_N[first + start : first + stop].sum())

    def word_logprob_nats(self, line: int, start: int, stop: int) -> float:
        """Of whole words, which those tokens are: that the next word starts after them included (Pimentel & Meister 2024, and
        Oh & Schuler 2024: p(pieces) B(after) / B(before), B the probability that a word starts)."""
        pieces = self.logprob_nats(line, start, stop)
        if not np.isfinite(pieces):
            return pieces
        first = self.encoded.offsets[line]
        return pieces + float(self.word_start_N[first + stop] - self.word_start_N[first + start])

    def surface(self, line: int) -> list[str]:
        """What each token of a line reads as in the line."""
        return self.tokenizer.surface(self.lines[line])

    def starts_word(self, line: int) -> np.ndarray:
        """For each token of a line, whether a word starts with it."""
        ids = self.encoded.ids[self.encoded.offsets[line] : self.encoded.offsets[line + 1]]
        known = ids < self.tokenizer.size  # ids from there on are unseen words
        return ~known | self.tokenizer.starts_word_V[np.where(known, ids, 0)]

    def oov(self, line: int, stop: int) -> tuple[str, ...]:
        """The unknown ones of the tokens before `stop`."""
        first = self.encoded.offsets[line]
        low, high = np.searchsorted(self.encoded.oov, [first, first + stop])
        if low == high:
            return ()
        surface = self.surface(line)
        return tuple(surface[at - first] for at in self.encoded.oov[low:high])


def checked_line(text: str, special_symbols: str) -> str:
    """`text` as it is read; see :func:`rnnlm.text.lines.check_reserved`.

    Raises:
        Unscorable: it is no line, or holds a reserved symbol that is to be an error.
    """
    if "\n" in text:
        raise Unscorable("a sentence holds a newline")
    try:
        text = check_reserved(text, "a sentence", special_symbols)
    except TextError as error:
        raise Unscorable(error.what) from None
    return "" if is_blank(text) else text


def read_lines(model: LanguageModel, lines: Sequence[str], *, as_words: bool = False) -> ReadLines:
    """Read `lines` (of :func:`checked_line`); with `as_words`, where words start, too.

    Raises:
        ModelError: the model's scores are not numbers.
    """
    encoded = model.tokenizer.encode(lines)
    spans = span_scoring.spans_between(encoded.offsets)
    word_start_N = np.zeros(len(encoded.ids))
    if as_words and not model.tokenizer.starts_word_V.all():
        is_place_N = np.ones(len(encoded.ids), dtype=bool)
        is_place_N[encoded.offsets[:-1]] = False
        log_boundary = WordFinder(model.tokenizer).log_boundary
        logprob_N, word_start_N[is_place_N], _ = score_and_look(model, encoded.ids, spans, is_place_N, log_boundary)
    else:
        logprob_N = span_scoring.score_spans(model, encoded.ids, spans)
    span_scoring.check_scores(logprob_N)
    return ReadLines(lines, model.tokenizer, encoded, logprob_N, word_start_N)
