import itertools
from collections.abc import Iterator

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring import scorer
from rnnlm.scoring.rows import layout
from rnnlm.scoring.scorer import describe_run
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import describe_run_of_models, score_chunks_of_models
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
    settings = ScoringSettings(with_words=True)
    found = list(score_models(two, SENTENCES, settings))
    assert [list(each) for each in found] == [["word", "char"]] * len(SENTENCES)
    for name, model in two.items():
        assert [each[name] for each in found] == rnnlm.Model(model).score_sentences(
            SENTENCES, with_words=True
        )
    assert list(score_models({"only": two["word"]}, [])) == []


def test_sentences_are_read_once_chunk_by_chunk(two, monkeypatch):
    monkeypatch.setattr(scorer, "LINES_PER_CHUNK", 3)
    read = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield LINES[number % len(LINES)].replace("<unk>", "it")

    found = list(itertools.islice(score_models(two, endless()), 4))
    assert read == list(range(6)) and [each["word"].id for each in found] == [1, 2, 3, 4]


def test_all_models_share_chunk_cuts_and_skips(two):
    each = [Sentence(text, number) for number, text in enumerate(["the cat"] * 100)]
    chunks = list(
        score_chunks_of_models(two, each, ScoringSettings(with_words=True, next_words=1), skip=64)
    )
    # as the one that is slower cuts them
    assert [(len(chunk.sentences), len(chunk)) for chunk in chunks] == [(64, 0), (36, 36)]
    assert {
        name: signature.tok.partition(":")[0] for name, signature in chunks[1].signatures.items()
    } == {"word": "word", "char": "char"}


def test_a_run_is_identified_by_its_ordered_models(two):
    settings = ScoringSettings()
    assert describe_run_of_models({"word": two["word"]}, settings) == describe_run(
        two["word"], settings
    )
    run = describe_run_of_models(two, settings)
    assert (
        run["models"] == "word, char"
        and run["tok.char"] != run["tok.word"]
        and run["context"] == "reset"
    )
    assert run != describe_run_of_models(dict(reversed(two.items())), settings)


def test_each_model_has_its_own_rows(two):
    settings = ScoringSettings(with_words=True)
    [scores] = score_models(two, ["the zebra"], settings)
    rows = list(layout(settings, several_models=True).rows(scores))
    assert [(row["model"], row["word"]) for row in rows] == [
        (model, word) for model in ("word", "char") for word in ("the", "zebra", "</s>")
    ]
    assert [row["oov"] for row in rows[:3]] == [False, True, False]
    words = scores["char"].word_scores
    assert [row["surprisal_bits"] for row in rows[3:]] == [word.surprisal_bits for word in words]
    sentences = layout(ScoringSettings(), several_models=True).rows(scores)
    assert [(row["model"], row["logprob_nats"]) for row in sentences] == [
        (model, score.logprob_nats) for model, score in scores.items()
    ]


def test_marks_unknown_to_several_models_are_told_once(two):
    with pytest.warns(RnnlmWarning) as told:
        models = {**two, "third": two["word"]}
        assert len(list(score_models(models, ["the cat\u2019s", "the \u2014 cat"]))) == 2
    (text,) = [str(each.message) for each in told]
    assert (
        "unknown to word, char and third. " in text
        and "for these, normalise the text first" in text
    )


def test_wrong_requests_are_told(two):
    with pytest.raises(UsageError, match="no model to score with"):
        score_models({}, ["a"])
    with pytest.raises(TextError, match="sentence 2"):
        list(score_models({"halves": halves_model()}, ["a", "a\nb"]))
