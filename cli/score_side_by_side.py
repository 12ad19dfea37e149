"""Scores of several models as tables for people: the columns of each model beside those of the others."""

from collections.abc import Sequence
from typing import Any

import click

from rnnlm.errors import TextError
from rnnlm.files.tables import cell_text
from rnnlm.scoring.rows import MEASURES

from . import score_table, terminal
from .side_by_side import Cell, own, print_columns, shared

Scores = dict[str, Any]  # of one sentence, by model


def show_side_by_side(scores: list[Scores], settings: Any, unit: str, with_ids: bool, carried: Sequence[str]) -> None:
    """Print the scores, ranked by the first model: its log-probability as a whole, by word or by token. carried: columns of the input."""
    if not scores:
        raise TextError("nothing to score", "the input has no line", "give sentences, or --input FILE")
    ranked = sorted(scores, key=lambda each: _rank(_first(each), unit, settings.eos), reverse=True)
    by_model = {name: [each[name] for each in ranked] for name in ranked[0]}
    columns = {"id": [str(_first(each).id) for each in ranked]} if with_ids else {}
    columns |= {name: [cell_text(_first(each).columns.get(name)) for each in ranked] for name in carried}
    columns |= shared({"words": lambda score: str(score.words) if score.is_read else "-"}, by_model)
    columns |= own(_figures(unit, settings.eos), by_model) | {"sentence": [_first(each).text for each in ranked]}
    unknown: dict[str, Cell] = {"unknown words": lambda score: ", ".join(score.oov), "no score because": lambda score: score.reason or ""}
    print_columns(columns | shared(unknown, by_model), left=("id", *carried, "sentence", *unknown))
    for each in ranked:
        _show_surprisals_side_by_side(each, settings)
    if len(ranked) == 2 and unit == "logprob":
        for name, its in by_model.items():
            if said := score_table.odds(*sorted(its, key=lambda score: _rank(score, unit, settings.eos), reverse=True), settings.eos):
                click.echo(f"{name}: {said}")


def _first(scores: Scores) -> Any:
    return next(iter(scores.values()))


def _rank(score: Any, unit: Any, eos: bool) -> float:
    return score_table.rank(score.logprob_by(unit, eos))


def _figures(unit: str, eos: bool) -> dict[str, Cell]:
    per = {} if unit == "logprob" else {f"logprob_per_{unit}": lambda score: terminal.number(score.logprob_by(unit, eos), 4)}
    return per | {
        "logprob_nats": lambda score: terminal.number(score.logprob_nats), "ppl_word": lambda score: terminal.number(score.ppl_word),
    }  # fmt: skip


def _show_surprisals_side_by_side(scores: Scores, settings: Any) -> None:
    measures = [column for name, column in MEASURES.items() if name in settings.measures]
    for unit, of, figures in (("token", "token_scores", []), ("word", "word_scores", measures)):
        by_model = _beside({name: getattr(score, of) for name, score in scores.items()}, unit)
        items = [next(filter(None, each)) for each in zip(*by_model.values(), strict=True)]
        if not items:
            continue
        columns = {unit: [getattr(item, unit) for item in items]} | own(_numbers("surprisal_bits", *figures), by_model)
        columns |= shared({"unknown": lambda item: "unknown" if item and item.is_oov else ""}, by_model)
        if unit == "word" and settings.next_words:
            there = {name: dict(zip(score.word_scores, score.next_words, strict=True)) for name, score in scores.items()}
            likeliest = {name: [there[name].get(word, ()) for word in its] for name, its in by_model.items()}
            columns |= own({"likeliest here": score_table.words_there}, likeliest)
        click.echo()
        print_columns(columns, left=(unit, "unknown", "likeliest"))
    if _first(scores).region_scores:
        _show_regions_side_by_side({name: score.region_scores for name, score in scores.items()})


def _beside(by_model: dict[str, Any], unit: str) -> dict[str, list[Any]]:
    """The tokens or words of each model, in the order of the text; None for a word that it does not have: one that removes marks has
    fewer words, which end elsewhere. Tokens are the same for all."""
    if unit == "token":
        return by_model
    placed = {name: {(item.start, item.end, item.index): item for item in its} for name, its in by_model.items()}
    places = sorted(set().union(*placed.values()))
    return {name: [its.get(place) for place in places] for name, its in placed.items()}


def _show_regions_side_by_side(by_model: dict[str, Any]) -> None:
    regions = next(iter(by_model.values()))
    columns = {
        "region": [region.name or str(region.index) for region in regions], "text": [region.text for region in regions],
        "words": [str(region.words) for region in regions],
    }  # fmt: skip
    columns |= own(_numbers("surprisal_bits", "next_surprisal_bits"), by_model)
    columns |= shared({"unknown words": lambda region: "unknown words" if region.is_oov else ""}, by_model)
    click.echo()
    print_columns(columns, left=("region", "text", "unknown"))


def _numbers(*names: str) -> dict[str, Cell]:
    """The columns of figures that have the names of what holds them."""
    return {name: lambda item, name=name: terminal.number(item and getattr(item, name)) for name in names}
