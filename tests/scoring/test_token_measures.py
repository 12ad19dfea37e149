"""Ranks of tokens, and orders of the n-grams found, beside one prediction after the other and a
dictionary of an ARPA file."""

import numpy as np
import pytest

import rnnlm
from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.lm.ngram.arpa.writing import arpa
from rnnlm.scoring.rows import layout
from rnnlm.scoring.sentences import of_texts
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import TextForm, score_chunks_of_models
from support.tiny_models import fit, mixture

OWN = ("rank", "order", "next")
TEXTS = ["the dog saw zebra", "", "it is hard the cat sat"]
MODELS = {
    "lstm": {}, "ngram": {"order": 3}, "unigram": {}, "rnn": {"tokenizer": "char"},
}  # fmt: skip


def slow_ranks(model, lines, carry):
    """Return the rank of each token of the lines, one prediction after the other."""
    state, ranks = model.initial_state(1), []
    for line in lines:
        state = state if carry else model.initial_state(1)
        ids = model.tokenizer.encode([line]).ids
        inputs = np.concatenate([[model.tokenizer.boundary_id], ids[:-1]])
        for read, target in zip(inputs, ids, strict=True):
            predicted, state = model.predict(np.array([[read]]), state)
            logprob_V = arrays.as_numpy(predicted)[0, 0]
            ranks.append(1 + sum(logprob_V > logprob_V[target]))
    return ranks


@pytest.mark.parametrize("asked", [{}, {"words": True, "measures": ("entropy", "rank")}], ids=str)
@pytest.mark.parametrize("context", ["reset", "carry"])
@pytest.mark.parametrize("name", MODELS)
def test_rank_is_one_more_than_the_likelier_tokens(name, context, asked):
    model = fit(name, **MODELS[name])
    asked = {"tokens": True, "measures": ("rank",), "context": context} | asked
    scores = rnnlm.Model(model).score_sentences(TEXTS, **asked)
    ranks = [token.rank for score in scores for token in score.token_scores]
    assert ranks == slow_ranks(model, TEXTS, context == "carry")
    if "words" in asked:
        words = [word.rank for score in scores for word in score.word_scores]
        assert words == ([None] * len(words) if name == "rnn" else ranks)
    assert [row["rank"] for row in scores.to_rows("token")] == ranks


def test_order_is_the_length_of_the_ngram_in_the_file():
    model = fit("ngram", order=3)
    lines = b"".join(map(bytes, arpa(model))).decode().split("\n")
    ngrams = {tuple(line.split("\t")[1].split(" ")) for line in lines if "\t" in line}
    asked = {"tokens": True, "words": True, "measures": ("order",)}
    for score in rnnlm.Model(model).score_sentences(TEXTS, given="on a", **asked):
        read = ["<s>", "on", "a", *score.text.replace("zebra", "<unk>").split(), "</s>"]
        expected = []
        for end in range(4, len(read) + 1):
            found = [n for n in (1, 2, 3) if tuple(read[end - n : end]) in ngrams]
            expected.append(max(found))
        assert [token.order for token in score.token_scores] == expected
        assert [word.order for word in score.word_scores] == expected


def test_words_of_several_tokens_have_no_rank():
    model = rnnlm.Model(fit("ngram", split_punctuation=True))
    [score] = model.score_sentences(["the cat, sat"], words=True, measures=("rank", "order"))
    assert [word.rank is None for word in score.word_scores] == [False, True, False, False]
    assert [word.order is None for word in score.word_scores] == [False, True, False, False]


def test_tables_have_columns_of_measures_and_likeliest_words():
    model, asked = fit("ngram"), {"measures": ("rank", "order"), "next_words": 2}
    for settings, columns in (
        (ScoringSettings(tokens=True, measures=("rank",)), ["rank"]),
        (ScoringSettings(**asked), ["rank", "order", "next"]),
    ):
        form = TextForm("csv", settings, layout(settings))
        assert [name for name in form.layout.own if name in OWN] == columns
        [chunk] = score_chunks_of_models({"": model}, of_texts(TEXTS), settings)
        table = form.layout.table(chunk.scores)
        assert set(map(type, table["rank"])) == {int}
    likely = [" ".join(word.word for word in words) for words in chunk.scores[""][0].next_words]
    assert table["next"][: len(likely)] == likely and len(likely[0].split()) == 2
    rows = rnnlm.Model(model).score_sentences(TEXTS, **asked).to_rows()
    assert [row["next"] for row in rows] == table["next"]


@pytest.mark.parametrize("asked, message", [
    ({"words": True, "measures": ("order",)}, "order can be measured for n-gram models"),
    ({"measures": ("rank",)}, "rank can only be measured for words or tokens"),
    ({"tokens": True, "measures": ("rank", "entropy")}, "entropy can only be measured for words"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(asked, message):
    for model in (fit("lstm"), mixture([("ngram", {}), ("lstm", {})], [0.5, 0.5])):
        with pytest.raises(UsageError, match=message):
            rnnlm.Model(model).score_sentences(["a"], **asked)
