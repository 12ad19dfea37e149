"""Precision, recall and F1 of classes from the counts of what was right, predicted and there. Shapes: those of
:mod:`rnnlm.evaluation.counts`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts

Labels = Sequence[Sequence[str]]  # of sentences: one label for each word, or those of a text
RIGHT, PREDICTED, GOLD = range(3)  # the kinds of counts by class


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one class of spans or labels (0 where the denominator is 0), and how many were right, predicted and
    there."""

    precision: float
    recall: float
    f1: float
    right: int
    predicted: int
    gold: int


def precision(sums_KRC: np.ndarray) -> np.ndarray:
    """Right over predicted, all classes together (micro average)."""
    return _share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[PREDICTED].sum(axis=-1))


def recall(sums_KRC: np.ndarray) -> np.ndarray:
    """Right over gold, all classes together (micro average)."""
    return _share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[GOLD].sum(axis=-1))


def f1(sums_KRC: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall, all classes together (micro average)."""
    return _share(2 * sums_KRC[RIGHT].sum(axis=-1), (sums_KRC[PREDICTED] + sums_KRC[GOLD]).sum(axis=-1))


def macro_f1(sums_KRC: np.ndarray) -> np.ndarray:
    """The mean F1 of the classes that occur, in the gold labels or in those predicted."""
    either_RC = sums_KRC[PREDICTED] + sums_KRC[GOLD]
    return _share(_share(2 * sums_KRC[RIGHT], either_RC).sum(axis=-1), (either_RC > 0).sum(axis=-1))


def by_class(counts: Counts) -> dict[str, ClassFigures]:
    """The figures of each class, in the order of the counts' classes."""
    sums_KC = counts.sums()[:, 0]
    right, predicted, gold = sums_KC
    shares = [_share(right, predicted), _share(right, gold), _share(2 * right, predicted + gold)]
    columns = zip(*(each.tolist() for each in shares), *(each.astype(int).tolist() for each in sums_KC), strict=True)
    return {name: ClassFigures(*values) for name, values in zip(counts.classes, columns, strict=True)}


def check_lengths(gold: Labels, predicted: Labels, of_words: bool = True) -> None:
    """Whether the two are of the same sentences; `of_words`: and have as many labels in each.

    Raises:
        UsageError: they are not.
    """
    if len(gold) != len(predicted):
        raise UsageError(f"there are {len(gold):,} gold sentences and {len(predicted):,} predicted ones", hint="label the same sentences")
    if of_words:
        for number, (expected, found) in enumerate(zip(gold, predicted, strict=True), start=1):
            if len(expected) != len(found):
                raise UsageError(
                    f"sentence {number:,} has {len(expected):,} gold labels and {len(found):,} predicted ones",
                    hint="each word needs one label of either kind",
                )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where nothing is there: as conlleval and seqeval have it."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
