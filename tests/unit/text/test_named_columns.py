"""One reader of tables, whoever asks: labels, documents that are tagged, pairs, sources."""

import pytest

from rnnlm.errors import TextError
from rnnlm.tasks.labels.files import TextFileSettings
from rnnlm.tasks.seq2seq.decoding import read_sources
from rnnlm.text.labelled.documents import read_table
from rnnlm.text.labelled.example import LabelledSettings
from rnnlm.text.labelled.reading import read_labelled
from rnnlm.text.named_columns import cell, languages_of, usual_column
from rnnlm.text.pairs import ParallelSettings, read_pairs

READERS = {
    "labels": lambda path: read_labelled(
        [path], LabelledSettings(format="tsv", column="text", label_column="label"), "word"
    ),
    "documents": lambda path: list(read_table(str(path), LabelledSettings(column="text"), "tsv")),
    "pairs": lambda path: read_pairs(
        [path], ParallelSettings(format="tsv", column="text", target_column="label")
    ),
    "sources": lambda path: list(
        read_sources(str(path), TextFileSettings(format="tsv", column="text"))
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_too_many_cells_are_told_alike(tmp_path, reader):
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\na b\tX Y\tmore\n", encoding="utf-8")
    with pytest.raises(TextError, match="line 2") as caught:
        READERS[reader](path)
    assert caught.value.hint == "a text that holds the delimiter needs quotation marks around it"


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_column_is_told_alike(tmp_path, reader):
    path = tmp_path / "t.tsv"
    path.write_text("texts\tlabel\na b\tX Y\n", encoding="utf-8")
    with pytest.raises(TextError, match="no column 'text'; it has texts, label; did you mean"):
        READERS[reader](path)


def test_usual_columns_come_before_the_only_one():
    assert usual_column(["a", "words"], ("tokens", "words"), "f", "the text", "--column") == "words"
    assert usual_column(["a"], ("words",), "f", "the text", "--column") == "a"
    with pytest.raises(TextError, match="which column holds the text.; it has a, b; name it with"):
        usual_column(["a", "b"], ("words",), "f", "the text", "--column")


def test_languages_stand_in_their_object():
    values = {"id": 1, "translation": {"en": "a", "de": "b"}}
    assert languages_of(values, ["en"]) == {"en": "a", "de": "b"}
    assert languages_of(values, ["id"]) == values
    assert cell(values, "id", "f, line 1") == 1


def test_parquet_columns_that_nobody_needs_stay_unread(tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from rnnlm.files import tables

    path = tmp_path / "t.parquet"
    table = {"text": ["a b"], "label": ["X Y"], "picture": [b"\0" * 100]}
    parquet.write_table(arrow.table(table), path)
    read = []
    real = tables.parquet_rows
    monkeypatch.setattr(
        tables,
        "parquet_rows",
        lambda name, columns=None: read.append(columns) or real(name, columns),
    )
    settings = LabelledSettings(column="text", label_column="label")
    assert read_labelled([path], settings, "word").examples[0].words == ("a", "b")
    assert read == [["text", "label"]]
