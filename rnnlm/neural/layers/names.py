"""Names that people are shown: those of layers and those of activations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from rnnlm.neural.layers.layers import (
    BidirectionalStack,
    ElmanLayer,
    FedBack,
    GruLayer,
    JordanLayer,
    Layer,
    LstmLayer,
    MogrifierLayer,
    QuasiRecurrentLayer,
    RecurrentStack,
    WordWindow,
)

# ---- The layers of a network by the names that people are shown.

# what the names of layers end with that read in one of two directions
FORWARD, BACKWARD = " forward", " backward"


class LayeredNetwork(nn.Module):
    """A network of any task. feedback_layers: those of taggers that read the labels before."""

    feedback_layers: Sequence[Layer] = ()

    def bodies(self) -> dict[str, nn.Module]:
        """What holds its layers, the lowest first, by what the layers' names begin with: nothing,
        or "encoder " and "decoder "."""
        return {}

    @property
    def feedback(self) -> tuple[FedBack, ...]:
        """What else its body reads: a Jordan layer its last output."""
        return ()


def named_layers(network: LayeredNetwork) -> dict[str, Layer]:
    """The layers of a network of any task, the lowest first: "layer 1", "layer 2"; of one that
    reads from both ends "layer 1 forward", "layer 1 backward"; of an encoder-decoder "encoder layer
    1", ..., "decoder layer 1"; last the "label feedback" of taggers that have it. Empty where a
    network has none: bags of words, filters."""
    found = {}
    for prefix, body in network.bodies().items():
        for row in rows_of(body):
            for name, layer in row:
                found[prefix + name] = layer
    feedback = network.feedback_layers
    for number, layer in enumerate(feedback, start=1):
        found[f"label feedback {number}" if len(feedback) > 1 else "label feedback"] = layer
    return found


def rows_of(body: nn.Module) -> Iterator[list[tuple[str, Layer]]]:
    """The layers of the body of a network by name, the lowest first; those that read the same from
    either end side by side."""
    if isinstance(body, Layer):
        yield [("layer 1", body)]
    elif isinstance(body, RecurrentStack):
        yield from (
            [(f"layer {number}", layer)] for number, layer in enumerate(body.layers, start=1)
        )
    elif isinstance(body, BidirectionalStack):
        for number, (onwards, backwards) in enumerate(
            zip(body.onwards, body.backwards, strict=True), start=1
        ):
            yield [(f"layer {number}{FORWARD}", onwards), (f"layer {number}{BACKWARD}", backwards)]


# ---- The activations of each kind of layer: which function made which values, how steep it was
# there, and where it is saturated.
#
# A derivative follows from the value alone, y = f(a), so that nothing has to be computed again.
# Values are arrays of numpy or torch.

HIDDEN, CELL = "hidden state", "tanh of the cell"  # values that are no gates
LEAK = 0.01  # the slope of leaky_relu below 0


@dataclass(frozen=True)
class Activation:
    """derivative: f'(a) by y = f(a); steepest: its largest value. low, high: where it is saturated,
    so that its unit hardly learns: within 0.1 of a bound (a logistic gate below 0.1 or above 0.9:
    Karpathy et al. 2015, section 4.2), of a ReLU at it; None without a bound."""

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
    """The activations of a layer by the names of their values: gates as in
    :class:`rnnlm.neural.layers.steps.Step`, "hidden state" of layers without gates, "tanh of the
    cell" of an LSTM. An input gate that is 1 - forget has none of its own."""
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
