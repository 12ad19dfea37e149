"""Scores of models that read each line from its end: printed in the order of reading, the same as
of the line turned by hand."""

import math

import pytest

import rnnlm
from rnnlm import kenlm
from rnnlm.errors import UsageError
from rnnlm.generation.autocomplete import next_words
from rnnlm.generation.drawing import generate
from rnnlm.integrations.continuations import score_continuations
from rnnlm.scoring.pairs.pair import Pair
from rnnlm.scoring.pairs.scoring import score_pairs
from support.tiny_models import LINES, fit

TURNED = [" ".join(line.split()[::-1]) for line in LINES]
SENTENCES = ["the cat sat on a zebra", "go", "", "a dog saw the cat"]


def turned(sentences):
    return [" ".join(sentence.split()[::-1]) for sentence in sentences]


@pytest.fixture(scope="module", params=["ngram", "lstm"])
def models(request):
    """Return a model that reads from the end, and one of turned lines."""
    return fit(request.param, LINES, reversed=True), fit(request.param, TURNED)


@pytest.mark.parametrize("context", ["reset", "carry"])
def test_results_are_in_reading_order_with_turned_scores(models, context):
    asked = {
        "with_tokens": True,
        "with_words": True,
        "measures": ("entropy", "frequency"),
        "context": context,
    }
    found, by_hand = (
        rnnlm.Model(model).score_sentences(lines, **asked)
        for model, lines in zip(models, (SENTENCES, turned(SENTENCES)), strict=True)
    )
    for line, one, two in zip(SENTENCES, found, by_hand, strict=True):
        assert [token.token for token in one.token_scores] == [*line.split(), "</s>"]
        assert one.token_scores == (*two.token_scores[-2::-1], two.token_scores[-1])
        figures = [
            [
                (w.word, w.surprisal_bits, w.is_oov, w.entropy_bits, w.log10_frequency)
                for w in each.word_scores
            ]
            for each in (one, two)
        ]
        assert figures[0] == [*figures[1][-2::-1], figures[1][-1]]
        assert [line[word.start : word.end] for word in one.word_scores[:-1]] == line.split()
        assert (one.oov, one.tokens, one.words) == (two.oov, two.tokens, two.words)
        # added up from the other end
        assert one.logprob_nats == pytest.approx(two.logprob_nats, abs=1e-12)


def test_regions_are_as_in_the_turned_line(models):
    [one] = rnnlm.Model(models[0]).score_sentences(
        ["the cat | sat on | the mat"], regions="|", eos=False
    )
    [two] = rnnlm.Model(models[1]).score_sentences(
        ["mat the | on sat | cat the"], regions="|", eos=False
    )
    assert [region.text for region in one.region_scores] == ["the cat", "sat on", "the mat"]
    assert [r.surprisal_bits for r in one.region_scores] == pytest.approx(
        [r.surprisal_bits for r in two.region_scores][::-1]
    )
    assert one.region_scores[0].next_surprisal_bits == one.region_scores[1].surprisal_bits


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize(
    "settings", [{"tokenizer": "sentencepiece", "vocab_size": 290}, {"tokenizer": "char"}], ids=str
)
def test_words_of_pieces_add_up_to_the_sentence(settings):
    model = fit("gru", LINES, reversed=True, **settings)
    for score in rnnlm.Model(model).score_sentences(
        ["the cat sat", "it is  hard"], with_words=True, with_tokens=True, measures=("entropy",)
    ):
        assert [word.word for word in score.word_scores] == [*score.text.split(), "</s>"]
        bits = [word.surprisal_bits for word in score.word_scores]
        assert sum(bits) == pytest.approx(-score.logprob_nats / math.log(2)) and min(bits) > 0
        first = score.word_scores[0].tokens
        assert bits[0] == pytest.approx(
            sum(token.surprisal_bits for token in score.token_scores[:first])
        )


def test_reversed_models_cannot_be_asked_what_follows(models):
    model, pair = models[0], Pair(1, "the cat sat", "the dog sat")
    for ask in (
        lambda: list(generate(model)), lambda: next_words(model, "the "),
        lambda: rnnlm.Model(model).scorer(),
        lambda: rnnlm.Model(model).score_sentences(["a"], next_words=3),
        lambda: rnnlm.Model(model).score_sentences(["sat"], given="the cat"),
        lambda: kenlm.Model.of(model), lambda: score_continuations(model, [("the", " cat")]),
        lambda: score_pairs(model, [pair], scoring="word"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="reads each line from its end: it cannot"):
            ask()
    assert score_pairs(model, [pair], scoring="full")[0].point is not None
