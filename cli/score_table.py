"""Scores as tables for people: the likeliest first; surprisals; of two sentences the odds in words."""

import math
from collections.abc import Sequence
from typing import Any

import click

from rnnlm.errors import TextError
from rnnlm.files.tables import cell_text
from rnnlm.scoring.rows import MEASURES

from . import terminal


def show_table(scores: list[Any], settings: Any, unit: str, with_ids: bool, carried: Sequence[str]) -> None:
    """Print the scores, ranked by their log-probability as a whole, by word or by token. carried: columns of the input."""
    if not scores:
        raise TextError("nothing to score", "the input has no line", "give sentences, or --input FILE")
    ranked = sorted(scores, key=lambda score: rank(score.logprob_by(unit, settings.eos)), reverse=True)
    cells = [{name: cell_text(score.columns.get(name)) for name in carried} | _cells(score, unit, settings.eos) for score in ranked]
    shown = ["logprob_nats", "words", "ppl_word", "sentence"]
    if unit != "logprob":
        shown.insert(0, f"logprob_per_{unit}")
    if with_ids:
        shown.insert(0, "id")
    shown = [*(name for name in carried if name not in shown), *shown]
    shown += [name for name in ("unknown words", "no score because") if any(row[name] for row in cells)]
    terminal.print_table(shown, [[row[name] for name in shown] for row in cells], right=[name for name in shown if name in _FIGURES])
    for score in ranked:
        _show_surprisals(score, settings)
    if len(ranked) == 2 and unit == "logprob" and (said := odds(*ranked, settings.eos)):
        click.echo(said)


_FIGURES = ("logprob_nats", "logprob_per_word", "logprob_per_token", "words", "ppl_word")


def _cells(score: Any, unit: str, eos: bool) -> dict[str, str]:
    return {
        "id": str(score.id), f"logprob_per_{unit}": terminal.number(score.logprob_by(unit, eos), 4),
        "logprob_nats": terminal.number(score.logprob_nats), "words": str(score.words) if score.is_read else "-",
        "ppl_word": terminal.number(score.ppl_word), "sentence": score.text, "unknown words": ", ".join(score.oov),
        "no score because": score.reason or "",
    }  # fmt: skip


def rank(logprob_nats: float | None) -> float:
    """What a sentence is ranked by: last where it has no score."""
    return -math.inf if logprob_nats is None else logprob_nats


def _show_surprisals(score: Any, settings: Any) -> None:
    measures = [column for name, column in MEASURES.items() if name in settings.measures]
    for unit, items, more in (("token", score.token_scores, []), ("word", score.word_scores, measures)):
        if not items:
            continue
        columns = [unit, "surprisal_bits", *more, ""]
        rows = [_item(item, unit, more) for item in items]
        if unit == "word" and settings.next_words:
            columns.append("likeliest here")
            for row, likeliest in zip(rows, score.next_words, strict=True):
                row.append(words_there(likeliest))
        click.echo()
        terminal.print_table(columns, rows, right=["surprisal_bits", *more])
    if score.region_scores:
        _show_regions(score.region_scores)


def _item(item: Any, unit: str, measures: list[str]) -> list[str]:
    figures = [terminal.number(getattr(item, name)) for name in ("surprisal_bits", *measures)]
    return [getattr(item, unit), *figures, "unknown" if item.is_oov else ""]


def _show_regions(regions: Any) -> None:
    rows = [
        [region.name or str(region.index), region.text, str(region.words), terminal.number(region.surprisal_bits),
         terminal.number(region.next_surprisal_bits), "unknown words" if region.is_oov else ""]
        for region in regions
    ]  # fmt: skip
    click.echo()
    right = ["words", "surprisal_bits", "next_surprisal_bits"]
    terminal.print_table(["region", "text", *right, ""], rows, right)


def words_there(likeliest: Sequence[Any]) -> str:
    """The likeliest words at one place, with their probabilities."""
    return ", ".join(f"{each.word} {each.probability:.2g}" for each in likeliest)


def odds(better: Any, worse: Any, eos: bool) -> str | None:
    """How many times likelier the first of two sentences is, in total and per word; None where one has no score, or another source."""
    from rnnlm.scoring.records import likelihood_ratio

    ratio = likelihood_ratio(better, worse, eos) if better.source == worse.source else None
    if ratio is None:
        return None
    total, per_word = ratio
    if total == 0:
        return "Both are equally likely."
    text = f'"{terminal.visible(better.text)}" is {times(total)} likelier'
    direction = f"{times(per_word)} likelier" if per_word >= 0 else f"{times(-per_word)} less likely"
    return f"{text} in total; per word, {direction}."


def times(log10: float) -> str:
    """A ratio in words: "about 3.2 times", "about 10^6 times"."""
    if log10 < math.log10(1.05):
        return "hardly (less than 1.05 times)"
    if log10 < 2:
        return f"about {10**log10:.2g} times"
    if log10 < 4:
        return f"about {round(10**log10, -1):,.0f} times"
    return f"about 10^{round(log10)} times"
