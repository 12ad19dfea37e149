"""Compare models of one task on the same data: metrics with intervals, and paired differences, of
any task whose metrics are counted line by line."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from rnnlm.evaluation.comparison.pairing import (
    Comparable,
    ComparedModel,
    Key,
    ModelComparison,
    Outcome,
    Side,
    compare_models,
    difference_row,
    shown_interval,
)
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.verdict import Contrast, in_points
from rnnlm.evaluation.metrics import Evaluation, Metric, Table
from rnnlm.evaluation.resampling import Interval, MetricDifference, PairedDifference, Resampling
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.models.loading import ScoringModel
from rnnlm.tabular import Row
from rnnlm.tasks.request import CountedText

if TYPE_CHECKING:
    from rnnlm.tasks.task import Given, Task

M = TypeVar("M")
D = TypeVar("D", bound=CountedText)
C = TypeVar("C")
K = TypeVar("K")
V = TypeVar("V")


class ComparedByMetrics(ComparedModel[Evaluation]):
    """One of the models."""

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """The intervals of metrics, by column of labels and then by name."""
        return _by_column(self.evaluation, self.found)


@dataclass(frozen=True)
class MetricDifferences:
    """The differences of the second model's metrics from those of the first, by column of labels
    and then by name."""

    first: str
    second: str
    figures: dict[str, dict[str, PairedDifference]]


@dataclass(frozen=True, repr=False)
class MetricComparison(ModelComparison):
    """Models on the same data, and the differences of each pair."""

    task: str
    sentences: int
    models: tuple[ComparedByMetrics, ...]
    differences: tuple[MetricDifferences, ...]
    seconds: float

    @property
    def compared(self) -> tuple[ComparedByMetrics, ...]:
        return self.models

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by the main metric of the first column of labels."""
        main = self.models[0].evaluation.mains[0]
        unit = f"points of {main.name}"
        is_higher_better = main.definition.higher_is_better
        found = []
        for each in self.differences:
            points = in_points(each.figures[main.column].get(main.name))
            found.append(
                Contrast(each.first, each.second, unit, points, higher_is_better=is_higher_better)
            )
        return tuple(found)

    def difference_table(self) -> Table:
        rows = []
        evaluation = self.models[0].evaluation
        has_columns = len(evaluation.column_names) > 1
        for each in self.differences:
            for metric, its in self._measured(each):
                label = metric.label if has_columns else metric.name
                points = shown_interval(its.interval, "+.2f", scale=100)
                rows.append([f"{each.second} - {each.first}", label, points, f"{its.p:.4f}"])
        return Table(["difference", "measure", "points", "p"], rows, left=2)

    def difference_rows(self) -> list[Row]:
        rows = []
        for each in self.differences:
            names = (each.first, each.second)
            for metric, its in self._measured(each):
                row = difference_row(names, metric.definition, its.interval, its.p, metric.column)
                rows.append(row)
        return rows

    def _measured(self, each: MetricDifferences) -> Iterator[tuple[Metric, PairedDifference]]:
        """Yield the differences of two models with the metrics that they are of."""
        evaluation = self.models[0].evaluation
        for metric in (*evaluation.metrics, *evaluation.joint):
            its = each.figures.get(metric.column, {}).get(metric.name)
            if its is not None:
                yield metric, its

    def to_dict(self) -> dict[str, object]:
        """Return the comparison in JSON's types."""
        models = []
        for each in self.models:
            intervals = {}
            for column, found in each.intervals.items():
                intervals[column] = {name: vars(its) for name, its in found.items()}
            shown = {
                "name": each.name,
                "folder": each.folder,
                "evaluation": each.evaluation.to_dict(),
                "intervals": intervals,
            }
            models.append(shown)
        return {
            "task": self.task,
            "sentences": self.sentences,
            "models": models,
            "differences": list(map(dataclasses.asdict, self.differences)),
            "seconds": self.seconds,
        }


def compare(
    task: "Task[M, D, C, K]",
    models: Sequence[M | str | Path],
    data: "Given | D",
    options: K | None = None,
    settings: ComparisonSettings | None = None,
    names: Sequence[str] | None = None,
    device: str | Device = "auto",
) -> MetricComparison:
    """Compare models of a task, themselves or by their names. names: what models are called in the
    result."""
    settings = settings or ComparisonSettings()
    comparing = _Comparing(task, data, options)
    resampling = Resampling(settings.resamples, settings.seed)
    return compare_models(models, comparing, names=names, resampling=resampling, device=device)


class _Comparing(Generic[M, D, C, K]):
    """Models of a task on the same data."""

    def __init__(self, task: "Task[M, D, C, K]", data: "Given | D", options: K | None) -> None:
        self.began = time.perf_counter()
        self.task, self.data, self.options = task, data, options
        self.models: dict[str, M] = {}

    def read(self, model: M, called: str) -> D:
        # What models have learned is compared before what they have not learned is noticed.
        self.models[called] = model
        self.task.check_alike(self.models)
        return self.task.read(model, self.data, self.options, called)

    def comparable(self, sides: Sequence[Side[M, D]]) -> Comparable:
        return Comparable(self.task.compared, "", differing=self.task.compared)

    def measure(self, side: Side[M, D]) -> Evaluation:
        return self.task.evaluate_encoded(side.model, side.data, self.options)

    def result(self, sides: Sequence[Side[M, D]], outcome: Outcome[Evaluation]) -> MetricComparison:
        models = []
        for side, its, found in zip(sides, outcome.evaluations, outcome.intervals, strict=True):
            folder = loading.name_if_saved(cast(ScoringModel, side.model))
            models.append(ComparedByMetrics(side.name, folder, its, found))
        differences = []
        for (i, j), by in outcome.differences.items():
            figures = _by_column(models[i].evaluation, _resampled_differences(by))
            differences.append(MetricDifferences(models[i].name, models[j].name, figures))
        return MetricComparison(
            self.task.name,
            sides[0].data.sentences,
            tuple(models),
            tuple(differences),
            time.perf_counter() - self.began,
        )


def _by_column(evaluation: Evaluation, found: Mapping[Key, V]) -> dict[str, dict[str, V]]:
    """Return what was found of each metric by column, then by name."""
    columns: dict[str, dict[str, V]] = {name: {} for name in evaluation.column_names}
    for (column, name), value in found.items():
        columns.setdefault(column, {})[name] = value
    return columns


def _resampled_differences(found: Mapping[Key, MetricDifference]) -> dict[Key, PairedDifference]:
    """Return the differences of metrics that are counted line by line."""
    return {key: its for key, its in found.items() if isinstance(its, PairedDifference)}
