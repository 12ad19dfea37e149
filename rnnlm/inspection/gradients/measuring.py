"""One network at many positions: the curves of each layer and of the loss, in parts of so many
positions as keep memory bounded."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TextError, notice
from rnnlm.inspection.gradients.curve import Curve, curve
from rnnlm.inspection.gradients.jacobians import (
    EXACT_UNITS,
    Bounds,
    Exponent,
    Trajectory,
    elman_bounds,
    exponents,
    flattest_slope,
    growth,
    loss_gradients,
    probes_for,
    squared_sizes,
    trajectories,
)
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.layers.layers import ElmanLayer, JordanLayer, RecurrentStack, State
from rnnlm.neural.network import Network
from rnnlm.text.lines import Progress

# ---- Positions of a text, drawn at random, and the state in which a network comes to each.
#
# The text is cut into streams, which are read side by side with the state carried, each from the
# initial state on. Offsets are drawn, and at each offset a position in every stream; each has at
# least as many tokens of its stream before it as there are lags.

MOST_TOKENS = 100_000  # are read of a text
MOST_STREAMS = 25
# a stream is so many times longer than the largest lag, so that few of its places are too early
LAGS_PER_STREAM = 5
TOKENS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Positions:
    """What is read at B positions, side by side: inputs_TB are the T = lags + 1 tokens up to each
    position, from `state` on; targets_B the tokens that follow."""

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
        """The same, `rows` at a time."""
        for start in range(0, self.rows, rows):
            part = slice(start, start + rows)
            yield Positions(
                self.inputs_TB[:, part],
                self.targets_B[part],
                tuple(each[:, part] for each in self.state),
            )


def draw(
    model: NeuralLanguageModel, ids: np.ndarray, lags: int, count: int, seed: int
) -> Positions:
    """`count` positions of a text, or as many as it has. With fewer tokens than lags these are
    fewer, too, and a notice says so.

    Raises:
        TextError: the text has one token alone.
    """
    ids = np.asarray(ids[:MOST_TOKENS]).astype(np.int64)
    if len(ids) < 2:
        raise TextError("the text is too short", "it has one token, which nothing comes before")
    if len(ids) <= lags:
        notice(f"the text has {len(ids):,} tokens: lags go up to {len(ids) - 1:,}, not {lags:,}")
        lags = len(ids) - 1
    streams = max(1, min(MOST_STREAMS, count, len(ids) // (LAGS_PER_STREAM * (lags + 1))))
    inputs_RN = _cut(np.concatenate(([model.tokenizer.boundary_id], ids[:-1])), streams)
    targets_RN = _cut(ids, streams)
    # in each stream, where a window of lags + 1 inputs can begin
    places = inputs_RN.shape[1] - lags
    random = np.random.default_rng(seed)
    starts_S = np.sort(random.choice(places, min(-(-count // streams), places), replace=False))
    with model.reading():
        state = _states(model, model.ids(inputs_RN).t(), starts_S)
    windows_TSR = np.stack([inputs_RN[:, starts_S + step].T for step in range(lags + 1)])
    targets_SR = targets_RN[:, starts_S + lags].T
    kept_B = np.sort(random.permutation(targets_SR.size)[:count])
    inputs_TB, targets_B = windows_TSR.reshape(lags + 1, -1)[:, kept_B], targets_SR.ravel()[kept_B]
    rows_B = torch.from_numpy(kept_B).to(model.device)
    return Positions(
        model.ids(inputs_TB),
        model.ids(targets_B[np.newaxis])[0],
        tuple(each[:, rows_B] for each in state),
    )


def _cut(ids_N: np.ndarray, streams: int) -> np.ndarray:
    """(R, N // R): what is left over at the end is not read."""
    length = len(ids_N) // streams
    return ids_N[: length * streams].reshape(streams, length)


def _states(model: NeuralLanguageModel, inputs_NR: Tensor, starts_S: np.ndarray) -> State:
    """The states of all streams before the inputs at `starts_S`, which ascend: S times R rows."""
    streams = inputs_NR.shape[1]
    state, reached, found = model.network.initial_state(streams), 0, []
    for start in starts_S.tolist():
        while reached < start:
            end = min(start, reached + max(1, TOKENS_AT_ONCE // streams))
            _, state = model.network.features(inputs_NR[reached:end], state)
            reached = end
        found.append(state)
    return tuple(torch.cat(each, dim=1) for each in zip(*found, strict=True))


# ---- measuring

NUMBERS_AT_ONCE = 48 << 20  # that a part of the positions keeps in memory, roughly: 200 MB in fp32
EXPONENT_POSITIONS = 100  # of which Lyapunov exponents are taken: they vary little


@dataclass(frozen=True)
class LayerGradients:
    """Of one layer. parts: what its state consists of. probes: random vectors for each part; None:
    the sizes are exact. state: of the whole state, ||dS(t)/dS(t-k)||_F / sqrt(width of S); cell: of
    c alone, ||dc(t)/dc(t-k)||_F / sqrt(width of c), where there is a cell; bounds: of an Elman
    layer."""

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
    """probes: random vectors at each position, of layers wider than 64 units. exponents: how many
    of a layer."""

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
            for number, trajectory in enumerate(
                trajectories(model.network, part.inputs_TB, part.state)
            ):
                if number == len(found):
                    found.append(_Layer(trajectory))
                _add(
                    found[number],
                    trajectory,
                    max(0, EXPONENT_POSITIONS - done),
                    settings,
                    generator,
                )
            done += part.rows
            progress(f"{done:,} of {positions.rows:,} positions")
    layers = tuple(_layer(number, layer, settings) for number, layer in enumerate(found, start=1))
    return layers, curve(torch.cat(losses, dim=1).square().cpu().numpy(), 0, settings.seed)


def _by_lag(network: Network, positions: Positions) -> Tensor:
    """The norm of the gradient of the loss at each position, (lags + 1, B), with the word read so
    many tokens before."""
    last_B = torch.full_like(positions.targets_B, positions.lags)
    norms_TB, _ = loss_gradients(
        network,
        network.input.vectors(positions.inputs_TB),
        last_B,
        positions.targets_B,
        positions.state,
    )
    return norms_TB.flip(0)


def rows_at_once(network: Network, lags: int, probes: int) -> int:
    """How many positions are looked at side by side."""
    layers = network.body.layers if isinstance(network.body, RecurrentStack) else [network.body]
    read = sum(layer.weight_ih.shape[1] + 8 * layer.width for layer in layers) * (lags + 1)
    vectors = [
        2 * max(probes, layer.width if layer.width <= EXACT_UNITS else 0) for layer in layers
    ]
    pulled = max(16 * count * layer.width for count, layer in zip(vectors, layers, strict=True))
    distributions = lags + vectors[0] if isinstance(network.body, JordanLayer) else 1
    return max(1, NUMBERS_AT_ONCE // (read + pulled + 4 * distributions * network.input.size))


def _add(
    found: _Layer, trajectory: Trajectory, rows: int, settings: Settings, generator: torch.Generator
) -> None:
    """What a part of the positions adds; of its first `rows` the exponents, too."""
    lags = trajectory.steps - 1
    sizes = squared_sizes(trajectory, lags, settings.probes, generator)
    found.trajectory = trajectory
    found.squares.append(sizes.state_KB)
    if sizes.cell_KB is not None:
        found.cell_squares.append(sizes.cell_KB)
    if rows and settings.exponents:
        found.growths.append(
            growth(trajectory.first_rows(rows), lags, settings.exponents, generator)
        )
    if isinstance(trajectory.layer, ElmanLayer):
        found.flattest = min(
            found.flattest, flattest_slope(trajectory.hidden_TBH[1:], trajectory.layer.activation)
        )


def _layer(number: int, found: _Layer, settings: Settings) -> LayerGradients:
    layer, parts = found.trajectory.layer, found.trajectory.parts
    probes = probes_for(found.trajectory, settings.probes)
    return LayerGradients(
        name=f"layer {number}",
        width=layer.width,
        parts=parts,
        probes=None if probes == layer.width else probes,
        state=curve(_array(found.squares), 1, settings.seed),
        cell=curve(_array(found.cell_squares), 1, settings.seed)
        if found.cell_squares and len(parts) > 1
        else None,
        bounds=elman_bounds(layer, found.flattest) if isinstance(layer, ElmanLayer) else None,
        exponents=exponents(torch.cat(found.growths, dim=1)) if found.growths else (),
    )


def _array(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts, dim=1).cpu().numpy()
