"""A grid: settings with several values each, and the run that each combination of them asks for.

The runs differ in the grid's settings, and in settings that the recipes of their kinds set
differently. All have the text, tokenizer, budget and seed of the first run that has them, unless
the grid names them.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.amounts import number
from rnnlm.config import (
    GRID,
    USER,
    ResolvedSettings,
    SettingsLayer,
    SettingValue,
    as_text,
    names_of,
)
from rnnlm.errors import RnnlmError, UsageError, notice
from rnnlm.lm.base.loading import CHECKPOINTS
from rnnlm.storage.manifest import is_model, read_manifest
from rnnlm.training.language_model import LanguageModelling
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import ForeignSettingError, resolve_request, values_of, without_names
from rnnlm.training.run_folder import text_name

FIRST = "the first run of the grid"
COMMON = {*names_of(LanguageModelling.text_settings), "budget", "seed"}
LONGEST_NAME = 150  # characters of a folder's name


@dataclass(frozen=True)
class GridRequest:
    """A request for a grid: the common part of all runs, whose output is the grid's folder, and the
    values of each setting of the grid, as text. `model` and `recipe` may be among the settings."""

    request: TrainingRequest
    axes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Combination:
    """One run of a grid, before its text is read."""

    name: str
    values: dict[str, str]  # of the grid's settings
    request: TrainingRequest  # saves in a folder within the grid's folder
    kind: registry.Kind
    resolved: ResolvedSettings


def parse_axes(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse `name=value,value` texts into axes. Values that hold commas are separated by
    semicolons: `layer_sizes=400,400;650,650`."""
    axes: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{text!r} in {GRID} is not of the form name=value,value")
        _add(axes, name.strip().replace("-", "_"), values.split(";" if ";" in values else ","))
    return axes


def axes_of(grid: Mapping[str, SettingValue]) -> dict[str, tuple[str, ...]]:
    """Make axes of settings and their values, each a sequence or a single value."""
    axes: dict[str, tuple[str, ...]] = {}
    for name, values in grid.items():
        several: list[object] = [values]
        if isinstance(values, Iterable) and not isinstance(values, str):
            several = list(values)
        _add(axes, name, several)
    return axes


def _add(axes: dict[str, tuple[str, ...]], name: str, values: Sequence[object]) -> None:
    texts = tuple(as_text(value).strip() for value in values)
    if name in axes:
        all_texts = ",".join((*axes[name], *texts))
        raise UsageError(
            f"{GRID} names {name} twice", hint=f"give all its values at once: {name}={all_texts}"
        )
    if not texts:
        raise UsageError(
            f"{name} has no value in {GRID}", hint=f"leave {name} out, or give it values"
        )
    if not all(texts):
        raise UsageError(f"a value of {name} in {GRID} is empty", hint="write none for no value")
    if len(set(map(_alike, texts))) < len(texts):
        raise UsageError(
            f"a value of {name} in {GRID} is given twice", ", ".join(texts), "leave one out"
        )
    axes[name] = texts


def _alike(text: str) -> int | float | str:
    """Return the number that a text denotes, or else the text."""
    try:
        return number(text)
    except ValueError:
        return text


def combinations(grid: GridRequest) -> tuple[list[Combination], dict[str, Any]]:
    """Return all runs of a grid, the values of its last setting changing fastest, and the settings
    that all take from the first run."""
    _check(grid)
    folder = grid.request.output or usual_folder(grid.request)
    products = itertools.product(*grid.axes.values())
    chosen = [dict(zip(grid.axes, values, strict=True)) for values in products]

    # The kind of each run, and the settings that some kind of the grid has.
    kinds = []
    for values in chosen:
        with naming(run_name(values)):
            kinds.append(_kind(grid.request, values))
    known = set[str]().union(*(names_of(kind.all_settings) for kind in kinds))

    # A setting for all runs need not suit each kind: kinds without it ignore it, as a notice says.
    given = known & (grid.request.assignments.keys() | grid.request.flags.keys())
    left_out = {kind.name: sorted(given - names_of(kind.all_settings)) for kind in kinds}
    without = [
        f"kind {name} has no {', '.join(lacking)}" for name, lacking in left_out.items() if lacking
    ]
    if without:
        notice(f"trained without a setting of the grid: {'; '.join(without)}")

    # Resolve each run alone, then once more with the settings that all take from the first one
    # that has them, where they would differ.
    runs = [
        _resolved(values, _request(grid.request, values, folder, left_out[kind.name]))
        for values, kind in zip(chosen, kinds, strict=True)
    ]
    common = {name: values for name, values in differing(runs).items() if name in COMMON}
    shared = {name: next(iter(values.values())) for name, values in common.items()}
    alike = [_resolved(run.values, _with(run.request, shared, run.resolved)) for run in runs]
    return alike, shared


def differing(runs: Sequence[Combination]) -> dict[str, dict[str, Any]]:
    """Return the settings outside the grid in which runs differ: the value of each run that has the
    setting, by the run's name."""
    names: dict[str, None] = {}  # in the order of the runs and their settings
    for run in runs:
        names |= dict.fromkeys(name for name in run.resolved.values if name not in run.values)

    differences = {}
    for name in names:
        having = [run for run in runs if name in run.resolved.values]
        values = {run.name: run.resolved.values[name] for run in having}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            differences[name] = values
    return differences


def run_name(values: Mapping[str, str]) -> str:
    """Return the name of a run: model=gru,hidden_size=128."""
    return ",".join(f"{name}={value}" for name, value in values.items())


def folder_name(name: str) -> str:
    """Return the name of a run's folder: the run's name, made safe, with a hash if it is long or
    has characters that do not suit file names."""
    safe = re.sub(r"[^\w.,=+-]", "_", name)[:LONGEST_NAME]
    if safe == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe}-{digest[:8]}"


def usual_folder(request: TrainingRequest) -> Path:
    """Return ./checkpoints/NAME-grid, named after the text."""
    task = registry.task(request.task or registry.LANGUAGE_MODEL)
    return CHECKPOINTS / f"{text_name(request, task)}-grid"


@contextmanager
def naming(run: str) -> Iterator[None]:
    """Put the name of the run before errors that happen in this context."""
    try:
        yield
    except RnnlmError as error:
        error.what = f"{run}: " + error.what
        raise


def _check(grid: GridRequest) -> None:
    """Refuse a grid without axes, or with a setting that has a value elsewhere too."""
    if not grid.axes:
        raise UsageError(
            "a grid needs a setting with its values",
            hint='for instance {"model": ["rnn", "gru", "lstm"]}',
        )
    named = set(values_of(layer for layer in grid.request.layers if layer.origin == USER))
    if grid.request.recipe or grid.request.from_file:
        named.add("recipe")
    twice = sorted(grid.axes.keys() & named)
    if twice:
        raise UsageError(
            f"{twice[0]} has a value in {GRID} and another outside it", hint="leave one out"
        )


def _kind(request: TrainingRequest, values: Mapping[str, str]) -> registry.Kind:
    """Return the kind of model of a run. Other settings are left out, as they may suit only other
    kinds of the grid."""
    naming_it = {name: value for name, value in values.items() if name in ("model", "recipe")}
    assignments = {name: value for name, value in request.assignments.items() if name == "model"}
    without_settings = replace(_placed(request, naming_it), assignments=assignments, flags={})
    return resolve_request(without_settings).kind


def _placed(request: TrainingRequest, values: Mapping[str, str]) -> TrainingRequest:
    """Return the request with the grid's values for one run, as a layer of settings."""
    settings = dict(values)
    recipe = settings.pop("recipe", request.recipe)
    layer = SettingsLayer(GRID, settings, is_text=True)
    return replace(request, recipe=recipe, extra_layers=(layer,))


def _request(
    request: TrainingRequest, values: dict[str, str], folder: Path, left_out: list[str]
) -> TrainingRequest:
    """Return the request of a run, without the settings that its kind lacks. A run that diverged is
    tried again."""
    output = folder / folder_name(run_name(values))
    is_kept = is_model(output) and not request.overwrite
    is_diverged = is_kept and read_manifest(output).training.get("stopped") == "diverged"
    return replace(
        _placed(request, values),
        assignments=without_names(request.assignments, left_out),
        flags=without_names(request.flags, left_out),
        output=output,
        overwrite=request.overwrite or is_diverged,
    )


def _resolved(values: dict[str, str], request: TrainingRequest) -> Combination:
    with naming(run_name(values)):
        try:
            settled = resolve_request(request)
        except ForeignSettingError as error:
            # A setting of the grid that this kind lacks. The usual hint, another kind of model,
            # is on an axis.
            if "model" in values and error.origin == GRID:
                error.hint = f"train {values['model']} by itself, or in a grid without that setting"
            raise
    return Combination(run_name(values), values, request, settled.kind, settled.resolved)


def _with(
    request: TrainingRequest, shared: Mapping[str, Any], resolved: ResolvedSettings
) -> TrainingRequest:
    """Put the shared settings that the run's kind has below the run's own."""
    applicable = {name: value for name, value in shared.items() if name in resolved.values}
    return replace(request, extra_layers=(SettingsLayer(FIRST, applicable), *request.extra_layers))
