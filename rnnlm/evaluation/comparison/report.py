"""A comparison as one page: self-contained HTML with SVG plots, no script, nothing fetched; made to
be read and passed on."""

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
    """Make sure that a report can be made and written to `path`, before time goes into it.

    Raises:
        UsageError: its name is that of something else than HTML. OutputError: it cannot be written
            there.
    """
    pages.check(path, overwrite, WHAT)


def write(path: Path, comparison: Comparison) -> None:
    """Write the report, whole or not at all.

    Raises:
        UsageError, OutputError: as :func:`check`, but a file that is there is replaced.
    """
    pages.check(path, overwrite=True, what=WHAT)
    pages.write(path, render(comparison), WHAT)


def render(comparison: Comparison) -> str:
    """The report as HTML, which is XML, too. All text from outside is escaped."""
    signatures = [Signature.parse(model.evaluation.signature) for model in comparison.models]
    parts = [
        (part, [getattr(signature, part) for signature in signatures])
        for part in (field.name for field in fields(Signature))
    ]
    names = [model.name for model in comparison.models]
    return pages.render(
        "comparison.html", comparison=comparison, names=names, parts=parts, plots=plots(comparison)
    )


# ---- The plots of a comparison, as SVG: learning curves, perplexity by group, differences, lines
# against lines, calibration.

MOST_POINTS = 1000  # lines drawn


def plots(comparison: Comparison) -> list[Plot]:
    """All plots for which the comparison holds something."""
    unit, names = comparison.unit, [model.name for model in comparison.models]
    drawn = [
        _differences(comparison),
        _groups("Perplexity by training frequency", f"how often the {unit} occurred in training",
                comparison.bands, names, unit),
        _groups("Perplexity by position", f"position of the {unit} in its line",
                comparison.positions, names, unit),
        _groups("Perplexity by n-grams seen", f"longest n-gram seen that ends at the {unit}",
                comparison.ngrams, names, unit),
        *(_lines(comparison, k) for k in range(1, len(names))),
        _calibration(comparison),
        _learning(comparison),
    ]  # fmt: skip
    return [plot for plot in drawn if plot is not None]


def _differences(comparison: Comparison) -> Plot | None:
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
    if not table:
        return None
    figure, axes = plotting.new_figure("", label, f"perplexity per {unit}")
    places = np.arange(len(table))
    for k, name in enumerate(names):
        ppl = [np.nan if each is None else each for each in (row.ppl[k] for row in table)]
        axes.plot(
            places, ppl, marker=MARKERS[k % len(MARKERS)], markersize=5, label=short_name(name)
        )
    if any(each for row in table for each in row.ppl):
        plotting.log_y(axes)
    axes.set_xticks(places, [row.group for row in table], rotation=35, ha="right")
    axes.legend()
    return Plot(
        title,
        f"Lower is better; a logarithmic scale. How many {unit}s each group has is in the table.",
        plotting.as_svg(figure),
    )


def _lines(comparison: Comparison, k: int) -> Plot | None:
    first, other = comparison.models[0].name, comparison.models[k].name
    finite = np.flatnonzero(np.isfinite(comparison.bits_KS[[0, k]]).all(axis=0))
    if not len(finite):
        return None
    chosen = finite[
        np.linspace(0, len(finite) - 1, min(len(finite), MOST_POINTS)).round().astype(np.int64)
    ]
    figure, axes = plotting.new_figure(
        "", f"bits under {short_name(first)}", f"bits under {short_name(other)}", height=5.0
    )
    bits_2S = comparison.bits_KS[[0, k]][:, chosen]
    axes.plot(*bits_2S, ".", markersize=4, alpha=0.5)
    end = float(bits_2S.max()) * 1.03
    axes.plot([0, end], [0, end], color="#888888", linewidth=1)
    axes.set(xlim=(0, end), ylim=(0, end))
    note = (
        f"Surprisal of each line; below the diagonal {other} is better. {len(chosen):,} "
        f"of {comparison.lines:,} lines, evenly spread."
    )
    return Plot(f"Lines: {first} and {other}", note, plotting.as_svg(figure))


def _calibration(comparison: Comparison) -> Plot | None:
    measured = [(model.name, model.calibration) for model in comparison.models if model.calibration]
    if not measured:
        return None
    figure, axes = plotting.new_figure(
        "", "probability of the likeliest token", "share of them that were right", height=5.0
    )
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1)
    for k, (name, calibration) in enumerate(measured):
        label = f"{short_name(name)}: ECE {calibration.expected_error:.3f}"
        filled = [
            (each.mean_probability, each.accuracy) for each in calibration.bins if each.tokens
        ]
        axes.plot(
            *np.array(filled, dtype=np.float64).T,
            marker=MARKERS[k % len(MARKERS)],
            markersize=5,
            label=label,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    tokens = " and ".join(
        f"{found.tokens:,} of {found.text_tokens:,} for {name}" for name, found in measured
    )
    note = "On the diagonal a model is right as often as it says; below it, it is too sure. "
    note += f"Each by its own tokens: {tokens}. ECE: expected calibration error."
    return Plot("Calibration", note, plotting.as_svg(figure))


def _learning(comparison: Comparison) -> Plot | None:
    curves = [(model.name, _validations(model)) for model in comparison.models]
    curves = [(name, curve) for name, curve in curves if curve]
    if not curves:
        return None
    figure, axes = plotting.new_figure("", "seconds of training", "validation perplexity per token")
    for k, (name, curve) in enumerate(curves):
        axes.plot(
            *zip(*curve, strict=True),
            marker=MARKERS[k % len(MARKERS)],
            markersize=3,
            label=short_name(name),
        )
    plotting.log_y(axes)
    axes.legend()
    note = (
        "Each on its own validation text, as its training read it: how training went, not "
        "which model is better."
    )
    missing = [model.name for model in comparison.models if model.name not in dict(curves)]
    return Plot(
        "Learning curves",
        note + (f" Without one: {', '.join(missing)}." if missing else ""),
        plotting.as_svg(figure),
    )


def _validations(model: Compared) -> list[tuple[float, float]]:
    """(seconds, perplexity) of each validation while the model was trained."""
    if not model.folder or not is_of_a_run(Path(model.folder)):
        return []
    return [(point.seconds, point.value) for point in learning_curve(model.folder).points]
