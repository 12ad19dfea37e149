"""`rnnlm eval`: perplexity and its companions."""

from typing import Any

import click

from .. import options, terminal
from ..help import Command


@click.command(cls=Command)
@click.argument("text", nargs=-1, required=True)
@options.section("Model", options.model_option, options.adapt_option, options.settings_option, options.device_option)
@options.section("Text", options.context_option, options.text_options)
@options.section("Output", options.json_option)
def command(
    text: tuple[str, ...], model_name: str | None, context: str, kind: str | None, settings: tuple[str, ...],
    device: str, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Evaluate a model on TEXT: perplexity and its companions.

    \b
    rnnlm eval -m my-model test.txt
    rnnlm eval -m my-model test.txt --context reset     each line alone
    rnnlm eval -m my-model test.txt --adapt cache       adapting as it reads

    Every token is scored exactly once, in IEEE fp32.

    words, and with them ppl_word, are those of the text, split on white space, whatever the tokenizer takes for words (`rnnlm score` counts
    those of the tokenizer).

    With --adapt the model adapts itself to what it has read so far: the settings are those that `rnnlm tune` chose for it, else
    defaults, and --set changes them.
    """
    corpus = options.corpus_of(text, options.text_flags(given))
    model = options.load_model(model_name, device, kind, settings)
    from rnnlm.evaluation.perplexity import evaluate

    result = evaluate(model, corpus, context=context, progress=terminal.Progress()).to_dict()
    if as_json:
        terminal.print_json(result)
        return
    notes = _notes(result)
    shown = result | {name: "yes" if result[name] else "no" for name in ("closed_vocabulary", "normalised")}
    rows = [[name, terminal.cell(value, 4) + notes.get(name, "")] for name, value in shown.items() if name != "signature"]
    terminal.print_table(["measure", "value"], rows, right=["value"])
    click.echo(f"signature: {result['signature']}")


def _notes(result: dict[str, Any]) -> dict[str, str]:
    """What a reader must know about a figure, beside it."""
    notes = {"words": " (split on white space)"}
    if result["closed_vocabulary"]:
        notes["ppl_word"] = notes["ppl_word_no_oov"] = " (closed vocabulary)"
    if result["zero_probability_tokens"]:
        notes["ppl_token"] = " (a token has probability zero)"
    if not result["normalised"]:
        notes["ppl_token"] = notes.get("ppl_token", "") + " (not normalised)"
    return notes
