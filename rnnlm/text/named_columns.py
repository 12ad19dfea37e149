"""Read tables of named columns: the one reader of texts, texts with labels, and pairs.

Two questions are answered here for all of them: whether the first row is a header, and which column
holds which content. Names answer them, and the content of columns; if neither does, the first row
is data, as a notice says, and an unclear column is an error that names the settings to use.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Number
from typing import Annotated, Any, Literal

from rnnlm.config import about
from rnnlm.errors import (
    TextError,
    UsageError,
    did_you_mean,
    first_of,
    given,
    joined_message,
    keyword,
    notice,
    shown,
)
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import names_in_memory, opened, shown_name, text_lines

KINDS = {  # by the name of the format in settings
    "tsv": tables.TSV,
    "csv": tables.CSV,
    "jsonl": tables.JSON_LINES,
    "parquet": tables.PARQUET,
}

Values = Mapping[Any, Any]


def format_of(kind: str) -> str:
    """Return the name of a kind of table in settings."""
    return next(name for name, table_kind in KINDS.items() if table_kind == kind)


def detect_format(
    source: str, errors: str | None, by_lines: Callable[[Iterator[str]], str],
    named: Collection[str] = tuple(KINDS.values()), said: str = "auto",
) -> str:  # fmt: skip
    """Return the format of a file, under its name in settings: the one that is `said`, unless that
    is auto; the kind of table that its name says, one of `named`, or JSON-lines, or the result of
    `by_lines` for its lines that are not blank.

    errors: treatment of bad UTF-8, as in :mod:`rnnlm.storage.files.tables`.
    """
    if said != "auto":
        return said
    kind = tables.kind_of(source)
    if kind is not None and kind in named:
        return format_of(kind)
    with opened(source, errors=errors) as stream:
        lines = filter(tables.has_text, text_lines(source, stream, errors))
        start = list(itertools.islice(lines, 1))
        if "".join(start).strip() == "[":  # an array may begin on a separate line
            start += itertools.islice(lines, 1)
        if tables.is_json("".join(start)):
            return "jsonl"
        return by_lines(line.rstrip("\r\n") for line in itertools.chain(start, lines))


# ---- Opening a table: its columns, and its first rows for a look at them.


@dataclass(frozen=True)
class InputTable:
    """A table that is being read. names: of its columns; those without a header are called "1", "2"
    and so on. sample: the first of its rows, which `rows` has, too; those that are read.
    conditions: the columns by which rows are left out."""

    source: str
    names: Sequence[str]
    sample: Sequence[tables.Row]
    rows: Iterator[tables.Row]
    conditions: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place of the first row, for messages."""
        return self.sample[0].where if self.sample else self.source


def open_table(
    source: str, kind: str, errors: str | None, requested: Sequence[str | None] = (),
    only_asked: bool = False,
    unreadable: Literal["raise", "report"] = "raise",
    on_read: Callable[[int], None] | None = None, line_format: tables.LineFormat | None = None,
) -> InputTable:  # fmt: skip
    """Open a table and look at its first rows.

    kind: one of the kinds of :mod:`rnnlm.storage.files.tables`. requested: the columns that are
    named. only_asked: no others are needed, so that no others are read from a Parquet file.
    unreadable, on_read, line_format: as in :func:`rnnlm.storage.files.tables.rows`.
    """
    # Read the rows: of a Parquet file the columns that are needed, of others all.
    named = [name for name in requested if name]
    if only_asked and kind == tables.PARQUET and set(named) <= set(tables.parquet_columns(source)):
        rows = tables.parquet_rows(source, named, errors, on_read)
    else:
        names = [name for name in named if not _is_number(name)]

        def has_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
            return is_header(source, first, others, named)

        rows = tables.rows(
            source, kind, errors, unreadable, names, has_header, on_read, line_format
        )

    # Check them as they come.
    if unreadable == "raise":
        rows = map(check_length, rows)
    return table_of(source, rows)


def table_of(source: str, rows: Iterator[tables.Row]) -> InputTable:
    """Return the table that has these rows, of which the first are looked at: JSON may leave out
    null values of a row."""
    sample = list(itertools.islice(rows, tables.SAMPLE_ROWS))
    names = dict.fromkeys(itertools.chain.from_iterable(row.values for row in sample))
    names.pop(None, None)
    return InputTable(source, list(map(str, names)), sample, itertools.chain(sample, rows))


# ---- Rows that are read, by what their columns hold.

Where = Annotated[
    tuple[str, ...],
    about(
        "read only rows of a table whose column holds this value (COLUMN=VALUE), or does not "
        "(COLUMN!=VALUE), such as condition!=practice; of several, all must hold",
        title="COLUMN!=VALUE",
    ),
]
LEFT_OUT = "left out"  # the reason of rows that are not read
MOST_VALUES = 10  # of a column, in a message


class RowFilter:
    """The conditions for rows of some tables to be read. Their values must be in one of these."""

    def __init__(self, where: Sequence[str], number_of_tables: int = 1) -> None:
        self._known: dict[str, set[str]] = {condition: set() for condition in where}
        self._to_come = number_of_tables

    def marked(self, table: InputTable) -> InputTable:
        """Return a table whose rows have the reason LEFT_OUT where a condition does not hold.

        Raises:
            UsageError: A condition cannot be read.
            TextError: This last table has not the value of a condition, nor has one before.
        """
        if not self._known:
            return table
        self._to_come -= 1
        rows, columns = list(table.rows), []
        for condition, known in self._known.items():
            # Its column, whether the value is left out, and the value
            parts = re.fullmatch(r"\s*(.*?[^\s!])\s*(!?)=\s*(.*?)\s*", condition, re.DOTALL)
            if not parts:
                raise UsageError(
                    f"{condition!r} chooses no rows", hint="write COLUMN=VALUE or COLUMN!=VALUE"
                )
            column = column_named(parts[1], table.names, table.where)
            columns.append(column)
            leaves_out, value = bool(parts[2]), parts[3]

            # A value that no table has is a slip, which only the last one shows.
            cells = [tables.cell_text(row.values.get(column)).strip() for row in rows]
            known.update(cells)
            if value not in known and not self._to_come:
                has = f"it has {first_of(sorted(map(shown, known)), MOST_VALUES)}"
                raise TextError(f"{table.where}: no row has {value!r} in column {column!r}", has)
            rows = [
                row._replace(reason=LEFT_OUT) if (cell == value) == leaves_out else row
                for row, cell in zip(rows, cells, strict=True)
            ]

        # What the columns hold is judged by the rows that are read.
        kept = [row for row in rows if row.reason != LEFT_OUT]
        notice(
            f"{shown_name(table.source)}: {len(rows) - len(kept):,} of {len(rows):,} rows are left "
            "out, by " + keyword("where")
        )
        sample = kept[: tables.SAMPLE_ROWS]
        return replace(table, sample=sample, rows=iter(rows), conditions=tuple(columns))


class GroupNames:
    """The names of groups in the cells of a table: forms that people take for one name are one."""

    def __init__(self) -> None:
        self._forms: dict[str, dict[str, None]] = {}

    def of(self, cell: object) -> str | None:
        """Return the name that a cell holds: composed, without blanks at its ends. None: it is
        empty."""
        if not tables.has_text(cell):
            return None
        name = unicodedata.normalize("NFC", tables.cell_text(cell)).strip()
        self._forms.setdefault(name, {})[ascii(cell)] = None
        return name

    def tell(self, where: str) -> None:
        """Send a notice of forms that became one name. where: their column."""
        joined = [written for written in self._forms.values() if len(written) > 1]
        if joined:
            notice(f"{where}: {', '.join(joined[0])} are one group ({len(joined):,} such groups)")


def cell(values: Values, column: str, where: str) -> Any:
    """Return the value of a row in a column."""
    if column not in values:
        raise no_column(where, column, map(str, values))
    return values[column]


def column_named(requested: str, names: Sequence[str], where: str) -> str:
    """Return the requested one of the columns: by its name in any case, or by its number from 1."""
    if requested in names:
        return requested
    alike = [name for name in names if tables.folded(name) == tables.folded(requested)]
    if len(alike) == 1:
        return alike[0]
    if _is_number(requested) and 1 <= int(requested[:9]) <= len(names):
        return names[int(requested) - 1]
    raise no_column(where, requested, names)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def check_length(row: tables.Row) -> tables.Row:
    """Return a row; refuse one with more cells than columns."""
    if row.is_too_long:
        raise TextError(
            f"{row.where}: {tables.TOO_LONG}",
            hint="a text that holds the delimiter needs quotation marks around it",
        )
    return row


# ---- Rows without text: those whose cell is null, empty or NaN. Commands that answer row by row
# give the reason; those that only read leave such rows out; both count them.


def why_no_text(value: object, column: str) -> str | None:
    """Return why a cell cannot be read as a text; None: it can."""
    if not tables.has_text(value):
        return f"column {column!r} holds no text"
    if isinstance(value, str):
        return None
    if isinstance(value, bytes):
        return f"column {column!r} holds bytes that are not UTF-8"
    return f"column {column!r} holds {given(value)}, not text"


def text_or_reason(row: tables.Row, column: str) -> tuple[str, str | None]:
    """Return the text of a row, or "" and why it has none."""
    value: Any = row.values.get(column)
    reason = row.why_unread or why_no_text(value, column)
    if not reason and tables.SURROGATE.search(value):
        reason = f"column {column!r} is not UTF-8"
    return "" if reason else value, reason


def tell_of_empty(source: str, empty: int, rows: int, what: str) -> None:
    """Send a notice of rows without text, if there are any. what: the missing content, and the
    treatment of these rows."""
    if empty:
        notice(f"{shown_name(source)}: {empty:,} of {rows:,} rows {what}")


def tell_of_guess(source: str, names: Sequence[str], column: str, requested: object) -> None:
    """Send a notice of the column that is read as text, where none was `requested` and a file has
    others."""
    if not requested and len(names) > 1 and source not in names_in_memory:
        others = f"one of {len(names):,} columns"
        notice(
            f"{shown_name(source)}: the text is read from column {column!r}, {others}; "
            + keyword("column")
            + " names another one"
        )


def text_of(value: object, where: str, column: str) -> str:
    """Return the value of a cell as text: truth values as JSON writes them, and whole numbers of
    any type: a column of floats holds them where some are missing."""
    if isinstance(value, str):
        tables.check_halves(value, f"{where}, column {column!r}")
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):  # of any length
        return str(value)
    number: Any = value
    if not isinstance(value, Number) or not math.isfinite(number) or number != int(number):
        raise TextError(
            f"{where}: column {column!r} holds {given(value)}", "a text or a whole number is needed"
        )
    return str(int(number))


def text_or_none(value: object, where: str, column: str) -> str | None:
    """Return the text of a cell; None if it has none. Raise TextError for other types."""
    if not tables.has_text(value):
        return None
    reason = why_no_text(value, column)
    if reason:
        raise TextError(f"{where}: {reason}")
    return text_of(value, where, column)


def no_column(where: str, name: str, names: Iterable[str]) -> TextError:
    """Return the error for a column that does not exist, which lists those that do."""
    names = list(names)
    return TextError(
        f"{where}: no column {name!r}", columns_in_words(names), did_you_mean(name, names)
    )


# ---- Columns of the input beside those that a result adds.


def new_names(
    names: Collection[str],
    taken: Collection[str],
    prefix: str = "input_",
    keeps_halves: bool = False,
) -> dict[str, str]:
    """Return the names of columns in a result in which others are `taken`: a name that would be
    there twice gets the prefix, as often as it takes to make it different. keeps_halves: halves of
    characters stay, where the result is JSON."""
    used = {*names, *taken}
    renamed = {}
    for name in names:
        new_name = name if keeps_halves else tables.without_halves(name)
        while new_name in taken or (new_name != name and new_name in used):
            new_name = prefix + new_name
        used.add(new_name)
        renamed[name] = new_name
    return renamed


LONGEST_NAME = 3  # words, in the name of a column that stands alone
QUOTED = 40  # characters


def columns_in_words(names: Sequence[str]) -> str:
    """Say which columns a table has. If its first line is prose, quote the beginning instead."""
    is_name = not names or len(names[0].split()) <= LONGEST_NAME
    if is_name or (len(names) > 1 and not names[-1].endswith(".")):
        return f"it has {', '.join(names) or 'no columns'}"
    start = names[0] if len(names[0]) <= QUOTED else f"{names[0][:QUOTED]}..."
    return f"its first line is not a header of columns: {start!r}"


# ---- Whether the first row is a header: it differs in kind from the rows below.

USUAL_WORDS = ("words", "tokens", "word", "token")  # of texts that are split into words
USUAL_LABELS = {  # by the unit that has labels
    "word": (
        "labels", "tags", "slots", "upos", "ner_tags", "pos_tags", "label", "tag", "ner", "pos",
        "sounds",
    ),
    "text": (
        "label", "labels", "class", "intent", "sentiment", "category", "polarity", "topic", "tag",
        "rating",
    ),
}  # fmt: skip
USUAL_PAIRS = (
    ("source", "target"),
    ("src", "tgt"),
    ("input", "output"),
    ("question", "answer"),
    ("prompt", "response"),
)
_LANGUAGES = (
    "ar bg cs da de el en es fa fi fr hi hr hu id ja ko nl pl pt ro ru sk sr sv tr uk vi zh "
    "arabic chinese czech dutch english finnish french german greek hindi italian japanese korean "
    "polish portuguese russian spanish swedish turkish"
)
_OTHER_NAMES = (
    "id idx index item condition sentence_id language lang name title word token letters sounds "
    "spelling pronunciation phonemes graphemes lemma form score split date url author remark reply "
    "stimulus stimuli phrase phrases line lines"
)
_KNOWN_NAMES = frozenset([
    *USUAL_WORDS, *tables.USUAL_TEXT, *itertools.chain(*USUAL_LABELS.values(), *USUAL_PAIRS),
    *_LANGUAGES.split(), *_OTHER_NAMES.split(), "sentence #", "sentence id",
    *(f"{name}s" for name in tables.USUAL_TEXT),
])  # fmt: skip
_MOST_USUAL = {*tables.USUAL_TEXT[:2], *USUAL_WORDS[:2], *USUAL_PAIRS[0], "label", "labels", "tags"}
# a string that may be the name of a column, with a unit or the like in brackets
_NAME = re.compile(r"[^\W\d]\w*(?:[ .#:/-]+\w+){0,2}[ #]*(?:\([^()]{1,20}\))?")
SURE_ROWS = 5  # rows that all hold a digit are no chance
_NOTHING = {"", "na", "nan", "null", "none", "n/a", "-", "_"}


def is_header(
    source: str,
    first: Sequence[str],
    others: Sequence[Sequence[str]],
    requested: Sequence[str] = (),
) -> bool:
    """Return whether the first row of a table is a header. A notice reports unclear cases.

    requested: the columns that are named. If they are named by number, a row that only seems to be
    a header is none.
    """
    # An unclear row is a header only if no column is named by number.
    evidence = header_in(first, others, requested)
    reads_names = evidence == "surely" or (evidence == "perhaps" and not requested)
    if evidence == "perhaps" or (evidence == "perhaps not" and not requested):
        says = "as data; a name, such as " + keyword("column", first[0]) + ", reads it as a header"
        if reads_names:
            says = (
                "as the names of the columns; numbers, such as "
                + keyword("column", 1)
                + ", read it as data"
            )
        notice(f"{source}: the first row, {shown(' '.join(first))}, is read " + says)
    return reads_names


Rules = Sequence[tuple[str, str, object, str]]  # name, example, whether it applies, verdict


def _verdict(rules: Rules) -> str:
    """Return the verdict of the first rule that applies."""
    return next(verdict for _, _, applies, verdict in rules if applies)


def header_in(
    first: Sequence[str], others: Sequence[Sequence[str]], requested: Sequence[str] = ()
) -> str:
    """Return whether the first row holds the names of columns, those asked for or others that
    differ in kind from the rows below: "surely", "perhaps", "perhaps not" or "no"."""
    named = list(filter(str.strip, first))
    are_known = len(named) > 0 and all(tables.folded(cell) in _KNOWN_NAMES for cell in named)
    # pandas numbers columns without a name from 0, behind an index without one.
    are_known = are_known or named == list(map(str, range(len(named))))

    # The evidence of each cell by itself, and next to the cells below it.
    evidence = [
        _evidence(cell, [row[place] for row in others if place < len(row)], str(place + 1))
        for place, cell in enumerate(first)
    ]
    has_usual = any(
        evidence_of_cell == "known" and tables.folded(cell) in _MOST_USUAL
        for evidence_of_cell, cell in zip(evidence, first, strict=True)
    )
    are_alike = len(set(first)) < len(first) and not are_known
    is_one_of_many = "perhaps" in evidence and len(first) > 1
    are_names = bool(others) and all(map(_NAME.fullmatch, first))

    # Cells of a row are between bars, rows between slashes.
    return _verdict([
        ("a column is asked for by name", "--column utt",
         any(not _is_number(name) for name in requested), "surely"),
        ("a cell cannot be a name", "5 | 7 / 1 | 4", "no" in evidence, "no"),
        ("cells are alike", "so | so / he | she", are_alike, "no"),
        ("a cell must be a name", "nr | x / 1 | a", "surely" in evidence, "surely"),
        ("usual names, or the numbers of pandas", "en | de / go | geh", are_known, "surely"),
        ("two usual names", "word | x | tag / go | 1a | V", evidence.count("known") > 1, "surely"),
        ("a cell is hardly a name", "hi there / we liked it", "unlikely" in evidence, "no"),
        ("one of the most usual names", "text | x / hat | a", has_usual, "perhaps"),
        ("a cell may be a name beside others", "utt | x / it rains | a / we left | b",
         is_one_of_many, "perhaps"),
        ("words, which may be a short text", "hello / it rains", are_names, "perhaps not"),
        ("anything else", "? | hat / 31 | cap", True, "no"),
    ])  # fmt: skip


def _evidence(cell: str, below: Sequence[str], number: str) -> str:
    """Return the evidence for a header in a cell of the first row and the cells below it: "surely",
    "perhaps", "known" (as a name, but of the same kind as these), "unlikely", "no", or "" for
    nothing."""
    held = [value for value in below if tables.folded(value) not in _NOTHING]
    is_empty = tables.folded(cell) in _NOTHING or not held
    is_known = tables.folded(cell) in _KNOWN_NAMES
    is_name = _NAME.fullmatch(cell) is not None
    is_value = cell in held

    # The kind of the cells below.
    on_numbers = all(map(is_quantity, held))
    on_digits = is_name and not _has_digit(cell) and all(map(_has_digit, held))
    on_few = len(held) >= 20 and len(set(held)) <= len(held) / 5
    words, words_below = len(cell.split()), [len(text.split()) for text in held]
    is_text = words > 1 and sum(words_below) < 3 * words * len(held)
    on_texts = words == 1 and all(count > 1 for count in words_below)
    on_several = on_texts and len(held) > 1

    # The cell, and behind the slash those below it.
    return _verdict([
        ("nothing to compare", "a /", is_empty, ""),
        ("a word of the text called like a column", "text / text, hat", is_value and is_known, ""),
        ("a value that recurs", "O / O, B-X", is_value, "no"),
        ("a number above numbers", "5 / 1, 2", on_numbers and is_quantity(cell), "no"),
        ("a name above numbers", "age / 31, 42", on_numbers and is_name, "surely"),
        ("another text above numbers", "? / 31, 42", on_numbers, ""),
        ("the number of its column", "1 / hat, cap", cell == number, "surely"),
        ("another number above words", "7 / hat, cap", is_quantity(cell), ""),
        ("a plain word above dates, numbers of documents and the like", "day / 1 May, 2 May, ...",
         on_digits and len(held) >= SURE_ROWS, "surely"),
        ("the same above few of them", "day / 1 May", on_digits, "perhaps"),
        ("a text like those below", "we saw it / it rains", is_text and not is_known, "unlikely"),
        ("no name", "well, / hat, cap", not is_name and not is_known, "unlikely"),
        ("a usual name above texts", "text / it rains", on_texts and is_known, "surely"),
        ("a usual name above few that recur", "tag / N, V, ...", on_few and is_known, "surely"),
        ("a word above texts", "utt / it rains, we left", on_several, "perhaps"),
        ("a word above few that recur", "kind / N, V, ...", on_few, "perhaps"),
        ("a usual name above others of its kind", "word / walk, go", is_known, "known"),
        ("anything else", "walk / go, see", True, ""),
    ])  # fmt: skip


def _has_digit(text: str) -> bool:
    return any(map(str.isdecimal, text))


def is_quantity(text: str) -> bool:
    """Return whether a cell holds a number, with a decimal point or comma."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


# ---- Which column holds the text, and which the labels, by their content.


@dataclass(frozen=True)
class Content:
    """Statistics of the first cells of a column: how many are filled, how many different values,
    and how many words on average."""

    filled: int
    different: int
    words: float
    is_numeric: bool

    def is_text_beside(self, other: "Content") -> bool:
        """Return whether this column holds texts rather than the other one: many long ones, where
        that one has few different short ones, or numbers."""
        is_varied = self.different > self.filled / 2
        if self.is_numeric or not self.filled:
            return False
        if other.is_numeric or not other.filled:
            return is_varied or self.words >= 2
        is_short = other.words <= max(3, self.words)
        has_few = other.filled > 3 and other.different <= self.different / 2
        is_longer = self.words >= max(2, 2 * other.words) and other.words < 1.5
        return (is_varied and is_short and has_few) or is_longer

    @property
    def may_be_labels(self) -> bool:
        """Whether there are few different short values."""
        return self.words <= 3 and self.filled > 3 and 1 < self.different <= self.filled / 2


def content_of(column: str, sample: Iterable[tables.Row]) -> Content:
    """Return the kind of content of a column in the first rows of a table."""
    values = []
    for row in sample:
        value = row.values.get(column)
        if isinstance(value, list):
            value = " ".join(map(str, value))
        if tables.has_text(value) and str(value).strip():
            values.append(str(value).strip())
    words = sum(len(value.split()) for value in values) / max(1, len(values))
    is_numeric = bool(values) and all(map(is_quantity, values))
    return Content(len(values), len(set(values)), words, is_numeric)


def usual_among(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the columns that are usually called so, in any case, in the order of `usual`."""
    by_name = {tables.folded(name): name for name in reversed(names)}
    return [by_name[name] for name in usual if name in by_name]


def text_column(
    names: Sequence[str], sample: Sequence[tables.Row], where: str, requested: str | None = None,
    usual: Sequence[str] = tables.USUAL_TEXT, what: str = "the text", others: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return the column of the text: the one asked for, else one of a usual name, the only one, or
    the one that holds texts where all others do not.

    what: its content, for messages. others: columns with another use.
    """
    if requested:
        return column_named(requested, names, where)
    free = [name for name in names if name not in others]
    usual_columns = usual_among(free, usual)
    # Two usual columns are rarely both the text, so say which one is read.
    texts = usual_among(usual_columns, tables.USUAL_TEXT)
    if len(texts) > 1 and texts[0] == usual_columns[0]:
        notice(
            f"{where}: the column {texts[0]} is read; "
            + keyword("column", texts[1])
            + " reads the other one"
        )
    if usual_columns or len(free) == 1:
        return (usual_columns or free)[0]
    text = text_among({name: content_of(name, sample) for name in free})
    if text is not None:
        return text
    ways = [keyword("column", name) for name in likely_texts(free, sample)[:2]]
    raise unclear(where, names, what, ways)


def text_among(contents: Mapping[str, Content]) -> str | None:
    """Return the column that is the only one, or holds texts where all others do not; None where
    there is no such column."""
    for name, content in contents.items():
        others = [other for column, other in contents.items() if column != name]
        if all(map(content.is_text_beside, others)):
            return name
    return None


def likely_texts(names: Iterable[str], sample: Sequence[tables.Row]) -> list[str]:
    """Return the columns with columns of numbers at the end, and before them columns of single
    words."""
    contents = {name: content_of(name, sample) for name in names}
    return sorted(
        contents, key=lambda name: (contents[name].is_numeric, contents[name].words < 1.5)
    )


def unclear(where: str, names: Sequence[str], what: str, ways: Sequence[str]) -> TextError:
    """Return the error for columns whose content is unclear. ways: to name them."""
    return TextError(
        f"{where}: which column holds {what}?",
        "it has " + (", ".join(names) or "no columns"),
        "name it: " + joined_message(", or ", ways) if ways else "",
    )
