"""`rnnlm export`: a model, or its word vectors, for other programs."""

from pathlib import Path
from typing import Any

import click

from rnnlm import satellites

from .. import terminal
from ..declaring import Command, stacked
from ..options import (
    PATH,
    STANDARD_OUTPUT,
    chosen_model,
    model_option,
    overwrite_option,
    own_file,
    refuse_if,
)


def _write_arpa(name: str, file: Path, overwrite: bool) -> None:
    from rnnlm.lm.base.loading import load
    from rnnlm.lm.ngram.arpa import writing

    own_file(file, overwrite)
    model = load(name, "cpu")
    writing.export_arpa(model, file, overwrite=True, report=terminal.Progress(about=file))
    if file != STANDARD_OUTPUT:
        terminal.say(f"written to {file}")


ARPA = satellites.Export(
    "arpa",
    called="--arpa FILE",
    options=click.option(
        "--arpa",
        type=PATH,
        metavar="FILE",
        help="Write an ARPA file, compressed if it ends in .gz, .xz, .bz2 or .zst; - is standard "
        "output.",
    ),
    write=_write_arpa,
    need="n-grams",
)
OTHERS = satellites.entries("exports")
FORMS = [ARPA, *sorted(OTHERS, key=lambda export: export.place)]


@click.command(
    cls=Command, needs={detail: [form.name] for form in FORMS for detail in form.details}
)
@model_option
@stacked(*(form.options for form in FORMS))
@overwrite_option("Replace FILE or the files in DIR.")
def command(model_name: str | None, overwrite: bool, **given: Any) -> None:
    """Write a model in a form that other programs read.

    \b
    rnnlm export -m my-5gram --arpa my-5gram.arpa.gz
    rnnlm export -m my-5gram --arpa - | build_binary /dev/stdin my-5gram.binary

    KenLM, SRILM and others read ARPA files.
    """
    chosen = [form for form in FORMS if given[form.name] is not None]
    refuse_if(len(chosen) != 1, f"give one of {', '.join(form.called for form in FORMS)}.")
    (form,) = chosen
    details_given = {name: given[name] for name in form.details}
    form.write(
        chosen_model(model_name, [{form.need}]), given[form.name], overwrite, **details_given
    )
