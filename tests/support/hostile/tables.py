"""JSON-lines, CSV, TSV and Parquet as texts, as sentences to score, as minimal pairs."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from support.hostile.cases import Bad, fine
from support.hostile.texts import LONG


def parquet(columns: dict, cut: int = 0, flip: int | None = None):
    """Make a Parquet file, `cut` bytes short, or with one of its bytes changed."""

    def make(path: Path, models) -> None:
        pq.write_table(pa.table(columns), path)
        data = path.read_bytes()
        data = data[: len(data) - cut]
        if flip is not None:
            data = data[:flip] + bytes([data[flip] ^ 0xFF]) + data[flip + 1 :]
        path.write_bytes(data)

    return make


def footer(length: int):
    """Make a Parquet file whose footer claims this length."""

    def make(path: Path, models) -> None:
        parquet({"text": ["the man"]})(path, models)
        data = path.read_bytes()
        path.write_bytes(data[:-8] + length.to_bytes(4, "little") + b"PAR1")

    return make


DEEP = b"[" * 200_000
DEEP_ROW = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
JSON = {
    "no JSON": (b"the man\n", "t.jsonl, line 1: not JSON"),
    "cut off": (b'{"text": "the man"}\n{"text": "the', "t.jsonl, line 2: not JSON"),
    "no object": (b'"the man"\n', "t.jsonl, line 1: not a JSON object"),
    "a number": (b"3\n", "t.jsonl, line 1: not a JSON object"),
    "an array of numbers": (b"[1, 2]\n", "t.jsonl, element 1: not a JSON object"),
    "an array that is cut off": (b'[{"text": "a"},', "t.jsonl, line 1: not JSON"),
    "text is a number": (b'{"text": 3}\n', "t.jsonl, line 1: column 'text' holds an int, not text"),
    "text is null": (b'{"text": null}\n', "no text in t.jsonl"),
    "no such column": (b'{"text": "a"}\n{"other": "b"}\n', "t.jsonl, line 2: no column 'text'"),
    "no column": (b"{}\n", "t.jsonl, line 1"),
    "a nest of arrays": (DEEP_ROW, "t.jsonl, line 1: not JSON"),
    "a nest of arrays that is cut off": (DEEP, "t.jsonl, line 1: not JSON"),
    "a nest of arrays, further on": (b'{"text": "a"}\n' + DEEP_ROW, "t.jsonl, line 2: not JSON"),
    "invalid UTF-8": (b'{"text": "\xff"}\n', "t.jsonl, line 1, byte 11: not UTF-8"),
    "half a surrogate pair": (
        b'{"text": "\\ud800"}\n',
        "t.jsonl, line 1, column 'text': not UTF-8",
    ),
    "1e400": (b'{"text": 1e400}\n', "t.jsonl, line 1"),
    "NaN": (b'{"text": NaN}\n', "no text in t.jsonl"),
    "a number of a million digits": (b'{"text": ' + b"9" * 1_000_000 + b"}\n", "t.jsonl, line 1"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "t.jsonl is in UTF-16, not in UTF-8"),
    "empty": (b"", "no text in t.jsonl"),
    "a newline in a text": (
        b'{"text": "the\\nman"}\n{"text": "</s>"}\n',
        "t.jsonl, line 3: the text holds </s>",
    ),
}
CSV = {
    "no header": (b"", "no text in t.csv"),
    "no such column": (b"a,b\nx,y\n", "t.csv, line 2: no column 'text'"),
    "a column twice": (b"text,text\na,b\n", "t.csv, line 1: column 'text' appears twice"),
    "a quotation mark left open": (b'text\n"the man\n', "t.csv, line 2: not readable as a table"),
    "text after a quotation": (b'text\n"the" man\n', "t.csv, line 2: not readable as a table"),
    "too many cells": (
        b"text,b\nthe,man,was\n",
        "t.csv, line 2: the row has more cells than columns",
    ),
    "too few cells": (b"b,text\nthe\n", "no text in t.csv"),
    "invalid UTF-8": (b"text\n\xff\n", "t.csv, line 2, byte 1: not UTF-8"),
    "UTF-16": ("text\na\n".encode("utf-16"), "t.csv is in UTF-16, not in UTF-8"),
    "NUL": (b"te\0xt\na\n", "t.csv, line 1, byte 3: a NUL byte"),
    "a reserved symbol": (b"text\n<s>\n", "t.csv, line 1: the text holds <s>"),
}
PARQUET = {
    "no Parquet": (b"the man\n", "cannot read t.parquet"),
    "empty": (b"", "cannot read t.parquet"),
    "only its mark": (b"PAR1PAR1", "cannot read t.parquet"),
    "cut off": (parquet({"text": ["the man"]}, cut=20), "cannot read t.parquet"),
    "text that is not UTF-8": (
        parquet({"text": ["the man"] * 500}, flip=25),
        "t.parquet, after row 0: not UTF-8",
    ),
    "a footer of 4 GB": (footer(0xFFFFFFF0), "cannot read t.parquet"),
    "a column of numbers": (
        parquet({"text": [1, 2]}),
        "t.parquet, row 1: column 'text' holds an int, not text",
    ),
    "a column of bytes": (
        parquet({"text": [b"\xff"]}),
        "t.parquet, row 1: column 'text' holds bytes that are not UTF-8",
    ),
    "missing texts": (parquet({"text": [None, ""]}), "no text in t.parquet"),
    "no such column": (
        parquet({"a": ["x"], "b": ["y"]}),
        "t.parquet, row 1: which column holds the text?",
    ),
    "no rows": (parquet({"text": pa.array([], pa.string())}), "no text in t.parquet"),
    "a truncated suffix": (parquet({"text": ["<s>"]}), "t.parquet, line 1: the text holds <s>"),
}
ROWS = [
    Bad(f"JSON-lines: {name}", "eval -m {unigram} t.jsonl", what, {"t.jsonl": content})
    for name, (content, what) in JSON.items()
]
ROWS += [
    Bad(f"CSV: {name}", "eval -m {unigram} t.csv --column text", what, {"t.csv": content})
    for name, (content, what) in CSV.items()
]
ROWS += [
    Bad(f"Parquet: {name}", "eval -m {unigram} t.parquet", what, {"t.parquet": content})
    for name, (content, what) in PARQUET.items()
]
ROWS += [
    fine("JSON-lines: scored, lines that are none", "score -m {unigram} --input t.jsonl",
         {"t.jsonl": b'{"text": "a"}\n' + DEEP_ROW + b'\xff\n{"text": "\xff"}\n{"text": "\\ud800"}\nx\n'}),
    Bad("JSON-lines: scored, none that can be read",
        "score -m {unigram} --input t.jsonl -o out.tsv", "no line could be scored",
        {"t.jsonl": b"the man\n" * 9}, keeps=False),
    fine("TSV: quotation marks left open", "score -m {unigram} --input t.tsv --column text",
         {"t.tsv": b'id\ttext\n1\t"the man\n"2\n3\t"\n' * 99}),
    fine("TSV: a quotation without end", "score -m {unigram} --input t.tsv --column text",
         {"t.tsv": b'text\tid\n"' + (b"a" * 9_999 + b"\n") * 300}),
    Bad("JSON-lines: trained on", "train t.jsonl --model unigram -o out",
        "t.jsonl, line 1: not JSON", {"t.jsonl": b"x"}),
    Bad("JSON-lines: a line without end", "eval -m {unigram} t.jsonl.gz",
        "t.jsonl.gz, line 1: longer than",
        {"t.jsonl.gz": gzip.compress(b'{"text": "') + gzip.compress(LONG) * 160}),
    Bad("JSON: an array without end", "eval -m {unigram} t.json.gz",
        "t.json.gz, line 1: longer than",
        {"t.json.gz": gzip.compress(b"[") + gzip.compress((b'{"text": "a"},' * 999 + b"\n") * 100) * 50}),
    Bad("pairs: an array without end", "score -m {unigram} --pairs t.json.gz", "t.json.gz",
        {"t.json.gz": gzip.compress(b"[") + gzip.compress((b'{"good": "a", "bad": "b"},' * 999 + b"\n") * 100) * 30}),
    Bad("CSV: a quotation without end", "eval -m {unigram} t.csv.gz --column text",
        "t.csv.gz, line",
        {"t.csv.gz": gzip.compress(b'text\n"') + gzip.compress((b"a man " * 999 + b"\n") * 200) * 80}),
    Bad("CSV: a line without end", "eval -m {unigram} t.csv.gz --column text",
        "t.csv.gz, line 2: longer than",
        {"t.csv.gz": gzip.compress(b"text\n") + gzip.compress(LONG) * 160}),
    Bad("CSV: no column named", "eval -m {unigram} t.csv",
        "t.csv, line 1: which column holds the text?",
        {"t.csv": b"the,man\na,b\n"}),
    Bad("CSV: a column that is not there", "score -m {unigram} --input t.csv --column nope",
        "t.csv, line 2: no column 'nope'",
        {"t.csv": b"text\na\n"}),
    Bad("CSV: truncated", "score -m {unigram} --input t.csv.gz --column text",
        "cannot read t.csv.gz",
        {"t.csv.gz": gzip.compress(b"text\na\n" * 100)[:-9]}),
    Bad("TSV: a table by another name", "score -m {unigram} --input t.txt --column text",
        "t.txt does not have a table suffix",
        {"t.txt": b"text\na\n"}),
    Bad("TSV: no such column", "score -m {unigram} --input t.tsv --column text",
        "t.tsv, line 2: no column 'text'",
        {"t.tsv": b"a\tb\nx\ty\n"}),
    Bad("pairs: half a pair", "score -m {unigram} --pairs pairs.tsv", "no pair can be scored",
        {"pairs.tsv": b"good\tbad\nthe\t\n"}),
    Bad("pairs: a nest of arrays", "score -m {unigram} --pairs t.jsonl",
        "t.jsonl, line 2: not JSON",
        {"t.jsonl": b'{"good": "a", "bad": "b"}\n' + DEEP_ROW}),
    fine("CSV: a formula of a spreadsheet is text",
         "score -m {unigram} --input t.csv --column text",
        {"t.csv": b'text\n"=cmd|\'/C calc\'!A0"\n'}),
]  # fmt: skip
