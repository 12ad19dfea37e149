"""What people see: messages on stderr, tables on stdout. Text from outside is shown literally, control characters escaped; but a piped
table is TSV (:mod:`rnnlm.files.tsv`), in which tabs and line ends stay what they are, in quoted cells."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from rnnlm.errors import CONTROL, RnnlmWarning, visible
from rnnlm.files import tsv

NARROW_COLUMNS = 50
HUGE = 1e9  # figures from there on are written with an exponent
PROGRESS_SECONDS = 5.0


def say(message: str) -> None:
    """One line for people, on stderr. Where it cannot be shown (a terminal that is gone, a full disk), work goes on."""
    with contextlib.suppress(OSError):
        click.echo(visible(message), err=True)


def say_signatures(signatures: dict[str, Any]) -> None:
    """What each model's figures were measured on, and how: a line each, which names the model where there are several."""
    for name, signature in signatures.items():
        say(f"signature of {name}: {signature}" if len(signatures) > 1 else f"signature: {signature}")


class Unfailing:
    """A stream that takes what it can: what is drawn on a terminal that is gone is lost, and nothing else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class Progress:
    """Says how far the work is, now and then; nothing where it is done soon."""

    def __init__(self) -> None:
        self.last_line = time.monotonic()

    def __call__(self, message: str) -> None:
        if time.monotonic() - self.last_line >= PROGRESS_SECONDS:
            say(message)
            self.last_line = time.monotonic()


def show_error(what: str, why: str = "", hint: str = "") -> None:
    """An error: one line each for what, why, and the way out."""
    say(f"error: {what}")
    if why:
        say(f"  why: {why}")
    if hint:
        say(f"  try: {hint}")


def show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Notices of the library as one line; warnings of other libraries are their developers' matter."""
    if issubclass(category, RnnlmWarning):
        say(f"note: {message}")


def print_json(*values: Any) -> None:
    """One line of JSON for each value, on stdout."""
    for value in values:
        click.echo(json_text(value))


def json_text(value: Any) -> str:
    """One line of JSON; never NaN or Infinity, nor a control character as it is."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def tsv_line(cells: Iterable[str]) -> str:
    """A row of TSV. Programs read back its tabs and line ends; other control characters are written out, as it may end on a terminal."""
    return tsv.line(visible(cell, kept="\t\n") for cell in cells)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), break_at: str = "\n") -> None:
    """A table on a terminal (columns in `right` are right-aligned; one cell a line where it is narrow), TSV elsewhere. break_at: where the
    name of a column may have a line end on a terminal."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            click.echo(tsv_line(row), nl=False)
        return
    columns, right = [visible(column) for column in columns], [visible(column) for column in right]
    shown = [[visible(cell) for cell in row] for row in rows]
    from rich.console import Console

    console = Console()
    if console.width >= NARROW_COLUMNS:
        console.print(_rich_table(columns, shown, right, break_at))
        return
    for row in shown:
        click.echo("\n".join(f"{column}: {cell}".strip() for column, cell in zip(columns, row, strict=True)) + "\n")


def print_records(records: Sequence[dict[str, str]], left: Sequence[str]) -> None:
    """A table of records that all have the same columns, right-aligned but for those in `left`."""
    columns = list(records[0])
    print_table(columns, [list(record.values()) for record in records], right=[name for name in columns if name not in left])


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], break_at: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column.replace(break_at, "\n", 1)), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def number(value: float | None, digits: int = 2) -> str:
    """A figure for people; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,.{digits}f}" if abs(value) < HUGE else f"{value:.4g}"


def cell(value: Any, fractions: int | str = 2, whole: str = ",") -> str:
    """A value of any type in a table: fractions with so many digits or in such a format, whole numbers in the format
    `whole`, a dash for none."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return number(value, fractions) if isinstance(fractions, int) else format(value, fractions)
    if isinstance(value, int) and not isinstance(value, bool):
        return format(value, whole)
    return "-" if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds as 45s, 3m 05s, 2h 10m."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"
