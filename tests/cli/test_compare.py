"""`rnnlm compare` on a text: language models, taggers and classifiers."""

import json
import re
import warnings

import pytest

import rnnlm as library
from rnnlm.cli.main import run
from rnnlm.errors import RnnlmWarning
from support.failures import checked_error


def tables(out: str) -> list[list[list[str]]]:
    return [[line.split("\t") for line in part.splitlines()] for part in out.split("\n\n")]


def test_metrics_differences_and_tables_are_shown(rnnlm, parts, pictures):
    shown = rnnlm("compare lstm kn --on valid.txt --plot difference.svg")
    assert shown.code == 0
    verdict, figures, differences, *groups, lines, tokens, signatures = tables(shown.out)
    better = r"kn is better than lstm by (\S+) bits a token, 95 % interval \S+ to \S+\."
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        found = library.compare(["lstm", "kn"], "valid.txt", train="train.txt", settings=settings)
    expected = json.loads(json.dumps(found.to_dict()))
    for name in ("differences", "lines_apart"):
        assert result[name] == expected[name]
    for model, other in zip(result["models"], expected["models"], strict=True):
        assert model["evaluation"]["ppl_token"] == other["evaluation"]["ppl_token"]


def test_different_tokens_compare_per_character_only(rnnlm, parts):
    shown = rnnlm("compare chars bytes --on train.txt")
    assert shown.code == 0, shown.err
    assert "ppl_token is not compared: their tokens are different events: tok:char:" in shown.err
    assert "bits per character" in shown.out
    assert "\nppl_token\t" not in shown.out and "\nbits_per_char\t" in shown.out


def test_comparing_on_training_text_is_reported(rnnlm, parts):
    note = "note: kn and kn+unigram were trained on this very text: metrics found on it"
    shown = rnnlm("compare kn kn+unigram --on train.txt")
    assert f"{note} flatter them; use held-out text\n" in shown.err


@pytest.mark.parametrize(("arguments", "code", "what"), [
    ("demo --on valid.txt", 2, "a comparison needs at least two models"),
    ("--on valid.txt", 2, "a comparison needs at least two models"),
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


def test_a_model_does_not_differ_from_itself(rnnlm, slot_tagger):
    folder = slot_tagger.folder
    found = rnnlm(f"compare {folder} {folder} --on {slot_tagger.valid} --json").json
    differences = found["differences"]
    assert {each["column"] for each in differences} == {"slots", "intent", "all columns"}
    assert all((each["difference"], each["p"]) == (0.0, 1.0) for each in differences)


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
