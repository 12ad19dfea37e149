"""Write a comparison as one page: self-contained HTML with SVG plots, no script, nothing
fetched."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from rnnlm.evaluation import pages, plotting
from rnnlm.evaluation.calibration import MOST_TOKENS as CALIBRATION_TOKENS
from rnnlm.evaluation.comparison.comparison import Compared, Comparison
from rnnlm.evaluation.comparison.tables import GroupRow
from rnnlm.evaluation.comparison.verdict import figure_of
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.evaluation.pages import Plot
from rnnlm.evaluation.perplexity import Signature
from rnnlm.evaluation.plotting import MARKERS, short_name
from rnnlm.models.metrics_log import is_of_a_run

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


def plots(comparison: Comparison) -> list[Plot]:
    """Return all plots for which the comparison has data."""
    unit = comparison.unit
    names = [model.name for model in comparison.models]
    groups = (
        ("Perplexity by training frequency", f"how often the {unit} occurred in training",
         comparison.bands),
        ("Perplexity by position", f"position of the {unit} in its line", comparison.positions),
        ("Perplexity by n-grams seen", f"longest n-gram seen that ends at the {unit}",
         comparison.ngrams),
    )  # fmt: skip
    drawn = [_differences(comparison)]
    for title, label, table in groups:
        drawn.append(_groups(title, label, table, names, unit))
    for other in range(1, len(names)):
        drawn.append(_lines(comparison, other))
    drawn += [_calibration(comparison), _learning(comparison)]
    return [plot for plot in drawn if plot is not None]


def _differences(comparison: Comparison) -> Plot | None:
    """Draw the differences of all pairs."""
    figure = figure_of(comparison.contrasts)
    if figure is None:
        return None
    return Plot(
        "Differences",
        "With 95 % paired bootstrap intervals; left of 0 the first-named is better.",
        plotting.as_svg(figure),
    )


def _groups(
    title: str, label: str, table: Sequence[GroupRow], names: Sequence[str], unit: str
) -> Plot | None:
    """Draw the perplexity of each model by group."""
    if not table:
        return None
    figure, axes = plotting.new_figure("", label, f"perplexity per {unit}")
    places = np.arange(len(table))
    for k, name in enumerate(names):
        # A group with a token of probability zero has no perplexity: the line has a gap there.
        ppl_G = np.array([row.ppl[k] for row in table], dtype=np.float64)
        marker = MARKERS[k % len(MARKERS)]
        axes.plot(places, ppl_G, marker=marker, markersize=5, label=short_name(name))
    if any(any(row.ppl) for row in table):
        plotting.log_y(axes)
    axes.set_xticks(places, [row.group for row in table], rotation=35, ha="right")
    axes.legend()
    note = f"Lower is better; a logarithmic scale. How many {unit}s each group has is in the table."
    return Plot(title, note, plotting.as_svg(figure))


def _lines(comparison: Comparison, k: int) -> Plot | None:
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
    figure, axes = plotting.new_figure(
        "", f"bits under {short_name(first)}", f"bits under {short_name(other)}", height=5.0
    )
    axes.plot(*drawn_2S, ".", markersize=4, alpha=0.5)

    # The diagonal, on which both models are equally good.
    end = float(drawn_2S.max()) * 1.03
    axes.plot([0, end], [0, end], color="#888888", linewidth=1)
    axes.set(xlim=(0, end), ylim=(0, end))
    note = (
        f"Surprisal of each line; below the diagonal {other} is better. {count:,} "
        f"of {comparison.lines:,} lines, evenly spread."
    )
    return Plot(f"Lines: {first} and {other}", note, plotting.as_svg(figure))


def _calibration(comparison: Comparison) -> Plot | None:
    """Draw how often the likeliest token is right by its probability."""
    measured = [model for model in comparison.models if model.calibration]
    if not measured:
        return None
    figure, axes = plotting.new_figure(
        "", "probability of the likeliest token", "share of them that were right", height=5.0
    )
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1)  # perfect calibration
    tokens = []
    for k, model in enumerate(measured):
        found = model.calibration
        assert found is not None
        tokens.append(f"{found.tokens:,} of {found.text_tokens:,} for {model.name}")
        label = f"{short_name(model.name)}: ECE {found.expected_error:.3f}"

        # Bins without tokens have no point.
        means, shares = [], []
        for each in found.bins:
            if each.mean_probability is not None and each.accuracy is not None:
                means.append(each.mean_probability)
                shares.append(each.accuracy)
        axes.plot(means, shares, marker=MARKERS[k % len(MARKERS)], markersize=5, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")

    note = "On the diagonal a model is right as often as it says; below it, it is too sure. "
    note += f"Each by its own tokens: {' and '.join(tokens)}. ECE: expected calibration error."
    return Plot("Calibration", note, plotting.as_svg(figure))


def _learning(comparison: Comparison) -> Plot | None:
    """Draw validation perplexity by the time of training."""
    curves = {}
    for model in comparison.models:
        curve = _validations(model)
        if curve:
            curves[model.name] = curve
    if not curves:
        return None
    figure, axes = plotting.new_figure("", "seconds of training", "validation perplexity per token")
    for k, (name, curve) in enumerate(curves.items()):
        seconds, ppl = zip(*curve, strict=True)
        marker = MARKERS[k % len(MARKERS)]
        axes.plot(seconds, ppl, marker=marker, markersize=3, label=short_name(name))
    plotting.log_y(axes)
    axes.legend()

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
