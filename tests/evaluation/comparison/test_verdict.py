"""What a comparison comes to, in a sentence."""

import pytest

from rnnlm.evaluation.comparison.verdict import Contrast, figure_of
from rnnlm.evaluation.resampling import Interval


@pytest.mark.parametrize(
    "interval, higher, sentence",
    [
        (
            Interval(0.75, 0.72, 0.78),
            False,
            "demo is better than kn5 by 0.75 bits a token, 95 % interval 0.72 to 0.78.",
        ),
        (
            Interval(0.75, 0.72, 0.78),
            True,
            "kn5 is better than demo by 0.75 bits a token, 95 % interval 0.72 to 0.78.",
        ),
        (
            Interval(-0.751, -0.78, -0.72),
            False,
            "kn5 is better than demo by 0.75 bits a token, 95 % interval 0.72 to 0.78.",
        ),
        (
            Interval(0.001, -0.002, 0.004),
            False,
            (
                "no significant difference: kn5 has +0.0010 bits a token relative to demo, 95 % "
                "interval -0.0020 to 0.0040."
            ),
        ),
    ],
)
def test_a_verdict_names_the_better_model(interval, higher, sentence):
    contrast = Contrast("demo", "kn5", "bits a token", interval, higher)
    assert contrast.verdict == sentence


def test_without_an_interval_nothing_is_compared():
    contrast = Contrast("demo", "mle", "bits a token", None)
    assert "cannot be compared by bits a token" in contrast.verdict
    assert figure_of([contrast]) is None
