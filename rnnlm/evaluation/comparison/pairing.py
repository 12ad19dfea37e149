"""Compare models of any task on the same data: evaluate each, pair their metrics by column and
name, and take the contributions of lines to their intervals and p-values.

Intervals and p-values are over lines, sentences or sources that both models of a pair have read, by
leaving each out, and by permuting signs (Good 2005); see :mod:`rnnlm.evaluation.resampling`. A
p-value concerns its pair alone, however many models are compared.
"""

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast

import numpy as np

from rnnlm.amounts import amount, bounds
from rnnlm.errors import ComparisonError, UsageError, nearest
from rnnlm.evaluation.comparison.verdict import Contrast, figure_of
from rnnlm.evaluation.metrics import (
    Evaluation,
    Metric,
    Part,
    Remark,
    intervals_of,
    signature_parts,
    text_of,
)
from rnnlm.evaluation.perplexity import NO_OOV
from rnnlm.evaluation.plotting import Axes, Figure
from rnnlm.evaluation.resampling import Interval, PairedDifference, Resampling
from rnnlm.interface import Device
from rnnlm.lm.base import loading
from rnnlm.registry import check_same_task
from rnnlm.tabular import Records, Result, Row, Table, html_table, to_builtins

if TYPE_CHECKING:
    from rnnlm.evaluation.comparison.tables import TextDetails

Key = tuple[str, str]  # the column and the name of a metric
M = TypeVar("M")  # a model
D = TypeVar("D", bound="ComparedData")  # the data, as a model reads them
E = TypeVar("E", bound=Evaluation)


# ---- Which metrics compare. Numbers compare when they describe the same events.

HINTS = {
    "data": "measure both on the same text",
    "case": "compare models that all keep case, or all ignore it",
    "blank": "treat blank lines in the same way",
    "unk": "compare models trained with the same literal_unk, or on a text without <unk>",
    "eos": "count line ends in the same way",
}


@dataclass(frozen=True)
class RefusedMetric:
    """A metric that cannot be compared.

    Attributes:
        figure: Name of the metric.
        part: Part of the signatures that differs; None if the reason is another one.
        why: Reason, in words.
    """

    figure: str
    part: str | None
    why: str


@dataclass(frozen=True)
class ComparableMetrics:
    """The metrics that the models to be compared share.

    Attributes:
        names: Names of the metrics; all of them have intervals.
        main: The metric that models are compared by.
        refused: The other metrics, which cannot be compared.
        differing: Metrics whose differences have intervals; others would repeat them.
        may_differ: Parts of signatures that were checked already, or that make no difference.
        block_lines: Number of lines left out together.
    """

    names: tuple[str, ...]
    main: str
    refused: tuple[RefusedMetric, ...] = ()
    differing: tuple[str, ...] = ()
    may_differ: frozenset[str] = frozenset({"model"})
    block_lines: int | None = None


def check_signatures(
    names: tuple[str, str], first: Metric, second: Metric, at: ComparableMetrics
) -> None:
    """Refuse to compare a metric that was not measured alike for both models."""
    ours = signature_parts(first.signature.split("|"))
    theirs = signature_parts(second.signature.split("|"))
    for part in dict.fromkeys([*ours, *theirs]):
        if part in at.may_differ or ours.get(part) == theirs.get(part):
            continue
        values = (f"{part}:{parts.get(part, '-')}" for parts in (ours, theirs))
        why = ", ".join(f"{value} for {name}" for value, name in zip(values, names, strict=True))
        raise ComparisonError(
            f"these models cannot be compared: their signatures differ in {part}",
            why,
            HINTS.get(part, "measure both in the same way"),
        )


# ---- The result of a comparison, in the form that commands and reports show.

LARGEST_BITS = 1000  # the largest difference whose ratio of perplexities a float can hold


@dataclass(frozen=True)
class ComparedModel(Generic[E]):
    """One of the compared models.

    Attributes:
        name: Name of the model.
        folder: Its folder; None for a model in memory.
        evaluation: Its evaluation.
        intervals: Intervals of the comparable metrics, by column and name.
    """

    name: str
    folder: str | None
    evaluation: E
    intervals: Mapping[Key, Interval] = field(repr=False)


@dataclass(frozen=True)
class Difference:
    """The metric of the second model minus the metric of the first. Numbers are None if a token has
    probability zero.

    Attributes:
        first: Name of the first model.
        second: Name of the second model.
        metric: Name of the metric.
        column: Column of labels; "" if there are no labels.
        unit: "bits per token" (word, character, byte) for perplexities; otherwise the unit of the
            metric.
        difference: The difference.
        low: Lower bound of its 95 % interval.
        high: Upper bound of its 95 % interval.
        why: Reason why there is no interval; "" if there is one.
        p: p-value: for perplexities by a permutation test, otherwise by approximate randomisation.
        units_differing: Number of lines (or blocks, sentences, sources) in which the models differ.
        better: Name of the better model; None if neither is significantly better, or fewer than six
            units differ.
        ppl_ratio: The second perplexity over the first; None if a float cannot hold it.
        ppl_ratio_low: Lower bound of its 95 % interval.
        ppl_ratio_high: Upper bound of its 95 % interval.
    """

    first: str
    second: str
    metric: str
    column: str
    unit: str
    difference: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""
    p: float | None = None
    units_differing: int | None = None
    better: str | None = None
    ppl_ratio: float | None = None
    ppl_ratio_low: float | None = None
    ppl_ratio_high: float | None = None

    @classmethod
    def of(
        cls, names: tuple[str, str], metric: Metric, paired: PairedDifference | None
    ) -> "Difference":
        """Make the difference of two models by a metric from the result of resampling."""
        definition = metric.definition
        difference = cls(*names, metric.name, metric.column, definition.difference_unit, None)
        if paired is None:
            return difference
        interval = paired.interval
        better = None
        if paired.is_significant:
            is_second_better = (interval.estimate > 0) == definition.higher_is_better
            better = names[1] if is_second_better else names[0]
        difference = replace(
            difference,
            difference=interval.estimate,
            low=interval.low,
            high=interval.high,
            why=interval.why,
            p=paired.p,
            units_differing=paired.differing,
            better=better,
        )

        # For perplexities, the ratio, where a float can hold it.
        values = (interval.low, interval.estimate, interval.high)
        is_held = all(value is None or abs(value) < LARGEST_BITS for value in values)
        if not definition.is_perplexity or not is_held:
            return difference
        ratio = interval.map(np.exp2)
        return replace(
            difference, ppl_ratio=ratio.estimate, ppl_ratio_low=ratio.low, ppl_ratio_high=ratio.high
        )

    @property
    def interval(self) -> Interval | None:
        """The difference with its interval; None if there is no difference."""
        if self.difference is None:
            return None
        return Interval(self.difference, self.low, self.high, why=self.why)

    def contrast(self, higher_is_better: bool) -> Contrast:
        """Return the difference for a sentence or a picture: shares in points."""
        interval, unit = self.interval, self.metric.upper()
        if self.unit.startswith("bits"):
            unit = self.unit.replace("per", "a")
        elif self.unit == "share":
            unit = f"points of {self.metric}"
            if interval is not None:
                interval = interval.map(lambda value: 100 * value)
        names = (self.first, self.second)
        differing = self.units_differing or 0
        return Contrast(*names, unit, interval, higher_is_better, self.better, differing)

    def cells(self, with_column: bool) -> list[str]:
        """Return the difference as cells of a table: the models, the metric (bits instead of a
        perplexity), by how much they differ, the ratio of perplexities, and p. with_column: the
        column of labels comes before the metric."""
        label = f"{self.column} {self.metric}" if with_column else self.metric
        form, scale = "+.2f", 100 if self.unit == "share" else 1
        if self.unit.startswith("bits"):
            without = ", no unknown tokens" if self.metric.endswith(NO_OOV) else ""
            form, label = "+.4f", self.unit + without
        by = "-"
        if self.p is not None:  # it is no stored difference
            by = _bounded((self.difference, self.low, self.high), form, scale)
            by += f" ({self.why})" if self.why else ""
        ratios = (self.ppl_ratio, self.ppl_ratio_low, self.ppl_ratio_high)
        ratio = _bounded(ratios, "+.1%", shift=1)
        return [f"{self.second} - {self.first}", label, by, ratio, amount(self.p, 4)]


def _bounded(
    values: Sequence[float | None], form: str, scale: float = 1.0, shift: float = 0.0
) -> str:
    """Write a difference with the bounds of its interval; a dash where there is none. shift:
    subtracted first; scale: 100 for points."""
    estimate, low, high = (None if value is None else scale * (value - shift) for value in values)
    if estimate is None:
        return "-"
    between = "" if low is None else f" {bounds(low, high, form)}"
    return amount(estimate, form) + between


TABLES = ("differences", "metrics")
SHOWN = 3  # lines and words of each side that are printed, unless more are asked for


@dataclass(frozen=True, repr=False)
class Comparison(Records, Result):
    """Several models compared on the same data, pair by pair.

    Attributes:
        task: The task of the models.
        figure: Name of the metric that models are compared by, one of `figures`.
        figures: Names of the metrics with intervals.
        refused: Metrics that are not comparable.
        validation: Description of the text whose stored metrics are compared; None if models were
            evaluated.
        lines: Number of lines, sentences or sources.
        block_lines: Number of them that are left out together.
        models: The models with their metrics.
        differences: Differences of all pairs, second model minus first.
        notes: Caveats for the reader.
        details: Details on the differences of language models.
        seconds: Duration of the comparison.
    """

    task: str
    figure: str
    figures: tuple[str, ...]
    refused: tuple[RefusedMetric, ...]
    validation: str | None
    lines: int
    block_lines: int
    models: tuple[ComparedModel[Any], ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    details: "TextDetails | None" = None
    seconds: float = 0.0

    @property
    def keys(self) -> list[Key]:
        """The comparable metrics that are worth printing, by column and name."""
        keys: dict[Key, None] = {}
        for model in self.models:
            keys |= dict.fromkeys((metric.column, metric.name) for metric in model.evaluation.brief)
        return [key for key in keys if key[1] in self.figures]

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs in `figure`, for the first column of labels. Stored metrics
        have none: without the lines, their uncertainty is unknown."""
        evaluation = self.models[0].evaluation
        key = (evaluation.column_names[0], self.figure)
        main = evaluation.metric(self.figure, key[0])
        if self.validation is not None or main is None:
            return ()
        return tuple(
            difference.contrast(main.definition.higher_is_better)
            for difference in self.differences
            if (difference.column, difference.metric) == key
        )

    # ---- As tables, and as people read it.

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON types, with the metrics of each model and a summary in
        sentences. The details of language models are at the same level as the other fields."""
        models = [
            {
                "name": model.name,
                "folder": model.folder,
                "evaluation": model.evaluation.to_dict(),
                "metrics": self._metrics(model),
            }
            for model in self.models
        ]
        comparison = vars(self) | {
            "models": models,
            "verdicts": [contrast.verdict for contrast in self.contrasts],
        }
        details = comparison.pop("details")
        if details is not None:
            comparison |= vars(details)
        return dict(to_builtins(comparison))

    def to_rows(self, table: Literal["differences", "metrics"] = "differences") -> list[Row]:
        """Return one table of the comparison as rows.

        Args:
            table: "differences" has one row per pair of models and metric: the difference (second
                minus first), its interval and its p-value. "metrics" has the metrics of each model
                with their intervals.

        Raises:
            UsageError: The table does not exist.
        """
        if table == "differences":
            return [dict(vars(difference)) for difference in self.differences]
        if table not in TABLES:
            raise UsageError(f"a comparison has no table {table!r}", hint=nearest(table, TABLES))
        rows: list[Row] = []
        for model in self.models:
            rows += [{"model": model.name, **metric} for metric in self._metrics(model)]
        return rows

    def _metrics(self, model: ComparedModel[Any]) -> list[Row]:
        """Return the metrics of a model that compare, with intervals."""
        metrics = [model.evaluation.metric(name, column) for column, name in self.keys]
        return [
            metric.to_row(model.intervals.get((metric.column, metric.name)))
            for metric in metrics
            if metric
        ]

    def _rows_of(self, table: int | str | None) -> list[Row]:
        table_name = "differences" if table is None else str(table)
        return self.to_rows(cast(Literal["differences", "metrics"], table_name))

    def overview(self) -> Table:
        """Return counts and metrics of each model, each metric with its interval."""
        models = self.models
        names = [model.name for model in models]
        columns = models[0].evaluation.column_names

        # The text is the same for all columns of labels: the counts of the first one are shown.
        counts = [model.evaluation.counts_of(columns[0]) for model in models]
        rows = [
            [name, *(amount(counts_of.get(name)) for counts_of in counts)]
            for name in dict.fromkeys(itertools.chain.from_iterable(counts))
        ]
        for column, name in self.keys:
            label = f"{column} {name}" if len(columns) > 1 else name
            rows.append([label, *(_with_interval(model, column, name) for model in models)])
        return Table(["measure", *names], rows, right=names)

    def difference_table(self) -> Table:
        """Return the differences of all pairs as rows."""
        has_columns = len(self.models[0].evaluation.column_names) > 1
        rows = [difference.cells(has_columns) for difference in self.differences]
        columns = ["difference", "measure", "by", "perplexity", "p"]

        # Only perplexities have a ratio.
        if all(difference.ppl_ratio is None for difference in self.differences):
            columns.remove("perplexity")
            rows = [[*row[:3], row[4]] for row in rows]
        return Table(columns, rows, right=columns[2:])

    def to_latex(self) -> str:
        """Write the table of a paper: each model with its metric and the interval, and how the
        later models differ from the first, in relation to its perplexity where it has one.

        Returns:
            A `tabular` environment for the package booktabs.
        """
        first, column = self.models[0].name, self.models[0].evaluation.column_names[0]
        cells_of: dict[str, list[str]] = {}
        for difference in self.differences:
            key = (difference.first, difference.column, difference.metric)
            if key == (first, column, self.figure):
                *_, by, ratio, p = difference.cells(with_column=False)
                cells_of[difference.second] = [by if difference.ppl_ratio is None else ratio, p]
        rows = [
            [
                model.name,
                _with_interval(model, column, self.figure),
                *cells_of.get(model.name, ["", ""]),
            ]
            for model in self.models
        ]
        columns = ["model", self.figure, f"difference from {first}", "p"]
        return Table(columns, rows, right=columns[1:]).to_latex()

    def printed(self, top: int = SHOWN) -> Iterator[Part]:
        """Yield the parts of `rnnlm compare`'s output: which model is better, the evidence, and the
        signatures.

        Args:
            top: Number of lines and words to list for each model.
        """
        yield from (contrast.verdict for contrast in self.contrasts)
        if self.contrasts:
            yield ""
        yield self.overview()
        for refused in self.refused:
            yield Remark(f"{refused.figure} is not compared: {refused.why}")
        for model in self.models:
            yield from (Remark(f"{model.name}: {remark}") for remark in model.evaluation.remarks)
        yield from map(Remark, self.notes)

        # Differences of each pair of models, then examples where one of them is better. Stored
        # differences, whose uncertainty is unknown, are in the rows only.
        tables = []
        if self.validation is None:
            tables.append(self.difference_table())
        if self.details is not None:
            tables += self.details.tables([model.name for model in self.models], top)
        for table in tables:
            yield ""
            yield table
        yield ""
        for model in self.models:
            for metric in model.evaluation.mains:
                yield f"signature of {model.name}: {metric.signature}"

    def plot(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the differences with their intervals.

        Args:
            axes: Draw there instead of in a new figure.

        Returns:
            A matplotlib figure.

        Raises:
            UsageError: No difference has a value.
        """
        figure = figure_of(self.contrasts, axes)
        if figure is None:
            raise UsageError("there is nothing to plot", "none of the differences has a value")
        return figure

    def __str__(self) -> str:
        return text_of(self.printed())

    def __repr__(self) -> str:
        names = ", ".join(model.name for model in self.models)
        verdict = f": {self.contrasts[0].verdict}" if len(self.contrasts) == 1 else ""
        return f"<{type(self).__name__} of {names}{verdict}>"

    def _repr_html_(self) -> str:
        table = self.overview()
        verdicts = " ".join(contrast.verdict for contrast in self.contrasts)
        return html_table("", table.columns, table.rows, verdicts)


def _with_interval(model: ComparedModel[Evaluation], column: str, name: str) -> str:
    """Return a metric with the bounds of its interval, where it has one."""
    metric = model.evaluation.metric(name, column)
    if metric is None:
        return "-"
    digits = metric.definition.digits
    shown = metric.shown(digits)
    interval = model.intervals.get((column, name))
    if interval is not None:
        shown += f" {bounds(interval.low, interval.high, digits, metric.unit)}"
    return shown


# ---- One procedure for every task. A task provides a `Comparing`: how its models read the data,
# which metrics compare, and how a model is measured.


class ComparedData(Protocol):
    """Data as a model reads them."""

    @property
    def lines_hash(self) -> str:
        """Identifies them."""


@dataclass(frozen=True)
class Side(Generic[M, D]):
    """One of the models. folder: where it is saved, if it is. data: as the model reads them."""

    name: str
    folder: Path | None
    model: M
    data: D


class Comparer(ABC, Generic[M, D, E]):
    """The functions a task provides to compare its models."""

    task: str  # its name

    @abstractmethod
    def read(self, model: M, called: str) -> D:
        """Return the data as the model of that name reads them."""

    @abstractmethod
    def comparable(self, sides: Sequence[Side[M, D]]) -> ComparableMetrics:
        """Return which metrics compare, before anything is measured; raise ComparisonError if
        none does."""

    @abstractmethod
    def measure(self, side: Side[M, D]) -> E:
        """Evaluate one model, and keep the contributions of its lines."""

    def notes(self, evaluations: Sequence[E], differences: Sequence[Difference]) -> Sequence[str]:
        """Return the notes that a reader of the result needs."""
        return ()

    def details(
        self, sides: Sequence[Side[M, D]], evaluations: Sequence[E]
    ) -> "TextDetails | None":
        """Return where the models differ, if requested."""
        return None


def compare_models(
    models: Sequence[Any],
    comparing: Comparer[M, D, E],
    names: Sequence[str] | None,
    resampling: Resampling,
    device: str | Device,
) -> Comparison:
    """Compare models, given themselves or by their names. names: their names in the result."""
    began = time.perf_counter()
    called = checked_names(models, names)

    # Load all models and find out whether anything compares before measuring, which takes time.
    opened = [loading.load_if_named(model, device) for model in models]
    sides: list[Side[M, D]] = []
    for name, given, model in zip(called, models, opened, strict=True):
        saved = loading.name_if_saved(given)
        folder = None if saved is None else loading.base_folder(saved)
        sides.append(Side(name, folder, cast(M, model), comparing.read(cast(M, model), name)))
    comparable = comparing.comparable(sides)
    stored = {side.name: side.folder for side in sides if side.folder is not None}
    loading.warn_if_trained_on(sides[0].data.lines_hash, stored, "metrics")
    resampling = replace(resampling, block_lines=comparable.block_lines)
    evaluations = tuple(map(comparing.measure, sides))

    # Leave out the lines of each model, and of each pair of models.
    compared = []
    for side, evaluation in zip(sides, evaluations, strict=True):
        metrics = [metric for metric in evaluation.metrics if metric.name in comparable.names]
        saved = None if side.folder is None else str(side.folder)
        compared.append(
            ComparedModel(side.name, saved, evaluation, intervals_of(metrics, resampling))
        )
    differences: list[Difference] = []
    for first, second in itertools.combinations(compared, 2):
        differences += _differences(first, second, comparable, resampling)
    return Comparison(
        task=comparing.task,
        figure=comparable.main or evaluations[0].main,
        figures=comparable.names,
        refused=comparable.refused,
        validation=None,
        lines=lines_of(evaluations[0]),
        block_lines=comparable.block_lines or 1,
        models=tuple(compared),
        differences=tuple(differences),
        notes=tuple(comparing.notes(evaluations, differences)),
        details=comparing.details(sides, evaluations),
        seconds=time.perf_counter() - began,
    )


def lines_of(evaluation: Evaluation) -> int:
    """Return how many lines, sentences or sources were measured: the items that are left out."""
    counts = evaluation.counts_of(evaluation.column_names[0])
    return counts.get("sources") or counts.get("sentences") or 0


def _differences(
    first: ComparedModel[E],
    second: ComparedModel[E],
    comparable: ComparableMetrics,
    resampling: Resampling,
) -> Iterator[Difference]:
    """Yield by how much the metrics that both models have differ."""
    names = (first.name, second.name)
    theirs = {
        (metric.column, metric.name): metric
        for metric in (*second.evaluation.metrics, *second.evaluation.joint)
    }
    for metric in (*first.evaluation.metrics, *first.evaluation.joint):
        counterpart = theirs.get((metric.column, metric.name))
        if metric.name not in comparable.differing or counterpart is None:
            continue
        check_signatures(names, metric, counterpart, comparable)
        if metric.counts is not None and counterpart.counts is not None:
            paired = metric.counts.difference(counterpart.counts, resampling)
            yield Difference.of(names, metric, paired)


def checked_names(models: Sequence[loading.ScoringModel], names: Sequence[str] | None) -> list[str]:
    """Return the names of two models or more, which must be of one task."""
    called = loading.distinct_names(models, names)
    if len(called) < 2:
        raise UsageError(
            "a comparison needs at least two models",
            f"only {len(called)} is named",
            "name another one",
        )
    tasks = {name: loading.task_of(model) for name, model in zip(called, models, strict=True)}
    check_same_task(tasks)
    return called
