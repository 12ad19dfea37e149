"""Networks as kinds of models: their cells, and what inspections can see in them."""

from typing import Any

from rnnlm.config import ResolvedSettings
from rnnlm.lm.neural.cells import OF_STATES
from rnnlm.registry import LANGUAGE_MODEL, Kind, RunFacts, imported


class Network(Kind):
    """A network that is a language model."""

    family = "neural"
    trains_in_steps = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.neural.settings import kinds, parts_of
        from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings

        return (kinds()[self.name], *parts_of(self.name), FittingSettings, RunSettings)

    def check(self, resolved: ResolvedSettings, has_valid: bool) -> None:
        from rnnlm.lm.neural.training.settings import check

        check(resolved, has_valid, has_text=self.task == LANGUAGE_MODEL)

    fit = imported(__package__, "training.fitting:fit")

    def choose(
        self, resolved: ResolvedSettings, data: Any, run: RunFacts
    ) -> tuple[ResolvedSettings, Any]:
        from rnnlm.lm.neural.training.choosing import choose

        return choose(self, resolved, data, run)

    array_shapes = imported(__package__, "shapes:array_shapes")
    from_arrays = imported(__package__, "trained_network:from_arrays")


# What commands and inspections may ask of models (`Kind.has`).
OF_NETWORKS = frozenset({"layers"})
OF_PROBABILITIES = frozenset({"text"})
OF_LANGUAGE_MODELS = OF_NETWORKS | OF_PROBABILITIES | {"word layers"}


WITHOUT_CELLS = [
    Network("ffnn", "feed-forward network over a window of words", OF_LANGUAGE_MODELS),
    Network(
        "jordan", "recurrent network that reads its own last output", OF_LANGUAGE_MODELS | OF_STATES
    ),
]
