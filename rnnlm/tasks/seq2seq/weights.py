"""The weights of encoder-decoders: their names and shapes, and those that come from language
models."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.config import ResolvedSettings, as_text
from rnnlm.errors import UsageError, keyword, notice
from rnnlm.interface import Shapes
from rnnlm.lm.neural.settings import NetworkSettings, RecurrentSettings, Size
from rnnlm.lm.neural.shapes import linear, softmax, stack, typed, within, words
from rnnlm.tasks.common.language_model_layers import (  # fmt: skip
    TakenLayers,
    recurrent_settings_of,
    stack_settings,
)
from rnnlm.tasks.seq2seq import settings as network_settings
from rnnlm.tasks.seq2seq.data import DECODER, ENCODER, PairCodec, PairTrainingData
from rnnlm.training.language_model import settings_to_start_from, weights_to_start_from
from rnnlm.training.request import TrainingRequest

# ---- The arrays by name and shape, from settings and codec alone; see rnnlm.lm.neural.shapes.


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
    arrays |= within("decoder", _decoder_shapes(shape))
    arrays |= within("bridge", _bridge_shapes(shape))
    output = softmax(codec.target.size, shape.features_width, bool(shape.tied_embeddings))
    return typed(arrays | within("output", output))


def _decoder_shapes(settings: network_settings.Seq2SeqSettings) -> dict[str, Size]:
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


def _bridge_shapes(settings: network_settings.Seq2SeqSettings) -> dict[str, Size]:
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
            for _ in decoder.cell.parts:
                arrays |= linear(f"maps.{len(arrays) // 2}", reads, width)
    return arrays


# ---- The start from language models: for each side its shape, its word vectors and its recurrent
# layers.
#
# The encoder's forward layers come from `--init-encoder-from`; the backward ones begin at random.
# The decoder has the output layer of its language model, too. The weights of inputs that a layer
# does not have in the language model, the other direction or input feeding, start at zero: at first
# each layer has the very states of its language model. Attention, the combination with its
# contexts, and the bridge start at random.


def settings(
    request: TrainingRequest, kind: registry.Kind
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the settings that a network takes from the language models that a request names, with
    the option and the name of each: they determine the shapes of its weights, and the computation
    of its layers."""
    taken_over = []
    encoder, decoder = request.init_encoder_from, request.init_decoder_from
    if encoder is not None:
        lm_settings = _model(encoder, ENCODER, kind.name)
        of_encoder = {"embedding_size": lm_settings.embedding_size, **stack_settings(lm_settings)}
        taken_over.append((ENCODER, encoder, of_encoder))
    if decoder is not None:
        taken_over.append((DECODER, decoder, _of_decoder(decoder, kind)))
    return taken_over


def weights(
    request: TrainingRequest, resolved: ResolvedSettings, data: PairTrainingData
) -> dict[str, np.ndarray] | None:
    """Return the weights that a network starts from, by name; None if all are random. Notices list
    the weights taken from each model."""
    encoder, decoder = request.init_encoder_from, request.init_decoder_from

    # Each side by itself; vectors of words that both share have to be the same.
    shape = resolved.make(network_settings.Seq2SeqSettings)
    shapes = array_shapes(resolved.values, data.tokenizer)
    start_weights: dict[str, np.ndarray] = {}
    if encoder is not None:
        # Word vectors and forward layers.
        arrays = weights_to_start_from(encoder, ENCODER, data.tokenizer.source)
        layers = TakenLayers("encoder", shape, recurrent_settings_of(encoder, ENCODER), shapes)
        words = "target_words" if shape.tied_embeddings == "all" else "source_words"
        start_weights[f"{words}.embedding.weight"] = arrays["input.embedding.weight"]
        start_weights |= layers.arrays(arrays)
        if shape.bidirectional:
            notice(keyword(ENCODER) + f" {encoder}: the backward layers start at random")
    if decoder is not None:
        taken = _decoder_weights(decoder, shape, data.tokenizer, shapes)
        if encoder is not None:
            # Raise UsageError if both sides share their vectors, but two language models have
            # different ones.
            for name in start_weights.keys() & taken.keys():
                if not np.array_equal(start_weights[name], taken[name]):
                    raise UsageError(
                        "tied_embeddings = all does not fit "
                        + keyword(ENCODER)
                        + " and "
                        + keyword(DECODER),
                        f"{encoder} and {decoder} have different word vectors, and both sides "
                        "share one set",
                        "set tied_embeddings=target, or name one",
                    )
        start_weights |= taken
    return start_weights or None


def _model(name: str, option: str, kind: str | None = None) -> RecurrentSettings:
    """Return the settings of a language model that a side may start from."""
    lm_settings = settings_to_start_from(name, option)
    if lm_settings.characters:
        raise UsageError(
            keyword(option) + f" {name}: its words do not fit",
            f"it reads words as characters (characters = {lm_settings.characters}), and an "
            "encoder-decoder has a vector for each token",
            "train one with characters=none",
        )
    return recurrent_settings_of(name, option, kind)


def _of_decoder(name: str, kind: registry.Kind) -> dict[str, Any]:
    """Return the settings of a decoder that starts from the language model `name`."""
    # A language model may have parts that a decoder has not.
    lm_settings = _model(name, DECODER)
    assert isinstance(lm_settings, NetworkSettings)
    if lm_settings.output_layer != "softmax":
        raise UsageError(
            keyword(DECODER) + f" {name}: its output layer does not fit",
            f"it is output_layer = {lm_settings.output_layer}; that of an encoder-decoder is "
            "softmax",
            "train one with output_layer=softmax",
        )
    if len(set(lm_settings.widths)) > 1:
        raise UsageError(
            keyword(DECODER) + f" {name}: its layers do not fit",
            f"layer_sizes = {lm_settings.layer_sizes}; those of a decoder are of one width",
            "train one with layer_sizes=none",
        )

    # Settings of a cell are the encoder's. A decoder of another cell has the default ones.
    cell = lm_settings.form
    if lm_settings.model != kind.name:
        usual = RecurrentSettings(lm_settings.model).form
        for setting, value in cell.items():
            if value != usual[setting]:
                raise UsageError(
                    keyword(DECODER) + f" {name}: its cells do not fit",
                    f"{setting} is {as_text(value)} there; beside an encoder of {kind.name} it is "
                    f"{as_text(usual[setting])}",
                    "use " + keyword("model", lm_settings.model),
                )
        cell = {}

    taken_over = {
        "model": kind.name,
        "decoder_model": lm_settings.model,
        "target_embedding_size": lm_settings.embedding_size,
        "decoder_layers": lm_settings.layers,
        "decoder_hidden_size": lm_settings.widths[0],
        "connections": lm_settings.connections,
        **cell,
    }
    if not lm_settings.is_tied:
        taken_over["tied_embeddings"] = None
    return taken_over


def _decoder_weights(
    name: str, shape: network_settings.Seq2SeqSettings, codec: PairCodec, shapes: Shapes
) -> dict[str, np.ndarray]:
    """Return the decoder's weights from the language model `name`."""
    lm_settings = recurrent_settings_of(name, DECODER)
    assert isinstance(lm_settings, NetworkSettings)
    if lm_settings.is_tied and not shape.tied_embeddings:
        raise UsageError(
            "tied_embeddings = none does not fit " + keyword(DECODER) + f" {name}",
            "the output weights are the word vectors there",
            "leave tied_embeddings out",
        )

    # Layers, word vectors and output layer. With attention, the features come from its combination,
    # not from the language model's projection.
    arrays = weights_to_start_from(name, DECODER, codec.target)
    decoder_weights = TakenLayers("decoder", shape.decoder, lm_settings, shapes).arrays(arrays)
    decoder_weights["target_words.embedding.weight"] = arrays["input.embedding.weight"]
    for key, array in arrays.items():
        if key in ("output.weight", "output.bias"):
            decoder_weights[key] = array
        elif key.startswith("projection.") and not shape.attention:
            decoder_weights[f"decoder.{key}"] = array
    for key, array in decoder_weights.items():
        if array.shape != shapes[key][1]:
            there, here = (" x ".join(map(str, size)) for size in (array.shape, shapes[key][1]))
            raise UsageError(
                keyword(DECODER) + f" {name}: its weights do not fit",
                f"{key} is {there} there and {here} here",
                "train one with connections=plain, or with tied=true",
            )

    return decoder_weights
