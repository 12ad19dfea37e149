"""Write a comparison as one page: self-contained HTML with SVG plots, no script, nothing
fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.evaluation import pages, plotting
from rnnlm.evaluation.calibration import MOST_TOKENS as CALIBRATION_TOKENS
from rnnlm.evaluation.comparison.comparison import Compared, Comparison
from rnnlm.evaluation.comparison.tables import UNKNOWN_GROUP, UNSEEN_GROUP, GroupRow
from rnnlm.evaluation.comparison.verdict import figure_of
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.evaluation.pages import Plot
from rnnlm.evaluation.perplexity import Signature
from rnnlm.evaluation.plotting import Look, short_name
from rnnlm.interface import BOUNDARY
from rnnlm.models.metrics_log import is_of_a_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CALIBRATION_TOKENS", "check", "render", "write"]

WHAT = "a comparison"


def check(path: Path, overwrite: bool = False) -> None:
    """Make sure that a report can be made and written to `path`, before any work is done."""
    pages.check(path, overwrite, WHAT)


def write(path: Path, comparison: Comparison) -> None:
    """Write the report, whole or not at all."""
    pages.check(path, overwrite=True, what=WHAT)
    pages.write(path, render(comparison), WHAT)


def render(comparison: Comparison) -> str:
    """Return the report as HTML, which is also XML. All text from outside is escaped."""
    signatures = [Signature.parse(model.evaluation.signature) for model in comparison.models]
    parts = []
    for part in fields(Signature):
        parts.append((part.name, [getattr(signature, part.name) for signature in signatures]))
    names = [model.name for model in comparison.models]
    return pages.render(
        "comparison.html", comparison=comparison, names=names, parts=parts, plots=plots(comparison)
    )


# ---- The plots of a comparison, as SVG: differences, perplexity by group, lines against lines,
# calibration, learning curves.

MOST_POINTS = 1000  # lines drawn
# Groups that are no step of the scale of their plot, with what a note calls them
APART = {BOUNDARY: "ends of lines", UNKNOWN_GROUP: "unknown words", UNSEEN_GROUP: "unseen words"}
DIAGONAL: dict[str, Any] = {"color": plotting.REFERENCE, "linewidth": 1, "linestyle": "--"}
LEARNING = "The lower, the better a model predicts"


def plots(comparison: Comparison) -> list[Plot]:
    """Return all plots for which the comparison has data."""
    unit = comparison.unit
    groups = (
        ("Perplexity by training frequency", f"how often the {unit} occurred in training",
         comparison.bands),
        ("Perplexity by position", f"position of the {unit} in its line", comparison.positions),
        ("Perplexity by n-grams seen", f"longest n-gram seen that ends at the {unit}",
         comparison.ngrams),
    )  # fmt: skip
    names = [model.name for model in comparison.models]
    looks = plotting.looks_of(names)  # of a model, the same in all plots
    drawn = [_differences(comparison)]
    for title, label, table in groups:
        drawn.append(_groups(title, label, table, looks, unit))
    for other in range(1, len(names)):
        drawn.append(_lines(comparison, other, looks))
    drawn += [_calibration(comparison, looks), _learning(comparison, looks)]
    return [plot for plot in drawn if plot is not None]


def _differences(comparison: Comparison) -> Plot | None:
    """Draw the differences of all pairs."""
    figure = figure_of(comparison.contrasts, width=pages.SIZE[0])
    if figure is None:
        return None
    note = "With 95 % paired bootstrap intervals."
    return Plot("Differences", note, plotting.as_svg(figure))


def _groups(
    title: str, label: str, table: Sequence[GroupRow], looks: Mapping[str, Look], unit: str
) -> Plot | None:
    """Draw the perplexity of each model by group. Groups that have no place on the scale, such as
    ends of lines among frequencies, would rule it: only the table has them."""
    drawn = [row for row in table if row.group not in APART]
    if not drawn:
        return None
    figure, axes = plotting.new_figure("", label, f"perplexity per {unit}", *pages.SIZE)
    places = np.arange(len(drawn))
    for k, (name, its) in enumerate(looks.items()):
        # A group with a token of probability zero has no perplexity: the line has a gap there.
        ppl_G = np.array([row.ppl[k] for row in drawn], dtype=np.float64)
        _draw_line(axes, places, ppl_G, name, its)
    if any(any(row.ppl) for row in drawn):
        plotting.log_y(axes)
    axes.set_xticks(places, [row.group for row in drawn], rotation=35, ha="right")
    plotting.legend_below(figure, axes)

    note = f"Lower is better; a logarithmic scale. How many {unit}s each group has is in the table."
    apart = [APART[row.group] for row in table if row.group in APART]
    if apart:
        note += f" Not drawn, but in the table: {' and '.join(apart)}."
    return Plot(title, note, plotting.as_svg(figure))


def _draw_line(
    axes: "Axes", x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, name: str,
    its: Look, said: str = "",
) -> None:  # fmt: skip
    """Draw the line of a model in its look. said: after its name."""
    style: dict[str, Any] = {"marker": its.marker, "markersize": 4, "color": its.colour}
    axes.plot(x, y, linestyle=its.line, label=short_name(name) + said, **style)


def _lines(comparison: Comparison, k: int, looks: Mapping[str, Look]) -> Plot | None:
    """Draw the lines of the text by their surprisal under the first model and under model `k`."""
    first, other = comparison.models[0].name, comparison.models[k].name
    bits_2S = comparison.bits_KS[[0, k]]
    finite = np.flatnonzero(np.isfinite(bits_2S).all(axis=0))
    if not len(finite):
        return None

    # Draw as many lines as a page can hold, evenly spread over the text.
    count = min(len(finite), MOST_POINTS)
    places = np.linspace(0, len(finite) - 1, count).round().astype(np.int64)
    drawn_2S = bits_2S[:, finite[places]]
    below = f"surprisal under {short_name(first)} (bits)"
    beside = f"surprisal under {short_name(other)} (bits)"
    figure, axes = plotting.new_figure("", below, beside, *pages.SQUARE)
    style: dict[str, Any] = {"markersize": 4, "alpha": 0.5, "color": looks[other].colour}
    axes.plot(*drawn_2S, ".", label="a line of the text", **style)

    # The diagonal, on which both models are equally good.
    end = float(drawn_2S.max()) * 1.03
    axes.plot([0, end], [0, end], label="both models equal", **DIAGONAL)
    axes.set(xlim=(0, end), ylim=(0, end))
    plotting.legend_below(figure, axes)
    note = (
        f"Surprisal of each line; below the diagonal {other} is better. {count:,} "
        f"of {comparison.lines:,} lines, evenly spread."
    )
    return Plot(f"Lines: {first} and {other}", note, plotting.as_svg(figure))


def _calibration(comparison: Comparison, looks: Mapping[str, Look]) -> Plot | None:
    """Draw how often the likeliest token is right by its probability."""
    measured = [model for model in comparison.models if model.calibration]
    if not measured:
        return None
    labels = ("probability of the likeliest token", "share of them that were right")
    figure, axes = plotting.new_figure("", *labels, *pages.SQUARE)
    axes.plot([0, 1], [0, 1], label="as often right as it says", **DIAGONAL)
    tokens = []
    for model in measured:
        found = model.calibration
        assert found is not None
        tokens.append(f"{found.tokens:,} of {found.text_tokens:,} for {model.name}")

        # Bins without tokens have no point.
        means, shares = [], []
        for each in found.bins:
            if each.mean_probability is not None and each.accuracy is not None:
                means.append(each.mean_probability)
                shares.append(each.accuracy)
        said = f": ECE {found.expected_error:.3f}"
        _draw_line(axes, means, shares, model.name, looks[model.name], said)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plotting.legend_below(figure, axes)

    note = "On the diagonal a model is right as often as it says; below it, it is too sure. "
    note += f"Each by its own tokens: {' and '.join(tokens)}. ECE: expected calibration error."
    return Plot("Calibration", note, plotting.as_svg(figure))


def _learning(comparison: Comparison, looks: Mapping[str, Look]) -> Plot | None:
    """Draw validation perplexity by the time of training."""
    curves = {}
    for model in comparison.models:
        curve = _validations(model)
        if curve:
            curves[model.name] = curve
    if not curves:
        return None
    labels = (LEARNING, "seconds of training", "validation perplexity per token")
    figure, axes = plotting.new_figure(*labels, *pages.SIZE)
    for name, curve in curves.items():
        seconds, ppl = zip(*curve, strict=True)
        _draw_line(axes, seconds, ppl, name, looks[name])
    plotting.log_y(axes)
    plotting.legend_below(figure, axes)

    # Models that were counted, or whose log is lost, have no curve.
    note = (
        "Each on its own validation text, as its training read it: how training went, not "
        "which model is better."
    )
    missing = [model.name for model in comparison.models if model.name not in curves]
    if missing:
        note += f" Without one: {', '.join(missing)}."
    return Plot("Learning curves", note, plotting.as_svg(figure))


def _validations(model: Compared) -> list[tuple[float, float]]:
    """Return (seconds, perplexity) of each validation during the model's training."""
    if not model.folder or not is_of_a_run(Path(model.folder)):
        return []
    return [(point.seconds, point.value) for point in learning_curve(model.folder).points]
