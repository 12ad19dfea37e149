"""`rnnlm prune`: make an n-gram model smaller."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.amounts import NUMBER
from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command, Number, WholeNumber, options_of, section
from rnnlm.cli.options import (
    chosen_model,
    corpus_of,
    json_option,
    model_option,
    output_option,
    overwrite_option,
)
from rnnlm.cli.text_options import column_options, text_flags
from rnnlm.lm.ngram.settings import NgramSettings

if TYPE_CHECKING:
    from rnnlm.tools.pruning.pruning import ModelSize

_THOUSANDS = {"": 1, "k": 1000, "m": 1_000_000, "g": 1_000_000_000}


def _amount(text: str) -> int:
    """Read a whole number, maybe in thousands or millions: 500000, 500k, 1.5M."""
    match = re.fullmatch(rf"\s*({NUMBER})\s*([kmg]?)\s*", text.lower())
    amount = float(match[1]) * _THOUSANDS[match[2]] if match else math.inf
    if not abs(amount) < math.inf:
        raise click.BadParameter(f"{text!r} is not a number such as 500000, 500k or 1.5M.")
    return round(amount)


@click.command(cls=Command)
@section(
    "Model",
    model_option,
    output_option("Folder for the smaller model.", "DIR", required=True),
    overwrite_option("Replace the model in DIR."),
)
@section(
    "Limits",
    click.option("--threshold", type=Number(), metavar="1e-8",
                 help="Remove n-grams whose removal raises perplexity by less than this share."),
    click.option("--ngrams", type=_amount, metavar="1M",
                 help="Prune in the same way until at most this many n-grams of all orders "
                      "remain."),
    click.option("--max-order", type=WholeNumber(), metavar="N",
                 help="Remove n-grams longer than N."),
    click.option("--max-vocab", type=WholeNumber(), metavar="N",
                 help="Keep only the N most frequent words, including </s> and <unk>."),
    click.option("--vocab", metavar="FILE", help="Keep only the words of FILE, one per line."),
    options_of(NgramSettings, "quantize"),
)  # fmt: skip
@section(
    "Text",
    click.option(
        "--on",
        multiple=True,
        metavar="TEXT",
        help="Measure the perplexity on TEXT before and after; may be repeated.",
    ),
    column_options,
)
@section("Output", json_option)
def command(
    model_name: str | None, output: Path, on: tuple[str, ...],
    overwrite: bool, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Make an n-gram model smaller.

    \b
    rnnlm prune -m big -o small --ngrams 1M --on valid.txt
    rnnlm prune -m big -o small --threshold 1e-8     SRILM's -prune (Stolcke 1998)
    rnnlm prune -m big -o small --max-vocab 20000

    Remaining n-grams keep their probabilities. Backoff weights are recomputed, so a model that
    summed to one still does. Unigrams and the prefixes of remaining n-grams are never removed.
    <unk> gets the unigram probability of words removed from the vocabulary. Several limits apply in
    this order: vocabulary, order, entropy. To remove n-grams by count, use rnnlm train --prune.
    Entropy pruning harms Kneser-Ney more than other methods, because its lower orders do not
    estimate how frequent a history is (Chelba et al. 2010).
    """
    flags = text_flags(given)
    name = chosen_model(model_name, [{"n-grams"}])
    from rnnlm.tools.pruning.pruning import PruningLimits, prune

    test_text = corpus_of(on, flags) if on else None
    with terminal.Progress(about=output):
        reduction = prune(
            name, output, PruningLimits(**given), test_text=test_text, overwrite=overwrite
        )
    if as_json:
        sizes = {"before": reduction.before.to_dict(), "after": reduction.after.to_dict()}
        terminal.print_json({"output": reduction.folder, "threshold": reduction.threshold, **sizes})
        return

    # An order that is gone has no n-grams.
    before, after = _cells(reduction.before), _cells(reduction.after)
    rows = [[name, cell, after.get(name, "0")] for name, cell in before.items()]
    terminal.print_table(
        terminal.Table(["measure", "before", "after"], rows, right=["before", "after"])
    )
    if reduction.threshold is not None:
        terminal.say(f"threshold: {reduction.threshold!r}")
    if on and reduction.after.vocabulary_size < reduction.before.vocabulary_size:
        terminal.say(
            "note: the perplexities are not comparable: words removed from the vocabulary are "
            "now predicted as <unk>"
        )
    if not on:
        terminal.say("to measure perplexity before and after, add --on TEXT")
    terminal.say(f"the smaller model is saved in {reduction.folder}")


def _cells(size: "ModelSize") -> dict[str, str]:
    """Return a column of the table: counts, and perplexities where a text is named."""
    counts = {f"{order}-grams": count for order, count in enumerate(size.ngrams, start=1)}
    counts["n-grams"] = sum(size.ngrams)
    counts |= {"vocabulary": size.vocabulary_size, "bytes": size.bytes}
    cells = {name: terminal.amount(count) for name, count in counts.items()}
    if size.evaluation:
        for name in ("ppl_token", "ppl_token_no_oov"):
            metric = size.evaluation.metric(name)
            cells[name] = "-" if metric is None else metric.shown(4)
        cells["oov_words"] = terminal.amount(size.evaluation.oov_words)
    return cells
