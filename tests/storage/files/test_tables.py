"""Tables of every form; TSV is read back by Python's csv, by pandas and by ourselves."""

import csv
import gzip
import io
import secrets
import tracemalloc

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, example, given, strategies as st

from rnnlm.errors import TextError
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import save_file


def values(path) -> list[dict]:
    return [row.values for row in tables.rows(str(path))]


@pytest.mark.parametrize("name, content", [
    ("a.jsonl", '{"a": "x", "b": "1"}\n\n{"a": "y \\"q\\"", "b": "2"}\n'),
    ("a.json", '[{"a": "x", "b": "1"},\n {"a": "y \\"q\\"", "b": "2"}]\n'),
    ("a.csv", 'a,b\nx,1\n"y ""q""",2\n'),
    ("a.tsv", 'a\tb\nx\t1\ny "q"\t2\n'), ("a.tsv", '\ufeffa\tb\r\nx\t1\r\ny "q"\t2\r\n'),
])  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_rows(tmp_path, name, content, packed):
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert values(path) == [{"a": "x", "b": "1"}, {"a": 'y "q"', "b": "2"}]


def test_parquet_gives_chosen_columns(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", "y"], "b": [1, 2]}), path)
    assert values(path) == [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    assert [row.values for row in tables.parquet_rows(str(path), ["b"])] == [{"b": 1}, {"b": 2}]
    assert tables.parquet_columns(str(path)) == ["a", "b"]


def test_tsv_quotes_are_literal_unless_quoting_a_cell(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b'a\tb\n"x\ty\n"x ""y"""\t"two\nlines"\nx\n1\t2\t3\n')
    literal, quoted, short, long = values(path)
    assert literal == {"a": '"x', "b": "y"} and quoted == {"a": 'x "y"', "b": "two\nlines"}
    assert short == {"a": "x", "b": None} and long == {"a": "1", "b": "2", None: ["3"]}


def test_empty_cells_and_semicolons_of_spreadsheets_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,,\n1,,,,\n")
    assert values(path) == [{"a": "1", "": ""}]
    path.write_text("a\nHe came, and saw\n")
    assert [row.is_too_long for row in tables.rows(str(path))] == [True]
    path.write_bytes('\ufeffitem;text\r\n1;"Ja; nein, vielleicht"\r\n2;10,5\r\n'.encode())
    first, second = values(path)
    assert first == {"item": "1", "text": "Ja; nein, vielleicht"}
    assert second == {"item": "2", "text": "10,5"}
    path.write_bytes("\ufeffsep=;\r\na;b,c,d\r\n1;2\r\n".encode())
    [row] = tables.rows(str(path))
    assert (row.where, row.values) == (f"{path}, line 3", {"a": "1", "b,c,d": "2"})


@pytest.mark.parametrize(("header", "columns", "delimiter"), [
    ("item;text", (), ";"), ("item\ttext", (), "\t"), ("a|b", (), "|"), ("a,b", (), ","),
    ("text", (), ","), ("", (), ","), ("a,b;c", (), ","),
    ("nr;text, German;a, b, c", (), ","), ("nr;text, German;a, b, c", ("nr",), ";"),
    ("nr;text;a, b, c, d, e", (), ";"), ("review;note, long, very", (), ";"),
    ('"item";"Satz, deutsch";"x, y, z"', (), ";"), ('"a;b","c;d"', (), ","),
    ("a,b;c;d", ("a", "b;c;d"), ","), ('"a;b', (), ","),
])  # fmt: skip
def test_csv_delimiter_is_chosen_to_match_expected_columns(header, columns, delimiter):
    assert tables.delimiter_of(f"{header}\r\n", columns) == delimiter


def test_floats_of_fewer_bits_are_what_they_are_written_as(tmp_path):
    numbers = {
        name: pyarrow.array(np.array([0.1, -3, np.inf], dtype=name), mask=np.array([0, 0, 1], bool))
        for name in ("float16", "float32", "float64")
    }
    pyarrow.parquet.write_table(pyarrow.table(numbers), tmp_path / "n.parquet")
    found = [[*row.values.values()] for row in tables.rows(str(tmp_path / "n.parquet"))]
    assert found == [[0.1] * 3, [-3] * 3, [None] * 3]


def test_parquet_columns_keep_types_and_mixed_become_text(tmp_path):
    columns = {  # what is written, and what is read
        "n": ([1, None, 3], [1, None, 3]), "mixed": ([1.5, "x", True], ["1.5", "x", "1"]),
        "large": ([1 << 70, None, 2], [str(1 << 70), None, "2"]),
        "list": ([[1, {"a": None}], None, []], ['[1, {"a": null}]', None, "[]"]),
        "bits": ([None, 2.0, None], [None, 2.0, None]), "none": ([None] * 3, [None] * 3),
    }  # fmt: skip
    types = {name: "double" if name == "bits" else None for name in columns}
    rows = [{name: columns[name][0][row] for name in columns} for row in range(3)]
    batches = [{name: [row[name] for row in part] for name in columns}
               for part in (rows[:1], [], rows[1:])]  # fmt: skip
    tables.save_parquet(tmp_path / "t.parquet", types, batches)
    found = list(tables.rows(str(tmp_path / "t.parquet")))
    for name, (_, expected) in columns.items():
        assert [row.values[name] for row in found] == expected, name
    tables.save_parquet(tmp_path / "empty.parquet", types, [])
    assert tables.parquet_columns(str(tmp_path / "empty.parquet")) == list(types)


def test_long_parquet_files_have_several_groups_of_one_type(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 64)
    batches = [{"id": [number], "word": ["a" * 50]} for number in (1, 2.5, "x")]
    tables.save_parquet(tmp_path / "t.parquet", {"id": None, "word": "string"}, batches)
    file = pyarrow.parquet.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups == 2
    assert file.read().to_pydict() == {"id": ["1", "2.5", "x"], "word": ["a" * 50] * 3}


@pytest.mark.parametrize("name", ["t.jsonl.zst", "t.csv.gz", "t.parquet"])
def test_reading_reports_bytes_within_compressed_tables(tmp_path, name):
    texts = [secrets.token_hex(200) for _ in range(2000)]
    path = tmp_path / name
    if name == "t.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    else:
        lines = (f'{{"text": "{text}"}}\n' if "jsonl" in name else f"{text},\n" for text in texts)
        save_file(path, [b"text,n\n" * ("csv" in name), *map(str.encode, lines)])
    counts = []
    assert len(list(tables.rows(str(path), on_read=counts.append))) == len(texts)
    assert len(list(filter(None, counts))) > 5 and max(counts) < path.stat().st_size / 3
    assert sum(counts) == pytest.approx(path.stat().st_size, rel=0.01)


@pytest.mark.parametrize("line", [2, 5, 40])
def test_an_open_quotation_mark_is_named_by_its_line(tmp_path, line):
    lines = ["id,text", *(f'{number},"it rains"' for number in range(1, 40))]
    lines[line - 1] = lines[line - 1].removesuffix('"')
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TextError, match=rf"a.csv, line {line}: not readable as a table"):
        list(tables.rows(str(path)))


def test_expanding_parquet_file_is_read_in_parts(tmp_path):
    path, text = tmp_path / "table.parquet", "x" * (1 << 17)
    pyarrow.parquet.write_table(pyarrow.table({"text": [text] * 800}), path)
    assert path.stat().st_size < 10_000
    tracemalloc.start()
    try:
        lengths = (len(row.values["text"]) for row in tables.rows(str(path)))
        assert sum(lengths) == 800 * len(text)
        assert tracemalloc.get_traced_memory()[1] < 70 << 20
    finally:
        tracemalloc.stop()


COLUMNS = 3
cells = st.text(st.sampled_from('"\t\n\r a\u2028'), max_size=6)
some_tables = st.lists(st.lists(cells, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=4)


def read(text: str, columns: int | None = None) -> list[list[str]]:
    return [row for _, row in tables.tsv_rows(io.StringIO(text, newline="\n"), columns)]


@example(
    [['a "quoted" word', 'an "odd one', '"whole"'], ["a\ttab", "two\nlines", '"'], ['""', "", "\n"]]
)
@example([["", "", 'ends with "'], ['" begins', "\t", '"\n"\t"']])
@given(some_tables)
def test_written_tsv_is_read_back_by_pythons_csv_and_ourselves(table):
    written = "".join(map(tables.tsv_line, table))
    assert list(csv.reader(io.StringIO(written, newline=""), delimiter="\t")) == table
    for row in table:  # but for cells whose every line looks like a row
        lines = tables.tsv_line(row).removesuffix("\n").split("\n")
        assume(len(lines) == 1 or any(line.count("\t") != COLUMNS - 1 for line in lines))
    assert read(written, COLUMNS) == table


def test_written_tsv_is_read_back_by_pandas_defaults(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = [
        ["1st", 'a "quoted" word', 'an "odd one'], ["2nd", '"whole"', "a\ttab"],
        ["3rd", "two\nlines", '"'], ["4th", 'x""', '"Well, \n'],
    ]  # fmt: skip
    path = tmp_path / "table.tsv"
    lines = map(tables.tsv_line, [["a", "b", "c"], *table])
    path.write_text("".join(lines), encoding="utf-8", newline="")
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
    found = tables.tsv_rows(io.StringIO('a\tb\n\n1\t"x\n\ny"\n2\tz\n'))
    assert [number for number, _ in found] == [1, 3, 6]


def test_search_for_the_closing_quote_is_bounded(monkeypatch):
    monkeypatch.setattr(tables, "READ_AHEAD", 10)
    asked = []
    lines = ["a\tb\n", '"open\n', *["x\ty\n"] * 100, 'closed"\tz\n']
    rows = tables.tsv_rows(asked.append(line) or line for line in lines)
    assert [next(rows), next(rows)][1] == (2, ['"open']) and len(asked) < 10
