"""Rows without text (null, empty, NaN) in every table, for every reader."""

import itertools
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.scoring.sentences import read_sentences
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.storage.files import tables
from rnnlm.tasks.common.text_files import TextFileSettings
from rnnlm.tasks.labelling.files import read_texts
from rnnlm.tasks.labelling.formats.documents import read_table
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.tasks.seq2seq.decoding import read_sources
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.sources import SourceSettings
from rnnlm.tools.filtering.shards import ShardReadSettings, open_shard
from rnnlm.tools.rescoring.files import read_nbest

pytestmark = pytest.mark.needs(
    "tasks/common", "tasks/labelling", "tasks/seq2seq", "tools/filtering", "tools/rescoring"
)

TEXTS = ["null", "a hen", None, "NaN", "", "NA"]
WORDS = ["null", "a hen", "NaN", "NA"]


def table_of(path, texts, **columns):
    """Write a table with a column of texts beside others, by the suffix of its path."""
    columns = {"text": texts, **columns}
    rows = list(zip(*columns.values(), strict=True))
    mark = "," if path.suffix == ".csv" else "\t"
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    elif path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines))
    else:
        lines = [mark.join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join([mark.join(columns), *lines]) + "\n")
    return str(path)


KINDS = [".jsonl", ".csv", ".tsv", ".parquet"]


def lines_of(source, **settings):
    text = Corpus((source,), TextSettings(**settings), SourceSettings("text"))
    return list(itertools.chain.from_iterable(block.lines for block in text.blocks()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_reads_skips_them_and_what_answers_says_why(tmp_path, kind):
    source = table_of(tmp_path / f"a{kind}", TEXTS, n=range(6))
    with pytest.warns(RnnlmWarning, match="2 of 6 rows hold no text"):
        assert lines_of(source) == WORDS
    with pytest.warns(RnnlmWarning):
        assert lines_of(source, blank_lines="keep") == [text or "" for text in TEXTS]
    found = list(read_sentences(source, SentenceSettings("text")))
    assert [each.text for each in found] == [text or "" for text in TEXTS]
    why = "column 'text' holds no text"
    assert [each.reason for each in found] == [None, None, why, None, why, None]
    assert [int(each.columns["n"]) for each in found] == list(range(6))


ANSWERING = {
    "score": read_sentences,
    "tag": lambda path: read_table(path, LabelledSettings(), "jsonl", "jsonl"),
    "classify": lambda path: read_texts(path, "jsonl", TextFileSettings()),
    "translate": lambda path: read_sources(path, TextFileSettings()),
}


@pytest.mark.parametrize("answers", ANSWERING.values(), ids=ANSWERING)
def test_each_row_that_cannot_be_read_has_its_reason(tmp_path, answers):
    path = tmp_path / "a.jsonl"
    bad = ['{"id": 1}', '{"text": null}', '{"text": []}', '{"text": {}}', '{"text": ', "[3]"]
    path.write_text("\n".join([*bad, '{"text": "a hen", "more": 1}', *bad]))
    found = list(answers(str(path)))
    texts = [getattr(row, "text", row) or "" for row in found]
    assert texts == [*[""] * 6, "a hen", *[""] * 6]
    has_reason = [getattr(row, "reason", None) is not None for row in found]
    assert has_reason == [*[True] * 6, False, *[True] * 6]


def test_halves_of_characters_are_written_as_text_refused_or_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\ud83d", "x": NaN}\n{"text": "b", "x": "\\ud83d"}\n')
    rows = read_table(str(path), LabelledSettings(), "jsonl", "jsonl")
    written = [json.loads(row.with_labels({}).encode()) for row in rows]
    assert written == [{"text": "\ufffd", "x": None}, {"text": "b", "x": "\ufffd"}]
    texts = read_texts(str(path), "jsonl", TextFileSettings())
    assert [text.row for text in texts] == written
    path.write_text('{"text": "a \\ud83d hen"}\n{"text": "\\ud83d\\ude00"}\n')
    with pytest.raises(TextError, match="line 1, column 'text': not UTF-8.*half a character"):
        lines_of(str(path))
    replaced = ["a \ufffd hen", "\U0001f600"]
    assert lines_of(str(path), encoding_errors="replace") == replaced
    text = TextSettings(special_symbols="replace", encoding_errors="replace")
    assert filtered(str(path), text=text) == [[line] for line in replaced]
    settings = SentenceSettings(encoding_errors="replace")
    assert [each.text for each in read_sentences(str(path), settings)] == replaced


def test_data_sets_have_such_rows_too(tmp_path):
    table_of(tmp_path / "a.jsonl", TEXTS)
    with pytest.warns(RnnlmWarning, match="2 of 6 rows hold no text"):
        assert lines_of(str(tmp_path)) == WORDS
    with pytest.warns(RnnlmWarning, match="2 of 6 rows hold no text"):
        found = list(read_sentences(str(tmp_path)))
    assert [bool(each.reason) for each in found] == [False, False, True, False, True, False]


@pytest.mark.parametrize("empty", ["null", "NaN", '""'])
def test_a_hypothesis_may_be_empty(tmp_path, empty):
    path = tmp_path / "n.jsonl"
    path.write_text(f'{{"utt": "u", "hypotheses": [{{"text": {empty}, "score": -1}}]}}\n')
    assert read_nbest(path)[0].hypotheses[0].text == ""


@pytest.mark.parametrize("level", ["text", "word"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_parallel_columns_the_pair_goes(tmp_path, kind, level):
    labels = ["x", "x y", "x", None, "x", "z"]
    source = table_of(tmp_path / f"a{kind}", TEXTS, label=labels)
    settings = LabelledSettings(column="text", label_column="label")
    with pytest.warns(RnnlmWarning, match="3 of 6 rows lack the text or a label"):
        found = read_labelled([source], settings, level)
    assert [" ".join(each.words) for each in found.examples] == ["null", "a hen", "NA"]


def test_no_labels_are_labels_of_a_kind(tmp_path):
    source = table_of(tmp_path / "a.jsonl", ["a b", "b c"], label=["x|y", None])
    settings = LabelledSettings(column="text", label_column="label", multi_label=True)
    found = read_labelled([source], settings, "text")
    assert [each.text_labels for each in found.examples] == [("x|y",), ("",)]


def filtered(source, **reading):
    documents = []
    for chunk in open_shard(source, ShardReadSettings("text", **reading)).chunks():
        starts = chunk.documents.starts_D.tolist()
        lines = chunk.documents.lines
        documents += [list(lines[a:b]) for a, b in itertools.pairwise(starts)]
    return documents


def test_nan_is_no_text(tmp_path):
    source = table_of(tmp_path / "a.parquet", [np.nan, np.nan])
    with pytest.warns(RnnlmWarning, match="2 of 2 rows"):
        assert lines_of(source) == []
    assert filtered(source) == [[], []]
    (tmp_path / "a.jsonl").write_text('{"text": NaN}\n{"text": "NaN"}\n')
    with pytest.warns(RnnlmWarning, match="1 of 2 rows"):
        assert lines_of(str(tmp_path / "a.jsonl")) == ["NaN"]


@pytest.mark.parametrize("beside", ["NaN", "-Infinity", '"\\ud83d"', "[NaN, 1e999]"])
@pytest.mark.parametrize("form", ["%s\n%s\n", "[%s, %s]"])
def test_only_columns_asked_for_are_looked_at(tmp_path, beside, form):
    path = tmp_path / "a.json"
    path.write_text(form % (f'{{"text": "a hen", "x": {beside}}}', '{"text": "a cat", "x": 1}'))
    assert lines_of(str(path)) == ["a hen", "a cat"]
    assert [each.text for each in read_sentences(str(path))] == ["a hen", "a cat"]
    if form.startswith("%"):
        assert filtered(str(path)) == [["a hen"], ["a cat"]]


@pytest.mark.parametrize("kind", [
    pyarrow.string(), pyarrow.large_string(), pyarrow.string_view(), pyarrow.binary(),
    pyarrow.large_binary(), pyarrow.binary_view(), "dictionary", "bytes in a dictionary",
], ids=str)  # fmt: skip
def test_every_arrow_type_that_holds_text_is_read(tmp_path, kind):
    texts = ["a hen", None, "b", "", "a hen"]
    if isinstance(kind, str):
        is_text = kind == "dictionary"
        column = pyarrow.array(texts, pyarrow.string() if is_text else pyarrow.binary())
        column = column.dictionary_encode()
    else:
        column = pyarrow.array(texts).cast(kind)
    source = table_of(tmp_path / "a.parquet", column, n=range(5))
    with pytest.warns(RnnlmWarning, match="2 of 5 rows"):
        assert lines_of(source) == ["a hen", "b", "a hen"]
    assert filtered(source) == [["a hen"], [], ["b"], [], ["a hen"]]
    assert [each.text for each in read_sentences(source)] == ["a hen", "", "b", "", "a hen"]

    # Chosen rows keep their types.
    [chunk] = open_shard(source, ShardReadSettings("text")).chunks()
    chosen = chunk.chosen(np.array([0, 2, 4]), {"x": [1.0, None, 2.0, None, 3.0]})
    assert chosen.schema.field("text").type == column.type
    assert chosen["n"].to_pylist() == [0, 2, 4] and chosen["x"].to_pylist() == [1.0, 2.0, 3.0]


def test_bytes_that_are_no_text_are_named_or_replaced(tmp_path):
    path = tmp_path / "a.parquet"
    column = pyarrow.array([b"a hen", b"b \xff"])
    pyarrow.parquet.write_table(pyarrow.table({"text": column, "blob": [b"\xff", b"\0"]}), path)
    with pytest.raises(TextError, match="row 2: column 'text' holds bytes that are not UTF-8"):
        lines_of(str(path))
    assert lines_of(str(path), encoding_errors="replace") == ["a hen", "b \ufffd"]


def test_times_of_any_resolution_go_with_their_rows(tmp_path):
    times = pyarrow.array([1, None], pyarrow.timestamp("ns"))
    source = table_of(tmp_path / "a.parquet", ["a", "b"], when=times)
    rows = list(tables.rows(source))
    assert [row.values["text"] for row in rows] == ["a", "b"]
    assert str(rows[0].values["when"]).startswith("1970-01-01 00:00:00")
