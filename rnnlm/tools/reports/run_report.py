"""Write a report of training runs as one page: the content of their logs and models, in tables and
plots."""

import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rnnlm.amounts import amount
from rnnlm.choices import stored_given, taken_choices
from rnnlm.config import DEFAULT, as_text, resolve
from rnnlm.errors import ModelError, RnnlmWarning, UsageError, visible
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import LearningCurve, folder_of, learning_curve
from rnnlm.evaluation.metrics import Evaluation, stored_evaluations
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.outputs import check_file, save_file
from rnnlm.storage.files.writing import STANDARD_OUTPUT
from rnnlm.storage.manifest import Manifest, is_model, read_manifest
from rnnlm.storage.run_files import METRICS, read_events
from rnnlm.system import quoted
from rnnlm.tools.reports.curve_plots import By, curves_figure, runs_of
from rnnlm.training import card
from rnnlm.version import __version__

# ---- The events in a run's metrics.jsonl: steps, validations, layers, rollbacks, and how it ended.

T = TypeVar("T")

_ENDS = {
    "budget": "It used up its budget",
    "complete": "It is complete",
    "early": "It stopped early, since validations no longer improved",
    "request": "It was stopped on request",
    "diverged": "It diverged",
}
Points = list[tuple[int, float]]  # (step, value)


@dataclass(frozen=True)
class RunHistory:
    """The events of a run, all its pieces, oldest first, as
    :func:`rnnlm.storage.run_files.read_events` reads them."""

    events: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def started(self) -> dict[str, Any]:
        """How the first piece began; {} where no event says it."""
        return next(iter(self.of("started")), {})

    @property
    def end(self) -> dict[str, Any] | None:
        """The last event of the last piece; None where it has not ended, or was interrupted."""
        last = None
        for event in self.events:
            if event.get("event") == "started":
                last = None
            elif event.get("event") in ("fitted", "finished"):
                last = event
        return last

    @property
    def last_step(self) -> int:
        """The last step of which there is an event."""
        steps = [int(step) for step, _ in points(self.events, "step", "step")]
        return max(steps, default=0)

    def ending(self) -> str:
        """Say in a sentence how the run ended."""
        if self.end is None:
            return (
                "It has not ended: it is still running, or was interrupted. "
                f"Its log ends at step {self.last_step:,}."
            )
        stopped = str(self.end.get("stopped"))
        sentence = _ENDS.get(stopped, f"It ended ({stopped})")
        steps = self.end.get("steps")
        if isinstance(steps, int) and steps > 1:
            sentence += f" after {steps:,} steps"

        # Why a run diverged is a fact of the last event of fitting.
        fitted = self.of("fitted")
        facts = fitted[-1].get("facts") if fitted else None
        if stopped == "diverged" and isinstance(facts, dict) and facts.get("divergence"):
            sentence += f": {facts['divergence']}"
        if stopped == "request":
            sentence += "; the same rnnlm train command continues it"
        return f"{sentence}."

    def best(self, criterion: str) -> str:
        """Say in a sentence which validation was the best by the metric that weights are chosen
        by; "" where there is none."""
        sentence = ""
        for event in self.of("validated"):
            value = event.get(criterion)
            if event.get("improved") and is_number(value):
                sentence = (
                    f"The best validation, at step {event.get('step')}, found {criterion} "
                    f"{amount(value, None)}."
                )
        return sentence

    @property
    def layers(self) -> list[str]:
        """The names of the layers that validations measured, in their order."""
        names: dict[str, None] = {}
        for event in self.of("validated"):
            names |= dict.fromkeys(layers_of(event))
        return list(names)

    def of_layer(self, name: str, metric: str) -> dict[str, Points]:
        """Return a metric of a layer at each validation, by block ("" where there is one
        number)."""
        series_by_block: dict[str, Points] = {}
        for event in self.of("validated"):
            value = layers_of(event).get(name, {}).get(metric)
            blocks = value if isinstance(value, dict) else {"": value}
            for block, number in blocks.items():
                step = {"step": event.get("step"), "value": number}
                series_by_block.setdefault(str(block), []).extend(points([step], "value"))
        return {block: series for block, series in series_by_block.items() if series}


def layers_of(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the metrics of each layer at a validation, if it has any."""
    layers = event.get("layers")
    if not isinstance(layers, dict):
        return {}
    return {name: metrics for name, metrics in layers.items() if isinstance(metrics, dict)}


def points(events: Iterable[dict[str, Any]], metric: str, by: str = "step") -> Points:
    """Return (step, value) of each event that has both as finite numbers."""
    return [
        (event[by], event[metric])
        for event in events
        if is_number(event.get(by)) and is_number(event.get(metric))
    ]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def thinned(rows: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the rows, evenly spaced, the last one among them."""
    if not rows:
        return []
    stride = -(-len(rows) // most)
    return list(rows[::-1][::stride][::-1])


# ---- The plots of a run, as SVG: its learning curve, and by steps loss, rate, gradients, spectral
# radius, saturation, weights and speed.

MARKED = 60  # series of at most this many points mark each one
MOST_LINES = 16  # of a plot
OF_STEPS = (
    ("Loss in training", "nats per target", ("loss_nats",), False,
     "Mean over the steps since the previous point, with dropout."),
    ("Learning rate", "learning rate", ("learning_rate",), False,
     "Set by the schedule, the size of batches and rollbacks."),
    ("Gradient norm", "norm of all gradients", ("gradient_norm", "gradient_norm_max"), True,
     "Before clipping: mean and maximum since the previous point."),
    ("Norm of the weights", "norm", ("weight_norm",), False,
     "All weights except the biases of the output layer."),
    ("Speed", "tokens per second", ("tokens_per_second",), False,
     "While training; the time of validations is not counted."),
)  # fmt: skip
_NAMES = {"gradient_norm": "mean", "gradient_norm_max": "largest"}
OF_LAYERS = (
    ("Gradient norm by layer", "gradient_norm", "norm",
     "All weights of a layer, in the step before a validation, before clipping."),
    ("Update over weights by layer", "update_ratio", "ratio of norms",
     "What the first step after the validation before added to a layer's weights."),
    ("Spectral radius", "spectral_radius", "largest |eigenvalue|",
     "Each square block of recurrent weights, named by its gate."),
    ("Saturated units", "saturated", "share of units",
     "Gates below 0.1 or above 0.9, tanh beyond 0.9 on either side, a ReLU at 0."),
)  # fmt: skip
PLOT_INCHES = (5.0, 3.5)  # so that a phone shows letters of ten pixels


@dataclass(frozen=True)
class Plot:
    """A plot with a title and a note for its reader."""

    title: str
    note: str
    svg: str


def plots(history: RunHistory, curve: LearningCurve | None, by: By = "steps") -> list[Plot]:
    """Return all plots for which the run has data; the learning curve is plotted by `by`."""
    drawn = [_learning_curve_plot(curve, by), *_of_steps(history), *_of_layers(history)]
    return [plot for plot in drawn if plot is not None]


def _learning_curve_plot(curve: LearningCurve | None, by: By) -> Plot | None:
    """Draw the learning curve; None for a model of counts, or without validations."""
    if curve is None or not curve.points or curve.is_counted:
        return None
    figure = curves_figure([curve], by, training=True, size=PLOT_INCHES)
    note = "Steps undone by a rollback are left out. The weights of the best validation are kept."
    return Plot(CURVE, note, plotting.as_svg(figure))


def _of_steps(history: RunHistory) -> Iterator[Plot | None]:
    """Draw the logged values of steps."""
    for title, label, metrics, is_log, note in OF_STEPS:
        steps = history.of("step")
        series = {_NAMES.get(metric, ""): points(steps, metric) for metric in metrics}
        yield _plot(title, label, note, history, series, is_log)


def _of_layers(history: RunHistory) -> Iterator[Plot | None]:
    """Draw the measurements of each layer in validations."""
    for title, metric, label, note in OF_LAYERS:
        series: dict[str, Points] = {}
        for layer in history.layers:
            for block, block_points in history.of_layer(layer, metric).items():
                series[f"{layer} {block}".rstrip()] = block_points
        yield _plot(
            title=title,
            label=label,
            note=note,
            history=history,
            series=series,
            is_log=metric in ("gradient_norm", "update_ratio"),
            bound=1.0 if metric == "spectral_radius" else None,  # above it gradients may explode
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
    """Plot series of points by steps, with dotted lines at rollbacks and a level line at `bound`;
    None where there are no points."""
    drawn = {name: series_points for name, series_points in series.items() if series_points}
    if not drawn:
        return None
    figure, axes = plotting.new_figure("", "steps", label, *PLOT_INCHES)

    for place, (name, series_points) in enumerate(itertools.islice(drawn.items(), MOST_LINES)):
        steps, values = zip(*series_points, strict=True)
        colours = plotting.series_style(place)
        axes.plot(
            steps,
            values,
            color=colours.colour,
            linestyle=colours.line,
            linewidth=1.2,
            marker=colours.marker if len(series_points) <= MARKED else "",
            markersize=3,
            label=visible(name) or label,
        )

    # The line to compare the series with: the legend names it once.
    style: dict[str, Any] = {"color": plotting.REFERENCE, "linewidth": 1}
    if bound is not None:
        axes.axhline(bound, label=f"{bound:g}: beyond it gradients may explode", **style)
    for step, _ in points(history.of("rolledback"), "step"):
        axes.axvline(step, linestyle=":", label="rollback", **style)

    # A logarithmic scale has no place for a gradient of zero.
    sizes = [value for _, value in itertools.chain(*drawn.values())]
    if is_log and min(sizes) > 0:
        plotting.log_y(axes)
    if len(axes.lines) > 1:
        plotting.legend_below(figure, axes)
    if len(drawn) > MOST_LINES:
        note += f" The first {MOST_LINES} of {len(drawn)} are drawn."
    return Plot(title, note, plotting.as_svg(figure))


# ---- A training run as one page: self-contained HTML that is also XML, with SVG plots, no script,
# nothing fetched. All text from outside is escaped.

PAGE_SUFFIXES = (".html", ".htm", ".xhtml", "")
CURVE = "Learning curve"
MOST_VALIDATIONS = 200
_STARTED = (
    ("model", "kind"), ("parameters", "parameters"), ("vocabulary_size", "vocabulary"),
    ("train_tokens", "training tokens"),
    ("valid_tokens", "validation tokens"), ("rows", "rows of a batch"),
    ("bptt_tokens", "tokens of a window"), ("device", "device"),
    ("precision", "precision"), ("validation", "validation reads"), ("processes", "processes"),
)  # fmt: skip
# Of a model's summary: the page has them in another place
_ELSEWHERE = ("valid", "test", "result", "signature", "use it")
_NO_RUN = (
    f"There is no run to report: {METRICS}, the log of a network's training, is missing or empty."
)


Run = str | os.PathLike[str]  # a folder or the name of a model; a finished run has a folder


def report(
    runs: Run | Sequence[Run], path: str | Path, *, by: By = "steps", overwrite: bool = False
) -> Path:
    """Write an HTML page about training runs, and return its path.

    It has one plot of the learning curves of all runs. For each run, it shows the model, metrics
    with signatures, settings with their origins, learning curve, learning rate, gradient norms,
    spectral radius and saturated units by layer, rollbacks and speed. The page loads no other
    files.

    Runs in progress and runs that diverged have a page, too, even if only their metrics.jsonl
    exists. For a model without a run (a mixture, an imported model), the page describes the model.

    Args:
        runs: One or several runs. A run is its folder or the name of a model; the folder of a grid
            means all its runs.
        path: HTML file to write.
        by: Horizontal axis of learning curves: "steps", "tokens", "epochs" or "seconds".
        overwrite: Replace an existing file.

    Raises:
        ModelError: A run or model does not exist, or its log or manifest is damaged.
        UsageError: No run is named, or `path` does not name an HTML file.
        OutputError: The page cannot be written, or it exists and `overwrite` is not set.
    """
    path = Path(path)
    _check_page(path, overwrite)
    named = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    if not named:
        raise UsageError("there is nothing to report", "no run is named")
    page = render(*named, by=by)
    save_file(path, [page.encode("utf-8", "backslashreplace")])
    return path


def render(*runs: Run, by: By = "steps") -> str:
    """Return the page of runs as HTML."""
    named = itertools.chain.from_iterable(runs_of(os.fspath(run)) for run in runs)
    pairs = [_values(run, by) for run in named]
    curves = [curve for _, curve in pairs if curve and curve.points]

    # The curves of several runs share one plot if they show one metric.
    together = None
    if len(curves) > 1 and len({curve.criterion for curve in curves}) == 1:
        with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
            figure = curves_figure(curves, by, size=PLOT_INCHES)
        together = Plot("Learning curves", "", plotting.as_svg(figure))
    return _filled(runs=[values for values, _ in pairs], together=together)


def _check_page(path: Path, overwrite: bool) -> None:
    """Make sure that a page can be made and written to `path`, before any work is done."""
    check_file(path, overwrite)
    suffix = Path(without_suffix(str(path))).suffix
    if suffix.lower() not in PAGE_SUFFIXES or path == STANDARD_OUTPUT:
        raise UsageError(
            f"a report of runs cannot be written to {path}",
            "the report is an HTML page",
            "name a FILE.html, or FILE.html.gz",
        )
    # Where these are not installed, say so before time goes into a page.
    import jinja2  # noqa: F401

    plotting.imported_matplotlib()


def _filled(**values: object) -> str:
    """Fill run.html, of the folder templates, with these values."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": amount, "clean": visible}
    return environment.get_template("run.html").render(version=__version__, **values)


def _values(run: str | Path, by: By) -> tuple[dict[str, Any], LearningCurve | None]:
    """Return the values that the template shows of a run, and its learning curve."""
    folder = folder_of(run)
    history = RunHistory(tuple(read_events(folder)))
    manifest = read_manifest(folder) if is_model(folder) else None
    try:
        curve = _curve(folder, history)
        return _shown_values(str(run), folder, history, manifest, curve, by), curve
    except (AttributeError, KeyError, TypeError, ValueError):
        # An interrupted run or another tool may have written anything there
        hint = f"rnnlm info {quoted(str(run))} --all shows it as it is" if manifest else ""
        raise ModelError(f"the log or the model in {run} is damaged", hint=hint) from None


def _shown_values(
    name: str,
    folder: Path,
    history: RunHistory,
    manifest: Manifest | None,
    curve: LearningCurve | None,
    by: By,
) -> dict[str, Any]:
    """Return the values that the template shows."""
    drawn = plots(history, curve, by)
    validations = history.of("validated")
    columns = _columns(validations)
    rollback_columns = ("step", "to_step", "rate_factor", "left", "why")
    values: dict[str, Any] = {
        "name": folder.resolve().name or name,
        "verdict": _verdict(history, manifest, curve.criterion if curve else ""),
        "about": _about(folder, history, manifest),
        "metrics": [],
        "curve": None,
        "plots": drawn,
        "without_plots": "",
        "rollbacks": _cells(history.of("rolledback"), rollback_columns),
        "layers": list(_layers(history)),
        "validation_columns": columns,
        "validations": _cells(thinned(validations, MOST_VALIDATIONS), columns),
        "validation_count": len(validations),
        "troubles": _cells(history.of("unsaved"), ("step", "why")),
        "settings": [],
    }
    if not drawn:
        values["without_plots"] = _without_plots(history)
    elif curve is not None and drawn[0].title == CURVE:
        values["curve"] = drawn.pop(0)

    # A run that has not saved a model has no manifest.
    if manifest:
        values["metrics"] = list(_metrics(stored_evaluations(manifest)))
        values["settings"] = settings_with_origin(manifest)
    return values


def _cells(events: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[list[str]]:
    return [[amount(event.get(column), None) for column in columns] for event in events]


def _curve(folder: Path, history: RunHistory) -> LearningCurve | None:
    """Return the learning curve of a run; None where no run was started."""
    if not history.started:
        return None
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return learning_curve(folder)


def _verdict(history: RunHistory, manifest: Manifest | None, criterion: str) -> list[str]:
    """Return sentences that say how the run ended."""
    if not history.started:
        return [_NO_RUN]
    sentences = [history.ending(), history.best(criterion)]

    # Say only what did not go as usual.
    rollbacks = len(history.of("rolledback"))
    if rollbacks == 1:
        sentences.append("It was rolled back once.")
    elif rollbacks:
        sentences.append(f"It was rolled back {rollbacks} times.")
    pieces = len(history.of("started"))
    if pieces > 1:
        sentences.append(f"It was trained in {pieces} pieces.")
    if manifest is None:
        sentences.append(f"It has saved no model: this page shows its {METRICS}.")
    return [sentence for sentence in sentences if sentence]


def _about(folder: Path, history: RunHistory, manifest: Manifest | None) -> list[tuple[str, str]]:
    """Return facts about the model and how its training began."""
    rows = [("folder", str(folder))]
    if manifest:
        rows = [row for row in card.summary(str(folder)) if row[0] not in _ELSEWHERE]

    # Facts that are already in the summary of a model are not repeated.
    is_described = any(label == "model" for label, _ in rows)
    repeated = ("kind", "parameters", "vocabulary") if is_described else ()
    for key, label in _STARTED:
        value = history.started.get(key)
        if value not in (None, "", 0) and label not in repeated:
            rows.append((label, amount(value, None)))
    return rows


def _metrics(
    evaluations: Mapping[str, Evaluation],
) -> Iterator[tuple[str, list[tuple[str, str]], list[str]]]:
    """Yield the results on each text, or on each column of its labels: title, rows, signatures."""
    for text, evaluation in evaluations.items():
        for column in evaluation.column_names:
            title = f"{text}: {column}" if column else text
            rows = [
                (name, amount(count, None)) for name, count in evaluation.counts_of(column).items()
            ]
            of_column = [metric for metric in evaluation.brief if metric.column == column]
            rows += [(metric.name, metric.with_unit(4)) for metric in of_column]
            rows += [("note", remark) for remark in evaluation.remarks]
            signatures = [
                metric.signature for metric in evaluation.mains if metric.column == column
            ]
            yield title, rows, signatures


def _without_plots(history: RunHistory) -> str:
    """Say why there are no plots."""
    if not history.started:
        return _NO_RUN
    counted = [
        f"order {event.get('order')}: {amount(event.get('ngrams'), None)} n-grams"
        for event in history.of("counted")
    ]
    if counted:
        return f"The model was counted, not learned step by step: {', '.join(counted)}."
    return f"The {METRICS} has no step and no validation."


def _layers(history: RunHistory) -> Iterator[list[str]]:
    """Yield a row for each layer with the last values that were measured."""
    for name in history.layers:
        # A validation may lack some of them. The step is the last one with saturated units.
        last: dict[str, Any] = {}
        for event in history.of("validated"):
            layer = layers_of(event).get(name, {})
            if "saturated" in layer or "step" not in last:
                last["step"] = event.get("step")
            last |= {key: value for key, value in layer.items() if value is not None}

        radii = last.get("spectral_radius")
        blocks = amount(None, None)
        if isinstance(radii, dict):
            blocks = ", ".join(f"{block} {amount(value, None)}" for block, value in radii.items())
        saturated = amount(None, None)
        if is_number(last.get("saturated")):
            saturated = f"{last['saturated']:.1%}"
        step, norm = last.get("step"), last.get("gradient_norm")
        yield [name, amount(step, None), amount(norm, None), saturated, blocks]


def _columns(validations: list[dict[str, Any]]) -> list[str]:
    """Return the names of the measurements of validations, apart from their layers."""
    keys = dict.fromkeys(itertools.chain.from_iterable(validations))
    return [key for key in keys if key not in ("event", "layers")]


# ---- The settings of a model with their origin: the default, its recipe, or the user.

UNKNOWN_ORIGIN = "not recorded"  # by an earlier version


def settings_with_origin(manifest: Manifest) -> list[tuple[str, str, str]]:
    """Return (name, value, origin) of each setting, defaults last."""
    recorded = {setting.name: setting.by for setting in stored_given(manifest.training)}
    for choice in taken_choices(manifest.training):
        recorded[choice.name] = f"{choice.by}: {choice.why}"
    defaults = resolve(manifest.kind.all_settings, []).values
    rows = []
    for name, value in card.settings_of(manifest).items():
        if name == "model":
            continue
        is_default = name in defaults and as_text(defaults[name]) == as_text(value)
        usual = DEFAULT if is_default or recorded else UNKNOWN_ORIGIN
        rows.append((name, as_text(value), recorded.get(name, usual)))
    return sorted(rows, key=lambda row: row[2] == DEFAULT)
