"""`rnnlm compare` of taggers and classifiers."""

import pytest

from rnnlm.cli.main import run


@pytest.fixture(scope="module")
def other(tagger, tmp_path_factory):
    """Train a tagger of the same labels that has learned little."""
    folder = tmp_path_factory.mktemp("other") / "other"
    small = "--set hidden_size=4 --set embedding_size=4 --budget 1steps --precision fp32"
    data = f"{tagger.train} --valid {tagger.valid} --task tagging --input-format columns"
    assert run(f"train {data} {small} -o {folder}".split()) == 0
    return folder


def test_differences_match_metrics_with_intervals_and_p_values(rnnlm, tagger, other):
    asked = f"compare {other} {tagger.folder} --on {tagger.valid} --resamples 200"
    found = rnnlm(f"{asked} --json").json
    first, second = (
        rnnlm("eval", "-m", model, tagger.valid, "--json").json["columns"][0]
        for model in (other, tagger.folder)
    )
    [f1] = [each for each in found["differences"] if each["metric"] == "f1"]
    assert f1["column"] == "2"
    assert f1["difference"] == pytest.approx(second["f1"] - first["f1"])
    assert f1["low"] <= f1["difference"] <= f1["high"] and f1["p"] < 0.05
    signatures = [each["evaluation"]["signature"] for each in found["models"]]
    assert signatures == [first["signature"], second["signature"]]
    rows = rnnlm(asked).rows
    assert rows[0][0].startswith("tagging is better than other by ")
    assert "points of f1" in rows[0][0]
    assert ["measure", "other", "tagging"] in rows
    assert ["tagging - other", "f1"] in [row[:2] for row in rows]


def test_a_model_does_not_differ_from_itself(rnnlm, slot_tagger):
    folder = slot_tagger.folder
    found = rnnlm(f"compare {folder} {folder} --on {slot_tagger.valid} --json").json
    differences = found["differences"]
    assert {each["column"] for each in differences} == {"slots", "intent", "all columns"}
    assert all((each["difference"], each["p"]) == (0.0, 1.0) for each in differences)


def test_models_of_different_tasks_or_labels_are_refused(
    rnnlm, models, tagger, classifier, slot_tagger
):
    for first, second, why in (
        (tagger, classifier, "is a tagger, {} is a classifier"),
        (tagger, slot_tagger, "predicts 2, "),
    ):
        outcome = rnnlm("compare", first.folder, second.folder, "--on", first.valid)
        assert outcome.code == 1 and why.format(second.folder) in outcome.errors[1]
    mixed = rnnlm("compare", models.unigram, tagger.folder, "--on", "none")
    assert "a language model" in mixed.err
    top = rnnlm("compare", tagger.folder, tagger.folder, "--on", "none", "--top", "3")
    assert "--top needs a language model" in top.err
