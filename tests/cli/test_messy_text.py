"""Messy texts on the command line: normalised, told of, and in tables with semicolons."""

import json

import pytest

import rnnlm as library
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.base.loading import load_tokenizer
from rnnlm.system import quoted

CLEAN = "it's a cat - it's a dog\nthe dog sat on the mat\n" * 20
MESSY = CLEAN.replace("'", "\u2019").replace(" - ", " \u2013 ")


@pytest.fixture
def texts(here):
    (here / "clean.txt").write_text(CLEAN, encoding="utf-8")
    (here / "messy.txt").write_text(MESSY, encoding="utf-8")
    (here / "mixed.txt").write_text(CLEAN + MESSY, encoding="utf-8")
    return here


def trained(rnnlm, text: str, *options: str):
    shown = rnnlm("train", text, "--model", "unigram", "-o", "model", "--overwrite", *options)
    assert shown.code == 0, shown.err
    return shown.err


def test_normalising_model_reads_messy_text_as_clean(rnnlm, texts):
    trained(rnnlm, "clean.txt")
    shown = rnnlm("eval -m model messy.txt --json")
    assert shown.json["oov_words"] == 60 and shown.err.count("note:") == 1
    assert "\u2019 40 times, \u2013 20 times: unknown to the model." in shown.err
    assert "\u2019 1 time: unknown" in rnnlm("score", "-m", "model", "it\u2019s").err
    told = trained(rnnlm, "clean.txt", "--normalise", "quotes,dashes", "--valid", "messy.txt")
    assert "unknown to" not in told
    shown = rnnlm("eval -m model messy.txt --json")
    assert shown.json["oov_words"] == 0 and "unknown" not in shown.err
    assert "dashes,quotes" in rnnlm("info model --json").out


def test_mixed_forms_in_text_are_reported_unless_normalised(rnnlm, texts):
    told = trained(rnnlm, "mixed.txt", "--holdout", "0")
    assert told.count("in two forms") == 1
    assert "' 40 times and \u2019 40 times" in told
    assert f"--normalise {quoted('dashes,quotes')}" in told
    assert "two forms" not in trained(rnnlm, "mixed.txt", "--normalise", "all")


@pytest.mark.needs("tools/prepared")
def test_prepared_text_passes_its_normalisation_to_training(rnnlm, texts):
    with pytest.warns(RnnlmWarning, match="in two forms"):
        list(library.prepare("mixed.txt", "plain", workers=0))
    list(library.prepare("mixed.txt", "prepared", workers=0, normalise="all"))
    assert rnnlm("train prepared --model unigram -o of-prepared").code == 0
    trained(rnnlm, "mixed.txt", "--normalise", "all", "--set", "holdout=0")
    names = ("of-prepared", "prepared", "model")
    assert len({load_tokenizer(name).fingerprint for name in names}) == 1
    assert load_tokenizer("plain").to_settings()["normalise"] is None


def test_reused_tokenizer_brings_its_normalisation(rnnlm, texts):
    trained(rnnlm, "clean.txt", "--normalise", "all", "--remove-punctuation")
    again = "train messy.txt --model unigram -o other --tokenizer-from model --normalise"
    assert rnnlm(f"{again} spaces,entities,nfc,quotes,dashes").code == 0
    symbols = load_tokenizer("other").symbols()
    assert symbols == load_tokenizer("model").symbols() and "-" not in symbols
    shown = rnnlm(f"{again} quotes --overwrite")
    assert shown.code == 2 and "has normalise = dashes,entities,nfc,quotes,spaces" in shown.err
    shown = rnnlm("train clean.txt --normalise quote -o wrong")
    what, hint = "error: normalise has no form 'quote'", "  try: did you mean 'quotes'?"
    assert (shown.code, shown.errors) == (2, [what, hint])


@pytest.mark.needs("tools/counting")
def test_counts_are_of_normalised_text(rnnlm, texts):
    counted = "count messy.txt --order 1 --normalise all"
    expected = rnnlm(counted).out
    assert "it's\t40\n" in expected
    assert "-\t" not in rnnlm(f"{counted} --remove-punctuation").out
    trained(rnnlm, "clean.txt", "--normalise", "all")
    assert rnnlm("count messy.txt -m model --order 1").out == expected
    assert "leave out --normalise" in rnnlm("count messy.txt -m model --normalise all").err


COLUMN = ("--column", "Satz, deutsch")


@pytest.fixture
def table(rnnlm, texts):
    """Write the text as a German spreadsheet saves it, and train a model. Return its bytes."""
    rows = []
    for number, line in enumerate(CLEAN.splitlines()):
        seconds = f"{number / 2:.1f}"
        rows.append(f"{number};{line};{seconds}\r\n".replace(".", ","))
    content = "item;Satz, deutsch;Dauer\r\n" + "".join(rows)
    (texts / "table.csv").write_bytes(content.encode("utf-8-sig"))
    trained(rnnlm, "clean.txt")
    return (texts / "table.csv").read_bytes()


def test_semicolon_csv_is_read_and_scored_like_the_text_itself(rnnlm, table):
    expected = rnnlm("eval", "-m", "model", "clean.txt", "--json").json
    found = rnnlm("eval", "-m", "model", "table.csv", *COLUMN, "--json").json
    assert found | {"seconds": 0} == expected | {"seconds": 0}

    options = ("--model", "unigram", "-o", "from-table", "--set", "holdout=0")
    assert rnnlm("train", "table.csv", *COLUMN, *options).code == 0
    assert "no column 'Sats'" in rnnlm("eval", "-m", "model", "table.csv", "--column", "Sats").err

    options = (*COLUMN, "--id-column", "item", "--json")
    shown = rnnlm("score", "-m", "model", "--input", "table.csv", *options).out
    scores = [json.loads(line) for line in shown.splitlines()]
    assert [score["id"] for score in scores][:3] == ["0", "1", "2"]
    assert scores[1]["text"] == "the dog sat on the mat"


@pytest.mark.needs("tools/counting", "tools/prepared")
def test_column_of_a_plain_text_has_no_effect(rnnlm, texts, table):
    # Neither a .txt file nor standard input counts as a table.
    (texts / "table.txt").write_bytes(table)
    for name in ("table.txt", "-"):
        command = ("eval", "-m", "model", name, *COLUMN)
        shown = rnnlm(*command, stdin=table)
        assert shown.err.count("note:") == 1
        assert "read line by line as text, ignoring --column" in shown.err
    assert "note:" not in rnnlm("eval", "-m", "model", "table.cs*", *COLUMN).err

    _, column = COLUMN
    with pytest.warns(RnnlmWarning, match="ignoring `column`"):
        list(library.prepare("table.txt", "of-table", workers=0, column=column))


@pytest.mark.needs("tools/pairs")
def test_semicolon_csv_of_pairs_is_read(rnnlm, texts):
    (texts / "pairs.csv").write_text("good;bad\nthe dog, sat;sat the\n")
    trained(rnnlm, "clean.txt")
    shown = rnnlm("score", "-m", "model", "--pairs", "pairs.csv", "--json").out
    assert json.loads(shown)["pairs"] == 1
