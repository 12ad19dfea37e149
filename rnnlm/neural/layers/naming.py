"""The layers of a network by the names that people are shown."""

from collections.abc import Iterator

from torch import nn

from rnnlm.neural.layers.bidirectional import BidirectionalStack
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.stack import RecurrentStack


def named_layers(network: nn.Module) -> dict[str, Layer]:
    """The layers of a network of any task, the lowest first: "layer 1", "layer 2"; of one that reads from both ends "layer 1 forward",
    "layer 1 backward"; of an encoder-decoder "encoder layer 1", ..., "decoder layer 1"; last the "label feedback" of taggers that have
    it. Empty where a network has none: bags of words, filters."""
    encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
    parts = {"": network} if encoder is None else {"": encoder} if decoder is None else {"encoder ": encoder, "decoder ": decoder}
    found = {prefix + name: layer for prefix, part in parts.items() for name, layer in _of_body(getattr(part, "body", None))}
    feedback = [head.feedback.layer for head in getattr(network, "heads", ()) if hasattr(head, "feedback")]
    names = [f"label feedback{f' {number}' if len(feedback) > 1 else ''}" for number in range(1, len(feedback) + 1)]
    return found | dict(zip(names, feedback, strict=True))


def _of_body(body: nn.Module | None) -> Iterator[tuple[str, Layer]]:
    if isinstance(body, Layer):
        yield "layer 1", body
    elif isinstance(body, RecurrentStack):
        yield from ((f"layer {number}", layer) for number, layer in enumerate(body.layers, start=1))
    elif isinstance(body, BidirectionalStack):
        for number, (onwards, backwards) in enumerate(zip(body.onwards, body.backwards, strict=True), start=1):
            yield f"layer {number} forward", onwards
            yield f"layer {number} backward", backwards
