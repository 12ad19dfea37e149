import itertools
import re
from collections.abc import Iterator

import pytest

from rnnlm.errors import ComparisonError, RnnlmWarning, TextError, UsageError
from rnnlm.scoring import scorer
from rnnlm.scoring.rows import score_rows
from rnnlm.scoring.scorer import describe_run, score_sentences
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import (
    check_same_tokens,
    describe_run_of_models,
    score_chunks_of_models,
    score_models,
)
from rnnlm.scoring.word_scores import Region
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


def test_tokens_stand_together_only_for_equal_tokenizers(two):
    check_same_tokens({"a": two["word"], "b": fit("ngram")})
    with pytest.raises(ComparisonError, match=re.escape("their tokenizers differ: word word:")):
        check_same_tokens(two)


def test_rows_of_several_models_share_text_columns(two):
    scores = list(score_models(two, ["the zebra"], ScoringSettings(with_words=True)))
    rows, words = list(score_rows(scores)), scores[0]["char"].word_scores
    assert [row["word"] for row in rows] == ["the", "zebra", "</s>"] and [
        row["oov.word"] for row in rows
    ] == [False, True, False]
    assert [row["surprisal_bits.char"] for row in rows] == [word.surprisal_bits for word in words]
    (sentence,) = score_rows(scores, by="sentence")
    assert (
        sentence["text"] == "the zebra"
        and sentence["logprob_nats.word"] == scores[0]["word"].logprob_nats
    )
    assert list(score_rows([{"only": scores[0]["char"]}])) == list(score_rows([scores[0]["char"]]))


def test_rows_follow_the_text_when_marks_are_removed():
    models = {"all": fit("unigram"), "few": fit("unigram", remove_punctuation=True)}
    scores = list(
        score_models(
            models,
            [Sentence("the dog , sat", 1, regions=(Region("the dog ,", 1), Region("sat", 2)))],
            REGIONS,
        )
    )
    rows = [
        [row[name] for name in ("position", "word_index", "word", "tokens.all", "tokens.few")]
        for row in score_rows(scores)
    ]
    assert rows == [
        [1, 1, "the", 1, 1], [2, 2, "dog", 1, None], [3, 2, "dog ,", None, 1], [4, 3, ",", 1, None],
        [5, 4, "sat", 1, 1],
        [6, 5, "</s>", 1, 1],
    ]  # fmt: skip
    regions = [
        (row["text"], row["words"], row["tokens.few"]) for row in score_rows(scores, by="region")
    ]
    assert regions == [("the dog ,", 3, 2), ("sat", 1, 1)]


def test_input_columns_named_like_figures_are_refused(two):
    sentences = [Sentence("the cat", 1, columns={"item": 3, "logprob_nats.char": 4})]
    scores = list(score_models(two, sentences))
    assert next(score_rows([{"char": scores[0]["char"]}], by="sentence"))["logprob_nats.char"] == 4
    with pytest.raises(UsageError, match="the input has a column 'logprob_nats.char'"):
        list(score_rows(scores, by="sentence"))


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
