"""`rnnlm compare` without a text: the metrics that training stored, side by side."""

import json
from pathlib import Path

import pytest

import rnnlm as library
from rnnlm.cli.main import run
from rnnlm.errors import ComparisonError, UsageError

TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--precision", "fp32",
        "--budget", "3steps")  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus_lines, tmp_path_factory):
    """Train baselines of one text, each as somebody would who has read nothing."""
    folder = tmp_path_factory.mktemp("baselines")
    text = folder / "my.txt"
    text.write_text("\n".join(corpus_lines[:300]) + "\n", encoding="utf-8")
    for name, *options in (
        ("lstm", *TINY), ("ngram", "--model", "ngram"), ("uni", "--model", "unigram"),
        ("more", "--model", "ngram", "--holdout", "10%"),
        ("none", "--model", "ngram", "--holdout", "0"),
        ("chars", "--model", "ngram", "--tokenizer", "char"),
        ("usual", "--model", "ngram", "--tokenizer", "char", "--min-count", "3"),
        ("lower", "--model", "ngram", "--lowercase"),
    ):  # fmt: skip
        assert run(["train", str(text), *options, "-o", str(folder / name)]) == 0
    return folder


@pytest.fixture
def baselines(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def stored(name: str) -> dict:
    config = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
    return config["results"]["valid"]


def test_baselines_of_one_text_compare(rnnlm, baselines):
    shown = rnnlm("compare", "lstm", "ngram", "uni")
    assert shown.code == 0, shown.err
    rows = dict(line.split("\t", 1) for line in shown.out.splitlines() if "\t" in line)
    values = [f"{stored(name)['ppl_token']:,.2f}" for name in ("lstm", "ngram", "uni")]
    assert rows["measure"] == "lstm\tngram\tuni" and rows["ppl_token"] == "\t".join(values)
    assert len({stored(name)["signature"].split("|model")[0].replace("fp64", "fp32")
                for name in ("lstm", "ngram", "uni")}) == 1  # fmt: skip
    assert f"signature of ngram: {stored('ngram')['signature']}\n" in shown.out
    assert (
        "metrics of the validation text (the last 5% of the training text, held out), stored at "
        "the end of training; intervals and p-values need --on TEXT\n" in shown.err
    )

    # On any other text they compare, too, as they know the same words.
    (baselines / "other.txt").write_text("an unseen zorp\nthe man said so\n" * 5)
    found = rnnlm("compare", "lstm", "ngram", "--on", "other.txt", "--json").json
    assert found["figure"] == "ppl_token" and found["differences"][0]["p"] is not None


def test_json_has_metrics_and_differences(rnnlm, baselines):
    found = rnnlm("compare", "lstm", "ngram", "--json").json
    assert (found["task"], found["refused"]) == ("language-model", [])
    assert found["validation"] == "the last 5% of the training text, held out"
    expected = [(name, stored(name)) for name in ("lstm", "ngram")]
    assert [(each["name"], each["evaluation"]) for each in found["models"]] == expected
    first = found["differences"][0]
    assert (first["first"], first["second"], first["metric"]) == ("lstm", "ngram", "ppl_token")
    assert first["difference"] == stored("ngram")["ppl_token"] - stored("lstm")["ppl_token"]
    assert first["p"] is first["low"] is None


@pytest.mark.parametrize(("names", "code", "what", "why"), [
    (["lstm", "more"], 1, "their signatures differ in data", "for lstm, data:"),
    (["lstm", "none"], 1, "none has no stored metrics of a validation text", "made without one"),
    (["lstm", "lstm+dynamic"], 1, "lstm+dynamic has no stored metrics", "it adapts to what it reads"),
    (["lstm", "lower"], 1, "their signatures differ in case", "case:lower for lower"),
    (["lstm", "chars"], 1, "their signatures differ in tok", "split off for lstm"),
    (["lstm", "nothing"], 1, "no model named 'nothing'", ""),
    (["lstm"], 2, "a comparison needs at least two models", "only 1 is named"),
    (["lstm", "ngram", "--plot", "x.svg", "--block", "2"], 2, "--block, --plot: only valid with --on",
     ""),
    (["lstm", "ngram", "--beam", "2"], 2, "--beam: only valid with --on TEXT", ""),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(rnnlm, baselines, names, code, what, why):
    outcome = rnnlm("compare", *names)
    assert outcome.code == code and what in outcome.errors[0] and why in outcome.err
    if "stored metrics" in what or "differ in data" in what:
        assert "measure all of them on one text: --on TEXT" in outcome.err


def test_different_tokens_compare_per_word_and_character(rnnlm, baselines):
    shown = rnnlm("compare", "chars", "usual")
    assert shown.code == 0, shown.err
    rows = dict(line.split("\t", 1) for line in shown.out.splitlines() if "\t" in line)
    assert "ppl_word" in rows and "bits_per_char" in rows and "ppl_token" not in rows
    assert "ppl_token is not compared: their tokens are different events" in shown.err


def test_taggers_and_translators_compare(rnnlm, here, tagger, slot_tagger, translator):
    shown = rnnlm("compare", tagger.folder, tagger.folder)
    assert shown.code == 0 and "f1\t" in shown.out and "accuracy\t" in shown.out
    outcome = rnnlm("compare", tagger.folder, slot_tagger.folder)
    assert outcome.code == 1 and "differ in data" in outcome.errors[0]
    outcome = rnnlm("compare", tagger.folder, translator.folder)
    assert outcome.code == 1 and "different tasks" in outcome.errors[0]
    shown = rnnlm("compare", translator.folder, translator.folder)
    assert shown.code == 0, shown.err
    assert "bleu\t" in shown.out and "ppl_token\t" in shown.out
    assert "fra (1): bleu|" in shown.out


def test_python_compares_without_a_text(baselines):
    models = [library.load("lstm"), "ngram"]
    found = library.compare(models, names=["network", "counts"])
    assert [each.name for each in found.models] == ["network", "counts"]
    rows = {(row["model"], row["metric"]): row["value"] for row in found.to_rows("metrics")}
    assert rows["counts", "ppl_token"] == stored("ngram")["ppl_token"]
    assert found.to_rows()[0]["metric"] == "ppl_token"
    assert "measure" in str(found) and "network, counts" in repr(found)
    assert "<table" in found._repr_html_()
    with pytest.raises(UsageError, match="nothing to plot"):
        found.plot()
    with pytest.raises(UsageError, match="needs a text: without one, stored metrics are compared"):
        library.compare(models, train="my.txt")
    with pytest.raises(ComparisonError, match="it is not saved"):
        library.compare([library.load("lstm+dynamic"), "ngram"])
