"""Compute word and symbol error rates of sequences with several references, such as the
pronunciations of a word.

A word is wrong where the prediction equals none of its references. The symbol error rate is the sum
of the edit distances (Levenshtein 1966, by rapidfuzz) to the nearest reference of each word over
the sum of the lengths of these references; of references that are equally near, the longest counts,
so that their order makes no difference.
"""

from collections.abc import Sequence

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import SentenceCounts, ratio

References = Sequence[Sequence[Sequence[str]]]  # for each word its references, which are symbols


def error_counts(references: References, predicted: Sequence[Sequence[str]]) -> SentenceCounts:
    """Count edits, symbols of the nearest reference, wrong words and words, by word: the counts
    behind the two rates."""
    if len(references) != len(predicted):
        raise UsageError(
            f"there are references for {plural(len(references), 'word')} and predictions for "
            f"{len(predicted):,}"
        )
    from rapidfuzz.distance import Levenshtein

    nearest = []
    for number, (expected, predicted_unit) in enumerate(
        zip(references, predicted, strict=True), start=1
    ):
        if not expected:
            raise UsageError(
                f"word {number:,} has no reference", hint="give each word at least one"
            )
        nearest.append(
            min(
                (Levenshtein.distance(symbols, predicted_unit), -len(symbols))
                for symbols in expected
            )
        )
    edits_N, less_symbols_N = np.array(nearest, dtype=np.int64).reshape(-1, 2).T
    return SentenceCounts.of_numbers(edits_N, -less_symbols_N, edits_N > 0, np.ones(len(nearest)))


def symbol_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide edits by symbols of the nearest references; NaN where these have none. The rate can
    be above 1."""
    return ratio(sums_KRC[:2])


def word_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide wrong words by words."""
    return ratio(sums_KRC[2:])
