"""What of a training step runs on the device alone: loss, gradients, update. Nothing in it waits for the device."""

import torch
from torch import Tensor

from rnnlm.neural.device import training_products
from rnnlm.neural.fitting.optimizers import clip_gradients
from rnnlm.neural.fitting.penalties import Penalty
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.network import Network, NetworkState
from rnnlm.text.batches import Window


class Iteration:
    """One window after the other through `network`, whose weights `optimizer` updates."""

    def __init__(
        self, network: Network, settings: FittingSettings, optimizer: torch.optim.Optimizer, penalty: Penalty, precision: str
    ) -> None:
        self.network = network
        self.settings = settings
        self.optimizer = optimizer
        self.penalty = penalty
        self.precision = precision

    def __call__(
        self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState, rate: float | Tensor, window: Window | None = None
    ) -> tuple[Tensor, Tensor, NetworkState]:
        """The loss, the norm of its gradient before clipping, and the state after the window; the weights take one step at
        the learning rate `rate`."""
        self.network.train()
        loss, state = self.gradients(inputs_TB, targets_TB, state, window)
        self.penalty.add_gradients()
        gradient_norm = clip_gradients(self.settings, self.network)
        self.set_rate(rate)
        self.optimizer.step()
        return loss, gradient_norm, state

    def gradients(self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState, window: Window | None) -> tuple[Tensor, NetworkState]:
        """The loss and the state after the window; each weight has its gradient. `window`: where the rows of all ranks are."""
        with training_products(self.precision, inputs_TB.device):
            loss, penalty, state = self.network.loss(inputs_TB, targets_TB, state)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        return loss.detach(), tuple(tensor.detach() for tensor in state)

    def set_rate(self, rate: float | Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
