"""The largest Lyapunov exponents of a layer, driven by the text: by how much, in nats per token, nearby states come apart or together.

By QR (Benettin et al. 1980; for recurrent networks Engelken et al. 2023): a few vectors go through the Jacobians, are made orthogonal
again every few steps, and the logarithms of the lengths that they then have are averaged over time. They go backwards here: a product of
Jacobians and its transpose have the same singular values, of whose logarithms the exponents are the growth.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.inspection.gradients.trajectory import Trajectory

SETTLING = 0.25  # share of the steps in which the vectors turn to their directions, before lengths count
STEPS_BETWEEN = 4  # two orthogonalisations


@dataclass(frozen=True)
class Exponent:
    """In nats per token, averaged over positions. standard_error: over positions; None where there is one alone, or nothing to average."""

    value: float
    standard_error: float | None


def growth(trajectory: Trajectory, steps: int, count: int, generator: torch.Generator) -> Tensor:
    """The `count` largest exponents of each row, (M, B), float64, over the last `steps` steps; -inf where all of the past is forgotten."""
    S, rows, like = trajectory.state_width, trajectory.rows, trajectory.states[0][0]
    drawn_BSM = torch.randn((rows, S, min(count, S)), generator=generator, dtype=torch.float64)
    vectors_BSM = torch.linalg.qr(drawn_BSM).Q.to(like)
    settling = int(SETTLING * steps)
    sum_BM = torch.zeros(rows, vectors_BSM.shape[2], dtype=torch.float64, device=like.device)
    for number in range(1, steps + 1):
        vectors_BSM = trajectory.pull_back(trajectory.steps - number, vectors_BSM.permute(2, 0, 1)).permute(1, 2, 0)
        if number in (settling, steps) or (number - settling) % STEPS_BETWEEN == 0:
            Q_BSM, R_BMM = torch.linalg.qr(vectors_BSM.double())
            vectors_BSM = Q_BSM.to(like)
            if number > settling:
                sum_BM += R_BMM.diagonal(dim1=1, dim2=2).abs().log()
    return sum_BM.t() / (steps - settling)


def exponents(growth_MB: Tensor) -> tuple[Exponent, ...]:
    """Means over rows, and their standard errors."""
    rows = growth_MB.shape[1]
    mean_M = growth_MB.mean(1)
    error_M = (growth_MB.std(1) / math.sqrt(rows)).tolist() if rows > 1 else [math.nan] * len(mean_M)
    return tuple(Exponent(value, error if math.isfinite(error) else None) for value, error in zip(mean_M.tolist(), error_M, strict=True))
