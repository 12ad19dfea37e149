import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import CountedMetric, ratio
from rnnlm.tasks.labelling.evaluation.label_metrics import (
    accuracy_counts,
    by_class,
    label_counts,
    macro_f1,
)

GOLD = ["DET NOUN VERB".split(), ["NOUN"], []]
PREDICTED = ["DET NOUN NOUN".split(), ["VERB"], []]


def test_accuracy_of_all_known_and_unknown_words():
    assert CountedMetric(accuracy_counts(GOLD, PREDICTED), ratio).value == 2 / 4
    known = [[True, True, True], [False], []]
    assert CountedMetric(accuracy_counts(GOLD, PREDICTED, known), ratio).value == 2 / 3
    assert (
        CountedMetric(
            accuracy_counts(GOLD, PREDICTED, [[not each for each in row] for row in known]), ratio
        ).value
        == 0
    )
    found = CountedMetric(accuracy_counts(GOLD, PREDICTED, [[False] * 3, [False], []]), ratio).value
    assert found is None


def test_metrics_by_label_worked_out_by_hand():
    counts = label_counts(GOLD, PREDICTED)
    found = {
        name: (each.precision, each.recall, each.f1) for name, each in by_class(counts).items()
    }
    assert found == {"DET": (1, 1, 1), "NOUN": (1 / 2, 1 / 2, 1 / 2), "VERB": (0, 0, 0)}
    assert CountedMetric(counts, macro_f1).value == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_known_words_of_another_text_are_an_error():
    with pytest.raises(UsageError, match="and the labels have different lengths"):
        accuracy_counts(GOLD, PREDICTED, [[True], [True], []])
