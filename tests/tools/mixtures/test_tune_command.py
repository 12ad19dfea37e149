import shutil

import pytest

from support.failures import checked_error


@pytest.fixture
def unigram(models, here):
    return shutil.copytree(models.unigram, here / "unigram")


def test_what_it_tunes_is_what_eval_uses(rnnlm, models, copied):
    tuned = rnnlm(f"tune -m {copied}+cache --on {models.valid} --json")
    assert tuned.code == 0, tuned.err
    result = tuned.json
    assert result["ppl_after"] < result["ppl_before"]
    first, *_, last = tuned.err.splitlines()
    assert first.startswith("perplexity ") and "cache_flatness=" in first
    assert last == f"saved in the folder of {copied}: rnnlm eval -m {copied}+cache uses them"
    shown = rnnlm(f"eval -m {copied}+cache {models.valid} --json")
    assert shown.json["ppl_token"] == pytest.approx(result["ppl_after"], rel=1e-4)
    names = ("tokens", "weight", "flatness")
    described = ",".join(f"{name}={result['settings'][f'cache_{name}']}" for name in names)
    assert f"|adapt:cache({described})|" in shown.json["signature"]
    assert "default settings" not in shown.err


def test_the_table_shows_settings_and_both_perplexities(rnnlm, models, unigram):
    table = rnnlm(f"tune -m {unigram}+unigram --on {models.valid}").facts
    assert list(table) == "what cache_tokens cache_weight tokens ppl_before ppl_after".split()
    assert float(table["ppl_after"]) < float(table["ppl_before"])


def test_a_perplexity_without_end_is_shown_as_none(rnnlm, models, here):
    assert rnnlm(f"train {models.text} --model ngram --order 2 --smoothing mle -o bare").code == 0
    (here / "new.txt").write_text("speech the\n")
    ended = rnnlm("tune", "-m", "bare+unigram", "--on", "new.txt")
    assert ended.code == 0 and "ppl_before\t-\nppl_after\t-\n" in ended.out


@pytest.mark.parametrize("rule", [pytest.param("sgd", marks=pytest.mark.soak), "rms"])
def test_dynamic_evaluation_by_either_rule(rnnlm, models, copied, rule):
    statistics = f"--statistics {models.valid}" if rule == "rms" else ""
    dynamic = f"-m {copied}+dynamic --json"
    ended = rnnlm(f"tune {dynamic} --on {models.valid} --tokens 60 {statistics}")
    assert ended.code == 0, ended.err
    assert ended.json["settings"]["adaptation_rule"] == rule
    signature = rnnlm(f"eval {dynamic} {models.valid}").json["signature"]
    assert f"|adapt:dynamic(segment_tokens=5,rule={rule},rate=" in signature
    assert ("statistics=" in signature) == (rule == "rms")


def test_tuning_on_training_text_is_reported(rnnlm, models, unigram):
    note = f"note: {unigram} was trained on this very text: settings found on it flatter it"
    tuning = f"tune -m {unigram}+unigram --on"
    assert f"{note}; use held-out text\n" in rnnlm(f"{tuning} {models.text}").err
    assert "very text" not in rnnlm(f"{tuning} {models.valid}").err


def test_default_settings_are_reported_as_such(rnnlm, models):
    ended = rnnlm(f"eval -m {models.unigram}+unigram {models.valid}")
    note = "note: unigram(tokens=1000,weight=0.05): default settings; rnnlm tune finds better ones"
    assert f"{note} for this model\n" in ended.err


@pytest.mark.parametrize("adaptation, code, what", [
    ("", 2, "name an adaptation"), ("+caches", 1, "no model at "),
])  # fmt: skip
def test_an_adaptation_is_named(rnnlm, models, copied, adaptation, code, what):
    checked_error(rnnlm(f"tune --on {models.valid} -m {copied}{adaptation}"), code, what)
    assert not list(copied.glob("adapt-*"))
