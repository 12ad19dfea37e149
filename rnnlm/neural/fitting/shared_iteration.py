"""A training step whose rows are read in parts: by several ranks side by side, and by one rank one part after the other.

Less memory, or more machines, and the step of all rows at once: each part's loss counts by its share of the window's targets,
its penalty on activations (a mean over cells, padding among them) by its share of the rows. What is drawn at random, as
dropout and the noise of a sampled softmax are, is drawn for each part.
"""

import contextlib

import torch
from torch import Tensor, nn

from rnnlm.neural.device import training_products
from rnnlm.neural.fitting.penalties import Penalty
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.step import Iteration
from rnnlm.neural.network import Network, NetworkState
from rnnlm.text.batches import Window


class SharedIteration(Iteration):
    """An :class:`Iteration` over this rank's share of the `rows` of all; losses are their parts of the mean over all of them."""

    def __init__(
        self, network: Network, settings: FittingSettings, optimizer: torch.optim.Optimizer, penalty: Penalty, precision: str,
        ranks: SingleProcess, rows: int,
    ) -> None:  # fmt: skip
        super().__init__(network, settings, optimizer, penalty, precision)
        self.ranks = ranks
        self.rows = rows
        self.reader = ranks.averaging(_Reader(network))

    def gradients(self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState, window: Window) -> tuple[Tensor, NetworkState]:
        """Ranks exchange gradients with the last part; what the ones before it gave is in them."""
        parts = min(self.settings.accumulation, inputs_TB.shape[1])
        divided = [tensor.tensor_split(parts, dim=1) for tensor in (inputs_TB, targets_TB, *state)]
        tokens_B = window.tokens_B[self.ranks.share(self.rows)]
        self.optimizer.zero_grad(set_to_none=True)
        loss, after, read = 0.0, [], 0
        for number, (inputs_Tb, targets_Tb, *before) in enumerate(zip(*divided, strict=True)):
            rows = inputs_Tb.shape[1]
            tokens = int(tokens_B[read : read + rows].sum())
            read += rows
            is_last = number == parts - 1
            with contextlib.nullcontext() if is_last else self.ranks.without_averaging(self.reader):
                with training_products(self.precision, inputs_TB.device):
                    shares = tokens / int(window.tokens_B.sum()), rows / self.rows
                    objective, part, state = self.reader(inputs_Tb, targets_Tb, tuple(before), *shares)
                (objective * self.ranks.count).backward()  # which the mean over ranks takes back
            loss = loss + part
            after.append(state)
        return loss, tuple(torch.cat(tensors, dim=1) for tensors in zip(*after, strict=True))


class _Reader(nn.Module):
    """The network's loss as a module's `forward`, which is what DistributedDataParallel knows."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState, share: float, row_share: float
    ) -> tuple[Tensor, Tensor, NetworkState]:
        """What is minimised, its loss, and the state after the window; both of all rows, as far as these have a share in it."""
        loss, penalty, state = self.network.loss(inputs_TB, targets_TB, state)
        loss = loss * share
        objective = loss + penalty * row_share
        if not share:  # without targets some output layers leave weights out, and the other ranks would wait for their gradients
            objective = objective + 0.0 * sum(weight.sum() for weight in self.network.parameters() if weight.requires_grad)
        return objective, loss.detach(), tuple(tensor.detach() for tensor in state)


def make_iteration(
    network: Network, settings: FittingSettings, optimizer: torch.optim.Optimizer, penalty: Penalty, precision: str,
    ranks: SingleProcess, rows: int,
) -> Iteration:  # fmt: skip
    """What takes the steps of this rank, of `rows` of all ranks."""
    if ranks is SINGLE_PROCESS and settings.accumulation == 1:
        return Iteration(network, settings, optimizer, penalty, precision)
    return SharedIteration(network, settings, optimizer, penalty, precision, ranks, rows)
