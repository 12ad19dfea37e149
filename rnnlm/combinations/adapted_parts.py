"""The parts of a mixture that adapt themselves to what they read: how its config.json keeps that, and how they are made again.

Settings are kept as they were when the models were mixed: what `rnnlm tune` finds for a part later does not change the mixture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from rnnlm.combinations.adaptation import adapt, load_statistics, settings_class
from rnnlm.combinations.adapted_model import AdaptedModel
from rnnlm.config import from_stored
from rnnlm.errors import ModelError
from rnnlm.interface import LanguageModel
from rnnlm.models import loading
from rnnlm.models.model_parts import PART_ADAPTATIONS


@dataclass(frozen=True)
class PartAdaptation:
    """How a part adapts itself. also: what its results depend on beside model and settings."""

    kind: str
    settings: dict[str, Any]
    also: dict[str, str]


def stored(parts: Sequence[LanguageModel]) -> dict[str, Any]:
    """The settings of a mixture that say how its parts adapt; none where none does."""
    adaptations = [
        PartAdaptation(part.kind, asdict(part.settings), part.also) if isinstance(part, AdaptedModel) else None for part in parts
    ]
    return {PART_ADAPTATIONS: msgspec.to_builtins(adaptations)} if any(adaptations) else {}


def adapted(parts: Sequence[LanguageModel], settings: Mapping[str, Any]) -> list[LanguageModel]:
    """The parts of a mixture with these settings, which were loaded from their folders, adapting themselves as stored.

    Raises:
        ModelError: the settings are damaged, or a part's gradient statistics are not those that it was mixed with. UsageError: a part
            cannot adapt itself so.
    """
    if PART_ADAPTATIONS not in settings:
        return list(parts)
    try:
        adaptations = msgspec.convert(settings[PART_ADAPTATIONS], list[PartAdaptation | None])
    except msgspec.ValidationError as error:
        raise ModelError("the stored settings are damaged", f"{PART_ADAPTATIONS}: {error}") from None
    if len(adaptations) != len(parts):
        raise ModelError("the stored settings are damaged", f"{PART_ADAPTATIONS} has {len(adaptations)} entries for {len(parts)} models")
    return [_adapted(part, its) if its else part for part, its in zip(parts, adaptations, strict=True)]


def _adapted(part: LanguageModel, its: PartAdaptation) -> LanguageModel:
    settings = from_stored(settings_class(its.kind), its.settings)
    folder = loading.find(part)
    model = adapt(part, its.kind, settings, load_statistics(folder, part, settings))
    assert isinstance(model, AdaptedModel)
    if model.also != its.also:
        hint = "mix the models again"
        raise ModelError(f"the gradient statistics in {folder} are not those that it was mixed with", "they were gathered anew", hint)
    return model
