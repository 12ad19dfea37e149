import gzip
import json
import os
import threading

import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import SentenceSettings


def read(*names, **settings):
    sentences = read_sentences(tuple(map(str, names)), SentenceSettings(**settings))
    return [(each.id, each.given, each.text, each.reason) for each in sentences]


def test_lines_are_records_numbered_across_all_texts(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt.gz"
    one.write_bytes(b"\xef\xbb\xbfa b\r\n\n  \nlast")
    two.write_bytes(gzip.compress(b"c\n"))
    assert read(one, two, given="x") == [
        (1, "x", "a b", None), (2, "x", "", None), (3, "x", "  ", None), (4, "x", "last", None),
        (5, "x", "c", None)
    ]  # fmt: skip


def test_non_utf8_bytes_stay_in_their_line(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a\nb \xff\nc\n")
    assert [text for _, _, text, _ in read(path)] == ["a", "b \udcff", "c"]
    replaced = read(path, encoding_errors="replace")
    assert [text for _, _, text, _ in replaced] == ["a", "b \ufffd", "c"]
    path.write_text("a\nb", encoding="utf-16")
    with pytest.raises(TextError, match="is in UTF-16"):
        read(path)


def test_nul_bytes_concern_their_line_or_row(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a\nb\0c\0\nd\n")
    assert [reason for *_, reason in read(path)] == [None, "it holds 2 NUL bytes", None]
    assert read(path, encoding_errors="replace")[1][2:] == ("b\0c\0", None)
    path = tmp_path / "text.csv"
    path.write_bytes(b"text\na\nb\0\n")
    assert [reason for *_, reason in read(path)] == [None, "it holds a NUL byte"]
    path.write_bytes("text\na\n".encode("utf-16-be"))
    with pytest.raises(TextError, match="UTF-16BE"):
        read(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_table_rows_keep_ids_and_given_text(tmp_path, kind):
    columns = {"id": ["s1", "s2"], "sentence": ["a b", ""], "before": ["x", ""]}
    table = pyarrow.table(columns)
    path = tmp_path / f"table.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif kind == "json":
        path.write_text(json.dumps(table.to_pylist()))
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    else:
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        path.write_text("".join(("," if kind == "csv" else "\t").join(row) + "\n" for row in rows))
    assert read(path, column="sentence", given_column="before") == [
        ("s1", "x", "a b", None), ("s2", "", "", "column 'sentence' holds no text"),
    ]  # fmt: skip
    turned = read(path, column="before", id_column="sentence", given="g")
    assert turned[0] == ("a b", "g", "x", None)


def test_rows_without_ids_are_numbered_and_without_text_say_why(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("text,x\na,1\nb,2\n")
    assert [id for id, *_ in read(path, path)] == [1, 2, 3, 4]
    path = tmp_path / "table.jsonl"
    rows = [{"id": 7, "text": "a"}, {"id": 8, "text": 3}, {"id": 9}, {"text": "b", "id": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == [
        (7, "", "a", None), (8, "", "", "column 'text' holds an int, not text"),
        (9, "", "", "column 'text' holds no text"), (4, "", "b", None)
    ]  # fmt: skip


@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_a_line_not_json_gives_its_reason(tmp_path, errors):
    path = tmp_path / "table.jsonl"
    lines = [
        b'{"text": ', b"", b'{"id": "x", "text": "a"}', b"3", b'{"id": "y", "text": "b \xff"}',
        b"[" * 100_000, b'{"id": "z", "text": "c"}',
    ]  # fmt: skip
    path.write_bytes(b"\n".join(lines))
    found = read(path, encoding_errors=errors)
    # A byte that is not UTF-8 is found where the text is checked.
    bad = {"replace": "b \ufffd", "strict": "b \udcff"}[errors]
    assert [id for id, *_ in found] == [1, "x", 3, "y", 5, "z"]
    assert [text for *_, text, _ in found] == ["", "a", "", bad, "", "c"]
    reasons = [reason for *_, reason in found]
    assert reasons[0].startswith("line 1: not JSON (")
    assert reasons[4].startswith("line 6: not JSON (")
    assert reasons[2] == "line 4: not a JSON object"
    assert reasons[1] is reasons[3] is reasons[5] is None


def test_an_unquoted_comma_does_not_truncate_the_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('text\n"He came, he saw"\nHe came, he saw\nHe came,\n')
    found = read(path)
    assert [text for _, _, text, _ in found] == ["He came, he saw", "He came", "He came"]
    why = "the row has more cells than columns"
    assert [reason for *_, reason in found] == [None, why, None]


@pytest.mark.parametrize("name, content, settings, what", [
    ("t.csv", "a,b\n1,2\n", {"column": "c"}, "no column 'c'"),
    ("t.csv", "a,b\n1,2\n", {}, "which column holds the text"),
    ("t.csv", "text\n1\n", {"id_column": "name"}, "no column 'name'"),
    ("t.txt", "a\n", {"column": "c"}, "does not have a table suffix"),
    ("t.json", '[{"text": "a"},\n{"text": \n', {}, "line 1: not JSON"),
    ("t.parquet", "junk", {}, "not a readable Parquet"),
    ("t.jsonl", '\udcff\udcfe{\0"\0', {}, "UTF-16"),
])  # fmt: skip
def test_damaged_tables_are_errors(tmp_path, name, content, settings, what):
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(TextError, match=what):
        read(tmp_path / name, **settings)


def test_json_without_a_suffix_is_a_table_where_a_column_is_named(tmp_path):
    (tmp_path / "rows").write_text('{"said": "a", "id": "x"}\n{"id": "y"}\n')
    found = read(tmp_path / "rows", column="said")
    assert [(id, text) for id, _, text, _ in found] == [("x", "a"), ("y", "")]


def test_two_ways_to_give_context_are_refused(tmp_path):
    with pytest.raises(UsageError, match="given"):
        read(tmp_path, given="a", given_column="b")


def test_repeated_ids_and_tables_as_text_are_reported(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("id\ttext\n1\ta\n2\tb\n1\tc\n1\td\n")
    with pytest.warns(RnnlmWarning, match="several sentences have the id 1") as told:
        assert [id for id, *_ in read(path, column="text")] == ["1", "2", "1", "1"]
    assert len(told) == 1
    other = tmp_path / "t.tsv"
    other.write_text("a\tb\n")
    with pytest.warns(RnnlmWarning, match="s.tsv is read line by line") as told:
        assert len(read(path, other)) == 6
    assert len(told) == 2


def test_bars_not_used_as_region_marks_are_reported(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("sentence\nthe door | was open\na|b\nthe door\n| the cat | sat\n")
    with pytest.warns(RnnlmWarning, match=r'2 sentences have "\|" as .*`region_mark=') as told:
        assert len(read(path)) == 4
    assert len(told) == 1
    path.write_text("sentence\nthe door | was open\n")
    assert read(path, region_mark="|")[0][2] == "the door was open"


@pytest.mark.parametrize("other, what", [
    ({"column": "a"}, "a text column"), ({"region_mark": "|"}, "a mark between regions"),
])  # fmt: skip
def test_columns_of_regions_are_the_text_themselves(other, what):
    with pytest.raises(UsageError, match=f"region columns cannot be combined with {what}"):
        SentenceSettings(region_columns=("b",), **other).check()


@pytest.mark.system("pipes")
def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("the cat\na dog\n"))
    writer.start()
    sentences = list(read_sentences((str(tmp_path / "pipe"),), SentenceSettings()))
    assert [sentence.text for sentence in sentences] == ["the cat", "a dog"]
    writer.join()
