"""Translated lines as they are printed: lines alone, rows of a table, or JSON."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from . import terminal

DIGITS = 4


def as_lines(found: Iterable[Any]) -> Iterator[str]:
    """The best line for each source."""
    return (f"{each.text}\n" for each in found)


def translation_as_json(found: Iterable[Any]) -> Iterator[str]:
    """All that is known of each source's lines."""
    return (terminal.json_text(each.to_dict()) + "\n" for each in found)


def as_rows(found: Iterable[Any], is_drawn: bool) -> Iterator[str]:
    """A row of TSV for each of several lines of a source, below a header."""
    yield terminal.tsv_line(_columns(is_drawn))
    for each in found:
        yield "".join(map(terminal.tsv_line, _rows(each, is_drawn)))


def show(found: Sequence[Any], is_drawn: bool) -> None:
    """Print the rows of :func:`as_rows` as a table; of a single source they have no number."""
    first = 0 if len(found) > 1 else 1
    columns = _columns(is_drawn)[first:]
    terminal.print_table(columns, [row[first:] for each in found for row in _rows(each, is_drawn)], right=columns[:-1])


def _columns(is_drawn: bool) -> list[str]:
    return ["line", "sample", "logprob_nats", "text"] if is_drawn else ["line", "rank", "logprob_nats", "score", "text"]


def _rows(line: Any, is_drawn: bool) -> list[list[str]]:
    rows = []
    for number, each in enumerate(line.hypotheses, start=1):
        figures = [each.logprob_nats] if is_drawn else [each.logprob_nats, each.score]
        rows.append([str(line.number), str(number), *(f"{figure:.{DIGITS}f}" for figure in figures), each.text])
    return rows
