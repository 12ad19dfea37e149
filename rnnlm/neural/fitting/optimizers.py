"""Optimizers by name, the clipping of gradients, and penalties on the size of weights."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.errors import SettingsError
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings

FUSED = {"sgd": ("cpu", "cuda"), "asgd": ("cpu", "cuda"), "adam": ("cpu", "cuda"), "adamw": ("cpu", "cuda"), "adagrad": ("cpu",)}


def make_optimizer(
    settings: OptimizationSettings, network: nn.Module, device: torch.device, is_recorded: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of `settings`; weight decay concerns matrices, not biases. One fused kernel where torch has it.

    is_recorded: its steps are recorded as CUDA graphs, so that the number of its steps is to be on the device.

    `asgd` takes the steps of SGD; :class:`rnnlm.neural.fitting.averaging.Averaging` averages the weights. (torch.optim.ASGD does
    both, but takes each step at the learning rate of the step before, and on CUDA the host waits for it.)
    """
    name = settings.optimizer
    groups = list(_groups(settings, network))
    fused = {"fused": True} if device.type in FUSED.get(name, ()) else {}
    rate = settings.learning_rate
    if name in ("sgd", "asgd"):
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.nesterov, **fused)
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=rate, **fused)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=settings.rms_decay, momentum=settings.momentum)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, betas=(settings.beta1, settings.beta2), capturable=is_recorded, **fused)


def _groups(settings: OptimizationSettings, network: nn.Module) -> Iterator[dict[str, Any]]:
    """Matrices, then the rest; where layers learn at rates of their own, for each depth, the highest layer first."""
    depths = network.depths() if settings.varies_by_layer else {}  # type: ignore[operator]  # networks that can, have it
    parameters = [(depths.get(parameter, 0), parameter) for parameter in network.parameters() if parameter.requires_grad]
    for depth in sorted({0, *depths.values()}):
        own = [parameter for its, parameter in parameters if its == depth]
        yield {"params": [p for p in own if p.dim() > 1], "weight_decay": settings.weight_decay, "depth": depth}
        yield {"params": [p for p in own if p.dim() <= 1], "weight_decay": 0.0, "depth": depth}


def set_layer_factors(optimizer: torch.optim.Optimizer, settings: OptimizationSettings, epochs: float) -> None:
    """Of the next step, after so many epochs, the factor of each group's learning rate."""
    if settings.varies_by_layer:
        for group in optimizer.param_groups:
            group["factor"] = settings.rate_factor(group["depth"], epochs)


def drop_frozen_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Weights whose rate is zero have no gradient: they count neither for clipping nor for what an optimizer remembers."""
    for group in optimizer.param_groups:
        if group.get("factor", 1.0) == 0:
            for parameter in group["params"]:
                parameter.grad = None


def gradient_norms(network: nn.Module) -> dict[nn.Parameter, Tensor]:
    """The norm of the gradient of each weight that has one, on their device."""
    gradients = {parameter: parameter.grad for parameter in network.parameters() if parameter.grad is not None}
    return dict(zip(gradients, torch._foreach_norm(list(gradients.values())), strict=True)) if gradients else {}


def clip_gradients(settings: OptimizationSettings, network: nn.Module, norms: dict[nn.Parameter, Tensor] | None = None) -> Tensor:
    """By value, then by global norm (Pascanu et al. 2013), as far as asked for; the global norm of the gradients before that. norms: as
    :func:`gradient_norms` gives them, where they are known."""
    norms = gradient_norms(network) if norms is None else norms
    parameters, norm = list(norms), total_norm(norms)
    found = norm
    if settings.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, settings.clip_value)
        found = norm if settings.clip_norm is None else nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    if settings.clip_norm is not None and not _is_within(found, settings.clip_norm):
        nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, found)
    return norm


def _is_within(norm: Tensor, clip_norm: float) -> bool:
    """Whether torch would multiply all gradients by exactly 1, as far as that is known without waiting for a device."""
    return norm.device.type == "cpu" and bool(clip_norm / (norm + 1e-6) >= 1)


def total_norm(norms: dict[nn.Parameter, Tensor]) -> Tensor:
    """The norm of all gradients as one vector, on their device."""
    return torch.linalg.vector_norm(torch.stack(list(norms.values()))) if norms else torch.tensor(0.0)


class Penalty:
    """A part of the loss, l1 |w|_1 + l2/2 |w|_2^2, added as its gradient: on all weight matrices (word vectors are some; biases are not) or
    on the recurrent ones (`weight_hh...`) alone.

    The loss that is reported stays the cross-entropy.

    Raises:
        SettingsError: there are no recurrent weights to penalise.
    """

    def __init__(self, settings: OptimizationSettings, network: nn.Module) -> None:
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
        weights: list[Tensor] = [weight for weight in self.weights if weight.grad is not None]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if not weights:
            return
        if self.l2:
            torch._foreach_add_(gradients, weights, alpha=self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.l1)
