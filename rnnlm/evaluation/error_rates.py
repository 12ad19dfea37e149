"""Word and symbol error rates of sequences that may be any of several references, as the pronunciations of a word.

A word is wrong where what was predicted equals none of its references. The symbol error rate is the sum of the edit distances
(Levenshtein 1966, by rapidfuzz) to the nearest reference of each word over the sum of the lengths of these references; of references
that are equally near, the longest counts, so that their order makes no difference.
"""

from collections.abc import Sequence

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts, ratio

References = Sequence[Sequence[Sequence[str]]]  # of each word, its references, which are symbols


def error_counts(references: References, predicted: Sequence[Sequence[str]]) -> Counts:
    """Edits, symbols of the nearest reference, wrong words and words, by word: what the two rates are made of.

    Raises:
        UsageError: there are not as many predictions as words, or a word has no reference.
    """
    if len(references) != len(predicted):
        raise UsageError(f"there are references for {len(references):,} words and predictions for {len(predicted):,}")
    nearest = []
    for number, (expected, found) in enumerate(zip(references, predicted, strict=True), start=1):
        if not expected:
            raise UsageError(f"word {number:,} has no reference", hint="give each word at least one")
        nearest.append(_nearest(expected, found))
    edits, symbols = zip(*nearest, strict=True) if nearest else ((), ())
    return Counts.of_numbers(edits, symbols, [each > 0 for each in edits], [1] * len(edits))


def symbol_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Edits over symbols of the nearest references; not a number where these have none. It can be above 1."""
    return ratio(sums_KRC[:2])


def word_error_rate(sums_KRC: np.ndarray) -> np.ndarray:
    """Wrong words over words."""
    return ratio(sums_KRC[2:])


def _nearest(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> tuple[int, int]:
    """The edit distance to the nearest reference, and how many symbols that has."""
    from rapidfuzz.distance import Levenshtein

    distance, less_symbols = min((Levenshtein.distance(each, predicted), -len(each)) for each in references)
    return distance, -less_symbols
