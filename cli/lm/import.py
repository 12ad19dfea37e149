"""`rnnlm import`: a model of another program."""

from pathlib import Path

import click

from .. import terminal
from ..help_sections import Command
from ..options import PATH, output_option, overwrite_option, refuse_if
from ..setting_options import TOKENIZER, options_of


@click.command(cls=Command)
@click.argument("file", type=PATH, metavar="FILE.arpa")
@output_option("Model folder.", "DIR", required=True)
@options_of(TOKENIZER, "lowercase", help="Lower-case text, and the words of the file.")
@options_of(
    TOKENIZER, "split_punctuation", help="Punctuation marks are separate words in the file."
)
@click.option(
    "--tokenizer-from",
    metavar="MODEL",
    help="The words of the file are the tokens of another model.",
)
@click.option(
    "--allow-positive",
    is_flag=True,
    help="Read positive log-probabilities as 0, like build_binary -i of KenLM.",
)
@overwrite_option("Replace the model in DIR.")
def command(
    file: Path,
    output: Path,
    lowercase: bool | None,
    split_punctuation: bool | None,
    tokenizer_from: str | None,
    allow_positive: bool,
    overwrite: bool,
) -> None:
    """Make a model from an ARPA file, as written by KenLM and SRILM.

    \b
    rnnlm import my.arpa.gz -o my-model
    rnnlm eval -m my-model TEXT

    The file may be compressed (.gz, .xz, .bz2, .zst); - is standard input. Its probabilities are
    kept; they may not sum to one, so results are marked.
    """
    refuse_if(
        tokenizer_from and (lowercase or split_punctuation),
        "--tokenizer-from brings its own tokenizer: leave --lowercase and --split-punctuation out.",
    )
    from rnnlm.text.tokenizer_settings import TokenizerSettings
    from rnnlm.training.derived.importing import import_arpa

    settings = TokenizerSettings(
        lowercase=bool(lowercase), split_punctuation=bool(split_punctuation)
    )
    model = import_arpa(
        file,
        output,
        overwrite,
        settings=settings,
        tokenizer_from=tokenizer_from,
        allow_positive=allow_positive,
        report=terminal.Progress(),
    )
    ngrams = ", ".join(f"{len(values):,}" for values in model.values)
    terminal.say(
        f"an n-gram model of order {model.order}, V = {model.size:,}; n-grams by order: {ngrams}"
    )
    terminal.say(f"saved in {output}")
