"""Hold the evaluation of a tagger or classifier: the metrics of each column of labels, with
confusions and the metrics of each type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from rnnlm.amounts import amount
from rnnlm.evaluation.metrics import Evaluation, Metric, bounds, interval_of, restored
from rnnlm.evaluation.plotting import Figure
from rnnlm.tabular import Table
from rnnlm.tasks.common.counted_metrics import CountedMetric
from rnnlm.tasks.labelling.evaluation.label_metrics import (
    LABEL_METRICS,
    ClassMetrics,
    Confusion,
    LabelMetrics,
    Predictions,
    confusion,
    joint_exact_match,
    plot,
)

# The main metric is the first of these that applies
MAIN = ("f1", "word_error_rate", "accuracy")
OF_TYPES = ("precision", "recall", "f1")
COUNTS_OF_TYPES = ("right", "predicted", "gold")
ALL_COLUMNS = "all columns"  # the column of their joint exact match
MOST_CONFUSIONS = 10  # listed by default
MOST_TYPES = 40  # in a table


@dataclass(frozen=True)
class ColumnMetrics(LabelMetrics):
    """The metrics of a column. main: the name of the main metric. signature: signature of the main
    metric."""

    main: str
    signature: str

    def signature_of(self, name: str) -> str:
        """Return the signature of another metric of this column."""
        _, bar, parts = self.signature.partition("|")
        return f"{name}{bar}{parts}"

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore the metrics from their stored form."""
        types = stored["by_type"].items()
        by_type = {name: restored(ClassMetrics, metrics) for name, metrics in types}
        return restored(
            cls, stored, main=stored["main"], signature=stored["signature"], by_type=by_type
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class LabelEvaluation(Evaluation):
    """The metrics of a model on labelled data.

    loss_nats: per word, or per text of a classifier; None if the data do not say which label
    belongs to which word. columns: the metrics of each column of labels. exact_match: of all
    columns together. signature: signature of the first column. predictions, measures: of each
    column, the basis of its metrics; empty for a stored evaluation.
    """

    task: str
    sentences: int
    words: int
    loss_nats: float | None
    columns: tuple[ColumnMetrics, ...]
    exact_match: float | None
    predictions: tuple[Predictions, ...] = field(default=(), repr=False, compare=False)
    measures: tuple[Mapping[str, CountedMetric], ...] = field(default=(), repr=False, compare=False)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        metrics = []
        for number, column in enumerate(self.columns):
            names = [name for name in LABEL_METRICS if getattr(column, name) is not None]
            metrics += [self._metric(number, name) for name in names]
        return tuple(metrics)

    def _metric(self, number: int, name: str) -> Metric:
        column = self.columns[number]
        return Metric(
            LABEL_METRICS[name],
            getattr(column, name),
            column.signature_of(name),
            column.column,
            counts=self.measures[number][name] if self.measures else None,  # None: it is stored
            interval=self.intervals.get((column.column, name)),
        )

    @property
    def mains(self) -> tuple[Metric, ...]:
        return tuple(
            self._metric(number, column.main) for number, column in enumerate(self.columns)
        )

    @property
    def joint(self) -> tuple[Metric, ...]:
        if len(self.columns) < 2:
            return ()
        # A stored evaluation has no counts.
        counts = joint_exact_match(self.predictions) if self.predictions else None
        definition = LABEL_METRICS["exact_match"]
        return (Metric(definition, self.exact_match, column=ALL_COLUMNS, counts=counts),)

    def counts_of(self, column: str = "") -> Mapping[str, int | None]:
        metrics = next(
            (metrics for metrics in self.columns if metrics.column == column), self.columns[0]
        )
        counts = {
            "sentences": metrics.sentences,
            "words": metrics.words or None,
            "words_unknown": metrics.words_unknown,
            "unseen_count": metrics.unseen_count or None,
        }
        return {name: count for name, count in counts.items() if count is not None}

    @property
    def facts(self) -> Mapping[str, Any]:
        loss = {} if self.loss_nats is None else {"loss_nats": self.loss_nats}
        return {**loss, **{f"{metric.column} right": metric.shown() for metric in self.joint}}

    @property
    def signatures(self) -> Mapping[str, str]:
        if len(self.columns) == 1:
            return {"": self.signature}
        return {column.column: column.signature for column in self.columns}

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, in JSON's types, with the bounds of the interval of each
        column's main metric, if they were requested."""
        evaluation = super().to_dict()
        for column, stored in zip(self.columns, evaluation["columns"], strict=True):
            key = (column.column, column.main)
            if key in self.intervals:
                stored |= bounds(self.intervals[key])
        return evaluation

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        columns = tuple(map(ColumnMetrics.from_dict, stored["columns"]))
        intervals = {
            (column["column"], column["main"]): interval_of(column, column["main"])
            for column in stored["columns"]
            if "low" in column
        }
        return restored(
            cls, stored, signature=stored["signature"], columns=columns, intervals=intervals
        )

    def tables(self, most_confusions: int | None = None) -> Iterator[Table]:
        most = MOST_CONFUSIONS if most_confusions is None else most_confusions
        for number, column in enumerate(self.columns):
            of = f" of {column.column}" if len(self.columns) > 1 else ""
            if len(column.by_type) > 1:
                yield _types(column, of)

            # A stored evaluation has no predictions.
            confused = self.confusion(number).most_frequent(most) if self.predictions else ()
            rows = [[gold, predicted, f"{times:,}"] for gold, predicted, times in confused]
            if rows:
                yield Table([f"gold{of}", "predicted", "times"], rows, right=["times"])

    def with_details(self, most_confusions: int | None = None) -> dict[str, Any]:
        """Return all numbers, with the most frequent confusions of each column."""
        most = MOST_CONFUSIONS if most_confusions is None else most_confusions
        names = ("gold", "predicted", "count")
        evaluation = self.to_dict()
        for number, column in enumerate(evaluation["columns"]):
            confused = self.confusion(number).most_frequent(most)
            column["confusions"] = [dict(zip(names, entry, strict=True)) for entry in confused]
        return evaluation

    def confusion(self, number: int) -> Confusion:
        """Return the confusion matrix of a column. Several labels of a text count as one."""
        predictions = self.predictions[number]
        gold, predicted = predictions.gold, predictions.predicted
        if predictions.multi_label:
            gold = [["|".join(sorted(labels))] for labels in gold]
            predicted = [["|".join(sorted(labels))] for labels in predicted]
        return confusion(gold, predicted)

    def plots(self) -> "dict[str, Figure]":
        """Draw the confusions of each column of labels. Sounds that are not aligned to letters
        have none."""
        return {
            column.column: plot(self.confusion(number), column.column)
            for number, column in enumerate(self.columns)
            if self.predictions[number].gold
        }


def _types(column: ColumnMetrics, of: str) -> Table:
    """Return the metrics of each type of span, or of each label, the most frequent first."""
    types = sorted(column.by_type.items(), key=lambda pair: (-pair[1].gold, pair[0]))
    rows = []
    for name, metrics in types[:MOST_TYPES]:
        shares = [amount(getattr(metrics, share), unit="share") for share in OF_TYPES]
        counts = [f"{getattr(metrics, count):,}" for count in COUNTS_OF_TYPES]
        rows.append([name, *shares, *counts])
    more = len(types) - MOST_TYPES
    remark = f"and {more:,} rarer ones, which are not shown" if more > 0 else ""
    what = "type" if column.mode else "label"
    numbers = [*OF_TYPES, *COUNTS_OF_TYPES]
    return Table([f"{what}{of}", *numbers], rows, remark=remark, right=numbers)
