"""Vectors: of words, learned, exported, read by training and looked at; of lines of texts."""

import numpy as np
import pytest

import rnnlm as library
from rnnlm import load
from support.failures import checked_error

VECTORS = "6 2\nking 1 0.1\nqueen 1 0.9\nman 0.1 0.1\nwoman 0.1 0.9\nprince 0.9 0.3\ncat -1 0\n"


@pytest.fixture
def vectors(here):
    (here / "v.txt").write_text(VECTORS, encoding="utf-8")
    return "v.txt"


def test_text_vectors_are_written_and_inspected(rnnlm, models, here):
    learned = rnnlm(f"vectors {models.text} --method svd --width 8 --min-count 2 -o my.vec.gz")
    assert (learned.code, learned.out) == (0, "")
    assert "8 numbers each, in " in learned.err.splitlines()[-1]
    found = rnnlm("inspect neighbours the --file my.vec.gz -n 3 --json").json
    assert len(found["neighbours"][0]) == 3
    assert found["source"].startswith("my.vec.gz: ") and "lies nearest" in found["verdict"]
    for command, code, what in (
        (f"{models.text} --method svd -o my.vec.gz", 1, "my.vec.gz already exists"),
        (f"{models.text} --method svd --epochs 2 -o x.vec", 2,
         "--epochs: not valid with --method svd"),
        ("absent.txt -o x.vec", 1, "no such file: absent.txt"),
    ):  # fmt: skip
        checked_error(rnnlm(f"vectors {command}"), code, what)


@pytest.mark.parametrize(
    "given, name", [("", "english"), ("english", "english"), ("travel", "travel")]
)
def test_without_a_text_the_bundled_corpus_is_read(rnnlm, given, name):
    learned = rnnlm(f"vectors {given} --method svd --width 2 --min-count 90 -o v.vec")
    assert learned.code == 0
    assert ("flight" in library.read_vectors("v.vec").words) == (name == "travel")


def test_exported_vectors_are_those_that_training_starts_from(rnnlm, models, here):
    exporting = f"export -m {models.lstm} --vectors"
    ended = rnnlm(f"{exporting} m.vec")
    assert ended.code == 0 and "written to m.vec" in ended.err.splitlines()[-1]
    exported, own = library.read_vectors("m.vec"), library.load(models.lstm).word_vectors()
    assert exported.words == own.words and np.array_equal(exported.matrix_VE, own.matrix_VE)
    trained = rnnlm(
        f"train {models.text} --tokenizer-from {models.lstm} --embeddings m.vec --budget 2steps"
        f" --set freeze_embeddings=true --set embedding_size={own.width} -o again"
    )
    assert trained.code == 0
    assert np.array_equal(library.load("again").word_vectors().matrix_VE, own.matrix_VE)
    assert rnnlm(f"{exporting} - --which output").out.startswith(f"{len(own.words)} ")
    for command, code, what in (
        (f"{exporting} m.vec --which output", 1, "m.vec already exists"),
        (f"export -m {models.unigram} --vectors u.vec", 2, "uni has no word vectors"),
        (f"export -m {models.lstm} --arpa m.arpa --which input", 2, "--which needs --vectors"),
    ):
        checked_error(rnnlm(command), code, what)


def test_training_reports_counting_word_vectors_unless_resumed(rnnlm, models, here):
    small = ("--model", "gru", "--set", "embedding_size=4", "--set", "hidden_size=4")
    command = ("train", models.text, "--embeddings", "svd", *small, "-o", "m")
    said = "computing word vectors from the training text first"
    assert said in rnnlm(*command, "--budget", "2steps").err.splitlines()
    again = rnnlm(*command, "--budget", "3steps")
    assert again.code == 0 and said not in again.err
    once = (*command[:-1], "once", "--budget", "2steps", "--set", "keep_checkpoints=0")
    assert said in rnnlm(*once).err
    ended = rnnlm(*once)
    assert "once is finished" in ended.err and said not in ended.err
    assert said not in rnnlm("train", models.text, "--model", "unigram", "-o", "u").err
    grid = (
        "train", models.text, "--embeddings", "svd", *small[:4], "--budget", "2steps", "--grid",
        "hidden_size=3,4", "-o", "g",
    )  # fmt: skip
    lines = [
        line for line in rnnlm(*grid).err.splitlines() if line.startswith("run ") or line == said
    ]
    assert [line == said for line in lines] == [False, True] * 2 and said not in rnnlm(*grid).err


def test_inspections_print_table_and_sentence_and_draw(rnnlm, vectors, here):
    near = rnnlm(f"inspect neighbours king --file {vectors} --plot near.svg")
    assert ["king", "1", "prince"] in [row[:3] for row in near.rows]
    assert ">queen<" in (here / "near.svg").read_text(encoding="utf-8")
    analogy = rnnlm(f"inspect neighbours king - man + woman --file {vectors}")
    assert ["1", "queen"] in [row[:2] for row in analogy.rows]
    alike = rnnlm(f"inspect similarity 'king queen' 'queen king' --file {vectors}")
    assert ["king queen", "queen king", "1.000", "1.000", "-"] in alike.rows
    for shown in (near, analogy, alike):
        assert shown.code == 0 and shown.out.splitlines()[-1].endswith(".")


def test_wrong_usage_and_unknown_words_give_one_line(rnnlm, vectors, models):
    for asked, what in (
        (f"King --file {vectors}", "unknown word 'King'"),
        (f"king - man --file {vectors}", "unknown word '-'"),
        (f"king --file {vectors} --which output", "--which: not valid with --file"),
        (f"king -m {models.unigram}", "inspect neighbours has nothing to show"),
    ):
        checked_error(rnnlm(f"inspect neighbours {asked}"), 2, what)


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


@pytest.mark.system("links")
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
