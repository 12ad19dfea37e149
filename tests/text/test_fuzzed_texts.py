"""Texts and tables: whatever the bytes are, lines or an RnnlmError come of them."""

import bz2
import csv
import gzip
import io
import itertools
import lzma

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import example, given, strategies as st

from rnnlm.errors import RnnlmError
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.storage.files import tables
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings, split_words
from rnnlm.text.sources import SourceSettings
from support.odd_inputs import (
    PIECES,
    changed,
    damaged,
    deep_json,
    json_bytes,
    odd_json,
    odd_text,
    value_or_error,
)

pytestmark = pytest.mark.soak

TEXT = b"the cat sat\non the mat\n\n\xc3\xa9t\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\n" * 3
COMPRESSED = {
    ".gz": gzip.compress(TEXT), ".xz": lzma.compress(TEXT), ".bz2": bz2.compress(TEXT),
    ".zst": zstandard.compress(TEXT) + zstandard.compress(TEXT),
}  # fmt: skip
ROWS = [{"id": "a", "text": "the cat", "n": 1}, {"id": "b", "text": "a dog", "n": 2.5}]
JSON_LINES = b"".join(json_bytes(row) + b"\n" for row in ROWS)
CSV = b'id,text,n\na,"the cat, ""sat""",1\nb,a dog,2\n'
TSV = b'id\ttext\tn\na\tthe "cat"\t1\nb\ta dog\t2\n'


def lines_of(path, **settings) -> list[str] | RnnlmError:
    corpus = Corpus((str(path),), TextSettings(**settings), SourceSettings("text"))
    return value_or_error(lambda: [line for block in corpus.blocks() for line in block.lines])


def sentences_of(path, **settings):
    asked = SentenceSettings(**settings)
    return value_or_error(lambda: list(itertools.islice(read_sentences((str(path),), asked), 500)))


odd_bytes = st.lists(
    st.sampled_from(PIECES) | st.sampled_from([b"the cat", b"a"]) | st.binary(max_size=8),
    max_size=12,
).map(b"".join)
OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")  # the byte order marks of UTF-16
text_settings = st.fixed_dictionaries({
    "encoding_errors": st.sampled_from(["strict", "replace"]),
    "blank_lines": st.sampled_from(["skip", "keep", "documents"]),
    "special_symbols": st.sampled_from(["error", "drop", "replace"]),
})  # fmt: skip


@example(b"\xff\xfe", {"encoding_errors": "replace", "special_symbols": "drop"})
@given(st.one_of(odd_bytes, damaged(TEXT)), text_settings)
def test_a_text_of_any_bytes(place, data, settings):
    path = place / "text.txt"
    path.write_bytes(data)
    lines = lines_of(path, **settings)
    if isinstance(lines, RnnlmError):
        is_refused = data.startswith(OTHER_ENCODINGS)  # whatever the settings
        assert is_refused or "error" in settings.values() or "strict" in settings.values()
        return
    assert not any("\n" in line for line in lines)
    again = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(again)
    if settings["blank_lines"] == "skip" and not again.startswith(b"\xef\xbb\xbf"):
        expected = [split_words(line) for line in lines]
        assert [split_words(line) for line in lines_of(path, **settings)] == expected
    sentences_of(path)


@pytest.mark.parametrize("suffix", COMPRESSED)
@given(st.data())
def test_a_damaged_compressed_text(place, suffix, data):
    path = place / f"text{suffix}"
    path.write_bytes(data.draw(damaged(COMPRESSED[suffix], TEXT)))
    lines_of(path, encoding_errors="replace")


def rows_of(path, kind):
    return value_or_error(lambda: list(tables.rows(str(path), kind, "replace")))


json_files = st.one_of(
    damaged(JSON_LINES, json_bytes(ROWS)), changed(ROWS).map(json_bytes),
    st.lists(odd_json.map(json_bytes), max_size=4).map(b"\n".join),
    changed(ROWS[0]).map(lambda row: JSON_LINES + json_bytes(row) + b"\n"), deep_json,
    deep_json.map(lambda deep: b'{"id": %s, "text": "a"}\n' % deep),
    deep_json.map(lambda deep: b'[{"id": "a", "text": %s}]' % deep),
)  # fmt: skip


@given(json_files)
def test_json_of_any_kind(place, data):
    for name in ("rows.jsonl", "rows.json"):
        path = place / name
        path.write_bytes(data)
        rows_of(path, tables.JSON_LINES)
        lines_of(path)
        sentences_of(path, column="text", id_column="id")
        sentences_of(path)


cells = st.lists(st.lists(odd_text, max_size=4), max_size=4)


def as_csv(table: list[list[str]], delimiter: str) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(table)
    return stream.getvalue().encode("utf-8", "surrogatepass")


@given(
    st.one_of(
        damaged(CSV, TSV), odd_bytes,
        cells.map(lambda table: as_csv([["id", "text"], *table], ",")),
        cells.map(lambda table: as_csv(table, "\t")),
    )
)  # fmt: skip
def test_tables_of_any_cells(place, data):
    for suffix in (tables.CSV, tables.TSV):
        path = place / f"table.{suffix}"
        path.write_bytes(data)
        rows_of(path, suffix)
        lines_of(path)
        sentences_of(path, column="text")


def parquet(table: pyarrow.Table) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    return stream.getvalue()


NUMBERS = [1.5, float("inf"), float("nan")]
PARQUET = parquet(pyarrow.table({"text": ["the cat", None, "a dog"], "n": NUMBERS}))


@given(damaged(PARQUET))
def test_a_damaged_parquet_file(place, data):
    path = place / "table.parquet"
    path.write_bytes(data)
    rows_of(path, tables.PARQUET)
    lines_of(path)
    sentences_of(path, column="text")
