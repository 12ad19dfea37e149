"""What the core has, in the form in which satellites say what they add."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.satellites import Satellite, add_core

if TYPE_CHECKING:
    from rnnlm.interface import Task
    from rnnlm.registry import Kind


def _language_modelling() -> "Task":
    from rnnlm.training.language_model import TASK

    return TASK


def _kinds() -> "Sequence[Kind]":
    from rnnlm.lm.kinds import KINDS

    return KINDS


def _adapted(model: Any, kind: str, folder: Path) -> Any:
    from rnnlm.lm.mixtures.adaptation import as_tuned

    return as_tuned(model, kind, folder)


add_core(
    Satellite(
        "rnnlm",
        tasks={"language-model": _language_modelling},
        kinds=_kinds,
        adaptations=dict.fromkeys(("dynamic", "cache", "unigram"), _adapted),
    )
)
