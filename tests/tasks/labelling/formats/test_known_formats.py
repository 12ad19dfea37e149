"""The table of formats: all commands know them, and a fault makes no other format."""

from typing import get_args

import pytest

from rnnlm.errors import TextError
from rnnlm.tasks.labelling import tag_command as tag
from rnnlm.tasks.labelling.formats import known_formats
from rnnlm.tasks.labelling.formats.documents import RAW, WRITTEN, DocumentSentence
from rnnlm.tasks.labelling.formats.example import Example, Format, LabelledSettings, LabelledText
from rnnlm.tasks.labelling.formats.known_formats import FORMATS, LabelFormat
from rnnlm.text.lines import lines_with_ends

NOT_TAGGED: set[str] = set()  # formats of words that `rnnlm tag` cannot write labels into

WORD = "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n"  # of CoNLL-U

# A file of each format with one fault: the level of its labels, and the message.
DAMAGED = {
    "conllu": (
        f"{WORD}2\tb\t_\tY\t_\t_\t_\t_\n\n{WORD}", "word", "line 2: 8 columns"
    ),
    "trees": ("(1 (2 a) (2 b))\n(1 (2 a) (2 b)\n", "text", "line 2, column 1: this bracket is not"),
    "fasttext": ("one\n__label__b two\n__label__a one\n", "text", "line 1: no label"),
    "tsv": ("text\ttags\none two\tA B\nthree four\tA\n", "word", "line 3: 2 words and 1 label"),
    "columns": ("one A\ntwo B\nthree\nfour A\n\n", "word", "line 3: 1 column"),
}  # fmt: skip


def test_formats_are_named_ordered_and_have_damaged_files():
    assert {*get_args(Format)} == {"auto", *FORMATS}
    assert list(FORMATS)[-1] == "columns"
    never = LabelFormat("").fits
    recognised = {name for name, format in FORMATS.items() if format.fits is not never}
    assert recognised == {*DAMAGED}


def test_each_format_of_words_can_be_tagged_or_is_an_exception():
    of_words = {name for name, format in FORMATS.items() if "word" in format.levels}
    can_be_tagged = {name for name in of_words if FORMATS[name].can_be_tagged}
    assert of_words - can_be_tagged == NOT_TAGGED
    assert {*WRITTEN} - {"xlsx"} <= can_be_tagged
    # The command offers the same formats.
    assert {*tag.FORMATS} == {"auto", RAW, *can_be_tagged}
    (option,) = [option for option in tag.command.params if option.name == "form"]
    for name in can_be_tagged:
        assert name in option.help


@pytest.mark.parametrize("name", DAMAGED)
def test_a_fault_is_an_error_and_not_another_format(tmp_path, name):
    content, level, message = DAMAGED[name]
    file = tmp_path / "labels.txt"
    file.write_text(content)
    settings = LabelledSettings()
    assert known_formats.detect_format(str(file), settings, level) == name
    with pytest.raises(TextError, match=message):
        known_formats.read_labelled([file], settings, level)


TEN = "\t".join(["id", "text", "label", *"abcdefg"]) + "\n"  # and rows that look like CoNLL-U


@pytest.mark.parametrize("level, content, expected", [
    ("text", TEN + "".join(f"{n}\ta b\tX\t\t\t\t{n}\t\t\t\n" for n in range(9)), "tsv"),
    ("word", TEN + "".join(f"{n}\ta b\tX Y" + "\tx" * 7 + "\n" for n in range(9)), "tsv"),
    ("word", "a X\nb Y\nc Z\n" + WORD, "columns"),
    ("word", "(1 (2 a) (2 b))\n" * 2, "trees"),
])  # fmt: skip
def test_most_lines_and_the_task_decide(tmp_path, level, content, expected):
    (tmp_path / "table.tsv").write_text(content)
    file = str(tmp_path / "table.tsv")
    assert known_formats.detect_format(file, LabelledSettings(), level) == expected
    if level == "word":
        assert known_formats.detect_document_format(file, LabelledSettings(), "XYZ") != "conllu"


# ---- A format that is only entered in the table: `word/TAG`, as in the Brown corpus.


def _fits_slashes(sample):
    words = " ".join(sample.lines).split()
    return sum("/" in word for word in words) > len(words) / 2


def _pairs(source):
    for number, line in lines_with_ends(source, "strict"):
        yield number, *zip(*(word.rpartition("/")[::2] for word in line.split()), strict=True)


def _read_slashes(source, settings):
    rows = _pairs(source)
    examples = [Example(words, (labels,), (), number, source) for number, words, labels in rows]
    return LabelledText(tuple(examples), ("tag",), (), "slashes")


def _slashed_sentences(source, settings):
    for number, words, _ in _pairs(source):

        def write(word_labels, text_labels, words=words):
            return " ".join(map("/".join, zip(words, word_labels["tag"], strict=True))) + "\n"

        yield DocumentSentence(words, number, write)


def test_a_format_works_once_it_is_in_the_table(tmp_path, monkeypatch):
    tells = {"fits": _fits_slashes, "fits_document": _fits_slashes}
    reads = {"read": _read_slashes, "read_document": _slashed_sentences}
    slashes = LabelFormat("slashes", levels=("word",), **tells, **reads)
    # Before columns, which takes any lines with equally many words.
    columns = FORMATS["columns"]
    monkeypatch.delitem(FORMATS, "columns")
    monkeypatch.setitem(FORMATS, "slashes", slashes)
    monkeypatch.setitem(FORMATS, "columns", columns)

    file = tmp_path / "pos.txt"
    file.write_text("the/AT dog/NN\na/AT cat/NN\n")
    text = known_formats.read_labelled([file], LabelledSettings(), "word")
    assert text.format == "slashes"
    assert [example.word_labels for example in text.examples] == [(("AT", "NN"),)] * 2

    assert known_formats.detect_document_format(str(file), LabelledSettings()) == "slashes"
    first, _ = known_formats.open_document(str(file), "slashes", LabelledSettings())
    assert first.words == ("the", "dog")
    assert first.with_labels({"tag": ["X", "Y"]}) == "the/X dog/Y\n"
