import itertools
from collections.abc import Iterator

import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.scoring import scorer
from rnnlm.scoring.rows import score_rows
from rnnlm.scoring.scorer import describe_run, score_sentences
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import (
    describe_run_of_models,
    score_chunks_of_models,
    score_models,
)
from support.tiny_models import LINES, fit, halves_model, save

REGIONS = ScoringSettings(with_words=True, with_regions=True)
SENTENCES = ["the cat sat", "", "a dog saw the cat on the mat", "the zebra sat on a yak"]


@pytest.fixture(scope="module")
def two():
    return {"word": fit("unigram"), "char": fit("unigram", tokenizer="char")}


def test_each_model_scores_as_it_does_alone(two):
    settings = ScoringSettings(with_words=True)
    found = list(score_models(two, SENTENCES, settings))
    assert [list(each) for each in found] == [["word", "char"]] * len(SENTENCES)
    for name, model in two.items():
        assert [each[name] for each in found] == score_sentences(model, SENTENCES, with_words=True)
    assert list(score_models({"only": two["word"]}, [])) == []


def test_models_are_named_by_folder_or_number(two, tmp_path):
    for folder in ("x/best", "y/best"):
        (tmp_path / folder).parent.mkdir()
        save(tmp_path / folder, two["word"], "unigram")
    (scores,) = score_models(
        [str(tmp_path / "x/best"), tmp_path / "y/best", two["char"]], ["the cat"]
    )
    assert list(scores) == ["x/best", "y/best", "model 3"]
    assert scores["x/best"].logprob_nats == scores["y/best"].logprob_nats


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
    scores = list(score_models(two, ["the zebra"], ScoringSettings(with_words=True)))
    rows, words = list(score_rows(scores)), scores[0]["char"].word_scores
    assert [(row["model"], row["word"]) for row in rows] == [
        (model, word) for model in ("word", "char") for word in ("the", "zebra", "</s>")
    ]
    assert [row["oov"] for row in rows[:3]] == [False, True, False]
    assert [row["surprisal_bits"] for row in rows[3:]] == [word.surprisal_bits for word in words]
    sentences = list(score_rows(scores, by="sentence"))
    assert [(row["model"], row["logprob_nats"]) for row in sentences] == [
        (model, score.logprob_nats) for model, score in scores[0].items()
    ]
    assert list(score_rows([{"only": scores[0]["char"]}])) == list(score_rows([scores[0]["char"]]))


def test_marks_unknown_to_several_models_are_told_once(two):
    with pytest.warns(RnnlmWarning) as told:
        assert (
            len(
                list(
                    score_models(
                        {**two, "third": two["word"]}, ["the cat\u2019s", "the \u2014 cat"]
                    )
                )
            )
            == 2
        )
    (text,) = [str(each.message) for each in told]
    assert (
        "unknown to word, char and third. " in text
        and "for these, normalise the text first" in text
    )


def test_wrong_requests_are_told(two):
    with pytest.raises(UsageError, match="no model to score with"):
        score_models([], ["a"])
    with pytest.raises(TextError, match="sentence 2"):
        list(score_models({"halves": halves_model()}, ["a", "a\nb"]))
