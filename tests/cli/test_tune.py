import shutil

import pytest

from support.failures import checked_error


@pytest.fixture
def unigram(models, here):
    return shutil.copytree(models.unigram, here / "unigram")


FAST = ("--tokens", "60")


def test_what_it_tunes_is_what_eval_uses(rnnlm, models, copied):
    tuned = rnnlm("tune", "-m", f"{copied}+cache", "--on", models.valid, "--json")
    assert tuned.code == 0, tuned.err
    result = tuned.json
    assert result["ppl_after"] < result["ppl_before"]
    assert (
        tuned.err.splitlines()[0].startswith("perplexity ")
        and "cache_flatness=" in tuned.err.splitlines()[0]
    )
    assert (
        tuned.err.splitlines()[-1]
        == f"saved in the folder of {copied}: rnnlm eval -m {copied}+cache uses them"
    )
    shown = rnnlm("eval", "-m", f"{copied}+cache", models.valid, "--json")
    evaluated = shown.json
    assert evaluated["ppl_token"] == pytest.approx(result["ppl_after"], rel=1e-4)
    settings = result["settings"]
    described = f"cache(tokens={settings['cache_tokens']},weight={settings['cache_weight']},flatness={settings['cache_flatness']})"
    assert f"|adapt:{described}|" in evaluated["signature"]
    assert shown.err == ""


def test_the_table_shows_settings_and_both_perplexities(rnnlm, models, unigram):
    ended = rnnlm("tune", "-m", f"{unigram}+unigram", "--on", models.valid)
    table = dict(row.split("\t") for row in ended.out.splitlines())
    assert list(table) == [
        "what",
        "cache_tokens",
        "cache_weight",
        "tokens",
        "ppl_before",
        "ppl_after",
    ]
    assert float(table["ppl_after"]) < float(table["ppl_before"])


def test_a_perplexity_without_end_is_shown_as_none(rnnlm, models, here):
    assert rnnlm(f"train {models.text} --model ngram --order 2 --smoothing mle -o bare").code == 0
    (here / "new.txt").write_text("speech the\n")
    ended = rnnlm("tune", "-m", "bare+unigram", "--on", "new.txt")
    assert ended.code == 0 and "ppl_before\t-\nppl_after\t-\n" in ended.out


def test_dynamic_evaluation_by_either_rule(rnnlm, models, copied):
    for more, rule in (((), "sgd"), (("--statistics", models.valid), "rms")):
        ended = rnnlm(
            "tune", "-m", f"{copied}+dynamic", "--on", models.valid, *FAST, *more, "--json"
        )
        assert ended.code == 0, ended.err
        assert ended.json["settings"]["adaptation_rule"] == rule
        signature = rnnlm("eval", "-m", f"{copied}+dynamic", models.valid, "--json").json[
            "signature"
        ]
        assert f"|adapt:dynamic(segment_tokens=5,rule={rule},rate=" in signature
        assert ("statistics=" in signature) == (rule == "rms")


def test_tuning_on_training_text_is_reported(rnnlm, models, unigram):
    told = (
        f"note: {unigram} was trained on this very text: settings found on it "
        "flatter it; use held-out text\n"
    )
    assert told in rnnlm("tune", "-m", f"{unigram}+unigram", "--on", models.text).err
    assert "very text" not in rnnlm("tune", "-m", f"{unigram}+unigram", "--on", models.valid).err


def test_default_settings_are_reported_as_such(rnnlm, models):
    ended = rnnlm("eval", "-m", f"{models.unigram}+unigram", models.valid)
    assert ended.err == (
        "note: unigram(tokens=1000,weight=0.05): default settings; rnnlm tune finds better ones "
        "for this model\n"
    )


@pytest.mark.parametrize("what, adaptation", [
    ("which adaptation?", ""), ("no model at ", "+caches"),
])  # fmt: skip
def test_an_adaptation_is_named(rnnlm, models, copied, what, adaptation):
    code = 2 if adaptation == "" else 1
    checked_error(rnnlm("tune", "--on", models.valid, "-m", f"{copied}{adaptation}"), code, what)
    assert not list(copied.glob("adapt-*"))
