"""Our own endpoints over HTTP, with models of this process."""

import json

import pytest

from rnnlm.models.loading import load
from support.servers import client_of
from support.tiny_models import fit


@pytest.fixture(scope="module")
def demo():
    return load()


@pytest.fixture(scope="module")
def client(demo):
    with client_of({"demo": demo, "kn": fit("ngram")}) as client:
        yield client


def test_the_models_that_are_served_are_listed(client, demo):
    first, second = client.get("/models").json()["models"]
    assert (first["name"], first["family"], first["kind"]) == ("demo", "network", "lstm")
    assert (first["tokenizer"], first["vocabulary"]) == ("word", demo.tokenizer.size)
    assert first["test_ppl"] == pytest.approx(35.1, abs=0.1)
    assert (second["name"], second["family"], second["order"]) == ("kn", "ngram", 5)
    assert second["test_ppl"] is None
    assert client.get("/health").json() == {"status": "ok", "models": 2}


SENTENCES = ["the dog barked", "it is hard to recognize speech", "", "the <s> dog"]


@pytest.mark.parametrize(
    "asked, options",
    [
        ({}, ()),
        ({"words": True, "tokens": True}, ("--words", "--tokens")),
        ({"given": "the old man"}, ("--given", "the old man")),
        ({"eos": False}, ("--no-eos",)),
    ],
)
def test_scores_are_those_of_the_command(client, rnnlm, asked, options):
    answer = client.post("/score", json={"sentences": SENTENCES, **asked})
    assert answer.status_code == 200
    printed = rnnlm("score", "-m", "demo", *SENTENCES, *options, "--json")
    records = [json.loads(line) for line in printed.out.splitlines()]
    assert answer.json()["scores"] == records  # to the digit
    assert answer.json()["model"] == "demo"
    assert f"signature: {answer.json()['signature']}" in printed.err


def test_a_request_names_its_model(client):
    answer = client.post("/score", json={"model": "kn", "sentences": ["the cat"]})
    assert answer.json()["model"] == "kn"
    answer = client.post("/score", json={"model": "ki", "sentences": ["the cat"]})
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "what": "no model 'ki' is served", "hint": "known are: demo, kn",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body, status",
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'"' + b"[" * 100_000, 400),
        (b"[" * 100_000, 422),
        (b"[]", 422),
        (b'{"sentences": "the dog"}', 422),
        (b'{"sentences": []}', 422),
        (b'{"sentences": ["a"], "word": true}', 422),
        (b'{"sentences": ["\\ud800"]}', 400),
    ],
)
def test_bodies_of_another_shape_are_refused(client, body, status):
    answer = client.post("/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and answer.json()["error"]["what"]


def test_other_paths_and_methods_are_refused(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/score").status_code == 405
    assert client.get("/score").json()["error"]["what"] == "GET does not go here"
