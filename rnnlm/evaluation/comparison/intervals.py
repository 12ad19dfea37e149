"""Bootstrap intervals of the figures of an evaluation, over the lines of its text or blocks of them."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rnnlm.errors import notice
from rnnlm.evaluation.perplexity import Evaluation, spans_of, summary
from rnnlm.evaluation.resampling import RESAMPLES, Interval, by_block, ratio_interval
from rnnlm.inference.span_scoring import score_spans
from rnnlm.interface import LanguageModel
from rnnlm.text.encoding import EncodedText

MOST_BLOCKS = 10_000  # resampled; a text of more lines is resampled in blocks


def lines_per_block(lines: int, wanted: int | None) -> int:
    """How many lines are resampled together: as many as are wanted, or as give MOST_BLOCKS blocks at most. With a single block, a
    notice says so."""
    length = wanted or -(-lines // MOST_BLOCKS)
    if lines <= length:
        notice("the text is a single block of lines, so nothing can be resampled: intervals have no width and p is 1")
    return length


@dataclass(frozen=True)
class LineSums:
    """What S lines add to an evaluation: log-probabilities (nats), with and without unknown tokens, and all that is counted. Words count
    each line's end; characters and bytes one more for it."""

    logprob_S: np.ndarray
    logprob_no_oov_S: np.ndarray
    tokens_S: np.ndarray
    oov_S: np.ndarray
    words_S: np.ndarray
    characters_S: np.ndarray
    bytes_S: np.ndarray

    @classmethod
    def of(cls, encoded: EncodedText, logprob_N: np.ndarray) -> "LineSums":
        starts = encoded.line_offsets[:-1]
        known_N = logprob_N.copy()
        known_N[encoded.oov] = 0.0
        is_oov_N = np.zeros(encoded.tokens, dtype=np.int64)
        is_oov_N[encoded.oov] = 1
        return cls(
            logprob_S=np.add.reduceat(logprob_N, starts),
            logprob_no_oov_S=np.add.reduceat(known_N, starts),
            tokens_S=np.diff(encoded.line_offsets),
            oov_S=np.add.reduceat(is_oov_N, starts),
            words_S=encoded.words_L.astype(np.int64) + 1,
            characters_S=encoded.characters_L.astype(np.int64),
            bytes_S=encoded.bytes_L.astype(np.int64),
        )

    def blocks(self, lines: int) -> "LineSums":
        """The sums of consecutive blocks of so many lines."""
        return LineSums(*(by_block(getattr(self, each.name), lines) for each in fields(self)))

    def counts_S(self, figure: str) -> np.ndarray:
        """What the figure of that name is taken per: tokens, words, characters or bytes."""
        counts = {
            "ppl_token": self.tokens_S,
            "ppl_token_no_oov": self.tokens_S - self.oov_S,
            "ppl_word": self.words_S,
            "ppl_word_no_oov": self.words_S - self.oov_S,  # only given where words are tokens, or none is unknown
            "bits_per_char": self.characters_S,
            "bits_per_byte": self.bytes_S,
        }
        return counts[figure]


def evaluate_with_interval(model: LanguageModel, encoded: EncodedText) -> dict[str, Any]:
    """The :class:`~rnnlm.evaluation.perplexity.Evaluation` of a text as a dictionary, the state carried across lines, with the bounds
    of the 95 % interval of its perplexity over lines: `ppl_token_low`, `ppl_token_high`; None where there is none."""
    began = time.perf_counter()
    logprob_N = score_spans(model, encoded.ids, spans_of(encoded, "carry"))
    evaluation = summary(model, logprob_N, encoded, "carry", began)
    sums = LineSums.of(encoded, logprob_N).blocks(lines_per_block(encoded.sentences, None))
    interval = intervals_of(evaluation, sums, ["ppl_token"], RESAMPLES, seed=1).get("ppl_token")
    bounds = (interval.low, interval.high) if interval else (None, None)
    return evaluation.to_dict() | dict(zip(("ppl_token_low", "ppl_token_high"), bounds, strict=True))


def intervals_of(evaluation: Evaluation, sums: LineSums, figures: Sequence[str], resamples: int, seed: int) -> dict[str, Interval]:
    """The interval of each of the `figures` that the evaluation has, over the units of `sums`; none where a bound is too large."""
    found = {figure: _interval(sums, figure, resamples, seed) for figure in figures if getattr(evaluation, figure) is not None}
    return {figure: interval for figure, interval in found.items() if math.isfinite(interval.high)}


def _interval(sums: LineSums, figure: str, resamples: int, seed: int) -> Interval:
    nats_N = -(sums.logprob_no_oov_S if figure.endswith("_no_oov") else sums.logprob_S)
    counts_N = sums.counts_S(figure)
    held = counts_N > 0  # a line of unknown words alone adds nothing to what leaves them out
    if figure.startswith("ppl"):
        with np.errstate(over="ignore"):
            return ratio_interval(nats_N[held], counts_N[held], transform=np.exp, resamples=resamples, seed=seed)
    return ratio_interval(nats_N[held] / math.log(2), counts_N[held], resamples=resamples, seed=seed)
