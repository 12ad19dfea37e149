"""Encoder-decoders compared on the same pairs, and what `rnnlm doctor` finds out about them."""

import dataclasses
import math

import pytest

import rnnlm
from rnnlm.errors import ComparisonError, UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.tasks.common.counted_metrics import paired_difference
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.evaluation import evaluation
from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS, measures
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from support.tiny_models import make_tokenizer
from support.tiny_seq2seq import TARGET, tiny_model
from support.tiny_translators import parallel_text

ROWS = [
    ("the cat sat", "le chat est assis"), ("a dog", "un chien"), ("on the mat", "la chatte"),
    ("a dog", "la chatte est assis"),
] * 3  # fmt: skip
FEW = ComparisonSettings(resamples=50)


@pytest.fixture(scope="module")
def models():
    return [tiny_model(), tiny_model(model="gru", attention="dot", decoder_hidden_size=6)]


@pytest.fixture(scope="module")
def found(models):
    return rnnlm.compare(models, parallel_text(ROWS), settings=FEW, names=["a", "b"])


def with_target(model, words, **settings):
    """Return the same network, writing words of another vocabulary."""
    codec = PairCodec(model.codec.source, make_tokenizer(words, **settings))
    return Seq2SeqModel(model.network, codec)


def test_metrics_differ_as_the_models_do(found):
    first, second = (each.evaluation.written for each in found.models)
    by_metric = {each.metric: each for each in found.differences}
    differences = {name: by_metric[name] for name in TRANSLATION_METRICS}
    for name, each in differences.items():
        expected = pytest.approx(getattr(second.figures, name) - getattr(first.figures, name))
        assert each.difference == expected
        assert each.low is None or each.low <= each.difference <= each.high
    counts = [measures(each.translations)["bleu"] for each in (first, second)]
    bleu = paired_difference(*counts, permutations=50)
    its = differences["bleu"]
    assert (its.interval, its.p, its.units_differing) == (bleu.interval, bleu.p, bleu.differing)
    assert found.models[0].intervals["", "chrf"].estimate == pytest.approx(first.figures.chrf)


def test_perplexities_differ_in_bits_for_equal_tokens(found):
    first, second = (each.evaluation.references for each in found.models)
    difference = found.differences[0]
    assert difference.unit == "bits per token" and not found.refused
    expected = pytest.approx(math.log2(second.ppl_token / first.ppl_token))
    assert difference.difference == expected
    assert difference.ppl_ratio == pytest.approx(second.ppl_token / first.ppl_token)
    interval = found.models[1].intervals["", "ppl_token"]
    assert interval.estimate == second.ppl_token and interval.why == "fewer than 5 units"


def test_models_with_other_tokens_compare_by_output(models):
    other = with_target(models[0], ["la chatte est un chien", "le chat noir"])
    found = rnnlm.compare([models[0], other], parallel_text(ROWS), settings=FEW, names=["a", "b"])
    metrics = {each.metric for each in found.differences}
    assert metrics == {"ppl_adjusted", *TRANSLATION_METRICS}
    assert "unknown words are other events" in found.refused[0].why


def test_one_lower_case_model_makes_comparison_ignore_case(models):
    lowering = with_target(models[0], TARGET.symbols()[2:], lowercase=True)
    text = parallel_text([("a dog", "Un chien")])
    found = rnnlm.compare([models[0], lowering], text, settings=FEW, names=["a", "b"])
    assert all(each.evaluation.written.figures.lowercase for each in found.models)
    assert "case:kept for a, case:lower for b" in found.refused[0].why


def test_models_of_other_pairs_or_tasks_are_refused(models, translator, tagger):
    with pytest.raises(ComparisonError, match="fra is an encoder-decoder"):
        rnnlm.compare([translator.folder, tagger.folder], "none")
    with pytest.raises(UsageError, match="at least two models"):
        rnnlm.compare(models[:1], parallel_text(ROWS))
    with pytest.raises(UsageError, match="train= needs a language model"):
        rnnlm.compare(models, parallel_text(ROWS), train="none")
    with pytest.warns(rnnlm.RnnlmWarning, match="a and b were trained on this very text"):
        rnnlm.compare([translator.folder] * 2, translator.train, names=["a", "b"], settings=FEW)


def results(model):
    return {each.name: each.result for each in evaluation.checks(model, 6, seed=1)}


@pytest.fixture
def model():
    return tiny_model()


def test_a_model_is_sound_with_or_without_attention(model):
    for whole in (model, tiny_model(attention=None), tiny_model(input_feeding=True)):
        assert results(whole) == dict.fromkeys(("tokenizers", "sums", "padding", "greedy"), "ok")


def test_probabilities_not_summing_to_one_are_found(model):
    predicted = model.network.predict_features
    model.network.predict_features = lambda features_TBE: predicted(features_TBE) + 0.001
    assert results(model)["sums"] == "failed"


def test_a_source_misread_in_company_is_found(model):
    alone = model.states_of

    def beside_others(sources):
        longest = max(map(len, sources))
        state = alone(sources)
        tensors = tuple(tensor + 0.01 * (longest > len(sources[0])) for tensor in state.tensors)
        return dataclasses.replace(state, tensors=tensors)

    model.states_of = beside_others
    assert results(model)["padding"] == "failed"


def test_a_search_missing_the_likeliest_token_is_found(model, monkeypatch):
    found = evaluation.search

    def second_best(decoder, starts, settings):
        two = dataclasses.replace(settings, beam=2, nbest=2)
        return [texts[-1:] for texts in found(decoder, starts, two)]

    monkeypatch.setattr(evaluation, "search", second_best)
    assert results(model)["greedy"] == "failed"
