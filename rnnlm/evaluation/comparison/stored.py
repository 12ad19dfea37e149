"""Compare models by the metrics of the validation text that were stored when they were trained.
Nothing is measured, so there are no intervals of the differences, and no p-values.

The stored metrics must be of the same lines, read alike; then the rules are those of a comparison
on a text.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import ComparisonError, ModelError
from rnnlm.evaluation.comparison.pairing import (
    Comparable,
    ComparedModel,
    Key,
    ModelComparison,
    Refused,
    check_signatures,
    checked_names,
    difference_row,
)
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import Evaluation, Metric, Part, Remark, Table, signature_parts
from rnnlm.evaluation.resampling import Interval
from rnnlm.models import loading, registry
from rnnlm.models.loading import ScoringModel
from rnnlm.models.manifest import read_manifest
from rnnlm.tabular import Row

VALID = "valid"  # the name of the validation text among stored results
ON_A_TEXT = "measure all of them on one text: `text=TEXT`"
# Parts of signatures that say what was measured, and how, not which model it was.
HOW_MEASURED = ("data", "ctx", "blank", "eos", "mode")


@dataclass(frozen=True)
class StoredModel:
    """A model and the metrics that were stored with it. codec: what encodes its data. validation:
    the text in words."""

    name: str
    folder: Path
    evaluation: Evaluation
    codec: object
    validation: str


@dataclass(frozen=True, repr=False)
class StoredComparison(ModelComparison):
    """The stored metrics of models of a task. figures: the metrics that compare; the `refused`
    ones do not. validation: the text that they were measured on, in words."""

    task: str
    validation: str
    models: tuple[ComparedModel[Evaluation], ...]
    figures: tuple[str, ...]
    refused: tuple[Refused, ...]

    @property
    def compared(self) -> Sequence[ComparedModel[Evaluation]]:
        return self.models

    @property
    def keys(self) -> list[Key]:
        said: dict[Key, None] = {}
        for model in self.models:
            said |= dict.fromkeys(model.said)
        return [(column, name) for column, name in said if name in self.figures]

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """None: without the lines, nobody knows how sure a difference is."""
        return ()

    @property
    def remarks(self) -> Sequence[str]:
        found = [f"{each.figure} is not compared: {each.why}" for each in self.refused]
        for model in self.models:
            found += [f"{model.name}: {remark}" for remark in model.evaluation.remarks]
        found.append(
            f"stored at the end of training, of the validation text ({self.validation}); "
            "intervals and p-values need a text: `text=TEXT`"
        )
        return found

    def difference_table(self) -> Table:
        rows = []
        for row in self.difference_rows():
            label = f"{row['column']} {row['metric']}".strip()
            rows.append([f"{row['second']} - {row['first']}", label, f"{row['difference']:+.4f}"])
        return Table(["difference", "measure", "by"], rows, left=2)

    def difference_rows(self) -> list[Row]:
        rows = []
        for first, second in itertools.combinations(self.models, 2):
            for column, name in self.keys:
                ours = first.evaluation.metric(name, column)
                theirs = second.evaluation.metric(name, column)
                difference = _difference(ours, theirs)
                if ours is not None and difference is not None:
                    names = (first.name, second.name)
                    row = difference_row(names, ours.definition, None, None, column)
                    rows.append(row | {"difference": difference})
        return rows

    def printed(self, top: int = 0) -> Iterator[Part]:
        """Yield what `rnnlm compare` prints without a text: the metrics side by side, then their
        signatures."""
        yield self.overview()
        yield from map(Remark, self.remarks)
        yield ""
        for model in self.models:
            for metric in model.evaluation.mains:
                yield f"signature of {model.name}: {metric.signature}"

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON's types."""
        models = []
        for each in self.models:
            evaluation = each.evaluation.to_dict()
            models.append({"name": each.name, "folder": each.folder, "evaluation": evaluation})
        return {
            "task": self.task,
            "text": VALID,
            "validation": self.validation,
            "figures": list(self.figures),
            "refused": list(map(asdict, self.refused)),
            "models": models,
            "differences": self.difference_rows(),
        }


def _difference(first: Metric | None, second: Metric | None) -> float | None:
    """Return by how much the second metric exceeds the first; None where one has no value."""
    if first is None or second is None or first.value is None or second.value is None:
        return None
    return second.value - first.value


def compare_stored(
    models: Sequence[ScoringModel], names: Sequence[str] | None = None
) -> StoredComparison:
    """Compare saved models, themselves or by their names, by their stored metrics. names: what to
    call them in the result."""
    called = checked_names(models, names)
    stored = [_stored(model, name) for model, name in zip(models, called, strict=True)]
    task = registry.task(loading.task_of(models[0]))

    # The same lines, measured in the same way; then the same labels or tokens.
    _check_measured_alike(stored)
    _check_columns(stored)
    comparable: Comparable = task.comparable_stored(stored)
    for first, second in itertools.combinations(stored, 2):
        for metric in first.evaluation.metrics:
            other = second.evaluation.metric(metric.name, metric.column)
            if other is not None and metric.name in comparable.figures:
                check_signatures((first.name, second.name), metric, other, comparable)

    # Each metric with its interval, where its model's run has stored one.
    compared = []
    for each in stored:
        found: dict[Key, Interval] = {}
        for metric in each.evaluation.metrics:
            if metric.interval is not None:
                found[metric.column, metric.name] = metric.interval
        compared.append(ComparedModel(each.name, str(each.folder), each.evaluation, found))
    return StoredComparison(
        task=task.name,
        validation=stored[0].validation,
        models=tuple(compared),
        figures=comparable.figures,
        refused=comparable.refused,
    )


def _stored(model: ScoringModel, name: str) -> StoredModel:
    """Return a model's stored metrics, without loading its weights."""
    saved = loading.name_if_saved(model)
    what = f"{name} has no stored metrics of a validation text"
    if saved is None:
        raise ComparisonError(what, "it is not saved", ON_A_TEXT)
    _, adaptation = loading.without_adaptation(saved)
    if adaptation is not None:
        raise ComparisonError(what, "it adapts itself to what it reads", ON_A_TEXT)

    folder = loading.find(saved)
    manifest = read_manifest(folder)
    try:
        evaluation = manifest.evaluations.get(VALID)
    except (AttributeError, KeyError, TypeError, ValueError):
        why = "the results in its config.json are of another form"
        raise ModelError(f"the description of {name} is damaged", why, ON_A_TEXT) from None
    if evaluation is None:
        why = "it was made without one"
        if manifest.is_unfinished:
            why = "its training run has not come to its end"
        elif manifest.results:
            why = f"it has those of {', '.join(manifest.results)}"
        raise ComparisonError(what, why, ON_A_TEXT)
    validation = str(manifest.training.get("validation", VALID))
    return StoredModel(name, folder, evaluation, loading.load_codec(folder), validation)


def _check_measured_alike(models: Sequence[StoredModel]) -> None:
    """Refuse metrics of different lines, or of lines that were read in different ways."""
    parts = [signature_parts(each.evaluation.signature.split("|")) for each in models]
    for part in HOW_MEASURED:
        values = [its.get(part, "-") for its in parts]
        if len(set(values)) > 1:
            named = zip(values, models, strict=True)
            raise ComparisonError(
                "the stored metrics of these models cannot be compared: the part "
                f"{part} of their signatures differs",
                ", ".join(f"{part}:{value} for {model.name}" for value, model in named),
                ON_A_TEXT,
            )


def _check_columns(models: Sequence[StoredModel]) -> None:
    """Refuse models that have learned other columns of labels than the first."""
    learned = {each.name: list(each.evaluation.column_names) for each in models}
    if any(columns != learned[models[0].name] for columns in learned.values()):
        raise ComparisonError(
            "models of different labels cannot be compared",
            ", ".join(f"{name} has learned {', '.join(its)}" for name, its in learned.items()),
            "name models that have learned the same columns",
        )
