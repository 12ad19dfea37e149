"""One reader of tables, whoever asks: labels, documents that are tagged, pairs, sources."""

import itertools
import random

import pyarrow
import pyarrow.parquet
import pytest

from rnnlm import corpora
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
from rnnlm.tasks.seq2seq.options import ParallelSettings
from rnnlm.tasks.seq2seq.pairs import languages_of, read_pairs
from rnnlm.text import named_columns
from rnnlm.text.sources import SourceSettings, read as read_source

pytestmark = pytest.mark.needs("tasks/common", "tasks/labelling", "tasks/seq2seq")

READERS = {
    "labels": lambda path: read_labelled(
        [path], LabelledSettings(format="tsv", column="text", label_column="label"), "word"),
    "documents": lambda path: list(
        read_table(str(path), LabelledSettings(column="text"), "tsv", "tsv")),
    "pairs": lambda path: read_pairs(
        [path], ParallelSettings(format="tsv", column="text", target_column="label")),
    "sources": lambda path: list(
        read_sources(str(path), TextFileSettings(format="tsv", column="text"))),
}  # fmt: skip


def test_usual_columns_come_before_the_only_one():
    assert named_columns.text_column(["a", "Words"], (), "f", usual=("tokens", "words")) == "Words"
    assert named_columns.text_column(["a"], (), "f") == "a"
    with pytest.raises(TextError, match="which column holds the text.; it has a, b; name it: `col"):
        named_columns.text_column(["a", "b"], (), "f")


def test_languages_stand_in_their_object():
    values = {"id": 1, "translation": {"en": "a", "de": "b"}}
    assert languages_of(values, ["en"]) == {"en": "a", "de": "b"}
    assert languages_of(values, ["id"]) == values
    assert named_columns.cell(values, "id", "f, line 1") == 1


def test_parquet_columns_that_nobody_needs_stay_unread(tmp_path):
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"text": ["a b"], "label": ["X Y"], "picture": [b"\0" * 100]})
    pyarrow.parquet.write_table(table, path, use_dictionary=False)
    picture = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(2)
    start, size = picture.data_page_offset, picture.total_compressed_size
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    with pytest.raises(OSError):
        pyarrow.parquet.read_table(path)
    settings = LabelledSettings(column="text", label_column="label")
    assert read_labelled([path], settings, "word").examples[0].words == ("a", "b")


TEXTS = ["the dog barks at night", "it rains", "nobody saw the film", "we liked it a lot"] * 3
LABELS = ["pos", "neg", "neg", "pos"] * 3


@pytest.mark.parametrize("first, columns, found", [
    (("review", "sentiment"), (TEXTS, LABELS), "surely"),
    (("Text", "LABEL"), (TEXTS, LABELS), "surely"),
    (("utt", "cls"), (TEXTS, LABELS), "perhaps"), (("", "x"), ("123", TEXTS[:3]), "perhaps"),
    (("nr", "x"), ("123", "abc"), "surely"),
    (("Word 1", "Human (mean)"), (["the sea", "ship"], ["8,5", "3"]), "surely"),
    (("said", "day"), (TEXTS, ["12.3.", "1 May"] * 6), "surely"),
    (("nr", "text of it all"), ("123", TEXTS[:3]), "surely"),
    (("1a", "we saw the film"), ("123", TEXTS[:3]), "no"), (("1", "2"), (TEXTS, LABELS), "surely"),
    (("all was well there", "pos"), (TEXTS, LABELS), "no"),
    (("all was well there", "mixed"), (TEXTS, LABELS), "no"),
    (("word", "class"), (["walk", "text"], ["class", "neg"]), "surely"),
    (("text", "O"), (["walk", "text"], ["O", "B-X"]), "no"),
    (("walk", "walked"), (["go", "see"], ["went", "saw"]), "perhaps not"),
    (("source", "target"), (["go", "see"], ["went", "saw"]), "surely"),
    (("5", "7"), ("123", "456"), "no"), (("hi there",), (TEXTS,), "no"),
    (("hello",), (TEXTS,), "perhaps not"), (("Tweet",), (TEXTS,), "surely"), (("Sentences",), (TEXTS,), "surely"),
    (("text",), ([],), "surely"), (("text text",), ([],), "no"),
    (("", "0"), ("01", TEXTS[:2]), "surely"), (("0",), (TEXTS,), "surely"),  # as of pandas
])  # fmt: skip
def test_a_header_differs_in_kind_from_the_rows(first, columns, found):
    rows = list(zip(*columns, strict=True))
    assert named_columns.header_in(first, rows) == found
    assert named_columns.header_in(first, rows, ["name"]) == "surely"


def table_of(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


@pytest.mark.parametrize("order", list(itertools.permutations("itl")))
@pytest.mark.parametrize("header", [None, {"i": "n", "t": "utt", "l": "KLASSE"}])
@pytest.mark.parametrize("suffix", ["tsv", "csv"])
@pytest.mark.filterwarnings("ignore::rnnlm.RnnlmWarning")
def test_texts_and_labels_are_found_by_what_columns_hold(tmp_path, order, header, suffix):
    kinds = {"i": map(str, range(100)), "t": TEXTS, "l": LABELS}
    rows = list(zip(*(kinds[kind] for kind in order), strict=False))
    if header:
        rows.insert(0, tuple(header[kind] for kind in order))
    path = tmp_path / f"t.{suffix}"
    path.write_text(table_of(rows).replace("\t", "," if suffix == "csv" else "\t"))
    for settings in (
        LabelledSettings(),
        LabelledSettings(column=str(order.index("t") + 1), label_column=str(order.index("l") + 1)),
    ):
        if header and settings.column:
            continue  # numbers read what is no usual header as data
        found = read_labelled([path], settings, "text").examples
        assert [" ".join(each.words) for each in found] == TEXTS
        assert [each.text_labels for each in found] == [(label,) for label in LABELS]


def test_usual_names_with_the_wrong_content_are_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text(table_of([("label", "text"), *zip(TEXTS, LABELS, strict=True)]))
    ways = "`column=.label.` and `label_column=.text.`, or `column=.text.` and `label_column=.l"
    with pytest.raises(TextError, match=f"which column holds the text, and which.*{ways}"):
        read_labelled([path], LabelledSettings(), "text")
    asked = LabelledSettings(column="label", label_column="text")
    assert read_labelled([path], asked, "text").examples[0].text_labels == ("pos",)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("suffix", ["txt", "tsv", "csv"])
def test_words_and_their_tags_need_no_header(tmp_path, order, suffix):
    draw = random.Random(1)
    words = [[draw.choice(["bob", "we", "saw", "rome"]) for _ in range(5)] for _ in range(20)]
    tags = [["B-X" if word in ("bob", "rome") else "O" for word in row] for row in words]
    sides = [list(map(" ".join, words)), list(map(" ".join, tags))]
    content = table_of(zip(*(sides[place] for place in order), strict=True))
    path = tmp_path / f"t.{suffix}"
    path.write_text(content.replace("\t", "," if suffix == "csv" else "\t"))
    numbers = {"column": str(order.index(0) + 1), "label_column": str(order.index(1) + 1)}
    for settings in (LabelledSettings(), LabelledSettings(**numbers)):
        found = read_labelled([path], settings, "word")
        assert [each.words for each in found.examples] == list(map(tuple, words))
        assert list(found.scheme.values()) == ["bio"]


def test_columns_have_names_of_any_case_and_numbers():
    assert named_columns.column_named("TEXT", ["id", "Text"], "f") == "Text"
    assert named_columns.column_named("2", ["id", "Text"], "f") == "Text"
    assert named_columns.column_named("2", ["2", "text"], "f") == "2"
    for missing in ("3", "0", "te"):
        with pytest.raises(TextError, match=f"no column '{missing}'; it has id, Text"):
            named_columns.column_named(missing, ["id", "Text"], "f")


def test_first_rows_that_are_no_header_and_columns_without_names_are_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("the dog barks\nthe cat sits\nthe bird sings\n")
    expected = ["the dog barks", "the cat sits", "the bird sings"]
    source, texts = str(path), TextFileSettings()
    for settings in (SourceSettings(), SourceSettings(column="1")):
        assert list(itertools.chain(*read_source(source, settings))) == expected
    assert [each.text for each in read_sentences(source, SentenceSettings())] == expected
    assert [each.text for each in read_texts(source, "csv", texts)] == expected
    assert list(read_sources(source, texts)) == expected
    found = read_table(source, LabelledSettings(), "csv", "csv")
    assert [each.text for each in found] == expected
    path.write_text(",,text\n1,a,the dog barks\n2,b,it rains\n")
    (first, _) = read_sentences(path, SentenceSettings())
    assert (first.text, first.columns) == ("the dog barks", {"1": "1", "2": "a"})


def test_a_first_row_that_may_be_either_is_data_and_told(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("walk\twalked\ntalk\ttalked\n")
    with pytest.warns(RnnlmWarning, match="walk walked', is read as data; .*`column=.walk.`"):
        assert len(read_pairs([path]).pairs) == 2
    assert len(read_pairs([path], ParallelSettings(column="walk")).pairs) == 1


@pytest.mark.parametrize("name, file", [
    (name, file) for name in corpora.names() for file in corpora.FILES[name] if ".tsv" in file
])  # fmt: skip
def test_bundled_tables_have_their_headers_without_a_notice(recwarn, name, file):
    path = corpora.part(name, file)
    header = path.read_text(encoding="utf-8").partition("\n")[0].split("\t")
    assert list(named_columns.open_table(str(path), tables.TSV, None).names) == header
    assert [str(each.message) for each in recwarn] == []


@pytest.mark.parametrize("reader", READERS)
def test_readers_tell_of_wrong_cells_and_columns_alike(tmp_path, reader):
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\na b\tX Y\tmore\n", encoding="utf-8")
    if reader in ("documents", "sources"):  # a row without an answer
        (row,) = READERS[reader](path)
        assert row.reason == tables.TOO_LONG
    else:
        with pytest.raises(TextError, match="line 2.*a text that holds the delimiter needs quot"):
            READERS[reader](path)
    path.write_text("texts\tlabel\na b\tX Y\n", encoding="utf-8")
    with pytest.raises(TextError, match="no column 'text'; it has texts, label; did you mean"):
        READERS[reader](path)
