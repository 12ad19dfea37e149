"""Networks as kinds of models: their cells, and what inspections can see in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnlm import satellites
from rnnlm.config import ResolvedSettings
from rnnlm.registry import LANGUAGE_MODEL, Kind, RunFacts, imported
from rnnlm.satellites import on_use


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
OF_STATES = frozenset({"states", "state matrices"})
OF_PROBABILITIES = frozenset({"text"})
OF_LANGUAGE_MODELS = OF_NETWORKS | OF_PROBABILITIES | {"word layers"}


@dataclass(frozen=True)
class CellKind:
    """A cell of recurrent layers, of which each task makes kinds of models.

    Attributes:
        name: Its name, and that of its models.
        about: Description, in a few words.
        load: Function that returns the class of its settings, which derives from
            :class:`rnnlm.lm.neural.settings.Cell`.
        has: What inspections may ask of its models (`Kind.has`).
        layer: Function that returns what makes a layer of these settings, of a number of inputs
            and of units, and of the share of recurrent weights to drop. By default, a layer takes
            the steps of the settings.
    """

    name: str
    about: str
    load: Callable[[], Any]
    has: frozenset[str] = OF_STATES - {"state matrices"}
    layer: Callable[[], Any] = on_use(__package__, "layers.layers:SteppedLayer")


CELLS = [
    CellKind(
        "rnn", "Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)",
        on_use(__package__, "settings:ElmanCell"), OF_STATES,
        on_use(__package__, "layers.layers:ElmanLayer"),
    ),
    CellKind(
        "gru", "gated recurrent unit",
        on_use(__package__, "settings:GruCell"), OF_STATES,
        on_use(__package__, "layers.layers:GruLayer"),
    ),
    CellKind(
        "lstm", "long short-term memory",
        on_use(__package__, "settings:LstmCell"), OF_STATES,
        on_use(__package__, "layers.layers:lstm_layer"),
    ),
    # No matrix maps its state to its state, so there are no eigenvalues.
    CellKind(
        "qrnn", "quasi-recurrent network: convolutions, pooled over time",
        on_use(__package__, "settings:QrnnCell"), OF_STATES - {"state matrices"},
        on_use(__package__, "layers.layers:QuasiRecurrentLayer"),
    ),
]  # fmt: skip


def cells(name: str = "") -> dict[str, CellKind]:
    """Return the cells by name, ours first. For a `name` that is not ours, packages of others are
    looked for."""
    return satellites.by_name("cells", name)


WITHOUT_CELLS = [
    Network("ffnn", "feed-forward network over a window of words", OF_LANGUAGE_MODELS),
    Network(
        "jordan", "recurrent network that reads its own last output", OF_LANGUAGE_MODELS | OF_STATES
    ),
]
