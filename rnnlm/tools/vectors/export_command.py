"""`rnnlm export --vectors`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnlm.cli import terminal
from rnnlm.cli.help_sections import stacked
from rnnlm.cli.options import PATH, STANDARD_OUTPUT, own_results
from rnnlm.satellites import Export

if TYPE_CHECKING:
    from rnnlm.tools.vectors.word_vectors import Which


def _write_vectors(name: str, file: Path, overwrite: bool, which: "Which | None") -> None:
    from rnnlm.lm.base.loading import load_if_named
    from rnnlm.tools.vectors.word_vectors import word_vectors

    model = load_if_named(name, "cpu")
    files = own_results([file], overwrite, model)
    if files.are_finished:
        return
    vectors = word_vectors(model, which or "input")
    count = vectors.save(file, overwrite=True)
    files.finish(f"the vectors of {terminal.plural(count, 'symbol')}")
    note = f" ({vectors.note})" if vectors.note else ""
    if file != STANDARD_OUTPUT:
        terminal.say(
            f"{vectors.source}{note}: {count:,} symbols, {vectors.width_in_words}, written to "
            f"{file}"
        )


VECTORS = Export(
    "vectors",
    called="--vectors FILE",
    options=stacked(
        click.option(
            "--vectors",
            type=PATH,
            metavar="FILE",
            help="Write word vectors in word2vec's text format, compressed like --arpa; - is "
            "standard output.",
        ),
        click.option(
            "--which",
            type=click.Choice(["input", "output"]),
            help="With --vectors: write the input word vectors, or the words' softmax weights "
            "(output).  [default: input]",
        ),
    ),
    details=("which",),
    write=_write_vectors,
    place=1,
)
