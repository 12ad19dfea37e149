"""Results of many rows, as the tables of other tools: lists, columns, pandas; and the tables that
people read: aligned text, and the small HTML table that a notebook shows.

A table has one observation a row. Its columns are names that Python and R accept as they are.
"""

import itertools
import keyword
import math
import re
import textwrap
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeVar, cast, overload

import msgspec

from rnnlm.amounts import amount
from rnnlm.config import plain
from rnnlm.errors import UsageError, require_package, visible

if TYPE_CHECKING:
    import pandas

Cell = str | int | float | bool | None
Row = dict[str, Cell]
T = TypeVar("T")
MOST_SHOWN = 20  # rows in HTML
GAP = 3  # characters between the columns of a table
FOLDED = 24  # letters to which text is folded before columns of numbers move below
_NO_NAME = re.compile(r"\W+", re.ASCII)
_WORDS_OF_R = {"function", "next", "repeat", "null", "inf", "nan"}  # and those that Python has, too


class Result:
    """A dataclass whose fields are the keys of its JSON. One whose JSON differs from its fields
    writes its own :meth:`to_dict` and says why."""

    def to_dict(self) -> dict[str, Any]:
        """Return all results in JSON's types."""
        shown: dict[str, Any] = to_builtins(self)
        return shown


def to_builtins(value: object) -> Any:
    """Return a value in JSON's types: dataclasses by the names of their fields, arrays as lists,
    complex numbers as [real, imaginary], numbers that are not finite as None."""
    return _in_json(msgspec.to_builtins(value, str_keys=True, enc_hook=_in_builtins))


def _in_builtins(value: Any) -> object:
    """Return an object that msgspec does not know in types that it knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):  # a message with its keywords
        return str(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_LEAVES = {str, int, bool, type(None)}  # most values of results, which are as JSON has them


def _in_json(value: Any) -> Any:
    """Replace tuples and numbers that are not finite, which msgspec leaves as they are."""
    if isinstance(value, dict):
        return {
            name: item if type(item) in _LEAVES else _in_json(item) for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [item if type(item) in _LEAVES else _in_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Records(ABC):
    """Something with many observations, each of them a row."""

    @abstractmethod
    def to_rows(self) -> list[Row]:
        """Return one dictionary for each observation, all with the same keys."""

    def to_columns(self, table: int | str | None = None) -> dict[str, list[Cell]]:
        """Return the values of each column, by its name.

        Args:
            table: Table to return if there are several, as for :meth:`to_rows`.

        Raises:
            UsageError: The table does not exist.
        """
        return columns_of(self._rows_of(table))

    def to_pandas(self, table: int | str | None = None) -> "pandas.DataFrame":
        """Return a pandas.DataFrame.

        Args:
            table: Table to return if there are several, as for :meth:`to_rows`.

        Raises:
            UsageError: Pandas is not installed; there is no such table.
        """
        pandas = require_package("pandas", "tables", "data frames")
        return pandas.DataFrame(self.to_columns(table))

    def _rows_of(self, table: int | str | None) -> list[Row]:
        """Return the rows of a table. Results that have several tables override this."""
        if table is not None:
            raise UsageError(f"there is no table {table!r}", "there is one table", "leave it out")
        return self.to_rows()

    def _repr_html_(self) -> str:
        """Return the first rows as HTML, for a notebook."""
        return Table.of_records(self.to_rows(), left=())._repr_html_()


class RecordList(list[T], Records):
    """A list of results that is a table, too: a row for each, with its single values. A slice of it
    is one as well."""

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> T: ...

    @overload
    def __getitem__(self, place: slice, /) -> Self: ...

    def __getitem__(self, place: SupportsIndex | slice, /) -> T | Self:
        if not isinstance(place, slice):
            return super().__getitem__(place)
        # The slice of a list of a subclass keeps the subclass's further attributes.
        part = type(self)(super().__getitem__(place))
        vars(part).update(vars(self))
        return part

    def to_rows(self) -> list[Row]:
        """Return the single values of each item by name; lists and objects are left out."""
        return [_single_values(item) for item in self]


def _single_values(item: object) -> Row:
    """Return the fields of a dataclass that hold a number, a text or a truth value."""
    values = {field.name: getattr(item, field.name) for field in fields(cast(Any, item))}
    return {name: value for name, value in values.items() if isinstance(value, Cell)}


def single_value(value: object) -> Cell:
    """Return a cell as Python's own number, text or truth value, for any NumPy type."""
    made = plain(value)
    return made if isinstance(made, Cell) else str(value)


def columns_of(rows: Sequence[Mapping[str, T]]) -> dict[str, list[T]]:
    """Turn rows with the same keys into columns."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def identifier(name: str) -> str:
    """Make a column's name of a heading that people read: "std. error" becomes `std_error`, "10 %"
    becomes `x10_percent`."""
    made = _NO_NAME.sub("_", name.replace("%", " percent ")).strip("_").lower()
    if not made or made[0].isdigit():
        made = "x" + made
    if keyword.iskeyword(made) or keyword.iskeyword(made.capitalize()) or made in _WORDS_OF_R:
        made += "_"
    return made


def identifiers(headings: Iterable[str]) -> list[str]:
    """Make names of columns, each different: those that would be alike are numbered."""
    made: list[str] = []
    for heading in headings:
        name = identifier(heading)
        count = 1
        while name in made:
            count += 1
            name = f"{identifier(heading)}_{count}"
        made.append(name)
    return made


def named_rows(headings: Iterable[str], rows: Iterable[Iterable[Cell]]) -> list[Row]:
    """Return rows of values under names made from the headings."""
    names = identifiers(headings)
    return [dict(zip(names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class Table(Records):
    """A table for people. A row has a cell for each column: text, a number, a truth value, or None
    for an empty cell.

    Attributes:
        columns: Headings of the columns.
        rows: Cells of each row.
        title: Line above the table.
        remark: Line below the table.
        right: Columns that are aligned to the right. None: columns of numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    remark: str = ""
    right: Sequence[str] | None = None

    @classmethod
    def of_records(
        cls,
        records: Sequence[Mapping[str, object]],
        left: Sequence[str],
        columns: Sequence[str] | None = None,
    ) -> "Table":
        """Make a table of records that have the same columns. Columns are right-aligned except
        those in `left`.

        Args:
            records: Rows, by name of the column.
            left: Columns that are aligned to the left.
            columns: Columns to show. None: all.
        """
        if columns is None:
            columns = list(records[0]) if records else []
        rows = [[record[name] for name in columns] for record in records]
        return cls(columns, rows, right=[name for name in columns if name not in left])

    def to_rows(self) -> list[Row]:
        """Return the rows with unformatted values, under names made from the headings."""
        return named_rows(self.columns, (map(single_value, row) for row in self.rows))

    @property
    def numbers(self) -> list[str]:
        """The columns that are aligned to the right."""
        if self.right is not None:
            return list(self.right)
        numeric = []
        for place, name in enumerate(self.columns):
            values = [row[place] for row in self.rows if row[place] is not None]
            if values and all(isinstance(value, int | float) for value in values):
                numeric.append(name)
        return numeric

    def cells(self) -> list[list[str]]:
        """Return the cells as text for people."""
        return [[amount(value, None) for value in row] for row in self.rows]

    def __str__(self) -> str:
        """Write the table as aligned text, regardless of the width of the screen."""
        return self.text()

    def text(self, width: int | None = None, gap: int = GAP) -> str:
        """Write the table as aligned text.

        Args:
            width: Most characters of a line: longer text is folded, and columns of numbers that
                have no room move to a table below, which begins with the same columns of text.
                None: any number.
            gap: Number of spaces between columns.
        """
        lines = [list(map(visible, row)) for row in (self.columns, *self.cells())]
        is_right = [name in self.numbers for name in self.columns]

        # The room that each column takes, and needs: the longest cell of numbers, some letters of
        # text, and the longest word of the heading.
        whole, least = [], []
        for place, (head, *cells) in enumerate(zip(*lines, strict=True)):
            longest = max(map(_letters, cells), default=0)
            whole.append(max(_letters(head), longest))
            needed = longest if is_right[place] else min(longest, FOLDED)
            least.append(max(needed, *map(_letters, head.split()), 0))
        blocks = [list(range(len(whole)))]
        if width is not None and True in is_right and sum(whole) + gap * len(whole) > width:
            blocks = _blocks(least, is_right.index(True), width, gap)

        # No text is wider than a line. Then, of each block, the widest column that has room to give
        # gives it.
        if width is not None:
            sides = zip(whole, is_right, strict=True)
            whole = [size if is_number else min(size, width) for size, is_number in sides]
        kept = [size if is_number else 1 for size, is_number in zip(least, is_right, strict=True)]
        tables = []
        for block in blocks:
            widths = {place: whole[place] for place in block}
            while width is not None and sum(widths.values()) + gap * (len(block) - 1) > width:
                giving = [place for place in block if widths[place] > kept[place]]
                if not giving:
                    break
                widths[max(giving, key=widths.__getitem__)] -= 1
            tables.append(_aligned(lines, widths, is_right, " " * gap))
        titles = [visible(self.title, kept="\n")] if self.title else []
        return "\n".join([*titles, "\n\n".join(tables)])

    def to_latex(self) -> str:
        """Write the table for a paper, with the rules of the package booktabs.

        Returns:
            A `tabular` environment.
        """
        sides = ["r" if name in self.numbers else "l" for name in self.columns]
        head, *rows = (
            " & ".join(map(latex, line)) + r" \\" for line in (self.columns, *self.cells())
        )
        begin = rf"\begin{{tabular}}{{{''.join(sides)}}}"
        rules = [begin, r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
        return "\n".join(rules)

    def _repr_html_(self) -> str:
        left = len(self.rows) - MOST_SHOWN
        note = f"... and {left:,} more rows" if left > 0 else ""
        return html_table(self.title, self.columns, self.cells()[:MOST_SHOWN], note)


_SIGN = re.compile(r"(?<![\w.])[-+](?=\d)")
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", "…": r"\dots{}",
}  # fmt: skip


def latex(text: str) -> str:
    """Return a text as LaTeX writes it; signs of numbers are those of formulas."""
    signs = [(match.start(), match[0]) for match in _SIGN.finditer(text)]
    characters = [_LATEX.get(character, character) for character in text]
    for place, sign in signs:
        characters[place] = f"${sign}$"
    # At the beginning of a row these would belong to the end of the row before.
    if text[:1] in ("[", "*"):
        characters[0] = f"{{{text[0]}}}"
    return "".join(characters)


def _blocks(widths: Sequence[int], keys: int, width: int, gap: int) -> list[list[int]]:
    """Return the places of columns with these widths in tables of `width` characters, the first
    `keys` columns in each."""
    blocks = [list(range(keys))]
    for place in range(keys, len(widths)):
        # A block has one column beside the keys, even if that is too wide.
        needed = sum(widths[column] + gap for column in (*blocks[-1], place))
        if needed > width and len(blocks[-1]) > keys:
            blocks.append(list(range(keys)))
        blocks[-1].append(place)
    return blocks


def _aligned(
    lines: Sequence[Sequence[str]], widths: Mapping[int, int], is_right: Sequence[bool], gap: str
) -> str:
    """Write the columns of a table that have `widths`, by their places, with a rule below the
    headings. Longer cells are folded."""
    written = []
    for line in lines:
        folded = [_folded(line[place], width) for place, width in widths.items()]
        for parts in itertools.zip_longest(*folded, fillvalue=""):
            cells = []
            for part, (place, width) in zip(parts, widths.items(), strict=True):
                space = " " * (width - _letters(part))
                cells.append(space + part if is_right[place] else part + space)
            written.append(gap.join(cells).rstrip())
        if line is lines[0]:
            written.append(gap.join("-" * width for width in widths.values()))
    return "\n".join(written)


def _folded(cell: str, width: int) -> list[str]:
    if _letters(cell) <= width:
        return [cell]
    # Letters that take two places each are counted as such.
    places = width if _letters(cell) <= len(cell) else width // 2
    return textwrap.wrap(cell, max(1, places), break_on_hyphens=False) or [""]


def _letters(text: str) -> int:
    """Return how many places of a line a text takes: two for each letter that is as wide as it is
    high, none for an accent."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def html_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = ""
) -> str:
    """Write a small HTML table, everything in it escaped, without style or script.

    `columns` are the headings; a table of facts has none, as its first cells are headings. `note`
    is a line below the table.
    """
    from html import escape

    # Caption and headings.
    parts = ["<table>"]
    if title:
        parts.append(f"<caption>{escape(title)}</caption>")
    if columns:
        cells = "".join(f"<th>{escape(name)}</th>" for name in columns)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")

    # Rows; in a table of facts the first cell is a heading.
    for row in rows:
        cells = ""
        for place, value in enumerate(row):
            tag = "td" if columns or place else "th"
            cells += f"<{tag}>{escape(amount(value, None))}</{tag}>"
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    if note:
        parts.append(html_note(note))
    return "".join(parts)


def html_note(text: str) -> str:
    """Write a paragraph of HTML, escaped."""
    from html import escape

    return f"<p>{escape(text)}</p>"
