"""Lines that grow word by word."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.scoring import prefixes
from rnnlm.scoring.generation.search import next_words
from rnnlm.tools.mixtures.adaptation import adapt
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
pytestmark = [
    pytest.mark.filterwarnings("ignore::rnnlm.RnnlmWarning"),
    pytest.mark.needs("tools/mixtures"),
]


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    name, settings = MODELS[request.param]
    adaptation = {"unigram cache": "unigram", "cache": "cache", "dynamic": "dynamic"}
    model = fit(name, **settings)
    return adapt(model, adaptation[request.param]) if request.param in adaptation else model


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
    pairs = zip(texts, words, strict=True)
    alone = [scorer.extend(read(scorer, text)[1], word) for text, word in pairs]
    fresh = rnnlm.Model(model).scorer()
    together = fresh.extend_all([read(fresh, text)[1] for text in texts], words)
    for (logprob, state), (expected, expected_state) in zip(together, alone, strict=True):
        assert logprob == pytest.approx(expected, abs=1e-5) and state == expected_state
    assert fresh.extend_all([], []) == []


def test_a_network_reads_all_states_in_one_call():
    model = fit("lstm")
    scorer, rows, predict = rnnlm.Model(model).scorer(), [], model.predict
    states = [read(scorer, text)[1] for text in ("the", "a", "the dog", "the")]

    def watched(inputs_BT, state):
        rows.append(len(inputs_BT))
        return predict(inputs_BT, state)

    model.predict = watched
    scorer.extend_all(states, ["cat", "cat", "sat", "dog"])
    assert rows == [3 - 1]  # "the" is known from the way to "the dog"


def test_next_words_match_those_after_the_same_text(model, scorer):
    for text in ("", "the cat", "a dog saw the"):
        found = scorer.next(read(scorer, text)[1], 4)
        expected = next_words(model, f"{text} " if text else "", 4)
        assert [each.word for each in found] == [each.word for each in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.probability == pytest.approx(other.probability, rel=1e-4)


def test_next_words_as_tokens_have_their_reading_probability():
    scorer = rnnlm.Model(fit("ngram", order=3)).scorer()
    state = read(scorer, "the cat")[1]
    for found in scorer.next(state, 3):
        logprob_nats, _ = scorer.extend(state, found.word)
        assert found.probability == pytest.approx(math.exp(logprob_nats))


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
    with pytest.raises(TextError, match=r"is not one word; .*extend word by word"):
        scorer.extend(scorer.begin(), word)


ONE, OTHER = (rnnlm.Model(fit("unigram")).scorer() for _ in range(2))


@pytest.mark.parametrize("call, error, message", [
    (lambda: ONE.extend(OTHER.begin(), "the"), UsageError, "belongs to another scorer"),
    (lambda: ONE.next(OTHER.begin()), UsageError, "belongs to another scorer"),
    (lambda: ONE.extend_all([ONE.begin()] * 2, ["the"]), UsageError, "2 states and 1 word"),
    (lambda: ONE.extend(ONE.begin(), "<s>"), TextError, "<s> has no probability"),
    (lambda: ONE.extend(ONE.begin(), 3), TypeError, "the word must be a str, not an int"),
    (lambda: ONE.extend(None, "the"), TypeError, "the state must be a WordPrefix, not None"),
    (lambda: ONE.extend_all([ONE.begin()] * 3, "the"), TypeError,
     "words must be a list, not a str; extend takes one state and one word"),
    (lambda: ONE.extend_all(ONE.begin(), ["the"]), TypeError, "states must be a list, not a Word"),
])  # fmt: skip
def test_foreign_states_and_stateless_words_are_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_states_and_words_may_be_iterators():
    found = ONE.extend_all((state for state in [ONE.begin()]), iter(["the"]))
    assert found == [ONE.extend(ONE.begin(), "the")]


@pytest.mark.parametrize(("count", "message"), [
    (-1, "count = -1 is not valid"), (2.0, "count must be an int, not a float"),
])  # fmt: skip
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
