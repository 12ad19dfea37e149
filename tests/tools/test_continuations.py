import math
import random

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.lm.base import span_scoring
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.scoring.generation.drawing import SamplingSettings
from rnnlm.tools.continuations import continue_texts, score_continuations, score_texts
from support.tiny_models import LINES, fit, make_tokenizer

MODELS = [
    ("unigram", {}), ("ngram", {"order": 3}), ("lstm", {}), ("ffnn", {}),
    ("lstm", {"tokenizer": "char"}), ("gru", {"characters": "cnn"}),
    ("lstm", {"tokenizer": "sentencepiece", "vocab_size": 290}),
    ("mixture", {"parts": [("ngram", {}), ("lstm", {})], "weights": [0.5, 0.5]}),
]  # fmt: skip
PAIRS = [
    ("the cat", " sat on the mat"), ("the cat sat\na", " dog"), ("", "the cat"), ("the", " dog\n"),
    ("the cat sat\n\n", "a dog saw"),
    ("it is hard to ", "recognize speech"), ("a", ""), ("the cat", " sat"),
    ("the cat sat on the mat\n", "it"),
]  # fmt: skip


@pytest.fixture(scope="module", params=MODELS, ids=str)
def model(request):
    name, settings = request.param
    return fit(name, **settings)


def slow_score(model, context, continuation):
    """Score by `predict`: log p of the continuation, whether it is likeliest, its tokens."""
    both = _tokens(model.tokenizer, context + continuation)
    before = len(_tokens(model.tokenizer, context.rstrip()))
    state, read, total, greedy = model.initial_state(1), model.tokenizer.boundary_id, 0.0, True
    for at, token in enumerate(both):
        predicted, state = model.predict(np.array([[read]]), state)
        logprob_V = np.asarray(predicted)[0, 0]
        if at >= before:
            total += logprob_V[token]
            greedy &= int(logprob_V.argmax()) == token
        read = token
    return total, greedy, len(both) - before


def _tokens(tokenizer, text):
    lines = [line for line in text.split("\n") if line]
    ids = [id for line in lines for id in tokenizer.encode([line]).ids.tolist()]
    return ids if text.endswith("\n") else ids[:-1]


def test_continuation_scores_equal_a_slow_loop(model):
    for pair, score in zip(PAIRS, score_continuations(model, PAIRS), strict=True):
        total, greedy, tokens = slow_score(model, *pair)
        assert score.logprob_nats == pytest.approx(total, abs=1e-4), pair
        assert (score.is_greedy, score.tokens) == (greedy, tokens), pair


def test_the_order_and_the_batch_do_not_matter(model, monkeypatch):
    scores = score_continuations(model, PAIRS)
    expected = {pair: score.logprob_nats for pair, score in zip(PAIRS, scores, strict=True)}
    shuffled = random.Random(1).sample(PAIRS * 3, 3 * len(PAIRS))
    monkeypatch.setattr(type(model), "call_tokens", 5)
    for pair, score in zip(shuffled, score_continuations(model, shuffled), strict=True):
        assert score.logprob_nats == pytest.approx(expected[pair], abs=1e-4)
    assert score_continuations(model, []) == []


def test_context_is_read_once_for_all_continuations():
    model, sizes = fit("lstm"), []
    hidden = model.hidden

    def watched(inputs_BT, state):
        sizes.append(inputs_BT.size)
        return hidden(inputs_BT, state)

    model.hidden = watched
    words = ("mat", "dog", "cat", "mat")
    score_continuations(model, [("the cat sat on the", f" {word}") for word in words])
    assert sum(sizes) == 6  # the boundary and five words


def test_what_is_written_without_chance_is_the_likeliest(model):
    contexts = ["the cat", "", "it is hard to", "the dog sat\nthe", "a dog saw the cat"]
    settings = SamplingSettings(temperature=0, max_tokens=4, unknown=True)
    pairs = list(zip(contexts, continue_texts(model, contexts, settings=settings), strict=True))
    for pair, score in zip(pairs, score_continuations(model, pairs), strict=True):
        assert [pair[1]] == continue_texts(model, [pair[0]], settings=settings)
        assert score.tokens <= 4
        # its own pieces may be others
        assert score.is_greedy or model.tokenizer.name == "sentencepiece", pair


def test_texts_are_what_reading_them_gives():
    model = fit("ngram", order=3)
    ids = model.tokenizer.encode(["the cat sat", "a dog"]).ids
    logprob = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids))
    one = "the cat sat\na dog"
    texts = [one, "the cat sat\r\na dog\n", "\n\nthe cat sat\n \n\na dog", "", "\n"]
    expected = [logprob[:-1].sum(), logprob.sum(), logprob[:-1].sum(), 0, 0]
    assert score_texts(model, texts) == pytest.approx(expected, abs=1e-5)


def test_writing_stops_where_it_is_told():
    tokenizer = make_tokenizer(["a b . c"])
    p = {"</s>": 0.001, "<unk>": 0.5, "a": 0.3, "b": 0.1, ".": 0.05, "c": 0.049}

    def written(*arguments, p=p, **settings):
        model = UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)
        made = SamplingSettings(**{"temperature": 0, "max_tokens": 5, **settings})
        return continue_texts(model, *arguments, settings=made)

    assert written(["b", ""]) == [" a a a a a", "a a a a a"]
    assert written(["b"], ["a a a", "zzz", ""]) == [" "]
    assert written(["b"], max_tokens=1, unknown=True) == [" <unk>"]
    assert written(["b", "c"], p={**p, "</s>": 0.9}) == ["", ""]


def test_samples_differ_by_text_and_repeat_with_seed():
    model = fit("lstm")
    settings = SamplingSettings(temperature=1.0, max_tokens=8, seed=3)
    first = continue_texts(model, ["the"] * 6, settings=settings)
    assert len(set(first)) > 1
    assert continue_texts(model, ["the"] * 6, settings=settings) == first


def test_unknown_words_are_told():
    message = "2 of 5 tokens are unknown to the model, read as <unk>: zebra, yak"
    with pytest.warns(RnnlmWarning, match=message):
        score_continuations(fit("ngram"), [("the zebra", " sat"), ("the", " yak")])


@pytest.mark.filterwarnings("ignore:.*unknown to the model")
@pytest.mark.parametrize(
    ("context", "continuation"), [("the c", "at sat"), ("zeb", "ra"), ("zeb", "ra sat")]
)
def test_continuation_inside_a_word_is_read_as_words(context, continuation):
    model = fit("ngram", order=3)
    with pytest.warns(RnnlmWarning, match="1 continuations begin inside a word"):
        (cut,) = score_continuations(model, [(context, continuation)])
    (apart,) = score_continuations(model, [(context, " " + continuation)])
    assert cut == apart


def test_punctuation_is_no_such_word():
    model = fit("ngram", ["the cat sat.", "a dog, a cat!"], split_punctuation=True)
    (score,) = score_continuations(model, [("the cat sat", ".")])
    assert score.tokens == 1


def test_reserved_symbols_are_errors_or_dropped_on_request():
    model = fit("ngram")
    with pytest.raises(TextError, match="special_symbols"):
        score_texts(model, ["the </s>"])
    assert score_texts(model, ["the </s> cat"], "drop") == score_texts(model, ["the cat"])
    with pytest.raises(TextError):
        continue_texts(model, ["<s> the"])


def test_a_zero_probability_is_minus_infinity():
    (score,) = score_continuations(fit("ngram", smoothing="mle", order=2), [("cat", " mat")])
    assert score.logprob_nats == -math.inf and not score.is_greedy


def test_a_text_may_be_long():
    model = fit("lstm")
    text = " ".join(LINES * 300)
    ids = model.tokenizer.encode([text]).ids[:-1]
    expected = span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)).sum()
    assert score_texts(model, [text]) == pytest.approx([expected], rel=1e-5)
    (score,) = score_continuations(model, [(text, " the cat")])
    assert score.tokens == 2
