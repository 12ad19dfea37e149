"""Files that labels are written into keep all else that they hold."""

import json

import pytest
from hypothesis import example, given, strategies as st

from rnnlm.errors import RnnlmError, TextError, UsageError
from rnnlm.tasks.labelling.formats import known_formats
from rnnlm.tasks.labelling.formats.documents import RAW, WRITTEN, raw_sentence
from rnnlm.tasks.labelling.formats.example import LabelledSettings

CONLLU = (
    "\ufeff# newdoc\n\n# text = We don't.\n# mood = plain\n"
    "1\tWe\twe\tPRON\tPRP\tCase=Nom\t_\t_\t_\tX=1\r\n2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "2\tdo\tdo\tAUX\tVBP\t_\t_\t_\t_\t_\n3\tn't\tnot\tPART\tRB\t_\t_\t_\t_\t_\n"
    "3.1\tfly\tfly\tVERB\tVB\t_\t_\t_\t_\t_\n4\t.\t.\tPUNCT\t.\t_\t_\t_\t_\tSpaceAfter=No\n\n\n"
    "1\tHi\thi\tINTJ\tUH\t_\t_\t_\t_\t_\n \n# the end"
)
COLUMNS = "\n-DOCSTART- -X- O\n\nEU  NNP   B-ORG \r\nsays VBZ O\n\n\nall DT O\n-DOCSTART- -X- O"
CONTENTS = {"conllu": CONLLU, "columns": COLUMNS}


def documents(path, content, format, **settings):
    path.write_text(content, encoding="utf-8", newline="")
    return list(known_formats.open_document(str(path), format, LabelledSettings(**settings)))


@pytest.mark.parametrize(
    "format, columns", [("conllu", "upos,feats"), ("conllu", "lemma,misc"), ("columns", "2")]
)
def test_its_own_labels_leave_a_file_unchanged(tmp_path, format, columns):
    content = CONTENTS[format]
    found = documents(tmp_path / "data", content, format)
    settings = LabelledSettings(format=format, label_column=columns)
    readable = tmp_path / "readable"
    sentences = content.replace("# newdoc\n\n", "").replace("\n# the end", "")
    readable.write_text(sentences, encoding="utf-8", newline="")
    gold = known_formats.read_labelled([readable], settings, "word").examples
    written = ""
    for sentence, labelled in zip(found, gold, strict=True):
        labels = dict(zip(columns.split(","), labelled.word_labels, strict=True))
        written += sentence.with_labels(labels)
    assert written == content.removeprefix("\ufeff")
    assert [sentence.words for sentence in found] == [each.words for each in gold]


def test_labels_go_into_a_field_misc_or_comment(tmp_path):
    first, second = documents(tmp_path / "data", CONLLU, "conllu")
    assert (first.words, first.text, first.line) == (("We", "do", "n't", "."), "We don't.", 1)
    labels = {"xpos": list("abcd"), "ner": list("efgh")}
    lines = first.with_labels(labels, {"mood": "new", "tone": "t"}).splitlines()
    assert lines[2:5] == ["# text = We don't.", "# mood = new", "# tone = t"]
    assert lines[5] == "1\tWe\twe\tPRON\ta\tCase=Nom\t_\t_\t_\tX=1|ner=e"
    assert lines[6] == "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_"
    assert lines[10].endswith("SpaceAfter=No|ner=h")
    assert first.with_labels({"ner": list("wxyz")}).count("ner=") == 4
    assert second.with_labels({"upos": ["X"]}) == "1\tHi\thi\tX\tUH\t_\t_\t_\t_\t_\n \n# the end"


def test_a_label_replaces_or_adds_its_column_and_leaves_comments(tmp_path):
    first, second = documents(tmp_path / "data", COLUMNS, "columns")
    expected = COLUMNS.split("all")[0].replace("B-ORG", "X").replace("VBZ O", "VBZ Y")
    assert first.with_labels({"3": ["X", "Y"]}) == expected
    assert second.with_labels({"upos": ["X"], "4": ["Y"]}).startswith("all DT O X Y\n-DOCSTART-")
    (only,) = documents(tmp_path / "data", "a\tb c\nd\te\n", "columns", column="2")
    assert only.words == ("b c", "e")
    labels = {"1": ["X Y", "Z"], "ner": ["O", "a\tb"]}
    assert only.with_labels(labels) == "X Y\tb c\tO\nZ\te\ta\\tb\n"
    content = "EU NNP\nsays VBZ\n\nall DT\n\n# of nobody\n"
    _, last = documents(tmp_path / "data", content, "columns")
    assert last.words == ("all",)
    assert last.with_labels({"2": ["X"]}) == "all X\n\n# of nobody\n"


def test_a_table_keeps_its_other_columns_and_header(tmp_path):
    first, second = documents(tmp_path / "x.tsv", 'id\ttext\tslots\n1\ta "b"\tO O\n2\tc\n', "tsv")
    assert (first.words, first.text, first.line) == (("a", '"b"'), 'a "b"', 2)
    written = first.with_labels({"slots": ["B-x", "O"]}, {"intent": "i"})
    assert written == 'id\ttext\tslots\tintent\n1\t"a ""b"""\tB-x O\ti\n'
    assert second.with_labels({"slots": ["B-x"]}, {"intent": "j"}) == "2\tc\tB-x\tj\n"
    rows = [{"id": 1.5, "words": ["a", "b"], "old": "X Y"}, {"id": None, "words": ["c"]}]
    first, second = documents(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)), "jsonl")
    labelled = json.loads(first.with_labels({"old": ["O", "P"], "new": ["Q", "R"]}))
    assert labelled == {**rows[0], "old": "O P", "new": ["Q", "R"]}
    assert json.loads(second.with_labels({}, {"label": "x"})) == {**rows[1], "label": "x"}


def test_raw_text_is_written_in_any_format(tmp_path):
    text, words = "do n't go !", ("do", "n't", "go", "!")
    labels = {"upos": ["AUX", "PART", "VERB", "PUNCT"]}
    written = {name: raw_sentence(text, words, name).with_labels(labels) for name in WRITTEN}
    assert written.pop("xlsx")[1] == [text, "AUX PART VERB PUNCT"]
    assert written["conllu"] == (
        "# text = do n't go !\n"
        "1\tdo\t_\tAUX\t_\t_\t_\t_\t_\t_\n2\tn't\t_\tPART\t_\t_\t_\t_\t_\t_\n"
        "3\tgo\t_\tVERB\t_\t_\t_\t_\t_\t_\n4\t!\t_\tPUNCT\t_\t_\t_\t_\t_\t_\n\n"
    )
    assert written["columns"] == "do\tAUX\nn't\tPART\ngo\tVERB\n!\tPUNCT\n\n"
    assert written["tsv"] == "text\tupos\ndo n't go !\tAUX PART VERB PUNCT\n"
    assert json.loads(written["jsonl"]) == {"text": "do n't go !", "words": list(words), **labels}
    for format, content in written.items():
        path = tmp_path / f"x.{format}"
        path.write_text(content)
        column = {"columns": "2"}.get(format, "upos")
        settings = LabelledSettings(format=format, label_column=column)
        (found,) = known_formats.read_labelled([path], settings, "word").examples
        assert (found.words, found.word_labels) == (words, (tuple(labels["upos"]),))
    found = documents(tmp_path / "raw", "\n We  go \r\n\nhi", "text")
    assert [each.words for each in found] == [(), ("We", "go"), (), ("hi",)]
    assert [each.line for each in found] == [1, 2, 3, 4]


def test_a_documents_format_is_detected_where_possible(tmp_path):
    for name, content, format in [
        ("a", CONLLU, "conllu"), ("b", '{"text": "a"}', "jsonl"), ("c.tsv", "text\na", "tsv"),
        ("d", COLUMNS, "text"), ("e", "", "text"), ("f", '[\n{"text": "a"}]', "jsonl"),
        ("g.tsv", "", "tsv"),
    ]:  # fmt: skip
        (tmp_path / name).write_text(content)
        found = known_formats.detect_document_format(str(tmp_path / name), LabelledSettings())
        assert found == format


def test_labels_never_take_the_place_of_the_words(tmp_path):
    (row, _) = documents(tmp_path / "data", "1\ta b\n2\tc d\n", "tsv")
    assert row.with_labels({"2": ["X", "Y"]}) == "1\t2\tpredicted_2\n1\ta b\tX Y\n"
    (row,) = documents(tmp_path / "data", '{"text": ["a", "b"]}', "jsonl")
    written = json.loads(row.with_labels({}, {"text": "X"}))
    assert written == {"text": ["a", "b"], "predicted_text": "X"}
    (row,) = documents(tmp_path / "data", "text,reason,predicted_text\na b,r,p\n", "csv")
    names = "text,reason,predicted_text,predicted_predicted_text,predicted_reason"
    assert row.with_labels({}, {"text": "X", "reason": "R"}) == f"{names}\na b,r,p,X,R\n"
    (sentence,) = documents(tmp_path / "data", "1 Ada\n2 ran\n", "columns")
    assert sentence.with_labels({"2": ["X", "Y"]}) == "1 Ada X\n2 ran Y\n"


def test_model_labels_tell_columns_from_text(tmp_path):
    labels = {"O", "B-PER", "I-PER"}
    for name, content, format in [
        ("data.tsv", "Ada\tB-PER\n\nran\tO\n", "columns"),
        ("data.tsv", "word\ttag\nAda\tB-PER\n\nran\tO\n" + "a\tO\n" * 20, "tsv"),
        ("data", "-DOCSTART- -X- O\n\nAda NN B-PER\nran VB O\n", "columns"),
        ("data", "Ada\tB-PER\t0\n\nran\tO\t0\n", "columns"),
        ("data", "Ada/B-PER ran/O\n", "text"), ("data", "turn on\nturn off\n", "text"),
        ("data", "Ada ran\nO Ada !\n", "text"), ("data", "and/or\n", "text"),
        ("data", "Ada VB\nran NN\n", "text"), ("data", "O no\nO dear\n", "text"),
    ]:  # fmt: skip
        (tmp_path / name).write_text(content)
        found = known_formats.detect_document_format(
            str(tmp_path / name), LabelledSettings(), labels
        )
        assert found == format


def test_faults_of_a_document_are_named(tmp_path):
    with pytest.raises(ValueError, match="1 label in 'upos' for 4 words"):
        documents(tmp_path / "data", CONLLU, "conllu")[0].with_labels({"upos": ["X"]})
    with pytest.raises(TextError, match="line 2: 1 column; line 1 has 2"):
        documents(tmp_path / "data", "a b\nc\n", "columns")
    rows = documents(tmp_path / "data", "text\tx\na\tb\n \tb\n", "tsv")
    assert [row.reason for row in rows] == [None, "column 'text' holds no text"]
    with pytest.raises(UsageError, match="'conlu'.*did you mean 'conllu'"):
        documents(tmp_path / "data", CONLLU, "conlu")
    with pytest.raises(UsageError, match="columns has no place for labels of the whole"):
        documents(tmp_path / "data", COLUMNS, "columns")[0].with_labels({}, {"mood": "x"})


odd = st.text('ab/\\\t \r\n\0#-._1"|{}[]:,\ufeff\u00a0', max_size=40)


@given(odd, st.sampled_from([*WRITTEN, RAW]))
@example("#", "conllu")
@example("1\ta" + "\t_" * 8 + "\n\u00a0", "conllu")
def test_any_document_is_written_back_or_refused(tmp_path_factory, content, format):
    path = tmp_path_factory.mktemp("odd") / "data"
    try:
        found = documents(path, content, format)
        for sentence in found:
            assert (sentence.words or format == RAW) and all(sentence.words)
            sentence.with_labels({"2": ["X"] * len(sentence.words)})
        if format in ("conllu", "columns"):
            kept = "".join(sentence.with_labels({}) for sentence in found)
            assert kept in ("", content.removeprefix("\ufeff"))
    except RnnlmError:
        return


@pytest.mark.parametrize("content, column", [
    ("id,word\n1,we\n1,saw\n2,bob\n2,smith\n2,.\n", "id"),
    ("id,word\n1,we\n,saw\n2,bob\n,smith\n,.\n", "ID"),
    ("id,word\n1,we\n1,saw\n\n1,bob\n1,smith\n1,.\n", None),
])  # fmt: skip
def test_rows_of_one_word_are_joined_into_sentences(tmp_path, content, column):
    found = documents(tmp_path / "x.csv", content, "csv", column="word", sentence_column=column)
    assert [each.words for each in found] == [("we", "saw"), ("bob", "smith", ".")]
    labels = iter("ABCDE")
    written = [each.with_labels({"tag": [next(labels) for _ in each.words]}) for each in found]
    lines = content.replace("word", "word,tag").splitlines()
    letters = iter("ABCDE")
    expected = [line and f"{line},{next(letters)}" for line in lines[1:]]
    assert "".join(written).splitlines() == [lines[0], *expected]
