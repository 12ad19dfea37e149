"""Mean squared gradients of a network's weights on training text, by which dynamic evaluation scales its steps.

Krause et al. 2018, section 5: MS_g = 1/N sum_k (grad of the loss of segment k)^2, element by element, the weights being
those trained. A segment here is `segment_tokens` long in each of ROWS streams that are read side by side, as in the
authors' own experiments, and its loss the mean over all of its tokens: with one row, gradients would be larger, and a text
would take up to a hundred times as long.
"""

import copy
from collections.abc import Callable
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.text.batches import gather, stream_bounds, tbptt_windows, with_boundary

ROWS = 100

Statistics = dict[str, Tensor]  # weight by name: MS_g


def trainable_copy(model: NeuralLanguageModel) -> NeuralLanguageModel:
    """The same model with weights of its own, all of which take gradients."""
    network = copy.deepcopy(model.network).requires_grad_(True)
    return NeuralLanguageModel(network, model.tokenizer, model.precision, model.fingerprint)


def gather_statistics(
    model: NeuralLanguageModel, ids: np.ndarray, segment_tokens: int, report: Callable[[int, int], None] | None = None
) -> Statistics:
    """MS_g of each weight over the text `ids`; `report` hears how many segments of how many are done."""
    network = (reader := trainable_copy(model)).network
    weights = dict(network.named_parameters())
    sums = {name: torch.zeros_like(weight, requires_grad=False) for name, weight in weights.items()}
    bounds = stream_bounds(len(ids), max(1, min(ROWS, len(ids) // segment_tokens)))
    stream, segments = with_boundary(ids, model.tokenizer.boundary_id), list(tbptt_windows(bounds, repeat(segment_tokens)))
    state = network.initial_state(len(bounds) - 1)
    with reader.reading(), torch.enable_grad():
        for done, window in enumerate(segments, start=1):
            inputs_TB, targets_TB = (reader.ids(each).t() for each in gather(ids, stream, window.start_B, window.end_B))
            logprob_TB, state = network.score(inputs_TB, targets_TB, state)
            loss = -logprob_TB.sum() / (targets_TB != PADDING).sum()
            for total, gradient in zip(sums.values(), gradients(loss, list(weights.values())), strict=True):
                total.addcmul_(gradient, gradient)
            state = tuple(tensor.detach() for tensor in state)
            if report:
                report(done, len(segments))
    return {name: total / len(segments) for name, total in sums.items()}


def gradients(loss: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Of `loss`, zero for weights that it does not depend on."""
    found = torch.autograd.grad(loss, weights, materialize_grads=True)
    return [gradient.to_dense() if gradient.is_sparse else gradient for gradient in found]
