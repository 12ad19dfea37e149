"""`rnnlm prune`: models of n-grams made smaller."""

import pytest

import rnnlm as library
from support.failures import checked_error


@pytest.fixture
def big(rnnlm, here, corpus_lines):
    """Train a trigram model, and write the text it was trained on and another one."""
    (here / "train.txt").write_text("\n".join(corpus_lines[:200]) + "\n", encoding="utf-8")
    (here / "valid.txt").write_text("\n".join(corpus_lines[200:230]) + "\n", encoding="utf-8")
    asked = ("--model", "ngram", "--order", "3", "--holdout", "0")
    assert rnnlm("train", "train.txt", *asked, "-o", "big").code == 0
    return here / "big"


def test_sizes_and_perplexities_are_shown_before_and_after(rnnlm, big):
    shown = rnnlm(f"prune -m {big} -o small --threshold 1e-4 --on valid.txt")
    assert shown.code == 0
    rows = {name: figures for name, *figures in shown.rows}
    both = [library.load(big), library.load("small")]
    assert rows["measure"] == ["before", "after"]
    for n in (1, 2, 3):
        assert rows[f"{n}-grams"] == [f"{len(model.values[n - 1]):,}" for model in both]
    ppl = [model.evaluate("valid.txt").ppl_token for model in both]
    figures = [float(figure.replace(",", "")) for figure in rows["ppl_token"]]
    assert figures == pytest.approx(ppl, abs=1e-3)
    *_, threshold, place = shown.err.splitlines()
    assert (threshold, place) == ("threshold: 0.0001", "the smaller model is saved in small")


def test_json_holds_all_of_it(rnnlm, big):
    result = rnnlm(f"prune -m {big} -o small --ngrams 2.5k --on valid.txt --json").json
    before, after = result["before"], result["after"]
    assert 2400 < sum(after["ngrams"]) <= 2500 < sum(before["ngrams"])
    assert after["evaluation"]["signature"] != before["evaluation"]["signature"]
    again = rnnlm(f"prune -m {big} -o again --threshold {result['threshold']!r} --json").json
    assert again["after"]["ngrams"] == after["ngrams"] and again["after"]["evaluation"] is None


def test_vocabulary_limits(rnnlm, big):
    limited = rnnlm(f"prune -m {big} -o few --max-vocab 100 --max-order 2 --on valid.txt")
    assert "note: the perplexities are not comparable" in limited.err
    few = library.load("few")
    assert (few.size, few.order) == (100, 2)
    unmeasured = rnnlm(f"prune -m {big} -o lower --max-order 2")
    assert "to measure perplexity before and after, add --on TEXT" in unmeasured.err


def test_it_quantises_with_the_words_of_train(rnnlm):
    refused = rnnlm("prune -m big -o q --quantize 4")
    checked_error(refused, 2, "Invalid value for '--quantize': it must be 8, not")
    refused = rnnlm("prune -m big -o q --size 3MB")
    assert (
        "--ngrams N: each takes at most 15 bytes"
        in checked_error(refused, 2, "no option --size")[1]
    )
    about = " ".join(rnnlm("prune --help-all").plain.split())
    assert "as codes of 8 bits, a codebook for each order above" in about


def test_a_quantised_model_stays_so(rnnlm, models):
    assert rnnlm("train", models.text, "--model", "ngram", "--quantize", 8, "-o", "q").code == 0
    assert rnnlm("prune -m q -o small --max-order 2").code == 0
    assert "quantize=8" in rnnlm("info", "small").facts["structure"]
    checks = rnnlm("doctor", "small", "--json").json["checks"]
    assert [check["result"] for check in checks if check["name"] == "sums"] == ["ok"]
