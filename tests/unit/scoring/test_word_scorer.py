"""Lines that grow word by word."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rnnlm
from rnnlm.combinations.adaptation import adapt
from rnnlm.errors import TextError, UsageError
from rnnlm.generation.autocomplete import next_words
from rnnlm.inference import prefixes
from rnnlm.inference.next_word import NextWord
from support.model_cases import SPELLING
from support.saved_models import save_unigram
from support.tiny_models import LINES, fit

MIXTURE = {"parts": [("ngram", {"order": 3}), ("lstm", {})], "weights": [0.4, 0.6]}
MARKS = ["Don't go, he said.", '"The cat" (sat) on it!', *LINES]
MODELS = {
    "unigram": ("unigram", {}), "ngram": ("ngram", {"order": 3}), "lstm": ("lstm", {}),
    "characters": ("lstm", SPELLING),
    "char": ("lstm", {"tokenizer": "char"}), "char unigram": ("unigram", {"tokenizer": "char"}),
    "byte ngram": ("ngram", {"tokenizer": "byte", "order": 4}),
    "char ngram": ("ngram", {"tokenizer": "char", "order": 3}),
    "pieces": ("gru", {"tokenizer": "sentencepiece", "vocab_size": 290}),
    "pairs": ("ngram",
              {"tokenizer": "sentencepiece", "sentencepiece_model": "bpe", "vocab_size": 300,
               "order": 3}),
    "marks": ("gru", {"lines": MARKS, "split_punctuation": True, "lowercase": True}),
    "normalised": ("ngram", {"normalise": "all", "remove_punctuation": True, "order": 3}),
    "normalised char": ("ngram", {"normalise": "all", "tokenizer": "char", "order": 3}),
    "mixture": ("mixture", MIXTURE), "unigram cache": ("lstm", {}), "cache": ("lstm", {}),
    "dynamic": ("gru", {}),
}  # fmt: skip
TEXT = [
    "the cat sat", "a dog sees the zebra on it", "Don't go, the cat!", "the <unk> saw speech",
    "\u201cthe\u201d \u2013 caf\u00e9 &amp; cat",
]  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.RnnlmWarning")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    name, settings = MODELS[request.param]
    model = fit(name, **settings)
    adaptation = {"unigram cache": "unigram"}.get(request.param, request.param)
    return (
        adapt(model, adaptation)
        if adaptation in ("unigram", "cache", "dynamic") and name != "unigram"
        else model
    )


@pytest.fixture(scope="module")
def scorer(model):
    return rnnlm.Model(model).scorer()


def read(scorer, line: str, state=None):
    """Return the sum of the words' log-probabilities, and the state after them."""
    state, total = state or scorer.begin(), 0.0
    for word in line.split():
        logprob_nats, state = scorer.extend(state, word)
        total += logprob_nats
    return total, state


def test_words_and_the_end_sum_to_the_score(model, scorer):
    state = scorer.begin()
    for score in rnnlm.Model(model).score_sentences(TEXT):
        total, state = read(scorer, f"{score.text} </s>", state)  # the next line begins anew
        assert total == pytest.approx(score.logprob_nats, rel=1e-6)
    assert state == scorer.begin()


def test_states_extended_together_equal_those_extended_alone(model, scorer):
    texts, words = ["", "the dog", "a cat saw the", ""], ["the", "zebra", "mat", "</s>"]
    alone = [
        scorer.extend(read(scorer, text)[1], word) for text, word in zip(texts, words, strict=True)
    ]
    fresh = rnnlm.Model(model).scorer()
    together = fresh.extend_all([read(fresh, text)[1] for text in texts], words)
    assert [logprob for logprob, _ in together] == pytest.approx(
        [logprob for logprob, _ in alone], abs=1e-5
    )
    assert [state for _, state in together] == [state for _, state in alone]
    assert fresh.extend_all([], []) == []


def test_a_network_reads_all_states_in_one_call(monkeypatch):
    model = fit("lstm")
    scorer, rows = rnnlm.Model(model).scorer(), []
    states = [read(scorer, text)[1] for text in ("the", "a", "the dog", "the")]
    predict = model.predict
    monkeypatch.setattr(
        model,
        "predict",
        lambda inputs_BT, state: rows.append(len(inputs_BT)) or predict(inputs_BT, state),
    )
    scorer.extend_all(states, ["cat", "cat", "sat", "dog"])
    assert rows == [3 - 1]  # "the" is known from the way to "the dog"


def test_next_words_match_those_after_the_same_text(model, scorer):
    for text in ("", "the cat", "a dog saw the"):
        found = scorer.next(read(scorer, text)[1], 4)
        expected = next_words(model, f"{text} " if text else "", 4)
        assert [each.word for each in found] == [each.word for each in expected]
        assert [each.probability for each in found] == pytest.approx(
            [each.probability for each in expected], rel=1e-4
        )


def test_next_words_as_tokens_have_their_reading_probability():
    scorer = rnnlm.Model(fit("ngram", order=3)).scorer()
    state = read(scorer, "the cat")[1]
    found = scorer.next(state, 3)
    assert found == [
        NextWord(each.word, pytest.approx(math.exp(scorer.extend(state, each.word)[0])))
        for each in found
    ]


def test_equivalent_states_are_equal():
    bigrams = rnnlm.Model(fit("ngram", order=2)).scorer()
    one, other, third = (read(bigrams, text)[1] for text in ("a dog saw the", "on the", "on"))
    assert one == other != third and hash(one) == hash(other)
    network = rnnlm.Model(fit("lstm")).scorer()
    one, other, third = (read(network, text)[1] for text in ("on the", "on the", "a dog saw the"))
    assert one == other != third and hash(one) == hash(other)


@pytest.mark.parametrize("word", ["", "the cat", " cat", "cat\n", "a\tb"])
def test_what_is_not_one_word_is_an_error(word):
    scorer = rnnlm.Model(fit("unigram")).scorer()
    with pytest.raises(
        TextError, match=r"is not one word; a word has at least one character.*extend word by word"
    ):
        scorer.extend(scorer.begin(), word)


def test_foreign_states_and_stateless_words_are_errors():
    one, other = rnnlm.Model(fit("unigram")).scorer(), rnnlm.Model(fit("unigram")).scorer()
    with pytest.raises(UsageError, match="this state belongs to another scorer"):
        one.extend(other.begin(), "the")
    with pytest.raises(UsageError, match="this state belongs to another scorer"):
        one.next(other.begin())
    with pytest.raises(UsageError, match="2 states and 1 words"):
        one.extend_all([one.begin()] * 2, ["the"])
    with pytest.raises(TextError, match="<s> has no probability"):
        one.extend(one.begin(), "<s>")
    with pytest.raises(TypeError, match="the word must be a str, not an int"):
        one.extend(one.begin(), 3)
    with pytest.raises(TypeError, match="the state must be a WordPrefix, not None"):
        one.extend(None, "the")
    with pytest.raises(
        TypeError, match="words must be a list, not a str; extend takes one state and one word"
    ):
        one.extend_all([one.begin()] * 3, "the")
    with pytest.raises(TypeError, match="states must be a list, not a WordPrefix"):
        one.extend_all(one.begin(), ["the"])
    assert one.extend_all((state for state in [one.begin()]), iter(["the"])) == [
        one.extend(one.begin(), "the")
    ]


@pytest.mark.parametrize(
    ("count", "message"),
    [(-1, "-1 words cannot be found"), (2.0, "count must be an int, not a float")],
)
def test_next_words_must_be_0_or_more(count, message):
    scorer = rnnlm.Model(fit("unigram")).scorer()
    with pytest.raises(UsageError, match=message):
        scorer.next(scorer.begin(), count)
    with pytest.raises(UsageError, match=message):
        next_words(scorer.model, "the ", count)
    assert scorer.next(scorer.begin(), 0) == []


def test_threads_share_a_scorer_with_too_small_cache(monkeypatch):
    monkeypatch.setattr(prefixes, "CACHED_BYTES", 1)
    scorer = rnnlm.Model(fit("lstm")).scorer()
    lines = [f"{line} </s>" for line in LINES] * 8
    expected = [read(scorer, line)[0] for line in lines]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda line: read(scorer, line)[0], lines)) == expected


def test_a_scorer_pickles_as_its_model_does(tmp_path):
    save_unigram(tmp_path / "model")
    scorer = rnnlm.load(tmp_path / "model").scorer()
    again = pickle.loads(pickle.dumps(scorer))
    assert np.isclose(read(again, "the cat")[0], read(scorer, "the cat")[0])
