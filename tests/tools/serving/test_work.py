"""Work of requests: it ends when nobody waits for it, and clients take turns."""

import asyncio
import itertools
import threading
import time
from functools import partial

import pytest

import rnnlm
from rnnlm.parallel import interruptible, interruptible_pieces
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.tools.serving import work
from rnnlm.tools.serving.work import FairScheduler

PIECE = 0.01
MOST_PIECE = 0.5  # seconds


def work_in_pieces(count, done, name):
    """Work in so many pieces; note each in `done`."""
    for _ in interruptible_pieces(range(count)):
        time.sleep(PIECE)
        done.append(name)
    return name


async def ask(threads, name, count, done):
    work.client.set(name)
    return await threads.call(lambda: work_in_pieces(count, done, name))


def test_work_for_nobody_ends_at_its_next_piece():
    done = []

    async def leave():
        threads = FairScheduler(1)
        asking = asyncio.ensure_future(ask(threads, "a", 1000, done))
        while len(done) < 3:
            await asyncio.sleep(PIECE)
        asking.cancel()
        await ask(threads, "a", 1, other := [])
        return len(done), other

    count, other = asyncio.run(leave())
    assert count < 20 and other == ["a"]


def test_clients_take_turns_piece_by_piece(monkeypatch):
    monkeypatch.setattr(work, "TURN_SECONDS", 0)
    done = []

    async def all_ask():
        threads = FairScheduler(1)
        greedy = [asyncio.ensure_future(ask(threads, "greedy", 20, done)) for _ in range(5)]
        await asyncio.sleep(3 * PIECE)
        assert await ask(threads, "other", 10, done) == "other"
        at_end = len(done)
        assert not any(each.done() for each in greedy[1:])
        await asyncio.gather(*greedy)
        return at_end

    assert asyncio.run(all_ask()) <= 10 + 10 + 8
    assert len(done) == 110


def test_a_client_has_one_turn_beside_others():
    running, most = [], []

    def hold(name):
        running.append(name)
        most.append(running.count(name))
        time.sleep(5 * PIECE)
        running.remove(name)

    async def all_ask():
        threads = FairScheduler(2)

        async def one(name):
            work.client.set(name)
            await threads.call(lambda: hold(name))

        await one("other")
        await asyncio.gather(*(one("greedy") for _ in range(6)))

    asyncio.run(all_ask())
    assert set(most) == {1}


def test_a_client_alone_has_all_turns():
    meet = threading.Barrier(2, timeout=20)

    async def all_ask():
        threads = FairScheduler(2)
        await asyncio.gather(*(threads.call(meet.wait) for _ in range(2)))

    asyncio.run(all_ask())


def test_few_jobs_are_begun(monkeypatch):
    monkeypatch.setattr(work, "MOST_BEGUN", 3)
    monkeypatch.setattr(work, "TURN_SECONDS", 0)
    begun = []

    async def all_ask():
        threads = FairScheduler(1)

        def begin(name):
            begun.append(threads._begun)
            work_in_pieces(3, [], name)

        async def one(name):
            work.client.set(name)
            await threads.call(lambda: begin(name))

        await asyncio.gather(*(one(str(number)) for number in range(8)))

    asyncio.run(all_ask())
    assert len(begun) == 8 and max(begun) <= 3


def test_a_failure_ends_no_thread():
    async def all_ask():
        threads = FairScheduler(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await threads.call(lambda: 1 / 0)
        return await threads.call(lambda: 5)

    assert asyncio.run(all_ask()) == 5


# ---- What the library computes has pieces.


def longest_piece(function):
    """Return how many pieces a function has, and how long the longest takes (of this thread)."""
    times = [time.thread_time()]
    with interruptible(lambda: times.append(time.thread_time())):
        function()
    times.append(time.thread_time())
    return len(times) - 1, max(after - before for before, after in itertools.pairwise(times))


WORDS = "the dog barked at the old man and " * 150


def computed(kind):
    """Return what a kind of request computes."""
    from rnnlm.scoring.generation import search
    from rnnlm.scoring.generation.drawing import generate_in_steps

    model, settings = rnnlm.load(), GenerationSettings(WORDS, 4, max_tokens=5)
    return {
        "a long line": lambda: model.score_sentences([WORDS]),
        "likely words": lambda: model.score_sentences([WORDS[:2000]], next_words=5),
        "next words": lambda: search.next_words(model, WORDS, 3),
        "a long prompt": lambda: next(iter(generate_in_steps(model.core, settings))),
    }[kind]


@pytest.mark.parametrize("kind", [
    "a long line", "next words",
    *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("likely words", "a long prompt")),
])  # fmt: skip
def test_pieces_are_short(kind):
    function = computed(kind)
    longest_piece(function)  # once, until everything is loaded
    count, seconds = longest_piece(function)
    assert count >= 3
    assert seconds < MOST_PIECE


@pytest.mark.parametrize(
    "task", [pytest.param("tagging", marks=pytest.mark.soak), "classification"]
)
def test_pieces_of_labelling_are_short(task, slot_tagger, classifier):
    if task == "tagging":
        model = rnnlm.load(slot_tagger.folder)
        function = partial(model.tag, [WORDS], nbest=2, probabilities=True)
    else:
        model = rnnlm.load(classifier.folder)
        function = partial(model.classify, [WORDS])
    whole = function()  # once, until everything is loaded
    count, seconds = longest_piece(function)
    assert count >= 3
    assert seconds < MOST_PIECE
    with interruptible(lambda: None):
        parts = function()
    assert parts[0].labels == whole[0].labels


def test_pieces_leave_numbers_as_they_are():
    model = rnnlm.load()
    texts = [WORDS, "the dog barked", WORDS[:999]]
    whole = model.score_sentences(texts)
    with interruptible(lambda: None):
        parts = model.score_sentences(texts)
    for one, other in zip(whole, parts, strict=True):
        assert one.logprob_nats == pytest.approx(other.logprob_nats, abs=1e-5 * one.tokens)
