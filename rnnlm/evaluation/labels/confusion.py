"""Which labels are mistaken for which others: the confusion matrix, its largest entries, and its plot."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.evaluation import plotting
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 30  # of a plot; rarer ones share a row and a column
WITH_NUMBERS = 20  # labels of a plot whose cells have room for a number
OTHERS = "(others)"


@dataclass(frozen=True)
class Confusion:
    """How often each gold label (row) was predicted as each label (column). labels: the frequent ones first; counts_KK: int64."""

    labels: tuple[str, ...]
    counts_KK: np.ndarray

    def most_frequent(self, most: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions: gold label, predicted label, how often; the most frequent first."""
        wrong_KK = self.counts_KK * (1 - np.eye(len(self.labels), dtype=np.int64))
        order = np.argsort(-wrong_KK, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(order, wrong_KK.shape), strict=True)
        return [(self.labels[g], self.labels[p], int(wrong_KK[g, p])) for g, p in pairs if wrong_KK[g, p]]

    def joined(self, most: int) -> "Confusion":
        """The same with `most` labels at most: the rarest are one, called "(others)"."""
        if len(self.labels) <= most:
            return self
        to_K = np.minimum(np.arange(len(self.labels)), most - 1)
        counts_KK = np.zeros((most, most), dtype=np.int64)
        np.add.at(counts_KK, (to_K[:, None], to_K[None, :]), self.counts_KK)
        return Confusion((*self.labels[: most - 1], OTHERS), counts_KK)


def confusion(gold: Labels, predicted: Labels) -> Confusion:
    """The confusion matrix of labels.

    Raises:
        UsageError: the two are not of the same words.
    """
    check_lengths(gold, predicted)
    pairs = Counter(pair for both in zip(gold, predicted, strict=True) for pair in zip(*both, strict=True))
    times: Counter[str] = Counter()
    for (expected, found), number in pairs.items():
        times[expected] += number
        times[found] += 0
    labels = tuple(sorted(times, key=lambda label: (-times[label], label)))
    number_of = {label: number for number, label in enumerate(labels)}
    counts_KK = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (expected, found), number in pairs.items():
        counts_KK[number_of[expected], number_of[found]] = number
    return Confusion(labels, counts_KK)


def plot(matrix: Confusion, title: str = "") -> "Figure":
    """The matrix as a figure, for :func:`rnnlm.evaluation.plotting.save`: colours are shares of the gold label, numbers are counts."""
    matrix = matrix.joined(MOST_LABELS)
    size = len(matrix.labels)
    inches = max(4.0, 0.32 * size + 2.0)
    figure, axes = plotting.new_figure(title, "predicted label", "gold label", inches + 0.8, inches)
    share_KK = matrix.counts_KK / np.maximum(matrix.counts_KK.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    cells = axes.pcolormesh(share_KK, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    names = [plotting.short_name(label, 16) for label in matrix.labels]
    axes.set_xticks(np.arange(size) + 0.5, names, rotation=90)
    axes.set_yticks(np.arange(size) + 0.5, names)
    axes.set_ylim(size, 0)
    if size <= WITH_NUMBERS:
        for row, column in np.argwhere(matrix.counts_KK):
            colour = "white" if share_KK[row, column] > 0.6 else "black"
            count = f"{matrix.counts_KK[row, column]}"
            axes.text(column + 0.5, row + 0.5, count, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(cells, ax=axes, label="share of the gold label")
    return figure
