"""Define metrics and evaluations: the measurements of a model, printed, stored, given intervals and
compared in one way for every task."""

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar

from rnnlm import registry
from rnnlm.amounts import Unit, amount
from rnnlm.errors import nearest, visible
from rnnlm.evaluation.resampling import Interval, Resamplable, Resampling
from rnnlm.tabular import Records, Result, Row, Table, html_table, to_builtins

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from rnnlm.storage.manifest import Manifest

# ---- One number, and all numbers of a model on one text.

E = TypeVar("E", bound="Evaluation")
N = TypeVar("N", bound="DataclassInstance")


@dataclass(frozen=True)
class MetricDefinition:
    """The properties of a metric that do not depend on a model.

    A subclass for each family of metrics adds how lines are counted for it; the module that counts
    has the table of them.

    Attributes:
        name: Name of the metric.
        unit: Unit of the value: plain, a share of 1, or a score from 0 to 100.
        higher_is_better: Whether higher values are better.
        digits: Decimal places in comparisons.
        without_unknown: Whether it is a variant of another metric without unknown tokens.
        is_adjusted: Whether it equals another metric if nothing is unknown.
        is_perplexity: Whether its differences are in bits and have a ratio of perplexities.
    """

    name: str
    unit: Unit = "share"
    higher_is_better: bool = True
    digits: int = 2
    without_unknown: bool = False
    is_adjusted: bool = False
    is_perplexity: bool = False

    @property
    def difference_unit(self) -> str:
        """The unit of the difference of two models."""
        return self.unit


D = TypeVar("D", bound=MetricDefinition)


def named(*definitions: D) -> dict[str, D]:
    """Return a table of metrics by name."""
    return {definition.name: definition for definition in definitions}


@dataclass(frozen=True)
class Metric:
    """One number, with everything needed to print and compare it.

    Attributes:
        definition: Properties of the metric.
        value: The number; None if nothing was counted.
        signature: How it was measured, on which data, and of which model.
        column: Column of labels, if the data has several.
        note: Note for the reader, or "".
        counts: Contributions of the lines. None if no interval can be computed, as in a stored
            result.
        interval: The stored interval, if there is one.
    """

    definition: MetricDefinition
    value: float | None
    signature: str = ""
    column: str = ""
    note: str = ""
    counts: Resamplable | None = field(default=None, repr=False, compare=False)
    interval: Interval | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name of the metric."""
        return self.definition.name

    @property
    def unit(self) -> Unit:
        """The unit of the value: plain, a share of 1, or a score from 0 to 100."""
        return self.definition.unit

    @property
    def label(self) -> str:
        """The name of the metric, preceded by its column."""
        return f"{self.column} {self.name}" if self.column else self.name

    def shown(self, digits: int = 2) -> str:
        """Format the value for people.

        Args:
            digits: Decimal places of a perplexity or another plain number.
        """
        value = None if self.value is None else float(self.value)
        return amount(value, digits, self.unit)

    def with_unit(self, digits: int = 2) -> str:
        """Format the value as :meth:`shown` does, with a percent sign after a share.

        Args:
            digits: Decimal places of a perplexity or another plain number.
        """
        is_percentage = self.unit == "share" and self.value is not None
        return self.shown(digits) + (" %" if is_percentage else "")

    def shown_interval(self, digits: int = 2) -> str:
        """Format the bounds of the interval for people; a dash if there is none.

        Args:
            digits: Decimal places of a perplexity or another plain number.
        """
        if self.interval is None:
            return "-"
        return self.interval.written(lambda bound: amount(bound, digits, self.unit))

    def to_row(self, interval: Interval | None) -> Row:
        """Return the metric as a row of a table.

        Args:
            interval: Interval whose bounds the row has. None: empty bounds.
        """
        return {
            "metric": self.name,
            "column": self.column,
            "value": self.value,
            "unit": self.unit,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "signature": self.signature,
        }


# ---- The printed form of a result: tables, notes, lines.


@dataclass(frozen=True)
class Remark:
    """A note on a result, for people: the command line prints it on stderr.

    Attributes:
        text: The note.
    """

    text: str


Part: TypeAlias = Table | Remark | str


def text_of(parts: Iterable[Part]) -> str:
    """Write the printed parts of a result as plain text, with aligned tables."""
    shown = (part.text if isinstance(part, Remark) else part for part in parts)
    return "\n".join(str(part) if isinstance(part, Table) else visible(part) for part in shown)


# ---- All numbers of a model on one text.


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Records, Result):
    """The evaluation of a model on one text.

    Each task has a subclass with the numbers as typed fields; `metrics`, `counts_of` and `facts`
    hold the same numbers for code that works with every task.

    Attributes:
        signature: How the metrics were measured, and on which data.
        seconds: Duration of the evaluation.
        intervals: The requested 95 % intervals, by column and name of their metric; None for a
            metric without one.
        summary_counts: Names of the counts in :meth:`line`.
        count_notes: Notes on counts, by name of the count.
    """

    signature: str
    seconds: float
    intervals: Mapping[tuple[str, str], Interval | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    summary_counts: ClassVar[tuple[str, ...]] = ()
    count_notes: ClassVar[Mapping[str, str]] = {}

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that apply; metrics of one column of labels are adjacent."""

    @property
    @abstractmethod
    def mains(self) -> tuple[Metric, ...]:
        """The metrics with intervals; models are compared by the first one."""

    @property
    def joint(self) -> tuple[Metric, ...]:
        """The metrics of all columns of labels together."""
        return ()

    @abstractmethod
    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        """Return the counts by name.

        Args:
            column: Column of labels, if columns are counted separately.
        """

    @property
    def facts(self) -> Mapping[str, Any]:
        """Further facts about the measurement, by name."""
        return {}

    @property
    def signatures(self) -> Mapping[str, str]:
        """The signatures, each under the name of the metrics that share it."""
        return {"": self.signature}

    @property
    def remarks(self) -> Sequence[str]:
        """Notes that concern all of the metrics."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name in JSON types, in the form that a model stores: without the
        contributions of lines, and with the signature last."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        for name in ("signature", "seconds"):
            numbers[name] = numbers.pop(name)
        return dict(to_builtins(numbers))

    @classmethod
    @abstractmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore an evaluation, without the counts for resampling.

        Args:
            stored: The result of :meth:`to_dict`. A metric missing there becomes None.
        """

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        """Yield the details as tables.

        Args:
            most_confusions: Number of label confusions to list. None: the default.
        """
        yield from ()

    def with_details(self, most_confusions: int | None = None) -> dict[str, Any]:
        """Return :meth:`to_dict` and the details that are not stored.

        Args:
            most_confusions: Number of label confusions to list. None: the default.
        """
        return self.to_dict()

    @property
    def column_names(self) -> Sequence[str]:
        """The columns of labels that have metrics; "" if there are no labels."""
        return list(dict.fromkeys(metric.column for metric in self.metrics))

    @property
    def main(self) -> str:
        """The name of the main metric."""
        return self.mains[0].name

    def main_of(self, column: str) -> Metric:
        """Return the main metric of a column of labels.

        Args:
            column: Name of the column; "" if there are no labels.
        """
        return next(metric for metric in self.mains if metric.column == column)

    @property
    def brief(self) -> tuple[Metric, ...]:
        """The metrics worth printing, which are those with a value or a note. Variants without
        unknown tokens are included only if there are unknown tokens."""
        metrics = [metric for metric in self.metrics if metric.value is not None or metric.note]
        if self.counts_of().get("oov_words"):
            return tuple(metrics)
        # The variants would repeat other metrics.
        pairs = [(metric, metric.definition) for metric in metrics]
        return tuple(
            metric
            for metric, definition in pairs
            if not (definition.without_unknown or definition.is_adjusted)
        )

    @property
    def summary(self) -> tuple[Metric, ...]:
        """The metrics of the one-line summary, as in a model card."""
        return self.brief

    def line(self, column: str = "") -> str:
        """Return the summary of a column of labels as one line.

        Args:
            column: Name of the column; "" if there are no labels.
        """
        metrics = (metric for metric in self.summary if metric.column == column)
        parts = [f"{metric.name} {_with_note(metric)}" for metric in metrics]
        counts = self.counts_of(column)
        parts += [f"{name} {counts[name]:,}" for name in self.summary_counts if counts.get(name)]
        return ", ".join(parts)

    def metric(self, name: str, column: str = "") -> Metric | None:
        """Return a metric, or None if it does not apply.

        Args:
            name: Name of the metric.
            column: Column of labels, which may be left out if there is only one.
        """
        columns = self.column_names
        if not column and len(columns) == 1:
            column = columns[0]
        matching = (
            metric for metric in self.metrics if (metric.column, metric.name) == (column, name)
        )
        return next(matching, None)

    # Type checkers must not rely on this.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            # A property gets here whose own code lacks an attribute: it says again which one.
            if name.startswith("_") or hasattr(type(self), name):
                return object.__getattribute__(self, name)
            names = dict.fromkeys(metric.name for metric in self.metrics)
            if name in names:
                hint = f"write evaluation.metric({name!r}).value"
            elif name in ("perplexity", "ppl") and "ppl_token" in names:
                hint = "did you mean 'ppl_token'?"
            else:
                hint = nearest(name, names)
            raise AttributeError(f"this evaluation has no {name!r}: {hint}")

    # ---- As a table, and as people read it.

    def to_rows(self) -> list[Row]:
        """Return one row per metric: its value, the bounds of its interval if requested, its
        signature and its counts."""
        rows = []
        for metric in (*self.metrics, *self.joint):
            interval = self.intervals.get((metric.column, metric.name)) or metric.interval
            rows.append({**metric.to_row(interval), **self.counts_of(metric.column)})
        # Columns of labels may differ in their counts.
        names = dict.fromkeys(itertools.chain.from_iterable(rows))
        return [{name: row.get(name) for name in names} for row in rows]

    def overview(self) -> Table:
        """Return counts, metrics and facts, with a column for each column of labels."""
        columns = self.column_names
        heads = columns if any(columns) else ["value"]
        rows = []

        # Counts, then metrics.
        counts = [self.counts_of(column) for column in columns]
        for name in dict.fromkeys(itertools.chain.from_iterable(counts)):
            note = f" ({self.count_notes[name]})" if name in self.count_notes else ""
            rows.append([name, *(amount(counts_of.get(name)) + note for counts_of in counts)])
        for name in dict.fromkeys(metric.name for metric in self.brief):
            rows.append([name, *(_with_note(self.metric(name, column), 4) for column in columns)])

        # Facts hold for all columns together.
        for name, value in self.facts.items():
            rows.append([name, amount(value, 4), *[""] * (len(columns) - 1)])
        return Table(["measure", *heads], rows, right=heads)

    def printed(self, most_confusions: int | None = None) -> Iterator[Part]:
        """Yield the parts of `rnnlm eval`'s output: the overview, then details, the signatures
        last.

        Args:
            most_confusions: Number of label confusions to list. None: the default.
        """
        yield self.overview()
        yield from map(Remark, self.remarks)
        tables = list(self.tables(most_confusions))
        for table in tables:
            yield ""
            yield table
            if table.remark:
                yield Remark(table.remark)

        # A single signature right below the metrics needs no blank line.
        if tables or len(self.signatures) > 1:
            yield ""
        for of, signature in self.signatures.items():
            of_what = f" of {of}" if of else ""
            yield f"signature{of_what}: {signature}"

    def __str__(self) -> str:
        return text_of(self.printed())

    def __repr__(self) -> str:
        measured = [f"{metric.label} {metric.with_unit()}" for metric in self.mains]
        counts = self.counts_of()
        counted = [f"{counts[name]:,} {name}" for name in self.summary_counts if counts.get(name)]
        return f"<{type(self).__name__}: {', '.join(measured + counted)}>"

    def _repr_html_(self) -> str:
        table = self.overview()
        signatures = [f"{of} {signature}".strip() for of, signature in self.signatures.items()]
        return html_table("", table.columns, table.rows, "; ".join(signatures))

    @staticmethod
    def summary_table(evaluations: "Mapping[str, Evaluation]") -> Table:
        """Return a table of summaries, with one row per text and column of labels.

        Args:
            evaluations: Evaluations by the name of their text.
        """
        # Evaluations of different tasks need a column for every count of one of them.
        summaries: list[Metric] = []
        counted: dict[str, None] = {}
        for evaluation in evaluations.values():
            summaries += evaluation.summary
            counted |= dict.fromkeys(evaluation.summary_counts)
        names = list(dict.fromkeys(metric.name for metric in summaries))
        heads = ["text"]
        has_columns = any(metric.column for metric in summaries)
        if has_columns:
            heads.append("labels")

        rows = []
        for text, evaluation in evaluations.items():
            for column in evaluation.column_names:
                counts = evaluation.counts_of(column)
                metrics = (evaluation.metric(name, column) for name in names)
                place = (text, column) if has_columns else (text,)
                rows.append([
                    *place,
                    *(f"{counts.get(name) or 0:,}" for name in counted),
                    *("-" if metric is None else metric.shown() for metric in metrics),
                ])  # fmt: skip

        # The cells have no space for percent signs.
        shares = dict.fromkeys(metric.name for metric in summaries if metric.unit == "share")
        remark = f"In percent: {', '.join(shares)}." if shares else ""
        numbers = [*counted, *names]
        return Table([*heads, *numbers], rows, remark=remark, right=numbers)


def _with_note(metric: Metric | None, digits: int = 2) -> str:
    """Format a metric with its note; a dash where there is none."""
    if metric is None:
        return "-"
    between = f" [{metric.shown_interval(digits)}]" if metric.interval else ""
    return metric.shown(digits) + between + (f" ({metric.note})" if metric.note else "")


def stored_evaluations(manifest: "Manifest") -> dict[str, Evaluation]:
    """Return the evaluations of a model, by the names of texts. Results of another form raise
    KeyError, TypeError or AttributeError."""
    kind = registry.task(manifest.task).evaluation_class
    return {name: kind.from_dict(results) for name, results in manifest.results.items()}


def with_intervals(evaluation: E, metrics: Sequence[Metric] | None = None) -> E:
    """Return the evaluation with the 95 % interval of each of these metrics. None: the main
    ones."""
    metrics = evaluation.mains if metrics is None else metrics
    drawn = intervals_of(metrics, Resampling())
    keys = [(metric.column, metric.name) for metric in metrics]
    return replace(evaluation, intervals={key: drawn.get(key) for key in keys})


def restored(numbers: type[N], stored: Mapping[str, Any], **known: Any) -> N:
    """Make a dataclass of numbers from its stored form. A field that is not stored is its default,
    or None; other stored values are ignored. known: values of other fields."""
    for attribute in fields(numbers):
        if attribute.name in stored:
            known.setdefault(attribute.name, stored[attribute.name])
        elif attribute.default is MISSING and attribute.default_factory is MISSING:
            known.setdefault(attribute.name, None)
    return numbers(**known)


def interval_of(stored: Mapping[str, Any], name: str, prefix: str = "") -> Interval | None:
    """Read the interval of a metric that :func:`bounds` stored beside it; None where there is
    none."""
    low, high = stored.get(f"{prefix}low"), stored.get(f"{prefix}high")
    if low is None or high is None or stored.get(name) is None:
        return None
    return Interval(stored[name], low, high)


def bounds(interval: Interval | None, prefix: str = "") -> dict[str, float | None]:
    """Return the bounds of an interval as they are stored beside its metric."""
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{prefix}low": low, f"{prefix}high": high}


def intervals_of(
    metrics: Iterable[Metric], resampling: Resampling
) -> dict[tuple[str, str], Interval]:
    """Return the interval of each metric that has one, by column and name."""
    intervals = {}
    for metric in metrics:
        if metric.counts is not None and metric.value is not None:
            interval = metric.counts.interval(resampling)
            if interval is not None:
                intervals[metric.column, metric.name] = interval
    return intervals


# ---- The signature of a metric: the counted units, the convention, the data, and the model.


@dataclass(frozen=True)
class MetricSignature:
    """The signature of a metric: its name, then named parts. Empty parts are left out."""

    metric: str

    def __str__(self) -> str:
        values = {part.name: getattr(self, part.name) for part in fields(self)[1:]}
        parts = (f"{name}:{_escaped(value)}" for name, value in values.items() if value)
        return "|".join([_escaped(self.metric), *parts])


def signature_parts(parts: Iterable[str]) -> dict[str, str]:
    """Return the values of parts of a signature, each written name:value, by name."""
    named_values = (part.partition(":") for part in parts)
    return {name: value for name, _, value in named_values}


def _escaped(value: str) -> str:
    """Escape a value as URLs do: people name columns, and a name may hold the characters that
    divide the parts."""
    return value.replace("%", "%25").replace("|", "%7C").replace(":", "%3A")
