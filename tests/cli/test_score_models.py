"""`rnnlm score` with several models: their figures side by side."""

import csv
import io
import itertools
import json
import re
from unittest.mock import Mock

import pytest
from pyarrow import parquet

from rnnlm.cli import terminal
from rnnlm.errors import RnnlmError
from rnnlm.scoring import scorer

SENTENCES = ["the man was in the house", "the zorp", ""]


def records(shown) -> list[dict]:
    assert shown.code == 0, shown.err
    return shown.records


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True))


@pytest.fixture
def two(models):
    return ("-m", models.lstm, "-m", models.unigram)


def test_each_model_has_its_own_records(rnnlm, models, two):
    asked = ("score", "--json", "--words", "--probabilities", *SENTENCES)
    found = records(rnnlm(*asked, *two))
    expected = [(model, number) for number in (1, 2, 3) for model in ("tiny", "uni")]
    assert [(record["model"], record["id"]) for record in found] == expected
    for folder, name in ((models.lstm, "tiny"), (models.unigram, "uni")):
        alone = records(rnnlm(*asked, "-m", folder))
        expected = [record for record in found if record["model"] == name]
        assert [{"model": name} | record for record in alone] == expected


def test_table_has_the_rows_of_each_model_with_signatures(rnnlm, models, two):
    shown = rnnlm("score", *two, "--words", *SENTENCES)
    ranked, *words = shown.out.split("\n\n")
    rows = table(ranked)
    columns = ["model", "logprob_nats", "words", "ppl_word", "sentence", "unknown words"]
    assert list(rows[0]) == columns
    assert [row["model"] for row in rows] == ["tiny"] * 3 + ["uni"] * 3
    for of_model in (rows[:3], rows[3:]):
        figures = [float(row["logprob_nats"]) for row in of_model]
        assert figures == sorted(figures, reverse=True)
    zorp = next(table(each) for each in words if "zorp" in each)
    assert list(zorp[0]) == ["model", "word", "surprisal_bits", "unknown"]
    assert [(row["model"], row["word"], row["unknown"]) for row in zorp] == [
        (model, word, unknown)
        for model in ("tiny", "uni")
        for word, unknown in (("the", ""), ("zorp", "yes"), ("</s>", ""))
    ]
    first, second = shown.err.splitlines()
    alone = rnnlm("score", "-m", models.lstm, *SENTENCES).err.strip()
    assert first == alone.replace("signature: ", "signature of tiny: ")
    assert second.startswith("signature of uni: rnnlm:0.1|")


def test_odds_of_two_sentences_are_given_per_model(rnnlm, two):
    *_, first, second = rnnlm("score", *two, "the", "the zorp of the house").out.splitlines()
    assert first.startswith('tiny: "the" is about ') and second.startswith('uni: "the" is about ')


@pytest.mark.system("links")
def test_folders_of_the_same_name_are_told_apart(rnnlm, models, here, monkeypatch):
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "best").symlink_to(models.unigram)
    both = records(rnnlm("score", "-m", "a/best", "-m", "b/best", "--json", "the man"))
    assert [record["model"] for record in both] == ["a/best", "b/best"]
    monkeypatch.setenv("RNNLM_MODEL", "a/best")
    (record,) = records(rnnlm("score", "--json", "the man"))
    assert "model" not in record


@pytest.mark.parametrize("form", ["tsv", "csv", "parquet"])
def test_rows_of_each_model_are_those_of_the_model_alone(rnnlm, parts, form):
    (parts / "s.csv").write_text("item,text,model\n7,It's the zorp!,b\n8,,c\n")

    def read(file):
        if form == "parquet":
            return parquet.read_table(file).to_pylist()
        with open(file, newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t" if form == "tsv" else ","))

    asked = ("score", "--input", "s.csv", "--column", "text", "--words", "--with", "entropy", "-o")
    names = ("lower", "chars", "bytes")
    models = itertools.chain.from_iterable(("-m", name) for name in names)
    assert rnnlm(*asked, f"all.{form}", *models).code == 0
    rows = read(f"all.{form}")
    assert [*rows[0]][:4] == ["model", "id", "item", "input_model"]
    for name in names:
        assert rnnlm(*asked, f"{name}.{form}", "-m", name).code == 0
        alone = read(f"{name}.{form}")
        assert [row["word"] or "" for row in alone] == ["It's", "the", "zorp!", "</s>", ""]
        expected = [row for row in rows if row["model"] == name]
        assert [{"model": name} | row for row in alone] == expected


def test_regions_and_tokens_have_rows_for_each_model(rnnlm, parts):
    both = ("score", "-m", "lower", "-m", "chars")
    marked = ("--regions", "|", "the man | was here", "the day")
    assert rnnlm(*both, *marked, "-o", "r.parquet").code == 0
    rows = parquet.read_table("r.parquet").to_pylist()
    assert [(row["model"], row["id"], row["text"]) for row in rows] == [
        ("lower", 1, "the man"), ("lower", 1, "was here"),
        ("chars", 1, "the man"), ("chars", 1, "was here"),
        ("lower", 2, "the day"), ("chars", 2, "the day"),
    ]  # fmt: skip
    assert rows[0]["next_surprisal_bits"] == rows[1]["surprisal_bits"] > 0
    # Tokenizers may differ: the rows of a model are its own.
    tokens = table(rnnlm(*both, "--tokens", "The man").out.split("\n\n")[1])
    assert [row["model"] for row in tokens] == ["lower"] * 3 + ["chars"] * 8


def test_standard_input_is_read_once_for_all_models(rnnlm, two):
    stdin = "\n".join(SENTENCES).encode() + b"\n\xff\n"
    shown = rnnlm("score", *two, "--json", "--input", "-", stdin=stdin)
    assert [record["reason"] for record in records(shown)] == [
        *[None] * 6, *["not UTF-8 (byte 1 is 0xff)"] * 2
    ]  # fmt: skip
    assert "note: 1 line has no score by tiny; the reason is given for each" in shown.err


@pytest.mark.needs("tools/mixtures")
def test_several_model_run_resumes_only_with_same_models(rnnlm, models, two, here, monkeypatch):
    (here / "text").write_text("the man\nthe zorp\nthe\nwas\nhere\n")
    monkeypatch.setattr(scorer, "LINES_PER_CHUNK", 2)
    asked = ("--input", "text", "--context", "carry", "--output")
    command = ("score", "-m", models.unigram, "-m", f"{models.unigram}+unigram", *asked)
    assert rnnlm(*command, "whole.jsonl").code == 0
    with monkeypatch.context() as broken:
        # after the second chunk
        stop = Mock(side_effect=[None, RnnlmError("stopped")])
        broken.setattr(terminal.Progress, "__call__", stop)
        assert rnnlm(*command, "s.jsonl").code == 1
    expected, written = (here / "whole.jsonl").read_bytes(), (here / "s.jsonl").read_bytes()
    assert written.count(b"\n") == 8 and expected.startswith(written)
    other = rnnlm("score", *two, *asked, "s.jsonl")
    assert other.code == 1 and "-m was uni, uni+unigram and is now tiny, uni" in other.err
    assert rnnlm(*command, "s.jsonl").code == 0
    assert (here / "s.jsonl").read_bytes() == expected


def test_scores_are_drawn_in_the_order_of_the_table(rnnlm, two, here):
    asked = ["the man", "the zorp", "a man was", "--no-eos", "--probabilities"]
    shown = rnnlm("score", *two, *asked, "--plot", "plot.svg")
    rows = table(shown.out.split("\n\n")[0])
    picture = (here / "plot.svg").read_text()
    texts = [text for text in re.findall(">([^<>]+)</text>", picture) if text.strip()]
    assert [text for text in texts if text in asked] == [row["sentence"] for row in rows[:3]]
    assert {f"{float(row['probability']):.2g}" for row in rows} <= {
        text.replace("\u2212", "-") for text in texts
    }
    assert {"tiny", "uni", "probability"} <= {*texts}
    after = rnnlm("score", *two, "man", "was", "--given", "the old", "--plot", "after.svg")
    assert after.code == 0 and 'after "the old"' in (here / "after.svg").read_text()
    assert rnnlm("score", *two, *asked, "--plot", "plot.svg").code == 1
    many = [f"{'a ' * n}the" for n in range(40)]
    again = rnnlm("score", *two, *many, "--plot", "plot.svg", "--overwrite")
    assert again.code == 0 and "the plot shows the first 15 sentences of 40" in again.err
    assert ">log-probability (nats)</text>" in (here / "plot.svg").read_text()


@pytest.mark.parametrize("options, message", [
    ("--json", "for the table that is printed"), ("-o x.csv", "for the table that is printed"),
    ("--plot x.doc", "does not have a plot suffix"), ("--input x.svg", "x.svg is also an input"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused_first(rnnlm, two, here, options, message):
    (here / "x.svg").write_text("the man\n")
    words = [] if "--input" in options else ["the man"]
    ended = rnnlm("score", *two, *words, "--plot", "x.svg", "--overwrite", *options.split())
    assert ended.code == 2 and message in ended.err
    assert (here / "x.svg").read_text() == "the man\n"


@pytest.mark.needs("tools/pairs")
def test_pairs_have_rows_for_each_model_and_differences(rnnlm, two, here):
    rows = ["good\tbad\tkind", "the man\tthe zorp\tone", "the\tthe man was\ttwo", "a\ta\ttwo"]
    (here / "pairs.tsv").write_text("\n".join(rows) + "\n")
    shown = rnnlm("score", *two, "--pairs", "pairs.tsv", "--plot", "plot.svg", "-o", "d.jsonl")
    accuracies, differences = map(table, shown.out.split("\n\n"))
    groups = [("one", "1"), ("two", "2"), ("all", "3")]
    expected = [(model, *group) for model in ("tiny", "uni") for group in groups]
    assert [(row["model"], row["group"], row["pairs"]) for row in accuracies] == expected
    expected = [("uni - tiny", *group) for group in groups]
    assert [(row["difference"], row["group"], row["pairs"]) for row in differences] == expected
    assert shown.err.count("note: ") == 1 and shown.err.count("signature of ") == 2
    assert "pairs both sentences are the same" in shown.err
    assert ">tiny</text>" in (here / "plot.svg").read_text()
    details = [json.loads(line) for line in (here / "d.jsonl").read_text().splitlines()]
    expected = [(model, good) for good in ("the man", "the", "a") for model in ("tiny", "uni")]
    assert [(each["model"], each["good"]) for each in details] == expected
    assert details[1]["point"] == 1.0
    found = records(rnnlm("score", *two, "--pairs", "pairs.tsv", "--json"))
    accuracy = {each["model"]: each["accuracy"] for each in found[:6] if each["group"] == "all"}
    last = found[-1]
    assert (last["first"], last["second"], last["pairs"]) == ("tiny", "uni", 3)
    assert last["difference"] == pytest.approx(accuracy["uni"] - accuracy["tiny"])
    assert last["p"] is None  # three pairs say nothing
