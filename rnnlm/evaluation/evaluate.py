"""Evaluate and compare any models: language models by perplexity, others by the metrics of their
task."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from rnnlm import registry
from rnnlm.checks import check_no_dataset, several
from rnnlm.config import names_of
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation.comparison.pairing import Comparison
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.stored import compare_stored
from rnnlm.evaluation.metrics import Evaluation, with_intervals
from rnnlm.interface import Device, LanguageModel, Task
from rnnlm.lm.base import loading
from rnnlm.text.corpus import Given
from rnnlm.text.lines import Progress, TextSettings

if TYPE_CHECKING:
    from rnnlm.model_methods import EvaluationKeywords


def evaluate(
    model: registry.LabelModel | LanguageModel | str | Path,
    text: Given | None = None,
    *,
    intervals: bool = False,
    **options: object,
) -> Evaluation:
    """Evaluate a model, itself or by its name; :meth:`rnnlm.Model.evaluate` says which keywords
    each task has."""
    check_no_dataset(text, "text")
    task = registry.task(loading.task_of(model))
    evaluation = task.evaluate(model, text, _options(task, _given(options)))
    return with_intervals(evaluation, evaluation.brief) if intervals else evaluation


def compare(
    models: Sequence[registry.LabelModel | LanguageModel | str | Path],
    text: Given | None = None,
    *,
    settings: ComparisonSettings = ComparisonSettings(),
    names: Sequence[str] | None = None,
    device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    train: Given | None = None,
    progress: Progress | None = None,
    reading: Mapping[str, object] | None = None,
    **options: "Unpack[EvaluationKeywords]",
) -> Comparison:
    """Compare models of one task on one text.

    Without a text, compare the validation metrics stored in training; differences then have no
    intervals and p-values, and there are no options.

    Args:
        models: At least two models, or their names or folders.
        text: Paths, or texts that are already open. None: compare stored metrics.
        settings: Number of permutations and seed, and settings for language models.
        names: Names of the models in the result. None: their own.
        device: Where networks compute: "cpu", "cuda" and so on, or "auto" for the best available
            device.
        text_settings: For language models, how to read lines. None: the defaults.
        train: For language models, a training text to look up n-grams in, and to count words in if
            the models have no counts.
        progress: Callback for the progress of reading and scoring. None: of language
            models, now and then on standard error.
        reading: Settings that differ from the settings of the training data, as for
            :meth:`rnnlm.Model.evaluate`.
        **options: Further keywords of the task, as for :meth:`rnnlm.Model.evaluate`.

    Returns:
        The metrics of each model, and the differences of all pairs.

    Raises:
        ComparisonError: The models are for different tasks, or none of their metrics are
            comparable.
        UsageError: An option does not apply to the models.
        TextError: A text cannot be read or is empty.
        ModelError: A model is missing or damaged.
        DeviceError: The device is not available.
    """
    models = several(models, "models")
    check_no_dataset(text, "text")
    # Models of different tasks are refused where they are compared.
    tasks = [registry.LANGUAGE_MODEL, *map(loading.task_of, models)]
    task = registry.task(tasks[-1])
    given = _given({
        "text_settings": text_settings, "train": train, "progress": progress, "reading": reading,
        **options,
    })  # fmt: skip
    task_options = _options(task, given)
    _check_settings(task, settings)
    if text is None:
        if given or settings != ComparisonSettings():
            what = ", ".join(given) or "settings"
            raise UsageError(
                f"{what} needs a text: without one, stored metrics are compared", hint="name a text"
            )
        return compare_stored(models, names)
    return task.compare(models, text, task_options, settings, names, device)


def _given(keywords: Mapping[str, object]) -> dict[str, object]:
    """Return the keywords that ask for something."""
    return {name: value for name, value in keywords.items() if value not in (None, (), [], {})}


def _options(task: Task, given: Mapping[str, object]) -> object:
    """Return the options of a task, with the keywords that were given; refuse those that models of
    other tasks take."""
    names = {task.singular: names_of([task.options]) for task in registry.all_tasks()}
    refused = [name for name in given if name not in names[task.singular]]
    if refused:
        takers = [
            singular for singular, option_names in names.items() if refused[0] in option_names
        ]
        if not takers:
            raise UsageError(
                f"{refused[0]}= is no option of {task.singular}",
                hint=nearest(refused[0], names[task.singular]),
            )
        others = ", ".join(f"{name}=" for name in refused)
        raise UsageError(
            f"{refused[0]}= needs {' or '.join(takers)}",
            f"this is {task.singular}",
            f"leave out {others}",
        )
    return task.options(**given)


def _check_settings(task: Task, settings: ComparisonSettings) -> None:
    """Refuse settings of comparisons that have no effect on those of a task."""
    others = [setting for setting in fields(settings) if setting.name not in task.compares_by]
    without_effect = [
        other.name for other in others if getattr(settings, other.name) != other.default
    ]
    if without_effect:
        raise UsageError(
            f"{', '.join(without_effect)}: settings for comparing language models only",
            f"this is {task.singular}",
            f"set {' and '.join(sorted(task.compares_by))} alone",
        )
