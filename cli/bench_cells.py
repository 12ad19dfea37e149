"""`rnnlm bench cells`: recurrent cells with equal parameters, time and trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import terminal
from .options import device_option, json_option, list_of, number_option

if TYPE_CHECKING:
    from rnnlm.benchmarks.cells import Result


@click.command("cells")
@click.argument("text", nargs=-1)
@click.option(
    "--valid",
    multiple=True,
    metavar="TEXT",
    help="Validation text.  [default: the last 5 % of TEXT]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("checkpoints/cells"),
              show_default=True, metavar="DIR",
              help="Folder of the runs; the same command goes on there.")  # fmt: skip
@click.option("--cells", metavar="NAMES", callback=list_of(str, "names"),
              help="Cells to compare: elman,irnn,gru,lstm,coupled-lstm,mogrifier,qrnn.  [default: "
                   "all]")  # fmt: skip
@number_option(
    "--parameters",
    default=4_000_000,
    help="Parameters of each layer and its projection; word vectors are not counted.",
)
@number_option("--embedding-size", default=300, help="Width of word vectors.")
@click.option(
    "--budget",
    default="10m",
    show_default=True,
    metavar="BUDGET",
    help="Budget of each run: 10m, 5epochs, 2000steps.",
)
@click.option(
    "--trial-budget",
    metavar="BUDGET",
    help="Shorter budget for the trials of rates and dropouts.  [default: that of --budget]",
)
@click.option("--rates", metavar="NUMBERS", callback=list_of(float, "numbers"),
              default="0.001,0.002,0.004", show_default=True,
              help="Learning rates to try.")  # fmt: skip
@click.option("--dropouts", metavar="NUMBERS", callback=list_of(float, "numbers"),
              default="0.2,0.4", show_default=True,
              help="Dropouts to try with each rate, of input and output.")  # fmt: skip
@click.option("--seeds", metavar="NUMBERS", callback=list_of(int, "whole numbers"), default="1,2,3",
              show_default=True,
              help="The trials have the first seed; the settings of the best trial run again with "
                   "the others.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads of each run.")
@device_option
@json_option
def cells(
    text: tuple[str, ...],
    valid: tuple[str, ...],
    output: Path,
    threads: int | None,
    device: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare recurrent cells with equal parameters, time and trials.

    \b
    rnnlm bench cells
    rnnlm bench cells my.txt --valid valid.txt --budget 10m -o checkpoints/mine
    rnnlm bench cells --cells gru,lstm --parameters 500000 --budget 2m

    One layer of each cell trains on TEXT (none: the bundled corpus) for the same time. Widths are
    chosen so that all layers have the same number of parameters. Rate and dropout are tuned for
    each cell by the same trials; the settings of the best trial run again with the other seeds, or,
    with --trial-budget, with all seeds. The table has the geometric mean of the validation
    perplexity over seeds with its 95 % interval (Student's t), steps, tokens/s and peak memory.
    """
    from rnnlm.benchmarks.cells import Question, Result, compare

    lists = {
        name: tuple(dict.fromkeys(value))
        for name, value in given.items()
        if isinstance(value, tuple)
    }  # what is named twice runs once
    given = {name: value for name, value in given.items() if value is not None} | lists
    more = ("--device", device, *(() if threads is None else ("--threads", str(threads))))
    question, done, runs = Question(text=text, valid=valid, more=more, **given), [], 0
    trials = f", trials of {question.trial_budget}," if question.trial_budget else ""
    terminal.say(
        f"{question.runs} runs of {question.budget}{trials} in {output}; the same command "
        "goes on where it is cut off"
    )
    for found in compare(question, output):
        if isinstance(found, Result):
            done.append(found)
        else:
            runs += 1
            ended = "diverged" if found.ppl is None else f"perplexity {terminal.number(found.ppl)}"
            terminal.say(
                f"{runs} of {question.runs}: {found.cell}, rate {found.learning_rate:g}, dropout "
                f"{found.dropout:g}, seed {found.seed}: "
                f"{ended}, "
                f"{found.steps:,} steps, {found.tokens_per_second:,.0f} tokens/s"
            )
    if as_json:
        terminal.print_json(*(result.to_dict() for result in done))
        return
    terminal.print_records([_record(result) for result in done], left=["cell"])


def _record(result: "Result") -> dict[str, str]:
    low, high = terminal.number(result.low, 1), terminal.number(result.high, 1)
    return {
        "cell": result.cell, "width": f"{result.width:,}", "parameters": f"{result.parameters:,}",
        "rate": f"{result.learning_rate:g}",
        "dropout": f"{result.dropout:g}", "perplexity": terminal.number(result.ppl, 1),
        "95 % interval": "-" if result.low is None else f"[{low}, {high}]",
        "steps": f"{result.steps:,}",
        "tokens/s": f"{result.tokens_per_second:,.0f}",
        "peak MB": "-" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.0f}",
    }  # fmt: skip
