"""The activations of each kind of layer: which function made which values, how steep it was there, and where it is saturated.

A derivative follows from the value alone, y = f(a), so that nothing has to be computed again. Values are arrays of numpy or torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnlm.neural.layers.feedforward import WordWindow
from rnnlm.neural.layers.jordan import JordanLayer
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.qrnn import QuasiRecurrentLayer
from rnnlm.neural.layers.stack import ElmanLayer, GruLayer, LstmLayer, MogrifierLayer

HIDDEN, CELL = "hidden state", "tanh of the cell"  # values that are no gates
LEAK = 0.01  # the slope of leaky_relu below 0


@dataclass(frozen=True)
class Activation:
    """derivative: f'(a) by y = f(a); steepest: its largest value. low, high: where it is saturated, so that its unit hardly learns: within
    0.1 of a bound (a logistic gate below 0.1 or above 0.9: Karpathy et al. 2015, section 4.2), of a ReLU at it; None without a bound."""

    name: str
    derivative: Callable[[Any], Any]
    steepest: float
    low: float | None = None
    high: float | None = None

    def is_low(self, y: Any) -> Any:
        """Which values are saturated at the lower bound; none where there is no such bound."""
        return y != y if self.low is None else y <= self.low

    def is_high(self, y: Any) -> Any:
        """The same at the upper bound."""
        return y != y if self.high is None else y >= self.high


SIGMOID = Activation("sigmoid", lambda y: y * (1 - y), 0.25, 0.1, 0.9)
DOUBLED = Activation("2 sigmoid", lambda y: y * (2 - y) / 2, 0.5, 0.1, 1.9)
TANH = Activation("tanh", lambda y: 1 - y * y, 1.0, -0.9, 0.9)
BY_NAME = {
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": Activation("relu", lambda y: (y > 0) * 1.0, 1.0, 0.0),
    "elu": Activation("elu", lambda y: (y > 0) + (y <= 0) * (y + 1), 1.0, -0.9),
    "leaky_relu": Activation("leaky_relu", lambda y: (y > 0) + (y <= 0) * LEAK, 1.0),
}


def activations_of(layer: Layer) -> dict[str, Activation]:
    """The activations of a layer by the names of their values: gates as in :class:`rnnlm.neural.layers.steps.Step`, "hidden state"
    of layers without gates, "tanh of the cell" of an LSTM. An input gate that is 1 - forget has none of its own."""
    if isinstance(layer, WordWindow):
        return {HIDDEN: BY_NAME[layer.settings.activation]}
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
