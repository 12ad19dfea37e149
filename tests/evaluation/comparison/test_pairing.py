"""Metrics of models are paired by column and name, and refused where they were measured in another
way."""

from dataclasses import replace

import pytest

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.pairing import ComparableMetrics, check_signatures
from rnnlm.evaluation.metrics import Metric
from rnnlm.evaluation.resampling import Resampling
from rnnlm.tasks.labelling.evaluation import label_metrics
from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS, TranslationSignature

GOLD = [["B-X", "O"], ["O", "B-Y"], ["B-X", "I-X"]] * 4
FIRST = label_metrics.Predictions("word", GOLD, [["O", "O"], *GOLD[1:-1], ["O", "O"]], scheme="bio")
SECOND = label_metrics.Predictions(
    "word", GOLD, GOLD, scheme="bio", probabilities=[[0.9, 0.9]] * 12
)
F1 = label_metrics.LabelSignature("f1", mode="conlleval", scheme="bio", data="d1", model="m1")
BLEU = TranslationSignature("bleu", case="kept", data="d1", beam="1", model="m1")
NAMES = ("a", "b")


def metric(signature) -> Metric:
    definition = {**label_metrics.LABEL_METRICS, **TRANSLATION_METRICS}[signature.metric]
    return Metric(definition, 0.5, str(signature))


def test_metric_difference_is_second_minus_first():
    ours, theirs = label_metrics.measures(FIRST), label_metrics.measures(SECOND)
    found = {name: ours[name].difference(theirs[name], Resampling(50)) for name in ours}
    assert found["accuracy"].interval.estimate == pytest.approx(3 / 24)
    assert found["exact_match"].interval.estimate == pytest.approx(2 / 12)
    assert found["exact_match"].p == 0.5
    assert found["precision"].interval.estimate == 0 and found["precision"].p == 1


@pytest.mark.parametrize(("part", "value"), [
    ("mode", "strict"), ("scheme", "iob1"), ("data", "d2"), ("column", "slots"),
])  # fmt: skip
def test_a_metric_counted_otherwise_is_refused(part, value):
    other = metric(replace(F1, **{part: value}))
    with pytest.raises(ComparisonError, match=f"their signatures differ in {part}") as it:
        check_signatures(NAMES, metric(F1), other, ComparableMetrics(("f1",), "f1"))
    assert f"{part}:{value} for b" in it.value.why


def test_how_lines_were_decoded_may_differ():
    wide = metric(replace(BLEU, beam="5", model="m2"))
    alike = ComparableMetrics(("bleu",), "bleu", may_differ=TranslationSignature.may_differ)
    check_signatures(NAMES, metric(BLEU), wide, alike)
    check_signatures(NAMES, metric(F1), metric(replace(F1, model="m2")), ComparableMetrics((), ""))
    with pytest.raises(ComparisonError, match="differ in case"):
        check_signatures(NAMES, wide, metric(replace(BLEU, case="lower")), alike)
