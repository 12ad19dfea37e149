"""Compute the loss that training minimises, on the first examples of some data, for the models of
each task."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.lm.neural.network import Network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.tasks.labelling.batches import batch_tensors, label_tensors
from rnnlm.tasks.labelling.data import LabelledData
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.seq2seq.batches import pair_tensors
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork
from rnnlm.text.encoding import EncodedText

FirstLoss = tuple[Callable[[], Tensor], int]


@singledispatch
def first_loss(model: Any, network: Any, data: Any, tokens: int) -> FirstLoss:
    """Return a function that computes the mean loss of the first examples, which have `tokens`
    tokens or more, and the number of targets of this mean. network: like the model's."""
    raise NotImplementedError(type(model))


@first_loss.register
def _of_lines(
    model: NeuralLanguageModel, network: Network, data: EncodedText, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first `tokens` tokens of a text, read as one stream. The targets
    are the tokens."""
    ids = np.asarray(data.ids[:tokens], dtype=np.int64)
    targets_T1 = torch.from_numpy(ids)[:, None].to(_device(network))
    first_11 = torch.full_like(targets_T1[:1], model.tokenizer.boundary_id)
    inputs_T1 = torch.cat((first_11, targets_T1[:-1]))

    def compute() -> Tensor:
        loss, penalty, _ = network.loss(inputs_T1, targets_T1, network.initial_state(1))
        return loss + penalty

    return compute, len(ids)


@first_loss.register
def _of_labels(
    model: TaskModel, network: TaskNetwork, examples: LabelledData, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first examples, which have `tokens` words or more together. The
    targets are their labels: of words, or of whole texts."""
    words_E = np.diff(examples.words_encoded.word_offsets)
    chosen_B, device = _first(words_E, tokens), _device(network)
    inputs = tuple(
        tensor.double() if tensor.is_floating_point() else tensor
        for tensor in batch_tensors(examples.words_encoded, chosen_B, device)
    )
    labels = label_tensors(examples, chosen_B, device)
    count = int(words_E[chosen_B].sum()) if model.codec.word_columns else len(chosen_B)

    def compute() -> Tensor:
        return torch.stack(list(network.losses(network(inputs), labels))).sum() / count

    return compute, count


@first_loss.register
def _of_pairs(
    model: Seq2SeqModel, network: Seq2SeqNetwork, pairs: PairedData, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first pairs, whose target sides have `tokens` tokens or more
    together. The targets are these tokens."""
    chosen_B = _first(pairs.target_lengths, tokens)
    sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(
        pairs, chosen_B, model.codec.target.boundary_id, _device(network)
    )
    count = int(pairs.target_lengths[chosen_B].sum())

    def compute() -> Tensor:
        return network.loss(sources_SB, lengths_1B[0], inputs_TB, targets_TB)

    return compute, count


def _first(lengths_E: np.ndarray, tokens: int) -> np.ndarray:
    """Return the numbers of the first examples, as many as reach `tokens`, or all."""
    enough = int(np.searchsorted(np.cumsum(lengths_E), tokens)) + 1
    return np.arange(min(len(lengths_E), enough))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
