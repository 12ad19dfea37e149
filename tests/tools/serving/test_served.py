"""Requests that come together are scored together, and longer work holds up none of them."""

import asyncio
import json
import threading

import pytest

import rnnlm
from rnnlm.errors import ModelError
from rnnlm.lm.base.loading import load
from rnnlm.scoring.scorer import SentenceScorer
from rnnlm.scoring.sentences import of_texts
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.tools.serving import served, work
from rnnlm.tools.serving.handlers import Handlers
from rnnlm.tools.serving.responses import Refusal
from rnnlm.tools.serving.schemas import ScoreRequest
from rnnlm.tools.serving.served import LONG_WORK_AT_ONCE, SENTENCES_AT_ONCE, ServedModel
from rnnlm.tools.serving.settings import ServingSettings
from support.tiny_models import LINES, fit, save

PLAIN, WORDS = ScoringSettings(), ScoringSettings(words=True)


@pytest.fixture(scope="module")
def demo():
    return load()


@pytest.fixture
def calls(monkeypatch):
    """Record how many requests each call scores; the first one waits until it is let go."""
    recorded, may_go = [], threading.Event()
    original = SentenceScorer.side_by_side

    def side_by_side(scorer, lists):
        recorded.append(len(lists))
        if len(recorded) == 1:
            assert may_go.wait(60)
        return original(scorer, lists)

    monkeypatch.setattr(SentenceScorer, "side_by_side", side_by_side)
    return recorded, may_go


def held_up(model, may_go):
    """Begin long work in all places for it, which ends when it is let go."""
    works = [model.run(lambda: may_go.wait(60)) for _ in range(LONG_WORK_AT_ONCE)]
    return [asyncio.ensure_future(each) for each in works]


async def scored_together(model, asked, calls):
    """Ask for all scores while the first call is held up."""
    recorded, may_go = calls
    tasks = []
    for texts, settings, source in asked:
        sentences = list(of_texts(texts, "", None, source))
        tasks.append(asyncio.ensure_future(model.score(sentences, settings)))
        await asyncio.sleep(0)
        while not recorded:
            await asyncio.sleep(0.001)
    may_go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_requests_together_have_nearly_their_own_scores(demo, corpus_lines, calls):
    asked = [([line], WORDS, None) for line in corpus_lines[:40]]
    chunks = asyncio.run(scored_together(ServedModel("demo", demo), asked, calls))
    assert calls[0] == [1, 39]
    for (texts, _, _), chunk in zip(asked, chunks, strict=True):
        alone = rnnlm.Model(demo).score_sentences(texts, words=True)
        assert str(chunk.signature) == alone.signature
        [together], [one] = chunk.scores, alone
        assert together.logprob_nats == pytest.approx(one.logprob_nats, abs=1e-5 * one.tokens)
        expected = [word.word for word in one.word_scores]
        assert [word.word for word in together.word_scores] == expected


@pytest.mark.parametrize("more, joined", [
    ([(["the cat"], PLAIN), (["a dog"], WORDS), (["it"], PLAIN), (["a b"], WORDS)], [1, 2, 2]),
    ([(["the cat"] * (SENTENCES_AT_ONCE // 3), PLAIN)] * 7, [1, 3, 3, 1]),
])  # fmt: skip
def test_requests_with_the_same_settings_are_joined_up_to_a_limit(calls, more, joined):
    asked = [(*each, None) for each in [(["a"], PLAIN), *more]]
    chunks = asyncio.run(scored_together(ServedModel("lstm", fit("lstm")), asked, calls))
    assert calls[0] == joined
    for (texts, settings, _), chunk in zip(asked, chunks, strict=True):
        assert [each.text for each in chunk.scores] == texts
        assert bool(chunk.scores[0].word_scores) == settings.words


def test_ngram_models_score_what_has_arrived(calls):
    model = ServedModel("kn", fit("ngram"))
    recorded, may_go = calls
    may_go.set()

    async def ask():
        return await asyncio.gather(*(model.score(list(of_texts([text])), PLAIN) for text in LINES))

    chunks = asyncio.run(ask())
    assert recorded == [len(LINES)]
    expected = [score.logprob_nats for score in rnnlm.Model(model.core).score_sentences(LINES)]
    assert [chunk.scores[0].logprob_nats for chunk in chunks] == expected


def test_one_that_fails_fails_alone(translator, calls):
    model = ServedModel("french", load(translator.folder))
    asked = [(["un"], PLAIN, "one"), (["un"], PLAIN, "one"), (["deux"], PLAIN, None)]
    first, second, failed = asyncio.run(scored_together(model, asked, calls))
    assert first.scores == second.scores
    assert failed.what == "sentence 1 has no source"


@pytest.mark.parametrize("asked", [
    {"sentences": ["the cat"] * (SENTENCES_AT_ONCE + 1)}, {"sentences": ["the cat " * 501]},
    {"sentences": ["the cat"], "given": "the " * 1000},
    {"sentences": ["the cat " * 126], "next_words": 20},
])  # fmt: skip
def test_longer_work_holds_up_no_scores(monkeypatch, asked):
    model = ServedModel("kn", fit("ngram"))
    handlers = Handlers(served.ServedModels([model]), ServingSettings())
    may_go = threading.Event()
    original = model.scored_alone

    def waiting(sentences, settings):
        assert may_go.wait(60)
        return original(sentences, settings)

    monkeypatch.setattr(model, "scored_alone", waiting)

    async def ask():
        large = asyncio.ensure_future(handlers.score(ScoreRequest(**asked)))
        others = held_up(model, may_go)
        small = await asyncio.wait_for(handlers.score(ScoreRequest(sentences=["the cat"])), 30)
        assert not large.done() and not any(each.done() for each in others)
        may_go.set()
        await asyncio.gather(*others)
        return small, json.loads(await large)

    small, large = asyncio.run(ask())
    assert [each["text"] for each in small.scores] == ["the cat"]
    assert [each["text"] for each in large["scores"]] == asked["sentences"]


def test_what_is_left_is_not_computed():
    model = ServedModel("kn", fit("ngram"))
    may_go, called = threading.Event(), []

    async def ask():
        works = held_up(model, may_go)
        left = asyncio.ensure_future(model.run(lambda: called.append(1)))
        await asyncio.sleep(0.01)
        left.cancel()
        may_go.set()
        await asyncio.gather(*works)
        await model.run(lambda: None)

    asyncio.run(ask())
    assert called == []


def test_models_are_loaded_all_or_none_and_called_by_their_folders(models):
    before = set(threading.enumerate())
    with pytest.raises(ModelError):
        served.ServedModels.load([str(models.unigram), str(models.unigram.parent / "none")])
    assert set(threading.enumerate()) <= before
    loaded = served.ServedModels.load([str(models.unigram), str(models.lstm)])
    assert list(loaded.by_name) == [models.unigram.name, models.lstm.name]
    assert loaded.named(None).name == models.unigram.name


def test_unseen_words_of_models_of_characters_are_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(work, "MOST_UNSEEN", 50)
    monkeypatch.setattr(work, "MOST_UNSEEN_EVER", 90)
    save(tmp_path / "cnn", fit("lstm", characters="cnn"), "lstm", characters="cnn")
    core = load(str(tmp_path / "cnn"))
    assert core.tokenizer.spells
    model, alone = ServedModel("cnn", core), rnnlm.Model(core)
    parts = [" ".join(f"zebra{part}x{number}" for number in range(30)) for part in range(10)]
    expected = [alone.score_sentences([words])[0].logprob_nats for words in parts]
    work.forget_unseen_words()

    async def score(text):
        return (await model.score(list(of_texts([text])), PLAIN)).scores[0].logprob_nats

    async def all_ask():
        for words, logprob_nats in zip(parts, expected, strict=True):
            assert await score(words) == logprob_nats
            assert core.tokenizer.input_size - core.tokenizer.size <= 80
        # Words whose ids are in use stay; more of them are refused.
        with work.computing, pytest.raises(Refusal, match="overloaded"):
            for part in range(9):
                await score(" ".join(f"yak{part}x{number}" for number in range(30)))
        return await score("the yak")

    assert asyncio.run(all_ask()) == alone.score_sentences(["the yak"])[0].logprob_nats
