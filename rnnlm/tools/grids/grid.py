"""Train a grid: one run after another, each combination of settings in its own folder, and a table
of the results.

The same grid again resumes: runs that have ended are read from their folders, and one that was cut
off continues from its checkpoint.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.config import ResolvedSettings, SettingValue, names_of
from rnnlm.errors import (
    OutputError,
    RnnlmError,
    RnnlmWarning,
    TrainingError,
    UsageError,
    keyword,
    notice,
)
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.evaluation.metrics import Evaluation, Metric, stored_evaluations
from rnnlm.events import Event, Finished, never
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.files import lock, tables
from rnnlm.storage.files.writing import replace_file, writing
from rnnlm.storage.manifest import is_model
from rnnlm.storage.run_files import METRICS, fitted
from rnnlm.system import current_rank
from rnnlm.tabular import Records, Row
from rnnlm.text.lines import HoldoutSettings, Progress, silent
from rnnlm.tools.grids.grid_request import (
    Combination,
    GridRequest,
    axes_of,
    combinations,
    differing,
    naming,
    usual_folder,
)
from rnnlm.tools.reports.curve_plots import GRID_TABLE, curves_figure
from rnnlm.training.line_texts import held_out_share, is_share_chosen
from rnnlm.training.plan import Plan, check_request, plan
from rnnlm.training.request import Texts, TrainingRequest
from rnnlm.training.resolution import request_of
from rnnlm.training.run import run
from rnnlm.training.run_folder import CompletedRun

# ---- Texts that are read and encoded once for several training runs.


class SharedTexts:
    """Opens the texts of the runs of a grid: a text that was read and encoded once is handed to
    every run that would read and encode it in the same way. All have the same `tokenizer_from`."""

    def __init__(self, tokenizer_from: str | None) -> None:
        self.tokenizer_from = tokenizer_from
        self.texts: dict[str, Texts] = {}

    def __call__(
        self,
        request: TrainingRequest,
        resolved: ResolvedSettings,
        kind: registry.Kind,
        progress: Progress,
    ) -> Texts:
        key = _key_of_texts(request, resolved, kind)
        if key not in self.texts:
            shared = replace(request, tokenizer_from=self.tokenizer_from)
            task = registry.task(kind.task)
            self.texts[key] = task.open_texts(shared, resolved, kind, progress)
            return self.texts[key]

        # The texts are there already. They bring this run the settings that they brought the first.
        texts = self.texts[key]
        return replace(texts, resolved=resolved.with_added(texts.resolved.added))


def _key_of_texts(request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind) -> str:
    """Return a text that is the same for runs that read and encode their texts in the same way."""
    task = registry.task(kind.task)
    parts: list[object] = [
        kind.task, request.text, request.counts, request.valid, request.test,
        request.target, request.valid_target, request.test_target,
    ]  # fmt: skip

    # Settings that change how a text is read. A requested one may be applied more strictly.
    names = names_of(cls for cls in task.text_settings if cls is not HoldoutSettings)
    names |= task.settings_of_data

    # The share that is held out, and the seed that may draw it, matter only without a validation
    # text.
    if request.text and not request.valid:
        parts += [held_out_share(request, resolved), is_share_chosen(resolved)]
    else:
        names -= {"seed"}
    for name in sorted(names & resolved.values.keys()):
        parts.append((name, resolved.values[name], resolved.is_requested(name)))

    # Whether the characters of words are read, too: their use is up to the network. A kind without
    # that setting reads the same as one that does not use it.
    has_characters = "characters" in resolved.values
    parts.append(bool(resolved.values.get("characters")))
    parts.append(has_characters and resolved.is_requested("characters"))
    return repr(parts)


# ---- The results of a grid's runs, read from their folders, and the table of them.

BOUNDS = ("low", "high")  # of an interval
_APART = ("figures", "main", "metrics")  # fields that are not columns of the table
CLEARLY = 1.01  # a perplexity is clearly higher than another if it exceeds 1.01 times that


@dataclass(frozen=True)
class RunResult:
    """The result of one run of a grid. Numbers that were not measured are None.

    Attributes:
        run: Name of the run.
        folder: Its folder.
        values: Values of the grid's settings, by name.
        stopped: How the run ended, as in :class:`rnnlm.events.Fitted`.
        parameters: Number of parameters.
        steps: Number of steps done.
        step: Step of the weights that were kept.
        seconds: Time of training and its validations, in seconds.
        tokens_per_second: Speed of training.
        valid_ppl: For language models, the exact perplexity per token of the validation text.
        valid_ppl_low: Lower bound of its 95 % interval (each line left out).
        valid_ppl_high: Upper bound of its 95 % interval.
        valid_ppl_no_oov: The same perplexity without unknown tokens.
        test_ppl: For language models, the exact perplexity per token of the test text.
        test_ppl_low: Lower bound of its 95 % interval.
        test_ppl_high: Upper bound of its 95 % interval.
        test_ppl_no_oov: The same perplexity without unknown tokens.
        valid_signature: Signature of the metrics of the validation text.
        test_signature: Signature of the metrics of the test text.
        figures: For other tasks, all metrics by their column in the table (valid_f1, valid_bleu).
        main: For other tasks, the name of the main metric, without the text. It has an interval.
        metrics: Main metric on each text, with its counts and signature, by name of the text.
    """

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
        """Return all of it, as JSON can hold it: perplexities, or the metrics of a task."""
        shown = {name: value for name, value in vars(self).items() if name not in _APART}
        if self.main is not None:
            shown = _without_perplexities(shown) | self.figures
        return shown

    def row(self) -> dict[str, Any]:
        """Return its row in the table: a column for each setting of the grid, and its folder by its
        name alone."""
        shown = self.to_dict()
        run, values = shown.pop("run"), shown.pop("values")
        return {"run": run, **values, **shown, "folder": Path(self.folder).name}


def _without_perplexities(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if "_ppl" not in name}


def read(run: Combination) -> RunResult:
    """Read the result of `run`, which has ended or failed, from its folder."""
    folder = run.request.output
    assert folder is not None

    # How the run went, from its log. A run that failed has no end there.
    ended = fitted(folder)
    known: dict[str, Any] = {
        "steps": ended.get("steps"),
        "seconds": ended.get("seconds"),
        "stopped": ended.get("stopped", "error"),
    }
    if known["seconds"]:
        known["tokens_per_second"] = ended["tokens"] / known["seconds"]
    if not model_folder.is_model(folder):
        return RunResult(run.name, str(folder), run.values, **known)

    # The model, and its exact evaluations.
    manifest = model_folder.read_manifest(folder)
    _, _, shapes = stored_model.content(folder, manifest)
    known["step"] = manifest.step
    known["parameters"] = loading.count_parameters(shapes)
    figures: dict[str, float] = {}
    metrics: dict[str, Metric] = {}
    for text, evaluation in stored_evaluations(manifest).items():
        main = evaluation.mains[0]
        metrics[text] = main
        known[f"{text}_signature"] = evaluation.signature
        if main.unit == "plain":  # a perplexity, which has its own fields
            known |= _perplexities(text, evaluation)
        else:
            figures |= _metrics(text, evaluation)
            known["main"] = _name(evaluation, main)
    return RunResult(run.name, str(folder), run.values, figures=figures, metrics=metrics, **known)


def _perplexities(text: str, evaluation: Evaluation) -> dict[str, float | None]:
    """Return the fields of RunResult for the perplexity per token on a text."""
    main, without_oov = evaluation.mains[0], evaluation.metric(f"{evaluation.main}_no_oov")
    perplexities = {"ppl": main.value}
    if main.interval is not None:
        perplexities["ppl_low"] = main.interval.low
        perplexities["ppl_high"] = main.interval.high
    if without_oov is not None:
        perplexities["ppl_no_oov"] = without_oov.value
    return {f"{text}_{name}": value for name, value in perplexities.items()}


def _metrics(text: str, evaluation: Evaluation) -> dict[str, float]:
    """Return the scores on a text: for each column of labels its scores, and the interval of the
    main one."""
    metrics: dict[str, float] = {}
    for column in evaluation.column_names:
        for metric in evaluation.metrics:
            if metric.column != column or metric.unit == "plain":
                continue
            if metric.value is not None:
                metrics[f"{text}_{_name(evaluation, metric)}"] = metric.value
        main = evaluation.main_of(column)
        if main.interval is not None and main.interval.low is not None:
            for bound in BOUNDS:
                metrics[f"{text}_{_name(evaluation, main)}_{bound}"] = getattr(main.interval, bound)
    return metrics


def _name(evaluation: Evaluation, metric: Metric) -> str:
    """Return the name of a metric, after the name of its column if there are several."""
    return f"{metric.column}_{metric.name}" if len(evaluation.column_names) > 1 else metric.name


def notice_unknown_words(results: Sequence[RunResult]) -> None:
    """Send a notice of the texts on which another run is clearly the best without unknown words.

    All unknown words are one token, which is often easy to predict.
    """
    differing = []
    for text, name in (("valid", "validation"), ("test", "test")):
        ppl, ppl_no_oov = f"{text}_ppl", f"{text}_ppl_no_oov"
        # A perplexity may be infinite without unknown words, too, or with them alone.
        comparable = [
            result
            for result in results
            if getattr(result, ppl) is not None and getattr(result, ppl_no_oov) is not None
        ]

        # Perplexities on other texts, or with other tokenizers, do not compare.
        signatures = [getattr(result, f"{text}_signature") for result in comparable]
        if len({signature.rpartition("|model:")[0] for signature in signatures}) != 1:
            continue

        # Compare the best run with unknown words and the best without them. Each must be clearly
        # better than the other in its own perplexity: nearly equal runs change places by chance.
        best = min(comparable, key=attrgetter(ppl))
        known = min(comparable, key=attrgetter(ppl_no_oov))
        low, high = getattr(known, ppl_no_oov), getattr(best, ppl_no_oov)
        is_clear = getattr(known, ppl) > CLEARLY * getattr(best, ppl)
        if high > CLEARLY * low and is_clear:
            differing.append(
                f"on the {name} text, {best.run} is best with unknown words, but {known.run} "
                f"without them ({low:,.2f} to {high:,.2f})"
            )
    if differing:
        notice(
            f"{'; '.join(differing)}: only the perplexity without unknown words compares words "
            "that the models know"
        )


def columns(results: Sequence[RunResult]) -> list[str]:
    """Return the columns of the table, without the columns of texts that no run was evaluated
    on."""
    # Rows differ: runs that failed have no metrics of their labels.
    rows = [result.row() for result in results]
    names: dict[str, Any] = dict.fromkeys(itertools.chain.from_iterable(rows))
    if any(result.main for result in results):
        names = _without_perplexities(names)

    shown = list(names)
    for text in ("valid", "test"):
        if all(row[f"{text}_signature"] is None for row in rows):
            shown = [name for name in shown if not name.startswith(f"{text}_")]
    return shown


def write_table(path: Path, results: Sequence[RunResult]) -> None:
    """Write the table: a row for each run, numbers in full, empty cells where there are none."""
    names = columns(results)
    lines = [tables.tsv_line(names)]
    for row in map(RunResult.row, results):
        lines.append(tables.tsv_line(map(row.get, names)))
    replace_file(path, "".join(lines).encode("utf-8", "backslashreplace"))


# ---- The grid: planned, then trained run by run.

CURVES = "curves.svg"


@dataclass(frozen=True)
class GridPlan:
    """A grid made definite: each of its runs planned, or done already.

    Runs differ in the settings of the grid and in others, `differing`, which hold the value of each
    run by its name. All runs take the settings `shared` from the first one, as their recipes set
    them differently.
    """

    request: GridRequest
    folder: Path
    runs: tuple[Combination, ...]
    plans: tuple[Plan | CompletedRun, ...] = field(repr=False)
    differing: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class GridRunStarted:
    """A run of a grid starts or resumes; the events of that run follow, unless it has ended
    already.

    Attributes:
        number: Number of the run, from 1.
        count: Number of runs of the grid.
        run: Values of the run in the grid.
        plan: Plan of the run, or its result if it has ended.
    """

    number: int
    count: int
    run: Combination
    plan: Plan | CompletedRun = field(repr=False)


@dataclass(frozen=True)
class GridRunEnded:
    """A run of a grid has ended.

    Attributes:
        number: Number of the run, from 1.
        count: Number of runs of the grid.
        result: Result of the run.
        error: The error if the run failed; the grid continues.
    """

    number: int
    count: int
    result: RunResult
    error: RnnlmError | None = None


@dataclass(frozen=True)
class GridFinished(Records):
    """The grid has ended.

    Attributes:
        folder: Folder of the grid.
        results: Results of the runs that have ended.
        stopped: "complete", or "request" if the caller stopped it; the same call then resumes it.
        table: File with the results of all runs that have ended; None if there are none.
        curves: File with their learning curves; None if there are none.
    """

    folder: str
    results: tuple[RunResult, ...]
    stopped: str
    table: str | None
    curves: str | None

    def to_rows(self) -> list[Row]:
        """Return one row per run: its values in the grid, sizes, times and metrics."""
        rows = []
        for result in self.results:
            numbers = {name: _as_number(value) for name, value in result.values.items()}
            rows.append(result.row() | numbers)
        # Runs that failed lack numbers that were not measured.
        names = dict.fromkeys(itertools.chain.from_iterable(rows))
        return [{name: row.get(name) for name in names} for row in rows]


def _as_number(value: str) -> int | float | str:
    """Return the number that a setting's value is, if it is one."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


GridEvent = GridRunStarted | GridRunEnded | GridFinished | Event


def train_grid(
    text: str | Path | Sequence[str | Path] | None = None, *, grid: Mapping[str, SettingValue],
    stop: Callable[[], bool] = never, save: Callable[[], bool] = never, **request: SettingValue,
) -> Iterator[GridEvent]:  # fmt: skip
    """Train one model for each combination of settings.

        train_grid("my.txt", grid={"model": ["rnn", "lstm"], "hidden_size": [64, 128]},
                   output="lesson", budget="5epochs")

    All runs share the text, tokenizer, budget and seed of the first one, unless the grid names
    them. Finished runs in the folder are not trained again.

    Args:
        text: Training text, as for :func:`rnnlm.train`.
        grid: Values of each setting, which may be `model` or `recipe`.
        stop: Callback, as for :func:`rnnlm.train`.
        save: Callback, as for :func:`rnnlm.train`.
        **request: Other keywords, as for :func:`rnnlm.train`. `output` is the folder of the grid,
            with a folder for each run, `grid.tsv` and `curves.svg`.

    Yields:
        For each run GridRunStarted, the events of the run and GridRunEnded; at the end
        GridFinished.

    Raises:
        RnnlmError: At once, a combination is impossible; before the first run begins, the text
            cannot be read, or the folder holds other runs. GridRunEnded reports a run that
            diverges.
    """
    request_of_grid = GridRequest(request_of(text, request), axes_of(grid))
    # The plan sends the notices.
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        runs, _ = combinations(request_of_grid)
    for combination in runs:
        with naming(combination.name):
            check_request(combination.request)
    return _planned_and_run(request_of_grid, stop, save)


def _planned_and_run(
    request: GridRequest, stop: Callable[[], bool], save: Callable[[], bool]
) -> Iterator[GridEvent]:
    yield from run_grid(plan_grid(request), stop, save)


def plan_grid(
    request: GridRequest, progress: Progress = silent, is_shown: bool = False
) -> GridPlan:
    """Plan each run of a grid, as :func:`rnnlm.training.plan.plan` does. Texts are read and encoded
    once for all runs that read them in the same way."""
    # Refuse requests that cannot be a grid before any text is read.
    if current_rank().count > 1:
        raise UsageError(
            "a grid is trained in a single process",
            f"there are {current_rank().count} processes",
            "start it without torchrun",
        )
    folder = request.request.output or usual_folder(request.request)
    lock.check(folder)
    if is_model(folder) or (folder.exists() and not folder.is_dir()):
        raise OutputError(
            f"{folder} is not the folder of a grid",
            "it holds a model, or is a file",
            "choose another folder with " + keyword("output"),
        )

    # Plan the runs one by one; texts that they share are read once.
    runs, shared = combinations(request)
    texts = SharedTexts(request.request.tokenizer_from)
    plans = []
    for combination in runs:
        with naming(combination.name):
            planned = plan(combination.request, progress, texts, is_shown)
        if isinstance(planned, Plan):
            planned = replace(planned, has_intervals=True)
        plans.append(planned)
    return GridPlan(request, folder, tuple(runs), tuple(plans), differing(runs), shared)


def run_grid(
    planned: GridPlan, stop: Callable[[], bool], save: Callable[[], bool]
) -> Iterator[GridEvent]:
    """Train the runs that :func:`plan_grid` has planned. Yield the events of :func:`train_grid`."""
    with lock.held(planned.folder, "grid"):
        count = len(planned.runs)
        results: list[RunResult] = []
        planned_runs = zip(planned.runs, planned.plans, strict=True)
        for number, (combination, run_plan) in enumerate(planned_runs, start=1):
            yield GridRunStarted(number, count, combination, run_plan)

            # Train. A run that diverges does not end the grid; one that is stopped by request does.
            error = None
            try:
                for event in _events(run_plan, stop, save):
                    yield event
                is_stopped = isinstance(event, Finished) and (event.stopped == "request" or stop())
            except TrainingError as failure:
                error, is_stopped = failure, stop()
            if is_stopped:
                break

            # Write the table after each run, so that a grid that is cut off later has one.
            result = read(combination)
            results.append(result)
            yield GridRunEnded(number, count, result, error)
            with writing(planned.folder):
                write_table(planned.folder / GRID_TABLE, results)

        # The end: notices and the picture concern all runs.
        stopped = "request" if len(results) < count else "complete"
        table = str(planned.folder / GRID_TABLE) if results else None
        notice_unknown_words(results)
        curves = _draw(planned.folder, results)
        yield GridFinished(str(planned.folder), tuple(results), stopped, table, curves)


def _events(
    planned: Plan | CompletedRun, stop: Callable[[], bool], save: Callable[[], bool]
) -> Iterator[Event]:
    """Train one run of the grid."""
    if isinstance(planned, CompletedRun):
        yield planned.finished
    else:
        yield from run(planned, stop, save)


def _draw(folder: Path, results: Sequence[RunResult]) -> str | None:
    """Draw the learning curves of all runs. Return the file, or None if there are no curves."""
    folders = [Path(result.folder) for result in results]
    curves = [learning_curve(folder) for folder in folders if (folder / METRICS).is_file()]
    if not any(curve.points for curve in curves):
        return None
    plotting.save(curves_figure(curves), folder / CURVES)
    return str(folder / CURVES)
