"""What `rnnlm rescore` prints."""

import dataclasses
from typing import Any

from . import terminal

_COLUMNS = ["", "WER %", "95 % interval", "substitutions", "deletions", "insertions", "words", "gain", "p"]


def print_tables(stages: list[Any], rescored: Any, weights: Any) -> None:
    """Word-error rates, then weights, for people."""
    if rescored.rates:
        rates = rescored.rates
        results = [("with " + " + ".join(stage.models), stage.rescored.rates.rescored, stage.gain) for stage in stages]
        results = results or [("rescored", rates.rescored, rates.gain)]
        rows = [_row(*each) for each in [("1-best", rates.first, None), *results, ("oracle", rates.oracle, None)]]
        terminal.print_table(_COLUMNS, rows, right=_COLUMNS[1:])
    else:
        terminal.say("no references: the list is rescored, errors are not counted")
    if weights:
        rows = [["first pass", "1"], *([name, f"{value:.4f}"] for name, value in weights.weights.items())]
        terminal.print_table(["feature", "weight"], rows, right=["weight"])
        if weights.tuned and stages:
            tuned = weights.tuned
            before, after = (f"{errors / max(1, tuned.words):.2%}" for errors in (tuned.errors_before, tuned.errors_after))
            terminal.say(f"tuned on {tuned.utterances:,} utterances, {tuned.words:,} words: WER {before} before, {after} after")


def print_record(stages: list[Any], rescored: Any, weights: Any) -> None:
    """The same as one object."""
    rates = rescored.rates
    terminal.print_json({
        "utterances": len(rescored.utterances),
        **{name: _rate(getattr(rates, name)) if rates else None for name in ("first", "rescored", "oracle")},
        "gain": dataclasses.asdict(rates.gain) if rates else None,
        "stages": [
            {
                "models": stage.models, "rescored": _rate(stage.rescored.rates.rescored) if stage.rescored.rates else None,
                "gain": dataclasses.asdict(stage.gain) if stage.gain else None, "weights": stage.weights.weights,
            }
            for stage in stages
        ],
        "weights": dataclasses.asdict(weights) if weights else None,
    })  # fmt: skip


def _rate(rate: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(rate), "errors": rate.errors}


def _row(name: str, rate: Any, gain: Any) -> list[str]:
    interval = f"{100 * rate.interval.low:.2f} to {100 * rate.interval.high:.2f}" if rate.interval else "-"
    counts = [f"{count:,}" for count in (rate.substitutions, rate.deletions, rate.insertions, rate.words)]
    gained = [terminal.number(100 * gain.interval.estimate if gain.interval else None), f"{gain.p_value:.4f}"] if gain else ["", ""]
    return [name, terminal.number(100 * rate.wer), interval, *counts, *gained]
