"""Batch normalisation (Ioffe & Szegedy 2015)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.Module):
    """y = g (x - mean) / sqrt(variance + 1e-5) + b, number by number, with learned g and b.

    In training, mean and variance are taken over the rows that come together (algorithm 1); in
    evaluation they are running ones, of which each batch has been a tenth (algorithm 2), so that
    a row's result does not depend on the rows beside it. A single row in training has no
    variance: it is normalised as in evaluation.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise rows (..., H)."""
        rows_NH = x.flatten(0, -2).to(self.weight.dtype)
        y_NH = F.batch_norm(
            rows_NH,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training and len(rows_NH) > 1,
        )
        return y_NH.view(x.shape)


def running_statistics(network: nn.Module) -> dict[str, Tensor]:
    """Return the running statistics of a network by name."""
    return {name: buffer for name, buffer in network.named_buffers() if "running_" in name}
