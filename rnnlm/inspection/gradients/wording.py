"""The figures on gradients as tables and in words."""

import math
from collections.abc import Sequence
from typing import Any

from rnnlm.inspection.gradients.bounds import Bounds
from rnnlm.inspection.gradients.curve import Curve, Trend
from rnnlm.inspection.gradients.measuring import LayerGradients
from rnnlm.inspection.result import Table
from rnnlm.interface import Tokenizer

ROUNDING = 1e-6  # of singular values of weights in fp32
SHOWN_LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SIZE_COLUMNS = ("model", "quantity", "lag", "mean (rms)", "std. error", "10 %", "median", "90 %")
SIZES = "Size of gradients by lag (tokens): of states and cells by themselves earlier on, of the loss by the {} read"
TRENDS = "Trend of these sizes: half-life in tokens, slope of their logarithm in nats per token, with its 95 % interval"
Shown = tuple[str, list[tuple[str, Curve]], Sequence[LayerGradients]]  # a model's name, its curves by what they are of, its layers


def unit_of(tokenizer: Tokenizer) -> str:
    """What its tokens are called: words, where they are."""
    return "word" if tokenizer.name == "word" else "token"


def common(units: Sequence[str]) -> str:
    """What the tokens of several models are called."""
    return "word" if set(units) == {"word"} else "token"


def gradient_tables(models: Sequence[Shown], unit: str) -> list[Table]:
    """Sizes by lag; their rates; Lyapunov exponents; bounds of Elman layers. The last two where there are any. unit: what all of them
    read, "word" or "token"."""
    bounded = any(layer.bounds for _, _, layers in models for layer in layers)
    sizes = [row for name, curves, layers in models for what, curve in curves for row in _size_rows(name, what, curve, layers, bounded)]
    rates = [_rate_row(name, what, curve, layers) for name, curves, layers in models for what, curve in curves]
    layers = [(name, layer) for name, _, layers in models for layer in layers]
    tables = [
        Table((*SIZE_COLUMNS, *(("lower bound", "upper bound") if bounded else ())), tuple(sizes), SIZES.format(unit)),
        Table(("model", "quantity", "trend", "half-life", "slope", "slope low", "slope high", "method"), tuple(rates), TRENDS),
    ]
    if any(layer.exponents for _, layer in layers):
        most = max(len(layer.exponents) for _, layer in layers)
        rows = tuple((name, layer.name, *_exponent_cells(layer, most)) for name, layer in layers)
        columns = ("model", "layer", *(cell for number in range(1, most + 1) for cell in (f"exponent {number}", f"std. error {number}")))
        tables.append(Table(columns, rows, "Largest Lyapunov exponents, in nats per token"))
    if bounded:
        bounds = tuple((name, layer.name, *_bound_cells(layer.bounds)) for name, layer in layers if layer.bounds)
        columns = ("model", "layer", "sigma_max(W)", "max phi'", "upper bound", "sigma_min(W)", "min phi' met", "lower bound")
        tables.append(Table(columns, bounds, "Bounds on the factor by which each token multiplies the size"))
    return tables


def verdict_of(name: str, layers: Sequence[LayerGradients], loss: Curve, unit: str) -> str:
    """What becomes of gradients in one model, in a sentence. unit: what it reads, a word or a token."""
    said = [f"the gradient of the state of {layer.name} {_course(layer.state)}{_of_bounds(layer)}" for layer in layers]
    return f"{name}: {'; '.join(said)}; that of the loss by the {unit} read {_course(loss)}."


def _course(curve: Curve) -> str:
    trend, last = curve.trend, curve.trend.largest_lag
    sizes = f"{_number(curve.mean[curve.at(1)])} at lag 1, {_number(curve.mean[curve.at(last)])} at lag {last}"
    if trend.course == "vanishes":
        half = "0" if trend.half_life is None or not math.isfinite(trend.slope) else _number(trend.half_life)
        return f"vanishes with a half-life of {half} tokens ({_interval(trend)}{sizes})"
    if trend.course == "explodes":
        return f"explodes, doubling every {_number(-(trend.half_life or 0))} tokens ({_interval(trend)}{sizes})"
    if trend.course == "holds":
        return f"holds, changing by less than a factor of 2 over {last} tokens ({sizes})"
    return f"is undecided, for too few positions (slope {trend.low:.3g} to {trend.high:.3g} nats per token; {sizes})"


def _interval(trend: Trend) -> str:
    ends = sorted(math.log(2) / abs(each) for each in (trend.low, trend.high))
    return f"95 % interval {_number(ends[0])} to {_number(ends[1])}; " if ends[1] > 0 else ""


def _of_bounds(layer: LayerGradients) -> str:
    if layer.bounds is None:
        return ""
    upper = f"sigma_max(W) max phi' = {_number(layer.bounds.upper)}"
    if layer.bounds.upper < 1 - ROUNDING:
        vanishes = layer.state.trend.course == "vanishes"
        return f", as it must, since {upper} is below 1" if vanishes else f"; further back it must vanish, as {upper} is below 1"
    if layer.bounds.upper <= 1 + ROUNDING:
        return f", and cannot explode, as {upper}"
    return f", though {upper} would allow it to explode"


def _number(value: Any) -> str:
    return f"{float(value):.3g}"


def _size_rows(name: str, what: str, curve: Curve, layers: Sequence[LayerGradients], bounded: bool) -> list[tuple[Any, ...]]:
    """bounded: whether there are columns for bounds, which are those of the state of an Elman layer."""
    bounds = next((layer.bounds for layer in layers if what == f"{layer.name}, state"), None)
    rows = []
    for lag in sorted({*SHOWN_LAGS, int(curve.lags[-1])} & set(curve.lags.tolist())):
        cells = (float(each[curve.at(lag)]) for each in (curve.mean, curve.standard_error, curve.low, curve.median, curve.high))
        ends = (bounds.lower_at(lag), bounds.upper_at(lag)) if bounds else (None, None)
        rows.append((name, what, lag, *(None if math.isnan(cell) else cell for cell in cells), *(ends if bounded else ())))
    return rows


def _rate_row(name: str, what: str, curve: Curve, layers: Sequence[LayerGradients]) -> tuple[Any, ...]:
    trend = curve.trend
    layer = next((layer for layer in layers if what.startswith(f"{layer.name},")), None)
    method = "exact"
    if layer is not None and layer.probes is not None:
        method = f"{layer.probes} probes each of {' and '.join(layer.parts)}" if len(layer.parts) > 1 else f"{layer.probes} probes"
    half_life = trend.half_life if trend.course == "vanishes" else None
    return name, what, trend.course, half_life, trend.slope, trend.low, trend.high, method


def _exponent_cells(layer: LayerGradients, most: int) -> list[float | None]:
    cells: list[float | None] = []
    for each in layer.exponents:
        cells += [each.value, each.standard_error]
    return cells + [None] * (2 * most - len(cells))


def _bound_cells(bounds: Bounds) -> tuple[float, ...]:
    return bounds.largest, bounds.steepest, bounds.upper, bounds.smallest, bounds.flattest, bounds.lower
