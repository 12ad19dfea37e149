"""`rnnlm mix`: several models as one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .. import terminal
from ..options import (
    Command,
    context_option,
    corpus_of,
    device_option,
    json_option,
    models_checked,
    output_option,
    overwrite_option,
    section,
    text_flags,
    text_options,
)

if TYPE_CHECKING:
    from rnnlm.evaluation.perplexity import TextEvaluation


def _numbers(text: str) -> list[float]:
    """Read numbers between commas: 0.7,0.3."""
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not understood: write 0.7,0.3.") from None


@click.command(cls=Command)
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL MODEL...", callback=models_checked
)
@section(
    "Weights",
    click.option(
        "--on",
        multiple=True,
        metavar="TEXT",
        help="Tune on TEXT, which no model was trained on; may be repeated.",
    ),
    click.option(
        "--weights",
        type=_numbers,
        metavar="0.7,0.3",
        help="Weights of the models, instead of tuned ones.",
    ),
    click.option(
        "--log-linear",
        is_flag=True,
        help="Multiply probabilities and normalise, instead of adding them up.",
    ),
    device_option,
)
@section(
    "Saving",
    output_option(
        "Folder for the mixture.", "DIR", default=Path("checkpoints/mixture"), show_default=True
    ),
    click.option("--bundle", is_flag=True,
                 help="Copy the models into DIR, so that it does not depend on their folders."),
    overwrite_option("Replace the model in DIR."),
)  # fmt: skip
@section("Text", context_option, text_options)
@section("Output", json_option)
def command(
    models: tuple[str, ...],
    on: tuple[str, ...],
    log_linear: bool,
    output: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Mix models of any kind that share a tokenizer.

    \b
    rnnlm mix lstm kn5 --on valid.txt                     weights tuned by EM
    rnnlm mix lstm kn5 --on valid.txt --log-linear        probabilities multiplied
    rnnlm mix lstm kn5 --weights 0.7,0.3                  weights as given
    rnnlm mix lstm kn5 --on valid.txt -o both --bundle    with copies of both
    rnnlm mix lstm+cache kn5 --on valid.txt               one adapts itself

    Models share a tokenizer by rnnlm train --tokenizer-from. The weights of --log-linear are tuned
    by Newton's method.

    The mixture is a model like any other. Without --bundle it refers to the folders of the models,
    which must not change.
    """
    flags = text_flags(given)
    corpus = corpus_of(on, flags) if on else None
    from rnnlm.combinations.mixing import mix

    kind: Literal["log-linear", "linear"] = "log-linear" if log_linear else "linear"
    mixed = mix(models, corpus, output, kind=kind, report=terminal.Progress(), **given)
    if as_json:
        # Without a text nothing was measured.
        parts = []
        for part in mixed.parts:
            parts.append(
                {
                    "model": part.name,
                    "fingerprint": part.fingerprint,
                    "weight": part.weight,
                    "ppl_token": part.evaluation.ppl_token if part.evaluation else None,
                }
            )
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
    terminal.print_table(["model", "weight", "ppl_token"], rows, right=["weight", "ppl_token"])
    if mixed.evaluation:
        click.echo(f"signature: {mixed.evaluation.signature}")
    terminal.say(f"the mixture is in {mixed.folder}")


def _perplexity(evaluation: "TextEvaluation | None") -> str:
    if evaluation is None:
        return "-"
    metric = evaluation.metric("ppl_token")
    return "-" if metric is None else metric.shown(4)
