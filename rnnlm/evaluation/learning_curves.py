"""Learning curves: what validations found while models were trained, as their folders tell it, and
a picture of several."""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rnnlm.checks import several
from rnnlm.errors import ModelError, UsageError, nearest, notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.comparison.pairing import names_of
from rnnlm.events import PERPLEXITY
from rnnlm.files import tables
from rnnlm.models import loading, registry
from rnnlm.models.manifest import is_model, read_manifest
from rnnlm.models.metrics_log import METRICS, read_events

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID_TABLE = "grid.tsv"  # in the folder of a grid: its runs, with their folders
By = Literal["steps", "tokens", "epochs", "seconds"]
_AXES = {
    "steps": "steps",
    "tokens": "tokens read",
    "epochs": "epochs",
    "seconds": "seconds of training",
}
_LINES = ("-", "--", ":", "-.")  # where there are more runs than colours
_LONGEST_NAME = 48  # characters in a legend
MOST_NATS = 50.0  # per token, in a picture
_MARKED = 60  # curves of at most so many points show each


@dataclass(frozen=True)
class CurvePoint:
    """What was found after so many steps. tokens: read by then. value: of the validation text, or
    of the training text since the point before (with dropout, so it may be the worse one):
    perplexity per token, or of a model of another task the figure that its best weights are chosen
    by, which `criterion` names."""

    steps: int
    tokens: int
    epochs: float
    seconds: float
    value: float
    criterion: str = PERPLEXITY

    @property
    def ppl_token(self) -> float | None:
        """Perplexity per token; None where another figure was measured."""
        return self.value if self.criterion == PERPLEXITY else None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it; the figure by its name."""
        shown = dataclasses.asdict(self)
        criterion = shown.pop("criterion")
        return {criterion if name == "value" else name: value for name, value in shown.items()}


@dataclass(frozen=True)
class LearningCurve:
    """The curve of one run. model: its kind. points: validations, in order. training: figures of
    the training text, one in ten seconds or so, in short runs 40 in all; none where the loss is not
    the cross-entropy, or perplexity is not what counts. criterion: the name of the figure of the
    points."""

    name: str
    folder: str
    model: str
    points: tuple[CurvePoint, ...]
    training: tuple[CurvePoint, ...]
    criterion: str = PERPLEXITY

    @property
    def is_counted(self) -> bool:
        """Whether the model is made of counts, which are not learned step by step: its one figure
        is no curve."""
        return self.model in registry.KINDS and registry.KINDS[self.model].is_counted

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        points, training = (
            [point.to_dict() for point in each] for each in (self.points, self.training)
        )
        shown = {
            "name": self.name,
            "folder": self.folder,
            "model": self.model,
            "points": points,
            "training": training,
        }
        return shown if self.criterion == PERPLEXITY else shown | {"criterion": self.criterion}


def learning_curve(run: str | Path) -> LearningCurve:
    """The curve of a run: of its folder, or of a model given as for :func:`rnnlm.load`. A run that
    goes on, or that diverged, has one, too.

    Raises:
        ModelError: there is none, or it has no metrics.jsonl, or a damaged one.
    """
    folder = Path(run) if (Path(run) / METRICS).is_file() else loading.find(str(run))
    events = read_events(folder)
    started = next((event for event in events if event.get("event") == "started"), None)
    if started is None:
        raise ModelError(
            f"{folder} has no learning curve",
            f"no {METRICS} of a training run is there",
            "name the folder of a run",
        )
    try:
        criterion = _criterion(events)
        points, training = _points(events, started, criterion)
    except (KeyError, TypeError, ValueError, OverflowError):  # what another tool wrote there
        raise ModelError(f"the {METRICS} in {folder} is damaged") from None
    return LearningCurve(
        str(run), str(folder), str(started.get("model")), tuple(points), tuple(training), criterion
    )


def _criterion(events: Sequence[dict[str, Any]]) -> str:
    """The figure that the best weights are chosen by."""
    validated = next((event for event in events if event.get("event") == "validated"), {})
    named = (name.removeprefix("best_") for name in validated if name.startswith("best_"))
    return PERPLEXITY if PERPLEXITY in validated else next(named, PERPLEXITY)


def _points(
    events: Sequence[dict[str, Any]], started: dict[str, Any], criterion: str
) -> tuple[list[CurvePoint], list[CurvePoint]]:
    """Those of the validation text, and those of the training text."""
    points: list[CurvePoint] = []
    training: list[CurvePoint] = []
    for event in events:
        if event.get("event") == "rolledback":  # what came after the good state was given up
            points, training = (
                [each for each in part if each.steps <= event["to_step"]]
                for part in (points, training)
            )
        elif event.get("event") == "validated":
            points += _point(event, event.get(criterion), started, criterion)
        elif event.get("event") == "step" and event.get("is_exact") and criterion == PERPLEXITY:
            training += _point(event, _perplexity(event.get("loss_nats")), started)
    return points, training


def _perplexity(nats: object) -> float | None:
    """None where there is no loss, or too large a one."""
    return math.exp(nats) if isinstance(nats, int | float) and nats < MOST_NATS else None


def _point(
    event: dict[str, Any], value: float | None, started: dict[str, Any], criterion: str = PERPLEXITY
) -> list[CurvePoint]:
    """The point of an event; none where it has no figure."""
    step, epoch, seconds = event.get("step"), event.get("epoch"), event.get("seconds")
    if not isinstance(step, int) or not isinstance(value, int | float):
        return []
    if not isinstance(epoch, int | float) or not isinstance(seconds, int | float):
        return []
    epoch, seconds = float(epoch), float(seconds)
    tokens = event.get("tokens", round(epoch * started.get("train_tokens", 0)))
    return [CurvePoint(step, tokens, epoch, seconds, value, criterion)]


def runs_of(name: str | Path) -> list[str | Path]:
    """The folders of the runs of a grid, in its order, if `name` is the folder of one; else `name`
    itself.

    Raises:
        TextError: the table of the grid is damaged.
    """
    table = Path(name) / GRID_TABLE
    if not table.is_file():
        return [name]
    return [Path(name) / str(row.values.get("folder")) for row in tables.rows(str(table))]


def plot_curves(
    runs: Sequence[str | Path], path: str | Path, *, by: By = "steps", training: bool = False
) -> list[LearningCurve]:
    """Draw the learning curves of `runs` (folders of runs or of grids, or names of models) to a
    file, SVG, PNG or PDF as its suffix says.

    Returns the curves.

    Validation perplexity (a logarithmic scale) by steps, tokens, epochs or seconds; of models of
    other tasks the figure that their best weights are chosen by. A model of counts is a level line.
    training: draw the perplexity of the training text, too, as a thin line.

    Raises:
        UsageError: there is no run, no such axis, or the suffix is another one. ModelError: a run
            is not there. OutputError: the file cannot be written.
    """
    plotting.check_path(Path(path))
    if not runs:
        raise UsageError("there is nothing to draw", "no run is named")
    curves = [learning_curve(run) for name in several(runs, "runs") for run in runs_of(name)]
    plotting.save(curves_figure(curves, by, training), Path(path))
    return curves


def curves_figure(
    curves: Sequence[LearningCurve], by: By = "steps", training: bool = False
) -> "Figure":
    """The picture of :func:`plot_curves`. Notices name what it does not show.

    Raises:
        UsageError: there is no such axis, none of the runs has a point, or they are measured by
            different figures.
    """
    if by not in get_args(By):
        raise UsageError(f"curves by {by!r} are not known", hint=nearest(by, get_args(By)))
    drawn = [curve for curve in curves if curve.points]
    _notice_what_is_missing(curves, drawn)
    criterion = drawn[0].criterion
    label = (
        "perplexity per token (thin lines: training text)"
        if training
        else "validation perplexity per token"
    )
    label = label if criterion == PERPLEXITY else f"validation {criterion.replace('_', ' ')}"
    figure, axes = plotting.new_figure("", _AXES[by], label, width=7.2, height=4.4)
    names = names_of([Path(curve.folder).resolve() for curve in drawn], None)
    styles = itertools.product(_LINES, plotting.COLOURS)
    for full_name, curve, (line, colour) in zip(
        names, drawn, itertools.cycle(styles), strict=False
    ):
        name = plotting.short_name(full_name, _LONGEST_NAME)
        if curve.is_counted:
            axes.axhline(
                curve.points[-1].value,
                color=colour,
                linestyle=line,
                linewidth=1,
                label=f"{name} (counted)",
            )
            continue
        marker = "o" if len(curve.points) <= _MARKED else ""
        _draw(
            axes,
            curve.points,
            by,
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=3,
            label=name,
        )
        if training and len(curve.training) > 1:
            _draw(axes, curve.training, by, color=colour, linestyle=line, linewidth=0.8, alpha=0.5)
    if criterion == PERPLEXITY:
        plotting.log_y(axes)
    axes.legend(fontsize="small")
    return figure


def _draw(axes: "Axes", points: Sequence[CurvePoint], by: By, **style: Any) -> None:
    axes.plot([getattr(point, by) for point in points], [point.value for point in points], **style)


def _notice_what_is_missing(
    curves: Sequence[LearningCurve], drawn: Sequence[LearningCurve]
) -> None:
    """Raises UsageError: nothing can be drawn, or the runs are measured by different figures."""
    if not drawn:
        raise UsageError(
            "there is nothing to draw",
            "no validation of these runs has a perplexity",
            "train with a validation text",
        )
    if len(criteria := dict.fromkeys(curve.criterion for curve in drawn)) > 1:
        raise UsageError(
            "the curves have no axis in common",
            f"they are of {', '.join(criteria)}",
            "draw runs of one figure",
        )
    for curve in curves:
        if not curve.points:
            notice(f"{curve.name} is not drawn: its run has no validation")
        elif curve.is_counted:
            notice(
                f"{curve.name} has no learning curve, as a model of kind {curve.model} is "
                "counted: the line is its perplexity"
            )
    if len({_measured_on(Path(curve.folder), curve.criterion) for curve in drawn} - {""}) > 1:
        what = (
            "validation text or tokenizer: their perplexities do"
            if drawn[0].criterion == PERPLEXITY
            else "validation data: their figures do"
        )
        notice(f"the runs differ in {what} not compare (rnnlm compare says what does)")


def _measured_on(folder: Path, criterion: str) -> str:
    """The validation text, and tokenizer if it matters, in the signature of a run; "" where it has
    none yet."""
    results = read_manifest(folder).results if is_model(folder) else {}
    of_tokens = "(tok:[^|]*\\|)?" if criterion in (PERPLEXITY, "loss_nats") else ""
    found = re.search(rf"\|data:[^|]*\|{of_tokens}", results.get("valid", {}).get("signature", ""))
    return found[0] if found else ""
