"""Encoder-decoders side by side: figures with intervals, and the differences of each pair."""

from typing import Any

import click

from rnnlm.events import OF_100

from . import terminal
from .label_differences import interval
from .translation_figures import WRITTEN


def show_translation_differences(result: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.seq2seq.evaluation.comparison.PairComparison`, each with its interval; differences, of shares in
    points; the signatures last."""
    names = [model.name for model in result.models]
    has_oov = any(model.evaluation.references.oov_words for model in result.models)
    keys = list(dict.fromkeys(key for model in result.models for key in model.intervals if has_oov or not key.endswith("_no_oov")))
    rows = [[key, *(interval(model.intervals.get(key), _form(key), scale=_scale(key)) for model in result.models)] for key in keys]
    terminal.print_table(["measure", *names], rows, right=names)
    for refused in result.refused:
        terminal.say(f"{refused.figure} is not compared: {refused.why}")
    click.echo()
    terminal.print_table(["difference", "measure", "by", "p"], list(_differences(result)), right=["by", "p"])
    click.echo()
    for model in result.models:
        name, evaluation = terminal.visible(model.name), model.evaluation.to_dict()
        click.echo(f"signature of {name}: {evaluation['signature']}")
        for figure in ("bleu", "chrf") if "signatures" in evaluation else ():
            click.echo(f"signature of {name}, {figure}: {evaluation['signatures'][figure]}")


def _differences(result: Any) -> Any:
    for each in result.differences:
        name = f"{each.second} - {each.first}"
        if each.perplexity is not None:
            of_all, p = each.perplexity, terminal.cell(each.perplexity.p, ".4f")
            yield [name, f"bits per {result.per}", interval(of_all.difference_bits, "+.4f"), p]
            yield [name, "perplexity, in %", interval(of_all.ppl_ratio, "+.1f", shift=1, scale=100), p]
        for key in WRITTEN:
            if key in each.figures:
                found = each.figures[key]
                yield [name, key, interval(found.interval, "+.2f", scale=_scale(key)), f"{found.p:.4f}"]


def _form(key: str) -> str:
    return ".4f" if key.startswith("bits") else ".2f"


def _scale(key: str) -> float:
    return 100.0 if key in WRITTEN and key not in OF_100 else 1.0
