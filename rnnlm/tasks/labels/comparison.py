"""Models of one task on the same labelled data: figures with intervals, and paired differences."""

import dataclasses
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rnnlm.errors import ComparisonError, UsageError
from rnnlm.evaluation.comparison.comparison import names_of
from rnnlm.evaluation.comparison.verdict import Contrast, in_points
from rnnlm.evaluation.label_evaluation import ALL_COLUMNS, LabelEvaluation
from rnnlm.evaluation.labels import Mode, differences, joint_exact_match, measures
from rnnlm.evaluation.metrics import (
    PERMUTATIONS,
    RESAMPLES,
    FigureDifference,
    Interval,
    figure_difference,
    figure_intervals,
)
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.models.registry import check_same_task
from rnnlm.tasks.labels import evaluation
from rnnlm.tasks.labels.evaluation import Labelled, opened
from rnnlm.tasks.labels.model import TaskModel


@dataclass(frozen=True)
class ComparedModel:
    """One of the models. folder: None of a model in memory. intervals: of each column of labels
    those of its figures, by name."""

    name: str
    folder: str | None
    evaluation: LabelEvaluation
    intervals: dict[str, dict[str, Interval]]


@dataclass(frozen=True)
class TaskDifference:
    """By how much the figures of the second model differ from those of the first: of each column of
    labels, by name."""

    first: str
    second: str
    figures: dict[str, dict[str, FigureDifference]]


@dataclass(frozen=True)
class TaskComparison:
    """Models on the same labelled data, and the differences of each pair."""

    task: str
    sentences: int
    models: tuple[ComparedModel, ...]
    differences: tuple[TaskDifference, ...]
    seconds: float

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by the main figure of the first column of labels."""
        column = self.models[0].evaluation.columns[0]
        return tuple(
            Contrast(
                each.first,
                each.second,
                f"points of {column.main}",
                in_points(each.figures[column.column].get(column.main)),
                higher_is_better=column.main != "word_error_rate",
            )
            for each in self.differences
        )

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
) -> TaskComparison:  # fmt: skip
    """Compare models, themselves or by their names, on labelled data; what is given is as for
    :func:`rnnlm.tasks.labels.evaluation.evaluate`.

    names: what models are called in the result. resamples: of bootstrap and randomisation test
    (None: RESAMPLES and PERMUTATIONS).

    Raises:
        UsageError: there are fewer than two models. ComparisonError: they are of different tasks or
            columns of labels, or do not have the same gold labels. TextError, ModelError,
            DeviceError: as for :func:`rnnlm.tasks.labels.evaluation.evaluate`.
    """
    began = time.perf_counter()
    called = names_of(cast(Sequence[str], models), names)
    if len(called) < 2:
        raise UsageError(
            "a comparison needs at least two models", f"there is {len(called)}", "name another one"
        )
    check_same_task(
        {name: loading.task_of(model) for name, model in zip(called, models, strict=True)}
    )
    opened_models = [
        cast(TaskModel, model if isinstance(model, TaskModel) else loading.load(model, device))
        for model in models
    ]
    _check_columns(dict(zip(called, opened_models, strict=True)))
    texts = [
        opened(model, data, labels, reading, name)
        for name, model in zip(called, opened_models, strict=True)
    ]
    found = [
        evaluation.measure(model, its, mode)
        for model, its in zip(opened_models, texts, strict=True)
    ]
    compared = tuple(
        ComparedModel(
            name, loading.called(model), its, _intervals(its, resamples or RESAMPLES, seed)
        )
        for name, model, its in zip(called, opened_models, found, strict=True)
    )
    pairs = itertools.combinations(compared, 2)
    between = tuple(
        TaskDifference(a.name, b.name, _differences(a.evaluation, b.evaluation, resamples, seed))
        for a, b in pairs
    )
    return TaskComparison(
        found[0].task, found[0].sentences, compared, between, time.perf_counter() - began
    )


def _check_columns(models: Mapping[str, TaskModel]) -> None:
    columns = {
        name: [(each.name, each.level, each.form) for each in model.codec.columns]
        for name, model in models.items()
    }
    if len({tuple(each) for each in columns.values()}) > 1:
        why = ", ".join(
            f"{name} has learned {', '.join(column for column, _, _ in its)}"
            for name, its in columns.items()
        )
        raise ComparisonError(
            "models of different labels do not compare",
            why,
            "name models that have learned the same columns",
        )


def _intervals(found: LabelEvaluation, resamples: int, seed: int) -> dict[str, dict[str, Interval]]:
    by_column = {}
    for each, figures_of in zip(found.predictions, found.columns, strict=True):
        shown = {
            name: measure
            for name, measure in measures(each).items()
            if getattr(figures_of, name) is not None
        }
        by_column[each.column] = figure_intervals(shown, resamples=resamples, seed=seed)
    return by_column


def _differences(
    first: LabelEvaluation, second: LabelEvaluation, resamples: int | None, seed: int
) -> dict[str, dict[str, FigureDifference]]:
    trials = {
        "resamples": resamples or RESAMPLES,
        "permutations": resamples or PERMUTATIONS,
        "seed": seed,
    }
    pairs = zip(first.predictions, second.predictions, strict=True)
    found = {ours.column: differences(ours, theirs, **trials) for ours, theirs in pairs}
    for column in first.columns:  # figures that say nothing of such labels
        found[column.column] = {
            name: its
            for name, its in found[column.column].items()
            if getattr(column, name) is not None
        }
    if len(found) > 1:
        joint = figure_difference(
            joint_exact_match(first.predictions), joint_exact_match(second.predictions), **trials
        )
        found |= {ALL_COLUMNS: {"exact_match": joint}} if joint is not None else {}
    return found
