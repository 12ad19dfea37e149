"""Compare models by the metrics of the validation text that were stored when they were trained.
Nothing is measured, so there are no intervals of the differences, and no p-values.

The stored metrics must be of the same lines, read alike; then the rules are the same as in a
comparison on a text.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnlm import registry
from rnnlm.errors import ComparisonError, ModelError, keyword
from rnnlm.evaluation.comparison.pairing import (
    ComparableMetrics,
    ComparedModel,
    Comparison,
    Difference,
    check_signatures,
    checked_names,
    lines_of,
)
from rnnlm.evaluation.metrics import Evaluation, signature_parts, stored_evaluations
from rnnlm.lm.base import loading
from rnnlm.storage.manifest import read_manifest

VALID = "valid"  # the name of the validation text among stored results
ON_A_TEXT = "measure all of them on one text: " + keyword("text", "TEXT")
# Parts of signatures that say which data were measured, and how, not for which model.
HOW_MEASURED = ("data", "ctx", "blank", "eos", "mode")


@dataclass(frozen=True)
class StoredModel:
    """A model and the metrics that were stored with it. codec: the codec of its data. validation:
    the text in words."""

    name: str
    folder: Path
    evaluation: Evaluation
    codec: object
    validation: str


def compare_stored(
    models: Sequence[loading.ScoringModel], names: Sequence[str] | None = None
) -> Comparison:
    """Compare saved models, themselves or by their names, by their stored metrics. names: their
    names in the result."""
    called = checked_names(models, names)
    stored = [_stored(model, name) for model, name in zip(models, called, strict=True)]
    task = registry.task(loading.task_of(models[0]))

    # The same lines, measured in the same way; then the same labels or tokens.
    _check_measured_alike(stored)
    comparable: ComparableMetrics = task.comparable_stored(stored)
    for first, second in itertools.combinations(stored, 2):
        for metric in first.evaluation.metrics:
            counterpart = second.evaluation.metric(metric.name, metric.column)
            if counterpart is not None and metric.name in comparable.names:
                check_signatures((first.name, second.name), metric, counterpart, comparable)

    # Each metric with its interval, where its model's run has stored one.
    compared = []
    for stored_model in stored:
        intervals = {
            (metric.column, metric.name): metric.interval
            for metric in stored_model.evaluation.metrics
            if metric.interval is not None
        }
        compared.append(
            ComparedModel(
                stored_model.name, str(stored_model.folder), stored_model.evaluation, intervals
            )
        )
    validation = stored[0].validation
    note = (
        f"metrics of the validation text ({validation}), stored at the end of "
        "training; intervals and p-values need " + keyword("text", "TEXT")
    )
    return Comparison(
        task=task.name,
        figure=comparable.main or stored[0].evaluation.main,
        figures=comparable.names,
        refused=comparable.refused,
        validation=validation,
        lines=lines_of(stored[0].evaluation),
        block_lines=1,
        models=tuple(compared),
        differences=tuple(_differences(stored, comparable.names)),
        notes=(note,),
    )


def _differences(models: Sequence[StoredModel], metrics: Sequence[str]) -> Iterator[Difference]:
    """Yield by how much the metrics of each two models differ, without intervals."""
    for first, second in itertools.combinations(models, 2):
        for ours in first.evaluation.brief:
            theirs = second.evaluation.metric(ours.name, ours.column)
            if ours.name not in metrics or ours.value is None:
                continue
            if theirs is not None and theirs.value is not None:
                yield Difference(
                    first=first.name,
                    second=second.name,
                    metric=ours.name,
                    column=ours.column,
                    unit=ours.unit,
                    difference=theirs.value - ours.value,
                )


def _stored(model: loading.ScoringModel, name: str) -> StoredModel:
    """Return a model's stored metrics, without loading its weights."""
    # Only a saved model that does not adapt has stored metrics.
    saved = loading.name_if_saved(model)
    what = f"{name} has no stored metrics of a validation text"
    if saved is None:
        raise ComparisonError(what, "it is not saved", ON_A_TEXT)
    _, adaptation = loading.without_adaptation(saved)
    if adaptation is not None:
        raise ComparisonError(what, "it adapts to what it reads", ON_A_TEXT)

    folder = loading.find(saved)
    manifest = read_manifest(folder)
    try:
        evaluation = stored_evaluations(manifest).get(VALID)
    except (AttributeError, KeyError, TypeError, ValueError):
        why = "the results in its config.json have an unknown form"
        raise ModelError(f"the description of {name} is damaged", why, ON_A_TEXT) from None
    if evaluation is None:
        why = "it was made without one"
        if manifest.is_unfinished:
            why = "its training run has not finished"
        elif manifest.results:
            why = f"it only has metrics of {', '.join(manifest.results)}"
        raise ComparisonError(what, why, ON_A_TEXT)

    # Models of the same validation text are comparable, so its description goes along.
    validation = str(manifest.training.get("validation", VALID))
    return StoredModel(name, folder, evaluation, loading.load_codec(folder), validation)


def _check_measured_alike(models: Sequence[StoredModel]) -> None:
    """Refuse metrics of different lines, or of lines that were read in different ways."""
    parts = [signature_parts(model.evaluation.signature.split("|")) for model in models]
    for part in HOW_MEASURED:
        values = [model_parts.get(part, "-") for model_parts in parts]
        if len(set(values)) > 1:
            named = zip(values, models, strict=True)
            raise ComparisonError(
                "the stored metrics of these models cannot be compared: their signatures differ "
                f"in {part}",
                ", ".join(f"{part}:{value} for {model.name}" for value, model in named),
                ON_A_TEXT,
            )
