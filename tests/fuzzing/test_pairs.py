"""Minimal pairs of every format, and the formulas of suites: a set of tests, rows that say why they
are none, or an RnnlmError."""

import io
import math

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.errors import RnnlmError
from rnnlm.scoring.pairs.accuracy import PairScores, record_of, score_set
from rnnlm.scoring.pairs.files import read_pairs
from rnnlm.scoring.pairs.suites import LONGEST, Formula, parse
from support.hostile.tables import SUITE
from support.odd_inputs import (
    changed,
    damaged,
    deep_json,
    json_bytes,
    odd_numbers,
    odd_text,
    value_or_error,
)
from support.tiny_models import halves_model

SENTENCES = {
    "sentence_good": "a b",
    "sentence_bad": "b a",
    "UID": "order",
    "pairID": "0",
    "field": "syntax_semantics",
    "distance": 2,
}
WINOGRAD = {"sentence": "a _ b", "option1": "a", "option2": "b", "answer": "1", "qID": "x"}
SCHEMA = {"text": "a it b", "pronoun": "it", "pronoun_loc": 2, "options": ["a", "b"], "label": 0}
TEMPLATE = {"sentence": "a b a", "right": "b", "wrong": "a", "verb_index": 2, "n_attractors": "1.0"}
ROWS = (SENTENCES, WINOGRAD, SCHEMA, TEMPLATE)
TABLES = tuple(
    "\t".join(row).encode() + b"\n" + "\t".join(map(str, row.values())).encode() + b"\n"
    for row in (SENTENCES, WINOGRAD, TEMPLATE)
)


@pytest.fixture(scope="module")
def model():
    return halves_model()


def scored(model, path, data):
    path.write_bytes(data)
    tests = value_or_error(lambda: read_pairs(path, "replace"))
    if not isinstance(tests, RnnlmError):
        scores = value_or_error(lambda: score_set(model, tests))
        if not isinstance(scores, RnnlmError):
            value_or_error(lambda: PairScores(scores).accuracies())
            value_or_error(lambda: [json_bytes(record_of(score)) for score in scores])


@given(
    st.one_of(
        *(changed(row).map(json_bytes) for row in ROWS), damaged(*map(json_bytes, ROWS)),
        *(changed([row, row]).map(json_bytes) for row in ROWS), deep_json,
        deep_json.map(lambda deep: b'{"good": "a b", "bad": "b a", "kind": %s}' % deep),
        deep_json.map(lambda deep: b'[{"good": "a b", "bad": %s}]' % deep),
    )
)  # fmt: skip
def test_any_rows_of_json(place, model, data):
    scored(model, place / "pairs.json", data)
    scored(model, place / "pairs.jsonl", data)


@given(
    st.one_of(
        damaged(json_bytes(SUITE)),
        changed(SUITE).map(json_bytes),
        deep_json.map(lambda deep: b'{"items": %s, "predictions": []}' % deep),
    )
)
def test_any_suite(place, model, data):
    scored(model, place / "suite.json", data)


cells = st.one_of(odd_text, odd_numbers, st.sampled_from(["a b", "b a", "1", "2", "a", "_"]))
headers = st.sampled_from([sorted(row) for row in ROWS])


@given(
    st.one_of(
        damaged(*TABLES),
        st.builds(
            lambda header, cells: ("\t".join(header) + "\n" + "\t".join(cells) + "\n").encode(
                "utf-8", "surrogatepass"
            ),
            headers,
            st.lists(cells, min_size=3, max_size=6),
        ),
    )
)
def test_any_table(place, model, data):
    scored(model, place / "pairs.tsv", data)
    scored(model, place / "pairs", data)


columns = st.sampled_from(sorted({name for row in ROWS for name in row}))
values = st.one_of(
    st.floats(), st.sampled_from(["a b", "b", "1"]), st.none(), st.integers(-3, 3), st.booleans(),
    st.just([["a", "b"]]),
    st.binary(max_size=3),
)  # fmt: skip


@example({"sentence": "a b a", "right": "b", "wrong": "a", "verb_index": math.inf})
@example({"sentence": "a b a", "right": "b", "wrong": "a", "verb_index": 1.5})
@given(
    st.builds(
        lambda row, changes: {**row, **changes},
        st.sampled_from(ROWS),
        st.dictionaries(columns, values, max_size=2),
    )
)
def test_any_row_of_parquet(place, model, row):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table({name: [value] for name, value in row.items()}), stream
    )
    scored(model, place / "pairs.parquet", stream.getvalue())


terms = st.sampled_from(
    [
        "(2;%match%)", "(1; %mismatch%)", "(*;%a b%)", "1", "0.5", "01", "1.", "9" * 400,
        "9" * 1900, "()", "-", "(", ")", "[", "]", "",
        "\u2003", "\x1f",
    ]
)  # fmt: skip
operators = st.sampled_from([" > ", "<", " = ", "==", "&", " | ", "+", "-", "--", "\n", " ", "and"])
formulas = st.lists(st.tuples(terms, operators), max_size=8).map(
    lambda parts: "".join(f"{term}{operator}" for term, operator in parts) + "(2;%match%)"
)
LONG = st.builds(
    lambda piece, count, end: piece * count + end,
    st.sampled_from(["-", "+", "(", "[", "1+", "1-", "(2;%a%) > 1 &", "1>1|", "(-", "1+(", "!"]),
    st.integers(1, LONGEST),
    st.sampled_from(["1 > 1", "1", "(2;%a%) > 1"]),
)


@example(f"{'9' * 400} > (1;%a%)")
@example(f"{'1+' * 900}(1;%a%) > 1")
@example(f"{'-' * 900}(1;%a%) > 1")
@example(f"{'(1>1)&' * 150}{'(' * 150}1 > 1{')' * 150}")
@given(
    formulas
    | LONG
    | odd_text
    | damaged(b"((2;%match%) + 1) - (*;%a%) > (1;%b%) & 0.5 < (1;%a%)").map(
        lambda data: data.decode("utf-8", "replace")
    )
)
def test_any_formula(text):
    formula = value_or_error(lambda: parse(text))
    if isinstance(formula, Formula):
        for bits in (1.0, math.inf):
            try:
                assert formula.truth_of(dict.fromkeys(formula.references, bits)) in (0, 0.5, 1)
            except ArithmeticError as error:
                assert type(error) is ArithmeticError
