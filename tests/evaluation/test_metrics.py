"""One number: how it is shown, and which direction is better."""

import pickle

import pytest

from rnnlm.amounts import amount
from rnnlm.evaluation.metrics import Metric
from rnnlm.evaluation.perplexity import TEXT_METRICS


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
