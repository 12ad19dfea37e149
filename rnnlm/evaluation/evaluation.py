"""Any model evaluated: perplexities of a language model, figures of the labels of other tasks' models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rnnlm.errors import UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.labels.spans import Mode
from rnnlm.evaluation.perplexity import Context, Evaluation
from rnnlm.interface import LanguageModel
from rnnlm.models import loading, registry
from rnnlm.models.uses import LabelModel
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import Progress, TextSettings, silent

if TYPE_CHECKING:
    from rnnlm.tasks.figures import TaskEvaluation

Given = str | Path | Sequence[str | Path] | Text | EncodedText | LabelledText | None


@overload
def evaluate(
    model: LanguageModel, text: Given = None, *, context: Context = "carry", text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> Evaluation: ...  # fmt: skip


@overload
def evaluate(
    model: LabelModel, text: Given = None, *, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    settings: Mapping[str, Any] | None = None,
) -> "TaskEvaluation": ...  # fmt: skip


@overload
def evaluate(
    model: str | Path, text: Given = None, *, context: Context = "carry", text_settings: TextSettings | None = None,
    progress: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval", settings: Mapping[str, Any] | None = None,
) -> Any: ...  # fmt: skip


def evaluate(
    model: LabelModel | LanguageModel | str | Path, text: Given = None, *, context: Context = "carry",
    text_settings: TextSettings | None = None, progress: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    settings: Mapping[str, Any] | None = None,
) -> "Evaluation | TaskEvaluation":  # fmt: skip
    """Evaluate a model, itself or by its name, on a text or several, given as paths or opened: a language model as
    :func:`rnnlm.evaluation.perplexity.evaluate` does, with `context`, `text_settings` and `progress`; a model of another task on labelled
    data, with what comes after these.

    labels: for each file one with its labels, where these are in files of their own. mode: how spans are counted, "conlleval" or "strict".
    settings: those of :class:`~rnnlm.text.labelled.settings.LabelledSettings` that are to differ from those of the training data.

    Raises:
        UsageError: what is given does not go with the model. TextError: a text cannot be read or is empty. ModelError: there is no such
            model, or it is damaged.
    """
    if loading.task_of(model) != registry.LANGUAGE_MODEL:
        if context != "carry" or text_settings is not None:
            raise UsageError("context and text_settings are of language models", hint="settings= says how labelled data are read")
        return registry.task_evaluation("evaluate")(model, text, labels=labels, mode=mode, settings=settings)
    if labels or settings or mode != "conlleval":
        raise UsageError("labels, mode and settings are of models of labels", "this is a language model")
    return perplexity.evaluate(model, text, context=context, text_settings=text_settings, progress=progress)  # type: ignore[arg-type]
