"""What one layer did at each word of a line, as arrays, and the figures that follow from it.

Shapes: T words, H units; E numbers that the layer reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.neural.layers.activations import CELL, HIDDEN, Activation, activations_of
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.naming import BACKWARD
from rnnlm.neural.layers.stack import GruLayer
from rnnlm.neural.trace import NamedLayer

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DECIMALS = 6  # of values of units in JSON, which networks compute in fp32


@dataclass(frozen=True)
class ActivationFigures:
    """The values of one activation over all words and units. gate: its name, or "hidden state", "tanh of the cell". below, above: the
    shares that are saturated at the lower and at the upper bound, None without such a bound. derivative_quantiles: at :data:`QUANTILES`."""

    gate: str
    activation: str
    below: float | None
    above: float | None
    derivative_mean: float
    derivative_quantiles: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        quantiles = dict(zip((f"{quantile:g}" for quantile in QUANTILES), self.derivative_quantiles, strict=True))
        return {"gate": self.gate, "activation": self.activation, "below": self.below, "above": self.above,
                "derivative": {"mean": self.derivative_mean, "quantiles": quantiles}}  # fmt: skip


@dataclass(frozen=True)
class LayerActivity:
    """One layer. cell_TH: None where it has none. gates: by name, (T, H); of a Mogrifier's odd rounds (T, E). units: of the heat maps.

    rewritten_T: the share of its state that the layer lets go of at each word: the mean over units of 1 - forget (LSTM, QRNN), or of what
    the update gate does not keep (GRU). A unit that lets go of a share a of its state at each step remembers about 1 / a steps (Tallec &
    Ollivier 2018). None without such a gate.
    changed_T: how far the state, the cell where there is one, moves at each word: |s - s'| / (|s| + |s'|) in Euclidean norms, with s' the
    state before, at first zeros: 0 where it stays, 0.71 where it turns by a right angle and keeps its length, 1 where it comes from zeros,
    goes to zeros, or turns round.
    """

    name: str
    hidden_TH: np.ndarray
    cell_TH: np.ndarray | None
    gates: dict[str, np.ndarray]
    rewritten_T: np.ndarray | None
    changed_T: np.ndarray
    activations: tuple[ActivationFigures, ...]
    units: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """All values of all units, by name, a list for each word."""
        arrays = {"hidden": self.hidden_TH, "cell": self.cell_TH, "rewritten": self.rewritten_T, "changed": self.changed_T}
        return {
            "name": self.name, **{name: _plain(values) for name, values in arrays.items()},
            "gates": {name: _plain(values) for name, values in self.gates.items()},
            "activations": [each.to_dict() for each in self.activations], "units": list(self.units),
        }  # fmt: skip


def activity_of(traced: NamedLayer, layer: Layer, units: Sequence[int], unit_count: int) -> LayerActivity:
    """What the layer did, of which `traced` tells, with the figures. units: which to draw; none: the `unit_count` whose state varies most,
    in ascending order."""
    hidden_TH = _array(traced.layer.hidden_TBH)
    cell_TH = None if traced.layer.cell_TBH is None else _array(traced.layer.cell_TBH)
    gates = {name: _array(values) for name, values in traced.layer.gates.items()}
    state_TH = hidden_TH if cell_TH is None else cell_TH
    chosen = tuple(units) or most_varied(state_TH, unit_count)
    values = gates | {HIDDEN: hidden_TH} | ({} if cell_TH is None else {CELL: np.tanh(cell_TH)})
    figures = tuple(_figures(name, activation, values[name]) for name, activation in activations_of(layer).items())
    changed_T = changed(state_TH, traced.name.endswith(BACKWARD))
    return LayerActivity(traced.name, hidden_TH, cell_TH, gates, rewritten(gates, layer), changed_T, figures, chosen)


def most_varied(values_TH: np.ndarray, count: int) -> tuple[int, ...]:
    """The `count` columns of the largest variance over words, in ascending order; of equal ones the first."""
    return tuple(sorted(np.argsort(-values_TH.var(axis=0), kind="stable")[:count].tolist()))


def rewritten(gates: dict[str, np.ndarray], layer: Layer) -> np.ndarray | None:
    """The share of its state that a layer lets go of at each word, (T,); None where no gate says so."""
    if "forget" in gates:
        return np.asarray(1 - gates["forget"].mean(axis=1))
    if not isinstance(layer, GruLayer):
        return None
    update_T = gates["update"].mean(axis=1)
    return np.asarray(1 - update_T if layer.update_gate == "keep" else update_T)


def changed(state_TH: np.ndarray, is_backward: bool = False) -> np.ndarray:
    """How far the state moves at each word, (T,), from zeros on; `is_backward`: it is read from the last word on."""
    if is_backward:
        return changed(state_TH[::-1])[::-1]
    before_TH = np.concatenate([np.zeros_like(state_TH[:1]), state_TH[:-1]])
    lengths_T = np.linalg.norm(state_TH, axis=1) + np.linalg.norm(before_TH, axis=1)
    return np.asarray(np.linalg.norm(state_TH - before_TH, axis=1) / np.where(lengths_T > 0, lengths_T, 1))


def _figures(name: str, activation: Activation, y: np.ndarray) -> ActivationFigures:
    slopes = activation.derivative(y)
    below = None if activation.low is None else float(activation.is_low(y).mean())
    above = None if activation.high is None else float(activation.is_high(y).mean())
    quantiles = tuple(np.quantile(slopes, QUANTILES).tolist())
    return ActivationFigures(name, activation.name, below, above, float(slopes.mean()), quantiles)


def _array(values_TBH: Any) -> np.ndarray:
    return np.asarray(values_TBH[:, 0].detach().double().cpu().numpy())


def _plain(values: np.ndarray | None) -> list[Any] | None:
    return None if values is None else values.round(DECIMALS).tolist()
