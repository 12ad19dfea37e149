"""`rnnlm compare` of taggers and classifiers."""

import pytest


@pytest.fixture(scope="module")
def other(tagger, tmp_path_factory):
    """Train a tagger of the same labels that has learned little."""
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("other") / "other"
    sets = (
        "--set=hidden_size=4",
        "--set=embedding_size=4",
        "--budget",
        "1steps",
        "--precision",
        "fp32",
    )
    arguments = (
        "train",
        tagger.train,
        "--valid",
        tagger.valid,
        "--task",
        "tagging",
        "--input-format",
        "columns",
        *sets,
        "-o",
        folder,
    )
    assert run([str(each) for each in arguments]) == 0
    return folder


def test_differences_match_figures_with_intervals_and_p_values(rnnlm, tagger, other):
    arguments = ("compare", other, tagger.folder, "--on", tagger.valid, "--resamples", 200)
    found = rnnlm(*arguments, "--json").json
    first, second = (
        rnnlm("eval", "-m", model, tagger.valid, "--json").json["columns"][0]
        for model in (other, tagger.folder)
    )
    [difference] = found["differences"]
    its = difference["figures"]["2"]["f1"]
    assert its["interval"]["estimate"] == pytest.approx(second["f1"] - first["f1"])
    assert (
        its["interval"]["low"] <= its["interval"]["estimate"] <= its["interval"]["high"]
        and its["p"] < 0.05
    )
    assert [each["evaluation"]["signature"] for each in found["models"]] == [
        first["signature"],
        second["signature"],
    ]
    lines = rnnlm(*arguments).rows
    assert (
        lines[0][0].startswith("tagging is better than other by ") and "points of f1" in lines[0][0]
    )
    assert ["measure", "other", "tagging"] in lines and ["tagging - other", "f1"] in [
        line[:2] for line in lines
    ]


def test_a_model_does_not_differ_from_itself(rnnlm, slot_tagger):
    found = rnnlm(
        f"compare {slot_tagger.folder} {slot_tagger.folder} --on {slot_tagger.valid} --json"
    ).json
    figures = found["differences"][0]["figures"]
    assert set(figures) == {"slots", "intent", "all columns"}
    assert {
        (its["interval"]["estimate"], its["p"])
        for column in figures.values()
        for its in column.values()
    } == {(0.0, 1.0)}


def test_models_of_different_tasks_or_labels_are_refused(
    rnnlm, models, tagger, classifier, slot_tagger
):
    for first, second, why in (
        (
            tagger,
            classifier,
            "tagging is a tagger of words, classification is a classifier of texts",
        ),
        (tagger, slot_tagger, "has learned 2, "),
    ):
        outcome = rnnlm("compare", first.folder, second.folder, "--on", first.valid)
        assert outcome.code == 1 and why in outcome.errors[1].replace(
            f"{first.folder.parent}/", ""
        ).replace(f"{second.folder.parent}/", "")
    assert "a language model" in rnnlm("compare", models.unigram, tagger.folder, "--on", "none").err
    assert (
        "--top: "
        in rnnlm("compare", tagger.folder, tagger.folder, "--on", "none", "--top", "3").err
    )
