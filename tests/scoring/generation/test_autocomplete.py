import math
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm import arrays
from rnnlm.scoring.generation.search import next_words
from support.tiny_models import fit


@pytest.fixture(scope="module")
def ngram():
    lines = ["The cat sat on the mat", "a cat, the dog"] * 2
    return fit("ngram", lines, lowercase=True, split_punctuation=True)


def test_the_likeliest_words_are_those_of_predict(ngram):
    ids = np.array([[0, *ngram.tokenizer.encode(["the cat"]).ids[:-1]]])
    predicted, _ = ngram.predict(ids, ngram.initial_state(1))
    last = arrays.as_numpy(predicted)[0, -1].copy()
    last[ngram.tokenizer.unk_id] = -np.inf
    best = np.argsort(-last, kind="stable")[:4]
    found = next_words(ngram, "the cat ", 4)
    assert [word.word for word in found] == [ngram.tokenizer.symbols()[id] for id in best]
    expected = pytest.approx([math.exp(last[id]) for id in best])
    assert [word.probability for word in found] == expected


@pytest.mark.parametrize(("text", "begun"), [
    ("The c", "c"), ("the ca", "ca"), ("on the", "the"), ("", ""), ("cat,", ","), ("a\tCAT", "cat"),
])  # fmt: skip
def test_partial_word_is_completed(ngram, text, begun):
    found = next_words(ngram, text)
    assert found and all(word.word.startswith(begun) for word in found)
    assert next_words(ngram, "the zz") == []


SUBWORDS = [{"tokenizer": name} for name in ("char", "byte")]
SUBWORDS.append({"tokenizer": "sentencepiece", "vocab_size": 274})
TYPED = {"the ": ("the", ""), "the c": ("the", "c"), "": ("", ""), "a  caf": ("a ", "caf"), "ca": ("", "ca")}  # fmt: skip


@pytest.mark.parametrize("settings", SUBWORDS)
def test_subword_models_suggest_whole_words_with_scoring_probabilities(settings):
    lines = ["the cat sat on the mat", "a caf\u00e9, the cat"] * 2
    model = fit("ngram", lines, order=4, **settings)
    with warnings.catch_warnings(action="error"):
        for typed, (before, begun) in TYPED.items():
            found = next_words(model, typed, 3)
            assert found and all(each.word.startswith(begun) for each in found)
            for each in found:
                text = "" if each.word == "</s>" else each.word
                (alone,) = rnnlm.Model(model).score_sentences([text], given=before, words=True)
                expected = pytest.approx(each.probability, rel=1e-4)
                assert 2 ** -alone.word_scores[0].surprisal_bits == expected
        assert next_words(model, "a caf", 1)[0].word == "caf\u00e9,"
        assert next_words(model, "the cat\u00df", 3) == [] or settings["tokenizer"] != "char"
