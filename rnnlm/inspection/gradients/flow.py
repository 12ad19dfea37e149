"""How far gradients flow back through recurrent language models: of each layer, of its cell, and of the loss, by lag."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.errors import UsageError
from rnnlm.inspection import texts
from rnnlm.inspection.gradients.bounds import Bounds
from rnnlm.inspection.gradients.curve import Curve
from rnnlm.inspection.gradients.measuring import LayerGradients, Settings, measure
from rnnlm.inspection.gradients.positions import draw
from rnnlm.inspection.gradients.wording import common, gradient_tables, unit_of, verdict_of
from rnnlm.inspection.result import Table, plain
from rnnlm.inspection.subjects import Models, Subject, subjects
from rnnlm.inspection.texts import Source
from rnnlm.inspection.untrained import with_starts
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ModelGradients:
    """Of one model. lags, positions: of its text, which may have fewer than were asked for. layers: the lowest first. loss: the norm of
    dloss(t)/dx(t-k), by lag k from 0 on, in nats per unit of length of what the lowest layer reads. unit: what it reads, "word" or "token".
    """

    model: str
    kind: str
    lags: int
    positions: int
    layers: tuple[LayerGradients, ...]
    loss: Curve
    unit: str = "word"

    def curves(self) -> list[tuple[str, Curve]]:
        """All curves, by what each is the size of."""
        named = [(f"{layer.name}, state", layer.state) for layer in self.layers]
        named += [(f"{layer.name}, cell", layer.cell) for layer in self.layers if layer.cell is not None]
        return [*named, (f"loss by {self.unit} read", self.loss)]


@dataclass(frozen=True)
class GradientFlow:
    """What :func:`inspect_gradients` found; an :class:`~rnnlm.inspection.result.Inspection`."""

    models: tuple[ModelGradients, ...]

    @property
    def verdict(self) -> str:
        """For each model and each of its layers whether gradients vanish, hold or explode, and how fast."""
        return "\n".join(verdict_of(model.model, model.layers, model.loss, model.unit) for model in self.models)

    def tables(self) -> Sequence[Table]:
        """Sizes at some lags, their rates, and what the weights alone say."""
        unit = common([model.unit for model in self.models])
        return gradient_tables([(model.model, model.curves(), model.layers) for model in self.models], unit)

    def to_dict(self) -> dict[str, Any]:
        """All figures at all lags."""
        return {"models": [_model_dict(model) for model in self.models]}

    def figure(self) -> "Figure":
        """Size by lag of layers (lines), cells (dashed) and the loss, on a logarithmic scale, with the quantiles 0.1 and 0.9 as bands."""
        from rnnlm.inspection.gradients.plots import draw_curves

        unit = common([model.unit for model in self.models])
        return draw_curves([(model.model, model.layers, model.loss) for model in self.models], unit)


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
    """How much of the past a step of recurrent language models feels: by lag k the sizes of dS(t)/dS(t-k) of each layer's state S, of
    dc(t)/dc(t-k) of its cell, and of dloss(t)/dx(t-k), at positions t drawn from a text.

    Sizes of Jacobians are ||J||_F / sqrt(width), 1 where all lengths are kept; what a layer reads is held as it was. Those of layers of up
    to 64 units are exact, others come from random vectors (Hutchinson 1990). dc(t)/dc(t-k) counts all ways from cell to cell, through
    gates and h too. Elman layers have bounds after Pascanu et al. (2013), all layers Lyapunov exponents (Engelken et al. 2023).

    models: by their names, or themselves; also by name. text: as for :func:`rnnlm.evaluate`, or the name of a bundled corpus of plain
    text, for its test part; None: that of the bundled English. Of any
    text 100,000 tokens at most are read. lags: largest k, in tokens. positions: how many; fewer where the text is short. probes:
    random vectors for each position, shared out over h and c. exponents: how many of each layer. untrained: after each model, also a
    network of its settings and seed at its start. seed: of positions and random vectors.

    Raises:
        UsageError: a number is too small, or a model has no recurrent layers. ModelError: there is no such model. TextError: the text
            cannot be read, or has a single token. SettingsError: with `untrained`, an output layer needs counts that the tokenizer lacks.
    """
    for name, value, least in (("lags", lags, 1), ("positions", positions, 1), ("probes", probes, 1), ("exponents", exponents, 0)):
        if value < least:
            raise UsageError(f"{name} = {value} is too small", hint=f"{least} or more")
    opened = texts.opened(text, text_settings)
    given = subjects("gradients", models, device)
    settings = Settings(probes, exponents, seed)
    looked_at = with_starts(given) if untrained else given
    return GradientFlow(tuple(_look(each, opened, lags, positions, settings, prefixed(progress, each.name)) for each in looked_at))


def _look(subject: Subject, text: Text, lags: int, count: int, settings: Settings, progress: Progress) -> ModelGradients:
    drawn = draw(subject.model, text.encode(subject.model.tokenizer).ids, lags, count, settings.seed)
    layers, loss = measure(subject.model, drawn, settings, progress)
    return ModelGradients(subject.name, subject.kind, drawn.lags, drawn.rows, layers, loss, unit_of(subject.model.tokenizer))


def _model_dict(model: ModelGradients) -> dict[str, Any]:
    layers = [
        {
            "name": layer.name,
            "width": layer.width,
            "state_parts": layer.parts,
            "probes": layer.probes,
            "is_exact": layer.probes is None,
            "state": _curve_dict(layer.state),
            "cell": None if layer.cell is None else _curve_dict(layer.cell),
            "bounds": None if layer.bounds is None else _bounds_dict(layer.bounds, layer.state.lags.tolist()),
            "lyapunov_exponents_nats_per_token": [vars(each) for each in layer.exponents],
        }
        for layer in model.layers
    ]
    found = {"model": model.model, "kind": model.kind, "lags": model.lags, "positions": model.positions}
    return plain(found | {"layers": layers, "loss": _curve_dict(model.loss)})


def _bounds_dict(bounds: Bounds, lags: list[int]) -> dict[str, Any]:
    by_lag = {"upper": [bounds.upper_at(lag) for lag in lags], "lower": [bounds.lower_at(lag) for lag in lags]}
    return {
        "largest_singular_value": bounds.largest,
        "smallest_singular_value": bounds.smallest,
        "steepest_slope": bounds.steepest,
        "flattest_slope_met": bounds.flattest,
        **by_lag,
    }


def _curve_dict(curve: Curve) -> dict[str, Any]:
    trend = curve.trend
    figures = {
        "lag": curve.lags, "root_mean_square": curve.mean, "standard_error": curve.standard_error, "quantile_0.1": curve.low,
        "median": curve.median, "quantile_0.9": curve.high,
    }  # fmt: skip
    rate = {"slope_nats_per_token": trend.slope, "slope_low": trend.low, "slope_high": trend.high, "half_life_tokens": trend.half_life}
    return figures | {"trend": trend.course, **rate}
