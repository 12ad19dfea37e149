"""The size of a layer's Jacobian by lag, at each position.

||J||_F^2 = E||J^T v||^2 for a random v with E v v^T = I (Hutchinson 1990), so one pass back over the steps gives all lags at once. The
vectors of a position are orthogonal to each other: each has all the same the distribution that the estimate needs, as many as there are
units give ||J||_F exactly, and fewer of them spread less than independent ones.

They are drawn for each part of the state apart: those that begin at c, and what of them arrives at c, give the block dc(t)/dc(t-k).
That is a total derivative: all ways from the one cell to the other count, through gates and h in between too, not only that by way of the
forget gates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.inspection.gradients.trajectory import Trajectory

EXACT_UNITS = 64  # up to this width vectors are taken for all units
STEPS_BETWEEN = 4  # two times that the vectors' lengths are brought back to 1


@dataclass(frozen=True)
class SquaredSizes:
    """||J||_F^2 / width by lag, 1 to K, and row, float64: of the whole state and of the block of the cell alone, where there is one.

    A Jacobian that keeps all lengths has size 1.
    """

    state_KB: Tensor
    cell_KB: Tensor | None


def squared_sizes(trajectory: Trajectory, lags: int, probes: int, generator: torch.Generator) -> SquaredSizes:
    """Of the state after the last step with respect to those 1 to `lags` steps before. probes: random vectors, shared out over the parts
    of the state."""
    H, parts = trajectory.layer.width, len(trajectory.parts)
    probes = probes_for(trajectory, probes)
    vectors_MBS = _vectors(trajectory, probes, generator)
    log_length_MB = torch.zeros(vectors_MBS.shape[:2], dtype=torch.float64, device=vectors_MBS.device)
    whole, cell = [], []
    for lag in range(1, lags + 1):
        vectors_MBS = trajectory.pull_back(trajectory.steps - lag, vectors_MBS)
        squares_MBP = torch.linalg.vector_norm(vectors_MBS.unflatten(2, (parts, H)), dim=3).double().square()
        scale_MB1 = torch.exp(2 * log_length_MB).unsqueeze(2) / probes  # each vector stands for H / probes units
        whole.append((scale_MB1 * squares_MBP).sum((0, 2)) / parts)
        cell.append((scale_MB1 * squares_MBP)[-probes:, :, -1].sum(0))
        if lag % STEPS_BETWEEN == 0:
            vectors_MBS, log_length_MB = _shortened(vectors_MBS, squares_MBP.sum(2).sqrt(), log_length_MB)
    return SquaredSizes(torch.stack(whole), torch.stack(cell) if "c" in trajectory.parts else None)


def probes_for(trajectory: Trajectory, probes: int) -> int:
    """How many vectors are taken for each part of the state, where `probes` are asked for: as many as there are units up to 64 units."""
    width = trajectory.layer.width
    return width if width <= EXACT_UNITS else max(1, min(probes // len(trajectory.parts), width))


def _vectors(trajectory: Trajectory, probes: int, generator: torch.Generator) -> Tensor:
    """(M, B, S) of length 1, M = parts * probes: for each part of the state as many that are zero in the other parts."""
    H, parts, rows = trajectory.layer.width, len(trajectory.parts), trajectory.rows
    like = trajectory.states[0][0]
    vectors_MBS = like.new_zeros((parts * probes, rows, parts * H))
    for part in range(parts):
        block_PBH = vectors_MBS[part * probes : (part + 1) * probes, :, part * H : (part + 1) * H]
        if probes == H:
            block_PBH[:] = torch.eye(H, dtype=like.dtype, device=like.device).unsqueeze(1)
        else:
            drawn_BHP = torch.randn((rows, H, probes), generator=generator, dtype=torch.float64)  # on the CPU: the same on every device
            block_PBH[:] = torch.linalg.qr(drawn_BHP).Q.permute(2, 0, 1).to(like)
    return vectors_MBS


def _shortened(vectors_MBS: Tensor, length_MB: Tensor, log_length_MB: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 again, so that they neither vanish nor explode in fp32; what they lost is kept as a logarithm."""
    safe_MB = torch.where(length_MB > 0, length_MB, 1.0)
    return vectors_MBS / safe_MB.to(vectors_MBS.dtype).unsqueeze(2), log_length_MB + safe_MB.log()
