"""Training a grid: one run after another, each combination of settings in a folder of its own, and
a table of what came of them.

The same grid again goes on: runs that have ended are read from their folders, one that was cut off
goes on from its checkpoint.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from rnnlm.errors import OutputError, RnnlmError, TrainingError, UsageError, notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import GRID_TABLE, curves_figure, learning_curve
from rnnlm.evaluation.metrics import Evaluation, Metric
from rnnlm.events import Event, Finished, never
from rnnlm.files import lock, tables
from rnnlm.files.tables import cell_text
from rnnlm.files.writing import replace_file, writing
from rnnlm.models import model_folder
from rnnlm.models.manifest import is_model
from rnnlm.models.metrics_log import METRICS, fitted
from rnnlm.system import current_rank
from rnnlm.text.lines import Progress, silent
from rnnlm.training.grid_request import (
    Combination,
    GridRequest,
    axes_of,
    combinations,
    differing,
    naming,
    usual_folder,
)
from rnnlm.training.plan import Plan, plan
from rnnlm.training.run import request_of, run
from rnnlm.training.texts import SharedTexts

# ---- What came of the runs of a grid, as their folders tell it, and the table of it.

BOUNDS = ("low", "high")  # of an interval
_APART = ("figures", "main", "metrics")  # fields that are no columns of the table
_LAST = ("bleu", "chrf", "exact_match")  # where the tables of grids always had them
CLEARLY = 1.01  # a perplexity as many times another is not just about the same


@dataclass(frozen=True)
class RunResult:
    """What came of one run. values: its settings of the grid. stopped: how it ended, as
    :class:`rnnlm.events.Fitted` has it. parameters: numbers in the model. step: of the weights that
    were kept, of `steps`. seconds: of training, with its validations, and tokens read in each. ppl:
    perplexity per token, exact, with its 95 % bootstrap interval over lines; no_oov: without
    unknown tokens. Figures are None where there are none. figures: of another task than language
    modelling, those of each text by their names, such as valid_f1 or valid_bleu; main: the name,
    without that of the text, of the one that counts, which has an interval. metrics: the one that
    counts of each text."""

    run: str
    folder: str
    values: dict[str, str]
    stopped: str
    parameters: int | None = None
    steps: int | None = None
    step: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    valid_ppl: float | None = None
    valid_ppl_low: float | None = None
    valid_ppl_high: float | None = None
    valid_ppl_no_oov: float | None = None
    test_ppl: float | None = None
    test_ppl_low: float | None = None
    test_ppl_high: float | None = None
    test_ppl_no_oov: float | None = None
    valid_signature: str | None = None
    test_signature: str | None = None
    figures: dict[str, float] = field(default_factory=dict)
    main: str | None = None
    metrics: dict[str, Metric] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it: perplexities, or the figures of a task."""
        shown = {name: value for name, value in vars(self).items() if name not in _APART}
        if self.main is None:
            return shown
        return {name: value for name, value in shown.items() if "_ppl" not in name} | self.figures

    def row(self) -> dict[str, Any]:
        """Its row in the table: the settings of the grid have columns of their own, and its folder
        is named within the grid's."""
        shown = self.to_dict()
        return {
            "run": shown.pop("run"),
            **shown.pop("values"),
            **shown,
            "folder": Path(self.folder).name,
        }


def read(run: Combination, error: RnnlmError | None = None) -> RunResult:
    """What the folder of `run`, which has ended, tells of it. error: what made it fail.

    Raises:
        ModelError: the model there is damaged.
    """
    folder = run.request.output
    assert folder is not None
    ended = fitted(folder)
    known: dict[str, Any] = {
        "steps": ended.get("steps"),
        "seconds": ended.get("seconds"),
        "stopped": ended.get("stopped", "error"),
    }
    if known["seconds"]:
        known["tokens_per_second"] = ended["tokens"] / known["seconds"]
    if model_folder.is_model(folder):
        manifest = model_folder.read_manifest(folder)
        shapes = model_folder.content(folder, manifest)[2]
        known |= {
            "step": manifest.step,
            "parameters": sum(math.prod(shape) for _, shape in shapes.values()),
        }
        for text, evaluation in manifest.evaluations.items():
            main = evaluation.mains[0]
            known[f"{text}_signature"] = evaluation.signature
            known.setdefault("metrics", {})[text] = main
            # Perplexity has fields of its own.
            if main.unit == "plain":
                known |= _perplexities(text, evaluation)
            else:
                known.setdefault("figures", {}).update(_figures(text, evaluation))
                known["main"] = _name(evaluation, main)
    return RunResult(run.name, str(folder), run.values, **known)


def _perplexities(text: str, evaluation: Evaluation) -> dict[str, float | None]:
    """The perplexity per token on a text, with the bounds of its interval, as RunResult has it."""
    main, without_oov = evaluation.mains[0], evaluation.metric(f"{evaluation.main}_no_oov")
    return {
        f"{text}_ppl": main.value,
        f"{text}_ppl_low": None if main.interval is None else main.interval.low,
        f"{text}_ppl_high": None if main.interval is None else main.interval.high,
        f"{text}_ppl_no_oov": None if without_oov is None else without_oov.value,
    }


def _figures(text: str, evaluation: Evaluation) -> dict[str, float]:
    """The shares and scores on a text, those of each column of labels followed by the bounds of the
    main one."""
    found: dict[str, float] = {}
    for column in evaluation.column_names:
        its = [each for each in evaluation.metrics if each.column == column]
        scores = [each for each in its if each.unit != "plain" and each.value is not None]
        for metric in sorted(scores, key=lambda each: each.name in _LAST):
            found[f"{text}_{_name(evaluation, metric)}"] = metric.value or 0.0
        main = evaluation.main_of(column)
        for bound in BOUNDS if main.interval is not None else ():
            found[f"{text}_{_name(evaluation, main)}_{bound}"] = getattr(main.interval, bound)
    return found


def _name(evaluation: Evaluation, metric: Metric) -> str:
    """The name of a metric, after that of its column where there are several."""
    has_several = len(evaluation.column_names) > 1
    return f"{metric.column}_{metric.name}" if has_several else metric.name


def notice_unknown_words(results: Sequence[RunResult]) -> None:
    """Send a notice for each text on which another run is clearly the best without unknown words,
    which are one, often easy, token."""
    for text, name in (("valid", "validation"), ("test", "test")):
        found = [each for each in results if getattr(each, f"{text}_ppl_no_oov") is not None]
        if (
            len({getattr(each, f"{text}_signature").rpartition("|model:")[0] for each in found})
            != 1
        ):
            continue  # other texts or tokenizers: the figures do not compare
        best, known = (min(found, key=attrgetter(f"{text}_ppl{end}")) for end in ("", "_no_oov"))
        low, high = (getattr(each, f"{text}_ppl_no_oov") for each in (known, best))
        if high > CLEARLY * low and getattr(known, f"{text}_ppl") > CLEARLY * getattr(
            best, f"{text}_ppl"
        ):
            notice(
                f"on the {name} text, {best.run} is the best with its unknown words, {known.run} "
                "without them "
                f"({low:,.2f} to {high:,.2f}): only the latter is about words that the models know"
            )


def columns(results: Sequence[RunResult]) -> list[str]:
    """The columns of the table: those of texts that no run was evaluated on are left out."""
    rows = [result.row() for result in results]
    texts = [
        text for text in ("valid", "test") if all(row[f"{text}_signature"] is None for row in rows)
    ]
    # runs that failed have no figures of labels
    names = dict.fromkeys(name for row in rows for name in row)
    if any(result.main for result in results):
        names = {name: None for name in names if "_ppl" not in name}
    return [name for name in names if not name.startswith(tuple(f"{text}_" for text in texts))]


def write_table(path: Path, results: Sequence[RunResult]) -> None:
    """Write the table: a row for each run, figures in full, empty cells where there are none.

    Raises:
        OSError: it cannot be written.
    """
    names = columns(results)
    rows = ([cell_text(result.row().get(name)) for name in names] for result in results)
    replace_file(
        path, "".join(map(tables.line, [names, *rows])).encode("utf-8", "backslashreplace")
    )


# ---- grid

CURVES = "curves.svg"


@dataclass(frozen=True)
class GridPlan:
    """A grid made definite: each of its runs planned, none begun. differing: settings beside the
    grid's own in which runs differ, the value of each run by its name. shared: what the runs take
    from the first one, as their recipes differ there."""

    request: GridRequest
    folder: Path
    runs: tuple[Combination, ...]
    plans: tuple[Plan, ...] = field(repr=False)
    differing: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class GridRunStarted:
    """A run of a grid is about to begin, or to go on; the events of that run follow. number: from
    1, of `count`."""

    number: int
    count: int
    run: Combination
    plan: Plan = field(repr=False)


@dataclass(frozen=True)
class GridRunEnded:
    """A run of a grid has ended: what came of it. error: what made it end, if it failed; the grid
    goes on."""

    number: int
    count: int
    result: RunResult
    error: RnnlmError | None = None


@dataclass(frozen=True)
class GridFinished:
    """The grid is over. stopped: "complete", or "request" where the caller asked for its end: the
    same grid again goes on. table, curves: the files with the figures and the picture of all runs
    that have ended; None where there are none."""

    folder: str
    results: tuple[RunResult, ...]
    stopped: str
    table: str | None
    curves: str | None


GridEvent = GridRunStarted | GridRunEnded | GridFinished | Event


def train_grid(
    text: str | Path | Sequence[str | Path] | None = None, *, grid: Mapping[str, Any],
    equal_settings: bool = False,
    stop: Callable[[], bool] = never, save: Callable[[], bool] = never, **request: Any,
) -> Iterator[GridEvent]:  # fmt: skip
    """Train one model for each combination of settings: `train_grid("my.txt", grid={"model":
    ["rnn", "lstm"], "hidden_size": [64, 128]}, output="lesson", budget="5epochs")`. Text,
    tokenizer, budget and seed are those of the first run for all, unless the grid names them.

    grid: the values of each setting; `model` and `recipe` may be among them. equal_settings: where
    the recipes of their kinds differ, too, all runs have the settings of the first. output: the
    grid's folder, with one for each run, `grid.tsv` and `curves.svg`. stop, save and all other
    keywords are as for :func:`rnnlm.train`. What the folder holds of this grid is not trained
    again.

    Yields GridRunStarted, the events of that run and GridRunEnded for each, at the end
    GridFinished.

    Raises:
        RnnlmError: a combination cannot be, the text cannot be read, the folder holds other runs;
            all before the first run begins. A run that diverges is told of by its GridRunEnded.
    """
    asked = GridRequest(request_of(text, request), axes_of(grid), equal_settings)
    yield from run_grid(plan_grid(asked), stop, save)


def plan_grid(request: GridRequest, progress: Progress = silent) -> GridPlan:
    """Plan each run of a grid; texts are read and encoded once for all runs that read them alike.

    Raises:
        RnnlmError: as for :func:`train_grid`.
    """
    if current_rank().count > 1:
        raise UsageError(
            "a grid is trained by one process",
            f"there are {current_rank().count}",
            "leave out torchrun, or --processes",
        )
    folder = request.request.output or usual_folder(request.request)
    lock.check(folder)
    if is_model(folder) or (folder.exists() and not folder.is_dir()):
        raise OutputError(
            f"{folder} is not the folder of a grid",
            "it holds a model, or is a file",
            "choose another folder with -o",
        )
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
            error.hint = (
                "repeat the settings and texts of the grid there, choose another folder "
                "with -o, or replace it with --overwrite"
            )
        raise


def run_grid(
    planned: GridPlan, stop: Callable[[], bool] = never, save: Callable[[], bool] = never
) -> Iterator[GridEvent]:
    """Train what :func:`plan_grid` has planned; the events, as for :func:`train_grid`.

    Raises:
        OutputError: something cannot be written.
    """
    with lock.held(planned.folder, "grid"):
        yield from _run_grid(planned, stop, save)


def _run_grid(
    planned: GridPlan, stop: Callable[[], bool], save: Callable[[], bool]
) -> Iterator[GridEvent]:
    results: list[RunResult] = []
    is_asked = False
    for number, (each, run_plan) in enumerate(
        zip(planned.runs, planned.plans, strict=True), start=1
    ):
        yield GridRunStarted(number, len(planned.runs), each, run_plan)
        error = None
        try:
            for event in run(run_plan, stop, save):
                yield event
            is_asked = isinstance(event, Finished) and (event.stopped == "request" or stop())
        except TrainingError as failure:
            error, is_asked = failure, stop()
        if not is_asked:
            result = read(each, error)
            results.append(result)
            yield GridRunEnded(number, len(planned.runs), result, error)
            with writing(planned.folder):
                write_table(planned.folder / GRID_TABLE, results)
        if is_asked:
            break
    stopped = "request" if len(results) < len(planned.runs) else "complete"
    table = str(planned.folder / GRID_TABLE) if results else None
    notice_unknown_words(results)
    yield GridFinished(
        str(planned.folder), tuple(results), stopped, table, _draw(planned.folder, results)
    )


def _draw(folder: Path, results: Sequence[RunResult]) -> str | None:
    """The picture of all curves, if there are any; where it is."""
    curves = [
        learning_curve(result.folder)
        for result in results
        if (Path(result.folder) / METRICS).is_file()
    ]
    if not any(curve.points for curve in curves):
        return None
    plotting.save(curves_figure(curves), folder / CURVES)
    return str(folder / CURVES)
