"""Compare models of any task on the same data: evaluate each, pair their metrics by column and
name, and resample what each line contributes to them.

Intervals and p-values are over lines, sentences or sources that both models of a pair have read:
Koehn (2004) for the paired bootstrap; see :mod:`rnnlm.evaluation.resampling`. A p-value concerns
its pair alone, however many models are compared.
"""

import itertools
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast

from rnnlm.errors import ComparisonError, UsageError, nearest
from rnnlm.evaluation.comparison.verdict import Contrast, figure_of
from rnnlm.evaluation.metrics import (
    Evaluation,
    Metric,
    MetricDefinition,
    Part,
    Remark,
    Table,
    intervals_of,
    shown_bounds,
    signature_parts,
    text_of,
)
from rnnlm.evaluation.resampling import Interval, MetricDifference, Resampling
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.models.loading import ScoringModel
from rnnlm.models.registry import check_same_task
from rnnlm.tabular import Records, Row, cell, html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = tuple[str, str]  # the column and the name of a metric
M = TypeVar("M")  # a model
D = TypeVar("D")  # the data, as a model reads them
E = TypeVar("E", bound=Evaluation)
R = TypeVar("R", bound="ModelComparison")
R_co = TypeVar("R_co", bound="ModelComparison", covariant=True)


# ---- Which metrics compare. Numbers compare when they are about the same events.

HINTS = {
    "data": "measure both on the same text",
    "case": "compare models of which all keep the case, or none",
    "blank": "read blank lines alike",
    "unk": "compare models trained with the same literal_unk, or on a text without <unk>",
    "eos": "count line ends alike",
}


@dataclass(frozen=True)
class Refused:
    """A metric that cannot be compared, and why. part: the part of the signatures that differs;
    None where the reason is another one."""

    figure: str
    part: str | None
    why: str


@dataclass(frozen=True)
class Comparable:
    """Which metrics of the models compare. figures: their names; all of them have intervals.
    main: the one that models are compared by. refused: the other metrics. differing: the metrics
    whose differences are resampled; the others would repeat them. may_differ: parts of
    signatures that were checked already, or that make no difference. block_lines: how many lines
    are resampled together."""

    figures: tuple[str, ...]
    main: str
    refused: tuple[Refused, ...] = ()
    differing: tuple[str, ...] = ()
    may_differ: frozenset[str] = frozenset({"model"})
    block_lines: int | None = None


def check_signatures(names: tuple[str, str], first: Metric, second: Metric, at: Comparable) -> None:
    """Refuse to compare a metric that was not measured alike for both models."""
    ours = signature_parts(first.signature.split("|"))
    theirs = signature_parts(second.signature.split("|"))
    for part in dict.fromkeys([*ours, *theirs]):
        if part in at.may_differ or ours.get(part) == theirs.get(part):
            continue
        its_values = (f"{part}:{each.get(part, '-')}" for each in (ours, theirs))
        why = ", ".join(
            f"{value} for {name}" for value, name in zip(its_values, names, strict=True)
        )
        raise ComparisonError(
            f"these models cannot be compared: the part {part} of their signatures differs",
            why,
            HINTS.get(part, "measure both alike"),
        )


# ---- The result of a comparison, in the form that commands and reports show.


@dataclass(frozen=True)
class ComparedModel(Generic[E]):
    """One of the models. folder: None for a model in memory. found: the interval of each metric
    that compares and has one."""

    name: str
    folder: str | None
    evaluation: E
    found: Mapping[Key, Interval] = field(repr=False)

    @property
    def said(self) -> list[Key]:
        """The metrics worth printing for this model, by column and name."""
        return [(each.column, each.name) for each in self.evaluation.brief]

    @property
    def by_name(self) -> dict[str, Interval]:
        """The intervals by name, for models without columns of labels."""
        return {name: interval for (_, name), interval in self.found.items()}


TABLES = ("differences", "metrics")
SHOWN = 3  # lines and words of each side that are printed, unless more are asked for


class ModelComparison(Records):
    """Models on the same data. A subclass for each task has the differences as typed fields."""

    @property
    @abstractmethod
    def compared(self) -> Sequence[ComparedModel[Any]]:
        """The models."""

    @property
    def keys(self) -> list[Key]:
        """The metrics that compare and are worth printing, by column and name."""
        said: dict[Key, None] = {}
        found: set[Key] = set()
        for model in self.compared:
            said |= dict.fromkeys(model.said)
            found |= model.found.keys()
        return [key for key in said if key in found]

    @property
    @abstractmethod
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by the main metric."""

    @property
    def remarks(self) -> Sequence[str]:
        """What is not compared and why, and other notes."""
        return ()

    @abstractmethod
    def difference_table(self) -> Table:
        """Return the differences of all pairs as rows."""

    def tables(self, top: int) -> Iterator[Table]:
        """Yield tables of where the models differ. top: how many lines and words to list for
        each model of a pair."""
        yield from ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON's types."""

    # ---- As tables, and as people read it.

    def to_rows(self, table: Literal["differences", "metrics"] = "differences") -> list[Row]:
        """Return a row for each pair of models and metric: by how much the second model exceeds
        the first, with an interval and a p-value; or the metrics of each model, with intervals.

        Raises:
            UsageError: there is no such table.
        """
        if table == "differences":
            return self.difference_rows()
        if table not in TABLES:
            raise UsageError(f"a comparison has no table {table!r}", hint=nearest(table, TABLES))
        rows = []
        for model in self.compared:
            for column, name in self.keys:
                metric = model.evaluation.metric(name, column)
                if metric is not None:
                    row = metric.to_row(model.found.get((column, name)))
                    rows.append({"model": model.name} | row)
        return rows

    def _rows_of(self, table: int | str | None) -> list[Row]:
        which = "differences" if table is None else str(table)
        return self.to_rows(cast(Literal["differences", "metrics"], which))

    @abstractmethod
    def difference_rows(self) -> list[Row]:
        """Return a row for each pair of models and metric, with the values as they are."""

    def overview(self) -> Table:
        """Return counts and metrics of each model, each metric with its interval."""
        models = self.compared
        names = [model.name for model in models]
        columns = models[0].evaluation.column_names
        rows = []

        # The text is the same for all columns of labels: the counts of the first one are shown.
        counts = [model.evaluation.counts_of(columns[0]) for model in models]
        for name in dict.fromkeys(itertools.chain.from_iterable(counts)):
            rows.append([name, *(cell(its.get(name)) for its in counts)])
        for column, name in self.keys:
            label = f"{column} {name}" if len(columns) > 1 else name
            rows.append([label, *(_with_interval(model, column, name) for model in models)])
        return Table(["measure", *names], rows)

    def printed(self, top: int = SHOWN) -> Iterator[Part]:
        """Yield what `rnnlm compare` prints: which model is better, then what that rests on, the
        signatures last. top: how many lines and words to list of each side."""
        for each in self.contrasts:
            yield each.verdict
        yield ""
        yield self.overview()
        yield from map(Remark, self.remarks)

        # Differences of each pair of models, then examples of what one of them does better.
        for table in (self.difference_table(), *self.tables(top)):
            yield ""
            yield table
        yield ""
        for model in self.compared:
            for metric in model.evaluation.mains:
                yield f"signature of {model.name}: {metric.signature}"

    def plot(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the differences with their intervals. axes: where to, instead of in a figure of its
        own.

        Raises:
            UsageError: none of the differences has a value.
        """
        figure = figure_of(self.contrasts, axes)
        if figure is None:
            raise UsageError("there is nothing to plot", "none of the differences has a value")
        return figure

    def __str__(self) -> str:
        return text_of(self.printed())

    def __repr__(self) -> str:
        names = ", ".join(model.name for model in self.compared)
        verdict = f": {self.contrasts[0].verdict}" if len(self.contrasts) == 1 else ""
        return f"<{type(self).__name__} of {names}{verdict}>"

    def _repr_html_(self) -> str:
        table = self.overview()
        verdicts = " ".join(each.verdict for each in self.contrasts)
        return html_table("", table.columns, table.rows, verdicts)


def _with_interval(model: ComparedModel[Evaluation], column: str, name: str) -> str:
    """Return a metric with the bounds of its interval, where it has one."""
    metric = model.evaluation.metric(name, column)
    if metric is None:
        return "-"
    digits = metric.definition.digits
    shown = metric.shown(digits)
    found = model.found.get((column, name))
    if found is not None:
        shown += f" {shown_bounds(found, metric.unit, digits)}"
    return shown


def difference_row(
    names: tuple[str, str], metric: MetricDefinition, found: Interval | None, p: float | None,
    column: str = "", unit: str | None = None,
) -> Row:  # fmt: skip
    """Return a difference as a row of a table. names: of both models. unit: None: that of the
    metric."""
    return {
        "first": names[0],
        "second": names[1],
        "metric": metric.name,
        "column": column,
        "unit": unit or metric.unit,
        "difference": None if found is None else found.estimate,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "p": p,
    }


def shown_interval(
    found: Interval | None, form: str, *, shift: float = 0.0, scale: float = 1.0
) -> str:
    """Write a difference with the bounds of its interval; a dash where there is none. shift:
    subtracted first; scale: 100 for percentages."""
    if found is None:
        return "-"
    ends = (found.estimate, found.low, found.high)
    estimate, low, high = (format(scale * (each - shift), form) for each in ends)
    return f"{estimate} [{low}, {high}]"


# ---- One procedure for every task. A task provides a `Comparing`: how its models read the data,
# which metrics compare, and the result.


@dataclass(frozen=True)
class Side(Generic[M, D]):
    """One of the models. given: the model or name that was passed in. data: as the model reads
    them."""

    name: str
    given: Any
    model: M
    data: D


@dataclass(frozen=True)
class Outcome(Generic[E]):
    """What was measured of all models. differences: for each pair, the second model minus the
    first."""

    evaluations: tuple[E, ...]
    comparable: Comparable
    intervals: tuple[dict[Key, Interval], ...]
    differences: dict[tuple[int, int], dict[Key, MetricDifference]]


class Comparing(Protocol[M, D, E, R_co]):
    """What a task provides for a comparison of its models."""

    def read(self, model: M, called: str) -> D:
        """Return the data as the model of that name reads them."""

    def comparable(self, sides: Sequence[Side[M, D]]) -> Comparable:
        """Return which metrics compare, before anything is measured; raise ComparisonError if
        none does."""

    def measure(self, side: Side[M, D]) -> E:
        """Evaluate one model, and keep what each line contributes."""

    def result(self, sides: Sequence[Side[M, D]], outcome: Outcome[E]) -> R_co:
        """Make the result of the comparison."""


def compare_models(
    models: Sequence[Any],
    comparing: Comparing[M, D, E, R],
    *,
    names: Sequence[str] | None = None,
    resampling: Resampling = Resampling(),
    device: str | Device = "auto",
) -> R:
    """Compare models, given themselves or by their names. names: what to call them in the
    result."""
    called = checked_names(models, names)

    # Load all models and find out whether anything compares before measuring, which takes time.
    opened: list[Any] = []
    for each in models:
        opened.append(loading.load(each, device) if isinstance(each, (str, Path)) else each)
    sides = []
    for name, given, model in zip(called, models, opened, strict=True):
        sides.append(Side(name, given, model, comparing.read(model, name)))
    comparable = comparing.comparable(sides)
    resampling = replace(resampling, block_lines=comparable.block_lines)
    evaluations = tuple(map(comparing.measure, sides))

    # Resample the lines of each model, and of each pair of models.
    intervals = []
    for its in evaluations:
        metrics = [each for each in its.metrics if each.name in comparable.figures]
        intervals.append(intervals_of(metrics, resampling))
    differences = {}
    for i, j in itertools.combinations(range(len(sides)), 2):
        pair = (called[i], called[j])
        differences[i, j] = _differences(
            pair, evaluations[i], evaluations[j], comparable, resampling
        )
    outcome = Outcome(evaluations, comparable, tuple(intervals), differences)
    return comparing.result(sides, outcome)


def _differences(
    names: tuple[str, str], first: E, second: E, comparable: Comparable, resampling: Resampling
) -> dict[Key, MetricDifference]:
    """Return by how much the metrics that both models have differ, by column and name."""
    theirs = {(each.column, each.name): each for each in (*second.metrics, *second.joint)}
    found: dict[Key, MetricDifference] = {}
    for metric in (*first.metrics, *first.joint):
        key = metric.column, metric.name
        other = theirs.get(key)
        if metric.name not in comparable.differing or other is None:
            continue
        check_signatures(names, metric, other, comparable)
        if metric.counts is not None and other.counts is not None:
            difference = metric.counts.difference(other.counts, resampling)
            if difference is not None:
                found[key] = difference
    return found


def checked_names(models: Sequence[ScoringModel], names: Sequence[str] | None) -> list[str]:
    """Return the names of two models or more, which must be of one task."""
    called = names_of(models, names)
    if len(called) < 2:
        raise UsageError(
            "a comparison needs at least two models", f"there is {len(called)}", "name another one"
        )
    tasks = {name: loading.task_of(each) for name, each in zip(called, models, strict=True)}
    check_same_task(tasks)
    return called


def names_of(models: Sequence[ScoringModel], names: Sequence[str] | None) -> list[str]:
    """Return a different name for each model: the last part of its folder, or as many parts as
    distinguish it from the others."""
    if names is not None and len(names) != len(models):
        raise UsageError(
            f"{len(names)} names do not fit {len(models)} models", hint="give one for each"
        )
    given = list(names or ())
    if not given:
        for number, model in enumerate(models, start=1):
            given.append(loading.name_if_saved(model) or f"model {number}")

    # Names that the caller chose stay as they are; paths are cut to what distinguishes them.
    if names is None:
        parts = [os.path.normpath(name).split(os.sep) for name in given]
        deepest = max(map(len, parts), default=0)
        for depth in range(1, 1 + deepest):
            short = [os.sep.join(each[-depth:]) for each in parts]
            if len(set(short)) == len(short):
                return short

    # Number the names that occur more than once.
    found = []
    for place, name in enumerate(given):
        if given.count(name) > 1:
            occurrence = given[: place + 1].count(name)
            name = f"{name} ({occurrence})"
        found.append(name)
    return found
