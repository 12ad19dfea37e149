"""Read learning curves, the validations during the training of models, from their folders."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.errors import ModelError
from rnnlm.events import PERPLEXITY
from rnnlm.lm.base import loading
from rnnlm.storage.run_files import METRICS, read_events
from rnnlm.tabular import Records, Row, to_builtins

MOST_NATS = 50.0  # per token, in a plot


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
