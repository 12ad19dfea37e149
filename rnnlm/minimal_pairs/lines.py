"""Lines read each from the initial state, with the log-probability of every token; what pairs and suites are scored with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays, reading
from rnnlm.corpus import check_reserved, is_blank
from rnnlm.errors import TextError
from rnnlm.interface import Encoded, LanguageModel, State, Tokenizer

VALUES_PER_CALL = 1 << 22  # predicted log-probabilities held at a time


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
    """`text` as it is read; see :func:`rnnlm.corpus.check_reserved`.

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
    spans = reading.spans_between(encoded.offsets)
    logprob_N = reading.score_spans(model, encoded.ids, spans)
    reading.check_scores(logprob_N)
    word_start_N = np.zeros(len(encoded.ids))
    if as_words and not model.tokenizer.starts_word_V.all():
        word_start_N = _word_start_nats(model, encoded, spans)
    return ReadLines(lines, model.tokenizer, encoded, logprob_N, word_start_N)


def _word_start_nats(model: LanguageModel, encoded: Encoded, spans: np.ndarray) -> np.ndarray:
    starts_V = model.tokenizer.starts_word_V

    def step(inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        places = max(1, VALUES_PER_CALL // (len(inputs_BT) * len(starts_V)))
        found = []
        for first in range(0, inputs_BT.shape[1], places):
            logprob_BTV, state = model.predict(inputs_BT[:, first : first + places], state)
            starting_BTS = arrays.as_numpy(logprob_BTV)[:, :, starts_V].astype(np.float64)
            found.append(np.logaddexp.reduce(starting_BTS, axis=2))
        return np.concatenate(found, axis=1), state

    start_nats_N = np.zeros(len(encoded.ids))
    for start_B, end_B, start_nats_BT in reading.windows(model, encoded.ids, spans, step):
        for start, end, start_nats_T in zip(start_B, end_B, start_nats_BT, strict=True):
            start_nats_N[start:end] = start_nats_T[: end - start]
    start_nats_N[encoded.offsets[:-1]] = 0.0
    return start_nats_N
