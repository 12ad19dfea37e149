"""`rnnlm import`: a model of another program."""

from pathlib import Path

import click

from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings

from .. import terminal
from ..declaring import Command, options_of
from ..options import PATH, output_option, overwrite_option, refuse_if


@click.command(cls=Command)
@click.argument("file", type=PATH, metavar="FILE.arpa")
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
    help="Use the tokenizer of another model, whose tokens are the words of the file.",
)
@click.option(
    "--allow-positive",
    is_flag=True,
    help="Read positive log-probabilities as 0, like KenLM's build_binary -i.",
)
@options_of(NgramSettings, "quantize")
@overwrite_option("Replace the model in DIR.")
def command(
    file: Path,
    output: Path,
    lowercase: bool | None,
    split_punctuation: bool | None,
    tokenizer_from: str | None,
    allow_positive: bool,
    quantize: int | None,
    overwrite: bool,
) -> None:
    """Import an n-gram model from an ARPA file, as KenLM and SRILM write it.

    \b
    rnnlm import my.arpa.gz -o my-model
    rnnlm eval -m my-model TEXT

    The file may be compressed (.gz, .xz, .bz2, .zst); - is standard input. The model keeps its
    probabilities. They need not sum to one; if they do not, results are marked.
    """
    refuse_if(
        tokenizer_from and (lowercase or split_punctuation),
        "--tokenizer-from determines the tokenizer: leave out --lowercase and --split-punctuation.",
    )
    from rnnlm.training.derived.ngram_models import import_arpa

    model = import_arpa(
        file,
        output,
        overwrite,
        settings=TokenizerSettings(
            lowercase=bool(lowercase), split_punctuation=bool(split_punctuation)
        ),
        tokenizer_from=tokenizer_from,
        allow_positive=allow_positive,
        quantize=quantize,
        report=terminal.Progress(about=output),
    )
    ngrams = ", ".join(f"{len(values):,}" for values in model.values)
    terminal.say(
        f"an n-gram model of order {model.order}, V = {model.size:,}; n-grams by order: {ngrams}"
    )
    terminal.say(f"saved in {output}")
