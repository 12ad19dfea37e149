"""Start an encoder-decoder from language models: for each side its shape, its word vectors and its
recurrent layers.

The encoder's forward layers are those of `--init-encoder-from`; the backward ones begin at random.
The decoder has the output layer of its language model, too. The weights by which a layer reads what
it does not read in the language model, the other direction or what input feeding feeds, start at
zero: at first each layer has the very states of its language model. Attention, the combination with
its contexts, and the bridge start at random.
"""

from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.config import Resolved, as_text
from rnnlm.errors import UsageError, notice
from rnnlm.interface import Shapes
from rnnlm.lm.neural.settings import NetworkSettings, RecurrentSettings
from rnnlm.tasks.language_model_layers import (  # fmt: skip
    TakenLayers,
    arrays_of,
    recurrent_settings_of,
    settings_of,
    stack_settings,
)
from rnnlm.tasks.seq2seq.data import DECODER, ENCODER, PairCodec, PairTrainingData
from rnnlm.tasks.seq2seq.model import array_shapes
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings
from rnnlm.training.request import TrainingRequest


def settings(
    request: TrainingRequest, kind: registry.Kind
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the settings that a network takes from the language models that a request names, with
    the option and the name of each: they give the shapes of its weights, and what its layers
    compute."""
    found = []
    encoder, decoder = request.init_encoder_from, request.init_decoder_from
    if encoder is not None:
        own = _model(encoder, ENCODER, kind.name)
        its = {"embedding_size": own.embedding_size, **stack_settings(own)}
        found.append((ENCODER, encoder, its))
    if decoder is not None:
        found.append((DECODER, decoder, _of_decoder(decoder, kind)))
    return found


def weights(
    request: TrainingRequest, resolved: Resolved, data: PairTrainingData
) -> dict[str, np.ndarray] | None:
    """Return the weights that a network starts from, by name; None where all are random. Notices
    say what is taken from which model."""
    encoder, decoder = request.init_encoder_from, request.init_decoder_from

    # Each side by itself; vectors of words that both share have to be the same.
    shape = resolved.make(Seq2SeqSettings)
    shapes = array_shapes(resolved.values, data.tokenizer)
    found: dict[str, np.ndarray] = {}
    if encoder is not None:
        found |= _encoder(encoder, shape, data.tokenizer, shapes)
    if decoder is not None:
        taken = _decoder(decoder, shape, data.tokenizer, shapes)
        if encoder is not None:
            _check_one_vocabulary(found, taken, encoder, decoder)
        found |= taken
    return found or None


def _model(name: str, option: str, kind: str | None = None) -> RecurrentSettings:
    """Return the settings of a language model that a side may start from."""
    own = settings_of(name, option)
    if own.characters:
        why = (
            f"it reads words as characters (characters = {own.characters}), and an "
            "encoder-decoder has a vector for each token"
        )
        raise UsageError(
            f"{option} {name}: its words do not fit", why, "train one with characters=none"
        )
    return recurrent_settings_of(name, option, kind)


def _of_decoder(name: str, kind: registry.Kind) -> dict[str, Any]:
    """Return the settings of a decoder that starts from the language model `name`."""
    # A language model may have what a decoder has not.
    own = _model(name, DECODER)
    assert isinstance(own, NetworkSettings)
    if own.output_layer != "softmax":
        why = f"it is output_layer = {own.output_layer}; that of an encoder-decoder is softmax"
        raise UsageError(
            f"{DECODER} {name}: its output layer does not fit",
            why,
            "train one with output_layer=softmax",
        )
    if len(set(own.widths)) > 1:
        why = f"layer_sizes = {own.layer_sizes}; those of a decoder are of one width"
        raise UsageError(
            f"{DECODER} {name}: its layers do not fit", why, "train one with layer_sizes=none"
        )

    # Settings of a cell are the encoder's. A decoder of another cell has the default ones.
    cell = own.form
    if own.model != kind.name:
        usual = RecurrentSettings(own.model).form
        for setting, value in cell.items():
            if value != usual[setting]:
                its, here = as_text(value), as_text(usual[setting])
                why = f"{setting} is {its} there; beside an encoder of {kind.name} it is {here}"
                raise UsageError(
                    f"{DECODER} {name}: its cells do not fit", why, f'use `model="{own.model}"`'
                )
        cell = {}

    found = {
        "model": kind.name,
        "decoder_model": own.model,
        "target_embedding_size": own.embedding_size,
        "decoder_layers": own.layers,
        "decoder_hidden_size": own.widths[0],
        "connections": own.connections,
        **cell,
    }
    if not own.is_tied:
        found["tied_embeddings"] = None
    return found


def _encoder(
    name: str, shape: Seq2SeqSettings, codec: PairCodec, shapes: Shapes
) -> dict[str, np.ndarray]:
    """Return the encoder's weights from the language model `name`."""
    # Word vectors and forward layers.
    arrays = arrays_of(name, ENCODER, codec.source)
    layers = TakenLayers("encoder", shape, recurrent_settings_of(name, ENCODER), shapes)
    words = "source_words"
    if shape.tied_embeddings == "all":
        words = "target_words"
    found = {f"{words}.embedding.weight": arrays["input.embedding.weight"], **layers.arrays(arrays)}
    if shape.bidirectional:
        notice(f"{ENCODER} {name}: the backward layers start at random")
    return found


def _decoder(
    name: str, shape: Seq2SeqSettings, codec: PairCodec, shapes: Shapes
) -> dict[str, np.ndarray]:
    """Return the decoder's weights from the language model `name`."""
    own = recurrent_settings_of(name, DECODER)
    assert isinstance(own, NetworkSettings)
    if own.is_tied and not shape.tied_embeddings:
        why = "the output weights are the word vectors there"
        raise UsageError(
            f"tied_embeddings = none does not fit {DECODER} {name}",
            why,
            "leave tied_embeddings out",
        )

    # Layers, word vectors and output layer. With attention, the features come from its combination,
    # not from the language model's projection.
    arrays = arrays_of(name, DECODER, codec.target)
    found = TakenLayers("decoder", shape.decoder, own, shapes).arrays(arrays)
    found["target_words.embedding.weight"] = arrays["input.embedding.weight"]
    for each, array in arrays.items():
        if each in ("output.weight", "output.bias"):
            found[each] = array
        elif each.startswith("projection.") and not shape.attention:
            found[f"decoder.{each}"] = array
    for each, array in found.items():
        if array.shape != shapes[each][1]:
            why = f"{each} is {_size(array.shape)} there and {_size(shapes[each][1])} here"
            raise UsageError(
                f"{DECODER} {name}: its weights do not fit",
                why,
                "train one with connections=plain, or with tied=true",
            )

    return found


def _check_one_vocabulary(
    found: dict[str, np.ndarray], taken: dict[str, np.ndarray], encoder: str, decoder: str
) -> None:
    """Raise UsageError if both sides share their vectors, but two language models have different
    ones."""
    for name in found.keys() & taken.keys():
        if not np.array_equal(found[name], taken[name]):
            why = (
                f"{encoder} and {decoder} have different word vectors, and both sides share one set"
            )
            raise UsageError(
                f"tied_embeddings = all does not fit {ENCODER} and {DECODER}",
                why,
                "set tied_embeddings=target, or name one",
            )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
