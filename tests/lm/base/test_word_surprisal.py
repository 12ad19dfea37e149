"""Words under models of pieces: beside brute-force marginalisation, and beside a slow loop through
`predict`."""

import itertools
import math

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.text.lines import split_words
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer
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
    scope="module",
    params=PIECES,
    ids=lambda case: f"{case[0]}-{case[1].get('tokenizer')}-{case[1].get('smoothing')}",
)
def model(request):
    return fit(request.param[0], **request.param[1])


def slow_words(model, line: str) -> list[float]:
    """Compute P(w|c) = P(pieces|c) B(c w) / B(c) of each word, then of `</s>`, by hand. Words lie
    between runs of white space."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode([line]).ids.tolist()
    starters = np.flatnonzero(tokenizer.starts_word_V)
    is_space = [
        id != tokenizer.boundary_id and not tokenizer.decode([id]).strip(" \t") for id in ids
    ]
    starts = [0] + [
        at for at in range(1, len(ids)) if tokenizer.starts_word_V[ids[at]] and not is_space[at - 1]
    ]
    boundary = {
        at: 1.0 if at == 0 else next_token_probabilities(model, ids[:at])[starters].sum()
        for at in starts
    } | {len(ids): 1.0}
    result = []
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        p = math.prod(
            next_token_probabilities(model, ids[:at])[ids[at]] for at in range(start, end)
        )
        result.append(p * boundary[end] / boundary[start] if boundary[start] else 0.0)
    return result


def test_words_equal_a_slow_loop_through_predict(model):
    for score in rnnlm.Model(model).score_sentences(["the  cat", "", "a ", " it's x"], words=True):
        expected = [-math.log2(p) if p > 0 else None for p in slow_words(model, score.text)]
        assert [word.surprisal_bits for word in score.word_scores] == pytest.approx(
            expected, abs=1e-3
        )


def test_words_and_line_end_sum_to_the_line(model):
    for score in rnnlm.Model(model).score_sentences(SENTENCES, words=True):
        assert [word.word for word in score.word_scores] == [*score.text.split(), "</s>"]
        if score.logprob_nats is not None:
            assert sum(word.surprisal_bits for word in score.word_scores) * math.log(
                2
            ) == pytest.approx(-score.logprob_nats, abs=1e-4)
        else:
            assert None in [word.surprisal_bits for word in score.word_scores]


def test_toy_vocabulary_surprisals_equal_brute_force_marginalisation():
    """All strings of up to six characters after a context: the mass of those whose next word is w,
    of all that begin a word."""
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
            p = math.prod(
                next_token_probabilities(model, sequence[:at])[sequence[at]]
                for at in range(len(context), len(sequence))
            )
            mass = sum(
                p * next_token_probabilities(model, sequence)[ids_of[end]] for end in (" ", "</s>")
            )
            total += mass / starts_word
            text = "".join(tokenizer.symbols()[id] for id in word)
            if "<" not in text and text in ("a", "b", "ab", "ba", "aab"):
                (score,) = rnnlm.Model(model).score_sentences([text], given="ab", words=True)
                assert 2 ** -score.word_scores[0].surprisal_bits == pytest.approx(
                    mass / starts_word, rel=1e-4
                )
    (ended,) = rnnlm.Model(model).score_sentences([""], given="ab", words=True)
    assert 0.5 < total + 2 ** -ended.word_scores[0].surprisal_bits <= 1 + 1e-6


@pytest.mark.parametrize("kind", ["lstm", "ngram"])
def test_word_cost_is_the_same_after_given_text(kind):
    for settings in ({"tokenizer": "char"}, {"tokenizer": "sentencepiece", "vocab_size": 280}, {}):
        model = fit(kind, **settings)
        (whole,) = rnnlm.Model(model).score_sentences(["the cat saw a dog"], words=True)
        (rest,) = rnnlm.Model(model).score_sentences(["saw a dog"], given="the cat", words=True)
        (open_end,) = rnnlm.Model(model).score_sentences(
            ["the cat saw a dog"], words=True, eos=False
        )
        bits = [word.surprisal_bits for word in whole.word_scores]
        assert [word.surprisal_bits for word in rest.word_scores] == pytest.approx(
            bits[2:], abs=1e-4
        )
        assert [word.surprisal_bits for word in open_end.word_scores] == pytest.approx(
            bits[:-1], abs=1e-4
        )
        assert [word.word for word in rest.word_scores] == ["saw", "a", "dog", "</s>"]


def test_of_word_models_words_are_tokens():
    model = fit("lstm", split_punctuation=True)
    for score in rnnlm.Model(model).score_sentences(
        [*LINES, "The zebra's, (mat)!"], words=True, tokens=True, split="tokens"
    ):
        assert [(w.word, w.surprisal_bits, w.is_oov) for w in score.word_scores] == [
            (t.token, pytest.approx(t.surprisal_bits, abs=1e-5), t.is_oov)
            for t in score.token_scores
        ]


CASED = "The DOG's (ran), \u0130'x  said \u201cHi!\u201d <unk>"


@pytest.mark.parametrize(
    "settings", [{"split_punctuation": True}, {"tokenizer": "char"}, {}], ids=str
)
@pytest.mark.parametrize("lowercase", [False, True])
def test_words_stay_as_in_line_for_any_tokenizer(settings, lowercase):
    model = fit("unigram", lowercase=lowercase, **settings)
    whole, rest = rnnlm.Model(model).score_sentences(
        [CASED, CASED], given=["", "\u0130 saw, "], words=True, split="tokens"
    )
    words = [word.word for word in whole.word_scores]
    assert "".join(words[:-1]) == "".join(CASED.split()) and words[-1] == "</s>"
    assert [word.word for word in rest.word_scores] == words
    assert whole.words == rest.words == len(words) - 1
    if settings.get("split_punctuation"):
        assert words[:7] == [
            "The",
            "DOG's",
            "(",
            "ran",
            ")",
            ",",
            "\u0130" if lowercase else "\u0130'x",
        ]
    else:
        assert words[:-1] == CASED.split()


MARKED = ["The DOG's (ran),  \u0130'x said. ", "", " (!) the\tdog", "the cat"]


@pytest.mark.parametrize("settings", [
    {"split_punctuation": True, "lowercase": True}, {"split_punctuation": True}, {},
    {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 300},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("given", ["", "It's \u0130, so "])
def test_written_words_split_at_spaces_and_add_up(settings, given):
    model = fit("ngram", [*LINES, *MARKED], order=2, smoothing="witten-bell", **settings)
    asked = {"given": given, "tokens": True, "words": True}
    for score, apart in zip(
        rnnlm.Model(model).score_sentences(MARKED, **asked),
        rnnlm.Model(model).score_sentences(MARKED, split="tokens", **asked),
        strict=True,
    ):
        assert [word.word for word in score.word_scores] == [*split_words(score.text), "</s>"]
        for words in (score.word_scores, apart.word_scores):
            assert [score.text[word.start : word.end] for word in words] == [
                *(word.word for word in words[:-1]),
                "",
            ]
            # else the first word costs what it costs behind white space
            if not given or model.tokenizer.name == "word":
                assert sum(word.surprisal_bits for word in words) * math.log(2) == pytest.approx(
                    -score.logprob_nats, abs=1e-4
                )
            assert sum(word.tokens for word in words) == score.tokens == len(score.token_scores)
            assert [word.is_oov for word in words if word.is_oov] == [True] * len(
                {word.word for word in words if word.is_oov}
            )
        first = len(split_words(given)) + 1
        assert [word.index for word in score.word_scores] == list(
            range(first, first + len(score.word_scores))
        )
        assert (score.words, score.ppl_word) == (apart.words, apart.ppl_word)
        for word in score.word_scores[:-1]:
            parts = [
                part.surprisal_bits
                for part in apart.word_scores
                if word.start <= part.start < word.end
            ]
            assert word.surprisal_bits == pytest.approx(sum(parts), abs=1e-6)


def test_written_word_starts_with_unknown_white_space():
    (score,) = rnnlm.Model(fit("unigram", tokenizer="char")).score_sentences(
        ["the\tdog sat"], words=True, tokens=True
    )
    assert [(word.word, word.tokens, word.is_oov) for word in score.word_scores] == [
        ("the", 3, False), ("dog", 4, True), ("sat", 4, False), ("</s>", 1, False)
    ]  # fmt: skip
    assert sum(word.surprisal_bits for word in score.word_scores) * math.log(2) == pytest.approx(
        -score.logprob_nats, abs=1e-4
    )


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
    model = fit(
        "unigram", [*LINES, *MESSY], normalise="all", remove_punctuation=removes, **settings
    )
    for split in ("whitespace", "tokens"):
        for score in rnnlm.Model(model).score_sentences(MESSY, words=True, split=split):
            assert [score.text[word.start : word.end] for word in score.word_scores[:-1]] == [
                word.word for word in score.word_scores[:-1]
            ]
            assert sum(word.tokens for word in score.word_scores) == score.tokens
            assert sum(word.surprisal_bits for word in score.word_scores) * math.log(
                2
            ) == pytest.approx(-score.logprob_nats, abs=1e-4)
    first, marks, last, _ = (
        [(word.index, word.word) for word in score.word_scores]
        for score in rnnlm.Model(model).score_sentences(MESSY, words=True)
    )
    if removes:
        assert first == [
            (1, "The"),
            (2, "\u201ccat\u201d &amp;"),
            (4, "a\u00a0dog \u2014 \u2026"),
            (7, "</s>"),
        ]
        assert marks == [(3, "</s>")]
    else:
        words = ["The", "\u201ccat\u201d", "&amp;", "a\u00a0dog", "\u2014", "\u2026", "</s>"]
        assert first == list(enumerate(words, start=1)) and marks == [
            (1, "\u2014"),
            (2, "\u2014"),
            (3, "</s>"),
        ]
        assert last == list(
            enumerate(["10\u00a0km,\u200b", "caf\u0065\u0301", "\u2014", "</s>"], start=1)
        )


def test_entropy_is_that_of_predicting_the_first_token(model):
    for split in ("whitespace", "tokens"):
        (score,) = rnnlm.Model(model).score_sentences(
            ["cat, sat  on"], given="the", words=True, measures=["entropy"], split=split
        )
        ids, at = (
            model.tokenizer.encode(["the cat, sat  on"]).ids.tolist(),
            len(model.tokenizer.encode(["the"]).ids) - 1,
        )
        for word in score.word_scores:
            p = next_token_probabilities(model, ids[:at])
            p = p[p > 0] / p.sum()
            assert word.entropy_bits == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4) or not len(
                p
            )
            at += word.tokens


def test_predictions_belong_to_a_written_words_first_token():
    model = fit("lstm", [*LINES, "the dog, sat."], split_punctuation=True)
    asked = {"words": True, "measures": ["entropy"], "next_words": 3}
    (written,) = rnnlm.Model(model).score_sentences(["the dog, sat."], **asked)
    (apart,) = rnnlm.Model(model).score_sentences(["the dog, sat."], split="tokens", **asked)
    places = [0, 1, 3, 5]  # the dog sat </s>, of the dog , sat . </s>
    assert written.next_words == tuple(apart.next_words[at] for at in places)
    assert [word.entropy_bits for word in written.word_scores] == [
        apart.word_scores[at].entropy_bits for at in places
    ]
    ids = model.tokenizer.encode(["the dog, sat."]).ids.tolist()
    for at, entropy_bits in zip(
        places, [word.entropy_bits for word in written.word_scores], strict=True
    ):
        p = next_token_probabilities(model, ids[:at])
        assert entropy_bits == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)


def test_frequencies_are_shares_of_training_words():
    # 8 words
    model = fit(
        "unigram", ["the dog barked .", "the <unk> , the"], split_punctuation=True, lowercase=True
    )
    (score,) = rnnlm.Model(model).score_sentences(
        ["The ,dog. barked dog,barked , zebra. <unk>"], words=True, measures=["frequency"]
    )
    expected = [
        math.log10(3 / 8), math.log10(1 / 8), math.log10(1 / 8), None, math.log10(1 / 8), None,
        None, None,
    ]  # fmt: skip
    assert [word.log10_frequency for word in score.word_scores] == [
        share and pytest.approx(share) for share in expected
    ]
    with pytest.warns(RnnlmWarning, match="no frequencies"):
        (score,) = rnnlm.Model(fit("unigram", tokenizer="char")).score_sentences(
            ["the"], words=True, measures=["frequency"]
        )
    assert [word.log10_frequency for word in score.word_scores] == [None, None]


def test_unknown_white_space_does_not_end_a_word():
    model = fit("unigram", tokenizer="char", lowercase=True)
    scores = rnnlm.Model(model).score_sentences(
        ["The\tDOG ran", "\u0130\tA b"], given=["", "\u0130 "], words=True, split="tokens"
    )
    assert [[word.word for word in score.word_scores] for score in scores] == [
        ["The\tDOG", "ran", "</s>"],
        ["\u0130\tA", "b", "</s>"],
    ]
    assert [score.words for score in scores] == [2, 2]


def test_pieces_that_begin_with_a_space_by_hand():
    """P(a word begins) is 1/8 + 1/4 + 1/8 = 1/2 everywhere, and 1 at the start of a line:
    a: 1/4 · 1/2; cat's: 1/8 · 1/4 · 1/2 / 1/2; </s>: 1/8 / 1/2."""
    tokenizer = HuggingFaceTokenizer(*foreign_tokenizers.make("byte-level"))
    p = {"a": 1 / 4, "\u2581cat": 1 / 8, "'s": 1 / 4, "\u2581dog": 1 / 4, "</s>": 1 / 8}
    with np.errstate(divide="ignore"):
        logprob_V = np.log([p.get(symbol, 0.0) for symbol in tokenizer.symbols()])
    model = rnnlm.Model(UnigramModel(logprob_V, tokenizer))
    (score,) = model.score_sentences(["a cat's"], words=True)
    assert [word.word for word in score.word_scores] == ["a", "cat's", "</s>"]
    assert [word.surprisal_bits for word in score.word_scores] == pytest.approx([3, 5, 2], abs=1e-6)


def test_a_word_with_an_unknown_character_is_unknown():
    (score,) = rnnlm.Model(fit("lstm", tokenizer="char")).score_sentences(
        ["the z\u00e9bra sat"], words=True
    )
    assert [word.is_oov for word in score.word_scores] == [False, True, False, False]
    assert score.word_scores[1].word == "z\u00e9bra"


def test_words_of_pieces_do_not_depend_on_batches(monkeypatch):
    model = fit("lstm", tokenizer="char")
    usual = rnnlm.Model(model).score_sentences(SENTENCES, words=True)
    monkeypatch.setattr("rnnlm.lm.base.distributions.MOST_CELLS", 50)
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 2)
    model.call_tokens = 7
    for one, other in zip(
        rnnlm.Model(model).score_sentences(SENTENCES, words=True), usual, strict=True
    ):
        assert [w.surprisal_bits for w in one.word_scores] == pytest.approx(
            [w.surprisal_bits for w in other.word_scores], abs=1e-4
        )
