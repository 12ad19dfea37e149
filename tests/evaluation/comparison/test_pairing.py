"""Metrics of models are paired by column and name, if they were measured alike."""

from dataclasses import fields, replace

import numpy as np
import pytest

from rnnlm.errors import ComparisonError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.pairing import ComparableMetrics, check_signatures
from rnnlm.evaluation.comparison.verdict import Contrast, figure_of
from rnnlm.evaluation.metrics import Metric, intervals_of
from rnnlm.evaluation.perplexity import TEXT_METRICS, LineSums, PerEvent
from rnnlm.evaluation.resampling import Interval, Resampling
from rnnlm.lm.base import span_scoring
from rnnlm.tasks.labelling.evaluation import label_metrics
from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS, TranslationSignature
from support.tiny_models import Lines, fit

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq")

F1 = label_metrics.LabelSignature("f1", mode="conlleval", scheme="bio", data="d1", model="m1")
BLEU = TranslationSignature("bleu", case="kept", data="d1", beam="1", model="m1")
NAMES = ("a", "b")


def metric(signature) -> Metric:
    definition = {**label_metrics.LABEL_METRICS, **TRANSLATION_METRICS}[signature.metric]
    return Metric(definition, 0.5, str(signature))


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


# ---- What a comparison comes to, in a sentence.


NONE = "95 % interval -0.0020 to 0.0040."
FEW = "kn5 has +0.75 bits a token relative to demo, 95 % interval"
BY = "by 0.75 bits a token, 95 % interval 0.72 to 0.78."


@pytest.mark.parametrize("interval, better, differing, sentence", [
    (Interval(0.75, 0.72, 0.78), "demo", 6, f"demo is better than kn5 {BY}"),
    (Interval(0.75, 0.72, 0.78), "kn5", 9, f"kn5 is better than demo {BY}"),
    (Interval(-0.751, -0.78, -0.72), "kn5", 6, f"kn5 is better than demo {BY}"),
    (Interval(0.001, -0.002, 0.004), None, 6,
     f"no significant difference: kn5 has +0.0010 bits a token relative to demo, {NONE}"),
    (Interval(0.75, 0.72, 0.78), None, 5,
     f"no verdict, as fewer than 6 units differ (5): {FEW} 0.72 to 0.78."),
    (Interval(0.75, None, None, why="all units agree"), None, 9,
     f"no significant difference: {FEW} none: all units agree."),
])  # fmt: skip
def test_a_verdict_names_the_better_model(interval, better, differing, sentence):
    contrast = Contrast("demo", "kn5", "bits a token", interval, False, better, differing)
    assert contrast.verdict == sentence
    figure_of([contrast])


def test_without_an_interval_nothing_is_compared():
    contrast = Contrast("demo", "mle", "bits a token", None)
    assert "cannot be compared by bits a token" in contrast.verdict
    assert figure_of([contrast]) is None


LINES = ["the cat sat", "a z\u00ebbra sat  down", "zebra zebra", "the dog"]


def sums(model, lines=LINES):
    text = Lines(lines)
    encoded = text.encode(model.tokenizer)
    logprob_N = span_scoring.score_spans(model, encoded.ids, perplexity.spans_of(encoded, "carry"))
    whole = perplexity.text_evaluation(model, logprob_N, encoded, "carry", 0.0)
    return LineSums.of(encoded, logprob_N), whole


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "char"}, {"tokenizer": "byte"}])
def test_what_lines_add_makes_the_evaluation(settings):
    found, whole = sums(fit("unigram", **settings))
    assert found.logprob_S.sum() == pytest.approx(whole.logprob_nats)
    for name in ("tokens", "characters", "bytes"):
        assert getattr(found, f"{name}_S").sum() == getattr(whole, name)
    assert found.words_S.tolist() == [4, 5, 3, 3]
    found = intervals_of(whole.metrics, Resampling(block_lines=3))
    values = {each.name: each.value for each in whole.metrics if each.value is not None}
    assert {name: each.estimate for (_, name), each in found.items()} == pytest.approx(values)


def test_interval_with_unrepresentable_bounds_is_omitted():
    logprob_S = np.array([-1.0] * 4 + [-2000.0])
    counts = dict.fromkeys([field.name for field in fields(LineSums)], np.ones(5))
    no_oov = {"logprob_S": logprob_S, "logprob_no_oov_S": logprob_S, "oov_S": np.zeros(5)}
    huge = LineSums(**counts | no_oov)
    counted = PerEvent(huge, TEXT_METRICS["ppl_token"])
    assert counted.interval(Resampling(200, block_lines=1)) is None
