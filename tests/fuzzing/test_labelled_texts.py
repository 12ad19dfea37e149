"""Labelled texts of every format, whole and damaged."""

import gzip
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import RnnlmError
from rnnlm.text.labelled.documents import FORMATS, open_document
from rnnlm.text.labelled.example import LabelledSettings
from rnnlm.text.labelled.reading import read_labelled
from support.odd_inputs import changed, damaged, json_bytes, odd_text, value_or_error

CONLLU = (
    b"# text = We don't.\n1\tWe\twe\tPRON\tP\t_\t_\t_\t_\t_\n2-3\tdon't"
    + b"\t_" * 8
    + b"\n2\tdo"
    + b"\t_" * 8
    + b"\n3\tn't"
    + b"\t_" * 8
)
COLUMNS = b"-DOCSTART- O\n\nEU B-ORG\nsays O\n\nall O\n"
TABLE = b'id\ttext\tslots\tintent\n1\tto Rome\tO B-x\tgo\n2\t"a ""b"""\tO O\tstay\n'
LINES = b"__label__a __label__b some text\nlabel\tsome text\n"
ROWS = {"text": "to Rome", "slots": ["O", "B-x"], "label": ["go", "stay"]}
EVERY = (CONLLU, COLUMNS, TABLE, LINES)


@given(
    st.one_of(
        damaged(*EVERY),
        changed(ROWS).map(json_bytes),
        odd_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    st.data(),
)
def test_any_labelled_text(place, data, choices):
    path = place / "data"
    path.write_bytes(data)
    format = choices.draw(
        st.sampled_from(["auto", "conllu", "columns", "tsv", "csv", "jsonl", "fasttext"])
    )
    settings = LabelledSettings(
        format=format, multi_label=choices.draw(st.booleans()), encoding_errors="replace"
    )
    for level in ("word", "text"):
        found = value_or_error(partial(read_labelled, [path], settings, level))
        if not isinstance(found, RnnlmError):
            assert all(example.words and all(example.words) for example in found.examples)
            assert all(
                len(row) == len(each.words) and all(row)
                for each in found.examples
                for row in each.word_labels
            )
    value_or_error(
        lambda: read_labelled([path], LabelledSettings(encoding_errors="replace"), "word", [path])
    )


def sentences(path, format, settings):
    return list(open_document(str(path), format, settings))


@given(st.one_of(damaged(*EVERY), changed(ROWS).map(json_bytes)), st.sampled_from(FORMATS))
def test_any_document(place, data, format):
    path = place / "data.gz"
    path.write_bytes(gzip.compress(data))
    for errors in ("strict", "replace"):
        found = value_or_error(
            partial(sentences, path, format, LabelledSettings(encoding_errors=errors))
        )
        for sentence in [] if isinstance(found, RnnlmError) else found:
            assert sentence.with_labels({"ner": ["O"] * len(sentence.words)})
