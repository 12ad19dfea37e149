"""Expected calibration error of labels: whether a label predicted with probability 0.8 is right in 80 of 100 cases.

Guo et al. (2017, eq. 3): the probabilities of the predicted labels are put into 15 bins of equal width, (0, 1/15], (1/15, 2/15], ...;
the error is the sum over bins of n_b / n |accuracy_b - mean probability_b|. (What language models are measured by, in
:mod:`rnnlm.evaluation.calibration`, has 10 bins and keeps them for its plot.)
"""

from collections.abc import Sequence

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths

BINS = 15
ROUNDING = 1e-3  # by how much a probability may exceed 1 in the precision of a network


def calibration_counts(gold: Labels, predicted: Labels, probabilities: Sequence[Sequence[float]]) -> Counts:
    """Labels, the sum of their probabilities, and right labels, by sentence and bin. probabilities: of each predicted label.

    Raises:
        UsageError: the three are not of the same words, or a probability is not between 0 and 1.
    """
    check_lengths(gold, predicted)
    if [len(each) for each in probabilities] != [len(each) for each in gold]:
        raise UsageError("there are not as many probabilities as labels", hint="give one for each predicted label")
    probability_E = np.array([p for each in probabilities for p in each], dtype=np.float64)
    if not ((probability_E >= 0) & (probability_E <= 1 + ROUNDING)).all():
        raise UsageError("a probability of a label is not between 0 and 1")
    right_E = [a == b for both in zip(gold, predicted, strict=True) for a, b in zip(*both, strict=True)]
    bin_E = np.clip(np.ceil(probability_E * BINS).astype(np.int64) - 1, 0, BINS - 1)
    sentence_E = np.repeat(np.arange(len(gold)), [len(each) for each in gold])
    names = [f"{(b + 1) / BINS:.4f}" for b in range(BINS)]
    return Counts.of_places(len(gold), names, sentence_E, bin_E, np.ones(len(bin_E)), probability_E, right_E)


def expected_error(sums_KRC: np.ndarray) -> np.ndarray:
    """The expected calibration error, 0 to 1; not a number where there are no labels."""
    labels_RC, probability_RC, right_RC = sums_KRC
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(right_RC - probability_RC).sum(axis=-1) / labels_RC.sum(axis=-1)
