"""A request is bounded by what it makes the server read, compute and answer."""

import dataclasses

import pytest

from rnnlm.lm.base.loading import load
from rnnlm.tools.serving import costs
from rnnlm.tools.serving.costs import Demand, cost_of, limits_of
from rnnlm.tools.serving.responses import Refusal
from rnnlm.tools.serving.settings import ServingSettings
from support.servers import client_of
from support.tiny_models import fit

LONG = "a " * 49_000  # as large as a request may be
MOST = limits_of(ServingSettings())


@pytest.fixture(scope="module")
def client(slot_tagger, translator, classifier):
    models = {"demo": load(), "kn": fit("ngram"), "chars": fit("lstm", tokenizer="char")}
    folders = {"slots": slot_tagger, "french": translator, "intents": classifier}
    models |= {name: str(each.folder) for name, each in folders.items()}
    with client_of(models) as client:
        yield client


TOO_LARGE = {
    "gates": ("/inspect", {"what": "gates", "text": LONG}, "numbers"),
    "influence": ("/inspect", {"what": "influence", "text": LONG}, "numbers"),
    "likely words": ("/score", {"sentences": [LONG], "next_words": 100}, "numbers"),
    "likely words of many": ("/score", {"sentences": ["a " * 190] * 256, "next_words": 9}, "numbers"),
    "context": ("/score", {"sentences": ["a"] * 256, "given": "the dog " * 12_000}, "characters"),
    "context of two": ("/score", {"sentences": ["a"] * 2, "given": "a" * 50_000}, "characters"),
    "source": ("/score", {"model": "french", "sentences": ["a"] * 9, "source": LONG}, "characters"),
    "hypotheses": ("/rescore", {}, "characters"),
    "sentences": ("/score", {"sentences": ["a"] * 257}, "texts"),
    "attention": ("/translate", {"model": "french", "sources": [LONG], "attention": True}, "numbers"),
    "beams": ("/translate", {"model": "french", "sources": [LONG], "beam": 64}, "tokens"),
    "label sequences": ("/tag", {"model": "slots", "sentences": [LONG], "nbest": 16}, "numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_takes_too_much_is_refused_at_once(client, name):
    path, asked, what = TOO_LARGE[name]
    if name == "hypotheses":
        hypotheses = [{"text": "a", "score": 0.0}] * 200
        asked["utterances"] = [{"hypotheses": hypotheses, "source": "a" * 1000}]
        demo = client.get("/models")["models"][0]
        weights = {"lm:demo": 1.0, "words": 0.0}
        asked["weights"] = {"weights": weights, "models": {"demo": demo["fingerprint"]}}
    answer = client.http.post(path, json=asked)
    error = answer.json()["error"]
    assert answer.status_code == 413, error
    assert error["what"].startswith("the request is too large: ") and what in error["what"]
    assert error["why"].startswith("the limit is ")


def test_what_fits_is_answered(client):
    """Large requests that are common: a text in lines, a long line, many hypotheses' words."""
    lines = ["the dog barked at the old man"] * 256
    assert len(client.post("/score", "kn", sentences=lines, words=True)["scores"]) == 256
    [score] = client.post("/score", "kn", sentences=["a " * 30_000])["scores"]
    assert score["words"] == 30_000
    [score] = client.post("/score", "chars", sentences=["ab " * 3_000], tokens=True)["scores"]
    assert len(score["surprisals"]) == 9_001


def test_costs_are_sums_over_texts():
    tokenizer = fit("ngram").tokenizer
    demand = Demand(
        readings=[("the cat sat", "given"), ("a dog", "given")],
        tokenizer=tokenizer,
        models=3,
        drawn=lambda tokens: 7,
        numbers=lambda tokens: 2 * tokens,
    )
    cost = cost_of(demand, MOST)
    assert (cost.texts, cost.characters) == (2, 11 + 5 + 5 + 5)
    assert cost.tokens >= 3 * 7 + 7 and cost.is_small
    # Where the characters leave it open, tokens are counted: 5 words, 2 contexts, and line ends.
    exact = dataclasses.replace(MOST, tokens=3 * 11 + 7)
    assert cost_of(demand, exact) == costs.Cost(2, 26, 3 * 11 + 7, 22, 22 * 64 + 7 * 64 + 26 * 8)
    with pytest.raises(Refusal, match="tokens") as refused:
        cost_of(demand, dataclasses.replace(exact, tokens=3 * 11 + 6))
    assert refused.value.status == 413
    for name in ("numbers", "answer_bytes"):
        with pytest.raises(Refusal, match=name.split("_")[-1]):
            cost_of(demand, dataclasses.replace(MOST, **{name: 20}))


def test_answers_are_no_larger_than_estimated(client):
    for asked in (
        {"sentences": ["the dog barked " * 200], "tokens": True, "words": True},
        {"sentences": ["the old man said"] * 50, "next_words": 30},
        {"sentences": ['"\u0001\u0001" é'] * 60, "tokens": True, "words": True},
    ):
        found = client.http.post("/score", json=asked).content
        text = sum(map(len, asked["sentences"]))
        words = sum(len(each.split()) + 1 for each in asked["sentences"])
        numbers = 5 * len(asked["sentences"]) + words * (6 + asked.get("next_words", 0))
        numbers += 2 * text if asked.get("tokens") else 0
        assert len(found) <= 84 * numbers + 8 * text + 300
