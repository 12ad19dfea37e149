"""What a comparison of two models comes to, whatever they were trained for: a sentence, and a
picture of the differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnlm.evaluation import plotting
from rnnlm.evaluation.plotting import short_name
from rnnlm.evaluation.resampling import FigureDifference, Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NARROW = 0.02  # intervals below that are shown with four places


@dataclass(frozen=True)
class Contrast:
    """By how much a figure of the second model exceeds that of the first. unit: of what, such as
    "bits a token". difference: None where one of them has no figure."""

    first: str
    second: str
    unit: str
    difference: Interval | None
    higher_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Which model is better and by how much, in a sentence."""
        found = self.difference
        if found is None:
            why = "one of them gives a token probability zero, or has no such figure"
            return f"{self.first} and {self.second} cannot be compared by {self.unit}: {why}."
        places = 2 if found.high - found.low >= NARROW else 4
        if found.low <= 0 <= found.high:
            low, high = f"{found.low:.{places}f}", f"{found.high:.{places}f}"
            return (
                f"no difference is shown: {self.second} has {found.estimate:+.{places}f} "
                f"{self.unit} beside {self.first}, 95 % interval {low} to {high}."
            )
        is_second_better = (found.estimate > 0) == self.higher_is_better
        better, other = (self.second, self.first) if is_second_better else (self.first, self.second)
        least, most = sorted((abs(found.low), abs(found.high)))
        return (
            f"{better} is better than {other} by {abs(found.estimate):.{places}f} {self.unit}, "
            f"95 % interval {least:.{places}f} to {most:.{places}f}."
        )


def in_points(found: FigureDifference | None) -> Interval | None:
    """A difference of shares as percentage points."""
    if found is None:
        return None
    its = found.interval
    return Interval(100 * its.estimate, 100 * its.low, 100 * its.high, its.level)


def figure_of(contrasts: Sequence[Contrast]) -> "Figure | None":
    """Draw the differences with their intervals; None where there are none. All are of one unit."""
    known = [(each, each.difference) for each in contrasts if each.difference]
    if not known:
        return None
    figure, axes = plotting.new_figure(
        "", f"difference in {known[0][0].unit}", "", height=1.0 + 0.5 * len(known)
    )
    for row, (_, found) in enumerate(known):
        axes.errorbar(
            found.estimate,
            row,
            xerr=[[found.estimate - found.low], [found.high - found.estimate]],
            fmt="o",
            capsize=4,
            color=plotting.COLOURS[0],
        )
    axes.axvline(0, color="#888888", linewidth=1)
    axes.set_yticks(
        range(len(known)), [short_name(f"{each.second} \u2212 {each.first}") for each, _ in known]
    )
    axes.set_ylim(len(known) - 0.5, -0.5)
    return figure
