"""`rnnlm score` with several models: their figures side by side."""

import csv
import functools
import io
import itertools
import json
from unittest.mock import Mock

import pytest
from pyarrow import parquet

from rnnlm.cli import terminal
from rnnlm.errors import RnnlmError
from rnnlm.scoring import scorer
from support.tiny_models import fit, save

SENTENCES = ["the man was in the house", "the zorp", ""]


def records(shown) -> list[dict]:
    assert shown.code == 0, shown.err
    return [json.loads(line) for line in shown.out.splitlines()]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True))


@pytest.fixture
def two(models):
    return ("-m", models.lstm, "-m", models.unigram)


def test_record_holds_sentence_once_and_each_models_scores(rnnlm, models, two):
    found = records(rnnlm("score", *two, "--json", "--words", "--next", 2, *SENTENCES))
    alone = {
        folder.name: records(rnnlm("score", "-m", folder, "--json", "--words", "--next", 2,
                                   *SENTENCES))
        for folder in (models.lstm, models.unigram)
    }  # fmt: skip
    for number, record in enumerate(found):
        assert list(record) == ["id", "text", "models"] and list(record["models"]) == list(
            alone
        ) == ["tiny", "uni"]
        assert {
            name: {"id": record["id"], "text": record["text"], **its}
            for name, its in record["models"].items()
        } == {name: its[number] for name, its in alone.items()}


def test_words_lost_with_removed_punctuation_are_dashes(rnnlm, tmp_path):
    for name, removes in (("all", False), ("few", True)):
        save(
            tmp_path / name,
            fit("unigram", remove_punctuation=removes),
            "unigram",
            remove_punctuation=removes,
        )
    shown = rnnlm(
        "score",
        "-m",
        tmp_path / "all",
        "-m",
        tmp_path / "few",
        "--words",
        "--next",
        1,
        "the cat , sat",
    )
    rows = table(shown.out.split("\n\n")[1])
    assert [row["word"] for row in rows] == ["the", "cat", "cat ,", ",", "sat", "</s>"]
    assert [row["surprisal_bits.few"] == "-" for row in rows] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    assert [bool(row["likeliest here.all"]) for row in rows] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_table_is_ranked_by_first_model_with_signatures(rnnlm, models, two):
    shown = rnnlm("score", *two, "--words", *SENTENCES)
    ranked, *words = shown.out.split("\n\n")
    rows = table(ranked)
    assert list(rows[0]) == [
        "words",
        "logprob_nats.tiny",
        "ppl_word.tiny",
        "logprob_nats.uni",
        "ppl_word.uni",
        "sentence",
        "unknown words",
    ]
    assert [float(row["logprob_nats.tiny"]) for row in rows] == sorted(
        (float(row["logprob_nats.tiny"]) for row in rows), reverse=True
    )
    zorp = next(table(each) for each in words if "zorp" in each)
    assert list(zorp[0]) == ["word", "surprisal_bits.tiny", "surprisal_bits.uni", "unknown"]
    assert [(row["word"], row["unknown"]) for row in zorp] == [
        ("the", ""),
        ("zorp", "unknown"),
        ("</s>", ""),
    ]
    signatures = [line.partition(": ") for line in shown.err.splitlines()]
    assert [(name, value.startswith("rnnlm:0.1|")) for name, _, value in signatures] == [
        ("signature of tiny", True), ("signature of uni", True)
    ]  # fmt: skip
    assert signatures[0][2] == rnnlm(
        "score", "-m", models.lstm, *SENTENCES
    ).err.strip().removeprefix("signature: ")


def test_odds_of_two_sentences_are_given_per_model(rnnlm, two):
    *_, first, second = rnnlm("score", *two, "the", "the zorp of the house").out.splitlines()
    assert first.startswith('tiny: "the" is about ') and second.startswith('uni: "the" is about ')


def test_model_name_has_its_own_line_on_terminal(rnnlm, two, terminal_of):
    terminal_of(100)
    first, second, *_ = (
        line.split() for line in rnnlm("score", *two, "the man").plain.splitlines() if line.strip()
    )
    assert first == ["logprob_nats", "ppl_word"] * 2 and second == [
        "words",
        "tiny",
        "tiny",
        "uni",
        "uni",
        "sentence",
    ]


def test_folders_of_the_same_name_are_told_apart(rnnlm, models, here, monkeypatch):
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "best").symlink_to(models.unigram)
    (record,) = records(rnnlm("score", "-m", "a/best", "-m", "b/best", "--json", "the man"))
    assert list(record["models"]) == ["a/best", "b/best"]
    monkeypatch.setenv("RNNLM_MODEL", "a/best")
    (record,) = records(rnnlm("score", "--json", "the man"))
    assert "models" not in record


@pytest.mark.parametrize("form", ["tsv", "csv"])
def test_word_rows_hold_text_once_then_model_figures(rnnlm, parts, form):
    (parts / "s.csv").write_text("item,text\n7,It's the zorp!\n8,\n")
    names = ("lower", "chars", "bytes")
    asked = (
        "--input",
        "s.csv",
        "--column",
        "text",
        "--words",
        "--with",
        "entropy",
        "--output-format",
        form,
    )
    read = functools.partial(csv.DictReader, delimiter="\t" if form == "tsv" else ",")
    shown = rnnlm("score", *itertools.chain.from_iterable(("-m", name) for name in names), *asked)
    rows = list(read(io.StringIO(shown.out)))
    assert [(row["item"], row["word"], row["start"], row["end"]) for row in rows] == [
        ("7", "It's", "0", "4"), ("7", "the", "5", "8"), ("7", "zorp!", "9", "14"),
        ("7", "</s>", "14", "14"), ("8", "</s>", "0", "0")
    ]  # fmt: skip
    for name in names:
        alone = list(read(io.StringIO(rnnlm("score", "-m", name, *asked).out)))
        own = [column.removesuffix(f".{name}") for column in rows[0] if column.endswith(f".{name}")]
        assert own[0] == "surprisal_bits" and {"tokens", "entropy_bits", "reason"} < set(own)
        assert [[row[f"{column}.{name}"] for column in own] for row in rows] == [
            [row[column] for column in own] for row in alone
        ]
    shared = [column for column in rows[0] if "." not in column]
    assert (
        len(rows[0]) == len(shared) + len(names) * len(own) and [*rows[0]][: len(shared)] == shared
    )


def test_regions_and_parquet_have_figures_per_model(rnnlm, parts):
    ended = rnnlm(
        "score",
        "-m",
        "lower",
        "-m",
        "chars",
        "--regions",
        "|",
        "-o",
        "r.parquet",
        "the man | was here",
        "the day",
    )
    assert ended.code == 0, ended.err
    rows = parquet.read_table("r.parquet").to_pylist()
    assert [(row["id"], row["region_index"], row["text"], row["words"]) for row in rows] == [
        (1, 1, "the man", 2), (1, 2, "was here", 2), (2, 1, "the day", 2)
    ]  # fmt: skip
    for name in ("lower", "chars"):
        first, second, last = (row[f"surprisal_bits.{name}"] for row in rows)
        assert rows[0][f"next_surprisal_bits.{name}"] == second > 0 and first > 0 and last > 0
    assert rows[0]["tokens.lower"] < rows[0]["tokens.chars"]


def test_rows_of_models_in_long_format(rnnlm, two, here):
    (here / "s.csv").write_text("text,item.no,1st,model\nthe man,7,a,b\n")
    asked = ("score", *two, "--input", "s.csv", "--words", "--output-format", "csv")
    long = list(csv.DictReader(io.StringIO(rnnlm(*asked, "--long").out)))
    wide = list(csv.DictReader(io.StringIO(rnnlm(*asked).out)))
    assert [(row["model"], row["word"]) for row in long] == [
        (model, word) for model in ("tiny", "uni") for word in ("the", "man", "</s>")
    ]
    assert [row["surprisal_bits"] for row in long] == [
        row[f"surprisal_bits.{model}"] for model in ("tiny", "uni") for row in wide
    ]
    assert all(name.isidentifier() and name.isascii() for name in long[0])
    assert (long[0]["item_no"], long[0]["input_1st"], long[0]["model_"]) == ("7", "a", "b")
    assert rnnlm("score", *two, "--long", "--json", "the man").code == 2
    tokens = ("--tokens", "--long", "-o", "long.parquet")
    assert rnnlm("score", *two, "--input", "s.csv", *tokens).code == 0
    assert parquet.read_table("long.parquet").column_names[0] == "model"


@pytest.mark.parametrize(
    "options",
    [
        ["--tokens"],
        ["--words", "--word-split", "tokens", "--output-format", "csv"],
        ["--plot", "x.svg", "--word-split", "tokens"],
    ],
)
def test_only_token_rows_need_one_tokenizer(rnnlm, parts, options):
    ended = rnnlm("score", "-m", "lower", "-m", "chars", *options, "The man")
    assert (ended.code, ended.out) == (1, "") and not (parts / "x.svg").exists()
    assert (
        "lower word:" in ended.errors[1]
        and "chars char:" in ended.errors[1]
        and "--json" in ended.errors[2]
    )
    assert rnnlm("score", "-m", "uni", "-m", "kn", *options, "The man").code == 0
    (record,) = records(
        rnnlm("score", "-m", "lower", "-m", "chars", "--tokens", "--json", "The man")
    )
    assert [len(its["surprisals"]) for its in record["models"].values()] == [3, 8]


def test_standard_input_is_read_once_for_all_models(rnnlm, two):
    shown = rnnlm(
        "score", *two, "--json", "--input", "-", stdin="\n".join(SENTENCES).encode() + b"\n\xff\n"
    )
    assert [[each["reason"] for each in record["models"].values()] for record in records(shown)] == [
        [None] * 2, [None] * 2, [None] * 2, ["not UTF-8 (byte 1 is 0xff)"] * 2
    ]  # fmt: skip
    assert "note: 1 line has no score by tiny: each with its reason" in shown.err


def test_adapting_model_stands_beside_the_plain_one(rnnlm, models):
    plain = ("score", "--context", "carry", "--json", "the man", "the man")
    first, second = records(rnnlm(*plain, "-m", models.unigram, "-m", f"{models.unigram}+unigram"))
    assert list(first["models"]) == ["uni", "uni+unigram"]
    assert second["models"]["uni+unigram"]["logprob_nats"] > second["models"]["uni"]["logprob_nats"]


def test_several_model_run_resumes_only_with_same_models(rnnlm, models, two, here, monkeypatch):
    (here / "text").write_text("the man\nthe zorp\nthe\nwas\nhere\n")
    monkeypatch.setattr(scorer, "LINES_PER_CHUNK", 2)
    command = [
        "score",
        "-m",
        models.unigram,
        "-m",
        f"{models.unigram}+unigram",
        "--input",
        "text",
        "--context",
        "carry",
        "--output",
    ]
    assert rnnlm(*command, "whole.jsonl").code == 0
    with monkeypatch.context() as broken:
        # after the second chunk
        broken.setattr(
            terminal.Progress, "__call__", Mock(side_effect=[None, RnnlmError("stopped")])
        )
        assert rnnlm(*command, "s.jsonl").code == 1
    expected, written = (here / "whole.jsonl").read_bytes(), (here / "s.jsonl").read_bytes()
    assert written.count(b"\n") == 4 and expected.startswith(written)
    other = rnnlm(
        "score", *two, "--input", "text", "--context", "carry", "--output", "s.jsonl", "--resume"
    )
    assert other.code == 2 and "models was uni, uni+unigram, is tiny, uni" in other.err
    assert (
        rnnlm(*command, "s.jsonl", "--resume", "--plot", "plot.svg").code == 0
        and (here / "s.jsonl").read_bytes() == expected
    )
    # of those written before, too
    assert all(f">{word}</text>" in (here / "plot.svg").read_text() for word in ("zorp", "here"))


@pytest.mark.parametrize("options", [[], ["-o", "scores.jsonl"], ["--json"]], ids=" ".join)
def test_surprisal_plot_goes_with_every_output_form(rnnlm, two, here, options):
    without = rnnlm("score", *two, *options, "the man was here", "the zorp")
    written = (here / "scores.jsonl").read_text() if "-o" in options else without.out
    (here / "scores.jsonl").unlink(missing_ok=True)
    shown = rnnlm("score", *two, *options, "--plot", "plot.svg", "the man was here", "the zorp")
    assert shown.code == 0, shown.err
    svg = (here / "plot.svg").read_text()
    assert all(
        f">{text}</text>" in svg
        for text in ("man", "zorp", "tiny", "uni", "unknown word", "surprisal (bits)")
    )
    assert written == ((here / "scores.jsonl").read_text() if "-o" in options else shown.out) != ""
    assert rnnlm("score", *two, "--plot", "plot.svg", "the").code == 1  # it is there
    assert rnnlm("score", *two, "--plot", "plot.svg", "--overwrite", "the").code == 0


def test_pairs_stand_side_by_side_with_differences(rnnlm, two, here):
    rows = ["good\tbad\tkind", "the man\tthe zorp\tone", "the\tthe man was\ttwo", "a\ta\ttwo"]
    (here / "pairs.tsv").write_text("\n".join(rows) + "\n")
    shown = rnnlm(
        "score", *two, "--pairs", "pairs.tsv", "--plot", "plot.svg", "--pairs-details", "d.jsonl"
    )
    accuracies, differences = map(table, shown.out.split("\n\n"))
    assert list(accuracies[0]) == ["by", "group", "pairs", "ties", "with unknown words"] + [
        f"{column}.{name}"
        for name in ("tiny", "uni")
        for column in ("accuracy", "95 % interval", "accuracy without")
    ]
    assert [(row["difference"], row["group"], row["pairs"]) for row in differences] == [
        ("uni - tiny", "one", "1"), ("uni - tiny", "two", "2"), ("uni - tiny", "all", "3")
    ]  # fmt: skip
    assert (
        shown.err.count("note: ") == 1
        and shown.err.count("signature of ") == 2
        and "pairs both sentences are the same" in shown.err
    )
    assert ">tiny</text>" in (here / "plot.svg").read_text()
    first = json.loads((here / "d.jsonl").read_text().splitlines()[0])
    assert (
        first["good"] == "the man"
        and list(first["models"]) == ["tiny", "uni"]
        and first["models"]["uni"]["point"] == 1.0
    )
    found = records(rnnlm("score", *two, "--pairs", "pairs.tsv", "--json"))
    accuracy = {name: its["accuracy"] for name, its in found[-1]["models"].items()}
    (difference,) = found[-1]["differences"]
    assert (difference["first"], difference["second"], difference["pairs"]) == ("tiny", "uni", 3)
    assert (
        difference["difference"] == pytest.approx(accuracy["uni"] - accuracy["tiny"])
        and difference["p"] <= 1
    )
