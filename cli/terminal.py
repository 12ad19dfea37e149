"""What people see: messages on stderr, tables on stdout. Text from outside is shown literally,
control characters escaped; but a piped table is TSV (:mod:`rnnlm.files.tables`), in which tabs and
line ends stay what they are, in quoted cells."""

import contextlib
import json
import re
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any, cast

import click

from rnnlm.errors import CONTROL, RnnlmWarning, number, visible

NARROW_COLUMNS = 50
GAP = 3  # characters between the columns of a table
PROGRESS_SECONDS, MOST_PROGRESS_SECONDS = 5.0, 30.0  # between lines: at first, and of long work
SILENT_SECONDS = 60.0
_FIGURES = re.compile(r"\d+[smh]\b|[\d.,\s]+")
_OF = re.compile(r"([\d,]+) of ([\d,]+)")


def say(message: str) -> None:
    """One line for people, on stderr. Where it cannot be shown (a terminal that is gone, a full
    disk), work goes on."""
    with contextlib.suppress(OSError):
        click.echo(visible(message), err=True)


def say_signatures(signatures: dict[str, Any]) -> None:
    """What each model's figures were measured on, and how: a line each, which names the model where
    there are several."""
    for name, signature in signatures.items():
        say(
            f"signature of {name}: {signature}"
            if len(signatures) > 1
            else f"signature: {signature}"
        )


def unfailing(stream: IO[str]) -> IO[str]:
    """A stream that takes what it can: what is drawn on a terminal that is gone is lost, and
    nothing else."""
    return cast(IO[str], _Unfailing(stream))


class _Unfailing:
    """The rest of :class:`typing.IO` is that of the stream."""

    def __init__(self, stream: IO[str]) -> None:
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
    """Says how far the work is, now and then, and how far each part of it has come in the end;
    nothing of what is done soon. Without a terminal, where that is silent for a minute, a line says
    that the work goes on, until the command ends or the progress is closed.

    Messages of one part differ in figures alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = self.last_line = clock()
        self.message = self.part = ""
        # whether the last message was said, and one of its part
        self.is_said = self.is_part_known = False
        self.closed = threading.Event()
        if context := click.get_current_context(silent=True):
            context.call_on_close(self.close)
            # None: the process was started with it closed
            if sys.stderr is not None and not sys.stderr.isatty():
                threading.Thread(target=self._go_on_saying, daemon=True).start()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __call__(self, message: str) -> None:
        if (part := _FIGURES.sub("", message)) != self.part:
            self._end_part()
            self.part, self.is_part_known = part, False
        self.message, self.is_said = message, False
        wait = min(
            PROGRESS_SECONDS * max(1.0, (self.clock() - self.began) / 50), MOST_PROGRESS_SECONDS
        )
        if self.clock() - self.last_line >= wait or (self.is_part_known and _is_complete(message)):
            self.say(message)
            self.is_said = self.is_part_known = True

    def say(self, line: str) -> None:
        """A line that is said in any case."""
        say(line)
        self.last_line = self.clock()

    def say_if_silent(self) -> None:
        """That the work goes on, where nothing was said for a minute."""
        if self.clock() - self.last_line >= SILENT_SECONDS:
            self.say(
                f"still working after {duration(self.clock() - self.began)}"
                + (f"; {self.message}" if self.message else "")
            )

    def close(self) -> None:
        self._end_part()
        self.part, self.is_part_known = "", False
        self.closed.set()

    def _end_part(self) -> None:
        if self.is_part_known and not self.is_said:
            self.say(self.message)

    def _go_on_saying(self) -> None:
        while not self.closed.wait(
            max(SILENT_SECONDS / 60, SILENT_SECONDS - (self.clock() - self.last_line))
        ):
            self.say_if_silent()


class Estimate:
    """Passes messages such as "1,479 of 2,958 tokens scored" on to `progress`, with how long the
    rest may take. The time of a part counts from its first message."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.part = ""
        self.began = self.done_before = 0.0

    def __call__(self, message: str) -> None:
        counts = [int(each.replace(",", "")) for each in next(iter(_OF.findall(message)), ())]
        if len(counts) != 2 or not counts[1]:
            self.progress(message)
            return
        done, wanted = counts
        if (part := _FIGURES.sub("", message)) != self.part:
            self.part, self.began, self.done_before = part, self.progress.clock(), done
        rate = (done - self.done_before) / max(1e-9, self.progress.clock() - self.began)
        left = f", {duration((wanted - done) / rate)} left" if rate and done < wanted else ""
        self.progress(message + left)


def _is_complete(message: str) -> bool:
    """Whether it ends in all of all: 1,479 of 1,479 segments."""
    counts = _OF.findall(message)
    return bool(counts) and counts[-1][0] == counts[-1][1]


def show_error(what: str, why: str = "", hint: str = "") -> None:
    """An error: one line each for what, why, and the way out."""
    say(f"error: {what}")
    if why:
        say(f"  why: {why}")
    if hint:
        say(f"  try: {hint}")


def show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Notices of the library as one line; warnings of other libraries are their developers'
    matter."""
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
    """A row of TSV. Programs read back its tabs and line ends; other control characters are written
    out, as it may end on a terminal."""
    from rnnlm.files import tables  # reads settings files, too: --help does without its imports

    return tables.line(visible(cell, kept="\t\n") for cell in cells)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    *,
    gap: int | None = None,
    break_at: str = "\n",
) -> None:
    """A table on a terminal (columns in `right` are right-aligned, `gap` spaces apart and without
    edges; one cell a line where it is narrow), TSV elsewhere. break_at: where the name of a column
    may have a line end on a terminal."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            click.echo(tsv_line(row), nl=False)
        return
    columns, right = [visible(column) for column in columns], [visible(column) for column in right]
    shown = [[visible(cell) for cell in row] for row in rows]
    from rich.console import Console

    console = Console()
    if console.width >= NARROW_COLUMNS:
        console.print(_rich_table(columns, shown, right, gap, break_at))
        return
    for row in shown:
        click.echo(
            "\n".join(
                f"{column}: {cell}".strip() for column, cell in zip(columns, row, strict=True)
            )
            + "\n"
        )


def print_blocks(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]
) -> None:
    """As :func:`print_table`; where a terminal has no room for all columns, they stand in tables
    below each other, each of which begins with the columns of text that the whole one begins with.
    Numbers and the words of headings are never cut."""
    from rich.console import Console

    console = Console()
    if not sys.stdout.isatty() or console.width < NARROW_COLUMNS:
        print_table(columns, rows, right)
        return
    heads, shown = (
        [visible(column) for column in columns],
        [[visible(cell) for cell in row] for row in rows],
    )
    least = [
        max(map(len, (*head.split(), *(row[place] for row in shown))), default=0)
        for place, head in enumerate(heads)
    ]
    for block in _blocks(
        least,
        next((place for place, head in enumerate(columns) if head in right), len(columns)),
        console.width,
    ):
        spare = (console.width - sum(least[place] + GAP for place in block)) // len(block)
        named = [
            textwrap.fill(heads[place], least[place] + max(0, spare), break_on_hyphens=False)
            for place in block
        ]
        numeric = [
            name for name, place in zip(named, block, strict=True) if columns[place] in right
        ]
        console.print(
            _rich_table(
                named, [[row[place] for place in block] for row in shown], numeric, None, "\n"
            )
        )


def _blocks(widths: Sequence[int], keys: int, room: int) -> list[list[int]]:
    """The places of columns of such widths in tables of `room` characters, the first `keys` in
    each."""
    blocks = [list(range(keys))]
    for place in range(keys, len(widths)):
        if (
            len(blocks[-1]) > keys
            and sum(widths[each] + GAP for each in (*blocks[-1], place)) > room
        ):
            blocks.append(list(range(keys)))
        blocks[-1].append(place)
    return blocks


def print_records(records: Sequence[dict[str, str]], left: Sequence[str]) -> None:
    """A table of records that all have the same columns, right-aligned but for those in `left`."""
    columns = list(records[0])
    print_table(
        columns,
        [list(record.values()) for record in records],
        right=[name for name in columns if name not in left],
    )


def _rich_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    gap: int | None,
    break_at: str,
) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    # beside the space that stands for a line between columns
    padding = (0, 1) if gap is None else (0, gap - 1, 0, 0)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=padding, show_edge=gap is None)
    for column in columns:
        table.add_column(
            Text(column.replace(break_at, "\n", 1)),
            justify="right" if column in right else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def cell(value: object, fractions: int | str = 2, whole: str = ",") -> str:
    """A value of any type in a table: fractions with so many digits or in such a format, whole
    numbers in the format `whole`, a dash for none."""
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
