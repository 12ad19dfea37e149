"""Our own endpoints over HTTP, with models of this process."""

import json
from pathlib import Path

import pytest

from rnnlm.lm.base.loading import load
from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.served import ServedModels
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
    first, second = client.get("/models")["models"]
    assert (first["name"], first["family"], first["kind"]) == ("demo", "network", "lstm")
    assert (first["tokenizer"], first["vocabulary"]) == ("word", demo.tokenizer.size)
    assert first["test_ppl"] == pytest.approx(35.1, abs=0.1)
    assert first["can"] == ["score", "next", "generate", "rescore", "gates", "influence"]
    assert (second["name"], second["family"], second["order"]) == ("kn", "ngram", 5)
    assert second["test_ppl"] is None
    assert second["can"] == ["score", "next", "generate", "rescore", "orders"]
    assert client.get("/health") == {"status": "ok", "models": 2}


SENTENCES = ["the dog barked", "it is hard to recognize speech", "", "the <s> dog"]


@pytest.mark.parametrize("asked, options", [
    ({}, ()),
    ({"words": True, "tokens": True}, ("--words", "--tokens")),
    ({"given": "the old man"}, ("--given", "the old man")),
    ({"eos": False}, ("--no-eos",)),
])  # fmt: skip
def test_scores_are_those_of_the_command(client, rnnlm, asked, options):
    answer = client.post("/score", sentences=SENTENCES, **asked)
    printed = rnnlm("score", "-m", "demo", *SENTENCES, *options, "--json")
    records = [json.loads(line) for line in printed.out.splitlines()]
    assert answer["scores"] == records  # to the digit
    assert answer["model"] == "demo"
    assert f"signature: {answer['signature']}" in printed.err


def test_alternatives_are_those_of_the_command(client, rnnlm):
    answer = client.post("/score", sentences=SENTENCES[:2], next_words=3)
    printed = rnnlm("score", "-m", "demo", *SENTENCES[:2], "--words", "--json")
    scores = answer["scores"]
    for score in scores:
        for word in score["word_surprisals"]:
            rank = word.pop("rank")
            likeliest = [each["word"] for each in word.pop("next")]
            assert (rank <= 3) == (word["word"] in likeliest)
    assert scores == [json.loads(line) for line in printed.out.splitlines()]


def test_a_request_names_its_model(client):
    assert client.post("/score", "kn", sentences=["the cat"])["model"] == "kn"
    assert client.post("/score", "ki", sentences=["the cat"])["error"] == {
        "what": "no model 'ki' is served", "hint": "choose one of: demo, kn",
    }  # fmt: skip


def test_next_words_continue_or_finish_a_text(client):
    after = client.post("/next", text="the dog ", n=3)
    assert [each["word"] for each in after["next"]] == ["was", "had", "has"]
    begun = client.post("/next", text="the do", n=3)
    assert [each["word"] for each in begun["next"]] == ["dog", "door", "doctor"]


@pytest.mark.parametrize("body, status", [
    (b"{", 400), (b"\xff", 400), (b'"' + b"[" * 100_000, 400), (b"[" * 100_000, 422), (b"[]", 422),
    (b'{"sentences": "the dog"}', 422), (b'{"sentences": []}', 422),
    (b'{"sentences": ["a"], "word": true}', 422), (b'{"sentences": ["\\ud800"]}', 400),
])  # fmt: skip
def test_bodies_of_another_shape_are_refused(client, body, status):
    answer = client.http.post("/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and answer.json()["error"]["what"]


@pytest.mark.parametrize("path, asked, hint", [
    ("/score", {"sentence": ["a"]}, "did you mean 'sentences'?"),
    ("/generate", {"max_token": 5}, "did you mean 'max_tokens'?"),
    ("/rescore", {"utterances": [{"hypothesis": []}]}, "did you mean 'hypotheses'?"),
])  # fmt: skip
def test_the_nearest_field_is_suggested(client, path, asked, hint):
    answer = client.http.post(path, json=asked)
    assert (answer.status_code, answer.json()["error"]["hint"]) == (422, hint)


def test_other_paths_and_methods_are_refused(client):
    assert client.http.get("/nothing").status_code == 404
    answer = client.http.get("/score")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["error"]["what"] == "GET is not allowed here"


@pytest.mark.parametrize("path, asked, what", [
    ("/generate", {"prompt": "the </s>"}, "the prompt: the text holds </s>"),
    ("/generate", {"seed": 1 << 64}, "seed = 18446744073709551616 is not valid"),
    ("/inspect", {"what": "orders", "text": "a"}, "demo has no orders to show"),
    ("/inspect", {"what": "gates", "text": " "}, "the sentence has no words"),
    ("/inspect", {"what": "orders", "text": "a\nb", "model": "kn"}, "a line holds a newline"),
    ("/tag", {"sentences": ["a"]}, "demo is a language model"),
    ("/inspect", {"what": "gates", "text": "a", "model": "kn"}, "kn has no gates to show"),
])  # fmt: skip
def test_what_cannot_be_is_said(client, path, asked, what):
    answer = client.http.post(path, json=asked)
    assert (answer.status_code, answer.json()["error"]["what"]) == (400, what)


LIMITS = {"max_sentences": 3, "max_characters": 40, "max_tokens": 5}


@pytest.fixture
def small_client(monkeypatch):
    for name, most in (("MAX_SAMPLES", 2), ("MAX_WORDS", 4)):
        monkeypatch.setattr(limits, name, most)
    with client_of({"kn": fit("ngram")}, **LIMITS) as client:
        yield client


@pytest.mark.parametrize("path, allowed, refused, status", [
    ("/score", {"sentences": ["a"] * 3}, {"sentences": ["a"] * 4}, 413),
    ("/score", {"sentences": ["a" * 40]}, {"sentences": ["a" * 40], "given": "a"}, 413),
    ("/score", {"sentences": ["a"] * 2, "given": "a" * 19}, {"given": "a" * 20}, 413),
    ("/score", {"sentences": ["a"], "next_words": 4}, {"next_words": 5}, 422),
    ("/next", {"text": "a" * 40, "n": 4}, {"text": "a" * 41}, 413),
    ("/next", {"n": 4}, {"n": 5}, 422),
    ("/generate", {"prompt": "a" * 40, "stream": False}, {"prompt": "a" * 41}, 413),
    ("/generate", {"max_tokens": 5, "stream": False}, {"max_tokens": 6}, 422),
    ("/generate", {"num": 2, "max_tokens": 1, "stream": False}, {"num": 3}, 422),
    ("/inspect", {"what": "orders", "text": "a" * 40}, {"text": "a" * 41}, 413),
])  # fmt: skip
def test_a_request_has_limits(small_client, path, allowed, refused, status):
    allowed = {"max_tokens": 2, **allowed} if path == "/generate" else allowed
    assert small_client.http.post(path, json=allowed).status_code == 200
    answer = small_client.http.post(path, json={**allowed, **refused})
    assert answer.status_code == status
    assert "limit" in answer.json()["error"]["why"]


def test_the_description_says_who_may_ask_how_much(client, small_client):
    for each, characters in ((client, 100_000), (small_client, 40)):
        document = each.document
        assert document["x-limits"]["characters"] == characters
        assert document["x-limits"]["numbers"] == 2 * characters
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        responses = document["paths"]["/score"]["post"]["responses"]
        assert {"200", "400", "401", "404", "413", "422", "429", "503"} == responses.keys()
        assert f"{characters:,} characters" in responses["413"]["description"]


def test_answers_name_no_folder(models):
    with client_of(ServedModels.load([str(models.unigram)])) as client:
        [served] = client.get("/models")["models"]
        assert served["name"] == Path(models.unigram).name
        error = client.post("/tag", sentences=["a"])["error"]
        assert error["what"] == f"{served['name']} is a language model"
