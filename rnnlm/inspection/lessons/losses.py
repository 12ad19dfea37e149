"""The training loss of a model of any task on a small piece of data, as a function that can be called again and again."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.inspection import texts
from rnnlm.inspection.subjects import Subject
from rnnlm.tasks.evaluation.evaluation import opened
from rnnlm.tasks.fitting.batches import batch_tensors, label_tensors
from rnnlm.tasks.seq2seq.evaluation.evaluation_data import open_pairs
from rnnlm.tasks.seq2seq.fitting.batches import pair_tensors

Data = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class FixedLoss:
    """The loss of `network`, a copy in float64 without dropout, on always the same data, in nats: a mean over its `targets`, the tokens or
    words that are predicted or labelled, or the texts of a classifier. Where it draws noise words (loss=sampled, nce), these are the same
    each time."""

    network: nn.Module
    compute: Callable[[], Tensor]
    targets: int
    seed: int

    def __call__(self) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            return self.compute()


def loss_of(subject: Subject, data: Data, tokens: int, seed: int) -> FixedLoss:
    """The loss that training minimises, on the first `tokens` tokens of `data`; of other models than language models on its first examples,
    as many as reach so many. Label smoothing and penalties on weights are left out.

    Raises:
        TextError: the data cannot be read or are empty. UsageError: they do not have the model's labels.
    """
    network = copy.deepcopy(subject.model.network)
    if subject.model.device.type == "mps":  # which has no float64
        network = network.cpu()
    network = network.double().eval().requires_grad_()
    compute, count = {"tagging": _labels, "classification": _labels, "seq2seq": _pairs}.get(subject.task, _words)(
        subject.model, network, data, tokens
    )
    return FixedLoss(network, compute, count, seed)


def _words(model: Any, network: Any, data: Data, tokens: int) -> tuple[Callable[[], Tensor], int]:
    ids = np.asarray(texts.opened(data).encode(model.tokenizer).ids[:tokens], dtype=np.int64)
    targets_T1 = torch.from_numpy(ids)[:, None].to(_device(network))
    inputs_T1 = torch.cat((torch.full_like(targets_T1[:1], model.tokenizer.boundary_id), targets_T1[:-1]))

    def compute() -> Tensor:
        loss, penalty, _ = network.loss(inputs_T1, targets_T1, network.initial_state(1))
        return loss + penalty

    return compute, len(ids)


def _labels(model: Any, network: Any, data: Data, tokens: int) -> tuple[Callable[[], Tensor], int]:
    examples = opened(model, data)
    words_E = np.diff(examples.words_encoded.word_offsets)
    chosen_B, device = _first(words_E, tokens), _device(network)
    inputs = tuple(_wide(each) for each in batch_tensors(examples.words_encoded, chosen_B, device))
    labels = label_tensors(examples, chosen_B, device)
    count = int(words_E[chosen_B].sum()) if model.codec.word_columns else len(chosen_B)
    return lambda: torch.stack(list(network.losses(network(inputs), labels))).sum() / count, count


def _pairs(model: Any, network: Any, data: Data, tokens: int) -> tuple[Callable[[], Tensor], int]:
    pairs = open_pairs(model, [data] if isinstance(data, (str, Path)) else data)
    chosen_B = _first(pairs.target_lengths, tokens)
    sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(pairs, chosen_B, model.codec.target.boundary_id, _device(network))
    return lambda: network.loss(sources_SB, lengths_1B[0], inputs_TB, targets_TB), int(pairs.target_lengths[chosen_B].sum())


def _first(lengths_E: np.ndarray, tokens: int) -> np.ndarray:
    """The numbers of the first examples, as many as reach `tokens`, or all."""
    return np.arange(min(len(lengths_E), int(np.searchsorted(np.cumsum(lengths_E), tokens)) + 1))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
