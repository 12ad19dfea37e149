"""`rnnlm bench memory`: the longest lag that each recurrent layer learns to bridge."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import terminal
from .options import check_plot, device_option, json_option, list_of, number_option, plot_option

if TYPE_CHECKING:
    from rnnlm.benchmarks.memory import Reach, Trained


@click.command("memory")
@click.option(
    "--tasks",
    metavar="NAMES",
    callback=list_of(str, "names"),
    help="Some of copy,adding,parity,order.  [default: all]",
)
@click.option(
    "--cells",
    metavar="NAMES",
    callback=list_of(str, "names"),
    help="Some of elman,irnn,gru,lstm.  [default: all]",
)
@click.option(
    "--lags",
    metavar="NUMBERS",
    callback=list_of(int, "whole numbers, such as 5,10,20"),
    default="5,10,20,50,100,200",
    show_default=True,
    help="In steps; 5 at least.",
)
@number_option("--steps", default=2000, help="Training steps for each lag, at most.")
@number_option("--rows", default=32, help="Sequences in a training step.")
@click.option(
    "--width",
    type=click.IntRange(1, 1 << 14),
    default=64,
    show_default=True,
    metavar="N",
    help="Units of each layer.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=0.005,
    show_default=True,
    metavar="X",
    help="Constant learning rate of Adam.",
)
@click.option("--clip-norm", type=click.FloatRange(0, min_open=True), default=0.5,
              show_default=True,
              metavar="X", help="Longer gradients are scaled down to this norm.")  # fmt: skip
@number_option("--seed", default=1, help="Seed of weights and sequences.", least=0)
@plot_option
@device_option
@json_option
def memory(
    tasks: tuple[str, ...] | None, cells: tuple[str, ...] | None, lags: tuple[int, ...],
    device: str, plot: Path | None, overwrite: bool,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Find the longest lag that each recurrent layer learns.

    \b
    rnnlm bench memory
    rnnlm bench memory --tasks adding --cells gru,lstm --steps 5000
    rnnlm bench memory --lags 10,30,90 --plot lags.svg

    One layer of each kind learns synthetic tasks under the same budget, lag after lag, until it
    fails: copy (three letters, again after the lag), adding (two marked numbers), parity (of
    all bits), order (of two letters; Hochreiter & Schmidhuber 1997, Le et al. 2015). Solved is an
    accuracy of 99 %, or a mean squared error below 0.01, on 1,000 new sequences. A lag that is
    solved ends early. The budget counts steps, not time.
    """
    check_plot(plot, overwrite)
    from rnnlm.benchmarks.memory import Budget, Reach, bench_memory, verdict_of

    budget = Budget(**{field.name: given[field.name] for field in fields(Budget)})

    # Each lag is shown when it is measured: all of them take a while.
    done = []
    for result in bench_memory(tasks or (), cells or (), lags, budget, device):
        if isinstance(result, Reach):
            done.append(result)
        else:
            ended = "solved" if result.solved else "not solved"
            terminal.say(
                f"{result.task}, {result.cell}, lag {result.lag}: {ended} after "
                f"{result.steps:,} steps ({_figure(result)})"
            )
    if plot:
        from rnnlm.benchmarks.memory import draw
        from rnnlm.evaluation.plotting import save

        save(draw(done), plot)
    if as_json:
        terminal.print_json(*(reach.to_dict() for reach in done), {"verdict": verdict_of(done)})
        return
    _show(done)
    click.echo(f"\n{verdict_of(done)}")


def _show(reaches: "list[Reach]") -> None:
    from rnnlm.benchmarks.memory_tasks import TASKS

    records = []
    for reach in reaches:
        record = {
            "task": reach.task,
            "layer": reach.cell,
            "parameters": f"{reach.parameters:,}",
            "longest lag": str(reach.longest),
            "after steps": "-",
            "first lag not solved": "-",
            "figure there": "-",
        }
        # A layer may solve no lag, or all of them.
        if reach.solved:
            record["after steps"] = f"{reach.solved.steps:,}"
        if reach.failed:
            record["first lag not solved"] = str(reach.failed.lag)
            record["figure there"] = _figure(reach.failed)
        records.append(record)
    terminal.print_records(records, left=["task", "layer"])
    for name in dict.fromkeys(reach.task for reach in reaches):
        task = TASKS[name]
        click.echo(
            f"{name}: solved means {task.criterion}; guessing without the input gives "
            f"{task.chance:.3g}"
        )


def _figure(trained: "Trained") -> str:
    from rnnlm.benchmarks.memory_tasks import TASKS

    puzzle = TASKS[trained.task]
    if puzzle.classes is None:
        return f"error {trained.figure:.4f}"
    return f"{trained.figure:.1%}"
