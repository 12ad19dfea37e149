"""A grid: settings with several values each, and the run that each combination of them asks for.

The runs differ in the grid's settings, and in what the recipes of their kinds set otherwise. Their
text and tokenizer, budget and seed are one: those of the first run that has them, unless the grid
names them.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnlm.config import Layer, Resolved, as_text, names_of, renamed
from rnnlm.errors import RnnlmError, SettingsError, UsageError, notice
from rnnlm.models import registry
from rnnlm.models.manifest import is_model, read_manifest
from rnnlm.tasks.line_texts import CORPUS, TEXT_SETTINGS
from rnnlm.text.corpus import HoldoutSettings
from rnnlm.training.request import Request, resolve_request

ORIGIN = "--grid"
FIRST = "the first run of the grid"
COMMON = {*names_of(TEXT_SETTINGS), "budget", "seed"}
LONGEST_NAME = 150  # characters of a folder's name


@dataclass(frozen=True)
class GridRequest:
    """What a grid is asked for. request: of all its runs; its output is the folder of the grid.
    axes: the values of each setting of the grid, as text; `model` and `recipe` may be among them.
    equal_settings: whether settings in which the recipes differ are those of the first run."""

    request: Request
    axes: Mapping[str, tuple[str, ...]]
    equal_settings: bool = False


@dataclass(frozen=True)
class Combination:
    """One run of a grid, before its text is read. values: its settings of the grid. request: goes
    to a folder of the grid's folder."""

    name: str
    values: dict[str, str]
    request: Request
    kind: registry.Kind
    resolved: Resolved


def parse_axes(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The axes of `name=value,value` texts. Values that hold commas are separated by semicolons:
    `layer_sizes=400,400;650,650`."""
    axes: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{ORIGIN} {text!r} is not of the form name=value,value")
        _add(axes, name.strip().replace("-", "_"), values.split(";" if ";" in values else ","))
    return dict(renamed(axes, ORIGIN))


def axes_of(grid: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The axes of settings and their values, each a sequence or a single one."""
    axes: dict[str, tuple[str, ...]] = {}
    for name, values in grid.items():
        _add(
            axes,
            name,
            [values]
            if isinstance(values, str) or not isinstance(values, Iterable)
            else list(values),
        )
    return dict(renamed(axes, "grid"))


def _add(axes: dict[str, tuple[str, ...]], name: str, values: Sequence[object]) -> None:
    texts = tuple(as_text(value).strip() for value in values)
    if name in axes:
        raise UsageError(
            f"{ORIGIN} names {name} twice",
            hint=f"give all its values at once: {name}={','.join((*axes[name], *texts))}",
        )
    if not texts:
        raise UsageError(
            f"{ORIGIN} {name}: there is no value", hint=f"leave {name} out, or give it values"
        )
    if not all(texts):
        raise UsageError(f"{ORIGIN} {name}: a value is empty", hint="write none for no value")
    if len(set(texts)) < len(texts):
        raise UsageError(
            f"{ORIGIN} {name}: a value stands there twice", ", ".join(texts), "leave one out"
        )
    axes[name] = texts


def combinations(grid: GridRequest) -> tuple[list[Combination], dict[str, Any]]:
    """All runs of a grid, the values of its last setting changing fastest; and the settings that
    all take from the first run."""
    _check(grid)
    folder = grid.request.output or usual_folder(grid.request)
    chosen = [
        dict(zip(grid.axes, values, strict=True))
        for values in itertools.product(*grid.axes.values())
    ]
    kinds = []
    for values in chosen:
        with naming(run_name(values)):
            kinds.append(_kind(grid.request, values))
    known = [names_of(kind.all_settings) for kind in kinds]
    left_out = {
        kind.name: _without_effect(grid.request, own, set().union(*known))
        for kind, own in zip(kinds, known, strict=True)
    }
    for name in filter(left_out.get, left_out):
        notice(f"a model of kind {name} has no {', '.join(left_out[name])}: it is trained without")
    requests = [
        _request(grid.request, values, folder, left_out[kind.name])
        for values, kind in zip(chosen, kinds, strict=True)
    ]
    found = [_resolved(values, request) for values, request in zip(chosen, requests, strict=True)]
    shared = _common_settings(grid, found)
    return [
        _resolved(each.values, _with(each.request, shared, each.resolved)) for each in found
    ], shared


def differing(runs: Sequence[Combination]) -> dict[str, dict[str, Any]]:
    """The settings, beside those of the grid, in which the runs that have them differ: the value of
    each run, by its name."""
    names = dict.fromkeys(
        name for run in runs for name in run.resolved.values if name not in run.values
    )
    found = {
        name: {run.name: run.resolved.values[name] for run in runs if name in run.resolved.values}
        for name in names
    }
    return {
        name: values
        for name, values in found.items()
        if any(value != next(iter(values.values())) for value in values.values())
    }


def _common_settings(grid: GridRequest, runs: Sequence[Combination]) -> dict[str, Any]:
    """What all runs take from the first one that has it, where they would differ."""
    shared = {
        name: next(iter(values.values())) for name, values in differing(runs).items()
        if name in COMMON or (grid.equal_settings and name != "model")
    }  # fmt: skip
    if (
        not grid.request.valid
        and grid.request.text
        and not all(run.kind.holds_out for run in runs)
        and "holdout" not in grid.axes
    ):
        # asked for, so that all hold it out
        shared["holdout"] = runs[0].resolved.make(HoldoutSettings).holdout
    return shared


def run_name(values: Mapping[str, str]) -> str:
    """What a run is called: model=gru,hidden_size=128."""
    return ",".join(f"{name}={value}" for name, value in values.items())


def folder_name(name: str) -> str:
    """The name of its folder: itself, or with a hash where it is long or has characters that are
    not for names of files."""
    safe = re.sub(r"[^\w.,=+-]", "_", name)[:LONGEST_NAME]
    return (
        name
        if safe == name
        else f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    )


def usual_folder(request: Request) -> Path:
    """./checkpoints/NAME-grid, after the text."""
    first = Path(request.text[0]).name.partition(".")[0] if request.text else CORPUS
    name = re.sub(r"[^\w-]+", "-", first).strip("-") or "text"
    return Path("checkpoints") / f"{name}-grid"


@contextmanager
def naming(run: str) -> Iterator[None]:
    """Errors meanwhile are of that run, and say so."""
    try:
        yield
    except RnnlmError as error:
        error.what = f"{run}: {error.what}"
        raise


def _check(grid: GridRequest) -> None:
    """Raises UsageError: there are no axes, or a setting has a value elsewhere."""
    if not grid.axes:
        raise UsageError(
            "a grid needs a setting with its values", hint="for instance --grid model=rnn,gru,lstm"
        )
    given = {"--set": grid.request.assignments, "a named option": grid.request.flags}
    given["a named option"] = {
        **grid.request.flags,
        **{name: 0 for name in ("model", "recipe") if getattr(grid.request, name)},
    }
    for place, settings in given.items():
        if twice := sorted(grid.axes.keys() & settings.keys()):
            raise UsageError(f"{twice[0]} is in the grid and in {place}", hint="leave one out")
    if grid.request.resume:
        raise UsageError(
            "a grid needs no --resume",
            "it goes on with what is in its folder",
            "leave --resume out",
        )


def _kind(request: Request, values: Mapping[str, str]) -> registry.Kind:
    """The kind of model of a run."""
    naming_it = {name: value for name, value in values.items() if name in ("model", "recipe")}
    assignments = {name: value for name, value in request.assignments.items() if name == "model"}
    without_settings = replace(_placed(request, naming_it), assignments=assignments, flags={})
    return resolve_request(without_settings).kind


def _placed(request: Request, values: Mapping[str, str]) -> Request:
    settings = {name: value for name, value in values.items() if name != "recipe"}
    return replace(
        request,
        recipe=values.get("recipe", request.recipe),
        extra_layers=(Layer(ORIGIN, settings, is_text=True),),
    )


def _without_effect(request: Request, own: set[str], known: set[str]) -> list[str]:
    """What is given for all runs and a kind with its `own` settings lacks, though it is `known` to
    another kind of the grid."""
    return sorted((request.assignments.keys() | request.flags.keys()) & known - own)


def _request(
    request: Request, values: dict[str, str], folder: Path, left_out: list[str]
) -> Request:
    """The request of a run, without what its kind lacks. A run that diverged is tried again."""
    output = folder / folder_name(run_name(values))
    assignments, flags = (
        {k: v for k, v in given.items() if k not in left_out}
        for given in (request.assignments, request.flags)
    )
    again = request.overwrite or (
        is_model(output) and read_manifest(output).training.get("stopped") == "diverged"
    )
    placed = _placed(request, values)
    return replace(
        placed,
        assignments=assignments,
        flags=flags,
        output=output,
        overwrite=again,
        resume=False if again else "auto",
    )


def _resolved(values: dict[str, str], request: Request) -> Combination:
    with naming(run_name(values)):
        try:
            settled = resolve_request(replace(request, resume=False))
        except SettingsError as error:
            if "model" in values and f"({ORIGIN})" in error.what:
                error.hint = f"train {values['model']} by itself, or in a grid without that setting"
            raise
    return Combination(run_name(values), values, request, settled.kind, settled.resolved)


def _with(request: Request, shared: Mapping[str, Any], resolved: Resolved) -> Request:
    """`request` with those of the shared settings that it has, below its own."""
    own = {name: value for name, value in shared.items() if name in resolved.values}
    return replace(request, extra_layers=(Layer(FIRST, own), *request.extra_layers))
