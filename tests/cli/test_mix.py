import json
import shutil

import pytest

import rnnlm as library
from support.failures import checked_error


@pytest.fixture(scope="session")
def trained(models, tmp_path_factory):
    """A folder with three models of one tokenizer, and one of another."""
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(models.lstm, folder / "lstm")
    for name, *options in (("kn", "--model", "ngram", "--order", "3"), ("uni", "--model", "unigram")):
        assert run(["train", str(models.text), *options, "--tokenizer-from", str(models.lstm), "-o", str(folder / name)]) == 0
    assert run(["train", str(models.text), "--model", "unigram", "--lowercase", "-o", str(folder / "lower")]) == 0
    shutil.copy(models.valid, folder / "valid.txt")
    return folder


@pytest.fixture
def parts(trained, here):
    shutil.copytree(trained, here, dirs_exist_ok=True)
    return here


def test_parts_weights_and_perplexities_are_shown(rnnlm, parts):
    shown = rnnlm("mix", "lstm", "kn", "uni", "--on", "valid.txt")
    assert shown.code == 0
    header, *rows, signature = [line.split("\t") for line in shown.out.splitlines()]
    assert header == ["model", "weight", "ppl_token"]
    assert [row[0] for row in rows] == ["lstm", "kn", "uni", "mixture"]
    assert sum(float(row[1]) for row in rows[:3]) == pytest.approx(1, abs=1e-3)
    alone = [library.evaluate(library.load(name), "valid.txt").ppl_token for name in ("lstm", "kn", "uni")]
    assert [float(row[2].replace(",", "")) for row in rows[:3]] == pytest.approx(alone, abs=1e-3)
    assert float(rows[3][2]) <= min(alone)
    assert signature[0].startswith("signature: rnnlm:")
    assert shown.err == "the mixture is in checkpoints/mixture\n"


@pytest.mark.parametrize("option", [(), ("--log-linear",), ("--bundle",), ("--weights", "0.25,0.75"), ("--context", "reset")])
def test_the_mixture_works_as_any_other_model(rnnlm, parts, option):
    assert rnnlm("mix", "lstm", "kn", "--on", "valid.txt", "-o", "both", *option).code == 0
    (parts / "pairs.tsv").write_text("good\tbad\tkind\nthe man\tman the\torder\n")
    for command in (["eval", "valid.txt"], ["score", "the man"], ["score", "--pairs", "pairs.tsv"], ["generate"], ["info"], ["doctor"]):
        ended = rnnlm(command[0], "-m", "both", *command[1:])
        assert ended.code == 0, ended.err
    info = rnnlm("info", "both").out
    assert "training.mixed.2.weight" in info and "parts.1.fingerprint" in info
    assert "part 2: tables\tok" in rnnlm("doctor", "both").out


def test_tuning_weights_on_a_text_that_a_model_was_trained_on_is_reported(rnnlm, models, parts):
    told = "note: this is the very text that kn and uni were trained on: weights found there flatter them; use held-out text\n"
    assert told in rnnlm("mix", "kn", "uni", "--on", models.text).err
    for arguments in (["--on", "valid.txt"], ["--on", models.text, "--weights", "0.5,0.5"]):
        assert "very text" not in rnnlm("mix", "kn", "uni", *arguments, "--overwrite").err


def test_what_says_the_weights_is_named(rnnlm, parts):
    hint = checked_error(rnnlm("mix", "kn", "uni"), 2, "the weights of the models are unknown")[-1]
    assert "--on TEXT" in hint and "--weights" in hint


def test_json_holds_all_of_it(rnnlm, parts):
    result = json.loads(rnnlm("mix", "lstm", "kn", "--on", "valid.txt", "--json", "--log-linear", "-o", "both").out)
    assert (result["output"], result["kind"]) == ("both", "log-linear")
    assert result["evaluation"]["ppl_token"] < min(part["ppl_token"] for part in result["parts"])
    assert [part["fingerprint"] for part in result["parts"]] == [library.load(name).fingerprint for name in ("lstm", "kn")]
    fixed = json.loads(rnnlm("mix", "lstm", "kn", "--weights", "1.5,-0.5", "--log-linear", "--json", "-o", "fixed").out)
    assert [part["weight"] for part in fixed["parts"]] == [1.5, -0.5]
    assert (fixed["evaluation"], fixed["iterations"], fixed["parts"][0]["ppl_token"]) == (None, None, None)


def test_a_bundle_outlives_its_parts(rnnlm, parts):
    rnnlm("mix", "lstm", "kn", "--on", "valid.txt", "-o", "both", "--bundle")
    before = rnnlm("score", "-m", "both", "the man").out
    for name in ("lstm", "kn"):
        shutil.rmtree(name)
    shutil.move("both", "moved")
    assert rnnlm("score", "-m", "moved", "the man").out == before


def test_the_same_model_twice(rnnlm, parts):
    shown = rnnlm("mix", "kn", "kn", "--on", "valid.txt")
    assert [line.split("\t")[1] for line in shown.out.splitlines()[1:3]] == ["0.5000", "0.5000"]


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["kn", "--on", "valid.txt"], 2, "a mixture needs at least two models"),
        ([], 2, "Missing argument"),
        (["kn", "uni"], 2, "the weights of the models are unknown"),
        (["kn", "lower", "--on", "valid.txt"], 2, "lower and kn have different tokenizers"),
        (["kn", "nowhere", "--on", "valid.txt"], 1, "no model at nowhere"),
        (["kn", "uni", "--on", "nowhere.txt"], 1, "no such file: nowhere.txt"),
        (["kn", "uni", "--weights", "0.5,0.3,0.2"], 2, "3 weights do not fit 2 models"),
        (["kn", "uni", "--weights", "0.5,0.3"], 2, "the weights 0.5, 0.3 are not valid for a linear mixture"),
        (["kn", "uni", "--weights", "nan,1"], 2, "the weights nan, 1 are not all numbers"),
        (["kn", "uni", "--weights", "half,half"], 2, "Invalid value for '--weights': 'half,half' is not understood"),
        (["kn", "uni", "--weights", "0,0", "--log-linear"], 2, "all weights are 0"),
        (["kn", "uni", "--on", "valid.txt", "-o", "kn"], 1, "kn already holds a model"),
        (["kn", "uni", "--on", "valid.txt", "-o", "kn", "--overwrite"], 2, "the mixture cannot replace kn, which it would be made of"),
        (["kn", "uni", "--on", "valid.txt", "-o", "valid.txt"], 1, "cannot write a model to valid.txt"),
    ],
)
def test_wrong_usage(rnnlm, parts, arguments, code, what):
    before = library.load("kn").fingerprint
    checked_error(rnnlm("mix", *arguments), code, what)
    assert library.load("kn").fingerprint == before
    assert not (parts / "checkpoints").exists()


def test_a_mixture_whose_part_is_missing_or_changed_says_so(rnnlm, parts):
    rnnlm("mix", "kn", "uni", "--on", "valid.txt", "-o", "both")
    rnnlm("prune", "-m", "kn", "-o", "kn", "--max-order", "2", "--overwrite")
    lines = checked_error(rnnlm("eval", "-m", "both", "valid.txt"), 1, "part 1 of the mixture at both has changed")
    assert "mix again" in lines[-1]
    shutil.rmtree("kn")
    checked_error(rnnlm("score", "-m", "both", "the man"), 1, "part 1 of the mixture at both is missing")
    sick = rnnlm("doctor", "both")
    assert sick.code == 1 and "parts\tfailed\tpart 1 of the mixture at both is missing" in sick.out
    assert rnnlm("info", "both").code == 0


def test_a_mixture_is_not_trained_nor_exported_nor_pruned(rnnlm, parts):
    lines = checked_error(rnnlm("train", "valid.txt", "--model", "mixture"), 2, "a model of kind mixture is not trained")
    assert "rnnlm mix" in lines[-1]
    rnnlm("mix", "kn", "uni", "--on", "valid.txt", "-o", "both")
    checked_error(rnnlm("export", "-m", "both", "--arpa", "both.arpa"), 2, "this model has no ARPA form")
    checked_error(rnnlm("prune", "-m", "both", "-o", "small", "--max-order", "2"), 2, "the model both is of kind mixture")
    checked_error(rnnlm("train", "valid.txt", "--init-from", "both", "--tokenizer-from", "both"), 2, "--init-from both")
