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
              help="Folder of the runs; the same command resumes them.")  # fmt: skip
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

    # What is not given is left to the question's own defaults; a cell or seed that is named twice
    # runs once.
    asked: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, tuple):
            asked[name] = tuple(dict.fromkeys(value))
        elif value is not None:
            asked[name] = value
    more = ["--device", device]
    if threads is not None:
        more += ["--threads", str(threads)]
    question = Question(text=text, valid=valid, more=tuple(more), **asked)

    trials = f", trials of {question.trial_budget}," if question.trial_budget else ""
    terminal.say(
        f"{question.runs} runs of {question.budget}{trials} in {output}; run the same command "
        "again to resume"
    )
    done, runs = [], 0
    for found in compare(question, output):
        if isinstance(found, Result):
            done.append(found)
            continue
        runs += 1
        ended = "diverged"
        if found.ppl is not None:
            ended = f"perplexity {terminal.number(found.ppl)}"
        terminal.say(
            f"{runs} of {question.runs}: {found.cell}, rate {found.learning_rate:g}, dropout "
            f"{found.dropout:g}, seed {found.seed}: {ended}, {found.steps:,} steps, "
            f"{found.tokens_per_second:,.0f} tokens/s"
        )

    if as_json:
        terminal.print_json(*(result.to_dict() for result in done))
        return
    terminal.print_records(list(map(_record, done)), left=["cell"])


def _record(result: "Result") -> dict[str, str]:
    # With one seed there is no interval; not every machine says how much memory was used.
    interval = peak = "-"
    if result.low is not None:
        interval = f"[{terminal.number(result.low, 1)}, {terminal.number(result.high, 1)}]"
    if result.peak_bytes is not None:
        peak = f"{result.peak_bytes / 1e6:,.0f}"
    return {
        "cell": result.cell,
        "width": f"{result.width:,}",
        "parameters": f"{result.parameters:,}",
        "rate": f"{result.learning_rate:g}",
        "dropout": f"{result.dropout:g}",
        "perplexity": terminal.number(result.ppl, 1),
        "95 % interval": interval,
        "steps": f"{result.steps:,}",
        "tokens/s": f"{result.tokens_per_second:,.0f}",
        "peak MB": peak,
    }
