import math
import warnings

import numpy as np
import pytest
from tiny_models import fit

from rnnlm import arrays
from rnnlm.errors import RnnlmWarning
from rnnlm.typing_ahead import continuations, next_words
from rnnlm.sampling import SamplingSettings


@pytest.fixture(scope="module")
def ngram():
    return fit("ngram", ["The cat sat on the mat", "a cat, the dog"] * 2, lowercase=True, split_punctuation=True)


def test_the_likeliest_words_are_those_of_predict(ngram):
    ids = np.array([[0, *ngram.tokenizer.encode(["the cat"]).ids[:-1]]])
    predicted, _ = ngram.predict(ids, ngram.initial_state(1))
    last = arrays.as_numpy(predicted)[0, -1].copy()
    last[ngram.tokenizer.unk_id] = -np.inf
    best = np.argsort(-last, kind="stable")[:4]
    found = next_words(ngram, "the cat ", 4)
    assert [word.word for word in found] == [ngram.tokenizer.symbols()[id] for id in best]
    assert [word.probability for word in found] == pytest.approx([math.exp(last[id]) for id in best])
    assert {word.word: word.text for word in found}["sat"] == "the cat sat"


@pytest.mark.parametrize(("text", "begun"), [("The c", "c"), ("the ca", "ca"), ("on the", "the"), ("", ""), ("cat,", ","), ("a\tCAT", "cat")])
def test_a_word_that_is_begun_is_gone_on_with(ngram, text, begun):
    found = next_words(ngram, text)
    assert found and all(word.word.startswith(begun) for word in found)
    assert next_words(ngram, "the zz") == []


def test_continuations_begin_with_what_is_typed_its_last_word_finished(ngram):
    settings = SamplingSettings(max_tokens=4)
    assert all(text.startswith("the cat") for text in continuations(ngram, "the ca", 5, settings))
    with pytest.warns(RnnlmWarning, match="zz"):
        assert len(continuations(ngram, "the zz", 2, settings)) == 2


def test_models_of_pieces_go_on_from_the_text_as_it_is():
    model = fit("unigram", tokenizer="char")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = next_words(model, "the c", 3)
    assert len(found) == 3 and all(word.text in ("the c", f"the c{word.word}") for word in found)
