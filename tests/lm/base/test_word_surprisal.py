"""Words under models of pieces, beside brute force and a slow loop through `predict`."""

import itertools
import math

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.text.lines import split_words
from support import foreign_tokenizers
from support.adapted_models import next_token_probabilities
from support.tiny_models import LINES, fit

TOY = ["a b", "ab b a", "b ab", "ba a b", "aab b"]
SENTENCES = [
    "the cat sat on the mat", "", "a", "the  cat   sat", "  the cat", "the cat  ", " it's hard ",
    "x zebra saw", "the <unk> sat",
]  # fmt: skip
PIECES = [
    ("lstm", {"tokenizer": "char"}), ("lstm", {"tokenizer": "byte"}),
    ("lstm", {"tokenizer": "sentencepiece", "vocab_size": 280}),
    ("ngram", {"tokenizer": "char", "order": 3}),
    ("ngram", {"tokenizer": "sentencepiece", "vocab_size": 280, "order": 2, "smoothing": "stupid"}),
    ("unigram", {"tokenizer": "byte"}), ("ngram", {"tokenizer": "huggingface", "order": 2}),
    ("ngram", {"tokenizer": "char", "order": 3, "smoothing": "mle"}),
    ("mixture",
     {"parts": (("lstm", {"tokenizer": "char"}), ("ngram", {"tokenizer": "char", "order": 2})),
      "weights": (0.5, 0.5)}),
]  # fmt: skip


@pytest.fixture(
    scope="module", params=PIECES, ids=lambda case: "-".join(map(str, (case[0], *case[1].values())))
)
def model(request):
    return fit(request.param[0], **request.param[1])


def scored(model, lines, **asked):
    return rnnlm.Model(model).score_sentences(lines, **{"words": True, **asked})


def bits(score):
    return [word.surprisal_bits for word in score.word_scores]


def words_of(score):
    return [word.word for word in score.word_scores]


def entropy(model, ids):
    p = next_token_probabilities(model, ids)
    p = p[p > 0] / p.sum()
    return pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)


def adds_up(score, words):
    total = sum(word.surprisal_bits for word in words) * math.log(2)
    return total == pytest.approx(-score.logprob_nats, abs=1e-4)


def slow_words(model, line: str) -> list[float]:
    """Compute P(w|c) = P(pieces|c) B(c w) / B(c) of each word, then of `</s>`, by hand."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode([line]).ids.tolist()
    begins_V, starters = tokenizer.starts_word_V, np.flatnonzero(tokenizer.starts_word_V)
    is_word = [tokenizer.decode([id]).strip(" \t") or id == tokenizer.boundary_id for id in ids]
    starts = [0] + [at for at in range(1, len(ids)) if begins_V[ids[at]] and is_word[at - 1]]
    boundary = {at: next_token_probabilities(model, ids[:at])[starters].sum() for at in starts}
    boundary |= {0: 1.0, len(ids): 1.0}
    result = []
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        p = math.prod(next_token_probabilities(model, ids[:t])[ids[t]] for t in range(start, end))
        result.append(p * boundary[end] / boundary[start] if boundary[start] else 0.0)
    return result


def test_words_equal_a_slow_loop_and_sum_to_the_line(model):
    for score in scored(model, ["the  cat", "", "a ", " it's x"]):
        expected = [-math.log2(p) if p > 0 else None for p in slow_words(model, score.text)]
        assert bits(score) == pytest.approx(expected, abs=1e-3)
    for score in scored(model, SENTENCES):
        assert words_of(score) == [*score.text.split(), "</s>"]
        if score.logprob_nats is None:
            assert None in bits(score)
        else:
            assert adds_up(score, score.word_scores)


def test_toy_vocabulary_surprisals_equal_brute_force_marginalisation():
    """All strings of up to three letters: the mass of those whose next word is w, of all."""
    model = fit("ngram", TOY, tokenizer="char", order=3, smoothing="witten-bell")
    tokenizer = model.tokenizer
    context = tokenizer.encode(["ab"]).ids[:-1].tolist()
    ids_of = dict(zip(tokenizer.symbols(), range(tokenizer.size), strict=True))
    letters = [ids_of[symbol] for symbol in tokenizer.symbols() if symbol not in (" ", "</s>")]
    starts_word = next_token_probabilities(model, context)[[ids_of[" "], ids_of["</s>"]]].sum()
    total = 0.0
    for length in (1, 2, 3):
        for word in itertools.product(letters, repeat=length):
            sequence = [*context, ids_of[" "], *word]
            places = range(len(context), len(sequence))
            *each, after = [
                next_token_probabilities(model, sequence[:at]) for at in (*places, None)
            ]
            p = math.prod(p_V[sequence[at]] for p_V, at in zip(each, places, strict=True))
            mass = p * (after[ids_of[" "]] + after[ids_of["</s>"]])
            total += mass / starts_word
            text = "".join(tokenizer.symbols()[id] for id in word)
            if text in ("a", "b", "ab", "ba", "aab"):
                (score,) = scored(model, [text], given="ab")
                assert 2 ** -bits(score)[0] == pytest.approx(mass / starts_word, rel=1e-4)
    (ended,) = scored(model, [""], given="ab")
    assert 0.5 < total + 2 ** -bits(ended)[0] <= 1 + 1e-6


@pytest.mark.parametrize("kind", ["lstm", "ngram"])
def test_word_cost_is_the_same_after_given_text(kind):
    for settings in ({"tokenizer": "char"}, {"tokenizer": "sentencepiece", "vocab_size": 280}, {}):
        model = fit(kind, **settings)
        (whole,) = scored(model, ["the cat saw a dog"])
        (rest,) = scored(model, ["saw a dog"], given="the cat")
        (open_end,) = scored(model, ["the cat saw a dog"], eos=False)
        assert bits(rest) == pytest.approx(bits(whole)[2:], abs=1e-4)
        assert bits(open_end) == pytest.approx(bits(whole)[:-1], abs=1e-4)
        assert words_of(rest) == ["saw", "a", "dog", "</s>"]


def test_of_word_models_words_are_tokens():
    model = fit("lstm", split_punctuation=True)
    for score in scored(model, [*LINES, "The zebra's, (mat)!"], tokens=True, split="tokens"):
        tokens, words = score.token_scores, score.word_scores
        assert [(w.word, w.is_oov) for w in words] == [(t.token, t.is_oov) for t in tokens]
        assert bits(score) == pytest.approx([t.surprisal_bits for t in tokens], abs=1e-5)


CASED = "The DOG's (ran), \u0130'x  said \u201cHi!\u201d <unk>"


@pytest.mark.parametrize("settings", [{"split_punctuation": True}, {"tokenizer": "char"}, {}])
@pytest.mark.parametrize("lowercase", [False, True])
def test_words_stay_as_in_line_for_any_tokenizer(settings, lowercase):
    model = fit("unigram", lowercase=lowercase, **settings)
    whole, rest = scored(model, [CASED, CASED], given=["", "\u0130 saw, "], split="tokens")
    words = words_of(whole)
    assert "".join(words[:-1]) == "".join(CASED.split()) and words[-1] == "</s>"
    assert words_of(rest) == words
    assert whole.words == rest.words == len(words) - 1
    if settings.get("split_punctuation"):
        last = "\u0130" if lowercase else "\u0130'x"
        assert words[:7] == ["The", "DOG's", "(", "ran", ")", ",", last]
    else:
        assert words[:-1] == CASED.split()


MARKED = ["The DOG's (ran),  \u0130'x said. ", "", " (!) the\tdog", "the cat"]


@pytest.mark.parametrize("settings", [
    {"split_punctuation": True, "lowercase": True}, {"split_punctuation": True}, {},
    {"tokenizer": "char"}, {"tokenizer": "byte"}, {"tokenizer": "sentencepiece", "vocab_size": 300},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("given", ["", "It's \u0130, so "])
def test_written_words_split_at_spaces_and_add_up(settings, given):
    model = fit("ngram", [*LINES, *MARKED], order=2, smoothing="witten-bell", **settings)
    asked = {"given": given, "tokens": True}
    both = (scored(model, MARKED, split=split, **asked) for split in ("whitespace", "tokens"))
    for score, apart in zip(*both, strict=True):
        assert words_of(score) == [*split_words(score.text), "</s>"]
        for words in (score.word_scores, apart.word_scores):
            assert all(score.text[w.start : w.end] == w.word for w in words[:-1])
            assert words[-1].start == words[-1].end
            # else the first word costs what it costs behind white space
            if not given or model.tokenizer.name == "word":
                assert adds_up(score, words)
            assert sum(word.tokens for word in words) == score.tokens == len(score.token_scores)
            unknown = [word.word for word in words if word.is_oov]
            assert len(unknown) == len(set(unknown))
        first = len(split_words(given)) + 1
        indices = [word.index for word in score.word_scores]
        assert indices == list(range(first, first + len(indices)))
        assert (score.words, score.ppl_word) == (apart.words, apart.ppl_word)
        for word in score.word_scores[:-1]:
            parts = [w for w in apart.word_scores if word.start <= w.start < word.end]
            expected = sum(part.surprisal_bits for part in parts)
            assert word.surprisal_bits == pytest.approx(expected, abs=1e-6)


def test_unknown_white_space_begins_but_does_not_end_a_word():
    (score,) = scored(fit("unigram", tokenizer="char"), ["the\tdog sat"])
    assert [(word.word, word.tokens, word.is_oov) for word in score.word_scores] == [
        ("the", 3, False), ("dog", 4, True), ("sat", 4, False), ("</s>", 1, False)
    ]  # fmt: skip
    assert adds_up(score, score.word_scores)
    model = fit("unigram", tokenizer="char", lowercase=True)
    lines = ["The\tDOG ran", "\u0130\tA b"]
    one, other = scored(model, lines, given=["", "\u0130 "], split="tokens")
    assert words_of(one) == ["The\tDOG", "ran", "</s>"]
    assert words_of(other) == ["\u0130\tA", "b", "</s>"]
    assert (one.words, other.words) == (2, 2)


MESSY = [
    "The \u201ccat\u201d &amp; a\u00a0dog \u2014 \u2026", "\u2014 \u2014",
    "  10\u00a0km,\u200b  caf\u0065\u0301 \u2014", "\u00a0\t",
]  # fmt: skip


@pytest.mark.parametrize("settings", [
    {"split_punctuation": True}, {}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 320},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("removes", [False, True])
def test_written_words_stay_as_written_under_rewriting_tokenizers(settings, removes):
    settings = {"normalise": "all", "remove_punctuation": removes, **settings}
    model = fit("unigram", [*LINES, *MESSY], **settings)
    for split in ("whitespace", "tokens"):
        for score in scored(model, MESSY, split=split):
            assert all(score.text[w.start : w.end] == w.word for w in score.word_scores[:-1])
            assert sum(word.tokens for word in score.word_scores) == score.tokens
            assert adds_up(score, score.word_scores)
    found = (score.word_scores for score in scored(model, MESSY))
    first, marks, last, _ = ([(word.index, word.word) for word in words] for words in found)
    if removes:
        joined = ["The", "\u201ccat\u201d &amp;", "a\u00a0dog \u2014 \u2026", "</s>"]
        assert first == list(zip((1, 2, 4, 7), joined, strict=True))
        assert marks == [(3, "</s>")]
    else:
        words = ["The", "\u201ccat\u201d", "&amp;", "a\u00a0dog", "\u2014", "\u2026", "</s>"]
        assert first == list(enumerate(words, start=1))
        assert marks == list(enumerate(["\u2014", "\u2014", "</s>"], start=1))
        words = ["10\u00a0km,\u200b", "caf\u0065\u0301", "\u2014", "</s>"]
        assert last == list(enumerate(words, start=1))


def test_entropy_is_that_of_predicting_the_first_token(model):
    for split in ("whitespace", "tokens"):
        asked = {"given": "the", "measures": ["entropy"], "split": split}
        (score,) = scored(model, ["cat, sat  on"], **asked)
        ids = model.tokenizer.encode(["the cat, sat  on"]).ids.tolist()
        at = len(model.tokenizer.encode(["the"]).ids) - 1
        for word in score.word_scores:
            if next_token_probabilities(model, ids[:at]).any():
                assert word.entropy_bits == entropy(model, ids[:at])
            at += word.tokens


def test_predictions_belong_to_a_written_words_first_token():
    model = fit("lstm", [*LINES, "the dog, sat."], split_punctuation=True)
    asked = {"measures": ["entropy"], "next_words": 3}
    (written,) = scored(model, ["the dog, sat."], **asked)
    (apart,) = scored(model, ["the dog, sat."], split="tokens", **asked)
    ids = model.tokenizer.encode(["the dog, sat."]).ids.tolist()
    places = [0, 1, 3, 5]  # the dog sat </s>, of the dog , sat . </s>
    assert written.next_words == tuple(apart.next_words[at] for at in places)
    for word, at in zip(written.word_scores, places, strict=True):
        assert word.entropy_bits == apart.word_scores[at].entropy_bits == entropy(model, ids[:at])


def test_frequencies_are_shares_of_training_words():
    lines = ["the dog barked .", "the <unk> , the"]  # 8 words
    model = fit("unigram", lines, split_punctuation=True, lowercase=True)
    asked = {"measures": ["frequency"]}
    (score,) = scored(model, ["The ,dog. barked dog,barked , zebra. <unk>"], **asked)
    shares = [3 / 8, 1 / 8, 1 / 8, None, 1 / 8, None, None, None]
    assert [word.log10_frequency for word in score.word_scores] == [
        share and pytest.approx(math.log10(share)) for share in shares
    ]
    with pytest.warns(RnnlmWarning, match="no frequencies"):
        (score,) = scored(fit("unigram", tokenizer="char"), ["the"], **asked)
    assert [word.log10_frequency for word in score.word_scores] == [None, None]


@pytest.mark.needs("tools/huggingface")
def test_pieces_that_begin_with_a_space_by_hand():
    """P(a word begins) is 1/8 + 1/4 + 1/8 = 1/2 everywhere, and 1 at the start of a line:
    a: 1/4 · 1/2; cat's: 1/8 · 1/4 · 1/2 / 1/2; </s>: 1/8 / 1/2."""
    from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer

    tokenizer = HuggingFaceTokenizer(*foreign_tokenizers.make("byte-level"))
    p = {"a": 1 / 4, "\u2581cat": 1 / 8, "'s": 1 / 4, "\u2581dog": 1 / 4, "</s>": 1 / 8}
    with np.errstate(divide="ignore"):
        logprob_V = np.log([p.get(symbol, 0.0) for symbol in tokenizer.symbols()])
    (score,) = scored(UnigramModel(logprob_V, tokenizer), ["a cat's"])
    assert words_of(score) == ["a", "cat's", "</s>"]
    assert bits(score) == pytest.approx([3, 5, 2], abs=1e-6)


def test_a_word_with_an_unknown_character_is_unknown():
    (score,) = scored(fit("lstm", tokenizer="char"), ["the z\u00e9bra sat"])
    assert [word.is_oov for word in score.word_scores] == [False, True, False, False]
    assert score.word_scores[1].word == "z\u00e9bra"


def test_words_of_pieces_do_not_depend_on_batches(monkeypatch):
    model = fit("lstm", tokenizer="char")
    usual = scored(model, SENTENCES)
    monkeypatch.setattr("rnnlm.lm.base.span_scoring.MOST_CELLS", 50)
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 2)
    model.call_tokens = 7
    for one, other in zip(scored(model, SENTENCES), usual, strict=True):
        assert bits(one) == pytest.approx(bits(other), abs=1e-4)
