import pytest

import rnnlm as library


@pytest.fixture
def big(rnnlm, here, corpus_lines):
    """Train a trigram model, and write the text it was trained on and another one."""
    (here / "train.txt").write_text("\n".join(corpus_lines[:200]) + "\n", encoding="utf-8")
    (here / "valid.txt").write_text("\n".join(corpus_lines[200:230]) + "\n", encoding="utf-8")
    asked = ("--model", "ngram", "--order", "3", "--holdout", "0")
    assert rnnlm("train", "train.txt", *asked, "-o", "big").code == 0
    return here / "big"


def test_sizes_and_perplexities_are_shown_before_and_after(rnnlm, big):
    shown = rnnlm("prune", "-m", big, "-o", "small", "--threshold", "1e-4", "--on", "valid.txt")
    assert shown.code == 0
    rows = {
        name: figures for name, *figures in (line.split("\t") for line in shown.out.splitlines())
    }
    model, small = library.load(big), library.load("small")
    assert rows["measure"] == ["before", "after"]
    for n in (1, 2, 3):
        assert rows[f"{n}-grams"] == [
            f"{len(model.values[n - 1]):,}",
            f"{len(small.values[n - 1]):,}",
        ]
    ppl = [each.evaluate("valid.txt").ppl_token for each in (model, small)]
    assert [float(figure.replace(",", "")) for figure in rows["ppl_token"]] == pytest.approx(
        ppl, abs=1e-3
    )
    assert shown.err == "threshold: 0.0001\nthe smaller model is in small\n"


def test_json_holds_all_of_it(rnnlm, big):
    shown = rnnlm(
        "prune", "-m", big, "-o", "small", "--ngrams", "2.5k", "--on", "valid.txt", "--json"
    )
    result = shown.json
    assert 2400 < sum(result["after"]["ngrams"]) <= 2500 < sum(result["before"]["ngrams"])
    assert result["after"]["evaluation"]["signature"] != result["before"]["evaluation"]["signature"]
    again = rnnlm(
        "prune", "-m", big, "-o", "again", "--threshold", repr(result["threshold"]), "--json"
    ).json
    assert again["after"]["ngrams"] == result["after"]["ngrams"]
    assert again["after"]["evaluation"] is None


def test_vocabulary_limits(rnnlm, big):
    limited = rnnlm(
        "prune",
        "-m",
        big,
        "-o",
        "few",
        "--max-vocab",
        "100",
        "--max-order",
        "2",
        "--on",
        "valid.txt",
    )
    assert "note: the perplexities do not compare" in limited.err
    few = library.load("few")
    assert (few.size, few.order) == (100, 2)
    unmeasured = rnnlm("prune", "-m", big, "-o", "lower", "--max-order", "2")
    assert "for perplexity before and after, name a text: --on TEXT" in unmeasured.err
