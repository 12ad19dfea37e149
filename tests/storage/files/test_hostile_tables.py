"""JSON-lines, CSV, TSV and Parquet as texts, as sentences to score, as minimal pairs."""

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm.storage.files import reading
from rnnlm.text import lines

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/mixtures", "tools/pairs")


def parquet(values, name="text"):
    stream = io.BytesIO()
    pq.write_table(pa.table({name: values}), stream)
    return stream.getvalue()


DEEP = b"[" * 200_000
DEEP_ROW = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
NEST_OF_OBJECTS = b'{"text": "a", "id": ' + b'{"a":' * 600 + b"0" + b"}" * 600 + b"}\n"
MANY = parquet(["the man"] * 500)
TABLES = {
    "no JSON": ("t.jsonl", b"the man\n", "t.jsonl, line 1: not JSON"),
    "cut off": ("t.jsonl", b'{"text": "a"}\n{"text": "the', "t.jsonl, line 2: not JSON"),
    "an array of numbers": ("t.jsonl", b"[1, 2]\n", "t.jsonl, element 1: not a JSON object"),
    "a number as text": ("t.jsonl", b'{"text": 3}\n',
        "t.jsonl, line 1: column 'text' holds an int"),
    "a number": ("t.jsonl", b"7\n", "t.jsonl, line 1: not a JSON object"),
    "null": ("t.jsonl", b'{"text": null}\n', "no text in t.jsonl"),
    "a column too few": ("t.jsonl", b'{"text": "a"}\n{"b": "c"}\n', "t.jsonl, line 2: no column"),
    "a nest of arrays": ("t.jsonl", b'{"text": "a"}\n' + DEEP_ROW, "t.jsonl, line 2: not JSON"),
    "a nest of objects": ("t.jsonl", NEST_OF_OBJECTS, "t.jsonl, line 1: not JSON"),
    "half a nest of arrays": ("t.jsonl", DEEP, "t.jsonl, line 1: not JSON"),
    "JSON not UTF-8": ("t.jsonl", b'{"text": "\xff"}\n', "t.jsonl, line 1, byte 11: not UTF-8"),
    "half a surrogate pair": ("t.jsonl", b'{"text": "\\ud800"}\n',
        "t.jsonl, line 1, column 'text': not UTF-8"),
    "NaN": ("t.jsonl", b'{"text": NaN}\n', "no text in t.jsonl"),
    "JSON in UTF-16": ("t.jsonl", '{"text": "a"}'.encode("utf-16"), "t.jsonl is in UTF-16"),
    "no JSON-lines": ("t.jsonl", b"", "no text in t.jsonl"),
    "a reserved symbol behind a newline": ("t.jsonl", b'{"text": "the\\nman"}\n{"text": "</s>"}\n',
        "t.jsonl, line 3: the text holds </s>"),
    "no header": ("t.csv", b"", "no text in t.csv"),
    "no such column": ("t.csv", b"a,b\nx,y\n", "t.csv, line 2: no column 'text'"),
    "a column twice": ("t.csv", b"text,text\na,b\n", "t.csv, line 1: column 'text' appears twice"),
    "an open quotation": ("t.csv", b'text\n"the man\n', "t.csv, line 2: not readable as a table"),
    "too many cells": ("t.csv", b"text,b\na,b,c\n", "t.csv, line 2: the row has more cells than"),
    "too few cells": ("t.csv", b"b,text\nthe\n", "no text in t.csv"),
    "CSV not UTF-8": ("t.csv", b"text\n\xff\n", "t.csv, line 2, byte 1: not UTF-8"),
    "TSV not UTF-8": ("t.tsv", b"text\n\xff\n", "t.tsv, line 2, byte 1: not UTF-8"),
    "NUL": ("t.csv", b"te\0xt\na\n", "t.csv, line 1, byte 3: a NUL byte"),
    "a reserved symbol": ("t.csv", b"text\n<s>\n", "t.csv, line 1: the text holds <s>"),
    "no Parquet": ("t.parquet", b"the man\n", "cannot read t.parquet"),
    "Parquet, cut off": ("t.parquet", MANY[:-20], "cannot read t.parquet"),
    "a footer of 4 GB": ("t.parquet", MANY[:-8] + b"\xf0\xff\xff\xffPAR1", "cannot read t.parquet"),
    "Parquet not UTF-8": ("t.parquet", MANY[:25] + bytes([MANY[25] ^ 0xFF]) + MANY[26:],
        "t.parquet, after row 0: not UTF-8"),
    "numbers": ("t.parquet", parquet([1, 2]), "t.parquet, row 1: column 'text' holds an int"),
    "bytes": ("t.parquet", parquet([b"\xff"]), "t.parquet, row 1: column 'text' holds bytes that"),
    "missing texts": ("t.parquet", parquet([None, ""]), "no text in t.parquet"),
    "another column": ("t.parquet", parquet(["x"], "a"), "t.parquet, row 1: no column 'text'"),
    "no rows": ("t.parquet", parquet(pa.array([], pa.string())), "no text in t.parquet"),
}  # fmt: skip
COMMANDS = {  # a table, what reads it, and what is said
    "trained on": ("t.jsonl", b"x", "train t.jsonl --model unigram -o out", "t.jsonl, line 1: not"),
    "no columns": (
        "t.jsonl", b"{}\n", "score -m {unigram} --input t.jsonl", "t.jsonl, line 1: which"),
    "a table further on": (
        "t.jsonl", b"x\n" * 100 + b'{"text": "a"}\n', "score -m {unigram} --input t.jsonl",
        "t.jsonl, line 1: which column"),
    "columns unnamed": ("t.csv", b"a,b\nx,y\n", "eval -m {unigram} t.csv", "t.csv, line 1: which"),
    "no such column": (
        "t.tsv", b"a\tb\nx\ty\n", "score -m {unigram} --input t.tsv --column text",
        "t.tsv, line 2: no column 'text'"),
    "no table": (
        "t.txt", b"text\na\n", "score -m {unigram} --input t.txt --column text",
        "t.txt does not have a table suffix"),
    "truncated": (
        "t.csv.gz", gzip.compress(b"text\na\n" * 100)[:-9],
        "score -m {unigram} --input t.csv.gz --column text", "cannot read t.csv.gz"),
    "half a pair": (
        "t.tsv", b"good\tbad\na\t\n", "score -m {unigram} --pairs t.tsv", "no pair can"),
    "a nest of pairs": (
        "t.jsonl", b'{"good": "a", "bad": "b"}\n' + DEEP_ROW, "score -m {unigram} --pairs t.jsonl",
        "t.jsonl, line 2: not JSON"),
}  # fmt: skip
SCORED = {
    "lines that are none": ("t.jsonl",
        b'{"text": "a"}\n' + DEEP_ROW + b'\xff\n{"text": "\xff"}\n{"text": "\\ud800"}\nx\n'),
    "a nest of objects": ("t.jsonl", NEST_OF_OBJECTS + b'{"text": "b"}\n'),
    "open quotations": ("t.tsv", b'id\ttext\n1\t"the man\n"2\n3\t"\n' * 99),
    "a quotation without end": ("t.tsv", b'text\tid\n"' + (b"a" * 9_999 + b"\n") * 300),
    "a formula of a spreadsheet": ("t.csv", b"text\n\"=cmd|'/C calc'!A0\"\n"),
}  # fmt: skip
LINE = b"a" * (1 << 20)
WORDS = (b"a man " * 999 + b"\n") * 200
ROWS = b'{"text": "a"},' * 100_000 + b"\n"
PAIRS = b'{"good": "a", "bad": "b"},' * 99_999 + b"\n"
EVAL, PAIRED = "eval -m {unigram} --column text", "score -m {unigram} --pairs"
ENDLESS = {  # how a file begins, what comes how often, what reads it, and what is said
    "JSON-lines": ("t.jsonl.gz", b'{"text": "', LINE, 160, EVAL, ", line 1: longer than"),
    "JSON": ("t.json.gz", b"[", ROWS, 90, EVAL, ", line 1: longer than"),
    "CSV": ("t.csv.gz", b"text\n", LINE, 160, EVAL, ", line 2: longer than"),
    "a quotation": ("t.csv.gz", b'text\n"', WORDS, 120, EVAL, ", line"),
    "pairs": ("t.json.gz", b"[", PAIRS, 50, PAIRED, ""),
}


@pytest.mark.parametrize(("name", "content", "what"), TABLES.values(), ids=TABLES)
def test_a_table_that_is_none_is_refused_with_its_line(refused, here, name, content, what):
    (here / name).write_bytes(content)
    refused(f"eval -m {{unigram}} {name} --column text", what)


@pytest.mark.parametrize(("name", "content", "command", "what"), COMMANDS.values(), ids=COMMANDS)
def test_each_use_of_a_table_refuses_it(refused, here, name, content, command, what):
    (here / name).write_bytes(content)
    refused(command, what)


@pytest.mark.parametrize(("name", "content"), SCORED.values(), ids=SCORED)
def test_an_odd_table_is_scored(harmless, here, name, content):
    (here / name).write_bytes(content)
    harmless(f"score -m {{unigram}} --input {name} --column text")


@pytest.mark.parametrize("longest", [1 << 21, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_table_without_end_is_not_read_to_its_end(refused, here, monkeypatch, name, longest):
    file, begin, piece, times, command, what = ENDLESS[name]
    if longest is not None:  # the true limit takes longer to reach
        for module in (reading, lines):
            monkeypatch.setattr(module, "LONGEST_LINE", longest)
    (here / file).write_bytes(gzip.compress(begin) + gzip.compress(piece) * times)
    refused(f"{command} {file}", f"{file}{what}")
