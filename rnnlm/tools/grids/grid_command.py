"""`rnnlm train --grid`: the runs of a grid as they proceed, and the table of their results."""

import contextlib
import time
from typing import Any

import click

from rnnlm.amounts import plural
from rnnlm.cli import terminal
from rnnlm.cli.live import display_for
from rnnlm.cli.lm.train import request_from
from rnnlm.cli.signals import Signals, explaining, saving_ignored
from rnnlm.config import as_text
from rnnlm.errors import UsageError
from rnnlm.events import Evaluating
from rnnlm.tools.grids.grid import (
    GridFinished,
    GridPlan,
    GridRunEnded,
    GridRunStarted,
    RunResult,
    plan_grid,
    read,
    run_grid,
)
from rnnlm.tools.grids.grid_request import GridRequest, parse_axes
from rnnlm.training.printing import announce_counting
from rnnlm.training.request import TrainingRequest
from rnnlm.training.run_folder import CompletedRun


def command(grid: tuple[str, ...], as_json: bool, dry_run: bool, **given: Any) -> None:
    """Do what `rnnlm train` does with `--grid`."""
    click.get_current_context().exit(_train_grid(request_from(given), grid, as_json, dry_run))


def _train_grid(
    request: TrainingRequest, grid: tuple[str, ...], as_json: bool, dry_run: bool
) -> int:
    """Plan and train a grid, or show the plan; return the exit code."""
    # Each run reads the texts again, which standard input does not allow.
    if "-" in (*request.valid, *request.test):
        raise UsageError(
            "a grid cannot read validation or test text from standard input",
            hint="write it to a file and name the file",
        )
    grid_request = GridRequest(request, parse_axes(grid))
    with saving_ignored():
        with terminal.Progress() as progress:
            planned = plan_grid(grid_request, progress, is_shown=dry_run)
        if dry_run:
            _show_plan(planned, as_json)
            return 0
        terminal.say(
            f"a grid of {plural(len(planned.runs), 'run')} in {planned.folder}; "
            "run the same command again "
            "to resume"
        )
        for line in _differences(planned):
            terminal.say(line)
        with explaining(lambda: _say_how_to_resume(planned)):
            finished, failed, ending = _train(planned)
    _show_results(planned, finished, as_json)
    return 128 + ending if ending else int(failed)


def _differences(planned: GridPlan) -> list[str]:
    """Return lines on the common settings of the runs, and on their differences besides the
    grid."""
    lines = []
    if planned.shared:
        settings = ", ".join(f"{name}={as_text(value)}" for name, value in planned.shared.items())
        lines.append(f"shared by all runs, from the first run that has the setting: {settings}")
    if planned.differing:
        lines.append(
            "the recipes and kinds also differ in these settings (--set makes them equal):"
        )
        for name, values in planned.differing.items():
            texts = {run: as_text(value) for run, value in values.items()}
            lines.append(f"  {name}: {_by_value(planned, texts)}")
    return lines


def _by_value(planned: GridPlan, values: dict[str, str]) -> str:
    """Return each value of a setting with the runs that have it. The runs are named by the axis of
    the grid that the setting follows, if there is one."""
    having = [run for run in planned.runs if run.name in values]
    followed = None
    for axis in planned.request.axes:
        # It follows an axis if all runs at the same point of the axis have the same value.
        pairs = {(run.values[axis], values[run.name]) for run in having}
        if len(pairs) == len({point for point, _ in pairs}):
            followed = axis
            break

    labels_by_value: dict[str, dict[str, None]] = {}  # each label once, in order
    for run in having:
        label = run.name if followed is None else f"{followed}={run.values[followed]}"
        labels_by_value.setdefault(values[run.name], {})[label] = None
    return "; ".join(f"{value} ({', '.join(labels)})" for value, labels in labels_by_value.items())


def _train(planned: GridPlan) -> tuple[GridFinished, bool, int]:
    """Train the grid. Return how it ended, whether a run failed, and the signal that ended it, or
    0."""
    # Each run listens to signals for itself: not all can end in order.
    current = [Signals()]
    display, failed = None, False
    began = time.monotonic()
    events = run_grid(planned, lambda: current[-1].wants_end(), lambda: current[-1].wants_saving())
    with contextlib.ExitStack() as shown:
        for event in events:
            if isinstance(event, GridRunStarted):
                terminal.say(
                    f"run {event.number} of {event.count}: "
                    f"{event.run.name}{_left(event, time.monotonic() - began)}"
                )
                display = None
                if isinstance(event.plan, CompletedRun):
                    continue
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
                # All is saved: from here on a signal ends the program at once.
                if isinstance(event, Evaluating):
                    current[-1].restore()
    raise AssertionError("run_grid ends with GridFinished")


def _left(event: GridRunStarted, seconds: float) -> str:
    """Say that a run is done already, or about how long the rest of the grid will take."""
    if isinstance(event.plan, CompletedRun):
        return " is already finished"
    if event.number == 1 or seconds < 1:
        return ""
    seconds_per_run = seconds / (event.number - 1)
    return f"; about {terminal.duration(seconds_per_run * (event.count - event.number + 1))} left"


def _say_ended(event: GridRunEnded) -> None:
    result = event.result
    if event.error:
        terminal.show_error(f"{result.run}: " + event.error.what, event.error.why, event.error.hint)
        return
    metric = result.metrics.get("valid")
    if metric is not None and metric.value is not None:
        terminal.say(f"{result.run}: validation {result.main or metric.name} {metric.with_unit()}")


def _say_how_to_resume(planned: GridPlan) -> None:
    without = " without --overwrite" if planned.request.request.overwrite else ""
    terminal.say(
        f"the grid in {planned.folder} is not complete; to resume, run the same command "
        f"again{without}"
    )


def _show_plan(planned: GridPlan, as_json: bool) -> None:
    records = []
    for run, plan in zip(planned.runs, planned.plans, strict=True):
        if isinstance(plan, CompletedRun):
            parameters, tokens = read(run).parameters, plan.manifest.training["train_tokens"]
            state = "ended"
        else:
            parameters, tokens = plan.parameters(), plan.data.train.tokens
            state = "resumes" if plan.is_resumed else "new"
        facts = {"parameters": parameters, "train_tokens": tokens, "state": state}
        records.append({"run": run.name, **run.values, **facts})
    if as_json:
        terminal.print_json({"folder": str(planned.folder), "runs": records, **_settings(planned)})
        return

    # The values of the axes name a run already.
    columns = list(records[0])[1:]
    rows = [[terminal.amount(record[name]) for name in columns] for record in records]
    terminal.print_table(terminal.Table(columns, rows, right=["parameters", "train_tokens"]))
    for line in [*_differences(planned), f"folder: {planned.folder}"]:
        terminal.say(line)


def _show_results(planned: GridPlan, finished: GridFinished, as_json: bool) -> None:
    if finished.stopped == "request":
        _say_how_to_resume(planned)
    if as_json:
        results = [result.to_dict() for result in finished.results]
        files = {name: getattr(finished, name) for name in ("folder", "stopped", "table", "curves")}
        terminal.print_json({**files, "runs": results, **_settings(planned)})
    elif finished.results:
        # The same columns for all runs, though some may have failed before they were measured.
        has_test = any("test" in result.metrics for result in finished.results)
        texts = ["valid", "test"] if has_test else ["valid"]
        main = next((result.main for result in finished.results if result.main), "ppl")
        rows = [_row(result, texts, main) for result in finished.results]
        left = [*planned.request.axes, "stopped"]
        terminal.print_table(terminal.Table.of_records(rows, left))
    if finished.table:
        curves = f" and {finished.curves}" if finished.curves else ""
        terminal.say(f"saved in {finished.table}{curves}")


def _row(result: RunResult, texts: list[str], main: str) -> dict[str, str]:
    """Return a row of the table. main: the name of the main metric."""
    # Values in the grid, sizes and times; then each text's metric with its interval.
    digits = {"parameters": 0, "steps": 0, "seconds": 1, "tokens_per_second": 0, "stopped": 0}
    row = dict(result.values)
    row |= {name: terminal.amount(getattr(result, name), digits[name]) for name in digits}
    for text in texts:
        metric = result.metrics.get(text)
        value = bounds = "-"
        if metric is not None:
            value = metric.shown()
            if metric.interval is not None:
                interval = metric.interval
                bounds = terminal.bounds(interval.low, interval.high, unit=metric.unit)
        row[f"{text}_{main}"] = value
        row[f"{text}_95%"] = bounds
    return row


def _settings(planned: GridPlan) -> dict[str, Any]:
    differing = {name: dict(values) for name, values in planned.differing.items()}
    return {"shared": dict(planned.shared), "differing": differing}
