import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.resampling import CountedMetric
from rnnlm.tasks.labelling.evaluation.label_metrics import calibration_counts, expected_error


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


def test_perfectly_calibrated_labels_have_no_error():
    assert ece([[1, 1, 1, 0]], [[0.75] * 4]) == pytest.approx(0)
    assert ece([[0, 1]], [[0.0, 1.0]]) == 0
    assert ece([[]], [[]]) is None


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_an_error(probability):
    with pytest.raises(UsageError, match="not between 0 and 1"):
        ece([[1]], [[probability]])
    with pytest.raises(UsageError, match="numbers of probabilities and labels differ"):
        ece([[1]], [[0.5, 0.5]])
