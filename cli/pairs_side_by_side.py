"""What `rnnlm score --pairs` prints of several models: their accuracies side by side, and how each differs from the first."""

from dataclasses import asdict
from typing import Any

import click

from . import terminal
from .pairs import interval, share, unknown_share
from .side_by_side import Cell, own, print_columns, shared

_SHARED: dict[str, Cell] = {
    "pairs": lambda each: f"{each.pairs:,}", "ties": lambda each: f"{each.ties:,}",
    "with unknown words": lambda each: share(unknown_share(each)),
}  # fmt: skip
_OWN: dict[str, Cell] = {"accuracy": lambda each: share(each.accuracy), "95 % interval": interval}
_WITHOUT: dict[str, Cell] = {"accuracy without": lambda each: share(each.known_accuracy)}


def print_records(scores: dict[str, list[Any]], accuracies: dict[str, list[Any]]) -> None:
    """A line of JSON for each group: what each model gets, and how each differs from the first."""
    differences = _differences(scores)
    for number, group in enumerate(zip(*accuracies.values(), strict=True)):
        of_model = {name: _without_group(each) for name, each in zip(scores, group, strict=True)}
        differing = [{"first": first, "second": other, **_without_group(its[number])} for (first, other), its in differences.items()]
        terminal.print_json({"by": group[0].by, "group": group[0].group, "models": of_model, "differences": differing})


def print_tables(scores: dict[str, list[Any]], accuracies: dict[str, list[Any]]) -> None:
    """A row for each group with the columns of each model; a row for each group and model less the first."""
    has_unknown = any(each.oov_pairs for its in accuracies.values() for each in its)
    groups = next(iter(accuracies.values()))
    columns = {"by": [each.by for each in groups], "group": [str(each.group) for each in groups]}
    columns |= shared(_SHARED, accuracies) | own(_OWN | (_WITHOUT if has_unknown else {}), accuracies)
    print_columns(columns, left=("by", "group"))
    click.echo()
    _print_differences(scores)


def _print_differences(scores: dict[str, list[Any]]) -> None:
    columns = ["difference", "by", "group", "pairs", "accuracy", "95 % interval", "p"]
    rows = []
    for (first, second), its in _differences(scores).items():
        for each in its:
            bounds = "-" if each.low is None else f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
            figures = [f"{each.pairs:,}", terminal.cell(each.difference, "+.1%"), bounds, terminal.cell(each.p, ".4f")]
            rows.append([f"{second} - {first}", each.by, str(each.group), *figures])
    terminal.print_table(columns, rows, right=columns[3:])


def _differences(scores: dict[str, list[Any]]) -> dict[tuple[str, str], list[Any]]:
    """By the names of two models, how the second differs from the first, group by group."""
    from rnnlm.scoring.pairs.accuracy import accuracy_differences

    first, *others = scores
    return {(first, other): accuracy_differences(scores[first], scores[other]) for other in others}


def _without_group(figures: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(figures).items() if name not in ("by", "group")}
