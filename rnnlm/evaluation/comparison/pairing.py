"""Models of any task on the same data: evaluated, their metrics paired by column and name, and what
each line contributes to them resampled.

Intervals and p-values are over lines, sentences or sources that both models of a pair have read:
Koehn (2004) for the paired bootstrap; see :mod:`rnnlm.evaluation.resampling`. A p-value is of its
pair alone, whatever others are compared.
"""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rnnlm.errors import ComparisonError, UsageError
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import Evaluation, Metric, Table, intervals_of
from rnnlm.evaluation.resampling import Interval, MetricDifference, Trials
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.models.loading import ScoringModel
from rnnlm.models.registry import check_same_task

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
    """A metric that cannot be compared, the part of the signature that differs (None: it is not
    that), and why not."""

    figure: str
    part: str | None
    why: str


@dataclass(frozen=True)
class Comparable:
    """figures: the names of the metrics that compare, all of which have intervals. main: the one
    that models are compared by. refused: the others. differing: those of which differences are
    drawn; the others would say the same. may_differ: parts of signatures that were looked at, or
    that make no difference. block_lines: how many lines are drawn together."""

    figures: tuple[str, ...]
    main: str
    refused: tuple[Refused, ...] = ()
    differing: tuple[str, ...] = ()
    may_differ: frozenset[str] = frozenset({"model"})
    block_lines: int | None = None


def check_signatures(names: tuple[str, str], first: Metric, second: Metric, at: Comparable) -> None:
    """Make sure that one metric of two models was measured alike.

    Raises:
        ComparisonError: it was not; it names the part of the signatures that differs.
    """
    ours, theirs = (_parts(each.signature) for each in (first, second))
    for part in dict.fromkeys([*ours, *theirs]):
        if ours.get(part) != theirs.get(part) and part not in at.may_differ:
            values = zip((ours.get(part, "-"), theirs.get(part, "-")), names, strict=True)
            raise ComparisonError(
                f"these models cannot be compared: the part {part} of their signatures differs",
                ", ".join(f"{part}:{value} for {name}" for value, name in values),
                HINTS.get(part, "measure both alike"),
            )


def _parts(signature: str) -> dict[str, str]:
    return dict(part.partition(":")[::2] for part in signature.split("|"))


# ---- What came of a comparison, for all that shows it.


@dataclass(frozen=True)
class ComparedModel(Generic[E]):
    """One of the models. folder: None of a model in memory. found: the interval of each metric that
    compares and has one."""

    name: str
    folder: str | None
    evaluation: E
    found: Mapping[Key, Interval] = field(repr=False)

    @property
    def said(self) -> list[Key]:
        """The metrics that say something of the model, by column and name."""
        return [(each.column, each.name) for each in self.evaluation.brief]

    @property
    def by_name(self) -> dict[str, Interval]:
        """The intervals by name, of models without columns of labels."""
        return {name: interval for (_, name), interval in self.found.items()}


class ModelComparison(ABC):
    """Models on the same data. A subclass for each task has the differences as typed fields."""

    @property
    @abstractmethod
    def compared(self) -> Sequence[ComparedModel[Any]]:
        """The models."""

    @property
    def keys(self) -> list[Key]:
        """The metrics that compare and say something, by column and name."""
        said: dict[Key, None] = {}
        found: set[Key] = set()
        for model in self.compared:
            said |= dict.fromkeys(model.said)
            found |= model.found.keys()
        return [key for key in said if key in found]

    @property
    @abstractmethod
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by the metric that counts most."""

    @property
    def remarks(self) -> Sequence[str]:
        """What is not compared, and what a reader must know."""
        return ()

    @abstractmethod
    def difference_table(self) -> Table:
        """Return the differences of all pairs as rows."""

    def tables(self, top: int) -> Iterator[Table]:
        """Yield where the models differ. top: lines and words that are listed of each side."""
        yield from ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All of it, in JSON's types."""


def shown_interval(
    found: Interval | None, form: str, *, shift: float = 0.0, scale: float = 1.0
) -> str:
    """Write a difference with the bounds of its interval; a dash where there is none. shift: is
    taken off; scale: 100 of percentages."""
    if found is None:
        return "-"
    ends = (found.estimate, found.low, found.high)
    estimate, low, high = (format(scale * (each - shift), form) for each in ends)
    return f"{estimate} [{low}, {high}]"


# ---- One comparison for every task: each of them says how its models read the data, which metrics
# compare, and how the result is called.


@dataclass(frozen=True)
class Side(Generic[M, D]):
    """One of the models. given: as it was given, itself or its name. data: as it reads them."""

    name: str
    given: Any
    model: M
    data: D


@dataclass(frozen=True)
class Outcome(Generic[E]):
    """What came of all models. differences: of each pair of them, the second less the first."""

    evaluations: tuple[E, ...]
    comparable: Comparable
    intervals: tuple[dict[Key, Interval], ...]
    differences: dict[tuple[int, int], dict[Key, MetricDifference]]


class Comparing(Protocol[M, D, E, R_co]):
    """What a task gives to a comparison of its models."""

    def read(self, model: M, called: str) -> D:
        """Return the data as the model of that name reads them."""

    def comparable(self, sides: Sequence[Side[M, D]]) -> Comparable:
        """Return which metrics compare, before anything is measured.

        Raises:
            ComparisonError: none does.
        """

    def measure(self, side: Side[M, D]) -> E:
        """Evaluate one model, and keep what each line contributes."""

    def result(self, sides: Sequence[Side[M, D]], outcome: Outcome[E]) -> R_co:
        """Return what came of it."""


def compare_models(
    models: Sequence[Any],
    comparing: Comparing[M, D, E, R],
    *,
    names: Sequence[str] | None = None,
    trials: Trials = Trials(),
    device: str | Device = "auto",
) -> R:
    """Compare models, themselves or by their names.

    names: what models are called in the result.

    Raises:
        UsageError: there are fewer than two models. ComparisonError: they are of different tasks,
            or nothing of them compares. ModelError: one is missing or damaged. DeviceError.
    """
    called = names_of(models, names)
    if len(called) < 2:
        raise UsageError(
            "a comparison needs at least two models", f"there is {len(called)}", "name another one"
        )
    tasks = {name: loading.task_of(each) for name, each in zip(called, models, strict=True)}
    check_same_task(tasks)

    # Whether anything compares is found before anything is measured.
    opened: list[Any] = [
        loading.load(each, device) if isinstance(each, (str, Path)) else each for each in models
    ]
    sides = [
        Side(name, given, model, comparing.read(model, name))
        for name, given, model in zip(called, models, opened, strict=True)
    ]
    comparable = comparing.comparable(sides)
    trials = replace(trials, block_lines=comparable.block_lines)
    evaluations = tuple(comparing.measure(side) for side in sides)

    # Resample the lines of each model, and of each pair of models.
    intervals = tuple(
        intervals_of((each for each in its.metrics if each.name in comparable.figures), trials)
        for its in evaluations
    )
    differences = {
        (i, j): _differences(
            (called[i], called[j]), evaluations[i], evaluations[j], comparable, trials
        )
        for i, j in itertools.combinations(range(len(sides)), 2)
    }
    return comparing.result(sides, Outcome(evaluations, comparable, intervals, differences))


def _differences(
    names: tuple[str, str], first: E, second: E, comparable: Comparable, trials: Trials
) -> dict[Key, MetricDifference]:
    """By how much the metrics of one column and name differ, where both models have them."""
    theirs = {(each.column, each.name): each for each in (*second.metrics, *second.joint)}
    found: dict[Key, MetricDifference] = {}
    for metric in (*first.metrics, *first.joint):
        key = metric.column, metric.name
        other = theirs.get(key)
        if metric.name not in comparable.differing or other is None:
            continue
        check_signatures(names, metric, other, comparable)
        if metric.counts is not None and other.counts is not None:
            difference = metric.counts.difference(other.counts, trials)
            if difference is not None:
                found[key] = difference
    return found


def names_of(models: Sequence[ScoringModel], names: Sequence[str] | None) -> list[str]:
    """A name for each model, all different: the last part of its folder, or as many parts as tell
    it from the others.

    Raises:
        UsageError: the number of names is not that of the models.
    """
    if names is not None and len(names) != len(models):
        raise UsageError(
            f"{len(names)} names do not fit {len(models)} models", hint="give one for each"
        )
    given = list(
        names
        or (
            str(model) if isinstance(model, (str, Path)) else f"model {k}"
            for k, model in enumerate(models, start=1)
        )
    )
    parts = [os.path.normpath(name).split(os.sep) for name in given]
    for depth in range(1, 1 + max(map(len, parts), default=0) if names is None else 0):
        short = [os.sep.join(each[-depth:]) for each in parts]
        if len(set(short)) == len(short):
            return short
    return [
        name if given.count(name) == 1 else f"{name} ({given[: k + 1].count(name)})"
        for k, name in enumerate(given)
    ]
