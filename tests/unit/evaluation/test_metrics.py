"""One number: how it is shown, and which direction is better."""

from rnnlm.evaluation.metrics import Metric, shown


def test_each_metric_is_shown_in_its_unit():
    expected = ["50.00", "0.50", "0.50"]
    assert [Metric(name, 0.5).shown() for name in ("f1", "bleu", "ppl_token")] == expected
    assert Metric("bits_per_char", 1.23456).shown(4) == "1.2346"
    assert shown(None) == "-" and shown(2e9) == "2e+09" and shown(12345.6) == "12,345.60"
    assert Metric("ece", 0.1).higher_is_better is False and Metric("f1", 0.1).higher_is_better
