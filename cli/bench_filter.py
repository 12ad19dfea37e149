"""`rnnlm bench filter`: the speed of filtering text by perplexity, beside a loop with kenlm."""

import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import terminal
from .options import chosen_model, json_option, model_option, number_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnlm.benchmarks.filtering import FilterSpeed


@click.command("filter")
@click.argument("text", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@model_option
@click.option("--kenlm", "has_loop", is_flag=True,
              help="Time a loop of the modules sentencepiece and kenlm, too: "
                   "pip install kenlm.")  # fmt: skip
@click.option(
    "--max-perplexity",
    type=click.FloatRange(0, min_open=True),
    default=200.0,
    show_default=True,
    metavar="X",
    help="Keep lines up to that.",
)
@number_option("--rounds", default=5, help="Rounds after the one to warm up; medians are shown.")
@json_option
def filtering(
    text: Path,
    model_name: str | None,
    has_loop: bool,
    max_perplexity: float,
    rounds: int,
    as_json: bool,
) -> None:
    """Measure the speed of filtering text by perplexity.

    \b
    rnnlm bench filter my.txt -m my-5gram
    rnnlm bench filter my.txt -m my-5gram --kenlm

    The lines of TEXT, a plain file, are read, scored and written, as `rnnlm filter` does on one
    processor and on all of them. With --kenlm, a loop in Python does the same line by line with the
    same n-grams, from an ARPA file that is written for it: sentencepiece encodes a line, kenlm
    scores its pieces. All take turns. The time to load models counts for rnnlm, not for the loop.
    Nothing is saved.
    """
    from rnnlm.benchmarks.filtering import (
        COMPARED_LINES,
        KenlmLoop,
        bench_filtering,
        largest_difference,
    )
    from rnnlm.benchmarks.translating import first_lines
    from rnnlm.filtering.judging import Documents, document_scores, perplexities
    from rnnlm.filtering.run import Request, run
    from rnnlm.filtering.settings import FilterSettings
    from rnnlm.models.loading import language_model_of
    from rnnlm.system import processors
    from rnnlm.text.corpus import Corpus

    name = chosen_model(model_name, "text")
    with tempfile.TemporaryDirectory(prefix="rnnlm-") as made:
        folder = Path(made)

        def filtered_on(workers: int) -> None:
            request = Request(
                shards=(str(text),),
                output=folder / "filtered",
                models={"": name},
                settings=FilterSettings(max_perplexity=max_perplexity),
                workers=workers,
                overwrite=True,
            )
            for _ in run(request):
                pass

        # The loop reads the same n-grams, and must find the same perplexities.
        loop = None
        if has_loop:
            from rnnlm.ngram.arpa.writing import export_arpa

            model = language_model_of(name)
            export_arpa(model, folder / "model.arpa")
            terminal.say("kenlm reads the n-grams ...")
            loop = KenlmLoop(folder / "model.arpa", model.tokenizer)
            lines = first_lines(Corpus((str(text),)), COMPARED_LINES)
            documents = Documents.of_texts(lines, "replace")
            ours = perplexities(*document_scores(model, documents)).tolist()
            difference = largest_difference(loop, lines, ours)
            terminal.say(f"perplexities of {len(lines):,} lines differ by {difference:.1e} at most")

        # One processor and all of them, beside the loop.
        ways = [(count, partial(filtered_on, count)) for count in sorted({1, processors()})]
        beside = None
        if loop is not None:
            beside = partial(loop.filter, text, folder / "kept.txt", max_perplexity)
        speeds = list(bench_filtering(text.stat().st_size, ways, beside, rounds))
    if as_json:
        terminal.print_json(*map(asdict, speeds))
    else:
        _show(speeds)


def _show(speeds: "Sequence[FilterSpeed]") -> None:
    records = []
    for speed in speeds:
        records.append(
            {
                "what": speed.what,
                "processors": str(speed.processors),
                "seconds": terminal.number(speed.seconds, 3),
                "processor seconds": terminal.number(speed.processor_seconds, 3),
                "MB/s": terminal.number(speed.megabytes_per_second, 2),
                "loop's time over this": terminal.number(speed.ratio, 3),
                "of the processor": terminal.number(speed.processor_ratio, 3),
            }
        )
    terminal.print_records(records, left=["what"])
