import json
import math

import pytest

from rnnlm.errors import UsageError
from rnnlm.tasks.labelling.evaluation import label_metrics

SLOTS = label_metrics.Predictions(
    "word", gold=["B-city I-city O".split(), "O B-day".split()],
    predicted=["B-city I-city O".split(), "O B-city".split()],
    column="slots", scheme="bio", known=[[True, True, True], [True, False]],
    training_labels=["O", "B-city", "I-city"],
    probabilities=[[0.9, 0.9, 0.9], [0.9, 0.9]],
)  # fmt: skip
INTENT = label_metrics.Predictions(
    "text", gold=[["flight"], ["fare"]], predicted=[["flight"], ["flight"]], column="intent"
)
TOPICS = label_metrics.Predictions(
    "text", gold=[["a", "b"], ["a"], []], predicted=[["b", "a"], ["a", "c"], []],
    multi_label=True, training_labels=["b", "c"]
)  # fmt: skip
SOUNDS = label_metrics.Predictions(
    "word",
    [],
    [],
    references=[[["K", "AE", "T"]], [["HH", "AY"], ["HH", "EY"]]],
    symbols=[["K", "T"], ["HH", "EY"]],
)


def figures(predictions: label_metrics.Predictions) -> dict:
    """Return what is printed, as strict JSON, without what does not apply."""
    found = json.loads(json.dumps(label_metrics.report(predictions).to_dict(), allow_nan=False))
    return {name: value for name, value in found.items() if value is not None}


def test_slots_have_metrics_of_words_spans_and_sentences():
    found = figures(SLOTS)
    city = {"precision": 0.5, "recall": 1, "f1": 2 / 3, "right": 1, "predicted": 2, "gold": 1}
    expected = {"city": pytest.approx(city), "day": dict.fromkeys(city, 0) | {"gold": 1}}
    assert found.pop("by_type") == expected
    assert found == {
        "task": "tagging", "column": "slots", "scheme": "bio", "mode": "conlleval", "sentences": 2,
        "words": 5, "words_unknown": 1,
        "accuracy": 0.8, "accuracy_known": 1, "accuracy_unknown": 0, "precision": 0.5,
        "recall": 0.5, "f1": 0.5,
        "macro_f1": pytest.approx(1 / 3), "exact_match": 0.5, "ece": pytest.approx(0.1),
        "unseen_labels": {"B-day": 1}, "unseen_count": 1,
    }  # fmt: skip


def test_single_label_texts_have_accuracy_and_macro_f1():
    found = figures(INTENT)
    assert (found["accuracy"], found["macro_f1"]) == pytest.approx((1 / 2, (2 / 3 + 0) / 2))
    assert {
        "f1", "exact_match", "words", "mode", "ece", "unseen_labels", "word_error_rate",
    }.isdisjoint(found)  # fmt: skip
    assert found["sentences"] == 2 and list(found["by_type"]) == ["fare", "flight"]


def test_multi_label_metrics_ignore_label_order():
    found = figures(TOPICS)
    assert (found["exact_match"], found["f1"]) == pytest.approx((2 / 3, 2 * 3 / (4 + 3)))
    assert (found["precision"], found["recall"]) == pytest.approx((3 / 4, 1))
    assert found["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert found["unseen_labels"] == {"a": 2} and "accuracy" not in found


def test_letters_to_sounds_have_error_rates():
    assert figures(SOUNDS) == {
        "task": "tagging", "column": "", "scheme": "none", "sentences": 2, "words": 0,
        "by_type": {},
        "word_error_rate": 1 / 2, "symbol_error_rate": 1 / 5,
    }  # fmt: skip
    aligned = label_metrics.Predictions(
        "word",
        [["K", "AE", "T"]],
        [["K", "_", "T"]],
        references=[[["K", "AE", "T"]]],
        symbols=[["K", "T"]],
    )
    assert (figures(aligned)["accuracy"], figures(aligned)["word_error_rate"]) == (2 / 3, 1)


def test_joint_exact_match_requires_slots_and_intent_right():
    assert label_metrics.joint_exact_match([SLOTS, INTENT]).value == 1 / 2
    assert math.isclose(label_metrics.measures(SLOTS)["exact_match"].value, 1 / 2)
    swapped = label_metrics.Predictions("text", INTENT.gold[::-1], INTENT.predicted)
    assert label_metrics.joint_exact_match([SLOTS, swapped]).value == 0
    with pytest.raises(UsageError, match="columns have different sentences"):
        label_metrics.joint_exact_match([SLOTS, TOPICS])
    with pytest.raises(UsageError, match="needs a column"):
        label_metrics.joint_exact_match([])


@pytest.mark.parametrize("given, message", [
    ({"level": "page"}, "labels of a page"),
    ({"level": "word", "multi_label": True}, "one label in each column"),
    ({"level": "word", "symbols": [["a"]]}, "error rates need"),
])  # fmt: skip
def test_what_does_not_fit_together_is_an_error(given, message):
    with pytest.raises(UsageError, match=message):
        label_metrics.Predictions(gold=[], predicted=[], **given)
