"""Accuracy as a figure, of one model or several: by distance and by number of attractors, where pairs have them; else by kind."""

from collections.abc import Iterator, Mapping, Sequence
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
DODGE = 0.14  # between models, where places are 1 apart


def accuracy_figure(accuracies: Sequence[PairAccuracy] | Mapping[str, Sequence[PairAccuracy]]) -> "Figure":
    """Accuracies of :func:`rnnlm.pair_accuracies` with their intervals, one panel a grouping. accuracies: those of one model, or of
    several by name, which stand beside each other.

    Raises:
        UsageError: there is none.
    """
    by_model = accuracies if isinstance(accuracies, Mapping) else {"": accuracies}
    shown = {name: [each for each in its if each.accuracy is not None] for name, its in by_model.items()}
    counted = [by for by in COUNTED if any(each.by == by for its in shown.values() for each in its)]
    if counted:
        figure, panels = plotting.new_panels([(f"by {by}", _LABELS[by], "accuracy") for by in counted], width=1 + 4.2 * len(counted))
        for by, axes in zip(counted, panels, strict=True):
            _draw_counts(axes, {name: [each for each in its if each.by == by] for name, its in shown.items()})
        return _with_legend(figure, panels[0], len(shown))
    kinds = {name: [each for each in its if each.by == KIND] for name, its in shown.items()}
    if not any(kinds.values()):
        raise UsageError("there is nothing to plot", "no pair could be scored")
    groups = list(dict.fromkeys(each.group for its in kinds.values() for each in its))
    figure, axes = plotting.new_figure("", "accuracy", "", height=1.2 + INCHES_PER_KIND * len(groups) * (1 + len(kinds)) / 2)
    _draw_kinds(axes, kinds, groups)
    return _with_legend(figure, axes, len(shown))


def _draw_counts(axes: "Axes", accuracies: Mapping[str, Sequence[PairAccuracy]]) -> None:
    for name, its, shift, marker in _series(accuracies):
        accuracy_N, bars_2N = _with_bars(its)
        axes.errorbar([int(each.group) + shift for each in its], accuracy_N, bars_2N, marker=marker, capsize=3, label=name)
    axes.axhline(0.5, color="grey", linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.locator_params(axis="x", integer=True)


def _draw_kinds(axes: "Axes", accuracies: Mapping[str, Sequence[PairAccuracy]], groups: Sequence[str | int]) -> None:
    for name, its, shift, marker in _series(accuracies):
        accuracy_N, bars_2N = _with_bars(its)
        axes.errorbar(accuracy_N, [groups.index(each.group) + shift for each in its], xerr=bars_2N, fmt=marker, capsize=3, label=name)
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_yticks(range(len(groups)), list(map(str, groups)), parse_math=False)
    axes.invert_yaxis()


def _series(accuracies: Mapping[str, Sequence[PairAccuracy]]) -> Iterator[tuple[str, Sequence[PairAccuracy], float, str]]:
    """Each model that has accuracies: its name in the plot, these, how far it stands beside its place, its marker."""
    for k, (name, its) in enumerate(accuracies.items()):
        if its:
            yield plotting.short_name(name), its, DODGE * (k - (len(accuracies) - 1) / 2), plotting.MARKERS[k % len(plotting.MARKERS)]


def _with_legend(figure: "Figure", axes: "Axes", models: int) -> "Figure":
    if models > 1:
        plotting.legend_above(figure, axes)
    return figure


def _with_bars(accuracies: Sequence[PairAccuracy]) -> tuple[np.ndarray, np.ndarray]:
    """The accuracies, and how far each interval reaches below and above."""
    accuracy_N, low_N, high_N = np.array([(each.accuracy, each.low, each.high) for each in accuracies], dtype=np.float64).T
    return accuracy_N, np.stack([accuracy_N - low_N, high_N - accuracy_N])
