"""Any model evaluated and compared: by perplexity if it is a language model, by the figures of labels if it is of another task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from rnnlm.errors import UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison import comparison
from rnnlm.evaluation.comparison.comparison import Comparison, ComparisonSettings
from rnnlm.evaluation.labels.spans import Mode
from rnnlm.evaluation.perplexity import Context, Evaluation
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading, registry
from rnnlm.models.uses import LabelModel
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import Progress, TextSettings, silent

if TYPE_CHECKING:
    from rnnlm.tasks.evaluation.comparison import TaskComparison
    from rnnlm.tasks.evaluation.figures import TaskEvaluation

Several = str | Path | Sequence[str | Path] | Text | LabelledText
Trained = str | Path | Sequence[str | Path] | Text | None
Given = str | Path | Sequence[str | Path] | Text | EncodedText | LabelledText | None


@overload
def evaluate(
    model: LanguageModel, text: Given = None, *, context: Context = "carry", text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> Evaluation: ...  # fmt: skip


@overload
def evaluate(
    model: LabelModel, text: Given = None, *, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
) -> "TaskEvaluation": ...  # fmt: skip


@overload
def evaluate(
    model: str | Path, text: Given = None, *, context: Context = "carry", text_settings: TextSettings | None = None,
    progress: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval", reading: Mapping[str, Any] | None = None,
) -> Any: ...  # fmt: skip


def evaluate(
    model: LabelModel | LanguageModel | str | Path, text: Given = None, *, context: Context = "carry",
    text_settings: TextSettings | None = None, progress: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
) -> "Evaluation | TaskEvaluation":  # fmt: skip
    """Evaluate a model, itself or by its name, on a text or several, given as paths or opened: a language model as
    :func:`rnnlm.evaluation.perplexity.evaluate` does, with `context`, `text_settings` and `progress`; a model of another task on labelled
    data, with what comes after these.

    labels: for each file one with its labels, where these are in files of their own. mode: how spans are counted, "conlleval" or "strict".
    reading: settings of :class:`~rnnlm.text.labelled.settings.LabelledSettings` that are to differ from the training data's.

    Raises:
        UsageError: what is given does not go with the model. TextError: a text cannot be read or is empty. ModelError: there is no such
            model, or it is damaged.
    """
    if loading.task_of(model) != registry.LANGUAGE_MODEL:
        if context != "carry" or text_settings is not None:
            raise UsageError("context and text_settings are of language models", hint="reading= says how labelled data are read")
        return registry.task_function("evaluation.evaluation:evaluate")(model, text, labels=labels, mode=mode, reading=reading)
    if labels or reading or mode != "conlleval":
        raise UsageError("labels, mode and reading are of models of labels", "this is a language model")
    return perplexity.evaluate(cast(Any, model), cast(Any, text), context=context, text_settings=text_settings, progress=progress)


@overload
def compare(
    models: Sequence[LanguageModel], text: Several, *, train: Trained = None, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto", text_settings: TextSettings | None = None, report: Progress = silent,
) -> Comparison: ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel], text: Several, *, settings: ComparisonSettings = ..., names: Sequence[str] | None = None,
    device: str | Device = "auto", labels: Sequence[str | Path] = (), mode: Mode = "conlleval", reading: Mapping[str, Any] | None = None,
) -> "TaskComparison": ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *, train: Trained = None, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto", text_settings: TextSettings | None = None,
    report: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval", reading: Mapping[str, Any] | None = None,
) -> Any: ...  # fmt: skip


def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *, train: Trained = None,
    settings: ComparisonSettings = ComparisonSettings(), names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Compare models, themselves or by their names, on one text: language models as
    :func:`rnnlm.evaluation.comparison.comparison.compare` does; models of another task on labelled data, read as for :func:`evaluate`. Of
    `settings` these use `resamples` and `seed`.

    Raises:
        ComparisonError: the models are of different tasks, or nothing of them compares. UsageError: what is given does not go with the
            models. TextError: a text cannot be read or is empty. ModelError: a model is missing or damaged. DeviceError.
    """
    tasks = [loading.task_of(model) for model in models]
    if set(tasks) <= {registry.LANGUAGE_MODEL}:
        if labels or reading or mode != "conlleval":
            raise UsageError("labels, mode and reading are of models of labels", "these are language models")
        own = {"train": train, "settings": settings, "names": names, "device": device, "text_settings": text_settings, "report": report}
        return comparison.compare(cast(Any, models), cast(Any, text), **cast(Any, own))
    if train is not None or text_settings is not None:
        raise UsageError("train and text_settings are of language models", hint="reading= says how labelled data are read")
    more = {"names": names, "labels": labels, "mode": mode, "reading": reading, "device": device}
    return registry.task_function("evaluation.comparison:compare")(models, text, resamples=settings.resamples, seed=settings.seed, **more)
