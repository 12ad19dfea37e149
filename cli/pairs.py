"""What `rnnlm score --pairs` reads and prints."""

from pathlib import Path
from typing import Any

from . import terminal


def show_pairs(model: Any, lines: list[str], path: Path, special_symbols: str, as_json: bool) -> None:
    """Score the pairs of a file and print their accuracies."""
    from dataclasses import asdict

    from rnnlm.minimal_pairs import pair_accuracies, score_pairs

    accuracies = pair_accuracies(score_pairs(model, _read_pairs(lines, path), special_symbols))
    if as_json:
        for accuracy in accuracies:
            terminal.print_json(asdict(accuracy))
        return
    columns = ["kind", "pairs", "accuracy", "all words known", "accuracy there"]
    rows = [
        [a.kind, str(a.pairs), f"{a.accuracy:.1%}", str(a.known_pairs), "-" if a.known_accuracy is None else f"{a.known_accuracy:.1%}"]
        for a in accuracies
    ]
    terminal.print_table(columns, rows, right=columns[1:])


def _read_pairs(lines: list[str], path: Path) -> list[Any]:
    """The pairs of a TSV file with a header, from its lines.

    Raises:
        TextError: it cannot be read, lacks a column, or a row is incomplete.
    """
    import csv

    from rnnlm.errors import TextError
    from rnnlm.minimal_pairs import Pair

    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    for column in ("good", "bad"):
        if column not in (rows.fieldnames or ()):
            raise TextError(f"{path} has no column {column!r}", "its first line names the columns", "name them good, bad and kind")
    pairs = []
    for row in rows:
        if not row["good"] or not row["bad"]:
            raise TextError(f"{path}, line {rows.line_num}: good or bad is missing")
        pairs.append(Pair(row.get("kind") or "pairs", row["good"], row["bad"]))
    if not pairs:
        raise TextError(f"{path} holds no pairs")
    return pairs
