import math

import pytest

import rnnlm as library

KEYS = (
    "tokens words characters bytes sentences oov_words oov_types zero_probability_tokens "
    "logprob_nats ppl_token ppl_token_no_oov ppl_adjusted "
    "ppl_word ppl_word_no_oov bits_per_char bits_per_byte closed_vocabulary normalised context "
    "signature seconds"
).split()


def test_json_is_one_object_with_all_designed_keys(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid, "--json")
    assert shown.code == 0
    result = shown.json
    assert set(KEYS) == set(result)
    assert result["ppl_token"] == pytest.approx(
        math.exp(-result["logprob_nats"] / result["tokens"])
    )
    assert result["ppl_word"] == pytest.approx(
        math.exp(-result["logprob_nats"] / (result["words"] + result["sentences"]))
    )


def test_command_and_library_say_the_same(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid, "--json").json
    result = library.load(models.lstm).evaluate(models.valid).to_dict()
    assert shown | {"seconds": 0} == result | {"seconds": 0}


def test_piped_output_is_tab_separated_ending_in_signature(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid)
    *rows, signature = shown.out.splitlines()
    table = dict(row.split("\t") for row in rows)
    assert table["measure"] == "value"
    assert float(table["ppl_token"].replace(",", "")) > 1
    assert "bits_per_char" not in table  # words of valid are unknown
    assert table["ppl_word"].endswith(" (closed vocabulary)")
    assert signature.startswith("signature: rnnlm:0.1|")
    assert shown.err == ""


def test_text_comes_from_standard_input_too(rnnlm, models):
    from_file = rnnlm("eval", "-m", models.unigram, models.valid, "--json").json
    from_stdin = rnnlm(
        "eval", "-m", models.unigram, "-", "--json", stdin=models.valid.read_bytes()
    ).json
    assert from_stdin | {"seconds": 0} == from_file | {"seconds": 0}


def test_blank_line_handling_is_chosen_and_in_signature(rnnlm, models, here):
    (here / "text").write_text("the man\n\nthe day\n")
    ways = {
        "skip": [],
        "keep": ["--blank-lines", "keep"],
        "documents": ["--blank-lines", "documents"],
    }
    results = {
        way: rnnlm("eval", "-m", models.unigram, "text", *flags, "--json").json
        for way, flags in ways.items()
    }
    assert {way: result["sentences"] for way, result in results.items()} == {
        "skip": 2,
        "keep": 3,
        "documents": 2,
    }
    assert all(f"|blank:{way}|" in result["signature"] for way, result in results.items())
