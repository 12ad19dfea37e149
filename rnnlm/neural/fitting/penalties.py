"""Penalties on the size of weights, a part of the loss: l1 |w|_1 + l2/2 |w|_2^2, added as their gradients."""

import torch
from torch import nn

from rnnlm.errors import SettingsError
from rnnlm.neural.fitting.settings import FittingSettings


class Penalty:
    """On all weight matrices (word vectors are some; biases are not) or on the recurrent ones (`weight_hh...`) alone.

    The loss that is reported stays the cross-entropy.

    Raises:
        SettingsError: there are no recurrent weights to penalise.
    """

    def __init__(self, settings: FittingSettings, network: nn.Module) -> None:
        self.l1, self.l2 = settings.l1, settings.l2
        self.weights = []
        if not (self.l1 or self.l2):
            return
        for name, weight in network.named_parameters():
            is_chosen = settings.penalised == "all" or name.rpartition(".")[2].startswith("weight_hh")
            if is_chosen and weight.dim() > 1 and weight.requires_grad:
                self.weights.append(weight)
        if not self.weights:
            raise SettingsError("penalised = recurrent: this kind of model has no recurrent weights", hint="set penalised=all")

    @torch.no_grad()
    def add_gradients(self) -> None:
        """After the backward pass: l1 sign(w) + l2 w is added to the gradient of each penalised w (0 at w = 0)."""
        weights = [weight for weight in self.weights if weight.grad is not None]
        if not weights:
            return
        gradients = [weight.grad for weight in weights]
        if self.l2:
            torch._foreach_add_(gradients, weights, alpha=self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.l1)
