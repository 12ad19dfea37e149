import itertools
import json
import math
import random
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import pytest

from reference import label_spans
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.tasks.common.counted_metrics import CountedMetric, SentenceCounts, ratio
from rnnlm.tasks.labelling.evaluation import label_metrics
from rnnlm.tasks.labelling.evaluation.label_metrics import (
    GOLD,
    OTHERS,
    PREDICTED,
    RIGHT,
    accuracy_counts,
    by_class,
    calibration_counts,
    confusion,
    expected_error,
    f1,
    macro_f1,
    plot,
    precision,
    recall,
    span_counts,
    spans,
)
from rnnlm.tasks.labelling.formats import schemes
from support.pictures import faults_of

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
PRONUNCIATIONS = [[["K", "AE", "T"]], [["HH", "AY"], ["HH", "EY"]]]
GUESSES = [["K", "T"], ["HH", "EY"]]
SOUNDS = label_metrics.Predictions("word", [], [], references=PRONUNCIATIONS, symbols=GUESSES)


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
        "words": 5, "words_unknown": 1, "accuracy": 0.8, "accuracy_known": 1, "accuracy_unknown": 0,
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "macro_f1": pytest.approx(1 / 3),
        "exact_match": 0.5, "ece": pytest.approx(0.1), "unseen_labels": {"B-day": 1},
        "unseen_count": 1,
    }  # fmt: skip


def test_texts_of_one_or_several_labels_have_their_metrics():
    found = figures(INTENT)
    assert (found["accuracy"], found["macro_f1"]) == pytest.approx((1 / 2, (2 / 3 + 0) / 2))
    assert {
        "f1", "exact_match", "words", "mode", "ece", "unseen_labels", "word_error_rate",
    }.isdisjoint(found)  # fmt: skip
    assert found["sentences"] == 2 and list(found["by_type"]) == ["fare", "flight"]
    found = figures(TOPICS)
    assert (found["exact_match"], found["f1"]) == pytest.approx((2 / 3, 2 * 3 / (4 + 3)))
    assert (found["precision"], found["recall"]) == pytest.approx((3 / 4, 1))
    assert found["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert found["unseen_labels"] == {"a": 2} and "accuracy" not in found


def test_letters_to_sounds_have_error_rates():
    assert figures(SOUNDS) == {
        "task": "tagging", "column": "", "scheme": "none", "sentences": 2, "words": 0,
        "by_type": {}, "word_error_rate": 1 / 2, "symbol_error_rate": 1 / 5,
    }  # fmt: skip
    labels = ([["K", "AE", "T"]], [["K", "_", "T"]])
    given = {"references": PRONUNCIATIONS[:1], "symbols": GUESSES[:1]}
    aligned = label_metrics.Predictions("word", *labels, **given)
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


TAGS = ["DET NOUN VERB".split(), ["NOUN"], []]
GUESSED = ["DET NOUN NOUN".split(), ["VERB"], []]


def test_accuracy_of_all_known_and_unknown_words():
    assert CountedMetric(accuracy_counts(TAGS, GUESSED), ratio).value == 2 / 4
    known = [[True, True, True], [False], []]
    assert CountedMetric(accuracy_counts(TAGS, GUESSED, known), ratio).value == 2 / 3
    unknown = [[not each for each in row] for row in known]
    assert CountedMetric(accuracy_counts(TAGS, GUESSED, unknown), ratio).value == 0
    found = CountedMetric(accuracy_counts(TAGS, GUESSED, [[False] * 3, [False], []]), ratio).value
    assert found is None


def random_labels(
    seed: int, prefixes: str, count: int = 400, types: str = "XYZ"
) -> tuple[list[list[str]], list[list[str]]]:
    """Draw sentences of labels in any order, and predictions that often agree with them."""
    rng = random.Random(seed)

    def label() -> str:
        prefix = rng.choice(prefixes)
        return prefix if prefix in "O." else f"{prefix}-{rng.choice(types)}"

    gold = [[label() for _ in range(rng.randint(0, 9))] for _ in range(count)]
    predicted = [[each if rng.random() < 0.7 else label() for each in labels] for labels in gold]
    return gold, predicted


def counters(counts: SentenceCounts) -> tuple[Counter, ...]:
    sums_KC = counts.sums()[:, 0]
    return tuple(
        +Counter(dict(zip(counts.classes, sums_KC[kind].astype(int).tolist(), strict=True)))
        for kind in (RIGHT, PREDICTED, GOLD)
    )


@pytest.mark.parametrize(
    "prefixes, scheme", [("BIO", "bio"), ("OIIB", "iob1"), ("BIOE", "iob1"), ("BIOES.Q", "bio")]
)
def test_span_counts_match_conlleval(prefixes, scheme):
    gold, predicted = random_labels(len(prefixes), prefixes)
    expected = label_spans.conlleval(gold, predicted)
    assert counters(span_counts(gold, predicted, scheme)) == expected
    assert all(expected[RIGHT][name] for name in "XYZ")


@pytest.mark.parametrize(
    "scheme, labels", [("bio", "O B-X I-X B-Y I-Y B I"), ("iob1", "O B-X I-X B-Y I-Y I")]
)
def test_spans_are_evaluated_as_in_training(scheme, labels):
    for sentence in itertools.product(labels.split(), repeat=4):
        assert spans(sentence, scheme) == schemes.spans(sentence, scheme)


def test_bioes_is_counted_as_bio_and_an_orphan_i_begins_a_span():
    gold, predicted = random_labels(5, "BIOES")
    both = json.dumps([gold, predicted]).replace("S-", "B-").replace("E-", "I-")
    expected = label_spans.conlleval(*json.loads(both))
    assert counters(span_counts(gold, predicted, "bioes")) == expected
    labels = "O I-LOC I-LOC I-PER B-PER O".split()
    assert spans(labels, "bio") == [(1, 3, "LOC"), (3, 4, "PER"), (4, 5, "PER")]


def test_metrics_of_spans_worked_out_by_hand():
    """Gold 3 PER and 1 LOC; predicted 2 PER, of which 1 is right, 1 LOC, right, and 1 ORG, which is
    not there."""
    gold = ["B-PER I-PER O B-LOC".split(), "B-PER O B-PER".split()]
    predicted = ["B-PER O O B-LOC".split(), "B-PER O B-ORG".split()]
    counts = span_counts(gold, predicted, "bio")
    found = [CountedMetric(counts, its).value for its in (precision, recall, f1, macro_f1)]
    assert found == pytest.approx([2 / 4, 2 / 4, 0.5, (2 / 5 + 1 + 0) / 3])
    per = by_class(counts)["PER"]
    assert (per.right, per.predicted, per.gold) == (1, 2, 3)
    assert (per.precision, per.recall, per.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert list(by_class(counts)) == ["LOC", "ORG", "PER"] and by_class(counts)["ORG"].recall == 0
    assert CountedMetric(span_counts([["O"]], [["O"]], "bio"), f1).value == 0


def test_labels_that_do_not_fit_are_an_error():
    with pytest.raises(UsageError, match="labels of scheme none are not spans"):
        spans(["NOUN"], "none")
    with pytest.raises(UsageError, match="1 gold sentences and 2 predicted"):
        span_counts([["O"]], [["O"], ["O"]], "bio")
    with pytest.raises(UsageError, match="sentence 2 has 1 gold labels and 2 predicted"):
        span_counts([["O"], ["O"]], [["O"], ["O", "O"]], "bio")
    with pytest.raises(UsageError, match="and the labels have different lengths"):
        accuracy_counts(TAGS, GUESSED, [[True], [True], []])


LABELS = ["N N N V".split(), "V V A".split()]
CONFUSED = ["N V V V".split(), "V N X".split()]


def test_matrix_counts_predictions_and_joins_the_rarest_labels():
    found = confusion(LABELS, CONFUSED)
    assert found.labels == ("N", "V", "A", "X")  # X is predicted only
    assert found.counts_KK.tolist() == [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.most_frequent() == [("N", "V", 2), ("V", "N", 1), ("A", "X", 1)]
    assert found.most_frequent(1) == [("N", "V", 2)]
    joined = confusion(LABELS, CONFUSED).joined(3)
    assert joined.labels == ("N", "V", OTHERS)
    assert joined.counts_KK.tolist() == [[1, 2, 0], [1, 2, 0], [0, 0, 1]]


def test_the_plot_names_labels_and_shows_counts(tmp_path):
    plotting.save(plot(confusion(LABELS, CONFUSED), "upos"), tmp_path / "confusion.svg")
    root = ElementTree.parse(tmp_path / "confusion.svg").getroot()
    texts = [each.strip() for each in root.itertext()]
    assert {"gold label", "predicted label", "N", "V", "A", "X", "1", "2"} <= set(texts)
    assert any(text.startswith("upos: ") for text in texts)
    assert faults_of(plot(confusion(LABELS, CONFUSED))) == []
    many = [[f"L{k}" for k in np.random.default_rng(1).integers(0, 99, 300)]]
    drawn = plot(confusion(many, many))
    assert faults_of(drawn) == []
    assert OTHERS in [label.get_text() for label in drawn.axes[0].get_xticklabels()]


def ece(right, probabilities):
    gold = [["a"] * len(row) for row in right]
    predicted = [["a" if each else "b" for each in row] for row in right]
    return CountedMetric(calibration_counts(gold, predicted, probabilities), expected_error).value


def test_expected_calibration_error_worked_out_by_hand():
    """Bins of 1/15: (0.9333, 1] holds 0.95, 0.97 and 1.0, two of which are right; (0.4667, 0.5333]
    holds 0.5, which is right; 0.6 = 9/15 is the upper end of (8/15, 9/15] and shares it with 0.55:
    one of the two is right."""
    error = ece([[1, 0], [1, 1], [0, 1]], [[0.95, 0.97], [1.0, 0.5], [0.6, 0.55]])
    assert error == pytest.approx((abs(2 - 2.92) + abs(1 - 0.5) + abs(1 - 1.15)) / 6)
    assert ece([[1, 1, 1, 0]], [[0.75] * 4]) == pytest.approx(0)
    assert ece([[0, 1]], [[0.0, 1.0]]) == 0
    assert ece([[]], [[]]) is None


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_an_error(probability):
    with pytest.raises(UsageError, match="not between 0 and 1"):
        ece([[1]], [[probability]])
    with pytest.raises(UsageError, match="numbers of probabilities and labels differ"):
        ece([[1]], [[0.5, 0.5]])
