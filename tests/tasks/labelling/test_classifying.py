"""Texts classified from Python."""

import pytest

import rnnlm
from rnnlm.errors import UsageError
from rnnlm.tasks.labelling.evaluation.results import ClassifiedText
from rnnlm.tasks.labelling.files import labelled_rows
from rnnlm.tasks.labelling.tagging import classify
from support import tiny_tasks
from support.tiny_tasks import VALID


def test_texts_get_learned_labels_with_probabilities(classifier):
    found = classify(
        classifier.folder, [*(" ".join(words) for words, _, _ in VALID), VALID[0][0], " "]
    )
    expected = [*(intent for _, _, intent in VALID), VALID[0][2], None]
    assert [each.label for each in found] == expected
    for each in found[:-1]:
        probabilities = each.probabilities["label"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=probabilities.__getitem__) == each.label
    assert found[-1].labels == found[-1].probabilities == {} and found[-2].text is None
    expected = pytest.approx(found[0].probabilities["label"], abs=1e-5)
    assert found[-2].probabilities["label"] == expected


def test_a_tagger_is_no_classifier(tagger):
    with pytest.raises(UsageError, match="is a tagger") as raised:
        classify(rnnlm.load(tagger.folder), ["fly me"])
    assert "rnnlm tag" in raised.value.hint


def test_each_of_several_labels_has_its_probability():
    model = tiny_tasks.fit("classification", "bag", form="multi", multi_label=True)
    [found] = classify(model, ["fly me to oslo"])
    assert set(found.probabilities["intent"]) == {"fare", "flight"}
    expected = {name for name, p in found.probabilities["intent"].items() if p >= 0.5}
    assert set(filter(None, found.labels["intent"].split("|"))) == expected


def test_a_row_keeps_its_columns_and_gains_predictions():
    found = ClassifiedText("a", ("a",), {"label": "x|y"}, {"label": {"x": 0.9, "y": 0.6, "z": 0.1}})
    [row] = labelled_rows({"text": "a", "label": "gold"}, found, ["label"], None)
    assert row == {
        "text": "a",
        "label": "gold",
        "predicted_label": "x|y",
        "predicted_label_probability": (0.9, 0.6),
    }
    rows = list(labelled_rows({"text": "a"}, found, ["label"], 9))
    expected = [(1, "x", 0.9), (2, "y", 0.6), (3, "z", 0.1)]
    assert [(row["rank"], row["label"], row["label_probability"]) for row in rows] == expected
