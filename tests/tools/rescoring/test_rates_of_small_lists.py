"""Rates of short references, of groups, and of lists whose first pass excludes hypotheses."""

import json

import pytest

from rnnlm.tools.rescoring.files import read_nbest
from rnnlm.tools.rescoring.rescorer import tune_and_rescore
from rnnlm.tools.rescoring.settings import ListSettings, RescoreSettings
from support.tiny_models import fit

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
WORDS = "the cat sat a dog saw".split()


def write(path, lists):
    rows = [
        {"utt": f"u{number}", "ref": reference, "who": "ann " if number % 2 else None,
         "hypotheses": [{"text": text, "score": score} for text, score in hypotheses]}
        for number, (reference, hypotheses) in enumerate(lists)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rescored(path, models, settings=RescoreSettings(), **reading):
    utterances = read_nbest(path, ListSettings(**reading))
    return tune_and_rescore(utterances, utterances, models, settings)


def test_the_best_of_the_first_pass_is_none_that_it_excludes(tmp_path):
    lists = [
        ("the cat sat", [("the cat sat", "-inf"), ("the cat saw", -1)]),
        ("a dog", [("a dog", -1), ("the dog", -2)]),
    ]
    [stage] = rescored(write(tmp_path / "n.jsonl", lists), {"m": fit("unigram")})
    rates, tuned = stage.rescored.rates, stage.weights.tuned
    assert rates.first.wer == rates.rescored.wer == pytest.approx(1 / 5)
    assert (tuned.errors_before, tuned.errors_after) == (1, 1)
    assert [one.best_before for one in stage.rescored.utterances] == [2, 1]


def test_nearly_equal_counts_of_unknown_words_have_one_weight(tmp_path):
    lists = [(f"{a} {b}", [(f"{a} {b}", -1), (f"{a} zebra", -2)]) for a in WORDS for b in WORDS]
    models = {
        "one": fit("unigram"), "two": fit("unigram", ["the cat sat a dog saw it"] * 3),
        "none": fit("unigram", ["x y"] * 3),
    }  # fmt: skip
    stages = rescored(write(tmp_path / "n.jsonl", lists), models)
    counts = [name for name in stages[-1].weights.weights if name.startswith("oov:")]
    assert counts == ["oov:one", "oov:none"]


@pytest.mark.parametrize("lists, cer, rate", [
    ([("你好吗", [("你好妈", -1), ("好", -2)])] * 3, False, 1 / 3),
    ([("the cat", [("the cap", -1)])] * 3, True, 1 / 6),
    ([("the cat", [("the cap", -1)])] * 3, False, None),
])  # fmt: skip
def test_short_references_have_a_rate_of_characters(tmp_path, lists, cer, rate):
    path = write(tmp_path / "n.jsonl", lists)
    [stage] = rescored(path, {"m": fit("unigram")}, RescoreSettings(cer=cer), group_by="who")
    rates = [stage.rescored.rates, *stage.rescored.groups.values()]
    assert [one.first.cer for one in rates] == [rate and pytest.approx(rate)] * len(rates)


@pytest.mark.parametrize("by", ["who", "utt2spk"])
def test_groups_have_rates(rnnlm, models, here, by):
    lists = [("the cat sat", [("the cat" + " sat" * (k % 3 == 0), -1)]) for k in range(12)]
    write(here / "n.jsonl", lists)
    lines = [f"u{k} ann\n" for k in range(1, 12, 2)]
    (here / "utt2spk").write_text("".join(lines))
    asked = f"rescore --tune n.jsonl -m {models.unigram} --group-by {by}"
    groups = {row["group"]: row["first"] for row in rnnlm(f"{asked} --json").json["groups"]}
    assert {name: (rate["utterances"], rate["errors"]) for name, rate in groups.items()} == {
        None: (6, 4), "ann": (6, 4)
    }  # fmt: skip
    assert groups[None]["interval"]["low"] < groups[None]["wer"]
    assert "ann" in rnnlm(asked).out
    assert "no utterance has this field" in rnnlm(f"{asked}x").err
