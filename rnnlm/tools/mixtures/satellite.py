"""What models made of other language models add to rnnlm: mixtures, and those that adapt."""

from pathlib import Path
from typing import Any

from rnnlm.satellites import Command, Satellite, all_on_use, on_use


def _adapted(model: Any, kind: str, folder: Path) -> Any:
    from rnnlm.tools.mixtures.adaptation import as_tuned

    return as_tuned(model, kind, folder)


def _check(folder: Path) -> list[str]:
    from rnnlm.tools.mixtures.adapted_model import check

    return check(folder)


SATELLITE = Satellite(
    "tools/mixtures",
    commands={
        "mix": Command(
            "More",
            "combine models",
            on_use(__package__, "mix_command:command"),
            after="prune",
            takes=("language-model",),
        ),
        "tune": Command(
            "More",
            "adaptation",
            on_use(__package__, "tune_command:command"),
            after="mix",
            takes=("language-model",),
        ),
    },
    kinds=all_on_use(__package__, "kinds:MIXTURE"),
    adaptations=dict.fromkeys(("dynamic", "cache", "unigram"), _adapted),
    companions={"adaptation": _check},
    methods=all_on_use(__package__, "methods:AdaptationMethods"),
    names=all_on_use("rnnlm.tools", "mixtures"),
)
