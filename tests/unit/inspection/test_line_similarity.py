"""Cosines of sentences: those of numpy on what `rnnlm.embed` gives."""

import json

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.inspection.line_similarity import LinePair, LineSimilarity, cosines
from support import tiny_models, tiny_tasks
from support.pictures import faults_of
from support.tiny_models import LINES

SENTENCES = ["the cat sat", "sat the cat", "a zorp dog", "the cat sat"]
TEXT = rnnlm.Corpus.from_lines([*LINES, "the dog saw a cat"])


@pytest.fixture(scope="module")
def lstm():
    return tiny_models.fit("lstm")


@pytest.mark.parametrize("asked", [{}, {"pooling": "mean"}, {"layer": "input", "pooling": "max"}])
def test_cosines_are_numpys_of_embedded_lines(lstm, asked):
    found = rnnlm.inspect_line_similarity(lstm, SENTENCES, text=TEXT, **asked)
    vectors = rnnlm.embed(lstm, SENTENCES, **asked).astype(np.float64)
    for i, one in enumerate(vectors):
        for j, other in enumerate(vectors):
            expected = one @ other / np.sqrt((one @ one) * (other @ other))
            assert found.cosine_NN[i, j] == pytest.approx(expected, abs=1e-6)

    # Every two lines once, the most alike first.
    assert [pair.cosine for pair in found.pairs] == sorted(
        (float(found.cosine_NN[i, j]) for i in range(4) for j in range(i)), reverse=True
    )
    assert found.cosine_NN[0, 3] == pytest.approx(1)  # the same line again


def test_random_lines_are_what_cosines_are_compared_with(lstm):
    """Of few lines, every one is drawn."""
    found = rnnlm.inspect_line_similarity(lstm, SENTENCES, text=TEXT)
    vectors = rnnlm.embed(lstm, [*LINES, "the dog saw a cat"])
    cosine_NN = cosines(vectors)
    random = cosine_NN[np.triu_indices(len(vectors), k=1)]
    assert found.random_mean == pytest.approx(random.mean())
    assert (found.random_low, found.random_high) == pytest.approx(np.quantile(random, (0.05, 0.95)))
    for pair in found.pairs:
        assert pair.above == pytest.approx((random < pair.cosine).mean())


def test_unknown_words_are_named(lstm):
    found = rnnlm.inspect_line_similarity(lstm, SENTENCES, text=TEXT)
    assert found.unknown == ("zorp",) and "unknown to it, and read as <unk>: zorp." in found.verdict
    known = rnnlm.inspect_line_similarity(lstm, SENTENCES[:2], text=TEXT)
    assert known.unknown == () and "unknown" not in known.verdict


def test_zero_vectors_have_no_cosine():
    found = cosines(np.array([[1, 0], [0, 0], [3, 4]], dtype=np.float32))
    assert np.isnan(found[1]).all() and found[0, 2] == pytest.approx(0.6)
    nothing = (float("nan"),) * 3  # no random line has a vector either
    empty = LineSimilarity(
        "it", "1", "last", ("a", "b"), np.full((2, 2), np.nan), (LinePair(0, 1, None, None),),
        *nothing, (),
    )  # fmt: skip
    assert "no two of these lines" in empty.verdict and empty.figure().axes
    assert empty.to_dict()["cosines"] == [[None, None], [None, None]]


def test_taggers_compare_sentences_too():
    """This one reads the characters of words: no word is unknown to it."""
    model = tiny_tasks.fit("tagging", "lstm", budget="4steps")
    found = rnnlm.inspect_line_similarity(model, ["the cat sat", "a zorp"], text=TEXT)
    assert len(found.pairs) == 1 and found.unknown == ()


def test_file_json_and_picture_have_all_lines(lstm, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("the cat sat\n\n  \na dog\r\nthe dog saw a cat\n", encoding="utf-8")
    found = rnnlm.inspect_line_similarity(lstm, file, text=TEXT)
    assert found.lines == ("the cat sat", "a dog", "the dog saw a cat")
    content = json.loads(json.dumps(found.to_dict()))
    assert np.shape(content["cosines"]) == (3, 3) and len(content["pairs"]) == 3
    (axes,) = found.figure().axes
    assert [each.get_text() for each in axes.get_yticklabels()] == [
        "1. the cat sat", "2. a dog", "3. the dog saw a cat",
    ]  # fmt: skip
    assert axes.texts[0].get_text() == "1.00"
    many = [f"the cat sat on the mat and saw dog number {number}" for number in range(60)]
    drawn = rnnlm.inspect_line_similarity(lstm, many, text=TEXT).figure()
    assert faults_of(drawn, fits_a_slide=False) == []


@pytest.mark.parametrize(
    ("lines", "error", "what"),
    [
        ([], TextError, "two sentences at least"),
        (["one"], TextError, "two sentences at least"),
        (["a"] * 101, TextError, "holds 101 sentences"),
        (["a", "b </s>"], TextError, "line 2: the text holds </s>"),
        (["a", "b\nc"], TextError, "line 2 holds a newline"),
    ],
)
def test_lines_that_cannot_be_compared_are_refused(lstm, lines, error, what):
    with pytest.raises(error, match=what):
        rnnlm.inspect_line_similarity(lstm, lines, text=TEXT)


def test_models_without_vectors_and_short_texts_are_refused(lstm):
    with pytest.raises(UsageError, match="inspect similarity has nothing to show for"):
        rnnlm.inspect_line_similarity(tiny_models.fit("ngram", order=2), SENTENCES, text=TEXT)
    short = rnnlm.Corpus.from_lines(["a cat", "a dog"])
    with pytest.raises(TextError, match="too few lines to draw from"):
        rnnlm.inspect_line_similarity(lstm, SENTENCES, text=short)
