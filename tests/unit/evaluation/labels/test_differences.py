from dataclasses import replace

import pytest

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.labels import Predictions, differences

GOLD = [["B-X", "O"], ["O", "B-Y"], ["B-X", "I-X"]] * 4
FIRST = Predictions("tagging", GOLD, [["O", "O"], *GOLD[1:-1], ["O", "O"]], scheme="bio")
SECOND = Predictions("tagging", GOLD, GOLD, scheme="bio", probabilities=[[0.9, 0.9]] * 12)


def test_every_figure_that_both_have_differs_by_what_the_second_has_more():
    found = differences(FIRST, SECOND, resamples=50, permutations=50)
    assert list(found) == ["accuracy", "precision", "recall", "f1", "macro_f1", "exact_match"]
    assert found["accuracy"].interval.estimate == pytest.approx(3 / 24)
    assert (
        found["exact_match"].interval.estimate == pytest.approx(2 / 12)
        and found["exact_match"].p == 0.5
    )
    assert found["precision"].interval.estimate == 0 and found["precision"].p == 1


@pytest.mark.parametrize("other, message", [
    (replace(SECOND, mode="strict"), "two ways to count spans: conlleval and strict"),
    (replace(SECOND, scheme="iob1"), "two schemes"),
    (replace(SECOND, gold=[["O", "O"], *GOLD[1:]]), "the gold labels differ"),
])  # fmt: skip
def test_figures_of_other_labels_or_counted_otherwise_do_not_compare(other, message):
    with pytest.raises(ComparisonError, match=message):
        differences(FIRST, other)


def test_gold_labels_may_be_lists_or_tuples():
    assert differences(
        FIRST, replace(SECOND, gold=tuple(map(tuple, GOLD))), resamples=9, permutations=9
    )
