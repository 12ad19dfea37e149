import json
import math

import pytest

from rnnlm import corpora

AGREEMENT = corpora.part("english", "agreement.tsv")


def test_ties_count_half_and_identical_pairs_are_reported(rnnlm, models, here):
    (here / "pairs.tsv").write_text("good\tbad\nthe\tthe\nthe\tthe man\nthe zorp zorp\tthe\n")
    shown = rnnlm(f"score -m {models.unigram} --pairs pairs.tsv --json")
    assert shown.records == [
        {"by": "kind", "group": "pairs", "pairs": 3, "accuracy": 0.5, "low": None, "high": None,
         "ties": 1, "identical": 1, "skipped": 0,
         "oov_pairs": 1, "known_pairs": 2, "known_accuracy": 0.75,
         "margin_bits": shown.json["margin_bits"]}
    ]  # fmt: skip
    note = "note: in 1 of 3 pairs both sentences are the same; each counts half, as a tie\n"
    assert shown.err == note


def test_agreement_is_shown_by_distance_and_attractors(rnnlm, models, here):
    shown = rnnlm(f"score -m {models.unigram} --pairs {AGREEMENT} --plot plot.svg")
    columns, *rows = shown.rows
    assert columns == [
        "by", "group", "pairs", "accuracy", "95 % interval", "ties", "with unknown words",
        "accuracy without", "margin bits",
    ]  # fmt: skip
    assert [row[1] for row in rows if row[0] == "attractors"] == ["0", "1", "2", "3", "4"]
    assert {row[0] for row in rows} == {"kind", "number", "distance", "attractors", "all"}
    assert "words between head and verb" in (here / "plot.svg").read_text()


def test_details_record_every_pair_with_reason_if_unscored(rnnlm, models, here):
    rows = ["id\tgood\tbad", "x1\tthe man\tthe zorp", "x2\tthe", "x3\tthe\tthe <s>"]
    (here / "pairs.tsv").write_text("\n".join(rows) + "\n")
    shown = rnnlm(f"score -m {models.unigram} --pairs pairs.tsv -o details.jsonl --json")
    assert shown.json["skipped"] == 2
    note = (
        "2 of 3 pairs cannot be scored and are left out; the first: pairs.tsv, line 3: bad is "
        "missing"
    )
    assert shown.err == f"note: {note}\n"
    details = (here / "details.jsonl").read_text().splitlines()
    first, second, third = map(json.loads, details)
    assert (first["id"], first["good"], first["bad"]) == ("x1", "the man", "the zorp")
    assert (first["bad_oov"], first["point"]) == (["zorp"], 1.0)
    scores = rnnlm("score", "-m", models.unigram, "the man", "the zorp", "--json").records
    for side, score in zip(("good", "bad"), scores, strict=True):
        assert first[f"{side}_logprob_nats"] == pytest.approx(score["logprob_nats"])
    nats = scores[0]["logprob_nats"] - scores[1]["logprob_nats"]
    assert shown.json["margin_bits"] == pytest.approx(nats / math.log(2))
    assert second["point"] is second["good_logprob_nats"] is None
    assert second["reason"] == "bad is missing"
    assert "the text holds <s>" in third["reason"] and third["where"] == "pairs.tsv, line 4"


def test_details_name_files_with_non_utf8_names(rnnlm, models, here):
    (here / "p\udcff.tsv").write_text("good\tbad\nthe man\tman the\n")
    assert rnnlm("score", "-m", models.unigram, "--pairs", "p\udcff.tsv", "-o", "d.jsonl").code == 0
    assert json.loads((here / "d.jsonl").read_text())["where"] == "p\udcff.tsv, line 2"


@pytest.mark.parametrize("scoring, tokens", [
    ("full", 5), ("full --no-eos", 4), ("partial", 3), ("word", 1),
])  # fmt: skip
def test_scoring_by_the_word_or_what_follows(rnnlm, models, here, scoring, tokens):
    (here / "pairs.tsv").write_text("good\tbad\nthe man was here\tthe day was here\n")
    asked = f"score -m {models.lstm} --pairs pairs.tsv --pairs-scoring {scoring} -o d.jsonl"
    assert rnnlm(asked).code == 0
    assert json.loads((here / "d.jsonl").read_text())["good_tokens"] == tokens


def test_pairs_from_standard_input_and_folders(rnnlm, models, here):
    data = b'{"good": "the man", "bad": "man the", "UID": "order"}\n'
    (here / "folder").mkdir()
    (here / "folder" / "a.jsonl").write_bytes(data)
    piped = rnnlm(f"score -m {models.lstm} --pairs -", stdin=data)
    assert piped.out == rnnlm(f"score -m {models.lstm} --pairs folder").out != ""


@pytest.mark.parametrize("options, message", [
    ("--pairs pairs.jsonl --column x", "--column cannot be used with --pairs"),
    ("the --pairs-scoring word", "needs --pairs"),
    ("--pairs pairs.jsonl --plot x.doc", "does not have a plot suffix"),
    ("--pairs pairs.jsonl 'the man'", "give either sentences or --pairs, not both"),
    ("--pairs pairs.jsonl --words", "--words cannot be used with --pairs"),
    ("--pairs pairs.jsonl -o pairs.jsonl --overwrite", "pairs.jsonl is also an input"),
    ("--pairs 'pair*.jsonl' -o pairs.jsonl --overwrite", "pairs.jsonl is also an input"),
    ("--pairs pairs.jsonl --overwrite", "--overwrite needs --output or --plot"),
    ("--pairs . --plot x.svg", "among the files that --pairs reads"),
])  # fmt: skip
def test_wrong_usage_is_told_and_nothing_is_written(rnnlm, models, here, options, message):
    (here / "pairs.jsonl").write_text('{"good": "the", "bad": "the man"}\n')
    ended = rnnlm(f"score -m {models.unigram} {options}")
    assert (ended.code, ended.out) == (2, "") and message in ended.err
    assert [path.name for path in here.iterdir()] == ["pairs.jsonl"]
    assert (here / "pairs.jsonl").read_text() == '{"good": "the", "bad": "the man"}\n'
