"""Words in files: pairs that people have judged, analogies, lists.

Pairs stand in columns that tabs, commas, semicolons or spaces separate, with a header or without,
or in JSON-lines or Parquet. Where no columns are named, the first two that hold no numbers are the
words, and the first of numbers behind them is the judgment. Analogies stand in such a table, or
four words on a line as in Google's test set, `: TYPE` above those of a type (Mikolov et al. 2013).
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnlm.errors import TextError
from rnnlm.files import tables
from rnnlm.text.lines import lines_with_ends
from rnnlm.text.named_columns import no_column

_TAG = re.compile(r"(?<=\w)(?:-[a-z]|[_/#][A-Za-z]{1,5})$")


@dataclass(frozen=True)
class WordPair:
    """Two words, and how alike people find them."""

    word1: str
    word2: str
    score: float


@dataclass(frozen=True)
class Question:
    """An analogy: a is to b as c is to d. kind: what its file calls its type, or nothing."""

    kind: str
    a: str
    b: str
    c: str
    d: str

    @property
    def words(self) -> tuple[str, str, str, str]:
        """All four."""
        return self.a, self.b, self.c, self.d


def read_pairs(source: str, columns: str | None = None, strip_tags: bool = False) -> list[WordPair]:
    """The pairs of a file. columns: WORD1,WORD2,SCORE by name or number from 1. strip_tags: whether
    words lose tags of parts of speech at their end: -n, _NN, /VBZ, #adj.

    Raises:
        TextError: it cannot be read, lacks a column, holds no pair, or a judgment is not a number.
    """
    pairs, names = [], None
    for row in _rows(source):
        if names is None:
            names = _named(row, columns, 3) if columns else _pair_columns(row)
        word1, word2, score = _cells(row, names)
        if (number := _number(score)) is None:
            raise TextError(
                f"{row.where}: {score!r} is not a number",
                f"column {names[2]!r} is how alike the words are",
                "see --columns",
            )
        word1, word2 = (_TAG.sub("", word) if strip_tags else word for word in (word1, word2))
        pairs.append(WordPair(word1, word2, number))
    if not pairs:
        raise TextError(f"no pairs of words in {source}", "it is empty, or has a header alone")
    return pairs


def read_analogies(source: str, columns: str | None = None) -> list[Question]:
    """The analogies of a file. columns: of a table: TYPE,A,B,C,D or A,B,C,D by name or number from
    1; None: its last five or four columns without numbers.

    Raises:
        TextError: it cannot be read, lacks a column, holds no analogy, or a line has not four
            words.
    """
    is_table = columns is not None or tables.kind_of(source) is not None
    questions = list(_of_table(source, columns) if is_table else _of_lines(source))
    if not questions:
        raise TextError(f"no analogies in {source}", "it is empty, or has no line of four words")
    return questions


def read_words(source: str) -> list[str]:
    """The words of a list, one or more on a line.

    Raises:
        TextError: it cannot be read, or holds none.
    """
    words = list(
        dict.fromkeys(word for _, line in lines_with_ends(source) for word in line.split())
    )
    if not words:
        raise TextError(f"no words in {source}", "it is empty")
    return words


def _of_lines(source: str) -> Iterator[Question]:
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
    names = None
    for row in _rows(source, has_header=True):
        if names is None:
            names = (
                _named(row, columns, 5 if columns.count(",") == 4 else 4)
                if columns
                else _words_of(row)[-5:]
            )
            if len(names) < 4:
                raise TextError(
                    f"{source}: fewer than four columns of words",
                    hint="name them: --columns A,B,C,D",
                )
        cells = _cells(row, names)
        yield Question("" if len(names) == 4 else cells[0], *cells[-4:])


def _rows(source: str, has_header: bool | None = None) -> Iterator[tables.Row]:
    """The rows of a table. has_header: None: where the first row holds no number."""
    first = (
        next((line for _, line in lines_with_ends(source) if line.strip()), "")
        if tables.kind_of(source) != tables.PARQUET
        else ""
    )
    kind = tables.kind_of(source) or _kind_of_line(first)
    if kind is None:
        yield from _split_at_spaces(source, has_header)
        return
    if has_header is None:
        cells = next(
            tables.rows(source, kind, has_header=False), tables.Row("", {})
        ).values.values()
        has_header = kind in (tables.JSON_LINES, tables.PARQUET) or not any(
            _number(cell) is not None for cell in cells
        )
    yield from tables.rows(source, kind, has_header=has_header)


def _kind_of_line(line: str) -> str | None:
    if tables.is_json(line):
        return tables.JSON_LINES
    return (
        tables.TSV
        if "\t" in line
        else tables.CSV
        if any(mark in line for mark in tables.DELIMITERS)
        else None
    )


def _split_at_spaces(source: str, has_header: bool | None) -> Iterator[tables.Row]:
    lines: Iterator[tuple[int, list[str]]] = (
        (number, cells) for number, line in lines_with_ends(source) if (cells := line.split())
    )
    first = next(lines, None)
    if first is None:
        return
    names = list(map(str, range(1, len(first[1]) + 1)))
    if has_header or (
        has_header is None and not any(_number(cell) is not None for cell in first[1])
    ):
        names = first[1]
    else:
        lines = itertools.chain([first], lines)
    for number, cells in lines:
        yield tables.Row(f"{source}, line {number}", dict(zip(names, cells, strict=False)), number)


def _named(row: tables.Row, columns: str, count: int) -> list[str]:
    """The names of the columns that are asked for, some of them by number.

    Raises:
        TextError: one does not exist, or there are more or fewer.
    """
    names, asked = _names(row), [each.strip() for each in columns.split(",")]
    if len(asked) != count:
        raise TextError(f"--columns {columns} names {len(asked)} columns", f"{count} are needed")
    for place, name in enumerate(asked):
        if name not in names:
            if not name.isdecimal() or not 0 < int(name) <= len(names):
                raise no_column(row.where, name, names)
            asked[place] = names[int(name) - 1]
    return asked


def _pair_columns(row: tables.Row) -> list[str]:
    names, words = _names(row), _words_of(row)
    behind = (
        [
            name
            for name in names[names.index(words[1]) + 1 :]
            if _number(row.values[name]) is not None
        ]
        if words[1:]
        else []
    )
    if not behind:
        why = "two columns of words are needed, and one of numbers behind them"
        raise TextError(
            f"{row.where}: which columns are the pairs?",
            why,
            "name them: --columns WORD1,WORD2,SCORE",
        )
    return [*words[:2], behind[0]]


def _words_of(row: tables.Row) -> list[str]:
    """The columns that hold something that is not a number."""
    return [
        name
        for name in _names(row)
        if row.values[name] not in (None, "") and _number(row.values[name]) is None
    ]


def _names(row: tables.Row) -> list[str]:
    return [name for name in row.values if name is not None]


def _cells(row: tables.Row, names: list[str]) -> list[str]:
    values: Mapping[Any, object] = row.values
    missing = next((name for name in names if values.get(name) in (None, "")), None)
    if missing is not None:
        raise TextError(
            f"{row.where}: nothing in column {missing!r}",
            "the line is shorter than others, or its columns are other ones",
        )
    return [str(values[name]).strip() for name in names]


def _number(cell: str | float) -> float | None:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
