"""A training run as one page: what its log and its model tell, in tables and plots."""

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rnnlm.config import as_text, resolve
from rnnlm.errors import ModelError, RnnlmWarning, SettingsError, UsageError, number, visible
from rnnlm.evaluation import pages, plotting
from rnnlm.evaluation.learning_curves import (
    GRID_TABLE,
    LearningCurve,
    curves_figure,
    learning_curve,
)
from rnnlm.evaluation.metrics import Evaluation
from rnnlm.evaluation.pages import Plot
from rnnlm.models import card, info, loading, registry
from rnnlm.models.manifest import Manifest, is_model, read_manifest
from rnnlm.models.metrics_log import METRICS, read_events
from rnnlm.recipes import recipe as recipes
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- What a run's metrics.jsonl tells, in order: steps, validations, layers, rollbacks, and how it
# ended.

T = TypeVar("T")

_ENDS = {
    "budget": "It ended with its budget",
    "complete": "It is complete",
    "early": "It ended early, as its validations found nothing better",
    "request": "It was stopped on request, and can go on with --resume",
    "diverged": "It diverged",
}
Points = list[tuple[int, float]]  # (step, value)


@dataclass(frozen=True)
class RunHistory:
    """The events of a run, all its pieces, oldest first, as
    :func:`rnnlm.models.metrics_log.read_events` reads them."""

    events: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def started(self) -> dict[str, Any]:
        """How the first piece began; {} where nothing tells it."""
        return next(iter(self.of("started")), {})

    @property
    def end(self) -> dict[str, Any] | None:
        """The last word of the last piece; None where it has not ended, or was cut off."""
        ends: list[dict[str, Any] | None] = [None]
        for event in self.events:
            if event.get("event") == "started":
                ends.append(None)
            elif event.get("event") in ("fitted", "finished"):
                ends.append(event)
        return ends[-1]

    @property
    def last_step(self) -> int:
        """The last step that is told of."""
        return max(
            (int(value) for event in self.events for _, value in points([event], "step", "step")),
            default=0,
        )

    def ending(self) -> str:
        """How it ended, as one sentence."""
        if self.end is None:
            return (
                "It has not ended: it goes on, or was cut off. The last step that is told of is "
                f"{self.last_step:,}."
            )
        stopped = str(self.end.get("stopped"))
        facts = next((event.get("facts") for event in reversed(self.of("fitted"))), None)
        why = facts.get("divergence") if isinstance(facts, dict) and stopped == "diverged" else None
        steps = self.end.get("steps")
        after = f" after {steps:,} steps" if isinstance(steps, int) and steps > 1 else ""
        return f"{_ENDS.get(stopped, f'It ended ({stopped})')}{after}{f': {why}' if why else ''}."

    def best(self, criterion: str) -> str:
        """The last best figure by which weights were chosen, as one sentence; "" where there is
        none."""
        chosen = [
            event
            for event in self.of("validated")
            if event.get("improved") and is_number(event.get(criterion))
        ]
        if not chosen:
            return ""
        return (
            f"The best validation, at step {chosen[-1].get('step')}, found {criterion} "
            f"{shown(chosen[-1][criterion])}."
        )

    @property
    def layers(self) -> list[str]:
        """The names of the layers that validations tell of, in their order."""
        return list(
            dict.fromkeys(name for event in self.of("validated") for name in layers_of(event))
        )

    def of_layer(self, name: str, figure: str) -> dict[str, Points]:
        """A figure of a layer at each validation, by block ("" where there is one number)."""
        found: dict[str, Points] = {}
        for event in self.of("validated"):
            value = layers_of(event).get(name, {}).get(figure)
            for block, each in value.items() if isinstance(value, dict) else [("", value)]:
                found.setdefault(str(block), []).extend(
                    points([{"step": event.get("step"), "value": each}], "value")
                )
        return {block: series for block, series in found.items() if series}


def layers_of(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of each layer that a validation tells of; those of before tell of none."""
    layers = event.get("layers")
    return (
        {name: figures for name, figures in layers.items() if isinstance(figures, dict)}
        if isinstance(layers, dict)
        else {}
    )


def points(events: Iterable[dict[str, Any]], figure: str, by: str = "step") -> Points:
    """(step, value) of each event that has both as finite numbers."""
    return [
        (event[by], event[figure])
        for event in events
        if is_number(event.get(by)) and is_number(event.get(figure))
    ]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shown(value: object) -> str:
    """A value of a log as a page shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value) if 0.1 <= abs(value) < 1e6 else f"{value:.4g}"
    return "\u2013" if value is None else str(value)


def thinned(rows: Sequence[T], most: int) -> list[T]:
    """At most `most` of the rows, evenly, the last one among them."""
    stride = -(-len(rows) // most) if rows else 1
    return list(rows[::-1][::stride][::-1])


# ---- The plots of a run, as SVG: its learning curve, and by steps loss, rate, gradients, spectral
# radius, saturation, weights and speed.

SIZE = (5.0, 3.3)  # inches: so that a phone shows letters of ten pixels
MARKED = 60  # series of at most so many points show each
MOST_LINES = 16  # of a plot
_LINES = ("-", "--", ":", "-.")
OF_STEPS = (
    ("Loss in training", "nats per target", ("loss_nats",), False,
     "Mean over the steps since the point before; with dropout."),
    ("Learning rate", "learning rate", ("learning_rate",), False,
     "As the schedule, batches and rollbacks make it."),
    ("Gradient norm", "norm of all gradients", ("gradient_norm", "gradient_norm_max"), True,
     "Before clipping: the mean and the largest since the point before."),
    ("Norm of the weights", "norm", ("weight_norm",), False,
     "Of all weights but the biases of the output layer."),
    ("Speed", "tokens per second", ("tokens_per_second",), False,
     "In training, without validations."),
)  # fmt: skip
_NAMES = {"gradient_norm": "mean", "gradient_norm_max": "largest"}


def plots(history: RunHistory, curve: LearningCurve | None) -> list[Plot]:
    """All plots for which the run tells something."""
    return [
        plot
        for plot in (_learning_curve_plot(curve), *_of_steps(history), *_of_layers(history))
        if plot is not None
    ]


def _learning_curve_plot(curve: LearningCurve | None) -> Plot | None:
    if curve is None or not curve.points or curve.is_counted:
        return None
    figure = curves_figure([curve], training=True)
    figure.set_size_inches(*SIZE)
    note = (
        "What the run gave up when it went back is left out. The best weights are chosen "
        "at the ends of epochs and of the run."
    )
    return Plot("Learning curve", note, plotting.as_svg(figure))


def _of_steps(history: RunHistory) -> Iterator[Plot | None]:
    for title, label, figures, is_log, note in OF_STEPS:
        series = {_NAMES.get(figure, ""): points(history.of("step"), figure) for figure in figures}
        yield _plot(title, label, note, history, series, is_log)


def _of_layers(history: RunHistory) -> Iterator[Plot | None]:
    told = (
        (
            "Gradient norm by layer",
            "gradient_norm",
            "norm",
            "Of all weights of a layer, in the step before a validation, before clipping.",
        ),
        (
            "Spectral radius",
            "spectral_radius",
            "largest |eigenvalue|",
            "Of each square block of recurrent weights, by the gate it belongs to.",
        ),
        (
            "Saturated units",
            "saturated",
            "share of units",
            "Gates below 0.1 or above 0.9, tanh beyond 0.9 on either side, a ReLU at 0.",
        ),
    )
    for title, figure, label, note in told:
        series = {
            f"{layer} {block}".rstrip(): found
            for layer in history.layers
            for block, found in history.of_layer(layer, figure).items()
        }
        yield _plot(
            title,
            label,
            note,
            history,
            series,
            figure == "gradient_norm",
            bound=1.0 if figure == "spectral_radius" else None,
        )


def _plot(
    title: str,
    label: str,
    note: str,
    history: RunHistory,
    series: Mapping[str, Points],
    is_log: bool,
    bound: float | None = None,
) -> Plot | None:
    """bound: where a level line stands. Dotted lines mark rollbacks."""
    drawn = {name: found for name, found in series.items() if found}
    if not drawn:
        return None
    figure, axes = plotting.new_figure("", "steps", label, *SIZE)
    styles = itertools.cycle(itertools.product(_LINES, plotting.COLOURS))
    for (name, found), (line, colour) in zip(
        list(drawn.items())[:MOST_LINES], styles, strict=False
    ):
        marker = "o" if len(found) <= MARKED else ""
        steps, values = zip(*found, strict=True)
        axes.plot(
            steps,
            values,
            color=colour,
            linestyle=line,
            linewidth=1.2,
            marker=marker,
            markersize=3,
            label=visible(name),
        )
    if bound is not None:
        axes.axhline(bound, color="#888888", linewidth=1)
    for step, _ in points(history.of("rolledback"), "step"):
        axes.axvline(step, color="#888888", linewidth=1, linestyle=":")
    if is_log and all(value > 0 for found in drawn.values() for _, value in found):
        plotting.log_y(axes)
    if len(drawn) > 1:
        _legend(figure)
    left_out = (
        f" The first {MOST_LINES} of {len(drawn)} are drawn." if len(drawn) > MOST_LINES else ""
    )
    return Plot(title, note + left_out, plotting.as_svg(figure))


def _legend(figure: "Figure") -> None:
    """Above the plot, two names a row."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, fontsize="small", frameon=False
    )


# ---- A training run as one page: self-contained HTML with SVG plots, no script, nothing fetched.

WHAT = "a report of a run"
MOST_VALIDATIONS = 200
_STARTED = (
    ("model", "kind"), ("parameters", "parameters"), ("vocabulary_size", "vocabulary"),
    ("train_tokens", "training tokens"),
    ("valid_tokens", "validation tokens"), ("rows", "rows of a batch"),
    ("bptt_tokens", "steps back in time"), ("device", "device"),
    ("precision", "precision"), ("validation", "validation reads"), ("processes", "processes"),
)  # fmt: skip
# of a model's summary: the page has them in another place
_ELSEWHERE = ("valid", "test", "result", "signature", "use it")
_NO_RUN = (
    f"There is no run to tell of: its folder has no {METRICS}, in which the training of a "
    "network tells of itself, or nothing in it."
)


@dataclass(frozen=True)
class Figures:
    """What was measured on one text, or one column of labels of it."""

    title: str
    rows: list[tuple[str, str]]
    signatures: list[str]


def report(run: str | Path, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write all that is known of a training run to a page of HTML: what it is, its figures with
    signatures, its settings with their origin; learning curves, learning rate, gradient norms,
    spectral radius and saturated units by layer, rollbacks, speed. The page's path.

    The page loads nothing. `run` is a folder, or the name of a model. A run that goes on has a
    page, too, and one that diverged, even where it has left no more than its metrics.jsonl; of a
    model without a run (a mixture, an imported one) the page says what it is.

    Raises:
        ModelError: there is no such run or model, or what it says of itself is damaged. UsageError:
            `run` is a grid, or `path` is the name of something else than HTML. OutputError: the
            page cannot be written, or is there already and `overwrite` is not set.
    """
    path = Path(path)
    pages.check(path, overwrite, WHAT)
    pages.write(path, render(run), WHAT)
    return path


def render(run: str | Path) -> str:
    """The page; what it raises is as for :func:`report`."""
    folder = _folder(run)
    history = RunHistory(tuple(read_events(folder)))
    manifest = read_manifest(folder) if is_model(folder) else None
    try:
        return pages.render("run.html", **_values(str(run), folder, history, manifest))
    except (AttributeError, KeyError, TypeError, ValueError):
        # what a run or a tool wrote there is of another form
        hint = f"rnnlm info {run} --all shows it as it is" if manifest else ""
        raise ModelError(f"what {run} says of itself is damaged", hint=hint) from None


def _folder(run: str | Path) -> Path:
    if (Path(run) / GRID_TABLE).is_file():
        raise UsageError(
            f"{run} is a grid of runs",
            "a report is of one",
            f"name one of the folders that {Path(run) / GRID_TABLE} names",
        )
    return Path(run) if (Path(run) / METRICS).is_file() else loading.find(str(run))


def _values(
    name: str, folder: Path, history: RunHistory, manifest: Manifest | None
) -> dict[str, Any]:
    """What the template shows."""
    curve = _curve(folder, history)
    criterion = curve.criterion if curve else ""
    validations, drawn = history.of("validated"), plots(history, curve)
    columns = _columns(validations)
    return {
        "name": folder.resolve().name or name,
        "verdict": _verdict(history, manifest, criterion),
        "about": _about(folder, history, manifest),
        "figures": list(_figures(manifest.evaluations)) if manifest else [],
        "plots": drawn,
        "without_plots": "" if drawn else _without_plots(history),
        "rollbacks": _cells(history.of("rolledback"),
                            ("step", "to_step", "rate_factor", "left", "why")),
        "layers": list(_layers(history)),
        "validation_columns": columns,
        "validations": _cells(thinned(validations, MOST_VALIDATIONS), columns),
        "validation_count": len(validations),
        "troubles": _cells(history.of("unsaved"), ("step", "why")),
        "settings": settings_with_origin(manifest) if manifest else [],
    }  # fmt: skip


def _cells(events: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[list[str]]:
    return [[shown(event.get(column)) for column in columns] for event in events]


def _curve(folder: Path, history: RunHistory) -> LearningCurve | None:
    """None where no run was begun."""
    if not history.started:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return learning_curve(folder)


def _verdict(history: RunHistory, manifest: Manifest | None, criterion: str) -> list[str]:
    if not history.started:
        return [_NO_RUN]
    pieces = len(history.of("started"))
    sentences = [history.ending(), history.best(criterion)]
    if back := len(history.of("rolledback")):
        sentences.append(f"It went back {'once' if back == 1 else f'{back} times'}.")
    if pieces > 1:
        sentences.append(f"It was trained in {pieces} pieces.")
    if manifest is None:
        sentences.append(f"It has left no model: this is what its {METRICS} tells.")
    return [sentence for sentence in sentences if sentence]


def _about(folder: Path, history: RunHistory, manifest: Manifest | None) -> list[tuple[str, str]]:
    rows = (
        [(what, value) for what, value in info.summary(str(folder)) if what not in _ELSEWHERE]
        if manifest
        else [("folder", str(folder))]
    )
    known = {what for what, _ in rows}
    started = history.started
    told = [
        (label, started[key]) for key, label in _STARTED if started.get(key) not in (None, "", 0)
    ]
    if "model" in known:
        told = [
            (label, value)
            for label, value in told
            if label not in ("kind", "parameters", "vocabulary")
        ]
    return rows + [(label, shown(value)) for label, value in told]


def _figures(evaluations: Mapping[str, Evaluation]) -> Iterator[Figures]:
    """What was measured on each text, or each column of labels of it."""
    for text, its in evaluations.items():
        for column in its.column_names:
            rows = [(name, shown(count)) for name, count in its.counts_of(column).items()]
            rows += [(each.name, each.with_unit(4)) for each in its.brief if each.column == column]
            rows += [("note", remark) for remark in its.remarks]
            signatures = [each.signature for each in its.mains if each.column == column]
            yield Figures(f"{text}: {column}" if column else text, rows, signatures)


def _without_plots(history: RunHistory) -> str:
    if not history.started:
        return _NO_RUN
    counted = [
        f"order {each.get('order')}: {shown(each.get('ngrams'))} n-grams"
        for each in history.of("counted")
    ]
    if counted:
        return f"The model was counted, not learned step by step: {', '.join(counted)}."
    return f"The {METRICS} tells of no step and no validation."


def _layers(history: RunHistory) -> Iterator[list[str]]:
    """Of each layer the last values that are told."""
    for name in history.layers:
        last: dict[str, Any] = {}
        for event in history.of("validated"):
            its = layers_of(event).get(name, {})
            last |= {"step": event.get("step")} if "saturated" in its or "step" not in last else {}
            last |= {key: value for key, value in its.items() if value is not None}
        radii = last.get("spectral_radius")
        blocks = (
            ", ".join(f"{block} {shown(value)}" for block, value in radii.items())
            if isinstance(radii, dict)
            else shown(None)
        )
        saturated = f"{last['saturated']:.1%}" if is_number(last.get("saturated")) else shown(None)
        yield [name, shown(last.get("step")), shown(last.get("gradient_norm")), saturated, blocks]


def _columns(validations: list[dict[str, Any]]) -> list[str]:
    """What validations tell, but for their layers."""
    return [
        key
        for key in dict.fromkeys(key for event in validations for key in event)
        if key not in ("event", "layers")
    ]


# ---- The settings of a model with their origin: the default, its recipe, or what was asked for.

DEFAULT, ASKED = "default", "asked for"


def settings_with_origin(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(name, value, origin) of each setting, those that are no defaults first. A model's folder
    does not keep who set what: a value that is the recipe's counts as its, else one that is the
    default's as default, and others were asked for, by a file or on the command line."""
    found = list(_told(card.settings_of(manifest), _defaults(manifest), *_recipe(manifest)))
    return sorted(found, key=lambda row: row[2] == DEFAULT)


def _told(
    settings: dict[str, Any], defaults: dict[str, Any], recipe: str, of_recipe: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for name, value in settings.items():
        if name == "model":
            continue
        is_of_recipe = name in of_recipe and as_text(of_recipe[name]) == as_text(value)
        is_default = name in defaults and defaults[name] == value
        yield (
            name,
            as_text(value),
            f"recipe {recipe}" if is_of_recipe else DEFAULT if is_default else ASKED,
        )


def _defaults(manifest: Manifest) -> dict[str, Any]:
    kind = registry.kind_of(manifest.model, manifest.task)
    classes = dict.fromkeys([*kind.all_settings, TextSettings, TokenizerSettings])
    return dict(resolve(classes, []).values)


def _recipe(manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The name and the settings of a model's recipe; no settings where it is not known any more."""
    name = manifest.training.get("recipe")
    if not isinstance(name, str):
        return "", {}
    try:
        return name, recipes.load(name).settings
    except SettingsError:
        return name, {}
