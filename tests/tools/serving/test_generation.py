"""Texts that are drawn over HTTP: those of the command, event by event, until the client leaves."""

import asyncio
import itertools
import json

import pytest

from rnnlm.lm.base.loading import load
from rnnlm.scoring.generation.drawing import generate_in_steps
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.tools.serving.app import make_app
from rnnlm.tools.serving.settings import ServingSettings
from support.servers import client_of, served
from support.tiny_models import fit


@pytest.fixture(scope="module")
def client():
    with client_of({"demo": load()}) as client:
        yield client


ASKED = {"prompt": "the old man", "num": 3, "max_tokens": 12, "seed": 7, "top_p": 0.9}
OPTIONS = ("the old man", "--num", "3", "--max-tokens", "12", "--seed", "7",
           "--top-p", "0.9")  # fmt: skip


def test_texts_are_those_of_the_command(client, rnnlm):
    printed = rnnlm("generate", "-m", "demo", *OPTIONS, "--json")
    expected = [json.loads(line) for line in printed.out.splitlines()]
    assert client.post("/generate", **ASKED, stream=False)["samples"] == expected
    *pieces, done = client.events("/generate", **ASKED)
    assert done == {"done": True, "samples": expected}
    for number, sample in enumerate(expected):
        text = "".join(piece["text"] for piece in pieces if piece["sample"] == number)
        assert "the old man" + text == sample["text"]


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_pieces_of_characters_make_whole_texts(tokenizer):
    lines = ["ein größeres Glück", "größer als 10 €", "😀 and naïve"]
    model = fit("lstm", lines=lines, tokenizer=tokenizer)
    drawing = GenerationSettings("ein", 4, max_tokens=40, running=True)
    texts, samples = {}, {}
    for pieces in generate_in_steps(model, drawing):
        for piece in pieces:
            texts[piece.number] = texts.get(piece.number, "") + piece.text
            if piece.sample:
                samples[piece.number] = piece.sample
    expected = {n: sample.text for n, sample in samples.items()}
    assert {n: "ein" + text for n, text in texts.items()} == expected


class Left:
    """A client that leaves after it got so many messages, and the tokens that were drawn."""

    def __init__(self, models, asked, messages):
        self.app = make_app(models, ServingSettings())
        self.body, self.messages = json.dumps(asked).encode(), messages
        self.steps = 0

    async def receive(self):
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages -= 1
        if self.messages <= 0:
            self.has_left.set()

    def counted(self, steps):
        for step in steps:
            self.steps += 1
            if self.messages <= 0:
                self.loop.call_soon_threadsafe(self.has_left.set)
            yield step

    async def ask(self):
        self.has_left, self.loop = asyncio.Event(), asyncio.get_running_loop()
        scope = {"type": "http", "method": "POST", "path": "/generate", "headers": [],
                 "query_string": b"", "asgi": {"spec_version": "2.3"}}  # fmt: skip
        await asyncio.wait_for(self.app(scope, self.receive, self.send), 60)
        steps = self.steps
        await asyncio.sleep(0.2)
        assert self.steps - steps <= 1  # the one that was being taken
        return steps


@pytest.mark.parametrize("stream, messages", [(True, 4), (False, 0)])
def test_a_client_that_leaves_ends_its_generation(monkeypatch, stream, messages):
    asked = {"max_tokens": 1000, "running": True, "stream": stream}
    left = Left(served({"lstm": fit("lstm")}), asked, messages)
    monkeypatch.setattr(
        "rnnlm.tools.serving.handlers.generate_in_steps",
        lambda *given: left.counted(generate_in_steps(*given)),
    )
    assert 1 <= asyncio.run(left.ask()) < 500


def test_what_fails_later_is_the_last_event(client, monkeypatch):
    def failing(*given):
        yield from (each for each in itertools.islice(generate_in_steps(*given), 2))
        raise OSError("/home/somebody/secret")

    monkeypatch.setattr("rnnlm.tools.serving.handlers.generate_in_steps", failing)
    first, second, error = client.events("/generate", prompt="the", max_tokens=5)
    assert set(first) == set(second) == {"sample", "text"}
    assert error == {"error": {"what": "the server failed to answer this request"}}
