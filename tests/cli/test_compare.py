"""`rnnlm compare` of all tasks: on a text, and by the metrics that training stored."""

import json
import re
import warnings
from pathlib import Path

import pytest

import rnnlm as library
from rnnlm.cli.main import run
from rnnlm.errors import ComparisonError, RnnlmWarning, UsageError
from support.failures import checked_error


def tables(out: str) -> list[list[list[str]]]:
    return [[line.split("\t") for line in part.splitlines()] for part in out.split("\n\n")]


def test_metrics_differences_and_tables_are_shown(rnnlm, parts, pictures):
    shown = rnnlm("compare lstm kn --on valid.txt --plot difference.svg")
    assert shown.code == 0
    verdict, figures, differences, *groups, lines, tokens, signatures = tables(shown.out)
    better = r"lstm is better than kn by (\S+) bits a token, 95 % interval \S+ to \S+\."
    assert re.fullmatch(better, verdict[0][0])
    label = "difference in bits a token\n(bars: 95 % intervals)"
    assert pictures["difference.svg"].axes[0].get_xlabel() == label
    assert figures[0] == ["measure", "lstm", "kn"]
    alone = [library.load(name).evaluate("valid.txt").ppl_token for name in ("lstm", "kn")]
    cells = {row[0]: row[1:] for row in figures}["ppl_token"]
    assert [cell.split(" [")[0] for cell in cells] == [f"{ppl:,.2f}" for ppl in alone]
    assert differences[0] == ["difference", "measure", "by", "perplexity", "p"]
    assert differences[1][:2] == ["kn - lstm", "bits per token"]
    names = ["training frequency", "position in line", "longest n-gram seen"]
    assert [table[0][0] for table in groups] == names
    assert (lines[0][-1], tokens[0][-1]) == ("line", "token") and len(lines) <= 1 + 6
    assert {row[0] for row in lines[1:]} <= {"lstm", "kn"}
    assert [row[0].split(": ")[0] for row in signatures] == ["signature of lstm", "signature of kn"]


def test_json_holds_all_of_it(rnnlm, parts):
    result = rnnlm(
        "compare lstm kn --on valid.txt --json --block 2 --resamples 99 --train train.txt"
    ).json
    assert (result["block_lines"], result["lines"], result["ngram_source"]) == (2, 40, "train.txt")
    settings = library.ComparisonSettings(block_lines=2, resamples=99)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        found = library.compare(["lstm", "kn"], "valid.txt", train="train.txt", settings=settings)
    expected = json.loads(json.dumps(found.to_dict()))
    for name in ("differences", "lines_apart"):
        assert result[name] == expected[name]
    for model, other in zip(result["models"], expected["models"], strict=True):
        assert model["evaluation"]["ppl_token"] == other["evaluation"]["ppl_token"]


def test_latex_is_the_table_of_a_paper(rnnlm, parts):
    asked = ("compare", "lstm", "kn", "--on", "valid.txt", "--resamples", "99")
    begin, _, head, _, first, second, *_, end = rnnlm(*asked, "--latex").out.splitlines()
    assert (begin, end) == (r"\begin{tabular}{lrrr}", r"\end{tabular}")
    assert head == r"model & ppl\_token & difference from lstm & p \\"
    differences = rnnlm(*asked, "--json").json["differences"]
    [difference] = [each for each in differences if each["metric"] == "ppl_token"]
    assert re.fullmatch(r"lstm & [\d.]+ \[[\d.]+, [\d.]+\] &  &  \\\\", first)
    share, p = 100 * (difference["ppl_ratio"] - 1), difference["p"]
    assert f"{abs(share):.1f}\\% [" in second and second.startswith("kn & ")
    assert second.endswith(f" & {p:.4f} \\\\")
    checked_error(rnnlm(*asked, "--latex", "--json"), 2, "--json and --latex cannot be combined")


@pytest.mark.needs("tools/mixtures")
def test_comparing_on_training_text_is_reported(rnnlm, parts):
    note = "note: kn and kn+unigram were trained on this very text: metrics found on it"
    shown = rnnlm("compare kn kn+unigram --on train.txt")
    assert f"{note} flatter them; use held-out text\n" in shown.err


@pytest.mark.needs("tools/mixtures")
@pytest.mark.parametrize(("arguments", "code", "what"), [
    ("demo --on valid.txt", 2, "a comparison needs at least two models"),
    ("--on valid.txt", 2, "a comparison needs at least two models"),
    ("kn lstm valid.txt", 2, "valid.txt is a file, not a model; to compare models on it: --on"),
    ("kn lstm", 1, "kn has no stored metrics of a validation text"),
    ("kn kn+cache --on valid.txt", 2, "an n-gram model cannot be adapted in this way"),
    ("kn lstm --on valid.txt --train nowhere.txt", 1, "no such file: nowhere.txt"),
    ("lstm kn chars --on valid.txt --json", 1,
     "these models cannot be compared: their signatures differ in tok"),
])  # fmt: skip
def test_wrong_usage(rnnlm, parts, arguments, code, what):
    checked_error(rnnlm(f"compare {arguments}"), code, what)


@pytest.fixture(scope="module")
def other(tagger, tmp_path_factory):
    """Train a tagger of the same labels that has learned little."""
    folder = tmp_path_factory.mktemp("other") / "other"
    small = "--set hidden_size=4 --set embedding_size=4 --budget 1steps --precision fp32"
    data = f"{tagger.train} --valid {tagger.valid} --task tagging --input-format columns"
    assert run(f"train {data} {small} -o {folder}".split()) == 0
    return folder


@pytest.mark.needs("tasks/labelling")
def test_differences_match_metrics_with_intervals_and_p_values(rnnlm, tagger, other):
    asked = f"compare {other} {tagger.folder} --on {tagger.valid} --resamples 200"
    found = rnnlm(f"{asked} --json").json
    first, second = (
        rnnlm("eval", "-m", model, tagger.valid, "--json").json["columns"][0]
        for model in (other, tagger.folder)
    )
    [f1] = [each for each in found["differences"] if each["metric"] == "f1"]
    assert f1["column"] == "2"
    assert f1["difference"] == pytest.approx(second["f1"] - first["f1"])
    assert f1["low"] <= f1["difference"] <= f1["high"] and f1["p"] < 0.05
    signatures = [each["evaluation"]["signature"] for each in found["models"]]
    assert signatures == [first["signature"], second["signature"]]
    rows = rnnlm(asked).rows
    assert rows[0][0].startswith("tagging is better than other by ")
    assert "points of f1" in rows[0][0]
    assert ["measure", "other", "tagging"] in rows
    assert ["tagging - other", "f1"] in [row[:2] for row in rows]


@pytest.mark.needs("tasks/labelling")
def test_models_of_different_tasks_or_labels_are_refused(
    rnnlm, models, tagger, classifier, slot_tagger
):
    for first, second, why in (
        (tagger, classifier, "is a tagger, {} is a classifier"),
        (tagger, slot_tagger, "predicts 2, "),
    ):
        outcome = rnnlm("compare", first.folder, second.folder, "--on", first.valid)
        assert outcome.code == 1 and why.format(second.folder) in outcome.errors[1]
    mixed = rnnlm("compare", models.unigram, tagger.folder, "--on", "none")
    assert "a language model" in mixed.err
    top = rnnlm("compare", tagger.folder, tagger.folder, "--on", "none", "--top", "3")
    assert "--top needs a language model" in top.err


TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--precision", "fp32",
        "--budget", "3steps")  # fmt: skip


@pytest.fixture(scope="module")
def trained_baselines(corpus_lines, tmp_path_factory):
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
def baselines(trained_baselines, monkeypatch):
    monkeypatch.chdir(trained_baselines)
    return trained_baselines


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


def test_stored_metrics_have_no_differences_for_a_paper(rnnlm, baselines):
    *_, row, _, _ = rnnlm("compare", "ngram", "uni", "--latex").out.splitlines()
    assert re.search(r" & - & - \\\\$", row)


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


@pytest.mark.needs("tools/mixtures")
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


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
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


@pytest.mark.needs("tools/mixtures")
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
