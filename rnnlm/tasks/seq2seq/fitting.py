"""Train an encoder-decoder on pairs: its trainer, loss and validation."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.training.contracts import Carry, Loss, ValidationResult
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.common.fitting import (
    ExampleLoss,
    ExampleValidation,
    Fitting,
    fit_examples,
    trainer_of_examples,
)
from rnnlm.tasks.seq2seq.data import PairedData, PairTrainingData, encode_pairs
from rnnlm.tasks.seq2seq.evaluation import evaluation
from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS
from rnnlm.tasks.seq2seq.model import PairBatches, Seq2SeqModel, pair_tensors
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork, make_network
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings


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
        batches = PairBatches(
            data.train, codec.target.boundary_id, rows, seed, device, self.ranks, self.settings
        )
        model = Seq2SeqModel(network, codec, precision)
        criterion = self.settings.criterion
        validation = (
            PairValidation(data.valid, model, criterion, self.ranks) if data.valid else None
        )
        return TargetLoss(model, self.settings), batches, validation


fit = functools.partial(fit_examples, PairFitting)
make_trainer = functools.partial(trainer_of_examples, PairFitting)


# ---- The objective and the validation of an encoder-decoder: cross-entropy of the target, and
# metrics of its decoded outputs.

LOOKED_AT = 2  # pairs, where a few are to be read


class TargetLoss(ExampleLoss[Seq2SeqModel]):
    """An Objective: the cross-entropy of the target's tokens given the source and the tokens
    before, per token."""

    def __init__(self, model: Seq2SeqModel, settings: Seq2SeqFittingSettings) -> None:
        super().__init__(model)
        self.label_smoothing = settings.label_smoothing
        self.uniform_nats = math.log(model.codec.size)

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        sources_SB, lengths_1B, inputs_TB, targets_TB, *own_1B = tensors
        nats = self.network.loss(
            sources_SB, lengths_1B[0], inputs_TB, targets_TB, self.label_smoothing, *own_1B
        )
        return Loss(nats, 0.0, ())

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        return -float(self.reader.score_tensors(*tensors[:4])[0].sum())


DECODING_PASSES = 4.0  # the time of greedy decoding, in passes over the data


class PairValidation(ExampleValidation[Seq2SeqModel, PairedData]):
    """A Validation: the loss, the share of tokens that are the likeliest ones after the right
    tokens before them, and metrics of decoded text if one is the criterion."""

    example = "pair"

    def __init__(
        self,
        data: PairedData,
        model: Seq2SeqModel,
        criterion: str,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        super().__init__(data, model, criterion, ranks)
        if criterion != "loss" and not evaluation.is_informative(model, data, criterion):
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

    def run(self, stop: Callable[[], bool]) -> ValidationResult | None:
        own_stop = self.ranks.own_stop(stop)
        scores = evaluation.target_scores(self.model, self.data, own_stop)
        loss, metrics = math.inf, {}
        if scores is not None:
            logprob_N, is_likeliest_N = scores
            loss = -float(np.sum(logprob_N)) / max(1, len(logprob_N))
            metrics["token_accuracy"] = float(is_likeliest_N.sum()) / max(1, len(logprob_N))

        # Nothing can be decoded if the scores are not numbers.
        decoded_metrics: dict[str, float] | None = {}
        if self.criterion != "loss" and math.isfinite(loss):
            decoded_metrics = evaluation.decoded(self.model, self.data, stop=own_stop)

        if self.was_stopped(scores is None or decoded_metrics is None) or decoded_metrics is None:
            return None

        if not math.isfinite(loss):
            loss = math.inf
        if self.criterion == "loss":
            return ValidationResult(loss, loss, "loss_nats", metrics=metrics)
        chosen = TRANSLATION_METRICS[self.criterion]
        worst = 0.0 if chosen.higher_is_better else math.inf
        return ValidationResult(
            loss,
            decoded_metrics.get(chosen.name, worst),
            chosen.name,
            chosen.higher_is_better,
            is_share=chosen.unit == "share",
            metrics={"loss_nats": loss, **metrics, **decoded_metrics},
        )

    def read_some(self) -> None:
        """Read the first pairs, one after the other, so that there is no padding."""
        network, boundary = self.model.network, self.model.codec.target.boundary_id
        for number in range(min(LOOKED_AT, self.data.sentences)):
            sources_SB, lengths_1B, inputs_TB, _ = pair_tensors(
                self.data, np.array([number]), boundary, self.model.device
            )
            # With gradients no kernel takes a layer's place.
            with self.model.reading(), torch.enable_grad():
                network.decode(inputs_TB, *network.encode(sources_SB, lengths_1B[0]))
