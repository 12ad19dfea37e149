"""Any model evaluated and compared: by perplexity if it is a language model, else by the figures of
its task."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from rnnlm.checks import several
from rnnlm.errors import UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison import comparison
from rnnlm.evaluation.comparison.comparison import Comparison
from rnnlm.evaluation.comparison.pairing import ModelComparison
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.label_evaluation import LabelEvaluation
from rnnlm.evaluation.labels import Mode
from rnnlm.evaluation.metrics import Evaluation
from rnnlm.evaluation.pair_evaluation import PairEvaluation
from rnnlm.evaluation.perplexity import Context, TextEvaluation
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading, registry
from rnnlm.models.registry import LabelModel
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import Progress, TextSettings
from rnnlm.text.pairs import ParallelText

if TYPE_CHECKING:
    from rnnlm.tasks.labels.comparison import LabelComparison
    from rnnlm.tasks.seq2seq.comparison import PairComparison
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

Several = str | Path | Sequence[str | Path] | Text | LabelledText | ParallelText
Trained = str | Path | Sequence[str | Path] | Text | None
Given = str | Path | Sequence[str | Path] | Text | EncodedText | LabelledText | ParallelText | None
# Keywords that make sense for some tasks only, with the models that take them.
_LANGUAGE_MODEL, _LABELLER, _ENCODER_DECODER = (
    "a language model",
    "a tagger or classifier",
    "an encoder-decoder",
)
_TAKEN_BY = {
    **dict.fromkeys(
        ("context", "text_settings", "progress", "train", "report"), (_LANGUAGE_MODEL,)
    ),
    **dict.fromkeys(("labels", "mode"), (_LABELLER,)),
    **dict.fromkeys(("target", "decode", "decoding"), (_ENCODER_DECODER,)),
    "reading": (_LABELLER, _ENCODER_DECODER),
}
_OF_TASK = {registry.LANGUAGE_MODEL: _LANGUAGE_MODEL, registry.SEQ2SEQ: _ENCODER_DECODER}


@overload
def evaluate(
    model: LanguageModel, text: Given = None, *, context: Context | None = None,
    text_settings: TextSettings | None = None,
    progress: Progress | None = None,
) -> TextEvaluation: ...  # fmt: skip


@overload
# seen or not, by the order of imports
def evaluate(  # type: ignore[overload-overlap, unused-ignore]
    model: "Seq2SeqModel", text: Given = None, *, target: Sequence[str | Path] = (),
    decode: bool | None = None,
    decoding: "DecodingSettings | None" = None, reading: Mapping[str, Any] | None = None,
) -> PairEvaluation: ...  # fmt: skip


@overload
def evaluate(
    model: LabelModel, text: Given = None, *, labels: Sequence[str | Path] = (),
    mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None,
) -> LabelEvaluation: ...  # fmt: skip


@overload
def evaluate(
    model: str | Path, text: Given = None, *, context: Context | None = None,
    text_settings: TextSettings | None = None,
    progress: Progress | None = None, labels: Sequence[str | Path] = (), mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None,
    target: Sequence[str | Path] = (), decode: bool | None = None,
    decoding: "DecodingSettings | None" = None,
) -> Any: ...  # fmt: skip


def evaluate(
    model: LabelModel | LanguageModel | str | Path, text: Given = None, *,
    context: Context | None = None,
    text_settings: TextSettings | None = None, progress: Progress | None = None,
    labels: Sequence[str | Path] = (), mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None, target: Sequence[str | Path] = (),
    decode: bool | None = None,
    decoding: Any = None,
) -> Evaluation:  # fmt: skip
    """Evaluate a model, itself or by its name, on a text or several, given as paths or opened: a
    language model as :func:`rnnlm.evaluation.perplexity.evaluate` does, with `context`,
    `text_settings` and `progress`; a model of labels on labelled data, with `labels`, `mode` and
    `reading`; an encoder-decoder on pairs, with `target`, `decode`, `decoding` and `reading`.

    None is the usual value: context "carry", mode "conlleval", decode True.

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
    task, its = loading.task_of(model), cast(Any, model)
    own = _applicable(
        task,
        context=context,
        text_settings=text_settings,
        progress=progress,
        labels=labels,
        mode=mode,
        reading=reading,
        target=target,
        decode=decode,
        decoding=decoding,
    )
    if task == registry.LANGUAGE_MODEL:
        return perplexity.evaluate(its, cast(Any, text), **own)
    # Both import torch, which evaluating an n-gram model does without.
    if task == registry.SEQ2SEQ:
        from rnnlm.tasks.seq2seq import evaluation as pairs

        return pairs.evaluate(its, cast(Any, text), **own)
    from rnnlm.tasks.labels import evaluation as labelled

    return labelled.evaluate(its, cast(Any, text), **own)


def _applicable(task: str, **keywords: Any) -> dict[str, Any]:
    """Return the keywords that were given.

    Raises:
        UsageError: models of the task do not take one of them.
    """
    given = {name: its for name, its in keywords.items() if its not in (None, (), [], {})}
    mine = _OF_TASK.get(task, _LABELLER)
    refused = [name for name in given if mine not in _TAKEN_BY[name]]
    if refused:
        what = f"{refused[0]}= needs {' or '.join(_TAKEN_BY[refused[0]])}"
        others = ", ".join(f"{name}=" for name in refused)
        raise UsageError(what, f"this is {registry.WHAT[task]}", f"leave out {others}")
    return given


@overload
def compare(
    models: Sequence[LanguageModel], text: Several, *, train: Trained = None,
    settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress | None = None,
) -> Comparison: ...  # fmt: skip


@overload
def compare(  # type: ignore[overload-overlap, unused-ignore]
    models: "Sequence[Seq2SeqModel]", text: Several, *, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None,
    device: str | Device = "auto", target: Sequence[str | Path] = (), decode: bool | None = None,
    decoding: "DecodingSettings | None" = None,
    reading: Mapping[str, Any] | None = None,
) -> "PairComparison": ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel], text: Several, *, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None,
    device: str | Device = "auto", labels: Sequence[str | Path] = (), mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None,
) -> "LabelComparison": ...  # fmt: skip


@overload
def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *,
    train: Trained = None, settings: ComparisonSettings = ...,
    names: Sequence[str] | None = None, device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    report: Progress | None = None, labels: Sequence[str | Path] = (), mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None,
    target: Sequence[str | Path] = (), decode: bool | None = None,
    decoding: "DecodingSettings | None" = None,
) -> Any: ...  # fmt: skip


def compare(
    models: Sequence[LabelModel | LanguageModel | str | Path], text: Several, *,
    train: Trained = None,
    settings: ComparisonSettings = ComparisonSettings(), names: Sequence[str] | None = None,
    device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress | None = None,
    labels: Sequence[str | Path] = (), mode: Mode | None = None,
    reading: Mapping[str, Any] | None = None, target: Sequence[str | Path] = (),
    decode: bool | None = None,
    decoding: Any = None,
) -> ModelComparison:  # fmt: skip
    """Compare models, themselves or by their names, on one text: language models as
    :func:`rnnlm.evaluation.comparison.comparison.compare` does; models of another task on data that
    are read as for :func:`evaluate`. Of `settings` these use `resamples` and `seed`.

    Raises:
        ComparisonError: the models are of different tasks, or nothing of them compares. UsageError:
            what is given does not go with the models. TextError: a text cannot be read or is empty.
            ModelError: a model is missing or damaged. DeviceError.
    """
    models = several(models, "models")
    tasks = dict.fromkeys(loading.task_of(model) for model in models)
    task = next(
        (each for each in tasks if each != registry.LANGUAGE_MODEL), registry.LANGUAGE_MODEL
    )
    own = _applicable(
        task,
        train=train,
        text_settings=text_settings,
        report=report,
        labels=labels,
        mode=mode,
        reading=reading,
        target=target,
        decode=decode,
        decoding=decoding,
    )
    own |= {"names": names, "device": device}
    its, data = cast(Any, models), cast(Any, text)
    if task == registry.LANGUAGE_MODEL:
        return comparison.compare(its, data, settings=settings, **own)
    _check_resampling_alone(task, settings)
    own |= {"resamples": settings.resamples, "seed": settings.seed}
    if task == registry.SEQ2SEQ:
        from rnnlm.tasks.seq2seq import comparison as of_pairs

        return of_pairs.compare(its, data, **own)
    from rnnlm.tasks.labels import comparison as of_labels

    return of_labels.compare(its, data, **own)


def _check_resampling_alone(task: str, settings: ComparisonSettings) -> None:
    """Raise a UsageError if settings are changed that comparisons of this task do not have."""
    usual = dataclasses.replace(
        ComparisonSettings(), resamples=settings.resamples, seed=settings.seed
    )
    changed = [
        field.name
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != getattr(usual, field.name)
    ]
    if changed:
        raise UsageError(
            f"{', '.join(changed)}: settings of comparisons of language models",
            f"this is {registry.WHAT[task]}",
            "set resamples and seed alone",
        )
