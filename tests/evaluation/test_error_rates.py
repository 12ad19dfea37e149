import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.error_rates import error_counts, symbol_error_rate, word_error_rate
from rnnlm.evaluation.resampling import CountedMetric


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


def test_longest_of_equally_near_references_counts():
    assert (
        rates([["A B", "A B C D"]], ["A B C"])
        == rates([["A B C D", "A B"]], ["A B C"])
        == (1, 1 / 4)
    )


def test_empty_rate_is_none_and_insertions_exceed_one():
    assert rates([], []) == (None, None)
    assert rates([[""]], [""]) == (0, None)
    assert rates([["A"]], ["B C D"]) == (1, 3)


@pytest.mark.parametrize(
    "references, message",
    [([[]], "word 1 has no reference"), ([["A"], ["B"]], "for 2 words and predictions for 1")],
)
def test_words_without_reference_or_prediction_are_an_error(references, message):
    with pytest.raises(UsageError, match=message):
        rates(references, ["A"])
