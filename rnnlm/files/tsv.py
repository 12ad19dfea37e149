"""Tab-separated values, written and read in one way by everything that holds them.

Written by RFC 4180: a cell with a quotation mark, a tab or a line end stands in quotation marks, its own doubled, so that the defaults of
Python's csv, of pandas and of R's read.delim read back what was written. Read with care for text that nobody quoted: a cell is unquoted
only if it begins and ends with a quotation mark and each one inside is doubled; every other quotation mark is a character.
"""

import csv
import re
from collections.abc import Iterable, Iterator

LARGEST_CELL = 1 << 26  # characters
READ_AHEAD = 1 << 20  # characters of the lines in which the end of a quoted cell is looked for
_QUOTED = re.compile('"(?:[^"]|"")*+"')


def line(cells: Iterable[str]) -> str:
    """A row, with its line end."""
    return "\t".join(map(quoted, cells)) + "\n"


def quoted(cell: str) -> str:
    """`cell` as it is written."""
    needs_it = '"' in cell or "\t" in cell or "\n" in cell or "\r" in cell
    return '"' + cell.replace('"', '""') + '"' if needs_it else cell


def unquoted(cell: str) -> str:
    """What was written as `cell`."""
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


def tsv_rows(lines: Iterable[str], columns: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of `lines`, each with the number of its first line, from 1; empty lines are none. columns: how many cells a row has;
    None: as many as the first one.

    A quoted cell may hold tabs and line ends. But lines that each have as many cells as there are columns are rows of their own, and a
    quotation mark that is open at the end of one is a character: sentences of one speech follow each other like that.
    """
    csv.field_size_limit(LARGEST_CELL)
    stream, number = _Lines(lines), 1
    for first in stream:
        taken, cells = 1, _split(first)
        if '"' in first:
            taken, cells = _spanning(first, stream, columns) or (1, [unquoted(cell) for cell in cells])
        if first.strip("\r\n"):
            columns = columns or len(cells)
            yield number, cells
        number += taken


class _Lines:
    """Lines that can be given back, to be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._again.pop() if self._again else next(self._lines)

    def give_back(self, lines: list[str]) -> None:
        self._again.extend(reversed(lines))


def _split(line: str) -> list[str]:
    return line.removesuffix("\n").removesuffix("\r").split("\t")


def _spanning(first: str, stream: _Lines, columns: int | None) -> tuple[int, list[str]] | None:
    """How many lines the row takes that begins with `first`, and its cells, where one of them holds a tab or a line end; else None."""
    if columns is None or not any(cell.startswith('"') and not _QUOTED.fullmatch(cell) for cell in _split(first)):
        return None
    taken = [first]

    def following() -> Iterator[str]:
        yield first
        room = READ_AHEAD
        while room > 0 and (line := next(stream, None)) is not None:
            room -= len(line)
            taken.append(line)
            yield line

    try:
        cells = next(csv.reader(following(), delimiter="\t", strict=True))
    except csv.Error:  # the quotation mark that begins a cell has no end, or one inside is not doubled
        cells = []
    if len(cells) == columns and any(len(_split(line)) != columns for line in taken):
        return len(taken), cells
    stream.give_back(taken[1:])
    return None
