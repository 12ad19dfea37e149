"""Taggers and classifiers on the same labelled data: figures with intervals, and paired
differences."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.pairing import (
    Comparable,
    ComparedModel,
    Key,
    ModelComparison,
    Outcome,
    Side,
    compare_models,
    shown_interval,
)
from rnnlm.evaluation.comparison.verdict import Contrast, in_points
from rnnlm.evaluation.label_evaluation import METRICS, LabelEvaluation
from rnnlm.evaluation.labels import LabelSignature, Mode
from rnnlm.evaluation.metrics import Metric, Table
from rnnlm.evaluation.resampling import FigureDifference, Interval, MetricDifference, Trials
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.tasks.labels import evaluation
from rnnlm.tasks.labels.data import LabelledData
from rnnlm.tasks.labels.evaluation import Labelled, opened
from rnnlm.tasks.labels.model import TaskModel

V = TypeVar("V")
# the order in which --json has always had the metrics
_ORDER = (
    "accuracy", "accuracy_known", "accuracy_unknown", "precision", "recall", "f1", "macro_f1",
    "exact_match", "ece", "word_error_rate", "symbol_error_rate",
)  # fmt: skip


class ComparedLabels(ComparedModel[LabelEvaluation]):
    """One of the models."""

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Of each column of labels the intervals of its metrics, by name."""
        return _by_column(self.evaluation, self.found)


@dataclass(frozen=True)
class TaskDifference:
    """By how much the figures of the second model differ from those of the first: of each column of
    labels, by name."""

    first: str
    second: str
    figures: dict[str, dict[str, FigureDifference]]


@dataclass(frozen=True)
class LabelComparison(ModelComparison):
    """Models on the same labelled data, and the differences of each pair."""

    task: str
    sentences: int
    models: tuple[ComparedLabels, ...]
    differences: tuple[TaskDifference, ...]
    seconds: float

    @property
    def compared(self) -> tuple[ComparedLabels, ...]:
        return self.models

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by the main figure of the first column of labels."""
        main = self.models[0].evaluation.mains[0]
        return tuple(
            Contrast(
                each.first,
                each.second,
                f"points of {main.name}",
                in_points(each.figures[main.column].get(main.name)),
                higher_is_better=main.higher_is_better,
            )
            for each in self.differences
        )

    def difference_table(self) -> Table:
        rows = []
        columns = self.models[0].evaluation.column_names
        for each in self.differences:
            for column, found in each.figures.items():
                for name in (each for each in METRICS if each in found):
                    its = found[name]
                    label = Metric(name, None, column=column if columns[1:] else "").label
                    points = shown_interval(its.interval, "+.2f", scale=100)
                    rows.append([f"{each.second} - {each.first}", label, points, f"{its.p:.4f}"])
        return Table(["difference", "measure", "points", "p"], rows, left=2)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        shown = [
            {
                "name": each.name, "folder": each.folder, "evaluation": each.evaluation.to_dict(),
                "intervals": {column: {name: vars(its) for name, its in found.items()} for column,
                              found in each.intervals.items()},
            }
            for each in self.models
        ]  # fmt: skip
        pairs = [dataclasses.asdict(each) for each in self.differences]
        return {
            "task": self.task,
            "sentences": self.sentences,
            "models": shown,
            "differences": pairs,
            "seconds": self.seconds,
        }


def compare(
    models: Sequence[TaskModel | str | Path], data: Labelled, *, names: Sequence[str] | None = None,
    labels: Sequence[str | Path] = (),
    mode: Mode = "conlleval", reading: Mapping[str, Any] | None = None,
    resamples: int | None = None, seed: int = 1,
    device: str | Device = "auto",
) -> LabelComparison:  # fmt: skip
    """Compare models, themselves or by their names, on labelled data; what is given is as for
    :func:`rnnlm.tasks.labels.evaluation.evaluate`.

    names: what models are called in the result. resamples: of bootstrap and randomisation test
    (None: RESAMPLES and PERMUTATIONS).

    Raises:
        UsageError: there are fewer than two models. ComparisonError: they are of different tasks or
            columns of labels, or do not have the same gold labels. TextError, ModelError,
            DeviceError: as for :func:`rnnlm.tasks.labels.evaluation.evaluate`.
    """
    comparing = _Comparing(data, labels, mode, reading)
    trials = Trials(resamples, seed)
    return compare_models(models, comparing, names=names, trials=trials, device=device)


_Side = Side[TaskModel, LabelledData]


class _Comparing:
    """Models of labels on the same data."""

    def __init__(
        self,
        data: Labelled,
        labels: Sequence[str | Path],
        mode: Mode,
        reading: Mapping[str, Any] | None,
    ) -> None:
        self.began = time.perf_counter()
        self.data, self.labels, self.mode, self.reading = data, labels, mode, reading
        self.columns: dict[str, list[tuple[str, str, str]]] = {}

    def read(self, model: TaskModel, called: str) -> LabelledData:
        # What models have learned is compared before what they have not learned is noticed.
        its = [(each.name, each.level, each.form) for each in model.codec.columns]
        self.columns[called] = its
        if any(its != others for others in self.columns.values()):
            raise ComparisonError(
                "models of different labels do not compare",
                ", ".join(
                    f"{name} has learned {', '.join(column for column, _, _ in columns)}"
                    for name, columns in self.columns.items()
                ),
                "name models that have learned the same columns",
            )
        return opened(model, self.data, self.labels, self.reading, called)

    def comparable(self, sides: Sequence[_Side]) -> Comparable:
        return Comparable(METRICS, "", differing=METRICS, may_differ=LabelSignature.may_differ)

    def measure(self, side: _Side) -> LabelEvaluation:
        return evaluation.measure(side.model, side.data, self.mode)

    def result(self, sides: Sequence[_Side], outcome: Outcome[LabelEvaluation]) -> LabelComparison:
        compared = tuple(
            ComparedLabels(side.name, loading.called(side.model), its, found)
            for side, its, found in zip(sides, outcome.evaluations, outcome.intervals, strict=True)
        )
        differences = tuple(
            TaskDifference(
                sides[i].name, sides[j].name, _by_column(compared[i].evaluation, _drawn(found))
            )
            for (i, j), found in outcome.differences.items()
        )
        first = outcome.evaluations[0]
        seconds = time.perf_counter() - self.began
        return LabelComparison(first.task, first.sentences, compared, differences, seconds)


def _by_column(evaluation: LabelEvaluation, found: Mapping[Key, V]) -> dict[str, dict[str, V]]:
    """Return what was found of each metric by column, then by name."""
    columns: dict[str, dict[str, V]] = {name: {} for name in evaluation.column_names}
    for (column, name), value in sorted(found.items(), key=lambda pair: _ORDER.index(pair[0][1])):
        columns.setdefault(column, {})[name] = value
    return columns


def _drawn(found: Mapping[Key, MetricDifference]) -> dict[Key, FigureDifference]:
    """The differences, all of which are of metrics of labels."""
    return {key: its for key, its in found.items() if isinstance(its, FigureDifference)}
