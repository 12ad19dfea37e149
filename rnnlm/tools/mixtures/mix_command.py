"""`rnnlm mix`: several models as one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, Number, list_of, options_of, section
from rnnlm.cli.options import (
    context_option,
    corpus_of,
    device_option,
    json_option,
    models_checked,
    output_option,
    overwrite_option,
    refuse_if,
)
from rnnlm.cli.text_options import column_options, text_flags
from rnnlm.lm.ngram.settings import NgramSettings

if TYPE_CHECKING:
    from rnnlm.evaluation.perplexity import TextEvaluation


@click.command(cls=Command, needs={"memory": ["static"], "temp": ["memory"]})
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL MODEL...", callback=models_checked
)
@section(
    "Weights",
    click.option(
        "--on",
        multiple=True,
        metavar="TEXT",
        help="Tune the weights on TEXT, which should not be training text of any model; may be "
        "repeated.",
    ),
    click.option(
        "--weights",
        callback=list_of(Number.read, "numbers such as 0.7,0.3"),
        metavar="0.7,0.3",
        help="Use these weights of the models instead of tuning them.",
    ),
    device_option,
)
@section(
    "Static mixture",
    click.option(
        "--static",
        is_flag=True,
        help="Merge n-gram models into a single one that does not refer to them.",
    ),
    options_of(NgramSettings, "memory", default_is=""),
    options_of(
        NgramSettings,
        "temp",
        default_is="",
        help="Folder for data beyond the memory limit.  [default: the system's temporary folder]",
    ),
)
@section(
    "Saving",
    output_option(
        "Folder for the mixture; with --static also FILE.arpa or FILE.arpa.gz.",
        "DIR|FILE",
        default=Path("checkpoints/mixture"),
        show_default=True,
    ),
    click.option("--bundle", is_flag=True,
                 help="Copy the models into DIR, so that the mixture does not depend on their "
                      "folders."),
    overwrite_option("Replace the model in DIR, or FILE."),
)  # fmt: skip
@section("Text", context_option, column_options)
@section("Output", json_option)
def command(
    models: tuple[str, ...],
    on: tuple[str, ...],
    static: bool,
    output: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Mix models of any kind that share a tokenizer, or models of words with different words.

    \b
    rnnlm mix lstm kn5 --on valid.txt                     weights tuned by EM
    rnnlm mix lstm kn5 --weights 0.7,0.3                  weights as given
    rnnlm mix lstm kn5 --on valid.txt -o both --bundle    with copies of both
    rnnlm mix lstm+cache kn5 --on valid.txt               one with a cache
    rnnlm mix a b --static --on valid.txt -o both.arpa    two n-gram models as one

    Use rnnlm train --tokenizer-from to train models that share a tokenizer. Otherwise a word that
    a model lacks has probability zero there, and the model reads it as <unk>.

    The mixture can be used like any other model. Without --bundle, it refers to the folders of the
    models, which must not change.

    With --static, all models must be n-gram models. The result holds the n-grams of all of them
    and is as fast as a single model. Its perplexity differs slightly from the mixture's.
    """
    memory, temp = given.pop("memory"), given.pop("temp")
    if static:
        refuse_if(
            given["bundle"],
            "--static makes a model that does not refer to others: leave out --bundle.",
        )
        refuse_if(given["device"] not in ("auto", "cpu"), "--static runs on the CPU.")
    flags = text_flags(given)
    corpus = corpus_of(on, flags) if on else None
    if static:
        from rnnlm.tools.mixtures.static import mix_static

        del given["bundle"], given["device"]
        mixed = mix_static(
            models,
            corpus,
            output,
            memory=memory,
            temp=temp,
            report=terminal.Progress(about=output),
            **given,
        )
    else:
        from rnnlm.tools.mixtures.mixing import mix

        mixed = mix(models, corpus, output, report=terminal.Progress(about=output), **given)
    if as_json:
        # Without a text nothing was measured.
        parts = [
            {
                "model": part.name,
                "fingerprint": part.fingerprint,
                "weight": part.weight,
                "ppl_token": part.evaluation.ppl_token if part.evaluation else None,
            }
            for part in mixed.parts
        ]
        terminal.print_json(
            {
                "output": mixed.folder,
                "kind": mixed.kind,
                "parts": parts,
                "iterations": mixed.iterations,
                "evaluation": mixed.evaluation.to_dict() if mixed.evaluation else None,
            }
        )
        return
    rows = [[part.name, f"{part.weight:.4f}", _perplexity(part.evaluation)] for part in mixed.parts]
    rows.append(["mixture", "", _perplexity(mixed.evaluation)])
    terminal.print_table(
        terminal.Table(["model", "weight", "ppl_token"], rows, right=["weight", "ppl_token"])
    )
    if mixed.evaluation:
        click.echo(f"signature: {mixed.evaluation.signature}")
    terminal.say(f"the {'n-gram model' if static else 'mixture'} is saved in {mixed.folder}")


def _perplexity(evaluation: "TextEvaluation | None") -> str:
    if evaluation is None:
        return "-"
    metric = evaluation.metric("ppl_token")
    return "-" if metric is None else metric.shown(4)
