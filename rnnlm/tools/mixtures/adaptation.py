"""Make a model that adapts to the text it reads: another model, with settings given, tuned, or by
default."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rnnlm.amounts import plural
from rnnlm.checks import check_class
from rnnlm.config import SettingsLayer, from_stored, resolve
from rnnlm.errors import ModelError, UsageError, nearest, notice
from rnnlm.interface import LanguageModel
from rnnlm.lm.base import loading
from rnnlm.storage.manifest import PART_ADAPTATIONS
from rnnlm.tools.mixtures.adapted_model import (
    KINDS,
    AdaptationSettings,
    AdaptedModel,
    DynamicSettings,
    NeuralCacheSettings,
    TunedSettings,
    UnigramCacheSettings,
    describe,
    read_tuned,
    with_hidden_states,
)

if TYPE_CHECKING:
    from torch import Tensor


def adapt(
    model: LanguageModel | str | Path,
    kind: str,
    settings: AdaptationSettings | None = None,
    statistics: "Mapping[str, Tensor] | None" = None,
) -> LanguageModel:
    """Make a model that adapts itself around `model`: "unigram", a cache of words; "cache", the
    neural cache; "dynamic", dynamic evaluation.

    model: a language model, or the name of one, which is then loaded by each call. settings: of the
    class that :data:`rnnlm.tools.mixtures.adapted_model.KINDS` names; None: its defaults.
    statistics: for the rule rms of "dynamic", the result of
    :func:`rnnlm.tools.mixtures.dynamic_evaluation.gather_statistics`.

    `rnnlm.load("NAME+KIND")` reads the settings that `rnnlm tune` has found for a model; this
    function does not.

    Raises:
        UsageError: the kind is unknown or not available for this model, or statistics are missing.
        ModelError: the model does not exist.
        ArgumentTypeError: the settings are of another class.
    """
    settings = settings or settings_class(kind)()
    check_class(settings, settings_class(kind), "adapt: settings")
    model = loading.language_model_of(model)
    if isinstance(settings, UnigramCacheSettings):
        from rnnlm.tools.mixtures.unigram_cache import UnigramCache

        return UnigramCache(model, settings)
    with_hidden_states(model)
    if isinstance(settings, NeuralCacheSettings):
        from rnnlm.tools.mixtures.neural_cache import NeuralCache

        return NeuralCache(model, settings)
    from rnnlm.tools.mixtures.dynamic_evaluation import DynamicEvaluation

    assert isinstance(settings, DynamicSettings)  # as the kind has no others
    return DynamicEvaluation(model, settings, statistics)


def as_tuned(model: LanguageModel, kind: str, folder: Path) -> LanguageModel:
    """Return the model of a folder adapting itself with the settings tuned for it, else with the
    default ones."""
    if kind != "unigram":
        with_hidden_states(model)
    cls = settings_class(kind)
    tuned = read_tuned(folder, kind)
    tuned_settings = tuned.settings if tuned else {}
    settings = resolve([cls], [SettingsLayer("the model's folder", tuned_settings)]).make(cls)
    result = adapt(model, kind, settings, load_statistics(folder, model, settings))
    _report(describe(kind, settings), tuned, model)
    return result


def load_statistics(
    folder: Path, model: LanguageModel, settings: AdaptationSettings
) -> Mapping[str, Any] | None:
    """Read the gradient statistics in the model's folder, if the settings need any; return None if
    they do not, or there are none."""
    if not settings.needs_statistics:
        return None
    from rnnlm.tools.mixtures import dynamic_evaluation

    return dynamic_evaluation.load_statistics(folder, model)


def settings_class(kind: str) -> type[AdaptationSettings]:
    """Return the class of the settings of a kind of adaptation."""
    check_class(kind, str, "the kind of adaptation")
    if kind not in KINDS:
        raise UsageError(f"unknown kind of adaptation {kind!r}", hint=nearest(kind, KINDS))
    return KINDS[kind]


def _report(description: str, tuned: TunedSettings | None, model: LanguageModel) -> None:
    """Give notice of settings that were not tuned on this very model."""
    if tuned is None:
        notice(f"{description}: default settings; rnnlm tune finds better ones for this model")
    elif tuned.model != model.fingerprint:
        notice(
            f"{description}: its settings were tuned before the model was retrained; run "
            "rnnlm tune --overwrite"
        )


# ---- The parts of a mixture that adapt themselves to the text they read: how its config.json keeps
# that, and how they are made again.
#
# Settings are kept as they were when the models were mixed: if `rnnlm tune` finds others for a part
# later, the mixture does not change.


@dataclass(frozen=True)
class PartAdaptation:
    """The adaptation of a part of a mixture. also: the digests of data that its results depend
    on."""

    kind: str
    settings: dict[str, Any]
    also: dict[str, str]


def stored_settings(parts: Sequence[LanguageModel]) -> dict[str, Any]:
    """Return the settings of a mixture that say how its parts adapt; none if none does."""
    adaptations = [
        PartAdaptation(part.kind, asdict(part.settings), part.digests)
        if isinstance(part, AdaptedModel)
        else None
        for part in parts
    ]
    return {PART_ADAPTATIONS: msgspec.to_builtins(adaptations)} if any(adaptations) else {}


def adapt_parts(parts: Sequence[LanguageModel], settings: Mapping[str, Any]) -> list[LanguageModel]:
    """Make the parts of a mixture, which were loaded from their folders, adapt themselves as these
    settings of the mixture say."""
    if PART_ADAPTATIONS not in settings:
        return list(parts)
    # The settings come from a file, and may be anything.
    try:
        adaptations = msgspec.convert(settings[PART_ADAPTATIONS], list[PartAdaptation | None])
    except msgspec.ValidationError as error:
        raise ModelError(
            "the stored settings are damaged", f"{PART_ADAPTATIONS}: {error}"
        ) from None
    if len(adaptations) != len(parts):
        raise ModelError(
            "the stored settings are damaged",
            f"{PART_ADAPTATIONS} has {plural(len(adaptations), 'entry', 'entries')} for "
            f"{plural(len(parts), 'model')}",
        )
    return [
        _adapt_part(part, adaptation) if adaptation else part
        for part, adaptation in zip(parts, adaptations, strict=True)
    ]


def _adapt_part(part: LanguageModel, adaptation: PartAdaptation) -> LanguageModel:
    """Make one part adapt itself, with the very statistics that it was mixed with."""
    settings = from_stored(settings_class(adaptation.kind), adaptation.settings)
    folder = loading.find(part)
    model = adapt(part, adaptation.kind, settings, load_statistics(folder, part, settings))
    assert isinstance(model, AdaptedModel)
    if model.digests != adaptation.also:
        raise ModelError(
            f"the gradient statistics in {folder} have changed since the mixture was made",
            "they were collected again",
            "mix the models again",
        )
    return model
