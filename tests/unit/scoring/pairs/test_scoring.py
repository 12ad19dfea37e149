import math
import random

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.ngram.unigram import UnigramModel
from rnnlm.scoring.pairs.pair import Pair
from rnnlm.scoring.pairs.scoring import differing_part, score_pairs
from support.tiny_models import LINES, fit, halves_model

PAIRS = [
    Pair("x", "the cat sat on the mat", "the dog sat on the mat"),
    Pair("x", "the cat saw a dog", "the cats saw a dog"),
    Pair("x", "it is hard to recognize speech", "it is hard to sat mat speech"),
    Pair("x", "a dog", "the dog sat"),
    Pair("x", "the cat zorp sat", "the dog sat"),
]  # fmt: skip


@pytest.fixture(scope="module")
def halves():
    return halves_model()


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"tokenizer": "char"},
        {"tokenizer": "byte"},
        {"tokenizer": "sentencepiece", "vocab_size": 280},
    ],
    ids=str,
)
def lstm(request):
    return fit("lstm", LINES * 20, **request.param)


def predicted(model, line: str) -> tuple[list[int], list[np.ndarray]]:
    """Return the ids of a line, and what `predict` gives before each of them, one token at a time,
    and after the last."""
    ids = model.tokenizer.encode([line]).ids.tolist()
    state, before, found = model.initial_state(1), model.tokenizer.boundary_id, []
    for id in ids:
        logprob_BTV, state = model.predict(np.array([[before]]), state)
        found.append(
            np.asarray(logprob_BTV.detach() if hasattr(logprob_BTV, "detach") else logprob_BTV)[
                0, 0
            ].astype(np.float64)
        )
        before = id
    return ids, found


def split_at_words(model, pair: Pair) -> list[tuple[str, str, str]]:
    """Return (shared beginning, what differs, shared end) of both sentences, in words."""
    sides = [pair.good.split(), pair.bad.split()]
    head = next(n for n in range(20) if sides[0][n : n + 1] != sides[1][n : n + 1])
    most = min(map(len, sides)) - head
    tail = next(n for n in range(20) if n == most or sides[0][-1 - n] != sides[1][-1 - n])
    return [
        (
            " ".join(side[:head]),
            " ".join(side[head : len(side) - tail]),
            " ".join(side[len(side) - tail :]),
        )
        for side in sides
    ]


def tokens_of(model, text: str) -> int:
    return len(model.tokenizer.encode([text]).ids) - 1 if text else 0


def test_are_right_wrong_or_half_where_they_tie(halves):
    pairs = [
        Pair("x", "a", "b"), Pair("x", "b", "a"), Pair("x", "a b", "b a"), Pair("x", "a", "never"),
        Pair("x", "never", "b"),
        Pair("x", "never", "a never"),
    ]  # fmt: skip
    assert [score.point for score in score_pairs(halves, pairs)] == [1, 0, 0.5, 1, 0, 0.5]


def test_pairs_of_the_same_words_tie_under_unigrams():
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
    logprob_V[halves.tokenizer.symbols().index("b")] = (
        logprob_V[halves.tokenizer.symbols().index("a")] - difference_nats
    )
    (score,) = score_pairs(UnigramModel(logprob_V, halves.tokenizer), [Pair("x", "a", "b")])
    assert score.point == point


def test_full_scores_equal_a_slow_predict_loop(lstm):
    for pair, score in zip(PAIRS, score_pairs(lstm, PAIRS), strict=True):
        for text, side in ((pair.good, score.good), (pair.bad, score.bad)):
            ids, logprob = predicted(lstm, text)
            assert side.logprob_nats == pytest.approx(
                sum(before[id] for before, id in zip(logprob, ids, strict=True)), abs=1e-3
            )
            assert side.tokens == len(ids)


def test_partial_scores_depend_on_each_ones_own_beginning(lstm):
    pairs = PAIRS[:3]
    for pair, score in zip(pairs, score_pairs(lstm, pairs, scoring="partial"), strict=True):
        for text, side, (head, middle, _) in zip(
            (pair.good, pair.bad), (score.good, score.bad), split_at_words(lstm, pair), strict=True
        ):
            ids, logprob = predicted(lstm, text)
            first = tokens_of(lstm, f"{head} {middle}".strip())
            expected = sum(
                before[id] for before, id in zip(logprob[first:], ids[first:], strict=True)
            )
            assert side.logprob_nats == pytest.approx(expected, abs=1e-3)
            assert side.tokens == len(ids) - first


@pytest.mark.parametrize("scoring", ["full", "partial"])
def test_without_ends_scores_lack_them_alone(lstm, scoring):
    pairs = PAIRS[:3]
    with_ends = score_pairs(lstm, pairs, scoring=scoring)
    without = score_pairs(lstm, pairs, scoring=scoring, eos=False)
    for pair, one, other in zip(pairs, with_ends, without, strict=True):
        ends = ((pair.good, one.good, other.good), (pair.bad, one.bad, other.bad))
        for text, whole, rest in ends:
            ids, logprob = predicted(lstm, text)
            end = logprob[len(ids) - 1][ids[-1]]
            assert whole.logprob_nats - rest.logprob_nats == pytest.approx(end, abs=1e-3)
            assert rest.tokens == whole.tokens - 1


def test_without_ends_nothing_may_be_left_to_compare(halves):
    (score,) = score_pairs(halves, [Pair("x", "a b", "a a")], scoring="partial", eos=False)
    assert score.point is None and "nothing follows" in score.reason


def test_word_scores_include_the_words_end(lstm):
    """p(pieces) B(after) / B(before), by hand; the sum of p over all that could follow is what
    makes "cat" no part of "cats"."""
    starts_V = lstm.tokenizer.starts_word_V
    pairs = PAIRS[:2]
    for pair, score in zip(pairs, score_pairs(lstm, pairs, scoring="word"), strict=True):
        for text, side, (head, middle, _) in zip(
            (pair.good, pair.bad), (score.good, score.bad), split_at_words(lstm, pair), strict=True
        ):
            ids, logprob = predicted(lstm, text)
            first, stop = tokens_of(lstm, head), tokens_of(lstm, f"{head} {middle}".strip())
            expected = sum(
                before[id] for before, id in zip(logprob[first:stop], ids[first:stop], strict=True)
            )
            expected += math.log(np.exp(logprob[stop][starts_V]).sum())
            expected -= math.log(np.exp(logprob[first][starts_V]).sum()) if first else 0
            assert side.logprob_nats == pytest.approx(expected, abs=1e-3)


def test_what_differs_is_found_in_whole_words():
    letters = [*"cats sit", "</s>"], [*"cars sit", "</s>"]
    starts = [np.array([token in (" ", "</s>") for token in each]) for each in letters]
    assert differing_part(letters, tuple(starts)) == (0, 5)
    words = ["the", "the", "</s>"], ["the", "the", "the", "</s>"]
    assert differing_part(words, tuple(np.ones(len(each), dtype=bool) for each in words)) == (2, 1)


def test_words_put_in_leave_no_words_to_compare(halves):
    score, other = score_pairs(
        halves, [Pair("x", "a b", "a a b"), Pair("x", "a b", "b b")], scoring="word"
    )
    assert score.point is None and "put in" in score.reason and score.good is None
    assert other.point == 1.0 and other.good.tokens == 1


def test_oov_words_are_those_that_were_read(halves):
    pair = Pair("x", "a b zorp", "b b zorp")
    full, word = (score_pairs(halves, [pair], scoring=scoring)[0] for scoring in ("full", "word"))
    assert full.good.oov == ("zorp",) and full.has_oov
    assert word.good.oov == () and not word.has_oov


def test_partial_scoring_tells_where_nothing_follows(halves):
    with pytest.warns(RnnlmWarning, match="in 1 of 2 pairs nothing follows"):
        score_pairs(
            halves, [Pair("x", "a b", "a a"), Pair("x", "a b a", "a a a")], scoring="partial"
        )


def test_identical_sentences_tie_however_they_are_compared(halves):
    for scoring in ("full", "partial", "word"):
        (score,) = score_pairs(halves, [Pair("x", "a b", "a b")], scoring=scoring)
        assert score.point == 0.5 and score.is_identical


@pytest.mark.parametrize("text, reason", [("a\nb", "newline"), ("a </s>", "the text holds </s>")])
def test_an_invalid_sentence_leaves_its_pair_unscored(halves, text, reason):
    scores = score_pairs(halves, [Pair("x", "a", "b"), Pair("x", text, "b"), Pair("x", "b", "a")])
    assert [score.point for score in scores] == [1, None, 0]
    assert reason in scores[1].reason and not scores[1].has_oov and not scores[1].is_identical


def test_reserved_symbols_are_treated_as_asked(halves):
    (dropped,) = score_pairs(halves, [Pair("x", "<s> a </s>", "b")], "drop")
    (plain,) = score_pairs(halves, [Pair("x", "a", "b")])
    assert dropped.good == plain.good


def test_pairs_come_in_chunks_and_in_their_order(halves, monkeypatch):
    monkeypatch.setattr("rnnlm.scoring.pairs.scoring.PAIRS_PER_CHUNK", 2)
    pairs = [Pair(str(number), "a", "b" if number % 2 else "a a\n") for number in range(7)]
    scores = score_pairs(halves, pairs)
    assert [score.pair for score in scores] == pairs
    assert [score.point for score in scores] == [None, 1] * 3 + [None]
    assert score_pairs(halves, []) == []


def test_an_unknown_scoring_is_an_error(halves):
    with pytest.raises(UsageError, match="did you mean 'partial'"):
        score_pairs(halves, [], scoring="partail")
