"""Read learning curves, the validations during the training of models, from their folders, and
plot several together."""

import itertools
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rnnlm import registry
from rnnlm.checks import several
from rnnlm.errors import ModelError, UsageError, first_of, nearest, notice
from rnnlm.evaluation import plotting
from rnnlm.events import PERPLEXITY
from rnnlm.lm.base import loading
from rnnlm.storage.files import tables
from rnnlm.storage.manifest import is_model, read_manifest
from rnnlm.storage.run_files import METRICS, read_events
from rnnlm.tabular import Records, Row, to_builtins

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
MOST_NATS = 50.0  # per token, in a plot
_MARKED = 60  # curves of at most this many points mark each one


@dataclass(frozen=True)
class CurvePoint:
    """A measurement after some steps.

    Attributes:
        steps: Number of training steps by then.
        tokens: Number of tokens read by then.
        epochs: Number of epochs by then.
        seconds: Training time by then.
        value: The metric `criterion` on the validation text, or on the training text since the
            point before (with dropout, so it may be the worse of the two).
        criterion: Name of the metric: perplexity per token, or for models of other tasks the metric
            that selects the best weights.
    """

    steps: int
    tokens: int
    epochs: float
    seconds: float
    value: float
    criterion: str = PERPLEXITY

    @property
    def ppl_token(self) -> float | None:
        """Perplexity per token; None if another metric was measured."""
        return self.value if self.criterion == PERPLEXITY else None

    def to_dict(self) -> dict[str, Any]:
        """Return the point in JSON's types, with the value under the name of its metric."""
        shown: dict[str, Any] = to_builtins(self)
        shown[shown.pop("criterion")] = shown.pop("value")
        return shown


@dataclass(frozen=True)
class LearningCurve(Records):
    """The curve of one run.

    Attributes:
        name: Name of the run.
        folder: Folder of the run.
        model: Kind of model, such as "lstm".
        points: Validations, in order.
        training: Metrics of the training text, about one per ten seconds, 40 in all in short runs;
            empty if the loss is not the cross-entropy, or perplexity is not the criterion.
        criterion: Name of the metric of the points.
        kept_step: Step of the validation whose weights are kept; None if there is none.
        is_share: Whether the metric is a share of 1, which is drawn in percent.
    """

    name: str
    folder: str
    model: str
    points: tuple[CurvePoint, ...] = field(repr=False)
    training: tuple[CurvePoint, ...] = field(repr=False)
    criterion: str = PERPLEXITY
    kept_step: int | None = None
    is_share: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether the model is made of counts and not learned step by step: a single point is not a
        curve."""
        kind = registry.kinds_of().get(self.model)
        return kind is not None and kind.is_counted

    def to_rows(self) -> list[Row]:
        """Return a row for each point; `measured` is "valid" or "train"."""
        rows: list[Row] = []
        for measured, points in (("valid", self.points), ("train", self.training)):
            for point in points:
                rows.append(
                    {
                        "run": self.name,
                        "measured": measured,
                        "steps": point.steps,
                        "tokens": point.tokens,
                        "epochs": point.epochs,
                        "seconds": point.seconds,
                        "metric": point.criterion,
                        "value": point.value,
                    }
                )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the curve in JSON types, with each point's value under the name of its metric,
        `criterion`."""
        curve = vars(self).copy()
        for name in ("points", "training"):
            curve[name] = [point.to_dict() for point in curve[name]]
        return curve


def learning_curve(run: str | os.PathLike[str]) -> LearningCurve:
    """Return the curve of a run: of its folder, or of a model given as for :func:`rnnlm.load`. The
    run may still be running, or have diverged.

    Raises:
        ModelError: there is none, or it has no metrics.jsonl, or a damaged one.
    """
    run = os.fspath(run)
    folder = folder_of(run)
    events = read_events(folder)
    started = next((event for event in events if event.get("event") == "started"), None)
    if started is None:
        raise ModelError(
            f"{folder} has no learning curve",
            f"it has no {METRICS} of a training run",
            "name the folder of a run",
        )
    try:
        criterion = _criterion(events)
        points, training = _points(events, started, criterion)
        kept_step = _kept_step(events)
    # a value that another tool wrote there
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ModelError(f"the {METRICS} in {folder} is damaged") from None
    return LearningCurve(
        name=run,
        folder=str(folder),
        model=str(started.get("model")),
        points=tuple(points),
        training=tuple(training),
        criterion=criterion,
        kept_step=kept_step,
        is_share=any(event.get("is_share") is True for event in events),
    )


def folder_of(run: str | Path) -> Path:
    """Return the folder of a run, which need not hold a model yet, or of a model."""
    return Path(run) if (Path(run) / METRICS).is_file() else loading.find(run)


def _criterion(events: Sequence[dict[str, Any]]) -> str:
    """Return the name of the metric that the best weights are chosen by."""
    validated = next((event for event in events if event.get("event") == "validated"), {})
    best = (name for name in validated if name.startswith("best_"))
    return next(best, f"best_{PERPLEXITY}").removeprefix("best_")


def _points(
    events: Sequence[dict[str, Any]], started: dict[str, Any], criterion: str
) -> tuple[list[CurvePoint], list[CurvePoint]]:
    """Return the points of the validation text, and the points of the training text."""
    points: list[CurvePoint] = []
    training: list[CurvePoint] = []
    for event in events:
        kind = event.get("event")
        if kind == "rolledback":  # points after the good state were discarded
            points = [point for point in points if point.steps <= event["to_step"]]
            training = [point for point in training if point.steps <= event["to_step"]]
        elif kind == "validated":
            points += _point(event, event.get(criterion), started, criterion)
        elif kind == "step" and event.get("is_exact") and criterion == PERPLEXITY:
            training += _point(event, _perplexity(event.get("loss_nats")), started)
    return points, training


def _kept_step(events: Sequence[dict[str, Any]]) -> int | None:
    """Return the step of the best validation that no rollback undid."""
    improved: list[int] = []
    for event in events:
        if event.get("event") == "rolledback":
            improved = [step for step in improved if step <= event["to_step"]]
        elif event.get("event") == "validated" and event.get("improved"):
            improved.append(event["step"])
    return improved[-1] if improved else None


def _perplexity(nats: object) -> float | None:
    """Return the perplexity of a loss; None where there is no loss, or too large a one."""
    if not isinstance(nats, int | float) or nats >= MOST_NATS:
        return None
    return math.exp(nats)


def _point(
    event: dict[str, Any], value: float | None, started: dict[str, Any], criterion: str = PERPLEXITY
) -> list[CurvePoint]:
    """Return the point of an event as a list; empty where it has no value."""
    step, epoch, seconds = event.get("step"), event.get("epoch"), event.get("seconds")
    if not isinstance(step, int) or not isinstance(value, int | float):
        return []
    if not isinstance(epoch, int | float) or not isinstance(seconds, int | float):
        return []
    epoch, seconds = float(epoch), float(seconds)
    tokens = event.get("tokens", round(epoch * started.get("train_tokens", 0)))
    return [CurvePoint(step, tokens, epoch, seconds, value, criterion)]


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

    criterion = drawn[0].criterion
    if criterion != PERPLEXITY:
        what = "mean of the labels' metrics" if criterion == "mean" else criterion
        unit = " (%)" if drawn[0].is_share else ""
        label = f"validation {what.replace('_', ' ')}{unit}"
    elif training:
        label = "perplexity per token"
    else:
        label = "validation perplexity per token"
    # The title: the run, or the grid that all runs are of.
    title = "The lower, the better" if criterion == PERPLEXITY else ""
    folders = [Path(curve.folder).resolve() for curve in drawn]
    grids = {folder.parent for folder in folders}
    named = folders if len(drawn) == 1 else [grid for grid in grids if is_grid(grid)]
    if len(named) == len(grids) == 1:
        name = plotting.short_name(named[0].name, _LONGEST_NAME)
        title = f"{name}. {title}" if title else name
    figure, axes = plotting.new_figure(title, _AXES[by], label, *size, axes=axes)

    # A curve for each run, in another colour, and then with another kind of line.
    names = loading.distinct_names(folders)
    for number, (full_name, curve) in enumerate(zip(names, drawn, strict=True)):
        name = plotting.short_name(full_name, _LONGEST_NAME)
        colours = plotting.series_style(number)
        style: dict[str, Any] = {"color": colours.colour, "linestyle": colours.line}
        if curve.is_counted:
            axes.axhline(curve.points[-1].value, linewidth=1, label=f"{name} (counted)", **style)
            continue
        marked: dict[str, Any] = {"marker": colours.marker, "markersize": 3}
        if len(curve.points) > _MARKED:
            marked |= {"markevery": len(curve.points) // 10}
        points = curve.points
        if curve.is_share:
            points = tuple(replace(point, value=100 * point.value) for point in points)
        _draw(axes, points, by, label=name, **marked, **style)
        kept = [point for point in points if point.steps == curve.kept_step][-1:]
        if kept:
            kept_label = f"kept: step {kept[0].steps:,}" if len(drawn) == 1 else None
            at = ([getattr(kept[0], by)], [kept[0].value])
            axes.scatter(*at, s=70, facecolors="none", edgecolors=colours.colour, label=kept_label)
        if training and len(curve.training) > 1:
            label = f"{name}, training text"
            _draw(axes, curve.training, by, linewidth=0.8, alpha=0.6, label=label, **style)
    if by in ("tokens", "steps"):
        highest = max(getattr(curve.points[-1], by) for curve in drawn)
        plotting.count_x(axes, _AXES[by], highest)
    if criterion == PERPLEXITY:
        plotting.log_y(axes)
    plotting.legend_below(figure, axes)
    return figure


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
