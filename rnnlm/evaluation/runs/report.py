"""A training run as one page: self-contained HTML with SVG plots, no script, nothing fetched."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import ModelError, RnnlmWarning, UsageError
from rnnlm.evaluation import pages
from rnnlm.evaluation.learning_curves import GRID_TABLE, LearningCurve, learning_curve
from rnnlm.evaluation.runs.history import RunHistory, is_number, layers_of, shown, thinned
from rnnlm.evaluation.runs.plots import plots
from rnnlm.evaluation.runs.settings import settings_with_origin
from rnnlm.models import card, info, loading
from rnnlm.models.manifest import Manifest, is_model, read_manifest
from rnnlm.models.metrics_log import METRICS, read_events

WHAT = "a report of a run"
MOST_VALIDATIONS = 200
_OF_LANGUAGE_MODELS = ("ppl_token", "ppl_token_no_oov", "ppl_word", "bits_per_char", "bits_per_byte")
_COUNTS = ("tokens", "words", "sentences", "oov_words", "zero_probability_tokens")
_STARTED = (
    ("model", "kind"), ("parameters", "parameters"), ("vocabulary_size", "vocabulary"), ("train_tokens", "training tokens"),
    ("valid_tokens", "validation tokens"), ("rows", "rows of a batch"), ("bptt_tokens", "steps back in time"), ("device", "device"),
    ("precision", "precision"), ("validation", "validation reads"), ("processes", "processes"),
)  # fmt: skip
_ELSEWHERE = ("valid", "test", "result", "signature", "use it")  # of a model's summary: the page has them in another place
_NO_RUN = f"There is no run to tell of: its folder has no {METRICS}, in which the training of a network tells of itself, or nothing in it."


@dataclass(frozen=True)
class Figures:
    """What was measured on one text, or one column of labels of it."""

    title: str
    rows: list[tuple[str, str]]
    signatures: list[str]


def report(run: str | Path, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write all that is known of a training run to a page of HTML: what it is, its figures with signatures, its settings with their origin;
    learning curves, learning rate, gradient norms, spectral radius and saturated units by layer, rollbacks, speed. The page's path.

    The page loads nothing. `run` is a folder, or the name of a model. A run that goes on has a page, too, and one that diverged, even where
    it has left no more than its metrics.jsonl; of a model without a run (a mixture, an imported one) the page says what it is.

    Raises:
        ModelError: there is no such run or model, or what it says of itself is damaged. UsageError: `run` is a grid, or `path` is the name
            of something else than HTML. OutputError: the page cannot be written, or is there already and `overwrite` is not set.
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
    except (AttributeError, KeyError, TypeError, ValueError):  # what a run or a tool wrote there is of another form
        hint = f"rnnlm info {run} --all shows it as it is" if manifest else ""
        raise ModelError(f"what {run} says of itself is damaged", hint=hint) from None


def _folder(run: str | Path) -> Path:
    if (Path(run) / GRID_TABLE).is_file():
        raise UsageError(f"{run} is a grid of runs", "a report is of one", f"name one of the folders that {Path(run) / GRID_TABLE} names")
    return Path(run) if (Path(run) / METRICS).is_file() else loading.find(str(run))


def _values(name: str, folder: Path, history: RunHistory, manifest: Manifest | None) -> dict[str, Any]:
    """What the template shows."""
    curve = _curve(folder, history)
    criterion = curve.criterion if curve else ""
    validations, drawn = history.of("validated"), plots(history, curve)
    columns = _columns(validations)
    return {
        "name": folder.resolve().name or name,
        "verdict": _verdict(history, manifest, criterion),
        "about": _about(folder, history, manifest),
        "figures": list(_figures(manifest.results)) if manifest else [],
        "plots": drawn,
        "without_plots": "" if drawn else _without_plots(history),
        "rollbacks": _cells(history.of("rolledback"), ("step", "to_step", "rate_factor", "left", "why")),
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
    rows = [(what, value) for what, value in info.summary(str(folder)) if what not in _ELSEWHERE] if manifest else [("folder", str(folder))]
    known = {what for what, _ in rows}
    started = history.started
    told = [(label, started[key]) for key, label in _STARTED if started.get(key) not in (None, "", 0)]
    if "model" in known:
        told = [(label, value) for label, value in told if label not in ("kind", "parameters", "vocabulary")]
    return rows + [(label, shown(value)) for label, value in told]


def _figures(results: dict[str, dict[str, Any]]) -> Iterator[Figures]:
    """Of each text that a model was measured on, whatever its task."""
    for text, found in results.items():
        counts = [(name, shown(found[name])) for name in _COUNTS if found.get(name) is not None]
        for column in found.get("columns", ()):
            rows = [(name, f"{column[name]:.4f}") for name in card.FIGURES if column.get(name) is not None]
            yield Figures(f"{text}: {column['column']}", [*counts, *rows], [column["signature"]])
        if "columns" in found:
            continue
        own = [(name, f"{found[name]:,.4f}") for name in _OF_LANGUAGE_MODELS if found.get(name) is not None]
        written = [(name, card.number_of_pairs(name, found[name])) for name in card.OF_PAIRS if found.get(name) is not None]
        of_pairs = [found["signatures"][found["main"]]] if "main" in found else []
        rows = [*counts, *own, *written] + (
            [] if found.get("normalised", True) else [("normalised", "no: the figures are no perplexities")]
        )
        yield Figures(text, rows, [found["signature"], *of_pairs])


def _without_plots(history: RunHistory) -> str:
    if not history.started:
        return _NO_RUN
    counted = [f"order {each.get('order')}: {shown(each.get('ngrams'))} n-grams" for each in history.of("counted")]
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
        blocks = ", ".join(f"{block} {shown(value)}" for block, value in radii.items()) if isinstance(radii, dict) else shown(None)
        saturated = f"{last['saturated']:.1%}" if is_number(last.get("saturated")) else shown(None)
        yield [name, shown(last.get("step")), shown(last.get("gradient_norm")), saturated, blocks]


def _columns(validations: list[dict[str, Any]]) -> list[str]:
    """What validations tell, but for their layers."""
    return [key for key in dict.fromkeys(key for event in validations for key in event) if key not in ("event", "layers")]
