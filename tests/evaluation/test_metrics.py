"""One number: how it is shown, and which direction is better."""

import pickle

import pytest

from rnnlm.amounts import amount
from rnnlm.errors import UsageError
from rnnlm.evaluation.metrics import Metric, error_counts, symbol_error_rate, word_error_rate
from rnnlm.evaluation.perplexity import TEXT_METRICS
from rnnlm.evaluation.resampling import CountedMetric


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_each_metric_has_its_unit_and_can_be_sent_to_another_process():
    from rnnlm.tasks.labelling.evaluation.label_metrics import LABEL_METRICS
    from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS

    expected = ["50.00", "0.50", "0.50"]
    definitions = (LABEL_METRICS["f1"], TRANSLATION_METRICS["bleu"], TEXT_METRICS["ppl_token"])
    assert [Metric(definition, 0.5).shown() for definition in definitions] == expected
    assert Metric(TEXT_METRICS["bits_per_char"], 1.23456).shown(4) == "1.2346"
    assert [amount(each) for each in (None, 2e9, 12345.6)] == ["-", "2e+09", "12,345.60"]
    assert LABEL_METRICS["f1"].higher_is_better and not LABEL_METRICS["ece"].higher_is_better
    for table in (LABEL_METRICS, TEXT_METRICS, TRANSLATION_METRICS):
        assert pickle.loads(pickle.dumps(table)) == table


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
