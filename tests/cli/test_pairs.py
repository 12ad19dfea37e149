import json

import pytest

from rnnlm import corpora

AGREEMENT = corpora.part("english", "agreement.tsv")


def records(outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return outcome.records


def test_ties_count_half_and_identical_pairs_are_reported(rnnlm, models, here):
    (here / "pairs.tsv").write_text("good\tbad\nthe\tthe\nthe\tthe man\nthe zorp zorp\tthe\n")
    shown = rnnlm("score", "-m", models.unigram, "--pairs", "pairs.tsv", "--json")
    assert records(shown) == [
        {"by": "kind", "group": "pairs", "pairs": 3, "accuracy": 0.5, "low": 0.0, "high": 1.0,
         "ties": 1, "identical": 1, "skipped": 0,
         "oov_pairs": 1, "known_pairs": 2, "known_accuracy": 0.75}
    ]  # fmt: skip
    assert (
        shown.err
        == "note: in 1 of 3 pairs both sentences are the same; each counts half, as a tie\n"
    )


def test_agreement_is_shown_by_distance_and_attractors(rnnlm, models, here):
    shown = rnnlm("score", "-m", models.unigram, "--pairs", AGREEMENT, "--plot", "plot.svg")
    columns, *rows = shown.rows
    assert columns == [
        "by",
        "group",
        "pairs",
        "accuracy",
        "95 % interval",
        "ties",
        "with unknown words",
        "accuracy without",
    ]
    assert [row[1] for row in rows if row[0] == "attractors"] == ["0", "1", "2", "3", "4"]
    assert {row[0] for row in rows} == {"kind", "number", "distance", "attractors", "all"}
    assert "words between head and verb" in (here / "plot.svg").read_text()


def test_details_record_every_pair_with_reason_if_unscored(rnnlm, models, here):
    (here / "pairs.tsv").write_text(
        "id\tgood\tbad\nx1\tthe man\tthe zorp\nx2\tthe\nx3\tthe\tthe <s>\n"
    )
    shown = rnnlm(f"score -m {models.unigram} --pairs pairs.tsv -o details.jsonl --json")
    assert [record["skipped"] for record in records(shown)] == [2]
    assert shown.err == (
        "note: 2 of 3 cannot be scored and are left out; the first: pairs.tsv, line 3: bad is "
        "missing\n"
    )
    first, second, third = [
        json.loads(line) for line in (here / "details.jsonl").read_text().splitlines()
    ]
    assert (first["id"], first["good"], first["bad"], first["bad_oov"], first["point"]) == (
        "x1",
        "the man",
        "the zorp",
        ["zorp"],
        1.0,
    )
    scores = records(rnnlm("score", "-m", models.unigram, "the man", "the zorp", "--json"))
    assert [first["good_logprob_nats"], first["bad_logprob_nats"]] == pytest.approx(
        [score["logprob_nats"] for score in scores]
    )
    assert (second["point"], second["good_logprob_nats"], second["reason"]) == (
        None,
        None,
        "bad is missing",
    )
    assert "the text holds <s>" in third["reason"] and third["where"] == "pairs.tsv, line 4"


def test_details_name_files_with_non_utf8_names(rnnlm, models, here):
    (here / "p\udcff.tsv").write_text("good\tbad\nthe man\tman the\n")
    assert rnnlm("score", "-m", models.unigram, "--pairs", "p\udcff.tsv", "-o", "d.jsonl").code == 0
    assert json.loads((here / "d.jsonl").read_text())["where"] == "p\udcff.tsv, line 2"


def test_scoring_by_the_word_or_what_follows(rnnlm, models, here):
    (here / "pairs.tsv").write_text("good\tbad\nthe man was here\tthe day was here\n")
    tokens = {}
    for scoring in ("full", "partial", "word"):
        shown = rnnlm(
            "score",
            "-m",
            models.lstm,
            "--pairs",
            "pairs.tsv",
            "--pairs-scoring",
            scoring,
            "-o",
            "d.jsonl",
            "--overwrite",
        )
        assert shown.code == 0
        tokens[scoring] = json.loads((here / "d.jsonl").read_text())["good_tokens"]
    assert tokens == {"full": 5, "partial": 3, "word": 1}


def test_pairs_without_their_ends_score_as_sentences_do(rnnlm, models, here):
    (here / "pairs.tsv").write_text("good\tbad\nthe man was here\tthe day was here\n")
    ended = rnnlm("score", "-m", models.lstm, "--pairs", "pairs.tsv", "--no-eos",
                  "-o", "d.jsonl")  # fmt: skip
    assert ended.code == 0
    pair = json.loads((here / "d.jsonl").read_text())
    alone = records(
        rnnlm("score", "-m", models.lstm, "--no-eos", "--json", pair["good"], pair["bad"])
    )
    for side, sentence in zip(("good", "bad"), alone, strict=True):
        assert pair[f"{side}_tokens"] == sentence["tokens"] == 4
        assert pair[f"{side}_logprob_nats"] == pytest.approx(sentence["logprob_nats"], abs=1e-5)


def test_pairs_from_standard_input_and_folders(rnnlm, models, here):
    data = b'{"good": "the man", "bad": "man the", "UID": "order"}\n'
    (here / "folder").mkdir()
    (here / "folder" / "a.jsonl").write_bytes(data)
    ways = [
        rnnlm("score", "-m", models.lstm, "--pairs", "-", stdin=data),
        rnnlm("score", "-m", models.lstm, "--pairs", "folder"),
    ]
    assert ways[0].out == ways[1].out != ""


@pytest.mark.parametrize(
    "options, message",
    [
        (["--pairs", "pairs.jsonl", "--column", "x"], "--column is not for --pairs"),
        (["the", "--pairs-scoring", "word"], "needs --pairs"),
        (["--pairs", "pairs.jsonl", "--plot", "x.doc"], "does not have a plot suffix"),
        (["--pairs", "pairs.jsonl", "the man"],
            "a sentence is not for --pairs"), (["--pairs", "pairs.jsonl", "--words"],
            "--words is not for --pairs"),
        (["--pairs", "pairs.jsonl", "-o", "pairs.jsonl", "--overwrite"],
         "pairs.jsonl is also an input"),
        (["--pairs", "pair*.jsonl", "-o", "pairs.jsonl", "--overwrite"],
         "pairs.jsonl is also an input"), (["--pairs", "pairs.jsonl",
            "--overwrite"], "--overwrite needs -o FILE or --plot FILE"),
        (["--pairs", ".", "--plot", "x.svg"], "among what --pairs reads"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_and_nothing_is_written(rnnlm, models, here, options, message):
    (here / "pairs.jsonl").write_text('{"good": "the", "bad": "the man"}\n')
    ended = rnnlm("score", "-m", models.unigram, *options)
    assert (ended.code, ended.out) == (2, "") and message in ended.err
    assert sorted(path.name for path in here.iterdir()) == ["pairs.jsonl"]
    assert (here / "pairs.jsonl").read_text() == '{"good": "the", "bad": "the man"}\n'
