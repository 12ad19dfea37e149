"""`rnnlm import`: a model of another program."""

import contextlib
from pathlib import Path
from typing import Any

import click

from rnnlm import satellites
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.storage.files.reading import binary_at
from rnnlm.text.tokenizer_settings import TokenizerSettings

from .. import terminal
from ..declaring import Command, options_of, stacked
from ..options import PATH, output_option, overwrite_option, refuse_if

OTHERS = satellites.entries("imports")
OF_ARPA = ("tokenizer_from", "normalise", "allow_positive", "renormalise", "quantize")


def _form_of(file: Path) -> satellites.Import | None:
    """Return the form of a file by its first bytes; None for ARPA files, and for files that cannot
    be read, whose error comes from their reader."""
    if file.is_file():
        with contextlib.suppress(OSError):
            kind = binary_at(file)
            return next((form for form in OTHERS if kind in form.kinds), None)
    return None


@click.command(cls=Command)
@click.argument("file", type=PATH, metavar="FILE")
@output_option("Folder for the model.", "DIR", required=True)
@options_of(
    TokenizerSettings, "lowercase", help="Convert text, and the words of the file, to lower case."
)
@options_of(
    TokenizerSettings, "split_punctuation", help="Punctuation marks are separate words in the file."
)
@click.option(
    "--tokenizer-from",
    metavar="MODEL",
    help="Use the tokenizer of another model, whose tokens are the words of the file, or of a "
    "sentencepiece model (FILE.model), whose pieces they are.",
)
@options_of(TokenizerSettings, "normalise")
@click.option(
    "--allow-positive",
    is_flag=True,
    help="Read positive log-probabilities as 0, like KenLM's build_binary -i.",
)
@click.option(
    "--renormalise",
    is_flag=True,
    help="Make probabilities sum to one after every context, by new backoff weights.",
)
@options_of(NgramSettings, "quantize")
@stacked(*(form.options for form in OTHERS))
@overwrite_option("Replace the model in DIR.")
def command(
    file: Path,
    output: Path,
    lowercase: bool | None,
    split_punctuation: bool | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Import an n-gram model from an ARPA file, as KenLM and SRILM write it.

    \b
    rnnlm import my.arpa.gz -o my-model
    rnnlm eval -m my-model TEXT

    An ARPA file may be compressed (.gz, .xz, .bz2, .zst); - is standard input. The model keeps its
    probabilities. They need not sum to one; if they do not, results are marked. --renormalise makes
    them sum to one.
    """
    form = _form_of(file)
    flags = {option.name: option.opts[0] for option in command.params}
    taken = form.details if form else OF_ARPA
    is_missing = not (str(file) == "-" or file.exists())  # its reader says so
    others = {name: other.name for other in OTHERS for name in other.details}
    names = others | dict.fromkeys(OF_ARPA, "an ARPA file")
    for name, value in given.items():
        refuse_if(
            value and name not in taken and not is_missing,
            f"{flags[name]} is for {names[name]}, which {file} is not.",
        )
    # Only the file of a sentencepiece model leaves the form of texts open.
    has_form = given["normalise"] and not Path(given["tokenizer_from"] or "").is_file()
    refuse_if(
        given["tokenizer_from"] and (lowercase or split_punctuation or has_form),
        "--tokenizer-from determines the tokenizer: leave out --lowercase, --split-punctuation "
        "and, unless it names a sentencepiece model, --normalise.",
    )
    settings = TokenizerSettings(
        lowercase=bool(lowercase), split_punctuation=bool(split_punctuation)
    )
    read = form.read if form else _read_arpa
    details = {name: given[name] for name in taken}
    terminal.say(read(file, output, overwrite, settings, **details))
    terminal.say(f"saved in {output}")


def _read_arpa(
    file: Path, output: Path, overwrite: bool, settings: TokenizerSettings, **details: Any
) -> str:
    from rnnlm.training.imported import import_arpa

    report = terminal.Progress(about=output)
    model = import_arpa(file, output, overwrite, settings=settings, report=report, **details)
    ngrams = ", ".join(f"{len(values):,}" for values in model.values)
    return f"an n-gram model of order {model.order}, V = {model.size:,}; n-grams by order: {ngrams}"
