"""Counts for each sentence, and the figures that are computed from their sums.

F1, macro F1 and calibration errors are not means over sentences, but functions of counts that are summed over all of them. Every measure
of labels therefore gives its counts sentence by sentence, so that sentences can be resampled and the figure computed anew
(:mod:`rnnlm.evaluation.labels.significance`). Shapes: N sentences, R resamples, K kinds of counts, C classes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError

Labels = Sequence[Sequence[str]]  # of sentences: one label for each word, or those of a text
Numbers = Sequence[float] | np.ndarray
Figure = Callable[[np.ndarray], np.ndarray]  # of sums (K, R, C), a figure for each of R
RIGHT, PREDICTED, GOLD = range(3)  # the kinds of counts by class


@dataclass(frozen=True)
class Counts:
    """Kinds of counts of N sentences and C classes. by_kind: K sparse arrays of shape (N, C)."""

    classes: tuple[str, ...]
    by_kind: tuple[Any, ...]

    @classmethod
    def of_events(cls, sentences: int, kinds: Sequence[Iterable[tuple[int, str]]]) -> "Counts":
        """Counts of events, each the number of its sentence and its class; the classes are sorted."""
        counters = [Counter(events) for events in kinds]
        classes = tuple(sorted({name for counter in counters for _, name in counter}))
        number_of = {name: number for number, name in enumerate(classes)}
        places = sorted({place for counter in counters for place in counter})
        rows_E, columns_E = [sentence for sentence, _ in places], [number_of[name] for _, name in places]
        return cls.of_places(sentences, classes, rows_E, columns_E, *([counter[place] for place in places] for counter in counters))

    @classmethod
    def of_numbers(cls, *kinds_N: Numbers) -> "Counts":
        """Counts of a single class: one number for each sentence and kind."""
        sentences = len(kinds_N[0])
        return cls.of_places(sentences, ("all",), np.arange(sentences), np.zeros(sentences, dtype=np.int64), *kinds_N)

    @classmethod
    def of_places(cls, sentences: int, classes: Sequence[str], rows_E: Numbers, columns_E: Numbers, *kinds_E: Numbers) -> "Counts":
        """Counts that lie in rows (sentences) and columns (classes), each place with a value of each kind; values of one place add up."""
        from scipy.sparse import csr_array

        places = (np.asarray(rows_E, dtype=np.int64), np.asarray(columns_E, dtype=np.int64))
        shape = (sentences, len(classes))
        return cls(tuple(classes), tuple(csr_array((np.asarray(values_E, dtype=np.float64), places), shape=shape) for values_E in kinds_E))

    @property
    def sentences(self) -> int:
        """How many sentences were counted."""
        return int(self.by_kind[0].shape[0])

    def sums(self, weights_RN: np.ndarray | None = None) -> np.ndarray:
        """The sums (K, R, C) over sentences, each taken `weights_RN` times; (K, 1, C) over all of them without weights."""
        weights_RN = np.ones((1, self.sentences)) if weights_RN is None else weights_RN
        return np.stack([np.asarray(weights_RN @ table) for table in self.by_kind])

    def with_classes(self, classes: Sequence[str]) -> "Counts":
        """The same counts with columns for `classes`, which hold all of its own."""
        from scipy.sparse import csr_array

        number_of = {name: number for number, name in enumerate(classes)}
        to_C = np.array([number_of[name] for name in self.classes], dtype=np.int64)
        moved = [(table.data, to_C[table.indices], table.indptr) for table in self.by_kind]
        return Counts(tuple(classes), tuple(csr_array(parts, shape=(self.sentences, len(classes))) for parts in moved))


@dataclass(frozen=True)
class Measure:
    """A figure and the counts it is made of."""

    counts: Counts
    figure: Figure
    higher_is_better: bool = True

    @property
    def value(self) -> float | None:
        """The figure of all sentences; None where nothing was counted that it could be of."""
        value = float(self.figure(self.counts.sums())[0])
        return value if np.isfinite(value) else None


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


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """The first kind over the second, all classes together; not a number where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)


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
