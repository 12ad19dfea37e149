"""Mixtures as a model: numbers worked out by hand, zeros, what they take from their parts."""

import math

import numpy as np
import pytest
import torch

from rnnlm.arrays import as_numpy
from rnnlm.errors import UsageError
from rnnlm.lm.base import span_scoring, stored_model
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.tools.mixtures.mixture import Mixture, mix_linear
from support.tiny_models import LINES, Lines, fit, make_tokenizer, save

TOKENIZER = make_tokenizer(["a b"])  # </s>, <unk>, a, b


def unigram(*probabilities: float) -> UnigramModel:
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log(np.array(probabilities)), TOKENIZER)


def probabilities(model) -> np.ndarray:
    logprob_BTV, _ = model.predict(np.zeros((1, 1), dtype=np.int64), model.initial_state(1))
    return np.exp(logprob_BTV[0, 0])


def scores(model, lines=LINES) -> np.ndarray:
    text = Lines(lines).encode(model.tokenizer)
    return span_scoring.score_spans(model, text.ids, span_scoring.whole_text(text.ids))


@pytest.mark.parametrize(("parts", "weights", "expected"), [
    ([(0.1, 0.2, 0.3, 0.4), (0.7, 0.1, 0.1, 0.1)], [0.25, 0.75], [0.55, 0.125, 0.15, 0.175]),
    # What one part holds impossible, the other does not.
    ([(0.25,) * 4, (0.5, 0.0, 0.25, 0.25)], [0.5, 0.5], [0.375, 0.125, 0.25, 0.25]),
    ([(1.0, 0.0, 0.0, 0.0)] * 2, [0.5, 0.5], [1, 0, 0, 0]),
    # A weight of zero leaves a part out, whatever it says.
    ([(0.1, 0.2, 0.3, 0.4), (math.nan, 0.0, 0.5, 0.5)], [1.0, 0.0], [0.1, 0.2, 0.3, 0.4]),
])  # fmt: skip
def test_probabilities_are_added_up_by_hand(parts, weights, expected):
    mixed = Mixture([unigram(*part) for part in parts], weights)
    assert probabilities(mixed) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["ngram", "lstm"])
def test_mixture_of_a_model_with_itself_is_unchanged(name):
    model = fit(name)
    mixed = Mixture([model, model, model], [0.2, 0.3, 0.5])
    np.testing.assert_allclose(scores(mixed), scores(model), atol=1e-5)
    low = np.array([-1000.0, -2000.0])  # nothing is lost far from zero
    assert mix_linear([low, low], [0.5, 0.5]) == pytest.approx(low)


def test_mixture_gives_numpy_if_all_parts_do():
    ids = np.array([[0, 2]])
    lstm, ngram = fit("lstm"), fit("ngram")
    counted, mixed = Mixture([ngram, ngram], [0.5, 0.5]), Mixture([lstm, ngram], [0.5, 0.5])
    assert isinstance(counted.score(ids, ids, counted.initial_state(1))[0], np.ndarray)
    scores, _ = mixed.score(ids, ids, mixed.initial_state(1))
    logprobs, _ = mixed.predict(ids, mixed.initial_state(1))
    for result in (scores, logprobs):
        assert isinstance(result, torch.Tensor) and result.dtype == torch.float32
    on_device = torch.as_tensor(ids)
    again, _ = mixed.score(on_device, on_device, mixed.initial_state(1))
    assert torch.equal(again, scores)


def test_a_mixture_takes_properties_and_states_from_its_parts():
    lstm, ngram, uni = fit("lstm"), fit("ngram"), fit("unigram")
    bare = fit("ngram", smoothing="stupid")
    mixed = Mixture([lstm, ngram], [0.5, 0.5])
    assert mixed.max_rows is None and mixed.call_tokens == lstm.call_tokens
    assert not mixed.boundary_resets_state and mixed.precision == "fp32"
    assert Mixture([uni, uni], [0.5, 0.5]).precision == "fp64"
    assert Mixture([uni, ngram], [0.5, 0.5]).boundary_resets_state
    assert not Mixture([ngram, bare], [0.5, 0.5]).normalised
    assert Mixture([ngram, bare], [1.0, 0.0]).normalised
    lstm.max_rows = 1
    assert mixed.max_rows == 1
    nested = Mixture([Mixture([fit("unigram"), fit("lstm")], [0.5, 0.5]), fit("ngram")], [0.5, 0.5])
    inner = {f"part_1.part_{name}" for name in ("1.rows", "2.state_0", "2.state_1")}
    assert nested.initial_state(2).to_arrays().keys() == {*inner, "part_2.inputs"}


def test_words_one_part_spells_are_unknown_to_others(tmp_path):
    settings = {"characters": "cnn", "character_filters": "3,4", "character_size": 5}
    save(tmp_path / "spelled", fit("lstm", **settings), "lstm", **settings)
    spelled, _ = stored_model.load(tmp_path / "spelled", "cpu")
    lines = ["the zebra sat", "a yak saw the zebra"]
    mixed = Mixture([fit("ngram"), spelled], [0.5, 0.5])
    assert mixed.tokenizer.spells
    assert (Lines(lines).encode(mixed.tokenizer).ids >= mixed.tokenizer.size).sum() == 3
    others = [line.replace("zebra", "gnu") for line in lines]
    assert not np.array_equal(scores(mixed, lines), scores(mixed, others))
    ngram_alone = Mixture([fit("ngram"), spelled], [1.0, 0.0])
    np.testing.assert_allclose(scores(ngram_alone, lines), scores(fit("ngram"), lines))


@pytest.mark.parametrize(("weights", "what"), [
    ([1.0], "1 weight for 2 models"), ([0.5, 0.25, 0.25], "3 weights for 2 models"),
    ([0.5, 0.6], "the weights 0.5, 0.6 are not valid for a mixture; their sum is 1.1"),
    ([1.5, -0.5], "the weights 1.5, -0.5 are not valid for a mixture; one is negative"),
    ([math.nan, 1.0], "the weights nan, 1 are not all numbers"),
    ([math.inf, 1.0], "the weights inf, 1 are not all numbers"),
    ([0.0, 0.0], "the weights 0, 0 are not valid for a mixture; their sum is 0"),
])  # fmt: skip
def test_weights_that_cannot_be(weights, what):
    with pytest.raises(UsageError) as error:
        Mixture([unigram(0.25, 0.25, 0.25, 0.25)] * 2, weights)
    assert str(error.value).startswith(what)
    assert error.value.hint.startswith("give ")


@pytest.mark.parametrize(("lines", "settings", "difference"), [
    (["a b"], {"tokenizer": "char"}, "char with V = "),
    (["a b c"], {"lowercase": True}, "lowercase is True and False"),
])  # fmt: skip
def test_different_tokenizers_are_an_error_naming_the_difference(lines, settings, difference):
    other = fit("unigram", lines, **settings)
    with pytest.raises(UsageError) as error:
        Mixture([unigram(0.25, 0.25, 0.25, 0.25), other], [0.5, 0.5])
    assert error.value.what == "part 2 and part 1 have different tokenizers"
    assert error.value.why.startswith(difference)
    assert "--tokenizer-from" in error.value.hint


@pytest.mark.parametrize("other", ["ngram", "lstm"])
def test_words_that_one_part_lacks_come_from_the_other(other):
    texts = (("a b a", "b b a"), ("c a d e", "d d e"))
    parts = [fit("ngram", texts[0], order=2), fit(other, texts[1])]
    mixed = Mixture(parts, [0.25, 0.75])
    symbols = mixed.tokenizer.symbols()
    assert symbols == [*parts[0].tokenizer.symbols(), *"dec"]

    # Each part reads the words of the other as <unk>, and gives them nothing.
    ids = np.random.default_rng(1).integers(0, len(symbols), (3, 20), dtype=np.uint16)
    logprob_BTV = as_numpy(mixed.predict(ids, mixed.initial_state(3))[0]).astype(np.float64)
    expected = np.zeros(logprob_BTV.shape)
    for part, weight in zip(parts, mixed.weights_K, strict=True):
        place = {symbol: id for id, symbol in enumerate(part.tokenizer.symbols())}
        own = np.array([place.get(symbol, 1) for symbol in symbols])[ids]
        alone = np.exp(as_numpy(part.predict(own, part.initial_state(3))[0]), dtype=np.float64)
        expected[..., [symbols.index(symbol) for symbol in place]] += weight * alone
    tolerance = {"ngram": 1e-7, "lstm": 1e-6}[other]  # single precision
    assert np.exp(logprob_BTV) == pytest.approx(expected, abs=tolerance)
    assert np.exp(logprob_BTV).sum(axis=2) == pytest.approx(1, abs=tolerance)
    targets = np.roll(ids, 1, axis=1).astype(np.int64)
    targets[0, 3:5] = -1
    scored = as_numpy(mixed.score(ids, targets, mixed.initial_state(3))[0])
    taken = np.take_along_axis(logprob_BTV, targets[..., None], axis=2)[..., 0]
    assert scored == pytest.approx(np.where(targets < 0, 0, taken), abs=1e-5)

    # What no part knows, and what both lack as one of them has weight zero
    unseen = np.array([[0, len(symbols) + 7]])
    assert as_numpy(mixed.score(unseen, unseen, mixed.initial_state(1))[0])[0, 1] > -np.inf
    assert (probabilities(Mixture(parts, [1.0, 0.0]))[-3:] == 0).all()
    stepped = span_scoring.stepping(mixed)
    assert stepped.tokenizer is mixed.tokenizer and scores(stepped, texts[1]).all()
