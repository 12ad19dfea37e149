"""The names of layers and of activations that people are shown."""

from collections.abc import Iterator, Sequence

from torch import nn

from rnnlm.neural.activations import BY_NAME, DOUBLED, SIGMOID, TANH, Activation
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

# Endings of the names of layers that come in pairs, one for each direction.
FORWARD, BACKWARD = " forward", " backward"


class LayeredNetwork(nn.Module):
    """A network of any task. feedback_layers: those of taggers that read the labels before."""

    feedback_layers: Sequence[Layer] = ()

    def bodies(self) -> dict[str, nn.Module]:
        """Return what holds its layers, the lowest first, by what the layers' names begin with:
        nothing, or "encoder " and "decoder "."""
        return {}

    @property
    def feedback(self) -> tuple[FedBack, ...]:
        """What else its body reads: for a Jordan layer its last output, otherwise nothing."""
        return ()


def named_layers(network: LayeredNetwork) -> dict[str, Layer]:
    """Return the layers of a network of any task by name, the lowest first.

    They are "layer 1", "layer 2"; of a network that reads from both ends "layer 1 forward", "layer
    1 backward"; of an encoder-decoder "encoder layer 1", ..., "decoder layer 1"; last comes the
    "label feedback" of taggers that have it. Bags of words and filters have no layers.
    """
    by_name = {}
    for prefix, body in network.bodies().items():
        for row in rows_of(body):
            for name, layer in row:
                by_name[prefix + name] = layer

    # Of several columns of labels each may have feedback of its own.
    if len(network.feedback_layers) == 1:
        by_name["label feedback"] = network.feedback_layers[0]
    else:
        for number, layer in enumerate(network.feedback_layers, start=1):
            by_name[f"label feedback {number}"] = layer
    return by_name


def rows_of(body: nn.Module) -> Iterator[list[tuple[str, Layer]]]:
    """Yield the layers of a network's body by name, the lowest first; those that read the same from
    either end side by side."""
    if isinstance(body, Layer):
        yield [("layer 1", body)]
    elif isinstance(body, RecurrentStack):
        for number, layer in enumerate(body.layers, start=1):
            yield [(f"layer {number}", layer)]
    elif isinstance(body, BidirectionalStack):
        pairs = zip(body.onwards, body.backwards, strict=True)
        for number, (onwards, backwards) in enumerate(pairs, start=1):
            yield [(f"layer {number}{FORWARD}", onwards), (f"layer {number}{BACKWARD}", backwards)]


# ---- The activations of each kind of layer: which function made which values.

HIDDEN, CELL = "hidden state", "tanh of the cell"  # values that are no gates


def activations_of(layer: Layer) -> dict[str, Activation]:
    """Return the activations of a layer by the names of their values.

    They are gates as in :class:`rnnlm.neural.layers.steps.Step`, "hidden state" of layers without
    gates, "tanh of the cell" of an LSTM. An input gate that is 1 - forget has none of its own.
    """
    # Layers without gates.
    if isinstance(layer, WordWindow):
        return {HIDDEN: BY_NAME[layer.settings.activation]}
    if isinstance(layer, ElmanLayer | JordanLayer):
        return {HIDDEN: BY_NAME[layer.activation]}
    if isinstance(layer, GruLayer):
        return {"reset": SIGMOID, "update": SIGMOID, "candidate": TANH}

    # A gate that a form of the layer does not have is left out.
    gates = {"input": SIGMOID, "forget": SIGMOID, "candidate": TANH, "output": SIGMOID}
    if isinstance(layer, QuasiRecurrentLayer):
        if layer.pooling != "ifo":
            del gates["input"]
        if layer.pooling == "f":
            del gates["output"]
        return gates
    assert isinstance(layer, LstmLayer)
    if layer.coupled:
        del gates["input"]
    rounds: dict[str, Activation] = {}
    if isinstance(layer, MogrifierLayer):
        rounds = {f"round {number}": DOUBLED for number in range(1, layer.rounds + 1)}
    return rounds | gates | {CELL: TANH}
