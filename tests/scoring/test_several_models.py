import itertools
from collections.abc import Iterator

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring.rows import layout
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import (
    ScoringSetup,
    describe_run_of_models,
    score_chunks_of_models,
    written_chunks,
)
from support.tiny_models import LINES, fit, halves_model

SENTENCES = ["the cat sat", "", "a dog saw the cat on the mat", "the zebra sat on a yak"]


@pytest.fixture(scope="module")
def two():
    return {"word": fit("unigram"), "char": fit("unigram", tokenizer="char")}


def score_models(models, sentences, settings=ScoringSettings()):
    """Yield the scores of each sentence by model."""
    each = (Sentence(text, number) for number, text in enumerate(sentences, start=1))
    return itertools.chain.from_iterable(score_chunks_of_models(models, each, settings))


def test_each_model_scores_as_it_does_alone(two):
    settings = ScoringSettings(words=True)
    found = list(score_models(two, SENTENCES, settings))
    assert [list(each) for each in found] == [["word", "char"]] * len(SENTENCES)
    for name, model in two.items():
        alone = rnnlm.Model(model).score_sentences(SENTENCES, words=True)
        assert [each[name] for each in found] == alone
    assert list(score_models({"only": two["word"]}, [])) == []


def test_a_long_line_reports_its_tokens(two, monkeypatch):
    monkeypatch.setattr("rnnlm.scoring.scorer.LONG_LINE", 4)
    said = []
    list(score_chunks_of_models(two, [Sentence("the cat sat", 1)], report=said.append))
    assert said == ["char: 0 of 12 tokens scored", "char: 12 of 12 tokens scored"]


def test_sentences_are_read_once_chunk_by_chunk(two, lines_per_chunk):
    lines_per_chunk(3)
    read = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield LINES[number % len(LINES)].replace("<unk>", "it")

    found = list(itertools.islice(score_models(two, endless()), 4))
    assert read == list(range(6)) and [each["word"].id for each in found] == [1, 2, 3, 4]


def test_all_models_share_chunk_cuts_and_skips(two):
    each = [Sentence(text, number) for number, text in enumerate(["the cat"] * 100)]
    settings = ScoringSettings(words=True, next_words=1)
    setup = ScoringSetup((), "cpu", settings, len)
    chunks = list(written_chunks(two, each, setup, skip=64))
    # as the one that is slower cuts them
    assert [(chunk.sentences, chunk.written) for chunk in chunks] == [(0, None), (36, 36)]
    assert chunks[1].signature == [*score_chunks_of_models(two, each, settings)][-1].signature
    for name, signature in chunks[1].signature.items():
        assert signature.tok.partition(":")[0] == name


def test_a_run_is_identified_by_its_ordered_models(two):
    settings = ScoringSettings()
    alone = describe_run_of_models({"word": two["word"]}, settings)
    assert alone["context"] == "reset" and alone["tok"].startswith("word:")
    run = describe_run_of_models(two, settings)
    assert (run["models"], run["context"]) == ("word, char", "reset")
    assert run["tok.char"] != run["tok.word"]
    assert run != describe_run_of_models(dict(reversed(two.items())), settings)


def test_each_model_has_its_own_rows(two):
    settings = ScoringSettings(words=True)
    [scores] = score_models(two, ["the zebra"], settings)
    rows = list(layout(settings, several_models=True).rows(scores))
    assert [row["model"] for row in rows] == ["word"] * 3 + ["char"] * 3
    assert [row["word"] for row in rows] == ["the", "zebra", "</s>"] * 2
    assert [row["oov"] for row in rows[:3]] == [False, True, False]
    words = scores["char"].word_scores
    assert [row["surprisal_bits"] for row in rows[3:]] == [word.surprisal_bits for word in words]
    for row in layout(ScoringSettings(), several_models=True).rows(scores):
        assert row["logprob_nats"] == scores[row["model"]].logprob_nats


def test_unknown_marks_are_told_once_and_wrong_requests_refused(two):
    models = {**two, "third": two["word"]}
    message = "unknown to word, char and third. .*for these, normalise the text first"
    with pytest.warns(RnnlmWarning, match=message) as told:
        assert len(list(score_models(models, ["the cat\u2019s", "the \u2014 cat"]))) == 2
    assert len(told) == 1
    with pytest.raises(UsageError, match="no model to score with"):
        list(score_models({}, ["a"]))
    with pytest.raises(TextError, match="sentence 2"):
        list(score_models({"halves": halves_model()}, ["a", "a\nb"]))
