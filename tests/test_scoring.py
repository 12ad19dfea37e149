import math
import random

import numpy as np
import pytest
from tiny_models import LINES, fit, make_tokenizer

from rnnlm import reading
from rnnlm.errors import TextError, UsageError
from rnnlm.ngram.unigram import UnigramModel
from rnnlm.scoring import likelihood_ratio, score_lines, score_sentences

SENTENCES = ["the cat sat", "", "a dog saw the cat on the mat", "the cat sat", "speech", "the zebra sat on a yak"]


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def halves():
    """</s> 1/4, <unk> 1/8, a 1/2, b 1/8, never 0."""
    tokenizer = make_tokenizer(["a b", "a a b never"])
    p = {"</s>": 1 / 4, "<unk>": 1 / 8, "a": 1 / 2, "b": 1 / 8, "never": 0.0}
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)


def test_scores_of_small_sentences(halves):
    first, second, empty = score_sentences(halves, ["a b", "a x\ta", ""], with_tokens=True)
    assert first.logprob_nats == pytest.approx(-(1 + 3 + 2) * math.log(2))
    assert (first.text, first.tokens, first.words, first.oov) == ("a b", 3, 2, ())
    assert first.ppl_word == pytest.approx(2 ** (6 / 3))
    assert [(t.token, t.surprisal_bits, t.is_oov) for t in second.token_scores] == [
        ("a", pytest.approx(1), False), ("x", pytest.approx(3), True), ("a", pytest.approx(1), False), ("</s>", pytest.approx(2), False)
    ]  # fmt: skip
    assert second.oov == ("x",) and second.words == 3
    assert (empty.tokens, empty.words) == (1, 0) and empty.logprob_nats == pytest.approx(-2 * math.log(2))
    assert [token.token for token in empty.token_scores] == ["</s>"]


def test_there_is_one_score_for_each_line_in_their_order(lstm):
    scores = score_sentences(lstm, SENTENCES)
    assert [score.text for score in scores] == SENTENCES
    assert [score.words for score in scores] == [3, 0, 8, 3, 1, 6]
    assert scores[-1].oov == ("zebra", "yak")
    assert scores[0].logprob_nats == pytest.approx(scores[3].logprob_nats, abs=1e-4)
    assert scores[1].logprob_nats < 0 and scores[1].tokens == 1
    assert score_sentences(lstm, []) == []


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "char"}, {"tokenizer": "byte"}, {"split_punctuation": True, "lowercase": True}])
def test_token_surprisals_sum_to_the_sentence(settings):
    model = fit("lstm", **settings)
    for score in score_sentences(model, [*SENTENCES, "It's <unk>, m\u00e4t!"], with_tokens=True):
        assert len(score.token_scores) == score.tokens
        total_bits = sum(token.surprisal_bits for token in score.token_scores)
        assert total_bits * math.log(2) == pytest.approx(-score.logprob_nats, abs=1e-4)
        assert all(token.surprisal_bits >= 0 for token in score.token_scores)


def test_scores_do_not_depend_on_the_other_sentences(lstm, monkeypatch):
    chosen = SENTENCES + [" ".join(random.Random(seed).choices("the cat dog sat mat on a".split(), k=seed)) for seed in range(20)]
    alone = [score_sentences(lstm, [sentence])[0].logprob_nats for sentence in chosen]
    together = [score.logprob_nats for score in score_sentences(lstm, chosen)]
    assert together == pytest.approx(alone, abs=1e-4)
    backwards = [score.logprob_nats for score in score_sentences(lstm, chosen[::-1])]
    assert backwards[::-1] == pytest.approx(alone, abs=1e-4)
    monkeypatch.setattr("rnnlm.scoring.LINES_PER_CHUNK", 3)
    monkeypatch.setattr(lstm, "call_tokens", 5)
    assert [score.logprob_nats for score in score_sentences(lstm, chosen)] == pytest.approx(alone, abs=1e-4)


def test_lines_are_scored_as_they_come(lstm, monkeypatch):
    monkeypatch.setattr("rnnlm.scoring.LINES_PER_CHUNK", 2)
    taken = []
    lines = (taken.append(line) or line for line in SENTENCES)
    scores = score_lines(lstm, lines)
    assert next(scores).text == SENTENCES[0] and len(taken) == 2


def test_a_zero_probability_makes_a_score_null(halves):
    (score,) = score_sentences(halves, ["a never"], with_tokens=True)
    assert score.logprob_nats is None and score.ppl_word is None
    assert [token.surprisal_bits for token in score.token_scores] == [pytest.approx(1), None, pytest.approx(2)]


def test_reserved_symbols_are_an_error_naming_the_sentence(halves):
    with pytest.raises(TextError, match="sentence 2"):
        score_sentences(halves, ["a", "a </s>"])
    dropped, plain = score_sentences(halves, ["<s> a b </s>", "a b"], special_symbols="drop")
    assert dropped.logprob_nats == plain.logprob_nats
    (replaced,) = score_sentences(halves, ["<s> a"], special_symbols="replace")
    assert replaced.logprob_nats == pytest.approx(-(3 + 1 + 2) * math.log(2)) and replaced.oov == ()


def test_a_newline_in_a_sentence_is_an_error(halves):
    with pytest.raises(TextError, match="newline"):
        score_sentences(halves, ["a\nb"])


def test_a_single_text_instead_of_a_list_is_an_error(halves):
    with pytest.raises(UsageError, match="list"):
        score_sentences(halves, "a b")


def test_the_ratio_of_two_sentences_is_told_in_total_and_per_word(halves):
    better, worse, never = score_sentences(halves, ["a a", "b b b", "never"])
    total, per_word = likelihood_ratio(better, worse)
    assert total == pytest.approx(math.log10(2.0 ** (11 - 4)))
    assert per_word == pytest.approx(math.log10(2.0 ** (11 / 4 - 4 / 3)))
    assert likelihood_ratio(better, never) is None
