"""The arrays of encoder-decoders, by name and shape, from settings and codec alone; see
:mod:`rnnlm.lm.neural.shapes`."""

from collections.abc import Mapping
from typing import Any

from rnnlm.interface import Shapes
from rnnlm.lm.neural.settings import Size
from rnnlm.lm.neural.shapes import linear, softmax, stack, typed, within, words
from rnnlm.tasks.seq2seq import settings as network_settings
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings


def array_shapes(
    settings: Mapping[str, Any], codec: PairCodec, stored: Shapes | None = None
) -> Shapes:
    """Return the (safetensors type, shape) by name of the arrays that a model of these settings
    has."""
    shape = network_settings.stored(settings)
    arrays: dict[str, Size] = {}
    if shape.tied_embeddings != "all":
        arrays |= within("source_words", words(shape, codec.source))
    arrays |= within("target_words", words(shape.target_words, codec.target))
    arrays |= within("encoder.body", stack(shape))
    arrays |= within("decoder", _decoder(shape))
    arrays |= within("bridge", _bridge(shape))
    output = softmax(codec.target.size, shape.features_width, bool(shape.tied_embeddings))
    return typed(arrays | within("output", output))


def _decoder(settings: Seq2SeqSettings) -> dict[str, Size]:
    layers, features, seen = settings.decoder, settings.features_width, settings.output_width
    width = layers.output_width
    arrays = within("body", stack(layers))
    if not settings.attention:
        return arrays | (linear("projection", width, features) if width != features else {})
    compared = width
    if settings.attention == "additive":
        compared = settings.compared_width
        arrays |= linear("attention.query", width, compared, bias=False)
        arrays["attention.scale"] = (1, compared)
    if settings.attention != "dot":
        arrays |= linear("attention.key", seen, compared, bias=False)
    return arrays | linear("combination", width + seen, features, bias=False)


def _bridge(settings: Seq2SeqSettings) -> dict[str, Size]:
    """Return the arrays of the maps to the decoder's first state, one for each part of it."""
    arrays: dict[str, Size] = {}
    decoder = settings.decoder
    assert decoder.cell is not None
    for number, width in enumerate(decoder.widths):
        reads = settings.output_width
        if settings.bridge == "last":
            below = settings.below(number, len(decoder.widths))
            reads = settings.directions * settings.widths[below]
        if settings.bridge:
            for _ in range(decoder.cell.state_parts):
                arrays |= linear(f"maps.{len(arrays) // 2}", reads, width)
    return arrays
