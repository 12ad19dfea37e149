"""Compute Jacobians along a trajectory: their size by lag, Lyapunov exponents, bounds, and
gradients of the loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnlm import system
from rnnlm.lm.neural.activations import BY_NAME
from rnnlm.lm.neural.layers.layers import ElmanLayer, Layer, RecurrentStack, State, named_layers
from rnnlm.lm.neural.network import Network

# ---- The trajectory of a recurrent layer at several positions of a text, and vectors pulled back
# along it.
#
# A layer's Jacobian dS(t)/dS(t-k) is the product of the Jacobians of its k last steps, with
# everything that the layer reads held fixed. S is all that is fed back into the layer, its parts
# side by side: h, for an LSTM h and c. The words that a convolution reads are inputs, not state.
#
# Shapes: T steps, B rows (positions, read side by side), H width of the layer, S width of its state
# (H or 2H), M vectors.


@dataclass(frozen=True)
class Trajectory:
    """A layer, its inputs, (T, B, .), and its states: before each step, and after the last."""

    layer: Layer
    inputs_TBE: Tensor
    states: Sequence[State]
    feedback: tuple = ()

    @property
    def steps(self) -> int:
        return len(self.inputs_TBE)

    @property
    def rows(self) -> int:
        return self.inputs_TBE.shape[1]

    @property
    def hidden_TBH(self) -> Tensor:
        """The first part of the state, after each step."""
        return torch.cat([state[0] for state in self.states[1:]])

    def first_rows(self, rows: int) -> "Trajectory":
        """Return the trajectory at the first `rows` positions."""
        states = [tuple(part[:, :rows] for part in state) for state in self.states]
        return Trajectory(self.layer, self.inputs_TBE[:, :rows], states, self.feedback)

    def pull_back(self, step: int, vectors_MBS: Tensor) -> Tensor:
        """Return v^T J for each of the vectors, with J the Jacobian of the state after `step` (0
        is the first) with respect to the state before."""
        # Take the step again with gradients. Parts that are not fed back, such as the words of a
        # convolution, have none.
        parts = len(self.layer.parts)
        fed_back, rest = self.states[step][:parts], self.states[step][parts:]
        before = [part[0].detach().requires_grad_() for part in fed_back]
        with torch.enable_grad():
            whole = (*(part.unsqueeze(0) for part in before), *rest)
            _, after = self.layer.step(self.inputs_TBE[step], whole, *self.feedback)
            outputs = [part[0] for part in after[:parts]]
        vectors = vectors_MBS.chunk(parts, dim=2)
        return torch.cat(torch.autograd.grad(outputs, before, vectors, is_grads_batched=True), 2)


def trajectories(network: Network, inputs_TB: Tensor, state: State) -> Iterator[Trajectory]:
    """Yield the trajectory of each layer of a recurrent network that reads `inputs_TB` from
    `state` on, the lowest layer first."""
    body, x_TBE = network.body, network.input.vectors(inputs_TB)
    used = 0
    for number, layer in enumerate(body.layers if isinstance(body, RecurrentStack) else [body]):
        # The states of all layers follow each other in one tuple.
        tensors = len(layer.state_shapes())
        states, hidden = [state[used : used + tensors]], []
        used += tensors
        for x_BE in x_TBE:
            step, after = layer.step(x_BE, states[-1], *network.feedback)
            states.append(after)
            hidden.append(step.hidden_BH)
        yield Trajectory(layer, x_TBE, states, network.feedback)

        # The next layer's input.
        y_TBH = torch.stack(hidden)
        x_TBE = body.connect(number, x_TBE, y_TBH) if isinstance(body, RecurrentStack) else y_TBH


# ---- The size of a layer's Jacobian by lag, at each position.
#
# ||J||_F^2 = E||J^T v||^2 for a random v with E v v^T = I (Hutchinson 1990), so one pass back over
# the steps gives all lags at once. The vectors of a position are orthogonal to each other: each
# still has the distribution that the estimate needs, as many as there are units give ||J||_F
# exactly, and fewer of them have less variance than independent ones.
#
# They are drawn for each part of the state separately: the components at c of vectors that began at
# c give the block dc(t)/dc(t-k). That is a total derivative: all paths from one cell to the other
# count, through gates and h in between, too, not only the one through the forget gates.

EXACT_UNITS = 64  # up to this width there is a vector for each unit
STEPS_BETWEEN = 4  # after this many steps the vectors' lengths are brought back to 1


def squared_sizes(
    trajectory: Trajectory, lags: int, probes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Measure the Jacobians of the state after the last step with respect to the states 1 to `lags`
    steps before. probes: random vectors, shared out over the parts of the state.

    Return ||J||_F^2 / width by lag, 1 to K, and row, float64: of the whole state, (K, B), and of
    the block of the cell alone, where there is one. A Jacobian that keeps all lengths has size 1.
    """
    H, parts = trajectory.layer.width, len(trajectory.layer.parts)
    probes = probes_for(trajectory, probes)
    vectors_MBS = _vectors(trajectory, probes, generator)
    log_length_MB = torch.zeros(
        vectors_MBS.shape[:2], dtype=torch.float64, device=vectors_MBS.device
    )
    whole, cell = [], []
    for lag in range(1, lags + 1):
        vectors_MBS = trajectory.pull_back(trajectory.steps - lag, vectors_MBS)
        by_part_MBPH = vectors_MBS.unflatten(2, (parts, H))
        squares_MBP = torch.linalg.vector_norm(by_part_MBPH, dim=3).double().square()

        # Undo the shortening. Each vector represents H / probes units, and a size is per unit.
        scale_MB1 = torch.exp(2 * log_length_MB).unsqueeze(2) / probes
        whole.append((scale_MB1 * squares_MBP).sum((0, 2)) / parts)
        cell.append((scale_MB1 * squares_MBP)[-probes:, :, -1].sum(0))

        if lag % STEPS_BETWEEN == 0:
            length_MB = squares_MBP.sum(2).sqrt()

            # Bring vectors back to length 1, so that they neither vanish nor explode in fp32, and
            # add the logarithms of their lengths to the sums of earlier steps.
            safe_MB = torch.where(length_MB > 0, length_MB, 1.0)
            vectors_MBS, log_length_MB = (
                vectors_MBS / safe_MB.to(vectors_MBS.dtype).unsqueeze(2),
                log_length_MB + safe_MB.log(),
            )
    has_cell = "c" in trajectory.layer.parts
    return torch.stack(whole), torch.stack(cell) if has_cell else None


def probes_for(trajectory: Trajectory, probes: int) -> int:
    """Return how many vectors each part of the state gets if `probes` are asked for: one for
    each unit up to 64 units."""
    width = trajectory.layer.width
    if width <= EXACT_UNITS:
        return width
    return max(1, min(probes // len(trajectory.layer.parts), width))


def _vectors(trajectory: Trajectory, probes: int, generator: torch.Generator) -> Tensor:
    """Draw vectors (M, B, S) of length 1, M = parts * probes: for each part of the state as many
    that are zero in the other parts."""
    H, parts, rows = trajectory.layer.width, len(trajectory.layer.parts), trajectory.rows
    like = trajectory.states[0][0]
    vectors_MBS = like.new_zeros((parts * probes, rows, parts * H))
    for part in range(parts):
        first_vector, first_unit = part * probes, part * H
        block_PBH = vectors_MBS[first_vector:, :, first_unit : first_unit + H][:probes]
        if probes == H:
            block_PBH[:] = torch.eye(H, dtype=like.dtype, device=like.device).unsqueeze(1)
        else:
            # Draw on the CPU, so that every device has the same vectors.
            drawn_BHP = torch.randn((rows, H, probes), generator=generator, dtype=torch.float64)
            block_PBH[:] = torch.linalg.qr(drawn_BHP).Q.permute(2, 0, 1).to(like)
    return vectors_MBS


# ---- The largest Lyapunov exponents of a layer, driven by the text: by how much, in nats per
# token, nearby states diverge or converge.
#
# By QR (Benettin et al. 1980; for recurrent networks Engelken et al. 2023): a few vectors go
# through the Jacobians and are orthogonalised every few steps, and the logarithms of their lengths
# are averaged over time. They go backwards here: a product of Jacobians and its transpose have the
# same singular values, and the exponents are the growth of the logarithms of these.

# Share of the steps in which the vectors settle in their directions, before lengths count
SETTLING = 0.25


@dataclass(frozen=True)
class Exponent:
    """A Lyapunov exponent.

    Attributes:
        value: Nats per token, averaged over positions.
        standard_error: Its standard error over positions; None if there is only one, or nothing to
            average.
    """

    value: float
    standard_error: float | None


def growth(trajectory: Trajectory, steps: int, count: int, generator: torch.Generator) -> Tensor:
    """Return the `count` largest exponents of each row, (M, B), float64, over the last `steps`
    steps; -inf where all of the past is forgotten."""
    S = trajectory.layer.width * len(trajectory.layer.parts)
    rows, like = trajectory.rows, trajectory.states[0][0]
    drawn_BSM = torch.randn((rows, S, min(count, S)), generator=generator, dtype=torch.float64)
    vectors_BSM = torch.linalg.qr(drawn_BSM).Q.to(like)
    settling = int(SETTLING * steps)
    sum_BM = torch.zeros(rows, vectors_BSM.shape[2], dtype=torch.float64, device=like.device)
    for number in range(1, steps + 1):
        vectors_MBS = vectors_BSM.permute(2, 0, 1)
        vectors_BSM = trajectory.pull_back(trajectory.steps - number, vectors_MBS).permute(1, 2, 0)

        # Orthogonalise every few steps, and at both ends of the time that counts.
        if number in (settling, steps) or (number - settling) % STEPS_BETWEEN == 0:
            Q_BSM, R_BMM = torch.linalg.qr(vectors_BSM.double())
            vectors_BSM = Q_BSM.to(like)
            if number > settling:
                sum_BM += R_BMM.diagonal(dim1=1, dim2=2).abs().log()
    return sum_BM.t() / (steps - settling)


def exponents(growth_MB: Tensor) -> tuple[Exponent, ...]:
    """Average exponents over rows, with standard errors."""
    rows = growth_MB.shape[1]
    mean_M = growth_MB.mean(1).tolist()
    if rows == 1:
        return tuple(Exponent(value, None) for value in mean_M)
    error_M = (growth_MB.std(1) / math.sqrt(rows)).tolist()
    return tuple(
        Exponent(value, error if math.isfinite(error) else None)
        for value, error in zip(mean_M, error_M, strict=True)
    )


# ---- Bounds on the Jacobian of an Elman layer from the singular values of W alone (after Pascanu,
# Mikolov & Bengio 2013, section 2.1).
#
# A step's Jacobian is diag(phi') W, so that its singular values, and with them its size, lie
# between sigma_min(W) min phi' and sigma_max(W) max phi', and for k steps between the k-th powers.
# An upper bound below 1 is sufficient for gradients to vanish; one above 1 is necessary for them to
# explode, not sufficient.


@dataclass(frozen=True)
class JacobianBounds:
    """Bounds on a Jacobian.

    Attributes:
        largest: Largest singular value of W.
        smallest: Smallest singular value of W.
        steepest: Largest phi' of the activation.
        flattest: Smallest phi' that occurred.
    """

    largest: float
    smallest: float
    steepest: float
    flattest: float

    @property
    def upper(self) -> float:
        """The largest factor by which each token multiplies the size."""
        return self.largest * self.steepest

    @property
    def lower(self) -> float:
        """The smallest factor by which each token multiplies the size."""
        return self.smallest * self.flattest

    def upper_at(self, lag: int) -> float:
        """Return the upper bound of the size at a lag; infinite if a float cannot hold it.

        Args:
            lag: The lag, in tokens.
        """
        with np.errstate(over="ignore"):
            return float(np.power(self.upper, float(lag)))

    def lower_at(self, lag: int) -> float:
        """Return the lower bound of the size at a lag.

        Args:
            lag: The lag, in tokens.
        """
        return float(np.power(self.lower, float(lag)))


@system.torch_threads(1)  # several wait for each other: 6 s for 0.1 beside other work
def elman_bounds(layer: ElmanLayer, flattest: float) -> JacobianBounds:
    """Return the bounds of a layer. flattest: the smallest slope of its activation that
    occurred."""
    singular_H = torch.linalg.svdvals(layer.weight_hh.detach().double())
    steepest = BY_NAME[layer.activation].steepest
    return JacobianBounds(float(singular_H[0]), float(singular_H[-1]), steepest, flattest)


def flattest_slope(hidden: Tensor, activation: str) -> float:
    """Return the smallest phi' among units whose values, after the activation, are `hidden`."""
    return float(BY_NAME[activation].derivative(hidden.double()).min())


# ---- How much the loss at a position changes with the vectors of the words read before it, and
# with the hidden states there: ||dloss(t)/dx(s)|| and ||dloss(t)/dh(s)||, through all layers.
#
# x is the lowest layer's input for a word (its vector, or one made from its characters), loss(t)
# the surprisal, in nats, of the token that follows the one read at t. These are total derivatives,
# through gates, cells and connections between layers as in training.


def loss_gradients(
    network: Network, x_TBE: Tensor, at_B: Tensor, targets_B: Tensor, state: State
) -> tuple[Tensor, Tensor]:
    """Return for each row the norms of the gradient by the step s at which x was read, (T, B),
    float64, in nats per unit of length; and the loss in nats, (B,). at_B: the step t whose loss
    it is. state: before the first step."""
    x_TBE = x_TBE.detach().clone().requires_grad_()
    rows_B = torch.arange(len(at_B), device=at_B.device)
    # cuDNN has no backward pass in evaluation mode
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        y_TBH, _ = network.body(x_TBE, state, *network.feedback)
        features_1BE = network.projection(y_TBH[at_B, rows_B].unsqueeze(0))
        loss_B = -network.score_features(features_1BE, targets_B.unsqueeze(0))[0]
        (gradient_TBE,) = torch.autograd.grad(loss_B.sum(), [x_TBE])
    return gradient_TBE.double().norm(dim=2), loss_B.detach()


def loss_gradients_by_state(
    network: Network, inputs_TB: Tensor, targets_B: Tensor, state: State
) -> list[Tensor]:
    """Return for each layer, the lowest first, the norms of the gradient of the loss after the last
    step by the layer's hidden state after each step, (T, B), float64; by its cell, if its hidden
    state is not fed back. state: before the first step."""
    remembered: list[Tensor] = []
    with torch.enable_grad():
        trace = network.trace(inputs_TB, state)
        for layer, traced in zip(named_layers(network).values(), trace.layers, strict=True):
            for step in traced.steps:
                cell_BH = None if "h" in layer.parts else step.cell_BH
                remembered.append(step.hidden_BH if cell_BH is None else cell_BH)
        loss_B = -network.score_features(trace.features_TBE[-1:], targets_B.unsqueeze(0))[0]
        gradients = torch.autograd.grad(loss_B.sum(), remembered, materialize_grads=True)
    norms_LTB = torch.stack([gradient_BH.double().norm(dim=1) for gradient_BH in gradients])
    return list(norms_LTB.split(len(inputs_TB)))
