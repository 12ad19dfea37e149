import math
import random

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.tools.pairs.pair import Pair
from rnnlm.tools.pairs.scoring import differing_part, score_pairs
from support.tiny_models import LINES, fit, halves_model

PAIRS = [Pair("x", good, bad) for good, bad in {
    "the cat sat on the mat": "the dog sat on the mat", "the cat saw a dog": "the cats saw a dog",
    "it is hard to recognize speech": "it is hard to sat mat speech",
    "a dog": "the dog sat", "the cat zorp sat": "the dog sat",
}.items()]  # fmt: skip


@pytest.fixture(scope="module")
def halves():
    return halves_model()


@pytest.fixture(scope="module", params=[
    {}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 280},
], ids=str)  # fmt: skip
def lstm(request):
    return fit("lstm", LINES * 20, **request.param)


class Predicted:
    """A sentence's ids, and the distribution before each of them, one token at a time."""

    def __init__(self, model, line: str) -> None:
        self.ids = model.tokenizer.encode([line]).ids.tolist()
        state, before, self.logprobs = model.initial_state(1), model.tokenizer.boundary_id, []
        for id in self.ids:
            logprob_BTV, state = model.predict(np.array([[before]]), state)
            self.logprobs.append(logprob_BTV[0, 0].detach().double().numpy())
            before = id

    def nats(self, start: int = 0, stop: int | None = None) -> float:
        """Return the log-probability of these tokens after those before them."""
        pairs = zip(self.logprobs[start:stop], self.ids[start:stop], strict=True)
        return sum(logprob_V[id] for logprob_V, id in pairs)


def split_at_words(pair: Pair) -> list[tuple[str, str]]:
    """Return the shared beginning and the differing parts of both sentences."""
    sides = [pair.good.split(), pair.bad.split()]
    head = next(n for n in range(20) if sides[0][n : n + 1] != sides[1][n : n + 1])
    most = min(map(len, sides)) - head
    tail = next(n for n in range(20) if n == most or sides[0][-1 - n] != sides[1][-1 - n])
    return [(" ".join(side[:head]), " ".join(side[head : len(side) - tail])) for side in sides]


def sides_of(model, pairs: list[Pair], **settings):
    """Yield the predictions for each sentence, its score, and the numbers of its tokens where it
    begins to differ and where it ceases to."""
    for pair, score in zip(pairs, score_pairs(model, pairs, **settings), strict=True):
        texts, sides = (pair.good, pair.bad), (score.good, score.bad)
        for text, side, (head, middle) in zip(texts, sides, split_at_words(pair), strict=True):
            start, stop = tokens_of(model, head), tokens_of(model, f"{head} {middle}".strip())
            yield Predicted(model, text), side, start, stop


def tokens_of(model, text: str) -> int:
    return len(model.tokenizer.encode([text]).ids) - 1 if text else 0


def test_pairs_are_right_wrong_or_half_where_they_tie(halves):
    sides = [("a", "b"), ("b", "a"), ("a b", "b a"), ("a", "never"), ("never", "b")]
    pairs = [Pair("x", *both) for both in (*sides, ("never", "a never"))]
    assert [score.point for score in score_pairs(halves, pairs)] == [1, 0, 0.5, 1, 0, 0.5]
    for scoring in ("full", "partial", "word"):
        (score,) = score_pairs(halves, [Pair("x", "a b", "a b")], scoring=scoring)
        assert score.point == 0.5 and score.is_identical
    model, rng = fit("unigram"), random.Random(1)
    words = [word for line in LINES for word in line.split()]
    pairs = []
    for _ in range(200):
        good = rng.sample(words, 9)
        pairs.append(Pair("order", " ".join(good), " ".join(rng.sample(good, 9))))
    assert {score.point for score in score_pairs(model, pairs)} == {0.5}


@pytest.mark.parametrize(("difference_nats", "point"), [(1e-5, 0.5), (1e-3, 1.0)])
def test_closer_than_a_score_is_exact_tie(halves, difference_nats, point):
    logprob_V = halves.logprob_V.copy()
    a, b = (halves.tokenizer.symbols().index(word) for word in "ab")
    logprob_V[b] = logprob_V[a] - difference_nats
    (score,) = score_pairs(UnigramModel(logprob_V, halves.tokenizer), [Pair("x", "a", "b")])
    assert score.point == point


def test_full_and_partial_scores_equal_a_slow_predict_loop(lstm):
    for predicted, side, _, _ in sides_of(lstm, PAIRS):
        assert side.logprob_nats == pytest.approx(predicted.nats(), abs=1e-3)
        assert side.tokens == len(predicted.ids)
    for predicted, side, _, stop in sides_of(lstm, PAIRS[:3], scoring="partial"):
        assert side.logprob_nats == pytest.approx(predicted.nats(stop), abs=1e-3)
        assert side.tokens == len(predicted.ids) - stop


@pytest.mark.parametrize("scoring", ["full", "partial"])
def test_without_ends_scores_lack_them_alone(lstm, scoring):
    with_ends = sides_of(lstm, PAIRS[:3], scoring=scoring)
    without = sides_of(lstm, PAIRS[:3], scoring=scoring, eos=False)
    for (predicted, whole, _, _), (_, rest, _, _) in zip(with_ends, without, strict=True):
        end = predicted.nats(start=len(predicted.ids) - 1)
        assert whole.logprob_nats - rest.logprob_nats == pytest.approx(end, abs=1e-3)
        assert rest.tokens == whole.tokens - 1


def test_word_scores_include_the_words_end(lstm):
    """p(pieces) B(after) / B(before), by hand; the sum of p over all that could follow makes "cat"
    no part of "cats"."""
    starts_V = lstm.tokenizer.starts_word_V
    for predicted, side, start, stop in sides_of(lstm, PAIRS[:2], scoring="word"):
        begins = [math.log(np.exp(logprob_V[starts_V]).sum()) for logprob_V in predicted.logprobs]
        expected = predicted.nats(start, stop) + begins[stop] - (begins[start] if start else 0)
        assert side.logprob_nats == pytest.approx(expected, abs=1e-3)


def test_what_differs_is_found_in_whole_words():
    letters = [*"cats sit", "</s>"], [*"cars sit", "</s>"]
    starts = [np.array([token in (" ", "</s>") for token in each]) for each in letters]
    assert differing_part(letters, tuple(starts)) == (0, 5)
    words = ["the", "the", "</s>"], ["the", "the", "the", "</s>"]
    assert differing_part(words, tuple(np.ones(len(each), dtype=bool) for each in words)) == (2, 1)


def test_pairs_without_words_to_compare_say_why(halves):
    pairs = [Pair("x", "a b", "a a b"), Pair("x", "a b", "b b")]
    score, other = score_pairs(halves, pairs, scoring="word")
    assert score.point is None and "put in" in score.reason and score.good is None
    assert other.point == 1.0 and other.good.tokens == 1
    pairs = [Pair("x", "a b", "a a"), Pair("x", "a b a", "a a a")]
    with pytest.warns(RnnlmWarning, match="in 1 of 2 pairs nothing follows"):
        score_pairs(halves, pairs, scoring="partial")
    (score,) = score_pairs(halves, pairs[:1], scoring="partial", eos=False)
    assert score.point is None and "nothing follows" in score.reason


def test_oov_words_and_reserved_symbols_are_as_read(halves):
    pair = Pair("x", "a b zorp", "b b zorp")
    full, word = (score_pairs(halves, [pair], scoring=scoring)[0] for scoring in ("full", "word"))
    assert full.good.oov == ("zorp",) and full.has_oov
    assert word.good.oov == () and not word.has_oov
    (dropped,) = score_pairs(halves, [Pair("x", "<s> a </s>", "b")], "drop")
    (plain,) = score_pairs(halves, [Pair("x", "a", "b")])
    assert dropped.good == plain.good


@pytest.mark.parametrize("text, reason", [("\n", "newline"), ("</s>", "</s>"), ("\ud800", "UTF-8")])
def test_an_invalid_sentence_leaves_its_pair_unscored(halves, text, reason):
    scores = score_pairs(halves, [Pair("x", "a", "b"), Pair("x", text, "b"), Pair("x", "b", "a")])
    assert [score.point for score in scores] == [1, None, 0]
    assert reason in scores[1].reason and not scores[1].has_oov and not scores[1].is_identical


def test_pairs_come_in_chunks_and_in_their_order(halves, monkeypatch):
    monkeypatch.setattr("rnnlm.tools.pairs.scoring.PAIRS_PER_CHUNK", 2)
    pairs = [Pair(str(number), "a", "b" if number % 2 else "a a\n") for number in range(7)]
    scores = score_pairs(halves, pairs)
    assert [score.pair for score in scores] == pairs
    assert [score.point for score in scores] == [None, 1] * 3 + [None]
    assert score_pairs(halves, []) == []


def test_an_unknown_scoring_is_an_error(halves):
    with pytest.raises(UsageError, match="did you mean 'partial'"):
        score_pairs(halves, [], scoring="partail")
