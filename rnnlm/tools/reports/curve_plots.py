"""Plot the learning curves of several runs together, those of a grid among them."""

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from rnnlm.checks import several
from rnnlm.errors import UsageError, first_of, nearest, notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import CurvePoint, LearningCurve, learning_curve
from rnnlm.events import PERPLEXITY
from rnnlm.lm.base import loading
from rnnlm.storage.files import tables
from rnnlm.storage.manifest import is_model, read_manifest

GRID_TABLE = "grid.tsv"  # in the folder of a grid: its runs, with their folders
By = Literal["steps", "tokens", "epochs", "seconds"]
_AXES = {
    "steps": "steps",
    "tokens": "tokens read",
    "epochs": "epochs",
    "seconds": "seconds of training",
}
SIZE = (plotting.WIDEST, 4.6)  # inches
_LONGEST_NAME = 48  # characters in a legend
_MARKED = 60  # curves of at most this many points mark each one


def runs_of(name: str | Path) -> list[str | Path]:
    """Return the folders of the runs of a grid, in its order, if `name` is the folder of one;
    otherwise `name` itself."""
    if not is_grid(Path(name)):
        return [name]
    rows = tables.rows(str(Path(name) / GRID_TABLE))
    return [Path(name) / str(row.values.get("folder")) for row in rows]


def is_grid(folder: Path) -> bool:
    """Return whether a folder is one of a grid."""
    return (folder / GRID_TABLE).is_file()


def curves_of(runs: Sequence[str | os.PathLike[str]]) -> list[LearningCurve]:
    """Return the curves of runs, and of all runs of the grids among them."""
    folders = itertools.chain.from_iterable(runs_of(os.fspath(name)) for name in runs)
    return list(map(learning_curve, folders))


def plot_curves(
    runs: Sequence[str | os.PathLike[str]],
    path: str | Path | None = None,
    *,
    by: By = "steps",
    training: bool | None = None,
    axes: "plotting.Axes | None" = None,
) -> "plotting.Figure":
    """Draw the learning curves of runs as a matplotlib figure. `run.history` has the numbers.

    The figure shows validation perplexity (on a logarithmic scale); for other tasks, it shows the
    metric that selects the best weights. An n-gram model is a horizontal line. A ring marks the
    weights that are kept.

    Args:
        runs: Each a finished run, the folder of a run or of a grid, or the name of a model.
        path: File to save the figure to, as .svg, .png or .pdf.
        by: Horizontal axis: "steps", "tokens", "epochs" or "seconds".
        training: Also draw the perplexity of the training text, as a thin line; None: of one run.
        axes: Draw there instead of in a new figure.

    Returns:
        The figure.

    Raises:
        UsageError: No run is named, the axis is unknown, or the suffix is not supported.
        ModelError: A run does not exist.
        OutputError: The file cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    if not runs:
        raise UsageError("there is nothing to draw", "no run is named")
    curves = curves_of(several(runs, "runs"))
    has_training = len(curves) == 1 if training is None else training
    figure = curves_figure(curves, by, has_training, axes)
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


def curves_figure(
    curves: Sequence[LearningCurve],
    by: By = "steps",
    training: bool = False,
    axes: "plotting.Axes | None" = None,
    size: tuple[float, float] = SIZE,
) -> "plotting.Figure":
    """Draw the plot of :func:`plot_curves`. Notices name the runs that it does not show. size:
    width and height of the figure, in inches."""
    if by not in get_args(By):
        raise UsageError(f"unknown axis {by!r}", hint=nearest(by, get_args(By)))
    drawn = [curve for curve in curves if curve.points]
    _notice_what_is_missing(curves, drawn)
    label = _label(drawn[0], training)
    figure, axes = plotting.new_figure(_title(drawn), _AXES[by], label, *size, axes=axes)

    # A curve for each run, in another colour, and then with another kind of line.
    names = loading.distinct_names([_folder(curve) for curve in drawn])
    is_alone = len(drawn) == 1
    for number, (full_name, curve) in enumerate(zip(names, drawn, strict=True)):
        name = plotting.short_name(full_name, _LONGEST_NAME)
        colours = plotting.series_style(number)
        style: dict[str, Any] = {"color": colours.colour, "linestyle": colours.line}
        if curve.is_counted:
            axes.axhline(curve.points[-1].value, linewidth=1, label=f"{name} (counted)", **style)
            continue
        marked = style | {"marker": colours.marker}
        _draw_validations(axes, curve, by, name, marked, is_alone)
        if training and len(curve.training) > 1:
            label = f"{name}, training text"
            _draw(axes, curve.training, by, linewidth=0.8, alpha=0.6, label=label, **style)

    # Scales and the legend.
    if by in ("tokens", "steps"):
        highest = max(getattr(curve.points[-1], by) for curve in drawn)
        plotting.count_x(axes, _AXES[by], highest)
    if drawn[0].criterion == PERPLEXITY:
        plotting.log_y(axes)
    plotting.legend_below(figure, axes)
    return figure


def _label(curve: LearningCurve, training: bool) -> str:
    """Return the label of the vertical axis: the metric, with its unit."""
    if curve.criterion == PERPLEXITY:
        return "perplexity per token" if training else "validation perplexity per token"
    what = "mean of the labels' metrics" if curve.criterion == "mean" else curve.criterion
    unit = " (%)" if curve.is_share else ""
    return f"validation {what.replace('_', ' ')}{unit}"


def _title(drawn: Sequence[LearningCurve]) -> str:
    """Return the title: the run, or the grid that all runs are of, and which way is better."""
    better = "The lower, the better" if drawn[0].criterion == PERPLEXITY else ""
    folders = [_folder(curve) for curve in drawn]
    grids = {folder.parent for folder in folders}
    named = folders if len(drawn) == 1 else [grid for grid in grids if is_grid(grid)]
    if not len(named) == len(grids) == 1:
        return better
    name = plotting.short_name(named[0].name, _LONGEST_NAME)
    return f"{name}. {better}" if better else name


def _folder(curve: LearningCurve) -> Path:
    return Path(curve.folder).resolve()


def _draw_validations(
    axes: "plotting.Axes",
    curve: LearningCurve,
    by: By,
    name: str,
    style: dict[str, Any],
    is_alone: bool,
) -> None:
    """Draw the validations of a run, with a ring around the one whose weights are kept."""
    points = curve.points
    if curve.is_share:
        points = tuple(replace(point, value=100 * point.value) for point in points)
    every = {"markevery": len(points) // 10} if len(points) > _MARKED else {}
    _draw(axes, points, by, label=name, markersize=3, **every, **style)
    kept = [point for point in points if point.steps == curve.kept_step][-1:]
    if kept:
        label = f"kept: step {kept[0].steps:,}" if is_alone else None
        at = ([getattr(kept[0], by)], [kept[0].value])
        axes.scatter(*at, s=70, facecolors="none", edgecolors=style["color"], label=label)


def _draw(axes: "plotting.Axes", points: Sequence[CurvePoint], by: By, **style: Any) -> None:
    axes.plot([getattr(point, by) for point in points], [point.value for point in points], **style)


def _notice_what_is_missing(
    curves: Sequence[LearningCurve], drawn: Sequence[LearningCurve]
) -> None:
    """Give notices of runs that a plot does not show; refuse to draw nothing, or runs of different
    metrics."""
    if not drawn:
        raise UsageError(
            "there is nothing to draw",
            "no validation of these runs has a perplexity",
            "train with a validation text",
        )
    criteria = dict.fromkeys(curve.criterion for curve in drawn)
    if len(criteria) > 1:
        raise UsageError(
            "the curves have no common axis",
            f"they show {', '.join(criteria)}",
            "draw runs of one metric",
        )

    not_drawn = [curve.name for curve in curves if not curve.points]
    if not_drawn:
        notice(f"not drawn, since they have no validation: {first_of(not_drawn)}")

    # A run that has not ended has no signature, so its text is unknown.
    measured_on = {_measured_on(Path(curve.folder), curve.criterion) for curve in drawn}
    if len(measured_on - {""}) > 1:
        what = "validation data: their metrics are"
        if drawn[0].criterion == PERPLEXITY:
            what = "validation text or tokenizer: their perplexities are"
        notice(f"the runs differ in {what} not comparable (rnnlm compare shows what is)")


def _measured_on(folder: Path, criterion: str) -> str:
    """Return the part of a run's signature that names the validation text, and the tokenizer if
    it matters; "" where there is none yet."""
    results = read_manifest(folder).results if is_model(folder) else {}
    of_tokens = "(tok:[^|]*\\|)?" if criterion in (PERPLEXITY, "loss_nats") else ""
    match = re.search(rf"\|data:[^|]*\|{of_tokens}", results.get("valid", {}).get("signature", ""))
    return match[0] if match else ""
