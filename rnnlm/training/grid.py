"""Training a grid: one run after another, each combination of settings in a folder of its own, and a table of what came of them.

The same grid again goes on: runs that have ended are read from their folders, one that was cut off goes on from its checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnlm.errors import OutputError, RnnlmError, TrainingError, UsageError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import GRID_TABLE, curves_figure, learning_curve
from rnnlm.events import Event, Finished, never
from rnnlm.files.writing import writing
from rnnlm.models.manifest import is_model
from rnnlm.models.metrics_log import METRICS
from rnnlm.system import current_rank
from rnnlm.text.lines import Progress, silent
from rnnlm.training import grid_results
from rnnlm.training.grid_request import Combination, GridRequest, axes_of, combinations, differing, naming, usual_folder
from rnnlm.training.grid_results import RunResult
from rnnlm.training.plan import Plan, plan
from rnnlm.training.run import request_of, run
from rnnlm.training.texts import SharedTexts

CURVES = "curves.svg"


@dataclass(frozen=True)
class GridPlan:
    """A grid made definite: each of its runs planned, none begun. differing: settings beside the grid's own in which runs differ, the value
    of each run by its name. shared: what the runs take from the first one, as their recipes differ there."""

    request: GridRequest
    folder: Path
    runs: tuple[Combination, ...]
    plans: tuple[Plan, ...] = field(repr=False)
    differing: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class GridRunStarted:
    """A run of a grid is about to begin, or to go on; the events of that run follow. number: from 1, of `count`."""

    number: int
    count: int
    run: Combination
    plan: Plan = field(repr=False)


@dataclass(frozen=True)
class GridRunEnded:
    """A run of a grid has ended: what came of it. error: what made it end, if it failed; the grid goes on."""

    number: int
    count: int
    result: RunResult
    error: RnnlmError | None = None


@dataclass(frozen=True)
class GridFinished:
    """The grid is over. stopped: "complete", or "request" where the caller asked for its end: the same grid again goes on. table, curves:
    the files with the figures and the picture of all runs that have ended; None where there are none."""

    folder: str
    results: tuple[RunResult, ...]
    stopped: str
    table: str | None
    curves: str | None


GridEvent = GridRunStarted | GridRunEnded | GridFinished | Event


def train_grid(
    text: str | Path | Sequence[str | Path] | None = None, *, grid: Mapping[str, Any], equal_settings: bool = False,
    stop: Callable[[], bool] = never, save: Callable[[], bool] = never, **request: Any,
) -> Iterator[GridEvent]:  # fmt: skip
    """Train one model for each combination of settings: `train_grid("my.txt", grid={"model": ["rnn", "lstm"], "hidden_size": [64, 128]},
    output="lesson", budget="5epochs")`. Text, tokenizer, budget and seed are those of the first run for all, unless the grid names them.

    grid: the values of each setting; `model` and `recipe` may be among them. equal_settings: where the recipes of their kinds differ,
    too, all runs have the settings of the first. output: the grid's folder, with one for each run, `grid.tsv` and `curves.svg`. stop, save
    and all other keywords are as for :func:`rnnlm.train`. What the folder holds of this grid is not trained again.

    Yields GridRunStarted, the events of that run and GridRunEnded for each, at the end GridFinished.

    Raises:
        RnnlmError: a combination cannot be, the text cannot be read, the folder holds other runs; all before the first run begins. A run
            that diverges is told of by its GridRunEnded.
    """
    asked = GridRequest(request_of(text, request), axes_of(grid), equal_settings)
    yield from run_grid(plan_grid(asked), stop, save)


def plan_grid(request: GridRequest, progress: Progress = silent) -> GridPlan:
    """Plan each run of a grid; texts are read and encoded once for all runs that read them alike.

    Raises:
        RnnlmError: as for :func:`train_grid`.
    """
    if current_rank().count > 1:
        raise UsageError("a grid is trained by one process", f"there are {current_rank().count}", "leave out torchrun, or --processes")
    folder = request.request.output or usual_folder(request.request)
    if is_model(folder) or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is not the folder of a grid", "it holds a model, or is a file", "choose another folder with -o")
    runs, shared = combinations(request)
    texts, plans = SharedTexts(request.request.tokenizer_from), []
    for each in runs:
        with naming(each.name), _own_hint():
            plans.append(replace(plan(each.request, progress, texts), has_intervals=True))
    return GridPlan(request, folder, tuple(runs), tuple(plans), differing(runs), shared)


@contextmanager
def _own_hint() -> Iterator[None]:
    """What to do about a folder that holds another run: a grid does without --resume."""
    try:
        yield
    except (OutputError, UsageError) as error:
        if "another run" in error.what:
            error.hint = "repeat the settings and texts of the grid there, choose another folder with -o, or replace it with --overwrite"
        raise


def run_grid(planned: GridPlan, stop: Callable[[], bool] = never, save: Callable[[], bool] = never) -> Iterator[GridEvent]:
    """Train what :func:`plan_grid` has planned; the events, as for :func:`train_grid`.

    Raises:
        OutputError: something cannot be written.
    """
    results: list[RunResult] = []
    is_asked = False
    for number, (each, run_plan) in enumerate(zip(planned.runs, planned.plans, strict=True), start=1):
        yield GridRunStarted(number, len(planned.runs), each, run_plan)
        error = None
        try:
            for event in run(run_plan, stop, save):
                yield event
            is_asked = isinstance(event, Finished) and (event.stopped == "request" or stop())
        except TrainingError as failure:
            error, is_asked = failure, stop()
        if not is_asked:
            result = grid_results.read(each, error)
            results.append(result)
            yield GridRunEnded(number, len(planned.runs), result, error)
            with writing(planned.folder):
                grid_results.write_table(planned.folder / GRID_TABLE, results)
        if is_asked:
            break
    stopped = "request" if len(results) < len(planned.runs) else "complete"
    table = str(planned.folder / GRID_TABLE) if results else None
    grid_results.notice_unknown_words(results)
    yield GridFinished(str(planned.folder), tuple(results), stopped, table, _draw(planned.folder, results))


def _draw(folder: Path, results: Sequence[RunResult]) -> str | None:
    """The picture of all curves, if there are any; where it is."""
    curves = [learning_curve(result.folder) for result in results if (Path(result.folder) / METRICS).is_file()]
    if not any(curve.points for curve in curves):
        return None
    plotting.save(curves_figure(curves), folder / CURVES)
    return str(folder / CURVES)
