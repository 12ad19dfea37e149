"""One network at many positions: the curves of each layer and of the loss, in parts of so many positions as keep memory bounded."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rnnlm.inspection.gradients.bounds import Bounds, elman_bounds, flattest_slope
from rnnlm.inspection.gradients.curve import Curve, curve
from rnnlm.inspection.gradients.jacobians import EXACT_UNITS, probes_for, squared_sizes
from rnnlm.inspection.gradients.loss_gradients import loss_gradients
from rnnlm.inspection.gradients.lyapunov import Exponent, exponents, growth
from rnnlm.inspection.gradients.positions import Positions
from rnnlm.inspection.gradients.trajectory import Trajectory, trajectories
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.layers.jordan import JordanLayer
from rnnlm.neural.layers.stack import ElmanLayer, RecurrentStack
from rnnlm.neural.network import Network
from rnnlm.text.lines import Progress

NUMBERS_AT_ONCE = 48 << 20  # that a part of the positions keeps in memory, roughly: 200 MB in fp32
EXPONENT_POSITIONS = 100  # of which Lyapunov exponents are taken: they vary little


@dataclass(frozen=True)
class LayerGradients:
    """Of one layer. parts: what its state consists of. probes: random vectors for each part; None: the sizes are exact. state: of the whole
    state, ||dS(t)/dS(t-k)||_F / sqrt(width of S); cell: of c alone, ||dc(t)/dc(t-k)||_F / sqrt(width of c), where there is a cell; bounds:
    of an Elman layer."""

    name: str
    width: int
    parts: tuple[str, ...]
    probes: int | None
    state: Curve
    cell: Curve | None
    bounds: Bounds | None
    exponents: tuple[Exponent, ...]


@dataclass
class _Layer:
    """What is found of a layer, part by part of the positions."""

    trajectory: Trajectory  # the last one
    squares: list[Tensor] = field(default_factory=list)
    cell_squares: list[Tensor] = field(default_factory=list)
    growths: list[Tensor] = field(default_factory=list)
    flattest: float = float("inf")


@dataclass(frozen=True)
class Settings:
    """probes: random vectors at each position, of layers wider than 64 units. exponents: how many of a layer."""

    probes: int
    exponents: int
    seed: int


def measure(
    model: NeuralLanguageModel, positions: Positions, settings: Settings, progress: Progress
) -> tuple[tuple[LayerGradients, ...], Curve]:
    """The layers, the lowest first, and the curve of the loss, by lag from 0 on."""
    found: list[_Layer] = []
    losses: list[Tensor] = []
    generator = torch.Generator().manual_seed(settings.seed)
    done = 0
    with model.reading():
        for part in positions.parts(rows_at_once(model.network, positions.lags, settings.probes)):
            losses.append(_by_lag(model.network, part))
            for number, trajectory in enumerate(trajectories(model.network, part.inputs_TB, part.state)):
                if number == len(found):
                    found.append(_Layer(trajectory))
                _add(found[number], trajectory, max(0, EXPONENT_POSITIONS - done), settings, generator)
            done += part.rows
            progress(f"{done:,} of {positions.rows:,} positions")
    layers = tuple(_layer(number, layer, settings) for number, layer in enumerate(found, start=1))
    return layers, curve(torch.cat(losses, dim=1).square().cpu().numpy(), 0, settings.seed)


def _by_lag(network: Network, positions: Positions) -> Tensor:
    """The norm of the gradient of the loss at each position, (lags + 1, B), with the word read so many tokens before."""
    last_B = torch.full_like(positions.targets_B, positions.lags)
    norms_TB, _ = loss_gradients(network, network.input.vectors(positions.inputs_TB), last_B, positions.targets_B, positions.state)
    return norms_TB.flip(0)


def rows_at_once(network: Network, lags: int, probes: int) -> int:
    """How many positions are looked at side by side."""
    layers = network.body.layers if isinstance(network.body, RecurrentStack) else [network.body]
    read = sum(layer.weight_ih.shape[1] + 8 * layer.width for layer in layers) * (lags + 1)
    vectors = [2 * max(probes, layer.width if layer.width <= EXACT_UNITS else 0) for layer in layers]
    pulled = max(16 * count * layer.width for count, layer in zip(vectors, layers, strict=True))
    distributions = lags + vectors[0] if isinstance(network.body, JordanLayer) else 1
    return max(1, NUMBERS_AT_ONCE // (read + pulled + 4 * distributions * network.input.size))


def _add(found: _Layer, trajectory: Trajectory, rows: int, settings: Settings, generator: torch.Generator) -> None:
    """What a part of the positions adds; of its first `rows` the exponents, too."""
    lags = trajectory.steps - 1
    sizes = squared_sizes(trajectory, lags, settings.probes, generator)
    found.trajectory = trajectory
    found.squares.append(sizes.state_KB)
    if sizes.cell_KB is not None:
        found.cell_squares.append(sizes.cell_KB)
    if rows and settings.exponents:
        found.growths.append(growth(trajectory.first_rows(rows), lags, settings.exponents, generator))
    if isinstance(trajectory.layer, ElmanLayer):
        found.flattest = min(found.flattest, flattest_slope(trajectory.hidden_TBH[1:], trajectory.layer.activation))


def _layer(number: int, found: _Layer, settings: Settings) -> LayerGradients:
    layer, parts = found.trajectory.layer, found.trajectory.parts
    probes = probes_for(found.trajectory, settings.probes)
    return LayerGradients(
        name=f"layer {number}",
        width=layer.width,
        parts=parts,
        probes=None if probes == layer.width else probes,
        state=curve(_array(found.squares), 1, settings.seed),
        cell=curve(_array(found.cell_squares), 1, settings.seed) if found.cell_squares and len(parts) > 1 else None,
        bounds=elman_bounds(layer, found.flattest) if isinstance(layer, ElmanLayer) else None,
        exponents=exponents(torch.cat(found.growths, dim=1)) if found.growths else (),
    )


def _array(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts, dim=1).cpu().numpy()
