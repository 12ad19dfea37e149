"""Counts for each sentence, and the figures that are computed from their sums.

F1, BLEU and calibration errors are not means over sentences, but functions of counts that are summed over all of them. Every such measure
therefore gives its counts sentence by sentence, so that sentences can be resampled and the figure computed anew
(:mod:`rnnlm.evaluation.significance`). Shapes: N sentences, R resamples, K kinds of counts, C classes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = Sequence[float] | np.ndarray
Figure = Callable[[np.ndarray], np.ndarray]  # of sums (K, R, C), a figure for each of R


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


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """The first kind over the second, all classes together; not a number where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)
