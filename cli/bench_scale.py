"""`rnnlm bench scale`: n-gram training on large texts under memory limits, beside KenLM."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.system import parse_size

from . import terminal
from .options import PATH, json_option, list_of, number_option, refuse_if

if TYPE_CHECKING:
    from rnnlm.benchmarks.processes import Kenlm
    from rnnlm.benchmarks.scale import Cost, Measurement, Slope

UNLIMITED = "none"


@click.command("scale")
@click.argument("text", nargs=-1, required=True)
@click.option(
    "--order",
    type=click.IntRange(1, 64),
    default=5,
    show_default=True,
    metavar="N",
    help="Longest n-gram.",
)
@click.option(
    "--memory",
    "limits",
    metavar="SIZES",
    callback=list_of(str, "sizes, such as none,1G,300M"),
    default=UNLIMITED,
    show_default=True,
    help="Memory limits to train under; none: no limit.",
)
@click.option(
    "--sizes",
    metavar="SIZES",
    callback=list_of(str, "sizes, such as 125M,1G"),
    help="Repeat TEXT to these sizes, with a tenth of the words drawn anew by frequency.  "
    "[default: TEXT as it is]",
)
@click.option("--lmplz", metavar="PROGRAM", help="KenLM's lmplz, to be timed beside ours.")
@click.option("--build-binary", metavar="PROGRAM", help="KenLM's build_binary, for its models.")
@click.option(
    "--lmplz-memory",
    metavar="SIZE",
    default="2G",
    show_default=True,
    help="Memory of lmplz where ours has no limit.",
)
@number_option("--rounds", default=3, help="Rounds of each size; medians are shown.")
@click.option(
    "--temp",
    "temporary",
    type=PATH,
    metavar="DIR",
    help="Folder for texts, models and temporary files.  [default: the system's]",
)
@json_option
def scale(
    text: tuple[str, ...],
    order: int,
    limits: tuple[str, ...],
    sizes: tuple[str, ...] | None,
    lmplz: str | None,
    build_binary: str | None,
    lmplz_memory: str,
    rounds: int,
    temporary: Path | None,
    as_json: bool,
) -> None:
    """Measure n-gram training on large texts under memory limits.

    \b
    rnnlm bench scale my.txt --memory none,1G,300M
    rnnlm bench scale my.txt --memory 1G --sizes 125M,250M,500M,1G --rounds 1
    rnnlm bench scale my.txt --lmplz bin/lmplz --build-binary bin/build_binary

    An n-gram model is trained on TEXT, from text to saved model, by a separate process; so are
    lmplz and build_binary under the same limits, if they are named, in turns. Memory is the
    private resident memory (RssAnon) of all processes together, sampled ten times a second; mapped
    pages and the disk that temporary files take are shown beside it. Nothing is saved.
    """
    # What is wrong with the options shows before the imports, which take a while.
    refuse_if(
        bool(lmplz) != bool(build_binary),
        "lmplz and build_binary belong together: name both, or neither.",
    )
    for program in (lmplz, build_binary):
        refuse_if(program and not shutil.which(program), f"there is no program {program}.")
    refuse_if(not limits, "--memory names no limit: name some, or none.")
    asked_limits = [None if limit == UNLIMITED else limit for limit in limits]
    for size in (*filter(None, asked_limits), lmplz_memory):
        parse_size(size)
    refuse_if(temporary and not temporary.is_dir(), f"--temp: there is no folder {temporary}.")

    from rnnlm.benchmarks.processes import Kenlm
    from rnnlm.benchmarks.scale import Measurement, Slope, bench_scale
    from rnnlm.text.corpus import Corpus

    kenlm = Kenlm(lmplz, build_binary) if lmplz and build_binary else None
    measurements: list[Measurement] = []
    slopes: list[Slope] = []
    for result in bench_scale(
        Corpus(text),
        order,
        asked_limits,
        [parse_size(size, "sizes") for size in sizes or ()],
        kenlm,
        lmplz_memory,
        rounds,
        temporary,
    ):
        if isinstance(result, Slope):
            slopes.append(result)
        else:
            _say(result)
            measurements.append(result)
    if as_json:
        rows, grown = list(map(asdict, measurements)), list(map(asdict, slopes))
        measured = {"measurements": rows, "growth": grown}
        terminal.print_json({"order": order, "rounds": rounds} | measured)
    else:
        _show(measurements, slopes, kenlm)


def _say(measurement: "Measurement") -> None:
    shown = []
    for name, cost in (("rnnlm", measurement.ours), ("lmplz", measurement.kenlm)):
        if cost:
            shown.append(f"{name} {cost.seconds:,.1f} s")
    what = f"{measurement.text_bytes / 1e6:,.0f} MB, memory {measurement.memory or UNLIMITED}"
    terminal.say(f"{what}: {', '.join(shown) or 'failed'}")


def _show(measurements: "list[Measurement]", slopes: "list[Slope]", kenlm: "Kenlm | None") -> None:
    records = []
    for each in measurements:
        record = {
            "text MB": f"{each.text_bytes / 1e6:,.0f}",
            "memory": each.memory or UNLIMITED,
            **_columns(each.ours, ""),
            "over unlimited": terminal.number(each.ratio_to_unlimited, 3),
        }
        if kenlm:
            record |= _columns(each.kenlm, "lmplz ")
            record["ratio"] = terminal.number(each.ratio, 3)
        records.append(record)
    terminal.print_records(records, left=[])
    for slope in slopes:
        powers = f"rnnlm {terminal.number(slope.ours, 3)}"
        if kenlm:
            powers += f", lmplz {terminal.number(slope.kenlm, 3)}"
        click.echo(f"memory {slope.memory or UNLIMITED}: time grows by the power {powers}")


def _columns(cost: "Cost | None", program: str) -> dict[str, str]:
    """Return the cells of one program's cost; `-` where it failed."""
    given: dict[str, Any] = asdict(cost) if cost else {}
    cells = {f"{program}seconds": terminal.cell(given.get("seconds"), ",.1f")}
    for name in ("private", "mapped", "temporary", "model"):
        held = given.get(f"{name}_bytes")
        cells[f"{program}{name} MB"] = terminal.cell(held and held / 1e6, ",.0f")
    return cells
