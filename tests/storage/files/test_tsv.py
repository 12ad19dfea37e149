"""TSV: what is written is read back by Python's csv, by pandas and by ourselves; text that nobody
quoted is read as it stands."""

import csv
import io

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rnnlm.storage.files import tables as tsv

COLUMNS = 3
cells = st.text(st.sampled_from('"\t\n\r a\u2028'), max_size=6)
tables = st.lists(st.lists(cells, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=4)


def read(text: str, columns: int | None = None) -> list[list[str]]:
    return [row for _, row in tsv.tsv_rows(io.StringIO(text, newline="\n"), columns)]


@example(
    [['a "quoted" word', 'an "odd one', '"whole"'], ["a\ttab", "two\nlines", '"'], ['""', "", "\n"]]
)
@example([["", "", 'ends with "'], ['" begins', "\t", '"\n"\t"']])
@given(tables)
def test_written_tsv_is_read_back_by_pythons_csv(table):
    written = "".join(map(tsv.tsv_line, table))
    assert list(csv.reader(io.StringIO(written, newline=""), delimiter="\t")) == table


@example(
    [['a "quoted" word', 'an "odd one', '"whole"'], ["a\ttab", "two\nlines", '"'], ['""', "", "\n"]]
)
@given(tables)
def test_what_is_written_is_read_back_by_ourselves(table):
    for row in table:  # but for cells whose every line looks like a row
        lines = tsv.tsv_line(row).removesuffix("\n").split("\n")
        assume(len(lines) == 1 or any(line.count("\t") != COLUMNS - 1 for line in lines))
    assert read("".join(map(tsv.tsv_line, table)), COLUMNS) == table


def test_written_tsv_is_read_back_by_pandas_defaults(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = [
        ["1st", 'a "quoted" word', 'an "odd one'], ["2nd", '"whole"', "a\ttab"],
        ["3rd", "two\nlines", '"'], ["4th", 'x""', '"Well, \n'],
    ]  # fmt: skip
    path = tmp_path / "table.tsv"
    path.write_text(
        "".join(map(tsv.tsv_line, [["a", "b", "c"], *table])), encoding="utf-8", newline=""
    )
    assert pandas.read_csv(path, sep="\t").values.tolist() == table


@pytest.mark.parametrize("text, rows", [
    ('a\tb\n"x" y\t"z"\n', [['"x" y', "z"]]),
    ('a\tb\n"Says who?" "Says me."\tx "y\n', [['"Says who?" "Says me."', 'x "y']]),
    ('a\tb\n"x ""y"" z"\t""""\n', [['x "y" z', '"']]),
    ('a\tb\n"\t"x\n""\ty\n', [['"', '"x'], ["", "y"]]),
    ('a\tb\n"open\ty\nz\tclosed"\n', [['"open', "y"], ["z", 'closed"']]),
    ('a\tb\n1\t"I know\n2\twhat to do."\n', [["1", '"I know'], ["2", 'what to do."']]),
    ('a\tb\n1\t"two\nlines"\n2\ty\n', [["1", "two\nlines"], ["2", "y"]]),
    ('a\tb\r\n"two\r\nlines"\ty\r\n', [["two\r\nlines", "y"]]),
    ('a\tb\n"x\ty"\tz\n"x\ty"\n', [["x\ty", "z"], ['"x', 'y"']]),
    ('a\tb\n\n"never closed\nz\ty\n', [['"never closed'], ["z", "y"]]),
    ('a\tb\n1\t"two\nli"nes"\n', [["1", '"two'], ['li"nes"']]),
])  # fmt: skip
def test_only_properly_quoted_cells_are_unquoted(text, rows):
    assert read(text)[1:] == rows


def test_rows_tell_their_first_line():
    found = tsv.tsv_rows(io.StringIO('a\tb\n\n1\t"x\n\ny"\n2\tz\n'))
    assert [number for number, _ in found] == [1, 3, 6]


def test_search_for_the_closing_quote_is_bounded(monkeypatch):
    monkeypatch.setattr(tsv, "READ_AHEAD", 10)
    asked = []
    lines = ["a\tb\n", '"open\n', *["x\ty\n"] * 100, 'closed"\tz\n']
    rows = tsv.tsv_rows(asked.append(line) or line for line in lines)
    assert [next(rows), next(rows)][1] == (2, ['"open']) and len(asked) < 10
