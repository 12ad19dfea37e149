"""The likeliest next words, beside all words there are."""

import itertools
import math
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.scoring.generation.search import next_words
from support.adapted_models import next_token_probabilities
from support.tiny_models import LINES, fit

TOY = ["a b", "ab b a", "b ab", "ba a b", "aab b"]


def test_word_model_suggests_its_likeliest_tokens_everywhere():
    model = fit("lstm")
    (score,) = rnnlm.Model(model).score_sentences(["the cat sat"], next_words=4)
    ids, symbols = model.tokenizer.encode(["the cat sat"]).ids.tolist(), model.tokenizer.symbols()
    assert [word.word for word in score.word_scores] == ["the", "cat", "sat", "</s>"]
    for place, found in enumerate(score.next_words):
        p = next_token_probabilities(model, ids[:place])
        best = np.argsort(-p)[:4]
        assert [each.word for each in found] == [symbols[id] for id in best]
        assert [each.probability for each in found] == pytest.approx(p[best].tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["ngram", "lstm"])
def test_character_model_suggests_the_likeliest_of_all_words(kind):
    of_ngram = {"order": 3, "smoothing": "witten-bell"}
    settings = of_ngram if kind == "ngram" else {"budget": "60steps"}
    model = fit(kind, TOY, tokenizer="char", **settings)
    (score,) = rnnlm.Model(model).score_sentences(["ab b"], next_words=3)
    lengths = (itertools.product("ab", repeat=length) for length in (1, 2, 3, 4))
    words = list(map("".join, itertools.chain.from_iterable(lengths)))
    for place, given in enumerate(["", "ab", "ab b"]):
        rated = rnnlm.Model(model).score_sentences([*words, ""], given=given, words=True)
        p = {each.text or "</s>": each.word_scores[0].probability for each in rated}
        best = sorted(p, key=p.get, reverse=True)[:3]
        found = [each for each in score.next_words[place] if each.word != "<unk>"]
        assert [each.word for each in found] == best[: len(found)] and len(found) >= 2
        expected = pytest.approx([p[each.word] for each in found], rel=1e-3)
        assert [each.probability for each in found] == expected


SPACED = ["a  b", " b  a", "  a  b  a"] * 3


@pytest.mark.parametrize("lines, text, settings", [
    (LINES, "the cat", {"tokenizer": "sentencepiece", "vocab_size": 280}),
    (LINES, "the cat", {"tokenizer": "byte"}),
    (SPACED, "a b", {"tokenizer": "char", "smoothing": "witten-bell"}),
])  # fmt: skip
def test_subword_model_suggestions_are_scored_as_words(lines, text, settings):
    model = rnnlm.Model(fit("ngram", lines, order=3, **settings))
    (score,) = model.score_sentences([text], next_words=3)
    assert [len(found) for found in score.next_words] == [3, 3, 3]
    first, _ = text.split()
    for given, found in zip(["", first, text], score.next_words, strict=True):
        for each in found:
            text = each.word.removesuffix("</s>")
            (alone,) = model.score_sentences([text], given=given, words=True)
            expected = pytest.approx(each.probability, rel=1e-4)
            assert alone.word_scores[0].probability == expected
        probabilities = [each.probability for each in found]
        assert probabilities == sorted(probabilities, reverse=True)


def test_endless_search_returns_the_best_found_so_far(monkeypatch):
    model = fit("lstm", tokenizer="char")
    (usual,) = rnnlm.Model(model).score_sentences(["the cat"], next_words=3)
    monkeypatch.setattr("rnnlm.scoring.next_word.MOST_TRIED", 32)
    (score,) = rnnlm.Model(model).score_sentences(["the cat"], next_words=50)
    for found, best in zip(score.next_words, usual.next_words, strict=True):
        words, best_words = ({each.word for each in words} for words in (found, best))
        assert 3 <= len(found) <= 32 and words & best_words
        probabilities = [each.probability for each in found]
        assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("at_once", [1, 5])
def test_result_is_independent_of_tries_per_batch(monkeypatch, at_once):
    model = fit("ngram", order=3, tokenizer="char")
    (usual,) = rnnlm.Model(model).score_sentences(["the cat sat"], next_words=8)
    monkeypatch.setattr("rnnlm.scoring.next_word.TRIED_AT_ONCE", at_once)
    (score,) = rnnlm.Model(model).score_sentences(["the cat sat"], next_words=8)
    for found, expected in zip(score.next_words, usual.next_words, strict=True):
        known = pytest.approx([each.probability for each in expected])
        assert [each.probability for each in found] == known


def test_impossible_words_are_not_told():
    model = fit("ngram", ["a b", "a c"], order=2, smoothing="mle")
    (score,) = rnnlm.Model(model).score_sentences(["a b"], next_words=4)
    words = [[each.word for each in found] for found in score.next_words]
    assert words == [["a"], ["b", "c"], ["</s>"]]


def test_a_long_given_text_is_read_in_windows():
    model, widest = fit("lstm", tokenizer="char"), []
    model.network.register_forward_pre_hook(lambda _, given: widest.append(given[0].numel()))
    model.call_tokens = 50
    rnnlm.Model(model).score_sentences(["mat"], given="the cat " * 100, next_words=1)
    assert widest and max(widest) <= 50


def test_of_pieces_in_one_stream_are_refused():
    model = rnnlm.Model(fit("lstm", tokenizer="char"))
    with pytest.raises(UsageError, match="carry"):
        model.score_sentences(["the"], next_words=1, context="carry")


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
