"""Rates of errors of sequences, by the nearest reference."""

import pytest

from rnnlm.errors import UsageError
from rnnlm.tasks.common.counted_metrics import (
    CountedMetric,
    error_counts,
    symbol_error_rate,
    word_error_rate,
)


def rates(references, predicted):
    its = error_counts(
        [[each.split() for each in row] for row in references], [each.split() for each in predicted]
    )
    return CountedMetric(its, word_error_rate).value, CountedMetric(its, symbol_error_rate).value


def test_rates_worked_out_by_hand():
    """Right by its second reference (4 symbols); one substitution in 3 symbols; all 2 symbols
    deleted."""
    references = [["T AH M EY T OW", "R IY D S"], ["K AE T"], ["HH AY"]]
    assert rates(references, ["R IY D S", "K AH T", ""]) == pytest.approx((2 / 3, 3 / 9))
    for references in (["A B", "A B C D"], ["A B C D", "A B"]):
        assert rates([references], ["A B C"]) == (1, 1 / 4)
    assert rates([], []) == (None, None)
    assert rates([[""]], [""]) == (0, None)
    assert rates([["A"]], ["B C D"]) == (1, 3)


@pytest.mark.parametrize("references, message", [
    ([[]], "word 1 has no reference"), ([["A"], ["B"]], "for 2 words and predictions for 1"),
])  # fmt: skip
def test_words_without_reference_or_prediction_are_an_error(references, message):
    with pytest.raises(UsageError, match=message):
        rates(references, ["A"])
