"""Optimizers by name, and the clipping of gradients."""

import torch
from torch import Tensor, nn

from rnnlm.neural.fitting.settings import FittingSettings

FUSED = {"sgd": ("cpu", "cuda"), "asgd": ("cpu", "cuda"), "adam": ("cpu", "cuda"), "adamw": ("cpu", "cuda"), "adagrad": ("cpu",)}


def make_optimizer(settings: FittingSettings, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of `settings`; weight decay concerns matrices, not biases. One fused kernel where torch has it.

    `asgd` takes the steps of SGD; :class:`rnnlm.neural.fitting.averaging.Averaging` averages the weights. (torch.optim.ASGD does
    both, but takes each step at the learning rate of the step before, and on CUDA the host waits for it.)
    """
    name = settings.optimizer
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = {"fused": True} if device.type in FUSED.get(name, ()) else {}
    rate = settings.learning_rate
    if name in ("sgd", "asgd"):
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.nesterov, **fused)
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=rate, **fused)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=settings.rms_decay, momentum=settings.momentum)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    recorded = settings.cuda_graphs and device.type == "cuda"
    return kind(groups, lr=rate, betas=(settings.beta1, settings.beta2), capturable=recorded, **fused)


def clip_gradients(settings: FittingSettings, network: nn.Module) -> Tensor:
    """By value, then by global norm (Pascanu et al. 2013), as far as asked for. The global norm of the gradients before that."""
    parameters = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norm = found = gradient_norm(parameters)
    if settings.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, settings.clip_value)
        found = norm if settings.clip_norm is None else gradient_norm(parameters)
    if settings.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, found)
    return norm


def gradient_norm(parameters: list[nn.Parameter]) -> Tensor:
    """The norm of all gradients as one vector, on their device."""
    return nn.utils.get_total_norm([parameter.grad for parameter in parameters])
