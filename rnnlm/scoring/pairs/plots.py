"""Accuracy as a figure: by distance and by number of attractors, where pairs have them; else by kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.scoring.pairs.accuracy import COUNTED, KIND, PairAccuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {"distance": "words between head and verb", "attractors": "nouns of the other number between them"}
INCHES_PER_KIND = 0.25


def accuracy_figure(accuracies: Sequence[PairAccuracy]) -> "Figure":
    """Accuracies of :func:`rnnlm.pair_accuracies` with their intervals, one panel a grouping.

    Raises:
        UsageError: there is none.
    """
    shown = [accuracy for accuracy in accuracies if accuracy.accuracy is not None]
    counted = [by for by in COUNTED if any(accuracy.by == by for accuracy in shown)]
    if counted:
        figure, panels = plotting.new_panels([(f"by {by}", _LABELS[by], "accuracy") for by in counted], width=1 + 4.2 * len(counted))
        for by, axes in zip(counted, panels, strict=True):
            _draw_counts(axes, [accuracy for accuracy in shown if accuracy.by == by])
        return figure
    kinds = [accuracy for accuracy in shown if accuracy.by == KIND]
    if not kinds:
        raise UsageError("there is nothing to plot", "no pair could be scored")
    figure, axes = plotting.new_figure("", "accuracy", "", height=1.2 + INCHES_PER_KIND * len(kinds))
    _draw_kinds(axes, kinds)
    return figure


def _draw_counts(axes: "Axes", accuracies: Sequence[PairAccuracy]) -> None:
    accuracy_N, bars_2N = _with_bars(accuracies)
    axes.errorbar([each.group for each in accuracies], accuracy_N, bars_2N, marker="o", capsize=3)
    axes.axhline(0.5, color="grey", linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.locator_params(axis="x", integer=True)


def _draw_kinds(axes: "Axes", accuracies: Sequence[PairAccuracy]) -> None:
    places = range(len(accuracies))
    accuracy_N, bars_2N = _with_bars(accuracies)
    axes.errorbar(accuracy_N, places, xerr=bars_2N, fmt="o", capsize=3)
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_yticks(places, [str(each.group) for each in accuracies])
    axes.invert_yaxis()


def _with_bars(accuracies: Sequence[PairAccuracy]) -> tuple[np.ndarray, np.ndarray]:
    """The accuracies, and how far each interval reaches below and above."""
    accuracy_N, low_N, high_N = np.array([(each.accuracy, each.low, each.high) for each in accuracies], dtype=np.float64).T
    return accuracy_N, np.stack([accuracy_N - low_N, high_N - accuracy_N])
