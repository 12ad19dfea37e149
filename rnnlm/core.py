"""What the core has, in the form in which satellites say what they add."""

from pathlib import Path
from typing import Any

from rnnlm.satellites import Satellite, add_core, on_use


def _adapted(model: Any, kind: str, folder: Path) -> Any:
    from rnnlm.lm.mixtures.adaptation import as_tuned

    return as_tuned(model, kind, folder)


add_core(
    Satellite(
        "rnnlm",
        tasks={"language-model": on_use(__package__, "training.language_model:TASK")},
        kinds=on_use(__package__, "lm.kinds:KINDS"),
        adaptations=dict.fromkeys(("dynamic", "cache", "unigram"), _adapted),
    )
)
