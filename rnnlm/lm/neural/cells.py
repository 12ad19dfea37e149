"""The cells of recurrent layers, those of packages of others among them: one table, which imports
neither settings nor layers before they are used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnlm import satellites
from rnnlm.satellites import on_use

OF_STATES = frozenset({"states", "state matrices"})  # see `Kind.has`


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
