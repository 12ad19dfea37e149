"""Any model evaluated and compared: by perplexity if it is a language model, else by the figures of
its task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from rnnlm.errors import UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison import comparison
from rnnlm.evaluation.comparison.comparison import Comparison, ComparisonSettings
from rnnlm.evaluation.labels import Mode
from rnnlm.evaluation.perplexity import Context, Evaluation
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading, registry
from rnnlm.models.registry import LabelModel
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import Progress, TextSettings, silent
from rnnlm.text.pairs import ParallelText

if TYPE_CHECKING:
    from rnnlm.tasks.labels.comparison import TaskComparison
    from rnnlm.tasks.labels.evaluation import TaskEvaluation
    from rnnlm.tasks.seq2seq.comparison import PairComparison
    from rnnlm.tasks.seq2seq.evaluation import PairEvaluation
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel
    from rnnlm.tasks.seq2seq.results import DecodingSettings

Several = str | Path | Sequence[str | Path] | Text | LabelledText | ParallelText
Trained = str | Path | Sequence[str | Path] | Text | None
Given = str | Path | Sequence[str | Path] | Text | EncodedText | LabelledText | ParallelText | None
# what only some models are given
_OF_LABELS, _OF_PAIRS = ("labels", "mode", "reading"), ("target", "decode", "decoding", "reading")
_DEFAULTS = {"context": "carry", "mode": "conlleval", "decode": True}  # where not none, or nothing


@overload
def evaluate(
    model: LanguageModel, text: Given = None, *, context: Context = "carry",
    text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> Evaluation: ...  # fmt: skip


@overload
# seen or not, by the order of imports
def evaluate(  # type: ignore[overload-overlap, unused-ignore]
    model: "Seq2SeqModel", text: Given = None, *, target: Sequence[str | Path] = (),
    decode: bool = True,
    decoding: "DecodingSettings | None" = None, reading: Mapping[str, Any] | None = None,
) -> "PairEvaluation": ...  # fmt: skip


@overload
def evaluate(
    model: LabelModel, text: Given = None, *, labels: Sequence[str | Path] = (),
    mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
) -> "TaskEvaluation": ...  # fmt: skip


@overload
def evaluate(
    model: str | Path, text: Given = None, *, context: Context = "carry",
    text_settings: TextSettings | None = None,
    progress: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
    target: Sequence[str | Path] = (), decode: bool = True,
    decoding: "DecodingSettings | None" = None,
) -> Any: ...  # fmt: skip


def evaluate(
    model: LabelModel | LanguageModel | str | Path, text: Given = None, *,
    context: Context = "carry",
    text_settings: TextSettings | None = None, progress: Progress = silent,
    labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None, target: Sequence[str | Path] = (),
    decode: bool = True,
    decoding: Any = None,
) -> "Evaluation | TaskEvaluation | PairEvaluation":  # fmt: skip
    """Evaluate a model, itself or by its name, on a text or several, given as paths or opened: a
    language model as :func:`rnnlm.evaluation.perplexity.evaluate` does, with `context`,
    `text_settings` and `progress`; a model of labels on labelled data, with `labels`, `mode` and
    `reading`; an encoder-decoder on pairs, with `target`, `decode`, `decoding` and `reading`.

    labels: for each file one with its labels, where these are in files of their own. mode: how
    spans are counted, "conlleval" or "strict". target: for each file one with its targets, where
    these are in files of their own; as many again for each further reference. decode: whether
    sources are decoded; else perplexity is all that is found. decoding: how; None: greedily.
    reading: settings of :class:`~rnnlm.text.labelled.example.LabelledSettings`, or of
        :class:`~rnnlm.text.pairs.ParallelSettings`, that are to differ from the training data's.

    Raises:
        UsageError: what is given does not go with the model. TextError: a text cannot be read or is
            empty. ModelError: there is no such model, or it is damaged.
    """
    task = loading.task_of(model)
    of_tasks = {
        "labels": labels,
        "mode": mode,
        "reading": reading,
        "target": target,
        "decode": decode,
        "decoding": decoding,
    }
    own = _own(task, {"context": context, "text_settings": text_settings}, of_tasks)
    if task != registry.LANGUAGE_MODEL:
        return registry.task_function(task, "evaluation:evaluate")(model, text, **own)
    return perplexity.evaluate(cast(Any, model), cast(Any, text), progress=progress, **own)


def _own(
    task: str, of_language_models: Mapping[str, Any], of_tasks: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the arguments that the functions of a task take.

    Raises:
        UsageError: another one is given.
    """
    given = {**of_language_models, **of_tasks}
    groups = {
        "language models": tuple(of_language_models),
        "models of labels": _OF_LABELS,
        "encoder-decoders": _OF_PAIRS,
    }
    own = groups[
        {registry.LANGUAGE_MODEL: "language models", registry.SEQ2SEQ: "encoder-decoders"}.get(
            task, "models of labels"
        )
    ]
    for of, group in groups.items():
        others = [name for name in group if name not in own]
        if any(given[name] not in (_DEFAULTS.get(name), (), [], {}) for name in others):
            hint = "" if task == registry.LANGUAGE_MODEL else "reading= says how its data are read"
            raise UsageError(
                f"{', '.join(others[:-1])} and {others[-1]} are of {of}",
                f"this is {registry.WHAT[task]}",
                hint,
            )
    return {name: given[name] for name in own}


@overload
def compare(
    models: Sequence[LanguageModel], text: Several, *, train: Trained = None,
    settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress = silent,
) -> Comparison: ...  # fmt: skip


@overload
def compare(  # type: ignore[overload-overlap, unused-ignore]
    models: "Sequence[Seq2SeqModel]", text: Several, *, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None,
    device: str | Device = "auto", target: Sequence[str | Path] = (), decode: bool = True,
    decoding: "DecodingSettings | None" = None,
    reading: Mapping[str, Any] | None = None,
) -> "PairComparison": ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel], text: Several, *, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None,
    device: str | Device = "auto", labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
) -> "TaskComparison": ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *,
    train: Trained = None, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    report: Progress = silent, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None,
    target: Sequence[str | Path] = (), decode: bool = True,
    decoding: "DecodingSettings | None" = None,
) -> Any: ...  # fmt: skip


def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *,
    train: Trained = None,
    settings: ComparisonSettings = ComparisonSettings(), names: Sequence[str] | None = None,
    device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress = silent,
    labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None, target: Sequence[str | Path] = (),
    decode: bool = True,
    decoding: Any = None,
) -> Any:  # fmt: skip
    """Compare models, themselves or by their names, on one text: language models as
    :func:`rnnlm.evaluation.comparison.comparison.compare` does; models of another task on data that
    are read as for :func:`evaluate`. Of `settings` these use `resamples` and `seed`.

    Raises:
        ComparisonError: the models are of different tasks, or nothing of them compares. UsageError:
            what is given does not go with the models. TextError: a text cannot be read or is empty.
            ModelError: a model is missing or damaged. DeviceError.
    """
    tasks = dict.fromkeys(loading.task_of(model) for model in models)
    task = next(
        (each for each in tasks if each != registry.LANGUAGE_MODEL), registry.LANGUAGE_MODEL
    )
    of_tasks = {
        "labels": labels,
        "mode": mode,
        "reading": reading,
        "target": target,
        "decode": decode,
        "decoding": decoding,
    }
    own = _own(task, {"train": train, "text_settings": text_settings}, of_tasks) | {
        "names": names,
        "device": device,
    }
    if task == registry.LANGUAGE_MODEL:
        return comparison.compare(
            cast(Any, models), cast(Any, text), settings=settings, report=report, **own
        )
    trials = {"resamples": settings.resamples, "seed": settings.seed}
    return registry.task_function(task, "comparison:compare")(models, text, **trials, **own)
