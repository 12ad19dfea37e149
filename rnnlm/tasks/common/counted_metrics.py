"""Metrics of labels and of decoded text, as functions of counts that each sentence has: their
intervals and differences, and rates of errors of sequences."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import (
    BATCH_UNITS,
    LEVEL,
    PERMUTATIONS,
    ROUNDING,
    Interval,
    PairedDifference,
    Resampling,
    jackknife_interval,
)

# ---- Counts for each sentence, and the metrics that are computed from their sums.
#
# F1, BLEU and calibration errors are not means over sentences, but functions of counts that are
# summed over all of them. Every such metric therefore has its counts sentence by sentence, so that
# sentences can be left out or swapped and the metric computed again.
# Shapes: N sentences, R ways to take or swap them, K kinds of counts, C classes.

FloatArrayLike = Sequence[float] | np.ndarray
Statistic = Callable[[np.ndarray], np.ndarray]  # from sums (K, R, C), the metric of each of R


@dataclass(frozen=True)
class SentenceCounts:
    """Kinds of counts of N sentences and C classes. by_kind: K sparse arrays of shape (N, C)."""

    classes: tuple[str, ...]
    by_kind: tuple[Any, ...]

    @classmethod
    def of_events(
        cls, sentences: int, kinds: Sequence[Iterable[tuple[int, str]]]
    ) -> "SentenceCounts":
        """Count events, each given as the number of its sentence and its class. The classes are
        sorted."""
        counters = list(map(Counter, kinds))
        places: set[tuple[int, str]] = set().union(*counters)
        classes = sorted({name for _, name in places})
        number_of = {name: number for number, name in enumerate(classes)}

        # Places are sorted so that the arrays do not depend on the order of the events.
        ordered = sorted(places)
        rows_E = [sentence for sentence, _ in ordered]
        columns_E = [number_of[name] for _, name in ordered]
        kinds_E = ([counter[place] for place in ordered] for counter in counters)
        return cls.of_places(sentences, classes, rows_E, columns_E, *kinds_E)

    @classmethod
    def of_numbers(cls, *kinds_N: FloatArrayLike) -> "SentenceCounts":
        """Make counts of a single class from one number for each sentence and kind."""
        sentences = len(kinds_N[0])
        return cls.of_places(
            sentences, ("all",), np.arange(sentences), np.zeros(sentences), *kinds_N
        )

    @classmethod
    def of_places(
        cls,
        sentences: int,
        classes: Sequence[str],
        rows_E: FloatArrayLike,
        columns_E: FloatArrayLike,
        *kinds_E: FloatArrayLike,
    ) -> "SentenceCounts":
        """Make counts from values at rows (sentences) and columns (classes), one of each kind at
        a place; values at the same place add up."""
        from scipy.sparse import csr_array

        places = (np.asarray(rows_E, dtype=np.int64), np.asarray(columns_E, dtype=np.int64))
        shape = (sentences, len(classes))
        values = (np.asarray(values_E, dtype=np.float64) for values_E in kinds_E)
        by_kind = tuple(csr_array((values_E, places), shape=shape) for values_E in values)
        return cls(tuple(classes), by_kind)

    @property
    def sentences(self) -> int:
        """How many sentences were counted."""
        return int(self.by_kind[0].shape[0])

    def sums(self, weights_RN: np.ndarray | None = None) -> np.ndarray:
        """Sum over sentences, each taken `weights_RN` times: (K, R, C), or (K, 1, C) without
        weights."""
        if weights_RN is None:
            weights_RN = np.ones((1, self.sentences))
        return np.stack([np.asarray(weights_RN @ table) for table in self.by_kind])

    def rows(self) -> Iterator[np.ndarray]:
        """Yield the counts of each sentence, (K, R, C) for R sentences at a time."""
        size = max(1, BATCH_UNITS // max(1, len(self.classes) * len(self.by_kind)))
        for start in range(0, self.sentences, size):
            yield np.stack([table[start : start + size].toarray() for table in self.by_kind])

    def holding(self) -> np.ndarray:
        """Return the numbers of the sentences of which something was counted."""
        return np.flatnonzero(sum(abs(table).sum(axis=1) for table in self.by_kind))

    def of_sentences(self, chosen: np.ndarray) -> "SentenceCounts":
        """Return the counts of some of the sentences."""
        return SentenceCounts(self.classes, tuple(table[chosen] for table in self.by_kind))

    def with_classes(self, classes: Sequence[str]) -> "SentenceCounts":
        """Return the same counts with columns for `classes`, which must include the present
        ones."""
        from scipy.sparse import csr_array

        number_of = {name: number for number, name in enumerate(classes)}
        to_C = np.array([number_of[name] for name in self.classes], dtype=np.int64)
        shape = (self.sentences, len(classes))
        by_kind = tuple(
            csr_array((table.data, to_C[table.indices], table.indptr), shape=shape)
            for table in self.by_kind
        )
        return SentenceCounts(tuple(classes), by_kind)


@dataclass(frozen=True)
class CountedMetric:
    """A metric as counts of each sentence and a function of their sums.

    Attributes:
        counts: Counts of S sentences.
        statistic: Function from the sums of the counts to the value, which is 0 or more.
        most: The largest value of the metric.
    """

    counts: SentenceCounts
    statistic: Statistic
    most: float = 1.0

    @property
    def value(self) -> float | None:
        """The metric over all sentences; None if nothing was counted."""
        value = float(self.statistic(self.counts.sums())[0])
        return value if np.isfinite(value) else None

    def interval(self, resampling: Resampling = Resampling()) -> Interval | None:
        """Return the 95 % interval of the metric; None if it has no value.

        Args:
            resampling: Not used: each sentence is left out once.
        """
        estimate = self.value
        if estimate is None or not self.counts.sentences:
            return None
        counted = self.counts.of_sentences(self.counts.holding())
        alone = [self.statistic(rows_KRC) for rows_KRC in counted.rows()]
        alone_N = np.concatenate([np.zeros(0), *alone])
        left_N = self.without_each(counted)
        return jackknife_interval(estimate, left_N, alone_N, least=0.0, most=self.most)

    def without_each(self, counts: SentenceCounts) -> np.ndarray:
        """Return the metric of the other sentences for each sentence of `counts`.

        Args:
            counts: Counts of sentences.
        """
        total_K1C = counts.sums()
        left = [self.statistic(total_K1C - rows_KRC) for rows_KRC in counts.rows()]
        return np.concatenate([np.zeros(0), *left])

    def difference(
        self, other: "CountedMetric", resampling: Resampling = Resampling()
    ) -> "PairedDifference | None":
        """Return the metric of `other` minus this one, as :func:`paired_difference` does.

        Args:
            other: Counts of the same sentences for the second model.
            resampling: Number of permutations, blocks and seed.
        """
        permutations = resampling.resamples or PERMUTATIONS
        return paired_difference(self, other, permutations=permutations, seed=resampling.seed)


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide the first kind by the second, all classes together; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide `part` by `whole`; 0 where `whole` is 0, as conlleval, seqeval and sacrebleu do."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


# ---- Differences in metrics of labels and of decoded text between two systems on the same
# sentences.
#
# The difference is computed from the sums without each sentence, for both systems. The p-value is
# computed by approximate randomisation (Noreen 1989; Yeh 2000 for F1; Riezler & Maxwell 2005 for
# BLEU): each trial swaps the outputs of the two systems for some sentences. For metrics that are
# means this is the permutation of signs that language models are compared by.


def paired_difference(
    first: CountedMetric,
    second: CountedMetric,
    *,
    permutations: int = PERMUTATIONS,
    level: float = LEVEL,
    seed: int = 1,
) -> PairedDifference | None:
    """Return by how much a metric of two systems differs on the same sentences, and how sure
    that is; None where one has no value, or there are no sentences."""
    if first.statistic != second.statistic or first.counts.sentences != second.counts.sentences:
        raise UsageError(
            "two metrics cannot be compared", "they are not the same metric on the same sentences"
        )
    if first.value is None or second.value is None or not first.counts.sentences:
        return None

    # Each system may have predicted classes that the other never did.
    classes = sorted({*first.counts.classes, *second.counts.classes})
    ours = first.counts.with_classes(classes)
    theirs = second.counts.with_classes(classes)

    # Both systems lose the same sentences, which makes the interval a paired one.
    held = np.union1d(ours.holding(), theirs.holding())
    left_N = first.without_each(theirs.of_sentences(held))
    left_N = left_N - first.without_each(ours.of_sentences(held))
    estimate = second.value - first.value
    interval = jackknife_interval(estimate, left_N, least=-first.most, most=first.most, level=level)
    changes = [b - a for a, b in zip(ours.by_kind, theirs.by_kind, strict=True)]
    moved = SentenceCounts(ours.classes, tuple(changes))
    moved = moved.of_sentences(moved.holding())
    p = _randomisation_p(first, np.stack([ours.sums(), theirs.sums()]), moved, permutations, seed)
    return PairedDifference(interval, p, moved.sentences)


def _batches(counts: SentenceCounts, trials: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of trials small enough for memory."""
    size = max(1, BATCH_UNITS // max(counts.sentences, len(counts.classes) * len(counts.by_kind)))
    for start in range(0, trials, size):
        yield start, min(start + size, trials)


def _randomisation_p(
    measure: CountedMetric, totals: np.ndarray, moved: SentenceCounts, permutations: int, seed: int
) -> float:
    """Return the p-value of approximate randomisation. It is exact where all ways to swap
    sentences can be tried; otherwise one is added to both counts, for the way that was observed.

    totals: the sums of both systems. moved: by how much the sentences on which they differ do; the
    others would change nothing.
    """
    count = moved.sentences
    if count < 2:  # swapped or not, a single one is as far from zero
        return 1.0
    observed = abs(_gap(measure, totals, 0.0))[0]

    # Count the ways to swap sentences that give at least the observed difference.
    is_exact = count < 63 and 1 << count <= permutations
    trials = 1 << count if is_exact else permutations
    generator = np.random.default_rng(seed)
    as_far = 0
    for start, stop in _batches(moved, trials):
        if is_exact:
            swapped_RN = (np.arange(start, stop)[:, None] >> np.arange(count)) & 1
        else:
            swapped_RN = generator.integers(0, 2, (stop - start, count))
        gap_R = _gap(measure, totals, moved.sums(swapped_RN.astype(np.float64)))
        as_far += int(np.count_nonzero(abs(gap_R) >= observed - ROUNDING))
    added = 0 if is_exact else 1
    return (as_far + added) / (trials + added)


def _gap(measure: CountedMetric, totals: np.ndarray, moved_KRC: np.ndarray | float) -> np.ndarray:
    """Return the second metric minus the first after moving `moved_KRC` to the first system."""
    return measure.statistic(totals[1] - moved_KRC) - measure.statistic(totals[0] + moved_KRC)


# ---- Word and symbol error rates of sequences with several references, such as the pronunciations
# of a word.
#
# A word is wrong where the prediction equals none of its references. The symbol error rate is the
# sum of the edit distances (Levenshtein 1966, by rapidfuzz) to the nearest reference of each word
# over the sum of the lengths of these references; of references that are equally near, the longest
# counts, so that their order makes no difference.

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
