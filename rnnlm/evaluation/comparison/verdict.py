"""Summarise the comparison of two models of any task: a sentence, and a plot of the differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.amounts import amount, bounds
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import FEWEST_DIFFERING, Interval

INK = "#222222"  # pairs of models have no colours
LONGEST = 28  # characters of a line beside a plot
NARROW = 0.02  # narrower intervals are shown with four decimal places


@dataclass(frozen=True)
class Contrast:
    """The metric of the second model minus the metric of the first one.

    Attributes:
        first: Name of the first model.
        second: Name of the second model.
        unit: Unit of the difference, such as "bits a token".
        difference: The difference with its interval; None if a model does not have the metric.
        higher_is_better: Whether higher values of the metric are better.
        better: Name of the model that is significantly better; None if neither is.
        differing: Number of units in which the models differ.
    """

    first: str
    second: str
    unit: str
    difference: Interval | None
    higher_is_better: bool = False
    better: str | None = None
    differing: int = FEWEST_DIFFERING

    @property
    def verdict(self) -> str:
        """Which model is better and by how much, in a sentence."""
        difference = self.difference
        if difference is None:
            why = "one of them gives a token probability zero, or lacks this metric"
            return f"{self.first} and {self.second} cannot be compared by {self.unit}: {why}."
        width = math.inf
        if difference.low is not None and difference.high is not None:
            width = difference.high - difference.low
        form = ".2f" if width >= NARROW else ".4f"
        is_better = self.better is not None

        # Without a verdict, say what was measured; else name the better model first, and say by how
        # much in positive numbers.
        if is_better and difference.estimate < 0:
            difference = difference.map(np.negative)
        between = f"95 % interval {difference.written(lambda bound: format(bound, 'z' + form))}"
        if is_better:
            worse = self.first if self.better == self.second else self.second
            size = f"{abs(difference.estimate):{form}} {self.unit}"
            return f"{self.better} is better than {worse} by {size}, {between}."
        measured = f"{self.second} has {difference.estimate:+z{form}} {self.unit} relative to"
        what = "no significant difference"
        if self.differing < FEWEST_DIFFERING:
            what = f"no verdict, as fewer than {FEWEST_DIFFERING} units differ ({self.differing})"
        return f"{what}: {measured} {self.first}, {between}."


def figure_of(
    contrasts: Sequence[Contrast], axes: "plotting.Axes | None" = None
) -> "plotting.Figure | None":
    """Draw the differences, which all have the same unit, with their intervals; None where there
    are none."""
    known = [contrast for contrast in contrasts if contrast.difference]
    if not known:
        return None
    label = f"difference in {known[0].unit}\n(bars: 95 % intervals)"
    side = "Right" if known[0].higher_is_better else "Left"
    title = f"{side} of 0, the model named first is better"
    # The second model of long pairs is on a line of its own.
    is_long = max(len(contrast.first + contrast.second) for contrast in known) > LONGEST - 3
    height = 1.2 + (0.6 if is_long else 0.45) * len(known)
    labels = (title if axes else "", label, "")
    figure, (axes,) = plotting.new_panels([labels], height=height, axes=axes, heading=title)

    # A row for each pair, the first on top, with its numbers: an interval may be narrower than its
    # mark.
    names = []
    for row, contrast in enumerate(known):
        difference = contrast.difference
        assert difference is not None
        form, interval = "+.2f", ""
        if difference.low is not None and difference.high is not None:
            arms = [[difference.estimate - difference.low], [difference.high - difference.estimate]]
            axes.errorbar(difference.estimate, row, xerr=arms, fmt="o", capsize=4, color=INK)
            form = "+.2f" if difference.high - difference.low >= NARROW else "+.4f"
            interval = bounds(difference.low, difference.high, form)
        else:
            axes.plot(difference.estimate, row, "o", color=INK)
        numbers = plotting.with_minus(f"{amount(difference.estimate, form)} {interval}")
        between = "\n\u2212 " if is_long else " \u2212 "
        pair = between.join(
            plotting.short_name(name, LONGEST) for name in (contrast.second, contrast.first)
        )
        names.append(f"{pair}\n{numbers}")
    axes.axvline(0, color=plotting.REFERENCE, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(known)), names, parse_math=False)
    axes.set_ylim(len(known) - 0.5, -0.5)
    return figure
