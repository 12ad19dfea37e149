"""`rnnlm train --grid`: the runs of a grid as they go on, and the table of what came of them."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rnnlm.errors import UsageError

from . import terminal
from .live import announce_counting, display_for
from .signals import Signals, saving_ignored

if TYPE_CHECKING:
    from rnnlm.training.grid import GridFinished, GridPlan, GridRunEnded, GridRunStarted, RunResult
    from rnnlm.training.request import Request


def train_grid(
    request: "Request", grid: tuple[str, ...], equal: str | None, as_json: bool, dry_run: bool
) -> int:
    """Plan and train a grid, or show what it would be; the exit code."""
    from rnnlm.training.grid import plan_grid
    from rnnlm.training.grid_request import GridRequest, parse_axes

    if "-" in (*request.valid, *request.test):
        raise UsageError(
            "a grid cannot read validation or test text from standard input",
            hint="write it to a file and name the file",
        )
    with saving_ignored():
        with terminal.Progress() as progress, _notes_once():
            planned = plan_grid(
                GridRequest(request, parse_axes(grid), equal == "settings"), progress
            )
        if dry_run:
            _show_plan(planned, as_json)
            return 0
        _announce(planned)
        with _going_on_explained(planned):
            finished, failed, ending = _train(planned)
    _show_results(planned, finished, as_json)
    return 128 + ending if ending else int(failed)


@contextlib.contextmanager
def _notes_once() -> Iterator[None]:
    """Show a note that holds for several runs once."""
    shown: set[str] = set()
    show = warnings.showwarning

    def show_new(message: Warning | str, *where: Any, **more: Any) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            show(message, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = show_new
        yield


def _announce(planned: "GridPlan") -> None:
    """What is going to be trained, and in what the runs are not alike."""
    terminal.say(
        f"a grid of {len(planned.runs)} runs in {planned.folder}; the same command goes on "
        "where it is cut off"
    )
    for line in _differences(planned):
        terminal.say(line)


def _differences(planned: "GridPlan") -> list[str]:
    from rnnlm.config import as_text

    lines = []
    if planned.shared:
        settings = ", ".join(f"{name}={as_text(value)}" for name, value in planned.shared.items())
        lines.append(f"taken from the first run that has it: {settings}")
    if planned.differing:
        equal = (
            ""
            if planned.request.equal_settings
            else " (--equal settings takes them from the first run)"
        )
        lines.append(f"besides the grid, the recipes and kinds differ in{equal}:")
        texts = {
            name: {run: as_text(value) for run, value in values.items()}
            for name, values in planned.differing.items()
        }
        lines += [f"  {name}: {_by_value(planned, values)}" for name, values in texts.items()]
    return lines


def _by_value(planned: "GridPlan", values: dict[str, str]) -> str:
    """Each value of a setting with the runs that have it: by the setting of the grid that it
    follows, if there is one."""
    having = [run for run in planned.runs if run.name in values]
    for axis in planned.request.axes:
        if len({(run.values[axis], values[run.name]) for run in having}) == len(
            {run.values[axis] for run in having}
        ):
            labels = {run.name: f"{axis}={run.values[axis]}" for run in having}
            break
    else:
        labels = {run.name: run.name for run in having}
    found: dict[str, dict[str, None]] = {}
    for run in having:
        found.setdefault(values[run.name], {})[labels[run.name]] = None
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in found.items())


def _train(planned: "GridPlan") -> "tuple[GridFinished, bool, int]":
    """The end of the grid, whether a run failed, and the signal that ended it, or 0."""
    from rnnlm.events import Evaluating
    from rnnlm.training.grid import GridFinished, GridRunEnded, GridRunStarted, run_grid

    current, display, failed, began = [Signals()], None, False, time.monotonic()
    with contextlib.ExitStack() as shown:
        for event in run_grid(
            planned, lambda: current[-1].wants_end(), lambda: current[-1].wants_saving()
        ):
            if isinstance(event, GridRunStarted):
                terminal.say(
                    f"run {event.number} of {event.count}: "
                    f"{event.run.name}{_left(event, time.monotonic() - began)}"
                )
                announce_counting(event.plan)
                current.append(Signals(ends_in_order=event.plan.kind.trains_in_steps))
                shown.enter_context(current[-1])
                display = shown.enter_context(display_for(event.plan.kind))
            elif isinstance(event, GridRunEnded):
                shown.close()
                failed |= event.error is not None
                _say_ended(event)
            elif isinstance(event, GridFinished):
                return event, failed, current[-1].ending
            elif display is not None:
                display.show(event)
                if isinstance(event, Evaluating):
                    current[-1].restore()
    raise AssertionError("run_grid ends with GridFinished")


def _left(event: "GridRunStarted", seconds: float) -> str:
    """What is over already, or about how long the rest will take."""
    if event.plan.finished:
        return " has ended already"
    if event.number == 1 or seconds < 1:
        return ""
    return (
        "; about "
        f"{terminal.duration(seconds / (event.number - 1) * (event.count - event.number + 1))} "
        "left"
    )


def _say_ended(event: "GridRunEnded") -> None:
    if event.error:
        terminal.show_error(
            f"{event.result.run}: {event.error.what}", event.error.why, event.error.hint
        )
    else:
        metric, figure = event.result.metrics.get("valid"), ""
        if metric is not None and metric.value is not None:
            figure = f"validation {event.result.main or metric.name} {metric.with_unit()}, "
        terminal.say(
            f"{event.result.run}: {figure}{terminal.cell(event.result.parameters)} parameters"
        )


@contextlib.contextmanager
def _going_on_explained(planned: "GridPlan") -> Iterator[None]:
    """A signal that ends a run at once ends the grid, too: what is to be done to go on."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            _say_how_to_go_on(planned)
        raise


def _say_how_to_go_on(planned: "GridPlan") -> None:
    without = " without --overwrite" if planned.request.request.overwrite else ""
    terminal.say(
        f"the grid in {planned.folder} is not complete; to go on: run the same command "
        f"again{without}"
    )


def _show_plan(planned: "GridPlan", as_json: bool) -> None:
    states = [
        "ended" if plan.finished else "goes on" if plan.request.resume else "new"
        for plan in planned.plans
    ]
    records = [
        {
            "run": run.name,
            **run.values,
            "parameters": plan.parameters(),
            "train_tokens": plan.data.train.tokens,
            "state": state,
        }
        for run, plan, state in zip(planned.runs, planned.plans, states, strict=True)
    ]
    if as_json:
        terminal.print_json({"folder": str(planned.folder), "runs": records, **_settings(planned)})
        return
    columns = list(records[0])[1:]
    terminal.print_table(
        columns,
        [[terminal.cell(record[name]) for name in columns] for record in records],
        right=columns[-3:-1],
    )
    for line in [*_differences(planned), f"folder: {planned.folder}"]:
        terminal.say(line)


def _show_results(planned: "GridPlan", finished: "GridFinished", as_json: bool) -> None:
    if finished.stopped == "request":
        _say_how_to_go_on(planned)
    if as_json:
        results = [result.to_dict() for result in finished.results]
        files = {name: getattr(finished, name) for name in ("folder", "stopped", "table", "curves")}
        terminal.print_json({**files, "runs": results, **_settings(planned)})
    elif finished.results:
        has_test = any("test" in each.metrics for each in finished.results)
        main = next((each.main for each in finished.results if each.main), "ppl")
        texts = ["valid", "test"] if has_test else ["valid"]
        rows = [_row(result, texts, main) for result in finished.results]
        terminal.print_records(rows, left=[*planned.request.axes, "stopped"])
    if finished.table:
        terminal.say(
            f"saved in {finished.table}" + (f" and {finished.curves}" if finished.curves else "")
        )


def _row(result: "RunResult", texts: list[str], main: str) -> dict[str, str]:
    """main: what the table calls the metric that counts."""
    from rnnlm.evaluation.metrics import shown_bounds

    figures = {"parameters": 0, "steps": 0, "seconds": 1, "tokens_per_second": 0, "stopped": 0}
    row = dict(result.values) | {
        name: terminal.cell(getattr(result, name), digits) for name, digits in figures.items()
    }
    for text in texts:
        metric = result.metrics.get(text)
        row[f"{text}_{main}"] = "-" if metric is None else metric.shown()
        row[f"{text}_95%"] = "-" if metric is None else shown_bounds(metric.interval, metric.unit)
    return row


def _settings(planned: "GridPlan") -> dict[str, Any]:
    return {
        "shared": dict(planned.shared),
        "differing": {name: dict(values) for name, values in planned.differing.items()},
    }
