"""Metrics and evaluations: what was measured of a model, printed, stored, resampled and compared in
one way, whatever its task."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeVar

from rnnlm.errors import UsageError, number
from rnnlm.evaluation.resampling import Interval, Resampled, Trials

# ---- One number, and all numbers of a model on one text.

Unit = Literal["plain", "percent", "of_100"]  # as it is; a share of 1; from 0 to 100
E = TypeVar("E", bound="Evaluation")

OF_100 = ("bleu", "chrf")
PER_EVENT = (  # perplexities, bits and nats
    "ppl_token", "ppl_token_no_oov", "ppl_word", "ppl_word_no_oov", "bits_per_char",
    "bits_per_byte", "loss_nats",
)  # fmt: skip
ERRORS = (*PER_EVENT, "word_error_rate", "symbol_error_rate", "ece")  # the lower the better
NO_OOV = "_no_oov"  # what the names of metrics end in that leave unknown tokens out


def unit_of(name: str) -> Unit:
    """Return the unit of the metric of that name: all that is neither a score from 0 to 100 nor
    counted per token, word or character is a share."""
    if name in OF_100:
        return "of_100"
    return "plain" if name in PER_EVENT else "percent"


def shown(value: float | None, unit: Unit = "plain", digits: int = 2) -> str:
    """Write a value as people read it: a share in percent, with two digits; a dash for none."""
    if value is not None and unit == "percent":
        value = 100 * value
    return number(value, digits if unit == "plain" else 2)


def shown_bounds(interval: Interval | None, unit: Unit = "plain", digits: int = 2) -> str:
    """Write the bounds of an interval as :func:`shown` writes values; a dash for none."""
    if interval is None:
        return "-"
    return f"[{shown(interval.low, unit, digits)}, {shown(interval.high, unit, digits)}]"


@dataclass(frozen=True)
class Metric:
    """One number, with all that is needed to print it, resample it and compare it.

    value: None where nothing was counted that it could be of. signature: how it was measured, on
    what, and of which model. column: which labels, where there are several kinds. note: what a
    reader must know about it. counts: what each line contributes; None where this is not known,
    as of a result that was stored, so that no interval can be given. interval: as it was stored.
    """

    name: str
    value: float | None
    signature: str = ""
    column: str = ""
    note: str = ""
    counts: Resampled | None = field(default=None, repr=False, compare=False)
    interval: Interval | None = field(default=None, repr=False, compare=False)

    @property
    def unit(self) -> Unit:
        """How the value is written: as it is, in percent, or as a score from 0 to 100."""
        return unit_of(self.name)

    @property
    def higher_is_better(self) -> bool:
        """Whether the larger of two values is the better one."""
        return self.name not in ERRORS

    @property
    def label(self) -> str:
        """Its name, after that of its column."""
        return f"{self.column} {self.name}" if self.column else self.name

    def shown(self, digits: int = 2) -> str:
        """Write the value as people read it; digits: of a perplexity or another plain number."""
        return shown(self.value, self.unit, digits)

    def with_unit(self, digits: int = 2) -> str:
        """Write the value as :meth:`shown` does, and say where it is in percent."""
        is_share = self.unit == "percent" and self.value is not None
        return self.shown(digits) + (" %" if is_share else "")


@dataclass(frozen=True)
class Table:
    """Details in rows and columns. left: how many columns are text; numbers follow, and text again
    if it `ends_in_text`. remark: what is to be said below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    remark: str = ""
    ends_in_text: bool = False

    @property
    def numbers(self) -> Sequence[str]:
        """The columns that hold numbers."""
        return self.columns[self.left : len(self.columns) - self.ends_in_text]


@dataclass(frozen=True, kw_only=True)
class Evaluation(ABC):
    """What was measured of a model on one text.

    A subclass for each task has the numbers as fields with types; `metrics`, `counts` and `facts`
    are the same numbers for all that does not ask which task it is. signature: how it was measured,
    and on what. intervals: 95 % intervals by column and name of their metric, where they were asked
    for; None where there is none.
    """

    signature: str
    seconds: float
    intervals: Mapping[tuple[str, str], Interval | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    # counts that a summary names, and what a reader must know about a count
    brief_counts: ClassVar[tuple[str, ...]] = ()
    count_notes: ClassVar[Mapping[str, str]] = {}
    # the order in which --json of comparisons has the metrics, where it is not that of `metrics`
    order_of_json: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that apply; those of one column of labels stand together."""

    @property
    @abstractmethod
    def mains(self) -> tuple[Metric, ...]:
        """The metrics that have intervals; the first one is what models are compared by."""

    @property
    def joint(self) -> tuple[Metric, ...]:
        """Metrics of all columns of labels together."""
        return ()

    @abstractmethod
    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        """Return what was counted, by name; column: of labels, where these are counted apart."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What else is told of the measurement, by name."""
        return {}

    @property
    def signatures(self) -> Mapping[str, str]:
        """The signature of each metric, by what it is of; metrics of one signature share it."""
        return {"": self.signature}

    @property
    def remarks(self) -> Sequence[str]:
        """What a reader must know about all of the metrics."""
        return ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All numbers by name, in JSON's types, as they are stored with a model."""

    @classmethod
    @abstractmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Make the evaluation again of what :meth:`to_dict` gave; what is resampled is lost."""

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        """Yield the details. most_confusions: of labels, that are listed; None: the usual
        number."""
        yield from ()

    def with_details(self, most_confusions: int | None = None) -> dict[str, Any]:
        """Return :meth:`to_dict` with details that are not stored."""
        return self.to_dict()

    @property
    def column_names(self) -> Sequence[str]:
        """The columns of labels that the metrics are of; "" where there are no labels."""
        return list(dict.fromkeys(each.column for each in self.metrics))

    @property
    def main(self) -> str:
        """The name of the metric that counts most."""
        return self.mains[0].name

    def main_of(self, column: str) -> Metric:
        """Return the metric of a column of labels that counts most."""
        return next(each for each in self.mains if each.column == column)

    @property
    def brief(self) -> tuple[Metric, ...]:
        """The metrics that say something: without unknown tokens there is nothing to leave out."""
        has_unknown = bool(self.counts_of().get("oov_words"))
        return tuple(
            each
            for each in self.metrics
            if (each.value is not None or each.note)
            and (has_unknown or not each.name.endswith(NO_OOV))
        )

    @property
    def summary(self) -> tuple[Metric, ...]:
        """The metrics that stand in one line, as in a model card."""
        return self.brief

    def line(self, column: str = "") -> str:
        """Return the summary of a column of labels as one line."""
        metrics = [each for each in self.summary if each.column == column]
        notes = [f" ({each.note})" if each.note else "" for each in metrics]
        told = [f"{m.name} {m.shown()}{note}" for m, note in zip(metrics, notes, strict=True)]
        counts = self.counts_of(column)
        told += [f"{name} {counts[name]:,}" for name in self.brief_counts if counts.get(name)]
        return ", ".join(told)

    def metric(self, name: str, column: str = "") -> Metric | None:
        """Return the metric of that name and column; None where it does not apply."""
        return next((m for m in self.metrics if (m.column, m.name) == (column, name)), None)


@dataclass(frozen=True, kw_only=True)
class MeasuredEvaluation(Evaluation):
    """The metrics of a task that has no details to tell. counts: what was counted, by name."""

    counts: Mapping[str, int]
    metrics: tuple[Metric, ...] = ()

    brief_counts = ("sentences",)

    @property
    def mains(self) -> tuple[Metric, ...]:
        return self.metrics

    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        return self.counts

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {**self.counts}
        for each in self.metrics:
            interval = self.intervals.get((each.column, each.name)) or each.interval
            found[each.name] = each.value
            if interval is not None:
                found |= {f"{each.name}_low": interval.low, f"{each.name}_high": interval.high}
        signatures = {each.name: each.signature for each in self.metrics}
        return {**found, "signatures": signatures, "seconds": self.seconds}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        metrics = tuple(
            Metric(name, stored[name], signature, interval=interval_of(stored, name, f"{name}_"))
            for name, signature in stored["signatures"].items()
        )
        counts = {name: stored[name] for name in ("sentences", "words") if name in stored}
        signature = metrics[0].signature
        return cls(signature=signature, seconds=stored["seconds"], counts=counts, metrics=metrics)


def with_intervals(evaluation: E) -> E:
    """Return the evaluation with the 95 % interval of each of its main metrics."""
    drawn = intervals_of(evaluation.mains, Trials())
    keys = [(each.column, each.name) for each in evaluation.mains]
    return replace(evaluation, intervals={key: drawn.get(key) for key in keys})


def summary_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Return the summaries of evaluations by the names of their texts: a row for each text and
    column of labels."""
    summaries = [each for its in evaluations.values() for each in its.summary]
    names = list(dict.fromkeys(each.name for each in summaries))
    counted = list(dict.fromkeys(n for its in evaluations.values() for n in its.brief_counts))
    has_columns = any(each.column for each in summaries)

    rows = []
    for text, its in evaluations.items():
        for column in its.column_names:
            counts, metrics = its.counts_of(column), [its.metric(name, column) for name in names]
            cells = [f"{counts.get(name) or 0:,}" for name in counted]
            cells += ["-" if each is None else each.shown() for each in metrics]
            rows.append([text, column, *cells] if has_columns else [text, *cells])
    heads = ["text", "labels"] if has_columns else ["text"]

    # Whoever reads the table must know which numbers are shares.
    shares = list(dict.fromkeys(each.name for each in summaries if each.unit == "percent"))
    remark = f"In percent: {', '.join(shares)}." if shares else ""
    return Table([*heads, *counted, *names], rows, left=len(heads), remark=remark)


def interval_of(stored: Mapping[str, Any], name: str, prefix: str = "") -> Interval | None:
    """Read the interval of a metric from what was stored beside it; None where it has none."""
    low, high = stored.get(f"{prefix}low"), stored.get(f"{prefix}high")
    return None if low is None or high is None else Interval(stored[name], low, high)


def intervals_of(metrics: Iterable[Metric], trials: Trials) -> dict[tuple[str, str], Interval]:
    """Return the interval of each metric that has one, by column and name."""
    found = {}
    for each in metrics:
        if each.counts is not None and each.value is not None:
            interval = each.counts.interval(trials)
            if interval is not None:
                found[each.column, each.name] = interval
    return found


# ---- The signature of a metric of a task: what was counted, by which convention, on which data,
# and for which model.


@dataclass(frozen=True)
class FigureSignature:
    """What signatures of figures have in common: the figure, and parts with names, of which empty
    ones are left out."""

    figure: str
    of_what: ClassVar[str]  # labels, translations
    # parts by which figures that compare may differ
    may_differ: ClassVar[frozenset[str]] = frozenset({"model"})

    def __str__(self) -> str:
        parts = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        return "|".join(
            [
                _escaped(self.figure),
                *(f"{name}:{_escaped(value)}" for name, value in parts if value),
            ]
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature of this kind.
        """
        figure, *parts = text.split("|")
        values = dict(part.partition(":")[::2] for part in parts)
        if (
            not figure
            or ":" in figure
            or not set(values) <= {field.name for field in fields(cls)[1:]}
        ):
            raise UsageError(f"not a signature of {cls.of_what}: {text!r}")
        return cls(_read(figure), **{name: _read(value) for name, value in values.items()})

    def differing(self, other: Self) -> list[str]:
        """The names of parts by which the two figures are not of the same thing: none where they
        compare."""
        names = [field.name for field in fields(self) if field.name not in self.may_differ]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def _escaped(value: str) -> str:
    """Columns are named by people; what divides the parts is written as URLs do."""
    return value.replace("%", "%25").replace("|", "%7C").replace(":", "%3A")


def _read(value: str) -> str:
    return value.replace("%3A", ":").replace("%7C", "|").replace("%25", "%")
