"""The activations of each kind of layer: which function made which values, how steep it was there, and how near to its ends.

A derivative follows from the value alone, y = f(a), so that nothing has to be computed again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm.neural.layers.jordan import JordanLayer
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.qrnn import QuasiRecurrentLayer
from rnnlm.neural.layers.stack import ElmanLayer, GruLayer, LstmLayer, MogrifierLayer

HIDDEN, CELL = "hidden state", "tanh of the cell"  # values that are no gates
TENTH = 0.1  # of the range of values, at either end: a logistic gate below 0.1 or above 0.9 (Karpathy et al. 2015, section 4.2)
LEAK = 0.01  # the slope of leaky_relu below 0


@dataclass(frozen=True)
class Activation:
    """derivative: f'(a) by y = f(a). lowest, highest: the ends of its range; None where it has no such end."""

    name: str
    derivative: Callable[[np.ndarray], np.ndarray]
    lowest: float | None = None
    highest: float | None = None

    def saturation(self, y: np.ndarray) -> tuple[float, float] | None:
        """The shares of values in the lowest and in the highest tenth of the range; None where that has no end."""
        if self.lowest is None or self.highest is None:
            return None
        edge = TENTH * (self.highest - self.lowest)
        return float((y < self.lowest + edge).mean()), float((y > self.highest - edge).mean())


SIGMOID = Activation("sigmoid", lambda y: y * (1 - y), 0.0, 1.0)
DOUBLED = Activation("2 sigmoid", lambda y: y * (2 - y) / 2, 0.0, 2.0)
TANH = Activation("tanh", lambda y: 1 - y * y, -1.0, 1.0)
BY_NAME = {
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": Activation("relu", lambda y: np.where(y > 0, 1.0, 0.0)),
    "elu": Activation("elu", lambda y: np.where(y > 0, 1.0, y + 1)),
    "leaky_relu": Activation("leaky_relu", lambda y: np.where(y > 0, 1.0, LEAK)),
}


def activations_of(layer: Layer) -> dict[str, Activation]:
    """The activations of a layer by the names of their values: gates as in :class:`rnnlm.neural.layers.steps.Step`, "hidden state"
    of layers without gates, "tanh of the cell" of an LSTM. An input gate that is 1 - forget has none of its own."""
    if isinstance(layer, ElmanLayer | JordanLayer):
        return {HIDDEN: BY_NAME[layer.activation]}
    if isinstance(layer, GruLayer):
        return {"reset": SIGMOID, "update": SIGMOID, "candidate": TANH}
    gates = {"input": SIGMOID, "forget": SIGMOID, "candidate": TANH, "output": SIGMOID}
    if isinstance(layer, QuasiRecurrentLayer):
        missing = {"f": ("input", "output"), "fo": ("input",), "ifo": ()}[layer.pooling]
        return {name: activation for name, activation in gates.items() if name not in missing}
    assert isinstance(layer, LstmLayer)
    rounds = range(1, layer.rounds + 1) if isinstance(layer, MogrifierLayer) else ()
    if layer.coupled:
        del gates["input"]
    return {f"round {number}": DOUBLED for number in rounds} | gates | {CELL: TANH}
