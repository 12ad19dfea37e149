"""Models of users, which may keep the protocol alone: all that it is enough for works."""

from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.evaluation.soundness import audit, probabilities_sum_to_one
from rnnlm.interface import HiddenStateModel, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.ngram.arpa.writing import export_arpa
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.scoring.generation.search import next_words
from rnnlm.tasks.labelling.tagging import tag
from rnnlm.tools.inspection.memory import inspect_memory
from rnnlm.tools.mixtures.adaptation import adapt
from rnnlm.tools.mixtures.adapted_model import AdaptedModel
from rnnlm.tools.vectors.word_vectors import word_vectors
from support.tiny_models import HELD_OUT, LINES, Lines, fit

PROTOCOL = [name for name in vars(LanguageModel) if not name.startswith("_")]
OF_HIDDEN_STATES = [name for name in vars(HiddenStateModel) if not name.startswith("_")]
TEXT = Lines(HELD_OUT)


class UsersModel:
    """A model that has the members of its protocol, and nothing else."""

    def __init__(self, model, names):
        for name in (*names, "fingerprint"):
            setattr(self, name, getattr(model, name))


def entropies(model):
    scores = rnnlm.Model(model).score_sentences(LINES, words=True, measures=["entropy"])
    return [word.entropy_bits for score in scores for word in score.word_scores]


def word_by_word(scorer):
    state, found = scorer.begin(), []
    for word in ("the", "cat", "sat"):
        logprob, state = scorer.extend(state, word)
        found.append(logprob)
    return found


@pytest.fixture(scope="module")
def trigrams():
    return fit("ngram", order=3)


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.mark.parametrize("ask", [
    lambda model: evaluate(model, TEXT).ppl_token,
    lambda model: [each.logprob_nats for each in rnnlm.Model(model).score_sentences(LINES)],
    lambda model: entropies(model), lambda model: word_by_word(rnnlm.Model(model).scorer()),
    lambda model: [each.probability for each in next_words(model, "the ")],
    lambda model: evaluate(adapt(model, "unigram"), TEXT).ppl_token,
    lambda model: inspect_memory({"it": model}, TEXT).models[0].seen[-1].perplexity,
])  # fmt: skip
@pytest.mark.parametrize("names", [PROTOCOL, [*PROTOCOL, *OF_HIDDEN_STATES]])
def test_a_users_model_gives_the_same_numbers(ask, names, trigrams, lstm):
    model = lstm if "hidden" in names else trigrams
    assert ask(UsersModel(model, names)) == pytest.approx(ask(model), rel=1e-5)


@pytest.mark.parametrize(("ask", "message"), [
    (lambda model: word_vectors(model), "this model has no word vectors"),
    (lambda model: rnnlm.Model(model).embed(["the cat"]), "this model has no vectors of text"),
    (lambda model: export_arpa(model, Path("a.arpa")), "this model has no ARPA form"),
    (lambda model: adapt(model, "cache"), "this model cannot be adapted in this way"),
    (lambda model: adapt(model, "dynamic"), "this model cannot be adapted in this way"),
    (lambda model: [*audit(model)], "this model has no folder"),
    (lambda model: tag(model, ["the cat"]), "this model is a language model"),
])  # fmt: skip
def test_what_a_users_model_lacks_is_said(ask, message, trigrams):
    with pytest.raises(rnnlm.RnnlmError, match=message):
        ask(UsersModel(trigrams, PROTOCOL))


def test_a_users_hidden_states_are_used(lstm):
    theirs = UsersModel(lstm, [*PROTOCOL, *OF_HIDDEN_STATES])
    cached = [evaluate(adapt(each, "cache"), TEXT).ppl_token for each in (theirs, lstm)]
    assert cached[0] == pytest.approx(cached[1], rel=1e-5)
    with pytest.raises(rnnlm.RnnlmError, match="this model cannot be adapted in this way"):
        adapt(theirs, "dynamic")


def test_what_a_users_model_offers_is_taken(trigrams):
    class Offering(UsersModel):
        description = "a table"
        calls = 0

        def incremental(self):
            self.calls += 1
            return trigrams.incremental()

        def contexts(self, most, generator):
            return [np.zeros((1, 1), dtype=np.int64)], True

    theirs = Offering(trigrams, PROTOCOL)
    rnnlm.Model(theirs).scorer()
    assert theirs.calls == 1
    [sums] = probabilities_sum_to_one(theirs, None, 0)
    assert sums.detail.startswith("all 1 contexts")
    with pytest.raises(rnnlm.RnnlmError, match="a table cannot be adapted in this way"):
        adapt(theirs, "cache")


def test_our_models_answer_for_themselves(trigrams, lstm):
    mixture = fit("mixture", parts=(("lstm", {}), ("ngram", {"order": 2})), weights=(0.5, 0.5))
    adapted = adapt(lstm, "unigram")
    models = [trigrams, fit("unigram"), lstm, mixture, adapted]
    kinds = ["ngram", "unigram", "lstm", "mixture", "lstm"]
    assert [loading.kind_of(model) for model in models] == kinds
    assert [loading.task_of(model) for model in models] == ["language-model"] * 5
    classes = {NgramModel: trigrams, NeuralLanguageModel: lstm, HiddenStateModel: lstm}
    for cls, of_class in {**classes, AdaptedModel: adapted}.items():
        assert [model for model in models if isinstance(model, cls)] == [of_class]
