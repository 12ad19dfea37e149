"""Word vectors on the command line: learned, exported, read by training, looked at."""

import numpy as np
import pytest

from support.failures import checked_error

VECTORS = "6 2\nking 1 0.1\nqueen 1 0.9\nman 0.1 0.1\nwoman 0.1 0.9\nprince 0.9 0.3\ncat -1 0\n"


@pytest.fixture
def vectors(here):
    (here / "v.txt").write_text(VECTORS, encoding="utf-8")
    return "v.txt"


def test_text_vectors_are_written_and_inspected(rnnlm, models, here):
    learned = rnnlm(f"vectors {models.text} --method svd --width 8 --min-count 2 -o my.vec.gz")
    assert (learned.code, learned.out) == (
        0,
        "",
    ) and "8 numbers each, in " in learned.err.splitlines()[-1]
    shown = rnnlm("inspect", "neighbours", "the", "--file", "my.vec.gz", "-n", "3", "--json")
    found = shown.json
    assert (
        len(found["neighbours"][0]) == 3
        and found["source"].startswith("my.vec.gz: ")
        and "lies nearest" in found["verdict"]
    )
    checked_error(
        rnnlm("vectors", models.text, "--method", "svd", "-o", "my.vec.gz"),
        1,
        "my.vec.gz already exists",
    )
    checked_error(
        rnnlm("vectors", models.text, "--method", "svd", "--epochs", "2", "-o", "x.vec"),
        2,
        "--epochs: not for --method svd",
    )
    checked_error(rnnlm("vectors", "absent.txt", "-o", "x.vec"), 1, "no such file: absent.txt")


def test_without_a_text_the_bundled_corpus_is_read(rnnlm, here, monkeypatch):
    from rnnlm.vectors import learning

    texts = []
    monkeypatch.setattr(
        learning,
        "word_stream",
        lambda text, *_: texts.extend(text.sources) or pytest.skip("not learned here"),
    )
    for arguments in ((), ("english",), ("travel",)):
        with pytest.raises(pytest.skip.Exception):
            rnnlm("vectors", *arguments, "-o", "v.vec")
    assert [text.rpartition("/")[0].rpartition("/")[2] for text in texts] == [
        "english",
        "english",
        "travel",
    ]


def test_exported_vectors_are_those_that_training_starts_from(rnnlm, models, here):
    import rnnlm as library

    ended = rnnlm("export", "-m", models.lstm, "--vectors", "m.vec")
    assert ended.code == 0 and "written to m.vec" in ended.err.splitlines()[-1]
    exported, own = library.read_vectors("m.vec"), library.load(models.lstm).word_vectors()
    assert exported.words == own.words and np.array_equal(exported.matrix_VE, own.matrix_VE)
    frozen = (
        "--embeddings",
        "m.vec",
        "--set",
        "freeze_embeddings=true",
        "--set",
        f"embedding_size={own.width}",
        "--budget",
        "2steps",
    )
    assert (
        rnnlm("train", models.text, *frozen, "--tokenizer-from", models.lstm, "-o", "again").code
        == 0
    )
    assert np.array_equal(library.load("again").word_vectors().matrix_VE, own.matrix_VE)
    assert rnnlm("export", "-m", models.lstm, "--vectors", "-", "--which", "output").out.startswith(
        f"{len(own.words)} "
    )
    checked_error(
        rnnlm("export", "-m", models.lstm, "--vectors", "m.vec"), 1, "m.vec already exists"
    )
    checked_error(
        rnnlm("export", "-m", models.unigram, "--vectors", "u.vec"), 2, "uni has no word vectors"
    )
    checked_error(
        rnnlm("export", "-m", models.lstm, "--arpa", "m.arpa", "--which", "input"),
        2,
        "--which needs --vectors",
    )


def test_training_reports_counting_word_vectors_unless_resumed(rnnlm, models, here):
    small = ("--model", "gru", "--set", "embedding_size=4", "--set", "hidden_size=4")
    command = ("train", models.text, "--embeddings", "svd", *small, "-o", "m")
    said = "word vectors are counted in the training text first"
    assert said in rnnlm(*command, "--budget", "2steps").err.splitlines()
    again = rnnlm(*command, "--budget", "3steps", "--resume")
    assert again.code == 0 and said not in again.err
    once = (
        *command[:-1],
        "once",
        "--budget",
        "2steps",
        "--set",
        "resumable=false",
        "--resume",
        "auto",
    )
    assert said in rnnlm(*once).err
    ended = rnnlm(*once)
    assert "has already ended" in ended.err and said not in ended.err
    assert said not in rnnlm("train", models.text, "--model", "unigram", "-o", "u").err
    grid = (
        "train",
        models.text,
        "--embeddings",
        "svd",
        *small[:4],
        "--budget",
        "2steps",
        "--grid",
        "hidden_size=3,4",
        "-o",
        "g",
    )
    lines = [
        line for line in rnnlm(*grid).err.splitlines() if line.startswith("run ") or line == said
    ]
    assert [line == said for line in lines] == [False, True] * 2 and said not in rnnlm(*grid).err


def test_inspections_print_table_and_sentence_and_draw(rnnlm, vectors, here):
    for arguments, row in (
        (("neighbours", "king"), "king\t1\tprince\t"),
        (("neighbours", "king", "-", "man", "+", "woman"), "1\tqueen\t"),
    ):  # fmt: skip
        shown = rnnlm(
            "inspect",
            *arguments,
            "--file",
            vectors,
            *(["--plot", "near.svg"] if len(arguments) == 2 else []),
        )
        assert shown.code == 0 and any(line.startswith(row) for line in shown.out.splitlines()), (
            shown.out
        )
        assert shown.out.splitlines()[-1].endswith(".")
    assert ">queen<" in (here / "near.svg").read_text(encoding="utf-8")


def test_wrong_usage_and_unknown_words_give_one_line(rnnlm, vectors, models):
    checked_error(
        rnnlm("inspect", "neighbours", "King", "--file", vectors), 2, "unknown word 'King'"
    )
    checked_error(
        rnnlm("inspect", "neighbours", "king", "-", "man", "--file", vectors), 2, "unknown word '-'"
    )
    checked_error(
        rnnlm("inspect", "neighbours", "king", "--file", vectors, "--which", "output"),
        2,
        "--which: for vectors of a model",
    )
    checked_error(
        rnnlm("inspect", "neighbours", "king", "-m", models.unigram),
        2,
        "inspect neighbours has nothing to show",
    )
