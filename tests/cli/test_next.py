"""`rnnlm next`: the likeliest next words."""

import pytest

import rnnlm as library
from support.failures import checked_error


@pytest.fixture
def counts(rnnlm, here):
    """Train bigrams. After `a`, b has 2/4, bc 1/4 and `</s>` 1/4; after b, a has 1/2."""
    (here / "t.txt").write_text("a b a b\na bc\na\n")
    command = "train t.txt --model ngram --smoothing mle --order 2 --holdout 0 -o mle"
    assert rnnlm(*command.split()).code == 0
    return "mle"


def test_words_after_a_text_have_the_probabilities_of_the_counts(rnnlm, counts):
    shown = rnnlm("next", "-m", counts, "b a")
    assert shown.rows == [
        ["word", "probability"], ["b", "0.5"], ["</s>", "0.25"], ["bc", "0.25"],
    ]  # fmt: skip
    assert rnnlm("next", "-m", counts, "b a", "--num", 1).rows[1:] == [["b", "0.5"]]
    assert rnnlm("next", "-m", counts).rows[1:] == [["a", "1"]]  # as a line begins
    assert rnnlm("next", "-m", counts, "b a", "--complete").rows[1:] == [["a", "0.5"]]


def test_the_last_word_is_completed_if_asked(rnnlm, counts):
    [answer] = rnnlm("next", "-m", counts, "a b", "--complete", "--json").records
    expected = library.load(counts).next_words("a b")
    assert answer["next"] == [{"word": w.word, "probability": w.probability} for w in expected]
    assert [word["word"] for word in answer["next"]] == ["b", "bc"]
    none = rnnlm("next", "-m", counts, "a x", "--complete")
    assert none.code == 0 and none.rows == [["word", "probability"]]
    assert "mle knows no word that begins like the last one of 'a x'" in none.err


def test_several_models_and_texts_have_columns(rnnlm, counts, models):
    shown = rnnlm("next", "-m", counts, "-m", models.unigram, "b a", "b", "--num", 1)
    columns, *rows = shown.rows
    assert columns == ["model", "text", "word", "probability"]
    assert [row[:3] for row in rows[:2]] == [["mle", "b a", "b"], ["mle", "b", "</s>"]]
    assert [row[0] for row in rows[2:]] == ["uni", "uni"]
    lines = rnnlm("next", "-m", counts, "-", "--json", "--num", 1, stdin=b"b a\nb\n").records
    assert [(line["model"], line["text"]) for line in lines] == [("mle", "b a"), ("mle", "b")]
    assert rnnlm("next", "-m", models.lstm, "the man", "--num", 3).rows[1:] == [
        [word.word, f"{word.probability:.4g}"]
        for word in library.load(models.lstm).next_words("the man ", 3)
    ]


def test_unknown_words_and_scores_are_noted(rnnlm, counts):
    shown = rnnlm("next", "-m", counts, "zorp")
    assert "words the model does not know, read as <unk>: zorp" in shown.err
    assert "not normalised" not in shown.err
    command = "train t.txt --model ngram --smoothing stupid --order 2 --holdout 0 -o stupid"
    assert rnnlm(*command.split()).code == 0
    noted = "stupid is not normalised: these numbers are not probabilities"
    assert noted in rnnlm("next", "-m", "stupid", "a").err


@pytest.mark.parametrize(("options", "code", "what"), [
    (["a\nb"], 1, "the prompt: a line holds a newline"), (["a </s>"], 1, "the prompt: the text holds </s>"),
    (["--num", "0"], 2, "Invalid value for '--num'"),
])  # fmt: skip
def test_what_cannot_be_continued_is_refused(rnnlm, counts, options, code, what):
    checked_error(rnnlm("next", "-m", counts, *options), code, what)
