"""`rnnlm bench compact`: the compact form of an n-gram model, beside KenLM's quantised trie."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import terminal
from .options import PATH, chosen_model, json_option, model_option, number_option, refuse_if

if TYPE_CHECKING:
    from rnnlm.benchmarks.compact import FormCost


@click.command("compact")
@click.argument("text", nargs=-1, required=True)
@model_option
@click.option("--build-binary", metavar="PROGRAM", help="KenLM's build_binary, for its trie.")
@click.option("--query", metavar="PROGRAM", help="KenLM's query, to be timed beside ours.")
@number_option("--rounds", default=3, help="Rounds; medians are shown.")
@click.option(
    "--temp",
    "temporary",
    type=PATH,
    metavar="DIR",
    help="Folder for the models and the text.  [default: the system's]",
)
@json_option
def compact(
    text: tuple[str, ...],
    model_name: str | None,
    build_binary: str | None,
    query: str | None,
    rounds: int,
    temporary: Path | None,
    as_json: bool,
) -> None:
    """Measure what the compact form of an n-gram model costs.

    \b
    rnnlm bench compact test.txt -m my-5gram
    rnnlm bench compact test.txt -m kn --build-binary build_binary --query query

    The model evaluates TEXT as it is, and in compact form with 16 and with 8 bits, each time in a
    process of its own from start to end. If KenLM's programs are named, they do the same with a
    trie of the same n-grams (build_binary -a 22 -q 8 -b 8 trie), in turns. Nothing is saved.
    """
    refuse_if(
        bool(build_binary) != bool(query),
        "build_binary and query belong together: name both, or neither.",
    )
    for program in (build_binary, query):
        refuse_if(program and not shutil.which(program), f"there is no program {program}.")
    refuse_if(temporary and not temporary.is_dir(), f"--temp: there is no folder {temporary}.")
    name = chosen_model(model_name)

    from rnnlm.benchmarks.compact import KenlmQuery, bench_compact
    from rnnlm.text.corpus import Corpus

    kenlm = KenlmQuery(build_binary, query) if build_binary and query else None
    costs = list(bench_compact(name, Corpus(text), kenlm, rounds, temporary))
    if as_json:
        terminal.print_json({"rounds": rounds, "forms": list(map(asdict, costs))})
        return
    terminal.print_records([_record(cost) for cost in costs], left=["form"])


def _record(cost: "FormCost") -> dict[str, str]:
    record = {
        "form": cost.form,
        "MB": f"{cost.model_bytes / 1e6:,.1f}",
        "seconds": f"{cost.seconds:,.2f}",
        "processor seconds": f"{cost.cpu_seconds:,.2f}",
        "peak MB": f"{cost.peak_bytes / 1e6:,.0f}",
        "ppl_token": terminal.number(cost.ppl_token),
    }
    if cost.size_ratio is not None:
        record["size over trie"] = terminal.number(cost.size_ratio, 3)
        record["time over trie"] = terminal.number(cost.seconds_ratio, 3)
        record["processor time over trie"] = terminal.number(cost.cpu_ratio, 3)
    return record
