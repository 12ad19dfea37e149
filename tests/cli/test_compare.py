import re
import warnings

import pytest

import rnnlm as library
from rnnlm.errors import RnnlmWarning
from support.failures import checked_error


def tables(out: str) -> list[list[list[str]]]:
    return [[line.split("\t") for line in part.splitlines()] for part in out.split("\n\n")]


def test_figures_differences_and_tables_are_shown(rnnlm, parts, pictures):
    shown = rnnlm("compare", "lstm", "kn", "--on", "valid.txt", "--plot", "difference.svg")
    assert shown.code == 0
    verdict, figures, differences, bands, positions, ngrams, lines, tokens, signatures = tables(
        shown.out
    )
    assert re.fullmatch(
        r"kn is better than lstm by (\S+) bits a token, 95 % interval \S+ to \S+\.", verdict[0][0]
    )
    label = "difference in bits a token\n(bars: 95 % intervals)"
    assert pictures["difference.svg"].axes[0].get_xlabel() == label
    assert figures[0] == ["measure", "lstm", "kn"]
    alone = [library.load(name).evaluate("valid.txt").ppl_token for name in ("lstm", "kn")]
    cells = {row[0]: row[1:] for row in figures}["ppl_token"]
    assert [cell.split(" [")[0] for cell in cells] == [f"{ppl:,.2f}" for ppl in alone]
    assert (
        differences[0] == ["difference", "bits per token", "perplexity", "p"]
        and differences[1][0] == "kn - lstm"
    )
    assert [table[0][0] for table in (bands, positions, ngrams)] == [
        "training frequency",
        "position in line",
        "longest n-gram seen",
    ]
    assert (
        lines[0][-1] == "line"
        and tokens[0][-1] == "token"
        and {row[0] for row in lines[1:]} <= {"lstm", "kn"}
    )
    assert len(lines) <= 1 + 6
    assert [row[0].split(": ")[0] for row in signatures] == ["signature of lstm", "signature of kn"]


def test_unknown_tokens_that_reverse_a_comparison_are_reported(rnnlm, here):
    """Of words that come once, the second model keeps more for unknown ones, which it pays for with
    those it knows."""
    (here / "train.txt").write_text("the cat sat\n" * 9 + "a dog ran\n" * 9 + "rare words here\n")
    (here / "test.txt").write_text("the cat zorp\na dog blick\n" * 9)
    for name, k, *more in (("sharp", "0.01"), ("flat", "5", "--tokenizer-from", "sharp")):
        trained = rnnlm(
            "train",
            "train.txt",
            "--model",
            "unigram",
            "--min-count",
            "2",
            "--set",
            f"additive_k={k}",
            *more,
            "-o",
            name,
        )
        assert trained.code == 0, trained.err
    shown = rnnlm("compare", "sharp", "flat", "--on", "test.txt")
    _, _, (header, with_all, without), *_ = tables(shown.out)
    assert (with_all[0], without[0]) == ("flat - sharp", "flat - sharp, no unknown tokens")
    assert (
        with_all[1].startswith("-")
        and without[1].startswith("+")
        and with_all[3] == without[3] == "0.0002"
    )
    sentence = (
        "with the 18 unknown tokens, flat is better than sharp; without them, sharp is "
        "better than flat"
    )
    assert f"note: {sentence}: " in shown.err
    (found,) = rnnlm("compare", "sharp", "flat", "--on", "test.txt", "--json").json["differences"]
    assert found["disagreement"].startswith(sentence) and found["no_oov"]["p"] < 0.001
    assert found["difference_bits"]["high"] < 0 < found["no_oov"]["difference_bits"]["low"]


def test_json_holds_all_of_it(rnnlm, parts):
    shown = rnnlm("compare", "lstm", "kn", "chars", "--on", "valid.txt", "--json")
    checked_error(
        shown, 1, "these models cannot be compared: the part tok of their signatures differs"
    )
    result = rnnlm(
        "compare lstm kn --on valid.txt --json --block 2 --resamples 99 --train train.txt"
    ).json
    assert (result["block_lines"], result["lines"], result["ngram_source"]) == (2, 40, "train.txt")
    assert [model["evaluation"]["ppl_token"] for model in result["models"]] == [
        library.load(name).evaluate("valid.txt").ppl_token for name in ("lstm", "kn")
    ]
    assert len(result["lines_apart"][0]["for_first"] + result["lines_apart"][0]["for_second"]) <= 40
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        found = library.compare(
            ["lstm", "kn"],
            "valid.txt",
            train="train.txt",
            settings=library.ComparisonSettings(block_lines=2, resamples=99),
        )
    assert found.to_dict()["differences"] == result["differences"]


def test_different_tokens_compare_per_character_only(rnnlm, parts):
    shown = rnnlm("compare", "chars", "bytes", "--on", "train.txt")
    assert shown.code == 0, shown.err
    assert "ppl_token is not compared: tokens are different events: tok:char:" in shown.err
    assert (
        "bits per character" in shown.out
        and "\nppl_token\t" not in shown.out
        and "\nbits_per_char\t" in shown.out
    )


def test_standard_input_is_read_once_for_all_models(rnnlm, parts):
    data = (parts / "train.txt").read_bytes()
    piped = rnnlm("compare", "chars", "bytes", "--on", "-", "--json", stdin=data)
    assert piped.json["lines"] == 240


def test_comparing_on_training_text_is_reported(rnnlm, parts):
    told = (
        "note: kn and kn+unigram were trained on this very text: perplexities "
        "found on it flatter them; use held-out text\n"
    )
    assert told in rnnlm("compare", "kn", "kn+unigram", "--on", "train.txt").err


@pytest.mark.parametrize(("arguments", "code", "what"), [
    (["demo", "--on", "valid.txt"], 2, "a comparison needs at least two models"),
    (["--on", "valid.txt"], 2, "a comparison needs at least two models"),
    (["kn", "lstm"], 1, "kn has no stored metrics of a validation text"),
    (["kn", "kn+cache", "--on", "valid.txt"], 2, "an n-gram model cannot be adapted in this way"),
    (["kn", "lstm", "--on", "valid.txt", "--train", "nowhere.txt"], 1, "no such file: nowhere.txt"),
])  # fmt: skip
def test_wrong_usage(rnnlm, parts, arguments, code, what):
    (parts / "empty.txt").write_text("")
    checked_error(rnnlm("compare", *arguments), code, what)
