"""Read words in files: pairs that people have judged, analogies, lists.

Pairs are in columns that tabs, commas, semicolons or spaces separate, with a header or without, or
in JSON-lines or Parquet. Where no columns are named, the first two without numbers are the words,
and the first of numbers behind them is the judgment. Analogies are in such a table, or four words
on a line as in Google's test set, with `: TYPE` above those of a type (Mikolov et al. 2013).
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnlm.errors import TextError
from rnnlm.files import tables
from rnnlm.text.lines import lines_with_ends
from rnnlm.text.named_columns import no_column

_TAG = re.compile(r"(?<=\w)(?:-[a-z]|[_/#][A-Za-z]{1,5})$")


@dataclass(frozen=True)
class WordPair:
    """Two words, and how similar people find them."""

    word1: str
    word2: str
    score: float


@dataclass(frozen=True)
class Question:
    """An analogy: a is to b as c is to d. kind: the name of its type in its file, or ""."""

    kind: str
    a: str
    b: str
    c: str
    d: str

    @property
    def words(self) -> tuple[str, str, str, str]:
        """All four words."""
        return self.a, self.b, self.c, self.d


def read_pairs(source: str, columns: str | None = None, strip_tags: bool = False) -> list[WordPair]:
    """Read the pairs of a file. columns: WORD1,WORD2,SCORE by name or number from 1. strip_tags:
    whether to remove part-of-speech tags at the end of words: -n, _NN, /VBZ, #adj."""
    pairs: list[WordPair] = []
    names = None
    for row in _rows(source):
        # The first row decides which columns are read.
        if names is None:
            names = _named(row, columns, 3) if columns else _pair_columns(row)
        word1, word2, score = _cells(row, names)
        number = _number(score)
        if number is None:
            raise TextError(
                f"{row.where}: {score!r} is not a number",
                f"column {names[2]!r} must hold the similarity of the words",
                "see --columns",
            )
        if strip_tags:
            word1, word2 = _TAG.sub("", word1), _TAG.sub("", word2)
        pairs.append(WordPair(word1, word2, number))
    if not pairs:
        raise TextError(f"no pairs of words in {source}", "it is empty, or has only a header")
    return pairs


def read_analogies(source: str, columns: str | None = None) -> list[Question]:
    """Read the analogies of a file. columns: for a table: TYPE,A,B,C,D or A,B,C,D by name or
    number from 1; None: its last five or four columns without numbers."""
    is_table = columns is not None or tables.kind_of(source) is not None
    questions = list(_of_table(source, columns) if is_table else _of_lines(source))
    if not questions:
        raise TextError(f"no analogies in {source}", "it is empty, or has no line of four words")
    return questions


def _of_lines(source: str) -> Iterator[Question]:
    """Read analogies of four words on a line."""
    kind = ""
    for number, line in lines_with_ends(source):
        words = line.split()
        if words[:1] == [":"]:
            kind = " ".join(words[1:])
        elif len(words) == 4:
            yield Question(kind, *words)
        elif words:
            raise TextError(
                f"{source}, line {number}: four words are needed, not {len(words)}",
                "a line is A B C D, or : TYPE",
            )


def _of_table(source: str, columns: str | None) -> Iterator[Question]:
    """Read analogies in a table."""
    names = None
    for row in _rows(source, has_header=True):
        # The first row decides which columns are read.
        if names is None and columns:
            names = _named(row, columns, 5 if columns.count(",") == 4 else 4)
        elif names is None:
            names = _words_of(row)[-5:]
        if len(names) < 4:
            raise TextError(
                f"{source}: fewer than four columns of words", hint="name them: --columns A,B,C,D"
            )
        cells = _cells(row, names)
        yield Question("" if len(names) == 4 else cells[0], *cells[-4:])


def _rows(source: str, has_header: bool | None = None) -> Iterator[tables.Row]:
    """Yield the rows of a table. has_header: None: if the first row has no number."""
    # The name of a file may say what it is, and otherwise its first line.
    kind = tables.kind_of(source)
    if kind is None:
        filled = (line for _, line in lines_with_ends(source) if line.strip())
        kind = _kind_of_line(next(filled, ""))
    if kind is None:
        yield from _split_at_spaces(source, has_header)
        return

    if has_header is None and kind in (tables.JSON_LINES, tables.PARQUET):
        has_header = True
    elif has_header is None:
        empty = tables.Row("", {})
        first = next(tables.rows(source, kind, has_header=False), empty)
        has_header = not _has_number(first.values.values())
    yield from tables.rows(source, kind, has_header=has_header)


def _kind_of_line(line: str) -> str | None:
    """Return what separates the cells of a line; None for spaces."""
    if tables.is_json(line):
        return tables.JSON_LINES
    if "\t" in line:
        return tables.TSV
    if any(mark in line for mark in tables.DELIMITERS):
        return tables.CSV
    return None


def _split_at_spaces(source: str, has_header: bool | None) -> Iterator[tables.Row]:
    """Yield the rows of a table whose cells are separated by spaces."""
    names = None
    for number, line in lines_with_ends(source):
        cells = line.split()
        if not cells:
            continue
        if names is None:
            # Columns without a header have numbers from 1.
            is_header = has_header
            if is_header is None:
                is_header = not _has_number(cells)
            names = cells if is_header else list(map(str, range(1, len(cells) + 1)))
            if is_header:
                continue
        yield tables.Row(f"{source}, line {number}", dict(zip(names, cells, strict=False)), number)


def _named(row: tables.Row, columns: str, count: int) -> list[str]:
    """Return the names of the columns that are asked for, some of them by number."""
    names = _names(row)
    asked = list(map(str.strip, columns.split(",")))
    if len(asked) != count:
        raise TextError(f"--columns {columns} names {len(asked)} columns", f"{count} are needed")
    for place, name in enumerate(asked):
        if name not in names:
            if not name.isdecimal() or not 0 < int(name) <= len(names):
                raise no_column(row.where, name, names)
            asked[place] = names[int(name) - 1]
    return asked


def _pair_columns(row: tables.Row) -> list[str]:
    """Find the columns of pairs: two of words, and the first of numbers behind them."""
    names, words = _names(row), _words_of(row)
    numbers: list[str] = []
    if len(words) > 1:
        behind = names[names.index(words[1]) + 1 :]
        numbers = [name for name in behind if _number(row.values[name]) is not None]
    if not numbers:
        why = "two columns of words are needed, and one of numbers behind them"
        raise TextError(
            f"{row.where}: which columns are the pairs?",
            why,
            "name them: --columns WORD1,WORD2,SCORE",
        )
    return [*words[:2], numbers[0]]


def _words_of(row: tables.Row) -> list[str]:
    """Return the columns that have something in them that is not a number."""
    found = []
    for name in _names(row):
        cell = row.values[name]
        if cell not in (None, "") and _number(cell) is None:
            found.append(name)
    return found


def _names(row: tables.Row) -> list[str]:
    return [name for name in row.values if name is not None]


def _cells(row: tables.Row, names: list[str]) -> list[str]:
    """Return the cells of these columns; refuse a row that lacks one."""
    values: Mapping[Any, object] = row.values
    missing = next((name for name in names if values.get(name) in (None, "")), None)
    if missing is not None:
        raise TextError(
            f"{row.where}: nothing in column {missing!r}",
            "the line is shorter than others, or has other columns",
        )
    return [str(values[name]).strip() for name in names]


def _has_number(cells: Iterable[str | float]) -> bool:
    return any(_number(cell) is not None for cell in cells)


def _number(cell: str | float) -> float | None:
    """Return a cell as a finite number; None if it is not one."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return number
