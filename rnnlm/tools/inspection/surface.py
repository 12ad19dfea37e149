"""Draw the error surface of one recurrent unit over weight and bias, and gradient descent on it
with and without clipping."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.lm.neural.activations import logistic
from rnnlm.tabular import Table, to_builtins
from rnnlm.tools.inspection.common import Inspection, check_positive, check_range

# ---- One recurrent unit without input: its error after some steps, and the gradient of the error
# by weight and bias.
#
#     x_t = w s(x_{t-1}) + b,   E = (s(x_T) - target)^2,   s the logistic function
#
# (Pascanu, Mikolov & Bengio 2013, section 2.3 and figure 6). Everything is float64.

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RecurrentUnit:
    """A recurrent unit. steps: T. initial: x_0, before the logistic function."""

    steps: int = 50
    target: float = 0.7
    initial: float = 0.5

    def error_and_gradient(self, weight_X: np.ndarray, bias_X: np.ndarray) -> Points:
        """Return E, dE/dw and dE/db at points of any shape, which all three have.

        The derivatives are carried along with x: dx_t/dw = s(x_{t-1}) + w s'(x_{t-1}) dx_{t-1}/dw,
        and dx_t/db the same with 1 instead of s(x_{t-1}).
        """
        weight_X, bias_X = np.broadcast_arrays(
            np.asarray(weight_X, dtype=np.float64), np.asarray(bias_X, dtype=np.float64)
        )
        x_X = np.full(weight_X.shape, float(self.initial))
        by_weight_X, by_bias_X = np.zeros_like(x_X), np.zeros_like(x_X)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps):
                s_X = logistic(x_X)
                back_X = weight_X * s_X * (1 - s_X)
                by_weight_X = s_X + back_X * by_weight_X
                by_bias_X = 1 + back_X * by_bias_X
                x_X = weight_X * s_X + bias_X
            s_X = logistic(x_X)
            outer_X = 2 * (s_X - self.target) * s_X * (1 - s_X)
            return (s_X - self.target) ** 2, outer_X * by_weight_X, outer_X * by_bias_X


@dataclass(frozen=True)
class Descent:
    """A path of gradient descent: its position before each update and after the last, with the
    error and the norm of the gradient there."""

    name: str
    weight_U: np.ndarray
    bias_U: np.ndarray
    error_U: np.ndarray
    gradient_U: np.ndarray

    @property
    def longest_step(self) -> float:
        """The length of its longest step; 0 where it has none."""
        return float(np.hypot(np.diff(self.weight_U), np.diff(self.bias_U)).max(initial=0.0))


def descend(
    unit: RecurrentUnit,
    start: tuple[float, float],
    rate: float,
    updates: int,
    clip: float | None,
    name: str,
) -> Descent:
    """Follow gradient descent from (w, b). clip: the norm to which a longer gradient is scaled
    down (their algorithm 1); None: never. A path ends before its numbers are no longer finite."""
    met = []
    weight, bias = start
    for _ in range(updates + 1):
        error_and_slopes = unit.error_and_gradient(np.array(weight), np.array(bias))
        error, by_weight, by_bias = (float(value) for value in error_and_slopes)
        norm = float(np.hypot(by_weight, by_bias))
        if not np.isfinite([weight, bias, error, norm]).all():
            break
        met.append((weight, bias, error, norm))
        step = rate if clip is None or norm <= clip else rate * (clip / norm)
        weight, bias = weight - step * by_weight, bias - step * by_bias
    return Descent(name, *np.array(met).reshape(-1, 4).T)


# ---- The surface on a grid, and two paths on it.

Range = tuple[float, float]
GREATEST_GRID = 2000
DARKEST = "#707070"  # the greatest error: grey, so that the paths show


@dataclass(frozen=True, repr=False)
class Surface(Inspection):
    """Errors and norms of gradients on a grid of G x G points, and the two paths. weight_G,
    bias_G: its lines; error_GG[i, j] is at bias_G[i] and weight_G[j]."""

    unit: RecurrentUnit
    weight_G: np.ndarray
    bias_G: np.ndarray
    error_GG: np.ndarray
    gradient_GG: np.ndarray
    rate: float
    clip: float
    descents: tuple[Descent, Descent]

    @property
    def steepest(self) -> tuple[float, float, float]:
        """Weight, bias and norm of the gradient at the point of the grid where it is largest."""
        i, j = np.unravel_index(np.nanargmax(self.gradient_GG), self.gradient_GG.shape)
        return float(self.weight_G[j]), float(self.bias_G[i]), float(self.gradient_GG[i, j])

    @property
    def verdict(self) -> str:
        """The largest gradient on the grid, and where each path ends."""
        weight, bias, highest = self.steepest
        typical = float(np.nanmedian(self.gradient_GG))
        summary = (
            f"The norm of the gradient is at most {typical:.2g} on half of the grid, and "
            f"{highest:,.4g} at its largest, at w = {weight:.4g}, b = {bias:.4g}."
        )
        for path in self.descents:
            summary += (
                f" {path.name.capitalize()}, gradient path meets gradients of up to "
                f"{path.gradient_U.max():,.4g}, takes steps of up to {path.longest_step:.3g} and "
                f"ends at w = {path.weight_U[-1]:.4g}, b = {path.bias_U[-1]:.4g}, where the error "
                f"is {path.error_U[-1]:.3g} (lowest on the way: {path.error_U.min():.3g})."
            )
        return summary

    def tables(self) -> Sequence[Table]:
        """Return a row for each path."""
        columns = (
            "path", "updates", "largest gradient", "longest step", "final w", "final b",
            "final error", "lowest error",
        )  # fmt: skip
        rows = tuple(
            (
                descent.name,
                len(descent.error_U) - 1,
                float(descent.gradient_U.max()),
                descent.longest_step,
                float(descent.weight_U[-1]),
                float(descent.bias_U[-1]),
                float(descent.error_U[-1]),
                float(descent.error_U.min()),
            )
            for descent in self.descents
        )
        return (Table(columns, rows),)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole grid and both paths in JSON's types."""
        descents = [
            {
                "name": descent.name,
                "weights": descent.weight_U,
                "biases": descent.bias_U,
                "errors": descent.error_U,
                "gradients": descent.gradient_U,
                "longest_step": descent.longest_step,
            }
            for descent in self.descents
        ]
        weight, bias, highest = self.steepest
        content = {
            "steps": self.unit.steps,
            "target": self.unit.target,
            "initial": self.unit.initial,
            "rate": self.rate,
            "clip": self.clip,
            "weights": self.weight_G,
            "biases": self.bias_G,
            "errors": self.error_GG,
            "gradients": self.gradient_GG,
            "steepest": {"weight": weight, "bias": bias, "gradient": highest},
            "descents": descents,
        }
        return dict(to_builtins(content))

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the surface by colour, with both paths on it, and the error along them."""
        labels = [
            ("Error of one recurrent unit: the darker, the larger", "weight w", "bias b"),
            ("Error along both paths: the lower, the better", "updates", "error (squared)"),
        ]
        figure, (over, along) = plotting.new_panels(labels, height=4.4, axes=axes)
        self._draw_surface(figure, over)
        for number, descent in enumerate(self.descents):
            along.plot(descent.error_U, label=descent.name, **_path_style(number))
        if min(descent.error_U.min() for descent in self.descents) > 0:
            plotting.log_y(along)
        plotting.legend_below(figure, over)
        return figure

    def _draw_surface(self, figure: "plotting.Figure", axes: "plotting.Axes") -> None:
        """Draw the surface and both paths."""
        from matplotlib.colors import LinearSegmentedColormap

        # The surface as an image of the grid.
        axes.grid(False)
        left, right, low, high = *self.weight_G[[0, -1]], *self.bias_G[[0, -1]]
        colours = axes.imshow(
            self.error_GG,
            origin="lower",
            extent=(left, right, low, high),
            aspect="auto",
            interpolation="none",
            cmap=LinearSegmentedColormap.from_list("errors", ("white", DARKEST)),
            vmin=0,
        )
        figure.colorbar(colours, ax=axes, label="error (squared)", location="bottom", shrink=0.9)

        # The paths with their ends, and their common start. A path may leave the grid, which the
        # axes must not.
        for number, descent in enumerate(self.descents):
            weight, bias = descent.weight_U[-1], descent.bias_U[-1]
            label = descent.name
            if not (left <= weight <= right and low <= bias <= high):
                label += f" (leaves the picture, to w = {weight:.3g}, b = {bias:.3g})"
            axes.plot(descent.weight_U, descent.bias_U, label=label, **_path_style(number))
        mark: dict[str, Any] = {
            "linestyle": "",
            "zorder": 4,
            "markeredgecolor": "white",
            "color": "black",
        }
        first = self.descents[0]
        axes.plot(first.weight_U[:1], first.bias_U[:1], "o", markersize=8, label="start", **mark)
        ends = np.array([(descent.weight_U[-1], descent.bias_U[-1]) for descent in self.descents])
        axes.plot(*ends.T, "X", markersize=8, label="end", **mark)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)


def _path_style(number: int) -> dict[str, Any]:
    """Return the style of a path, the first one on top."""
    colour = plotting.series_style(number).colour
    return {"color": colour, "linewidth": 1.0, "zorder": 3 - number}


def inspect_surface(
    *, weights: Range = (4.2, 5.6), biases: Range = (-3.0, -1.8), grid: int = 200, steps: int = 50,
    target: float = 0.7,
    initial: float = 0.5, start: tuple[float, float] = (5.0, -2.4), rate: float = 0.1,
    clip: float = 0.5, updates: int = 400,
) -> Surface:  # fmt: skip
    """Compute the error of one recurrent unit, x_t = w s(x_{t-1}) + b, over `weights` and `biases`,
    each a range cut by `grid` lines, and the paths of gradient descent from `start` (w, b) with and
    without clipping.

    steps: after which its output s(x) should be `target`; initial: the state x before them. rate,
    updates: of gradient descent. clip: the norm to which longer gradients are scaled down. Pascanu,
    Mikolov & Bengio 2013, figure 6.

    Raises:
        UsageError: a range is empty, the grid has fewer than 2 lines or more than 2,000, or a
            number is not positive or not finite.
    """
    _check(weights, biases, grid, start)
    check_positive(steps=steps, rate=rate, clip=clip, updates=updates)
    if not np.isfinite([target, initial, *start]).all():
        raise UsageError("target, initial state and start must be finite numbers")
    unit = RecurrentUnit(steps, target, initial)
    weight_G, bias_G = np.linspace(*weights, grid), np.linspace(*biases, grid)
    error_GG, by_weight_GG, by_bias_GG = unit.error_and_gradient(weight_G[None, :], bias_G[:, None])
    paths = (
        descend(unit, start, rate, updates, None, "without clipping"),
        descend(unit, start, rate, updates, clip, f"clipped to {clip:g}"),
    )
    if not all(len(path.error_U) for path in paths):
        raise UsageError(
            f"start {start[0]:g}, {start[1]:g} is too far away", "the gradient there is not finite"
        )
    with np.errstate(over="ignore"):
        gradient_GG = np.hypot(by_weight_GG, by_bias_GG)
    return Surface(
        unit=unit,
        weight_G=weight_G,
        bias_G=bias_G,
        error_GG=error_GG,
        gradient_GG=gradient_GG,
        rate=rate,
        clip=clip,
        descents=paths,
    )


def _check(weights: Range, biases: Range, grid: int, start: tuple[float, float]) -> None:
    """Refuse numbers that no surface can be computed for."""
    for name, pair in {"weights": weights, "biases": biases, "start": start}.items():
        if len(pair) != 2:
            raise UsageError(f"{name}: two numbers are needed, not {len(pair)}")
    check_range("weights", weights)
    check_range("biases", biases)
    if not 2 <= grid <= GREATEST_GRID:
        raise UsageError(
            f"a grid of {plural(grid, 'line')} cannot be drawn", hint=f"use 2 to {GREATEST_GRID:,}"
        )
