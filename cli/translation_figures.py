"""The figures of an encoder-decoder as tables."""

from typing import Any

import click

from rnnlm.events import OF_100

from . import terminal
from .label_figures import percent

WRITTEN = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")
TRANSLATION_COUNTS = ("sources", "sentences", "tokens", "words", "oov_words", "zero_probability_tokens")
PERPLEXITIES = ("ppl_token", "ppl_token_no_oov", "ppl_word", "ppl_word_no_oov", "bits_per_char", "bits_per_byte")


def shown(name: str, value: float | None) -> str:
    """A figure from 0 to 100, or a share in percent; a dash where there is none."""
    return terminal.number(value) if name in OF_100 else percent(value)


def show_translation_metrics(results: dict[str, dict[str, Any]]) -> None:
    """A row for each text that a model was measured on after training; then the signatures."""
    keys = ("ppl_token", *(key for key in WRITTEN if any(each[key] is not None for each in results.values())))
    rows = [[name, *(_cell(key, each[key]) for key in keys)] for name, each in results.items()]
    terminal.print_table(["text", *keys], rows, right=keys)
    for name, each in results.items():
        click.echo(f"{name} signature: {each['signature']}")
        click.echo(f"{name} {each['main']} signature: {_signature(each, each['main'])}")


def show_translation_evaluation(found: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.seq2seq.evaluation.figures.PairEvaluation`, then those by length of the source, what the
    tokenizer loses, and the signatures."""
    result = found.to_dict()
    rows = [[key, terminal.cell(result[key])] for key in TRANSLATION_COUNTS if result[key] or key in TRANSLATION_COUNTS[:4]]
    rows += [["logprob_nats", terminal.cell(result["logprob_nats"], 4)]]
    closed = " (closed vocabulary)" if result["closed_vocabulary"] else ""
    notes = {"ppl_word": closed, "ppl_word_no_oov": closed}
    kept = [key for key in PERPLEXITIES if result[key] is not None or key == "ppl_token"]
    kept = [key for key in kept if result["oov_words"] or not key.endswith("_no_oov")]
    rows += [[key, terminal.cell(result[key], 4) + notes.get(key, "")] for key in kept]
    rows += [[key, shown(key, result[key])] for key in WRITTEN if result.get(key) is not None]
    terminal.print_table(["measure", "value"], rows, right=["value"])
    if found.written is not None:
        _show_written(found.written, result)
    click.echo()
    click.echo(f"signature of perplexity: {result['signature']}")
    for name in [each for each in WRITTEN if result.get(each) is not None]:
        click.echo(f"signature of {name}: {_signature(result, name)}")


def _show_written(written: Any, result: dict[str, Any]) -> None:
    if result["lowercase"]:
        terminal.say("the model knows no upper case: both sides are lower-cased for these figures")
    keys = [key for key in WRITTEN if result[key] is not None]
    if len(written.by_length) > 1:
        click.echo()
        rows = [[each.name, f"{each.sentences:,}", *(shown(key, getattr(each, key)) for key in keys)] for each in written.by_length]
        terminal.print_table(["source tokens", "sources", *keys], rows, right=["source tokens", "sources", *keys])
    if lost := result["of_tokenizer"]:
        figures = ", ".join(f"{key} {shown(key, lost[key])}" for key in keys)
        terminal.say(f"the target's tokenizer does not give all text back: references that it encodes and decodes have {figures}")


def _signature(result: dict[str, Any], name: str) -> str:
    """Of a figure, with that of sacrebleu."""
    theirs = result["sacrebleu_signatures"].get(name)
    return f"{result['signatures'][name]}" + (f"  (sacrebleu: {theirs})" if theirs else "")


def _cell(name: str, value: float | None) -> str:
    return terminal.number(value) if name.startswith("ppl") else shown(name, value)
