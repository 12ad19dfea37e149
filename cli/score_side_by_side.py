"""What `rnnlm score` prints of several models: records with the figures of each, and tables with their columns beside each other."""

from collections.abc import Callable
from typing import Any

import click

from rnnlm.errors import TextError

from . import score_table, score_text, terminal
from .side_by_side import Cell, own, print_columns, shared

Scores = dict[str, Any]  # of one sentence, by model
_ONCE = ("id", "text")  # of a record, what is about the sentence and not about a model


def jsonl(settings: Any) -> tuple[str, Callable[[Scores], str]]:
    """What stands before all records (nothing), and what makes the text of one."""
    return "", lambda scores: terminal.json_text(record(scores, settings)) + "\n"


def record(scores: Scores, settings: Any) -> dict[str, Any]:
    """A sentence in JSON's types: what it is, and under `models` its scores by the model's name."""
    records = {name: score_text.record(score, settings) for name, score in scores.items()}
    sentence = next(iter(records.values()))
    of_model = {name: {key: value for key, value in each.items() if key not in _ONCE} for name, each in records.items()}
    return {key: sentence[key] for key in _ONCE} | {"models": of_model}


def show(scores: list[Scores], settings: Any, unit: str, with_ids: bool) -> None:
    """Print the scores, ranked by the first model: its log-probability as a whole, by word or by token."""
    if not scores:
        raise TextError("nothing to score", "the input has no line", "give sentences, or --input FILE")
    ranked = sorted(scores, key=lambda each: _rank(_first(each), unit, settings.eos), reverse=True)
    by_model = {name: [each[name] for each in ranked] for name in ranked[0]}
    columns = {"id": [str(_first(each).id) for each in ranked]} if with_ids else {}
    columns |= shared({"words": lambda score: str(score.words) if score.is_read else "-"}, by_model)
    columns |= own(_figures(unit, settings.eos), by_model) | {"sentence": [_first(each).text for each in ranked]}
    unknown: dict[str, Cell] = {"unknown words": lambda score: ", ".join(score.oov), "no score because": lambda score: score.reason or ""}
    print_columns(columns | shared(unknown, by_model), left=("id", "sentence", *unknown))
    for each in ranked:
        _show_surprisals(each, settings)
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


def _show_surprisals(scores: Scores, settings: Any) -> None:
    for unit, of in (("token", "token_scores"), ("word", "word_scores")):
        by_model = {name: getattr(score, of) for name, score in scores.items()}
        items = next(iter(by_model.values()))
        if not items:
            continue
        columns = {unit: [getattr(item, unit) for item in items]}
        columns |= own({"surprisal_bits": lambda item: terminal.number(item.surprisal_bits)}, by_model)
        columns |= shared({"unknown": lambda item: "unknown" if item.is_oov else ""}, by_model)
        if unit == "word" and settings.next_words:
            columns |= own({"likeliest here": score_table.words_there}, {name: score.next_words for name, score in scores.items()})
        click.echo()
        print_columns(columns, left=(unit, "unknown", "likeliest"))
