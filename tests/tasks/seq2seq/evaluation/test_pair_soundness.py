"""What `rnnlm doctor` finds out about an encoder-decoder."""

import dataclasses

import pytest

from rnnlm.tasks.seq2seq.evaluation import evaluation
from support.tiny_seq2seq import tiny_model


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
