"""The layers of a network by the names that people are shown."""

from collections.abc import Iterator

from torch import nn

from rnnlm.neural.layers.bidirectional import BidirectionalStack
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.stack import RecurrentStack

FORWARD, BACKWARD = " forward", " backward"  # what the names of layers end with that read in one of two directions


def named_layers(network: nn.Module) -> dict[str, Layer]:
    """The layers of a network of any task, the lowest first: "layer 1", "layer 2"; of one that reads from both ends "layer 1 forward",
    "layer 1 backward"; of an encoder-decoder "encoder layer 1", ..., "decoder layer 1"; last the "label feedback" of taggers that have
    it. Empty where a network has none: bags of words, filters."""
    encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
    parts = {"": network} if encoder is None else {"": encoder} if decoder is None else {"encoder ": encoder, "decoder ": decoder}
    found = {prefix + name: layer for prefix, part in parts.items() for row in rows_of(getattr(part, "body", None)) for name, layer in row}
    feedback = [head.feedback.layer for head in getattr(network, "heads", ()) if hasattr(head, "feedback")]
    names = [f"label feedback{f' {number}' if len(feedback) > 1 else ''}" for number in range(1, len(feedback) + 1)]
    return found | dict(zip(names, feedback, strict=True))


def rows_of(body: nn.Module | None) -> Iterator[list[tuple[str, Layer]]]:
    """The layers of the body of a network by name, the lowest first; those that read the same from either end side by side."""
    if isinstance(body, Layer):
        yield [("layer 1", body)]
    elif isinstance(body, RecurrentStack):
        yield from ([(f"layer {number}", layer)] for number, layer in enumerate(body.layers, start=1))
    elif isinstance(body, BidirectionalStack):
        for number, (onwards, backwards) in enumerate(zip(body.onwards, body.backwards, strict=True), start=1):
            yield [(f"layer {number}{FORWARD}", onwards), (f"layer {number}{BACKWARD}", backwards)]
