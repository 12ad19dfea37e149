"""Train an encoder-decoder: the language models that it starts from, its trainer, loss and
validation."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.config import Resolved, as_text
from rnnlm.errors import UsageError, notice
from rnnlm.evaluation.translation import WRITTEN_METRICS
from rnnlm.interface import Shapes, Tokenizer
from rnnlm.models import registry
from rnnlm.neural.fitting import fitting
from rnnlm.neural.fitting.contracts import Carry, Loss, Verdict
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.settings import NetworkSettings, RecurrentSettings
from rnnlm.tasks.fitting import (
    ExampleLoss,
    ExampleValidation,
    Fitting,
    fit_examples,
    trainer_of_examples,
)
from rnnlm.tasks.language_model_layers import (
    TakenLayers,
    arrays_of,
    form,
    recurrent_settings_of,
    settings_of,
    stack_settings,
)  # fmt: skip
from rnnlm.tasks.request import TrainingRequest
from rnnlm.tasks.seq2seq import evaluation
from rnnlm.tasks.seq2seq.batches import PairBatches, pair_tensors
from rnnlm.tasks.seq2seq.data import (
    DECODER,
    ENCODER,
    PairCodec,
    PairedData,
    PairTrainingData,
    encode_pairs,
)
from rnnlm.tasks.seq2seq.model import Seq2SeqModel, array_shapes
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork, make_network
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

# ---- Language models that an encoder-decoder starts from: for each side its shape, its word
# vectors and its recurrent layers.
#
# The encoder's forward layers are those of `--init-encoder-from`; the backward ones begin at
# random. The decoder has the output layer of its language model, too. The weights by which a layer
# reads what it does not read in the language model, the other direction or what input feeding
# feeds, start at zero: at first each layer has the very states of its language model. Attention,
# the combination with its contexts, and the bridge start at random.


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
    cell = form(own)
    if own.model != kind.name:
        usual = form(RecurrentSettings(own.model))
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


# ---- Fitting an encoder-decoder to pairs, as events.


class PairFitting(Fitting[Seq2SeqNetwork, PairTrainingData]):
    """Parts of the trainer of an encoder-decoder."""

    settings_class = Seq2SeqFittingSettings
    settings: Seq2SeqFittingSettings

    def network(self) -> Seq2SeqNetwork:
        codec = self.data.tokenizer
        return make_network(self.resolved.make(Seq2SeqSettings), codec.source, codec.target)

    def words(self, network: Seq2SeqNetwork) -> tuple[Tensor | None, Tokenizer]:
        words = network.source_words or network.target_words
        return words.weight, self.data.tokenizer.source

    def parts(
        self, network: Seq2SeqNetwork, rows: int, precision: str, device: torch.device
    ) -> "tuple[TargetLoss, PairBatches, PairValidation | None]":
        data, codec, seed = self.data, self.data.tokenizer, self.resolved.values["seed"]
        batches = PairBatches(data.train, codec.target.boundary_id, rows, seed, device, self.ranks)
        model = Seq2SeqModel(network, codec, precision)
        validation = None
        if data.valid:
            validation = PairValidation(data.valid, model, self.settings.criterion, self.ranks)
        return TargetLoss(model, self.settings), batches, validation


check = functools.partial(fitting.check, has_text=False)
fit = functools.partial(fit_examples, PairFitting)
make_trainer = functools.partial(trainer_of_examples, PairFitting)


# ---- The objective and the validation of an encoder-decoder: cross-entropy of the target, and
# metrics of what it decodes.

LOOKED_AT = 2  # pairs, where a few are to be read


class TargetLoss(ExampleLoss[Seq2SeqModel]):
    """An Objective: the cross-entropy of the target's tokens given the source and the tokens
    before, per token."""

    def __init__(self, model: Seq2SeqModel, settings: Seq2SeqFittingSettings) -> None:
        super().__init__(model)
        self.label_smoothing, self.own_words = settings.label_smoothing, settings.own_words
        self.uniform_nats = math.log(model.codec.size)

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        sources_SB, lengths_1B, inputs_TB, targets_TB = tensors
        nats = self.network.loss(
            sources_SB, lengths_1B[0], inputs_TB, targets_TB, self.label_smoothing, self.own_words
        )
        return Loss(nats, 0.0, ())

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        return -float(self.reader.score_tensors(*tensors).sum())


DECODING_PASSES = 4.0  # what greedy decoding costs, in passes over the data


class PairValidation(ExampleValidation[Seq2SeqModel, PairedData]):
    """A Validation: the loss, and metrics of decoded text if one is the criterion."""

    examples = "pairs"

    def __init__(
        self,
        data: PairedData,
        model: Seq2SeqModel,
        criterion: str,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        super().__init__(data, model, criterion, ranks)
        if criterion != "loss" and not evaluation.is_telling(model, data, criterion):
            notice(
                f"{criterion} of the validation targets cannot tell good weights from bad ones: "
                "the loss chooses the weights"
            )
            self.criterion = "loss"
        self.passes = 1.0 if self.criterion == "loss" else 1.0 + DECODING_PASSES

    def part(self, tokens: int) -> "PairValidation":
        """Return the validation on every n-th pair, about `tokens` tokens."""
        text = self.data.text
        step = -(-self.tokens // tokens)
        pairs = text.pairs[::step]
        data = encode_pairs(self.model.codec, replace(text, pairs=pairs))
        return PairValidation(data, self.model, self.criterion, self.ranks)

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        own_stop = self.ranks.own_stop(stop)
        logprob_N = evaluation.target_scores(self.model, self.data, own_stop)
        loss = math.inf
        if logprob_N is not None:
            loss = -float(np.sum(logprob_N, dtype=np.float64)) / max(1, len(logprob_N))

        # Nothing can be decoded if the scores are not numbers.
        found: dict[str, float] | None = {}
        if self.criterion != "loss" and math.isfinite(loss):
            found = evaluation.decoded(self.model, self.data, stop=own_stop)

        if self.was_stopped(logprob_N is None or found is None) or found is None:
            return None

        if not math.isfinite(loss):
            loss = math.inf
        if self.criterion == "loss":
            return Verdict(loss, loss, "loss_nats")
        chosen = WRITTEN_METRICS[self.criterion]
        worst = 0.0 if chosen.higher_is_better else math.inf
        return Verdict(
            loss,
            found.get(chosen.name, worst),
            chosen.name,
            chosen.higher_is_better,
            is_share=chosen.unit == "share",
            metrics={"loss_nats": loss, **found},
        )

    def read_some(self) -> None:
        """Read the first pairs, one after the other, so that there is no padding."""
        boundary = self.model.codec.target.boundary_id
        for number in range(min(LOOKED_AT, self.data.sentences)):
            tensors = pair_tensors(self.data, np.array([number]), boundary, self.model.device)
            self._read(*tensors[:3])

    def _read(self, sources_SB: Tensor, lengths_1B: Tensor, inputs_TB: Tensor) -> None:
        # Word by word where the output is fed back: the loop over whole targets does not call the
        # layers, whose outputs are to be seen.
        network = self.model.network
        if network.settings.input_feeding:
            words = inputs_TB.split(1)
        else:
            words = (inputs_TB,)
        # With gradients no kernel takes a layer's place.
        with self.model.reading(), torch.set_grad_enabled(len(words) > 1):
            memory, state = network.encode(sources_SB, lengths_1B[0])
            for each_TB in words:
                _, _, state = network.decode(each_TB, memory, state)
