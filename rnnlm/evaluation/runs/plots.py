"""The plots of a run, as SVG: its learning curve, and by steps loss, rate, gradients, spectral radius, saturation, weights and speed."""

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rnnlm.errors import visible
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import LearningCurve, curves_figure
from rnnlm.evaluation.pages import Plot
from rnnlm.evaluation.runs.history import Points, RunHistory, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (5.0, 3.3)  # inches: so that a phone shows letters of ten pixels
MARKED = 60  # series of at most so many points show each
MOST_LINES = 16  # of a plot
_LINES = ("-", "--", ":", "-.")
OF_STEPS = (
    ("Loss in training", "nats per target", ("loss_nats",), False, "Mean over the steps since the point before; with dropout."),
    ("Learning rate", "learning rate", ("learning_rate",), False, "As the schedule, batches and rollbacks make it."),
    ("Gradient norm", "norm of all gradients", ("gradient_norm", "gradient_norm_max"), True,
     "Before clipping: the mean and the largest since the point before."),
    ("Norm of the weights", "norm", ("weight_norm",), False, "Of all weights but the biases of the output layer."),
    ("Speed", "tokens per second", ("tokens_per_second",), False, "In training, without validations."),
)  # fmt: skip
_NAMES = {"gradient_norm": "mean", "gradient_norm_max": "largest"}


def plots(history: RunHistory, curve: LearningCurve | None) -> list[Plot]:
    """All plots for which the run tells something."""
    return [plot for plot in (_learning_curve_plot(curve), *_of_steps(history), *_of_layers(history)) if plot is not None]


def _learning_curve_plot(curve: LearningCurve | None) -> Plot | None:
    if curve is None or not curve.points or curve.is_counted:
        return None
    figure = curves_figure([curve], training=True)
    figure.set_size_inches(*SIZE)
    note = "What the run gave up when it went back is left out. The best weights are chosen at the ends of epochs and of the run."
    return Plot("Learning curve", note, plotting.as_svg(figure))


def _of_steps(history: RunHistory) -> Iterator[Plot | None]:
    for title, label, figures, is_log, note in OF_STEPS:
        series = {_NAMES.get(figure, ""): points(history.of("step"), figure) for figure in figures}
        yield _plot(title, label, note, history, series, is_log)


def _of_layers(history: RunHistory) -> Iterator[Plot | None]:
    told = (
        ("Gradient norm by layer", "gradient_norm", "norm", "Of all weights of a layer, in the step before a validation, before clipping."),
        (
            "Spectral radius",
            "spectral_radius",
            "largest |eigenvalue|",
            "Of each square block of recurrent weights, by the gate it belongs to.",
        ),
        ("Saturated units", "saturated", "share of units", "Gates below 0.1 or above 0.9, tanh beyond 0.9 on either side, a ReLU at 0."),
    )
    for title, figure, label, note in told:
        series = {
            f"{layer} {block}".rstrip(): found for layer in history.layers for block, found in history.of_layer(layer, figure).items()
        }
        yield _plot(title, label, note, history, series, figure == "gradient_norm", bound=1.0 if figure == "spectral_radius" else None)


def _plot(
    title: str, label: str, note: str, history: RunHistory, series: Mapping[str, Points], is_log: bool, bound: float | None = None
) -> Plot | None:
    """bound: where a level line stands. Dotted lines mark rollbacks."""
    drawn = {name: found for name, found in series.items() if found}
    if not drawn:
        return None
    figure, axes = plotting.new_figure("", "steps", label, *SIZE)
    styles = itertools.cycle(itertools.product(_LINES, plotting.COLOURS))
    for (name, found), (line, colour) in zip(list(drawn.items())[:MOST_LINES], styles, strict=False):
        marker = "o" if len(found) <= MARKED else ""
        steps, values = zip(*found, strict=True)
        axes.plot(steps, values, color=colour, linestyle=line, linewidth=1.2, marker=marker, markersize=3, label=visible(name))
    if bound is not None:
        axes.axhline(bound, color="#888888", linewidth=1)
    for step, _ in points(history.of("rolledback"), "step"):
        axes.axvline(step, color="#888888", linewidth=1, linestyle=":")
    if is_log and all(value > 0 for found in drawn.values() for _, value in found):
        plotting.log_y(axes)
    if len(drawn) > 1:
        _legend(figure)
    left_out = f" The first {MOST_LINES} of {len(drawn)} are drawn." if len(drawn) > MOST_LINES else ""
    return Plot(title, note + left_out, plotting.as_svg(figure))


def _legend(figure: "Figure") -> None:
    """Above the plot, two names a row."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize="small", frameon=False)
