"""`rnnlm embed`: lines of texts and tables, their words, and one clear line where there are no
vectors."""

import numpy as np
import pytest

from rnnlm import load


def test_lines_and_table_texts_have_same_vectors(rnnlm, models, here):
    (here / "in.txt").write_text("the ship came home .\n\na letter\n")
    (here / "in.csv").write_text('n,said\n1,the ship came home .\n2,""\n3,a letter\n')
    asked = f"embed -m {models.lstm} --pooling mean"
    outcome = rnnlm(f"{asked} --input in.txt -o a.npy")
    assert (outcome.code, outcome.out) == (0, "")
    assert "vectors of 3 lines written to a.npy" in outcome.err
    rnnlm(f"{asked} --input in.csv --column said -o b.npy")
    expected = load(models.lstm).embed(["the ship came home .", "", "a letter"], pooling="mean")
    np.testing.assert_array_equal(np.load(here / "a.npy"), expected)
    # A blank line is read as one; a row without text has no vector.
    expected[1] = np.nan
    np.testing.assert_array_equal(np.load(here / "b.npy"), expected)


def test_error_names_file_and_position(rnnlm, models, here):
    (here / "first.txt").write_text("a\nb | c\n")
    (here / "bad.txt").write_bytes(b"a\nb\nc \xff\n")
    (here / "bad.csv").write_bytes(b"n,said\n1,a\n2,<s>\n")
    asked = f"embed -m {models.lstm} -o a.npy --input"
    for given, error in (
        ("first.txt --input bad.txt", "bad.txt, line 3: not UTF-8 (byte 3 is 0xff)"),
        ("bad.csv --column said", "bad.csv, row 2: the text holds <s>"),
    ):
        outcome = rnnlm(f"{asked} {given}")
        assert (outcome.code, outcome.errors[0]) == (1, f"error: {error}")
    assert "--regions" not in rnnlm(f"{asked} first.txt").err


def test_words_go_to_standard_output_as_json_lines(rnnlm, models):
    outcome = rnnlm(f"embed -m {models.lstm} --words --layer 1 -o -", stdin=b"\nthe ship\n")
    rows = outcome.records
    assert [len(row.pop("vector")) for row in rows] == [8, 8]
    assert rows[1] == {"line": 2, "word_index": 2, "word": "ship", "start": 4, "end": 8}


@pytest.mark.parametrize(("options", "stdin", "error"), [
    ("-m uni -o a.npy", b"a\n", "uni has no vectors of text"),
    ("-m tiny -o a.npy --layer 2", b"a\n", "there is no layer '2'"),
    ("-m tiny -o a.txt", b"a\n", "a.txt does not have the suffix of a vectors file"),
    ("-m tiny -o a.npy", b"a\n\xff\n",
     "standard input, line 2: not UTF-8 (byte 1 is 0xff)"),
    ("-m tiny -o a.npy", b"a\nb </s>\n", "standard input, line 2: the text holds </s>"),
    ("-m tiny -o there.npy", b"a\n", "there.npy already exists"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_clear_line(rnnlm, models, here, options, stdin, error):
    (here / "there.npy").write_text("mine")
    for folder in (models.lstm, models.unigram):
        (here / folder.name).symlink_to(folder)
    outcome = rnnlm(f"embed {options}", stdin=stdin)
    assert outcome.code and outcome.errors[0] == f"error: {error}"
    assert {path.name for path in here.iterdir()} == {"there.npy", "tiny", "uni"}
    assert (here / "there.npy").read_text() == "mine"
