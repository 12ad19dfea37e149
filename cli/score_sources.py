"""The sources of `rnnlm score` with an encoder-decoder: where they stand, and what goes with them."""

from collections.abc import Sequence
from typing import Any

import click

from .options import refuse_if, section

source_options = section(
    "Sources, for encoder-decoders",
    click.option("--source", metavar="TEXT", help="Source of all sentences: log p(sentence | source)."),
    click.option("--target", "targets", multiple=True, metavar="FILE",
                 help="Targets, line by line, of the sources in --input. May be repeated, as often as --input."),
    click.option("--target-column", metavar="NAME",
                 help="Column of a table that holds the targets; --column is that of the sources.  [default: as rnnlm train finds them]"),
)  # fmt: skip
_NAMES = {"source": "--source", "targets": "--target", "target_column": "--target-column"}
_OF_TABLES = {
    "column": "--column", "target_column": "--target-column", "delimiter": "--delimiter", "id_column": "--id-column",
    "given_column": "--given-column", "keep": "--keep", "region_columns": "--region-columns",
}  # fmt: skip


def are_pairs(models: dict[str, Any], sentences: Sequence[str], inputs: Sequence[str], given: dict[str, Any], wants_minimal: bool) -> bool:
    """Whether tables of the input hold pairs of a source and a target. Options that do not go with each other, or not with the models, are
    wrong usage. wants_minimal: minimal pairs are asked for."""
    from rnnlm.inference.conditions import reads_sources

    conditional = [name for name, model in models.items() if reads_sources(model)]
    asked = [option for name, option in _NAMES.items() if given[name]]
    if not conditional:
        refuse_if(asked, f"{', '.join(asked)}: {next(iter(models))} is a language model, which reads no source.")
        return False
    name = conditional[0]
    refuse_if(wants_minimal, f"--pairs compares sentences alone: {name} is an encoder-decoder, which scores a target given its source.")
    refuse_if(given["context"] == "carry", f"--context carry: {name} is an encoder-decoder, which reads each target from its own source.")
    why = f"{name} is an encoder-decoder: which source have these sentences? Name it with --source; --input takes pairs."
    refuse_if(sentences and given["source"] is None, why)
    refuse_if(given["source"] is not None and len(asked) > 1, f"{' and '.join(asked)}: the source is named twice.")
    if given["targets"]:
        idle = [option for its, option in _OF_TABLES.items() if given[its]]
        refuse_if(idle, f"{', '.join(idle)}: this is about tables, and --target names a file of plain lines.")
        refuse_if(not inputs, "--target: name the file of the sources with --input.")
    return given["source"] is None and not given["targets"]
