"""The objective and the validation of an encoder-decoder: cross-entropy of the target, and figures of what it decodes."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rnnlm.neural.fitting.contracts import Carry, Loss, Verdict
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.evaluation import figures
from rnnlm.tasks.seq2seq.fitting.batches import pair_tensors
from rnnlm.tasks.seq2seq.fitting.fitting_settings import CRITERIA, Seq2SeqFittingSettings
from rnnlm.tasks.seq2seq.model import Seq2SeqModel

LOOKED_AT = 2  # pairs, where a few are to be read


class TargetLoss:
    """An Objective: the cross-entropy of the target's tokens given the source and the tokens before, per token. model: reads the network in
    the precision of training."""

    is_exact = True

    def __init__(self, model: Seq2SeqModel, settings: Seq2SeqFittingSettings) -> None:
        self.reader, self.network = model, model.network
        self.label_smoothing, self.own_words = settings.label_smoothing, settings.own_words
        self.uniform_nats = math.log(model.codec.size)

    def initial_carry(self, rows: int) -> Carry:
        return ()

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        sources_SB, lengths_1B, inputs_TB, targets_TB = tensors
        nats = self.network.loss(sources_SB, lengths_1B[0], inputs_TB, targets_TB, self.label_smoothing, self.own_words)
        return Loss(nats, 0.0, ())

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        return -float(self.reader.score_tensors(*tensors).sum())

    def weights_changed(self) -> None:
        pass

    def model(self) -> Seq2SeqModel:
        return Seq2SeqModel(self.network, self.reader.codec)


class PairValidation:
    """A Validation: the loss on `data`, and where a figure of decoded text is the criterion that one, too. Each rank measures all of it."""

    def __init__(self, data: PairedData, model: Seq2SeqModel, criterion: str, ranks: SingleProcess = SINGLE_PROCESS) -> None:
        self.data, self.model, self.criterion, self.ranks = data, model, criterion, ranks

    def __str__(self) -> str:
        return f"{self.data.sentences:,} pairs, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        own_stop = self.ranks.own_stop(stop)
        logprob_N = figures.target_scores(self.model, self.data, own_stop)
        loss = math.inf if logprob_N is None else -float(np.sum(logprob_N, dtype=np.float64)) / max(1, len(logprob_N))
        is_decoded = self.criterion != "loss" and math.isfinite(loss)  # nothing can be decoded of what are no numbers
        found = figures.decoded(self.model, self.data, stop=own_stop) if is_decoded else {}
        stopped = self.ranks.totals(float(logprob_N is None or found is None))[0]
        self.ranks.synchronize()
        if stopped or found is None:
            return None
        loss = loss if math.isfinite(loss) else math.inf
        if self.criterion == "loss":
            return Verdict(loss, loss, "loss_nats")
        is_higher_better = CRITERIA[self.criterion]
        figure = found.get(self.criterion, 0.0 if is_higher_better else math.inf)
        return Verdict(loss, figure, self.criterion, is_higher_better, {"loss_nats": loss, **found})

    def read_some(self) -> None:
        """The first pairs, one after the other, so that there is no padding."""
        for number in range(min(LOOKED_AT, self.data.sentences)):
            boundary = self.model.codec.target.boundary_id
            self._read(*pair_tensors(self.data, np.array([number]), boundary, self.model.device)[:3])

    def _read(self, sources_SB: Tensor, lengths_1B: Tensor, inputs_TB: Tensor) -> None:
        """Word by word where the output is fed back: the loops that read whole targets go round the layers."""
        network = self.model.network
        words = inputs_TB.split(1) if network.settings.input_feeding else (inputs_TB,)
        with self.model.reading(), torch.set_grad_enabled(len(words) > 1):  # with gradients no kernel takes a layer's place
            memory, state = network.encode(sources_SB, lengths_1B[0])
            for each_TB in words:
                _, _, state = network.decode(each_TB, memory, state)
