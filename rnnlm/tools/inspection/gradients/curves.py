"""Measure the gradients of one network at many positions: the curves of each layer and of the
loss by lag, with as many positions at a time as memory allows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rnnlm import arrays
from rnnlm.errors import TextError, notice
from rnnlm.evaluation.resampling import FEWEST_UNITS, jackknife_interval
from rnnlm.lm.neural.layers.layers import ElmanLayer, RecurrentStack, State
from rnnlm.lm.neural.network import Network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.text.lines import Progress
from rnnlm.tools.inspection.gradients.jacobians import (
    EXACT_UNITS,
    Exponent,
    JacobianBounds,
    Trajectory,
    elman_bounds,
    exponents,
    flattest_slope,
    growth,
    loss_gradients,
    loss_gradients_by_state,
    probes_for,
    squared_sizes,
    trajectories,
)

# ---- Sizes at many positions as a curve over lags, and how fast it falls or rises.
#
# Its points are root mean squares over positions, since random probes estimate squares without a
# bias. The rate is the slope of the logarithm of the curve over all lags, or up to the lag where it
# has vanished, by least squares; its 95 % interval leaves out each position. Where a
# few positions hold most of the size, as at long lags, it is too narrow (docs/evaluate.md). With L
# the largest lag, a size
#
# vanishes  if the interval lies below -ln 2 / L: it would halve within the lags
# explodes  if it lies above ln 2 / L: it would double
# holds     if it lies between
# and is undecided if the interval reaches over one of these bounds.

Course = Literal["vanishes", "holds", "explodes", "undecided"]
LOW, HIGH = 0.1, 0.9  # quantiles over positions
# Below, a size has vanished: fp32 ends there; above, it is taken to grow no more
SMALLEST_SQUARE, LARGEST_SQUARE = 1e-70, 1e150
LEAST_FIT = 0.95  # R squared from which a size is taken to fall or rise exponentially


@dataclass(frozen=True)
class Trend:
    """The rate of a size: the slope of its natural logarithm, per token; -inf if the size has
    vanished.

    Attributes:
        slope: The slope.
        low: Lower bound of its 95 % interval.
        high: Upper bound of its 95 % interval.
        largest_lag: Largest lag that was used.
        fit: R squared of the line through the logarithms; NaN where all are alike, or one is
            infinite.
    """

    slope: float
    low: float
    high: float
    largest_lag: int
    fit: float

    @property
    def course(self) -> Course:
        """Whether the size vanishes, holds or explodes within the largest lag."""
        bound = math.log(2) / self.largest_lag
        if self.high < -bound:
            return "vanishes"
        if self.low > bound:
            return "explodes"
        return "holds" if -bound <= self.low and self.high <= bound else "undecided"

    @property
    def half_life(self) -> float | None:
        """The number of tokens in which the size halves; if it explodes, minus the number of tokens
        in which it doubles. None where the size stays as it is, or is no exponential function of
        the lag: R squared of the log-linear regression is below 0.95."""
        return None if not self.slope or self.fit < LEAST_FIT else -math.log(2) / self.slope


@dataclass(frozen=True)
class Curve:
    """Sizes by lag, at K lags. Arrays are (K,) float64.

    Attributes:
        lags: The lags, in tokens.
        mean: Root mean square over positions.
        standard_error: Its standard error over positions and probes; NaN for a single position.
        low: 0.1 quantile over positions.
        median: 0.5 quantile over positions.
        high: 0.9 quantile over positions.
        trend: Rate of the size.
    """

    lags: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    trend: Trend

    def at(self, lag: int) -> int:
        """Return the place of a lag.

        Args:
            lag: The lag.
        """
        return int(lag - self.lags[0])


def curve(squares_KB: np.ndarray, first_lag: int) -> Curve:
    """Make the curve of squared sizes at lags from `first_lag` on, by position."""
    rows = squares_KB.shape[1]
    squares_KB = np.minimum(squares_KB, LARGEST_SQUARE)
    lags = np.arange(first_lag, first_lag + len(squares_KB))
    mean = np.sqrt(squares_KB.mean(1))

    # The error of a root: d sqrt(x) = dx / (2 sqrt(x)).
    spread = squares_KB.std(1, ddof=1) if rows > 1 else np.full(len(lags), math.nan)
    error = np.divide(spread, 2 * mean * math.sqrt(rows), out=np.zeros_like(mean), where=mean > 0)
    low, median, high = np.sqrt(np.quantile(squares_KB, (LOW, 0.5, HIGH), axis=1))

    # A Jacobian is the identity at lag 0.
    at_0_B = squares_KB[0] if first_lag == 0 else np.ones(rows)
    trend = _trend(squares_KB[lags > 0], at_0_B)
    return Curve(
        lags=lags, mean=mean, standard_error=error, low=low, median=median, high=high, trend=trend
    )


def _trend(squares_KB: np.ndarray, at_0_B: np.ndarray) -> Trend:
    """Find the rate over lags from 1 on. Where the size has vanished after one of them, it is the
    rate from lag 0 to lag 1."""
    largest_lag, rows = squares_KB.shape
    vanished = np.flatnonzero(squares_KB.mean(1) < SMALLEST_SQUARE)
    if len(vanished):
        squares_KB = squares_KB[: max(1, vanished[0])]
    if len(squares_KB) == 1:
        squares_KB = np.stack([at_0_B, squares_KB[0]])
    mean_K = squares_KB.mean(1)
    slope = float(_slopes(mean_K[np.newaxis])[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = slope**2 * np.var(np.arange(len(mean_K))) / np.var(np.log(mean_K) / 2)

    # Leave out each position. Where all agree, there is no doubt; of few, nothing is certain.
    low = high = slope
    if rows < FEWEST_UNITS or (squares_KB != squares_KB[:, :1]).any():
        left_KB = squares_KB.sum(1, keepdims=True) - squares_KB
        interval = jackknife_interval(slope, _slopes(left_KB.T))
        low = -math.inf if interval.low is None else interval.low
        high = math.inf if interval.high is None else interval.high
    return Trend(slope, low, high, largest_lag, float(fit))


def _slopes(squares_RK: np.ndarray) -> np.ndarray:
    """Return the slopes of ln sqrt(square) over consecutive lags; -inf where a size is zero,
    since it cannot grow again."""
    lags = np.arange(squares_RK.shape[1])
    centred = lags - lags.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (np.log(squares_RK) / 2) @ centred / (centred**2).sum()
    return np.where((squares_RK == 0).any(1), -math.inf, slopes)


# ---- Positions of a text, drawn at random, and the state in which a network reaches each.
#
# The text is cut into streams, which are read side by side with the state carried, each from the
# initial state on. Offsets are drawn, and at each offset a position in every stream; each has at
# least as many tokens of its stream before it as there are lags.

MOST_TOKENS = 100_000  # read of a text
MOST_STREAMS = 25
# A stream is this many times longer than the largest lag, so that few of its places are too early
LAGS_PER_STREAM = 5
TOKENS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Positions:
    """The tokens read at B positions, side by side: inputs_TB are the T = lags + 1 tokens up to
    each position, read from `state`; targets_B the tokens that follow."""

    inputs_TB: Tensor
    targets_B: Tensor
    state: State

    @property
    def rows(self) -> int:
        return len(self.targets_B)

    @property
    def lags(self) -> int:
        return len(self.inputs_TB) - 1

    def parts(self, rows: int) -> Iterator["Positions"]:
        """Yield the positions, `rows` at a time."""
        for part in arrays.blocks(self.rows, rows):
            state = tuple(tensor[:, part] for tensor in self.state)
            yield Positions(self.inputs_TB[:, part], self.targets_B[part], state)


def draw(
    model: NeuralLanguageModel, ids: np.ndarray, lags: int, count: int, seed: int
) -> Positions:
    """Draw `count` positions of a text, or as many as it has. In a text of fewer tokens than
    lags there are fewer lags, and a notice says so."""
    ids = np.asarray(ids[:MOST_TOKENS]).astype(np.int64)
    if len(ids) < 2:
        raise TextError("the text is too short", "it has only one token")
    if len(ids) <= lags:
        notice(f"the text has {len(ids):,} tokens: lags go up to {len(ids) - 1:,}, not {lags:,}")
        lags = len(ids) - 1

    # Cut the text into streams, whose inputs lie one token before the targets.
    streams = max(1, min(MOST_STREAMS, count, len(ids) // (LAGS_PER_STREAM * (lags + 1))))
    inputs_RN = _as_streams(np.concatenate(([model.tokenizer.boundary_id], ids[:-1])), streams)
    targets_RN = _as_streams(ids, streams)

    # Draw offsets at which a window of lags + 1 inputs can begin, and read up to each of them.
    places = inputs_RN.shape[1] - lags
    random = np.random.default_rng(seed)
    offsets = min(-(-count // streams), places)
    starts_S = np.sort(random.choice(places, offsets, replace=False))
    with model.reading():
        state = _states(model, model.ids(inputs_RN).t(), starts_S)

    # Every stream has a position at each offset, which may be a few more than needed.
    windows_TSR = np.stack([inputs_RN[:, starts_S + step].T for step in range(lags + 1)])
    targets_SR = targets_RN[:, starts_S + lags].T
    kept_B = np.sort(random.permutation(targets_SR.size)[:count])
    rows_B = torch.from_numpy(kept_B).to(model.device)
    return Positions(
        inputs_TB=model.ids(windows_TSR.reshape(lags + 1, -1)[:, kept_B]),
        targets_B=model.ids(targets_SR.reshape(1, -1)[:, kept_B])[0],
        state=tuple(tensor[:, rows_B] for tensor in state),
    )


def _as_streams(ids_N: np.ndarray, streams: int) -> np.ndarray:
    """Cut ids into streams, (R, N // R); the rest at the end is not read."""
    length = len(ids_N) // streams
    return ids_N[: length * streams].reshape(streams, length)


def _states(model: NeuralLanguageModel, inputs_NR: Tensor, starts_S: np.ndarray) -> State:
    """Return the states of all R streams before the inputs at `starts_S`, which ascend: S times
    R rows."""
    streams = inputs_NR.shape[1]
    at_once = max(1, TOKENS_AT_ONCE // streams)
    state, reached, states = model.network.initial_state(streams), 0, []
    for start in starts_S.tolist():
        while reached < start:
            end = min(start, reached + at_once)
            _, state = model.network.features(inputs_NR[reached:end], state)
            reached = end
        states.append(state)
    return tuple(torch.cat(tensors, dim=1) for tensors in zip(*states, strict=True))


# ---- The layers and the loss, at some of the positions at a time.

NUMBERS_AT_ONCE = 48 << 20  # held in memory at a time, roughly: 200 MB in fp32
GRAPH_SHARE = 4  # one in so many of the positions goes with its whole graph into memory
EXPONENT_POSITIONS = 100  # at which Lyapunov exponents are measured: they vary little


@dataclass(frozen=True)
class LayerGradients:
    """The gradients of one layer.

    Attributes:
        name: Name of the layer.
        width: Number of units.
        parts: Names of the parts of its state.
        probes: Number of random vectors for each part; None: the sizes are exact.
        state: Size for the whole state by lag k from 0 on, ||dS(t)/dS(t-k)||_F / sqrt(width of S).
        cell: The same for c alone, ||dc(t)/dc(t-k)||_F / sqrt(width of c); None without a cell.
        loss: Norm of dloss(t)/dh(t-k), by lag.
        bounds: Bounds of an Elman layer.
        exponents: Lyapunov exponents.
    """

    name: str
    width: int
    parts: tuple[str, ...]
    probes: int | None
    state: Curve
    cell: Curve | None
    loss: Curve
    bounds: JacobianBounds | None
    exponents: tuple[Exponent, ...]


@dataclass
class _Layer:
    """The measurements of a layer so far."""

    trajectory: Trajectory  # the last one
    squares: list[Tensor] = field(default_factory=list)
    cell_squares: list[Tensor] = field(default_factory=list)
    loss_squares: list[Tensor] = field(default_factory=list)
    growths: list[Tensor] = field(default_factory=list)
    flattest: float = float("inf")


def measure(
    model: NeuralLanguageModel,
    positions: Positions,
    *,
    probes: int,
    exponents: int,
    seed: int,
    progress: Progress,
) -> tuple[tuple[LayerGradients, ...], Curve]:
    """Measure the layers, the lowest first, and the loss by lag from 0 on. probes: random vectors
    at each position, for layers wider than 64 units. exponents: how many of each layer."""
    accumulators: list[_Layer] = []
    losses: list[Tensor] = []
    generator = torch.Generator().manual_seed(seed)
    network, done = model.network, 0

    # All layers of some positions before the next ones, so that only sizes stay in memory.
    at_once = rows_at_once(network, positions.lags, probes)
    with model.reading():
        for part in positions.parts(at_once):
            # The gradient of the loss with respect to the word read 0, 1, ... tokens before.
            x_TBE, last_B = network.input.vectors(part.inputs_TB), part.lags + 0 * part.targets_B
            norms_TB, _ = loss_gradients(network, x_TBE, last_B, part.targets_B, part.state)
            losses.append(norms_TB.flip(0))

            # The Jacobians of each layer.
            rows_left = max(0, EXPONENT_POSITIONS - done)  # for exponents
            read = trajectories(network, part.inputs_TB, part.state)
            for number, trajectory in enumerate(read):
                if number == len(accumulators):
                    accumulators.append(_Layer(trajectory))

                accumulator = accumulators[number]
                lags = trajectory.steps - 1
                state_KB, cell_KB = squared_sizes(trajectory, lags, probes, generator)
                accumulator.trajectory = trajectory
                accumulator.squares.append(state_KB)
                if cell_KB is not None:
                    accumulator.cell_squares.append(cell_KB)
                if rows_left and exponents:
                    first = trajectory.first_rows(rows_left)
                    accumulator.growths.append(growth(first, lags, exponents, generator))
                if isinstance(trajectory.layer, ElmanLayer) and not len(trajectory.layer.norms):
                    slope = flattest_slope(trajectory.hidden_TBH[1:], trajectory.layer.activation)
                    accumulator.flattest = min(accumulator.flattest, slope)

            # The gradient of the loss with respect to each layer's hidden state, also by lag. The
            # graph of all steps takes more memory than the steps alone.
            for piece in part.parts(max(1, at_once // GRAPH_SHARE)):
                norms = loss_gradients_by_state(
                    network, piece.inputs_TB, piece.targets_B, piece.state
                )
                for accumulator, norms_TB in zip(accumulators, norms, strict=True):
                    accumulator.loss_squares.append(norms_TB.flip(0).square())
            done += part.rows
            progress(f"{done:,} of {positions.rows:,} positions")

    layers = tuple(
        _layer(number, layer, probes) for number, layer in enumerate(accumulators, start=1)
    )
    squares_KB = torch.cat(losses, dim=1).square().cpu().numpy()
    return layers, curve(squares_KB, 0)


def rows_at_once(network: Network, lags: int, probes: int) -> int:
    """Return how many positions fit into memory side by side."""
    layers = network.body.layers if isinstance(network.body, RecurrentStack) else [network.body]

    # Each position keeps the inputs of layers and their states, at each step.
    read = sum(layer.weight_ih.shape[1] + 8 * layer.width for layer in layers) * (lags + 1)

    # Vectors go back through one layer at a time, as many as random probes, or units where exact.
    vectors = [max(probes, layer.width if layer.width <= EXACT_UNITS else 0) for layer in layers]
    pulled = [32 * count * layer.width for count, layer in zip(vectors, layers, strict=True)]

    # Feeding the output back keeps a distribution over the vocabulary at each step and for each
    # vector.
    distributions = lags + 2 * vectors[0] if network.feedback else 1
    kept = read + max(pulled) + 4 * distributions * network.input.size
    return max(1, NUMBERS_AT_ONCE // kept)


def _layer(number: int, accumulator: _Layer, probes: int) -> LayerGradients:
    """Summarise the measurements of a layer."""
    layer = accumulator.trajectory.layer
    probes = probes_for(accumulator.trajectory, probes)
    has_cell = bool(accumulator.cell_squares) and len(layer.parts) > 1
    bounds = None
    if isinstance(layer, ElmanLayer) and not len(layer.norms):
        bounds = elman_bounds(layer, accumulator.flattest)
    return LayerGradients(
        name=f"layer {number}",
        width=layer.width,
        parts=layer.parts,
        probes=None if probes == layer.width else probes,
        state=curve(_array(accumulator.squares), 1),
        cell=curve(_array(accumulator.cell_squares), 1) if has_cell else None,
        loss=curve(_array(accumulator.loss_squares), 0),
        bounds=bounds,
        exponents=exponents(torch.cat(accumulator.growths, dim=1)) if accumulator.growths else (),
    )


def _array(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts, dim=1).cpu().numpy()
