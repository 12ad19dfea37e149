"""Optimizers by name, and the learning rate over the budget."""

import math

import torch
from torch import nn

from rnnlm.neural.fitting_settings import FittingSettings

FUSED_DEVICES = ("cpu", "cuda")


def make_optimizer(settings: FittingSettings, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of `settings`; weight decay concerns matrices, not biases. One fused kernel where torch has it."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in FUSED_DEVICES
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=fused)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=fused)


class LearningRate:
    """The learning rate at a share of the budget: warm-up, then the schedule; plateau lowers it on bad validations."""

    def __init__(self, settings: FittingSettings) -> None:
        self.settings = settings
        self.factor = 1.0
        self.bad_validations = 0

    def at(self, progress: float) -> float:
        """The rate when `progress` (0 to 1) of the budget is used."""
        return self.settings.learning_rate * self.factor * self._share(min(max(progress, 0.0), 1.0))

    def after_validation(self, improved: bool) -> None:
        if self.settings.schedule != "plateau":
            return
        self.bad_validations = 0 if improved else self.bad_validations + 1
        if self.bad_validations > self.settings.plateau_patience:
            self.factor *= self.settings.plateau_factor
            self.bad_validations = 0

    def _share(self, progress: float) -> float:
        warmup, final = self.settings.warmup, self.settings.final_rate
        if progress < warmup:
            return max(progress / warmup, 0.01)
        if self.settings.schedule in ("constant", "plateau"):
            return 1.0
        done = (progress - warmup) / (1.0 - warmup)
        left = 1.0 - done if self.settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return final + (1.0 - final) * left


def clip_gradients(settings: FittingSettings, network: nn.Module) -> None:
    """By value, then by global norm (Pascanu et al. 2013), as far as asked for."""
    if settings.clip_value is not None:
        nn.utils.clip_grad_value_(network.parameters(), settings.clip_value)
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
