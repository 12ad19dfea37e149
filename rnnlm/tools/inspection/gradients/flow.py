"""Measure how far gradients flow back through recurrent language models: of each layer, of its
cell, and of the loss, by lag."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.interface import Device, Tokenizer
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tabular import Table, to_builtins
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.tools.inspection.common import (
    UNTRAINED,
    Inspection,
    Models,
    Source,
    load_models_for,
    open_source,
    with_starts,
)
from rnnlm.tools.inspection.gradients.curves import Curve, LayerGradients, Trend, draw, measure
from rnnlm.tools.inspection.gradients.jacobians import JacobianBounds


@dataclass(frozen=True)
class ModelGradients:
    """The gradients of one model.

    Attributes:
        model: Name of the model.
        kind: Kind of model.
        lags: Largest lag, in tokens; the text may have fewer than requested.
        positions: Number of positions; the text may have fewer than requested.
        layers: Gradients of the layers, the lowest first.
        loss: Norm of dloss(t)/dx(t-k), by lag k from 0 on, in nats per unit of length of the lowest
            layer's input.
        unit: The unit it reads, "word" or "token".
    """

    model: str
    kind: str
    lags: int
    positions: int
    layers: tuple[LayerGradients, ...]
    loss: Curve
    unit: str = "word"

    def curves(self) -> list[tuple[str, Curve]]:
        """Return all curves with their names."""
        named = [(f"{layer.name}, state", layer.state) for layer in self.layers]
        named += [(f"{layer.name}, cell", layer.cell) for layer in self.layers if layer.cell]
        named += [(f"loss by h of {layer.name}", layer.loss) for layer in self.layers]
        return [*named, (f"loss by {self.unit} read", self.loss)]


@dataclass(frozen=True, repr=False)
class GradientFlow(Inspection):
    """The result of :func:`inspect_gradients`; an
    :class:`~rnnlm.tools.inspection.common.Inspection`.

    Attributes:
        models: Results of each model.
    """

    models: tuple[ModelGradients, ...]
    verdict_first = True

    @property
    def verdict(self) -> str:
        """For each model and each of its layers, whether gradients vanish, hold or explode, and how
        fast."""
        return "\n".join(
            verdict_of(model.model, model.layers, model.loss, model.unit) for model in self.models
        )

    def tables(self) -> Sequence[Table]:
        """Return sizes at some lags, their rates, and predictions from the weights alone."""
        unit = common([model.unit for model in self.models])
        shown = [(model.model, model.curves(), model.layers) for model in self.models]

        # Lyapunov exponents and bounds of Elman layers have tables if there are any.
        layers: list[tuple[str, LayerGradients]] = []
        for name, _, layers_of_model in shown:
            layers += [(name, layer) for layer in layers_of_model]
        is_bounded = any(layer.bounds for _, layer in layers)

        # The curves of all models, and their rates.
        sizes: list[tuple[object, ...]] = []
        rates: list[tuple[object, ...]] = []
        for name, curves, layers_of_model in shown:
            for what, curve in curves:
                sizes += _size_rows(name, what, curve, layers_of_model, is_bounded)
                rates.append(_rate_row(name, what, curve, layers_of_model))
        size_columns = SIZE_COLUMNS + (("lower bound", "upper bound") if is_bounded else ())
        tables = [
            Table(size_columns, tuple(sizes), SIZES.format(unit)),
            Table(RATE_COLUMNS, tuple(rates), TRENDS),
        ]

        # As many columns as the layer with most exponents needs.
        most = max((len(layer.exponents) for _, layer in layers), default=0)
        if most:
            columns = ["model", "layer"]
            for number in range(1, most + 1):
                columns += [f"exponent {number}", f"std. error {number}"]
            rows = tuple(
                (name, layer.name, *_exponent_cells(layer, most)) for name, layer in layers
            )
            tables.append(
                Table(tuple(columns), rows, "Largest Lyapunov exponents, in nats per token")
            )

        if is_bounded:
            rows = tuple(
                (name, layer.name, *_bound_cells(layer.bounds))
                for name, layer in layers
                if layer.bounds
            )
            title = "Bounds on the factor by which each token multiplies the size"
            tables.append(Table(BOUND_COLUMNS, rows, title))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Return all results at all lags in JSON's types."""
        return {"models": list(map(_model_dict, self.models))}

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the gradients of states, cells and the loss by lag, one panel each, on a logarithmic
        scale, with the quantiles 0.1 and 0.9 as bands.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        unit = common([model.unit for model in self.models])
        curves = [(model.model, model.layers, model.loss) for model in self.models]
        return draw_curves(curves, unit, axes)


def inspect_gradients(
    models: Models = (SHIPPED,),
    text: Source | None = None,
    *,
    lags: int = 100,
    positions: int = 1000,
    probes: int = 4,
    exponents: int = 3,
    untrained: bool = False,
    seed: int = 0,
    text_settings: TextSettings | None = None,
    device: str | Device = "auto",
    progress: Progress = silent,
) -> GradientFlow:
    """Measure how much of the past influences a step of recurrent language models: by lag k the
    sizes of dS(t)/dS(t-k) of each layer's state S, of dc(t)/dc(t-k) of its cell, of
    dloss(t)/dh(t-k) of its hidden state h, and of dloss(t)/dx(t-k), at positions t drawn from a
    text.

    Sizes of Jacobians are ||J||_F / sqrt(width), 1 where all lengths are kept; the input of a layer
    is held fixed. Sizes of layers of up to 64 units are exact, others are estimated from random
    vectors (Hutchinson 1990). dc(t)/dc(t-k) counts all paths from cell to cell, through gates and
    h, too. Elman layers have bounds after Pascanu et al. (2013), all layers Lyapunov exponents
    (Engelken et al. 2023).

    models: themselves or by their names; also as a mapping from names. text: one or several, or the
    name of a bundled corpus of plain text, for its test part; None: the test part of the bundled
    English. At most 100,000 tokens of a text are read. lags: largest k, in tokens. positions:
    number of positions; fewer if the text is short. probes: number of random vectors for each
    position, shared out over h and c. exponents: number of exponents of each layer. untrained:
    after each model, also a network with its settings and seed before training. seed: random seed
    of positions and random vectors.

    Raises:
        UsageError: a number is too small, or a model has no recurrent layers.
        ModelError: the model does not exist.
        TextError: the text cannot be read, or has a single token.
        SettingsError: with `untrained`, an output layer needs counts that the tokenizer lacks.
    """
    for name, value, least in (
        ("lags", lags, 1),
        ("positions", positions, 1),
        ("probes", probes, 1),
        ("exponents", exponents, 0),
    ):
        if value < least:
            raise UsageError(f"{name} = {value} is too small", hint=f"it must be {least} or more")
    source = open_source(text, text_settings)
    given = load_models_for("gradients", models, device)
    measured = []
    for subject in with_starts(given) if untrained else given:
        tokenizer = subject.model.tokenizer
        drawn = draw(subject.model, source.encode(tokenizer).ids, lags, positions, seed)
        layers, loss = measure(
            subject.model,
            drawn,
            probes=probes,
            exponents=exponents,
            seed=seed,
            progress=prefixed(progress, subject.name),
        )
        measured.append(
            ModelGradients(
                model=subject.name,
                kind=subject.kind,
                lags=drawn.lags,
                positions=drawn.rows,
                layers=layers,
                loss=loss,
                unit=unit_of(tokenizer),
            )
        )
    return GradientFlow(tuple(measured))


def _model_dict(model: ModelGradients) -> dict[str, Any]:
    layers = [
        {
            "name": layer.name,
            "width": layer.width,
            "state_parts": layer.parts,
            "probes": layer.probes,
            "is_exact": layer.probes is None,
            "state": _curve_dict(layer.state),
            "cell": layer.cell and _curve_dict(layer.cell),
            "loss": _curve_dict(layer.loss),
            "bounds": layer.bounds and _bounds_dict(layer.bounds, layer.state.lags.tolist()),
            "lyapunov_exponents_nats_per_token": layer.exponents,
        }
        for layer in model.layers
    ]
    content = {
        "model": model.model,
        "kind": model.kind,
        "lags": model.lags,
        "positions": model.positions,
        "layers": layers,
        "loss": _curve_dict(model.loss),
    }
    return dict(to_builtins(content))


def _bounds_dict(bounds: JacobianBounds, lags: list[int]) -> dict[str, Any]:
    return {
        "largest_singular_value": bounds.largest,
        "smallest_singular_value": bounds.smallest,
        "steepest_slope": bounds.steepest,
        "flattest_slope_met": bounds.flattest,
        "upper": [bounds.upper_at(lag) for lag in lags],
        "lower": [bounds.lower_at(lag) for lag in lags],
    }


def _curve_dict(curve: Curve) -> dict[str, Any]:
    trend = curve.trend
    return {
        "lag": curve.lags,
        "root_mean_square": curve.mean,
        "standard_error": curve.standard_error,
        "quantile_0.1": curve.low,
        "median": curve.median,
        "quantile_0.9": curve.high,
        "trend": trend.course,
        "slope_nats_per_token": trend.slope,
        "slope_low": trend.low,
        "slope_high": trend.high,
        "half_life_tokens": trend.half_life,
    }


# ---- The results on gradients as tables and in words.

ROUNDING = 1e-6  # of singular values of weights in fp32
SHOWN_LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SIZE_COLUMNS = ("model", "quantity", "lag", "mean (rms)", "std. error", "10 %", "median", "90 %")
RATE_COLUMNS = (
    "model", "quantity", "trend", "half-life", "slope", "slope low", "slope high", "method",
)  # fmt: skip
BOUND_COLUMNS = (
    "model", "layer", "sigma_max(W)", "max phi'", "upper bound", "sigma_min(W)", "min phi' met",
    "lower bound",
)  # fmt: skip
SIZES = (
    "Gradient size by lag (tokens): of states and cells with respect to earlier ones, of the loss "
    "by hidden states h and with respect to the {} read"
)
TRENDS = (
    "Trend of these sizes: half-life in tokens, slope of their logarithm in nats per "
    "token, with its 95 % interval"
)


def unit_of(tokenizer: Tokenizer) -> str:
    """Return the name of a tokenizer's tokens: words, if they are words."""
    return "word" if tokenizer.name == "word" else "token"


def common(units: Sequence[str]) -> str:
    """Return the name of several models' tokens."""
    return "word" if set(units) == {"word"} else "token"


def verdict_of(name: str, layers: Sequence[LayerGradients], loss: Curve, unit: str) -> str:
    """Say in a sentence whether gradients vanish, hold or explode in one model. unit: the unit it
    reads, "word" or "token"."""
    parts = [
        f"the gradient of the state of {layer.name} {_course(layer.state)}{_of_bounds(layer)}"
        for layer in layers
    ]
    return (
        f"{name}: {'; '.join(parts)}; that of the loss with respect to the {unit} read "
        f"{_course(loss)}."
    )


def _course(curve: Curve) -> str:
    """Say whether a size vanishes, holds or explodes, and how fast."""
    trend, last = curve.trend, curve.trend.largest_lag
    first_size, last_size = curve.mean[curve.at(1)], curve.mean[curve.at(last)]
    sizes = f"{first_size:.3g} at lag 1, {last_size:.3g} at lag {last}"

    if trend.course in ("vanishes", "explodes") and trend.half_life is None:
        return f"{trend.course}, but not exponentially ({sizes})"
    # A size of zero vanishes at once: its trend has no slope.
    if trend.course == "vanishes":
        half_life = (trend.half_life or 0.0) if math.isfinite(trend.slope) else 0.0
        return f"vanishes with a half-life of {half_life:.3g} tokens ({_interval(trend)}{sizes})"
    if trend.course == "explodes":
        doubling = -(trend.half_life or 0.0)
        return f"explodes, doubling every {doubling:.3g} tokens ({_interval(trend)}{sizes})"
    if trend.course == "holds":
        return f"holds, changing by less than a factor of 2 over {last} tokens ({sizes})"
    return (
        f"is undecided, since there are too few positions (slope {trend.low:.3g} to "
        f"{trend.high:.3g} nats per token; {sizes})"
    )


def _interval(trend: Trend) -> str:
    """Write the interval of a half-life, or of the time in which a size doubles."""
    low, high = sorted(math.log(2) / abs(slope) for slope in (trend.low, trend.high))
    return f"95 % interval {low:.3g} to {high:.3g}; " if high > 0 else ""


def _of_bounds(layer: LayerGradients) -> str:
    """Say what the bounds of an Elman layer imply for its gradients."""
    if layer.bounds is None:
        return ""
    upper = f"sigma_max(W) max phi' = {layer.bounds.upper:.3g}"
    if layer.bounds.upper < 1 - ROUNDING:
        if layer.state.trend.course == "vanishes":
            return f", as it must, since {upper} is below 1"
        return f"; further back it must vanish, as {upper} is below 1"
    if layer.bounds.upper <= 1 + ROUNDING:
        return f", and cannot explode, as {upper}"
    return f", though {upper} would allow it to explode"


def _size_rows(
    name: str, what: str, curve: Curve, layers: Sequence[LayerGradients], bounded: bool
) -> list[tuple[object, ...]]:
    """Return the rows of one curve. bounded: whether there are columns for bounds, which the
    state of an Elman layer has."""
    bounds = next((layer.bounds for layer in layers if what == f"{layer.name}, state"), None)
    rows = []
    for lag in sorted({*SHOWN_LAGS, int(curve.lags[-1])} & set(curve.lags.tolist())):
        row: list[object] = [name, what, lag]
        for values in (curve.mean, curve.standard_error, curve.low, curve.median, curve.high):
            size = float(values[curve.at(lag)])
            row.append(None if math.isnan(size) else size)
        if bounded:
            row += (bounds.lower_at(lag), bounds.upper_at(lag)) if bounds else (None, None)
        rows.append(tuple(row))
    return rows


def _rate_row(
    name: str, what: str, curve: Curve, layers: Sequence[LayerGradients]
) -> tuple[object, ...]:
    """Return the rate of one curve, and the method of its sizes."""
    trend = curve.trend
    layer = next((layer for layer in layers if what.startswith(f"{layer.name},")), None)
    method = "exact"
    if layer is not None and layer.probes is not None:
        method = f"{layer.probes} probes"
        if len(layer.parts) > 1:
            method += f" each of {' and '.join(layer.parts)}"
    half_life = trend.half_life if trend.course == "vanishes" else None
    return name, what, trend.course, half_life, trend.slope, trend.low, trend.high, method


def _exponent_cells(layer: LayerGradients, most: int) -> list[float | None]:
    cells: list[float | None] = []
    for exponent in layer.exponents:
        cells += [exponent.value, exponent.standard_error]
    return cells + [None] * (2 * most - len(cells))


def _bound_cells(bounds: JacobianBounds) -> tuple[float, ...]:
    return (
        bounds.largest,
        bounds.steepest,
        bounds.upper,
        bounds.smallest,
        bounds.flattest,
        bounds.lower,
    )


# ---- The plots of gradients: curves by lag, and maps of the words of a sentence.

DECADES = 12  # powers of ten on the axis; smaller sizes lie below the plot
SIZE, LOSS = "mean (rms) size; 1: all lengths kept", "mean (rms) norm (nats)"
HEIGHT = 3.1  # inches of a row of panels
# Space beside a map, in inches: words on the left, the colour bar
BESIDE_MAP = 1.6
SMALLEST_MAP, NARROWEST = 1.6, 5.0  # inches of a map and of a figure


def draw_curves(
    models: Sequence[tuple[str, Sequence[LayerGradients], Curve]],
    unit: str,
    axes: "plotting.Axes | None" = None,
) -> "plotting.Figure":
    """Draw a panel for the states of layers, with their bounds; one for their cells, if there are
    any; one for the loss by hidden states; and one for the loss by inputs. unit: the unit that all
    of the models read, "word" or "token".

    A network before training has the colour of the trained one, and broken lines."""
    figure, panels = _new_panels(models, unit, axes)
    states, losses_by_state, losses = panels[0], panels[-2], panels[-1]
    shown: dict[plotting.Axes, list[Curve]] = {panel: [] for panel in panels}

    def show(panel: "plotting.Axes", curve: Curve, label: str, style: plotting.SeriesStyle) -> None:
        # A marker now and then, and the band of most positions.
        mean, low, high = (
            np.where(values > 0, values, np.nan) for values in (curve.mean, curve.low, curve.high)
        )
        panel.plot(
            curve.lags,
            mean,
            style.line,
            markevery=max(1, len(mean) // 5),
            label=label,
            marker=style.marker,
            markersize=4,
            color=style.colour,
        )
        panel.fill_between(
            curve.lags, low, high, color=style.colour, alpha=plotting.BAND, linewidth=0
        )

        shown[panel].append(curve)

    # The series of each panel, drawn in the styles of their networks.
    styles = _series_styles(models)
    bounded: list[tuple[np.ndarray, JacobianBounds, str]] = []
    for name, layers, loss in models:
        for layer in layers:
            style, label = styles[name, layer.name], _label(name, layer, layers)
            show(states, layer.state, label, style)
            if layer.cell is not None:
                show(panels[1], layer.cell, label, style)
            show(losses_by_state, layer.loss, label, style)
            if layer.bounds is not None:
                bounded.append((layer.state.lags, layer.bounds, style.colour))

        # The loss has the colour of the model's lowest layer, which the legend names.
        lowest = layers[0]
        show(losses, loss, _label(name, lowest, layers), styles[name, lowest.name])

    for panel, curves in shown.items():
        # The sizes of the curves limit an axis; bounds, which grow without end, cannot stretch it.
        values = np.concatenate([curve.mean for curve in curves])
        values = values[np.isfinite(values) & (values > 0)]
        if len(values):
            high = 3 * values.max()
            panel.set_ylim(max(values.min() / 3, high * 10.0**-DECADES), high)
        plotting.log_y(panel)
        panel.locator_params(axis="x", integer=True)

    # Bounds end where they would leave the picture.
    low, high = states.get_ylim()
    for lags, bounds, colour in bounded:
        for bound_at in (bounds.lower_at, bounds.upper_at):
            values = np.array([bound_at(lag) for lag in lags.tolist()])
            inside = np.where((values >= low) & (values <= high), values, np.nan)
            states.plot(lags, inside, ":", color=colour, linewidth=1)
    plotting.name_bands(losses, "the middle 80 % of positions")
    if bounded:
        label = "bounds from the weights alone, as far as they fit"
        losses.plot([], [], label=label, color=plotting.REFERENCE, linestyle=":", linewidth=1)
    plotting.legend_below(figure, *panels)
    return figure


def _new_panels(
    models: Sequence[tuple[str, Sequence[LayerGradients], Curve]],
    unit: str,
    axes: "plotting.Axes | None",
) -> "tuple[plotting.Figure, Sequence[plotting.Axes]]":
    """Return a figure with a panel for states, one for cells if there are any, and two for the
    loss."""
    has_cells = any(layer.cell is not None for _, layers, _ in models for layer in layers)
    below = "lag (tokens)"
    labels: list[tuple[str, str, str] | None] = [
        ("\u2202h(t) / \u2202h(t\u2212lag): the flatter, the longer a state lasts", below, SIZE),
        ("\u2202loss(t) / \u2202h(t\u2212lag)", below, LOSS),
        (
            f"\u2202loss(t) / \u2202x(t\u2212lag): the higher, the more a {unit} matters",
            below,
            LOSS,
        ),
    ]
    if has_cells:
        title = "\u2202c(t) / \u2202c(t\u2212lag): the flatter, the longer a cell lasts"
        labels.insert(1, (title, below, SIZE))
    height = min(2 * HEIGHT + 0.8, plotting.TALLEST)
    return plotting.new_panels(labels, height=height, columns=2, axes=axes)


def _label(model: str, layer: LayerGradients, layers: Sequence[LayerGradients]) -> str:
    """Return the name of a layer in the legend: the name of its model, where it has no other
    layer."""
    label = plotting.short_name(model)
    return f"{label}, {layer.name}" if len(layers) > 1 else label


def _series_styles(
    models: Sequence[tuple[str, Sequence[LayerGradients], Curve]],
) -> dict[tuple[str, str], plotting.SeriesStyle]:
    """Return the style of each layer of each model: a colour and a marker for each layer of a
    trained network, which the same one before training shares."""
    colours: dict[tuple[str, str], int] = {}
    styles = {}
    for name, layers, _ in models:
        trained = name.removesuffix(UNTRAINED)
        for layer in layers:
            number = colours.setdefault((trained, layer.name), len(colours))
            style = plotting.series_style(number)
            if trained != name:
                style = replace(style, line="--" if style.line == "-" else "-.")
            styles[name, layer.name] = style
    return styles


def draw_maps(
    maps: Sequence[tuple[str, str, Sequence[str], Sequence[str], np.ndarray]],
    axes: "plotting.Axes | None" = None,
) -> "plotting.Figure":
    """Draw a panel for each model: name, unit (word or token), inputs (columns), predictions
    (rows), and the norms: NaN where nothing was read yet."""
    # Two maps lie side by side if all words can be written below each.
    longest = max(len(read) for _, _, read, _, _ in maps)
    words_below = int((plotting.WIDEST / 2 - BESIDE_MAP) / plotting.INCHES_PER_LABEL)
    columns = min(2, len(maps))
    if longest > words_below:
        columns, words_below = 1, int((plotting.WIDEST - BESIDE_MAP) / plotting.INCHES_PER_LABEL)
    labels = [
        (
            f"{plotting.short_name(name)}: what each prediction depends on",
            f"{unit} read",
            f"{unit} predicted",
        )
        for name, unit, *_ in maps
    ]

    inches = max(SMALLEST_MAP, plotting.INCHES_PER_LABEL * min(longest, words_below))
    width = max(NARROWEST, min(plotting.WIDEST, columns * (inches + BESIDE_MAP)))
    rows = -(-len(maps) // columns)
    figure, panels = plotting.new_panels(labels, width, rows * (inches + 1.5), columns, axes)

    # One scale of colours, so that models compare.
    highest = plotting.robust_highest(np.concatenate([norms_TT.ravel() for *_, norms_TT in maps]))
    for panel, (_, _, read, predicted, norms_TT) in zip(panels, maps, strict=True):
        plotting.draw_heat_map(
            panel,
            norms_TT,
            read,
            predicted,
            highest=highest,
            label=LOSS,
            most=words_below,
            most_down=words_below,
        )
    return figure
