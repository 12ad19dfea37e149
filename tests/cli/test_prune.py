import json

import pytest

import rnnlm as library
from support.failures import checked_error


@pytest.fixture
def big(rnnlm, here, corpus_lines):
    """A trigram model, the text it was trained on and another one."""
    (here / "train.txt").write_text("\n".join(corpus_lines[:200]) + "\n", encoding="utf-8")
    (here / "valid.txt").write_text("\n".join(corpus_lines[200:230]) + "\n", encoding="utf-8")
    assert rnnlm("train", "train.txt", "--model", "ngram", "--order", "3", "-o", "big").code == 0
    return here / "big"


def test_sizes_and_perplexities_are_shown_before_and_after(rnnlm, big):
    shown = rnnlm("prune", "-m", big, "-o", "small", "--threshold", "1e-4", "--on", "valid.txt")
    assert shown.code == 0
    rows = {name: figures for name, *figures in (line.split("\t") for line in shown.out.splitlines())}
    model, small = library.load(big), library.load("small")
    assert rows["measure"] == ["before", "after"]
    for n in (1, 2, 3):
        assert rows[f"{n}-grams"] == [f"{len(model.values[n - 1]):,}", f"{len(small.values[n - 1]):,}"]
    ppl = [library.evaluate(each, "valid.txt").ppl_token for each in (model, small)]
    assert [float(figure.replace(",", "")) for figure in rows["ppl_token"]] == pytest.approx(ppl, abs=1e-3)
    assert shown.err == "threshold: 0.0001\nthe smaller model is in small\n"


def test_json_holds_all_of_it(rnnlm, big):
    shown = rnnlm("prune", "-m", big, "-o", "small", "--ngrams", "2.5k", "--on", "valid.txt", "--json")
    result = json.loads(shown.out)
    assert 2400 < sum(result["after"]["ngrams"]) <= 2500 < sum(result["before"]["ngrams"])
    assert result["after"]["evaluation"]["signature"] != result["before"]["evaluation"]["signature"]
    again = json.loads(rnnlm("prune", "-m", big, "-o", "again", "--threshold", repr(result["threshold"]), "--json").out)
    assert again["after"]["ngrams"] == result["after"]["ngrams"]
    assert again["after"]["evaluation"] is None


def test_cut_offs_and_vocabulary_limits(rnnlm, big):
    cut = rnnlm("prune", "-m", big, "-o", "cut", "--cutoffs", "0,0,1", "--counts", "train.txt")
    assert cut.code == 0
    assert "for perplexity before and after, name a text: --on TEXT" in cut.err
    rnnlm("train", "train.txt", "--model", "ngram", "--order", "3", "--prune", "0,0,1", "-o", "trained")
    assert [len(values) for values in library.load("cut").values] == [len(values) for values in library.load("trained").values]
    limited = rnnlm("prune", "-m", big, "-o", "few", "--max-vocab", "100", "--max-order", "2", "--on", "valid.txt")
    assert "note: the perplexities do not compare" in limited.err
    few = library.load("few")
    assert (few.size, few.order) == (100, 2)


def test_the_smaller_model_works_as_any_other(rnnlm, big):
    rnnlm("prune", "-m", big, "-o", "small", "--threshold", "1e-4")
    for command in (["eval", "valid.txt"], ["score", "the man"], ["generate"], ["info"], ["doctor"]):
        assert rnnlm(command[0], "-m", "small", *command[1:]).code == 0
    assert "pruned" in rnnlm("info", "small").out


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        ([], 2, "no limits are given"),
        (["--ngrams", "many"], 2, "Invalid value for '--ngrams': 'many' is not understood"),
        (["--ngrams", "5"], 2, "5 n-grams are too few"),
        (["--cutoffs", "0,0,1"], 2, "cut-offs need a text to count"),
        (["--cutoffs", "1", "--counts", "train.txt"], 2, "cutoffs = '1' is not valid"),
        (["--threshold", "1e-8", "--on", "nowhere.txt"], 1, "no such file: nowhere.txt"),
        (["--vocab", "nowhere.txt"], 1, "no such file: nowhere.txt"),
    ],
)
def test_wrong_usage(rnnlm, big, options, code, what):
    checked_error(rnnlm("prune", "-m", big, "-o", "small", *options), code, what)
    assert not (big.parent / "small").exists()


def test_where_a_model_is_nothing_is_written_unless_asked(rnnlm, big):
    before = library.load(big).fingerprint
    checked_error(rnnlm("prune", "-m", big, "-o", big, "--max-order", "2"), 1, f"{big} already holds a model")
    assert library.load(big).fingerprint == before
    assert rnnlm("prune", "-m", big, "-o", big, "--max-order", "2", "--overwrite").code == 0
    assert library.load(big).order == 2
    nameless = rnnlm("prune", "-o", "small", "--max-order", "2")
    assert nameless.code == 2 and "RNNLM_MODEL" in nameless.err
