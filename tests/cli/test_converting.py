"""`rnnlm import` and `export`: models of n-grams out of files, and into files."""

import gzip

import numpy as np
import pytest

import rnnlm as library
from support.arpa_files import GOLDEN, SMALL
from support.failures import checked_error

ARPA = GOLDEN / "g2-order3-prune.arpa.gz"


@pytest.fixture
def imported(rnnlm):
    ended = rnnlm("import", ARPA, "-o", "tri")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[-2:] == [  # how far reading is may come first
        "an n-gram model of order 3, V = 2,527; n-grams by order: 2,528, 12,756, 1,149",
        "saved in tri",
    ]  # fmt: skip
    return "tri"


def test_all_commands_work_on_an_imported_model(rnnlm, imported, here):
    (here / "text.txt").write_text("a cat sat on the table\nthe man said that\n")
    assert rnnlm("eval", "-m", imported, "text.txt", "--json").json["tokens"] == 12
    assert len(rnnlm("score", "-m", imported, "the man said", "--json").json) > 0
    assert len(rnnlm("generate", "-m", imported, "--num", 2, "--seed", 1).out.splitlines()) == 2
    assert rnnlm("info", "-m", imported, "--json").json["vocabulary_size"] == 2527
    exported = rnnlm("export", "-m", imported, "--arpa", "-").out
    assert "\nngram 3=1149\n" in exported


def test_a_file_comes_from_standard_input(rnnlm):
    assert rnnlm("import", "-", "-o", "model", stdin=SMALL.encode()).code == 0
    assert rnnlm("info", "model", "--json").json["training"]["imported_from"] == "-"


def test_positive_log_probabilities_are_read_when_asked(rnnlm, here):
    (here / "m.arpa").write_text(SMALL.replace("-0.1\ta b", "0.1\ta b"))
    refused = rnnlm("import", "m.arpa", "-o", "model")
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "line 15: a positive log-probability; --allow-positive reads it as 0" in refused.err
    assert rnnlm("import", "m.arpa", "-o", "model", "--allow-positive").code == 0


def test_sums_that_are_off_become_one_when_asked(rnnlm, here):
    (here / "m.arpa").write_text(SMALL)
    assert rnnlm("import m.arpa -o as-is").code == 0
    ended = rnnlm("import m.arpa -o one --renormalise")
    assert ended.code == 0

    # The largest error among the distributions after all n-grams
    own, one = library.load("as-is"), library.load("one")
    assert (own.normalised, one.normalised) == (False, True)
    contexts = [[0], [2], [3], [0, 3], [3, 2], [3, 0]]  # of </s>, b, a
    off = [
        abs(np.exp(own.predict(np.array([ids]), own.initial_state(1))[0][0, -1]).sum() - 1)
        for ids in contexts
    ]
    assert f"differed from 1 in sum by {max(off):.2g} at most; now" in ended.err
    assert "sums\tok" in rnnlm("doctor one").out
    assert list(map(len, one.values)) == list(map(len, own.values))


def test_conflicting_tokenizer_options_are_refused(rnnlm, imported):
    ended = rnnlm("import", ARPA, "-o", "m", "--tokenizer-from", imported, "--lowercase")
    checked_error(ended, 2, "--tokenizer-from determines the tokenizer")


@pytest.fixture(scope="module")
def trigrams(models, tmp_path_factory):
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("export") / "tri"
    assert run(f"train {models.text} --model ngram --set order=3 -o {folder}".split()) == 0
    return folder


def test_a_model_becomes_an_arpa_file(rnnlm, trigrams, here):
    ended = rnnlm("export", "-m", trigrams, "--arpa", here / "m.arpa")
    assert ended.code == 0
    assert ended.out == ""
    assert ended.err.splitlines()[-1] == f"written to {here / 'm.arpa'}"
    lines = (here / "m.arpa").read_text().splitlines()
    assert lines[0] == "\\data\\" and lines[-1] == "\\end\\" and "\\3-grams:" in lines


def test_a_dash_is_stdout(rnnlm, trigrams, here):
    rnnlm("export", "-m", trigrams, "--arpa", "m.arpa.gz")
    ended = rnnlm("export", "-m", trigrams, "--arpa", "-")
    assert ended.code == 0
    assert ended.out == gzip.decompress((here / "m.arpa.gz").read_bytes()).decode()


@pytest.mark.needs("tools/onnx_export")
def test_one_thing_is_exported_at_a_time(rnnlm, models, trigrams, here):
    one = "give one of --arpa FILE, --vectors FILE, --hf DIR, --onnx DIR"
    for options, what in (
        ("--arpa m.arpa --vectors m.vec", one), ("", one),
        (f"-m {trigrams} --arpa m.arpa", "rnnlm export takes one model"),
    ):  # fmt: skip
        checked_error(rnnlm(f"export -m {models.lstm} {options}"), 2, what)


# ---- Codes of 8 bits


@pytest.mark.parametrize("name", ["train", "import"])
def test_commands_quantise_with_the_same_words(rnnlm, name):
    refused = rnnlm(name, "x.arpa", "-o", "q", "--quantize", 4)
    checked_error(refused, 2, "Invalid value for '--quantize': it must be 8, not")
    texts = [" ".join(rnnlm(each, "--help-all").plain.split()) for each in ("train", name)]
    assert all("as codes of 8 bits, a codebook for each order above" in text for text in texts)


def test_a_quantised_model_says_so(rnnlm, models):
    assert rnnlm("train", models.text, "--model", "ngram", "--quantize", 8, "-o", "q").code == 0
    assert "quantize=8" in rnnlm("info", "q").facts["structure"]
    checks = rnnlm("doctor", "q", "--json").json["checks"]
    assert [check["result"] for check in checks if check["name"] == "sums"] == ["ok"]
