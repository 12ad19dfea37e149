"""By how much two models differ on the lines of a text, and how sure that is: with its unknown tokens, and without them.

What a model gives to an unknown word says little about how it predicts words, and may decide a comparison all the same: where a text
has such words, both figures are given, and where they disagree one sentence says so.
"""

import math
from dataclasses import dataclass

import numpy as np

from rnnlm.evaluation.comparison.intervals import LineSums
from rnnlm.evaluation.resampling import LEVEL, PERMUTATIONS, RESAMPLES, Interval, by_block, permutation_p, ratio_interval

LARGEST_BITS = 1000  # of a difference whose ratio of perplexities is a number
NO_OOV = "_no_oov"  # what the names of figures end in that leave unknown tokens out


@dataclass(frozen=True)
class Measured:
    """difference_bits: bits per token, word or character, as the comparison's `figure` has it, of the second model less the first;
    below 0 the second is better. ppl_ratio: the second's perplexity over the first's, None where the figure is not a perplexity,
    or their ratio is not finite. All are None where a token has probability zero."""

    difference_bits: Interval | None
    ppl_ratio: Interval | None
    p: float | None


@dataclass(frozen=True)
class Difference(Measured):
    """Two models. no_oov: the same without unknown tokens, None where nothing is unknown. disagreement: a sentence that says how these
    two differ about which model is better, where they do."""

    first: str
    second: str
    no_oov: Measured | None
    disagreement: str | None


def difference(
    names: tuple[str, str], sums: tuple[LineSums, LineSums], figure: str, block_lines: int, resamples: int | None, seed: int
) -> Difference:
    """The difference of two models on the same lines, resampled in blocks of `block_lines`. resamples: None for RESAMPLES and
    PERMUTATIONS."""
    unknown = int(sums[0].oov_S.sum())
    with_all = _measured(sums, figure, block_lines, resamples, seed)
    no_oov = _measured(sums, figure + NO_OOV, block_lines, resamples, seed) if unknown else None
    said = _disagreement(names, with_all, no_oov, unknown) if no_oov else None
    return Difference(with_all.difference_bits, with_all.ppl_ratio, with_all.p, *names, no_oov, said)


def _measured(sums: tuple[LineSums, LineSums], figure: str, block_lines: int, resamples: int | None, seed: int) -> Measured:
    first, second = (each.logprob_no_oov_S if figure.endswith(NO_OOV) else each.logprob_S for each in sums)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Measured(None, None, None)
    bits_N = by_block((first - second) / math.log(2), block_lines)
    counts_N = by_block(sums[0].counts_S(figure), block_lines)
    bits = ratio_interval(bits_N, counts_N, resamples=resamples or RESAMPLES, seed=seed)
    is_ratio = figure.startswith("ppl") and max(abs(bits.low), abs(bits.high)) < LARGEST_BITS
    ratio = Interval(2**bits.estimate, 2**bits.low, 2**bits.high, bits.level) if is_ratio else None
    return Measured(bits, ratio, permutation_p(bits_N, resamples=resamples or PERMUTATIONS, seed=seed))


def _disagreement(names: tuple[str, str], with_all: Measured, no_oov: Measured, unknown: int) -> str | None:
    verdicts = [_verdict(names, each) for each in (with_all, no_oov)]
    if None in verdicts or verdicts[0] == verdicts[1]:
        return None
    tokens = "the unknown token" if unknown == 1 else f"the {unknown:,} unknown tokens"
    without = "without it" if unknown == 1 else "without them"
    return f"with {tokens}, {verdicts[0]}; {without}, {verdicts[1]}: only the latter is about words that the models know"


def _verdict(names: tuple[str, str], measured: Measured) -> str | None:
    """Which model is better, in words; None where a token has probability zero."""
    if measured.difference_bits is None or measured.p is None:
        return None
    if measured.p > 1 - LEVEL:
        return "neither model is significantly better"
    first, second = names
    return f"{second} is better than {first}" if measured.difference_bits.estimate < 0 else f"{first} is better than {second}"
