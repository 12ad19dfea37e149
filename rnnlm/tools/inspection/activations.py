"""Show the activation functions of recurrent layers, their derivatives, and where they saturate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation import plotting
from rnnlm.lm.neural.activations import BY_NAME, DOUBLED, Activation
from rnnlm.tabular import Table, to_builtins
from rnnlm.tools.inspection.common import Inspection, check_range

# ---- Where a function saturates: its derivative is below a share of its largest.
#
# Each derivative rises up to its largest value and falls after it, or stays, so that there is at
# most one such place on either side.

KNOWN = {**BY_NAME, DOUBLED.name: DOUBLED}  # the last one is the activation of a Mogrifier's gates
FARTHEST = 40.0  # where derivatives that ever get small are below any share that is taken
LEAST_SHARE = 1e-6
TOP = 1e-9  # a place where every derivative is about largest: at the right of ReLU's corner
DECIMALS = 6  # of the places that are shown


@dataclass(frozen=True)
class ActivationCurve:
    """A function f and its derivative at N places a. below, above: where it saturates on either
    side, None where it never does. largest: its largest derivative."""

    name: str
    a_N: np.ndarray
    value_N: np.ndarray
    slope_N: np.ndarray
    largest: float
    below: float | None
    above: float | None

    @property
    def longest_chain(self) -> float:
        """The largest factor that ten such functions in a row leave of a gradient."""
        return float(self.largest**10)


def saturation(activation: Activation, share: float) -> tuple[float | None, float | None]:
    """Return below and above which a the derivative is less than `share` of its largest; None on a
    side where it never is."""
    return _edge(activation, share, -FARTHEST), _edge(activation, share, FARTHEST)


def _edge(activation: Activation, share: float, far: float) -> float | None:
    """Return the place between `far` and the top where the derivative begins to be small; None if
    it is not small far away."""
    from scipy.optimize import bisect

    def beyond_share(a: float) -> float:
        slope = activation.derivative(activation.function(np.array(a)))
        return float(slope - share * activation.steepest)

    if beyond_share(far) >= 0:
        return None
    place = bisect(beyond_share, far, TOP, xtol=TOP)
    return round(place, DECIMALS) + 0.0


# ---- `rnnlm inspect activations`.

GRID = 481
SHOWN = 13  # places in the table of values
_PER_ROW = 3
HEIGHTS = (-1.15, 2.15)  # drawn of each function: all of a function that has bounds


@dataclass(frozen=True, repr=False)
class Activations(Inspection):
    """Functions and derivatives between two places. share: the part of its largest derivative below
    which a function is called saturated."""

    curves: tuple[ActivationCurve, ...]
    share: float

    @property
    def verdict(self) -> str:
        """Where each function saturates, and the part of a gradient that ten in a row leave."""
        sentences = [
            f"{curve.name} {_places(curve)}; ten in a row leave at most {curve.longest_chain:.2g} "
            "of a gradient."
            for curve in self.curves
        ]
        rule = f"Saturated: the derivative is below {self.share:.3g} of its maximum."
        return "\n".join([rule, *sentences])

    def tables(self) -> Sequence[Table]:
        """Return where each function saturates; values and derivatives at some places."""
        heads = (
            "activation", "largest derivative", "saturated below a =", "saturated above a =",
            "ten in a row",
        )  # fmt: skip
        rows = tuple(
            (curve.name, curve.largest, curve.below, curve.above, curve.longest_chain)
            for curve in self.curves
        )

        # Some of the places: of the whole range if it has few numbers.
        places = np.linspace(0, GRID - 1, SHOWN).round().astype(int)
        names, columns = ["a"], [self.curves[0].a_N[places].tolist()]
        for curve in self.curves:
            names += [curve.name, f"{curve.name}'"]
            columns += [curve.value_N[places].tolist(), curve.slope_N[places].tolist()]
        values = tuple(zip(*columns, strict=True))
        title = "Values f(a) and derivatives f'(a)"
        return [Table(heads, rows), Table(tuple(names), values, title)]

    def to_dict(self) -> dict[str, Any]:
        """Return all curves in JSON's types."""
        curves = [
            {
                "activation": curve.name,
                "largest_derivative": curve.largest,
                "saturated_below": curve.below,
                "saturated_above": curve.above,
                "ten_in_a_row": curve.longest_chain,
                "a": curve.a_N,
                "values": curve.value_N,
                "derivatives": curve.slope_N,
            }
            for curve in self.curves
        ]
        return dict(to_builtins({"share": self.share, "activations": curves}))

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw each function and its derivative, grey where it saturates."""
        across = min(_PER_ROW, len(self.curves))
        down = -(-len(self.curves) // across)
        labels = []
        for number, curve in enumerate(self.curves):
            beside = "value, slope" if number % across == 0 else ""
            labels.append((f"{curve.name}: {_short_places(curve)}", "input a", beside))
        width, height = plotting.WIDEST * across / _PER_ROW, 0.9 + 2.4 * down
        heading = f"Grey: saturated, with a slope below {self.share:.3g} of its maximum"
        figure, panels = plotting.new_panels(labels, width, height, across, axes, heading)
        for curve, panel in zip(self.curves, panels, strict=True):
            # Axes are the same for all, so that slopes compare.
            low, high = float(curve.a_N[0]), float(curve.a_N[-1])
            grey: dict[str, Any] = {"color": "0.85", "linewidth": 0, "label": "saturated"}
            if curve.below is not None and curve.below > low:
                panel.axvspan(low, min(curve.below, high), **grey)
                grey.pop("label")
            if curve.above is not None and curve.above < high:
                panel.axvspan(max(curve.above, low), high, **grey)
            panel.plot(curve.a_N, curve.value_N, label="f(a)", linewidth=2)
            panel.plot(curve.a_N, curve.slope_N, label="f'(a)", linewidth=2, linestyle="--")
            panel.set(xlim=(low, high), ylim=HEIGHTS)
        plotting.legend_below(figure, panels[0])
        return figure


def _places(curve: ActivationCurve) -> str:
    """Say where a function saturates."""
    if curve.below is None and curve.above is None:
        return "never saturates"
    if curve.above is None:
        return f"saturates below {curve.below:.4g}"
    if curve.below is None:
        return f"saturates above {curve.above:.4g}"
    return f"saturates below {curve.below:.4g} and above {curve.above:.4g}"


def _short_places(curve: ActivationCurve) -> str:
    """Say so in a title."""
    if curve.below is not None and curve.above == -curve.below:
        return f"saturated beyond \u00b1{curve.above:.3g}"
    if curve.below is not None and curve.above is None:
        return plotting.with_minus(f"saturated below {curve.below:.3g}")
    return plotting.with_minus(_places(curve).replace("saturates", "saturated"))


def inspect_activations(
    names: Sequence[str] = (), *, share: float = 0.1, span: tuple[float, float] = (-6.0, 6.0)
) -> Activations:
    """Show activation functions of recurrent layers: values, derivatives, and where they saturate,
    which means that the derivative is less than `share` of its largest.

    names: "sigmoid", "tanh", "relu", "elu", "leaky_relu", "2 sigmoid" (a Mogrifier's gates); none:
    all of them. share: between 0.000001 and 1. span: the lowest and highest a that is shown.

    Raises:
        UsageError: there is no such function, or the share or span makes no sense.
    """
    # Check the arguments.
    chosen = list(dict.fromkeys(several(names, "names"))) or list(KNOWN)
    for name in chosen:
        if name not in KNOWN:
            raise UsageError(f"unknown activation {name!r}", hint=nearest(name, KNOWN))
    if not LEAST_SHARE <= share < 1:
        raise UsageError(f"share = {share:g} is not between {LEAST_SHARE:.6f} and 1")
    check_range("a", span)

    # Sample each function and its derivative.
    a_N = np.linspace(*span, GRID)
    curves = []
    for name in chosen:
        activation = KNOWN[name]
        with np.errstate(over="ignore"):
            value_N = activation.function(a_N)
        slope_N = activation.derivative(value_N)
        ends = saturation(activation, share)
        curves.append(ActivationCurve(name, a_N, value_N, slope_N, activation.steepest, *ends))
    return Activations(tuple(curves), share)
