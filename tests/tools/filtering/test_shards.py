"""Shards of every format: rows stay as they are, and faults name their place."""

import bz2
import gzip
import itertools
import json
import lzma
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, strategies as st

from rnnlm.errors import TextError, UsageError
from rnnlm.storage.files.reading import opened
from rnnlm.text.lines import TextSettings
from rnnlm.tools.filtering.shards import ShardReadSettings, open_shard

COMPRESS = {
    ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress,
}  # fmt: skip
ROWS = [
    '{"id": 12345678901234567890123, "text": "a b", "x": 1.50}',
    '{"text":"a\\nb b","x":null}',
    '{ "x" : [1, {"y": "}"}], "text" : "\\u00e9" }  ',
]


def read(path, **reading):
    return list(open_shard(str(path), ShardReadSettings(**reading)).chunks())


def texts_of(chunks):
    """Return the documents of all chunks, as lists of lines."""
    found = []
    for chunk in chunks:
        starts = chunk.documents.starts_D.tolist()
        lines = list(chunk.documents.lines)
        found += [lines[one:two] for one, two in itertools.pairwise(starts)]
    return found


def written(path, numbers, columns, target, **reading):
    """Write the documents with these numbers as a shard. columns: of all documents."""
    shard = open_shard(str(path), ShardReadSettings(**reading))
    before = 0
    with open(target, "wb") as stream:
        output = shard.output(stream)
        for chunk in shard.chunks():
            after = before + len(chunk.documents)
            here = [number - before for number in numbers if before <= number < after]
            added = {name: values[before:after] for name, values in columns.items()}
            output.write(chunk.chosen(np.array(here, np.int64), added))
            before = after
        output.finish()


# ---- JSON-lines.


def test_rows_of_json_stay_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\ufeff" + "\n".join([ROWS[0], "", *ROWS[1:]]), encoding="utf-8")
    assert texts_of(read(path)) == [["a b"], ["a", "b b"], ["é"]]
    columns = {"perplexity": [1.5, None, 2.0], "bücket": ["head", None, "tail"]}
    written(path, [0, 2], columns, tmp_path / "b.jsonl")
    first, last = (tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines()
    assert first == ROWS[0][:-1] + ', "perplexity": 1.5, "bücket": "head"}'
    assert json.loads(last) == {**json.loads(ROWS[2]), "perplexity": 2.0, "bücket": "tail"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    st.lists(st.dictionaries(st.text(), VALUES, max_size=4), min_size=1, max_size=5),
    st.text(min_size=1).filter(lambda name: name != "text"), st.booleans(),
)  # fmt: skip
def test_rows_of_any_kind_only_gain_columns(rows, added, ascii_only):
    rows = [{name: value for name, value in row.items() if name != added} for row in rows]
    rows = [{**row, "text": "a b"} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        lines = [json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows]
        path.write_text("".join(lines), "utf-8", newline="\n")
        columns = {added: [float(number) for number in range(len(rows))]}
        written(path, range(len(rows)), columns, Path(folder) / "b.jsonl", column="text",
                added=(added,))  # fmt: skip
        found = (Path(folder) / "b.jsonl").read_text("utf-8").split("\n")[:-1]
    for number, (row, line, before) in enumerate(zip(rows, found, lines, strict=True)):
        assert json.loads(line) == {**row, added: number}
        assert line.startswith(before.rstrip()[:-1].rstrip())


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_compressed_shards_are_written_compressed(tmp_path, suffix):
    data = ("\n".join(ROWS) + "\n").encode()
    path, target = tmp_path / f"a.jsonl{suffix}", tmp_path / f"b.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](data) if suffix else data)
    written(path, [0, 1, 2], {}, target)
    with opened(str(target)) as stream:
        rows = stream.read().decode().splitlines()
    assert rows == [row.rstrip() for row in ROWS]


def test_columns_are_found_or_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a\\"b": "c"}\n{"x": 1, "a\\u0022b": "d"}\n')
    assert texts_of(read(path, column='a"b')) == [["c"], ["d"]]
    path.write_text('{"body": "a", "title": "t"}\n{"title": "u", "body": null}\n')
    assert texts_of(read(path, column="title")) == [["t"], ["u"]]
    assert texts_of(read(path, column="body")) == [["a"], []]
    path.write_text('{"left": "a", "right": "t"}\n')
    with pytest.raises(TextError, match="which column holds the text"):
        read(path)


@pytest.mark.parametrize(("rows", "what"), [
    ('{"text": "a"}\n{"body": "b"}', "line 2: no column 'text'"),
    ('{"text": "a"}\n\n{"text": 3}', "line 3: column 'text' holds an int, not text"),
    ('{"text": ["a"]}', "line 1: column 'text' holds a list, not text"),
    ('{"text": "a"}\n{"text": "b"', "line 2: not JSON"),
    ('{"text": "a"}\n["b"]', "line 2: not a JSON object"),
    ('[{"text": "a"}]', "line 1: not a JSON object"),
    ('{"text": "\\ud800"}', "line 1, column 'text': not UTF-8.*half a character"),
    ('{"perplexity": "a"}', "line 1: the text is in column 'perplexity'"),
])  # fmt: skip
def test_bad_rows_are_errors_with_their_line(tmp_path, rows, what):
    path = tmp_path / "a.jsonl"
    path.write_text(rows)
    with pytest.raises(TextError, match=what):
        read(path, added=("perplexity",))


def test_columns_of_an_earlier_filter_are_renamed(tmp_path):
    path = tmp_path / "a.jsonl"
    huge = "9" * 40
    path.write_text(
        f'{{"perplexity": 3.10, "text": "a", "id": {huge}}}\n'
        '{"text": "b"}\n'
        '{"text": "c", "perplexity": 2, "input_perplexity": NaN, "x": "\\ud800"}\n'
    )
    written(path, [0, 1, 2], {"perplexity": [1, 2, 3]}, tmp_path / "b.jsonl", added=("perplexity",))
    first, second, third = (tmp_path / "b.jsonl").read_text().splitlines()
    # The values stay as they are written.
    assert first == f'{{"input_perplexity": 3.10, "text": "a", "id": {huge}, "perplexity": 1}}'
    assert second == '{"text": "b", "perplexity": 2}'
    found = json.loads(third)
    assert math.isnan(found.pop("input_perplexity")) and found == {
        "text": "c", "input_input_perplexity": 2, "x": "\ud800", "perplexity": 3,
    }  # fmt: skip


def test_columns_of_an_earlier_filter_are_renamed_in_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "bucket": ["head"]}), path)
    written(path, [0], {"bucket": ["tail"]}, tmp_path / "b.parquet", added=("bucket",))
    row = {"text": "a", "input_bucket": "head", "bucket": "tail"}
    assert pyarrow.parquet.read_table(tmp_path / "b.parquet").to_pylist() == [row]


def test_bad_utf8_is_an_error_or_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"id": "\x81", "text": "b\x81"}\n')
    with pytest.raises(TextError, match="line 2, byte 9: not UTF-8"):
        read(path)
    replace = TextSettings(encoding_errors="replace", special_symbols="replace")
    assert texts_of(read(path, text=replace)) == [["a"], ["b\ufffd"]]
    written(path, [1], {}, tmp_path / "b.jsonl", text=replace)
    assert json.loads((tmp_path / "b.jsonl").read_bytes())["id"] == "\ufffd"


# ---- Plain text.


def test_lines_are_documents(tmp_path, small_chunks):
    small_chunks(4)
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\r\n\n  \nc <s>\nd")
    chunks = read(path)
    assert texts_of(chunks) == [["a b"], ["c <unk>"], ["d"]] and len(chunks) > 1
    # What is written is the line itself.
    written(path, [0, 1, 2], {"perplexity": [1, 2, 3]}, tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == b"a b\nc <s>\nd\n"


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_blank_lines_separate_documents(tmp_path, small_chunks, size):
    small_chunks(size)
    path = tmp_path / "a.txt"
    path.write_text("\n\na\nb\n\n \nc\n\nd\ne")
    documents = TextSettings(blank_lines="documents", special_symbols="replace")
    assert texts_of(read(path, text=documents)) == [["a", "b"], ["c"], ["d", "e"]]
    written(path, [0], {}, tmp_path / "b.txt", text=documents)
    assert (tmp_path / "b.txt").read_text().startswith("a\nb\n\n")


# ---- Parquet.


@pytest.fixture
def table(tmp_path):
    """Write a table with a type of every kind, in compressed groups of three rows."""
    texts = ["a b", None, "", "c\nd", "e"]
    columns = {
        "text": pyarrow.array(texts, "large_string"),
        "id": pyarrow.array(range(5), "uint64"),
        "tags": pyarrow.array([["x"], [], None, ["y", "z"], ["x"]]),
    }
    made = pyarrow.table(columns).replace_schema_metadata({"maker": "test"})
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(made, path, row_group_size=3, compression="zstd")
    return path


def test_rows_of_parquet_keep_their_columns(table, tmp_path):
    assert texts_of(read(table)) == [["a b"], [], [], ["c", "d"], ["e"]]
    columns = {"perplexity": [1.5, None, None, None, 2.5], "bucket": ["head", *"xyz", "tail"]}
    written(table, [0, 4], columns, tmp_path / "b.parquet")
    found = pyarrow.parquet.ParquetFile(tmp_path / "b.parquet")
    whole = pyarrow.parquet.read_table(table)
    assert found.metadata.row_group(0).column(0).compression == "ZSTD"
    got = found.read()
    assert got.select(whole.column_names).equals(whole.take([0, 4]))
    assert got.schema.metadata == {b"maker": b"test"}
    assert got["perplexity"].to_pylist() == [1.5, 2.5]
    assert got["bucket"].to_pylist() == ["head", "tail"]


def test_chunks_of_parquet_are_joined_to_groups(tmp_path):
    path = tmp_path / "a.parquet"
    numbers = range(40_000)
    table = pyarrow.table({"text": map(str, numbers), "id": numbers})
    pyarrow.parquet.write_table(table, path, row_group_size=30_000)
    assert len(read(path)) > 2
    assert texts_of(read(path)) == [[str(number)] for number in numbers]
    written(path, [0, 2, 39_999], {}, tmp_path / "b.parquet")
    found = pyarrow.parquet.ParquetFile(tmp_path / "b.parquet")
    assert found.metadata.num_row_groups == 1
    assert found.read()["id"].to_pylist() == [0, 2, 39_999]


@pytest.mark.parametrize(("columns", "reading", "what"), [
    ({"body": ["a"], "x": [1]}, {"column": "text"}, "no column 'text'"),
    ({"text": [1]}, {}, "row 1: column 'text' holds an int, not text"),
    ({"bucket": ["a"]}, {}, "the text is in column 'bucket'"),
    ({"a": ["a"], "b": ["b"]}, {}, "which column holds the text"),
])  # fmt: skip
def test_bad_tables_are_errors(tmp_path, columns, reading, what):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(TextError, match=what):
        read(path, added=("bucket",), **reading)


def test_damaged_files_are_errors(table, tmp_path):
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no table")
    (tmp_path / "c.jsonl.gz").write_bytes(COMPRESS[".gz"](b'{"text": "a"}\n' * 99)[:-12])
    (tmp_path / "d.parquet").write_bytes(table.read_bytes()[:-30])
    for name in ("b.parquet", "c.jsonl.gz", "d.parquet"):
        with pytest.raises(TextError, match=f"cannot read .*{name}"):
            read(tmp_path / name)


def test_tables_with_delimiters_are_refused(tmp_path):
    for name, reading in (("a.csv", {}), ("a.tsv", {"column": "text"})):
        with pytest.raises(UsageError, match="delimited tables cannot be filtered"):
            open_shard(str(tmp_path / name), ShardReadSettings(**reading))
