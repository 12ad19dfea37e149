"""What /inspect shows of a model, and measures of words, against other ways to find them."""

import math

import numpy as np
import pytest

from rnnlm import Model, arrays
from rnnlm.lm.base.loading import load
from rnnlm.tools.inspection.gates import inspect_gates
from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity
from support.servers import client_of
from support.tiny_models import fit

TEXT = "the dog sat on the speech"


@pytest.fixture(scope="module")
def models():
    return {"demo": load(), "elman": fit("rnn"), "kn": fit("ngram", order=3), "one": fit("unigram")}


@pytest.fixture(scope="module")
def client(models):
    with client_of(models) as client:
        yield client


def test_gates_are_those_of_the_inspection(client, models):
    seen = inspect_gates(models["demo"], TEXT)
    shown = client.post("/inspect", what="gates", text=TEXT)
    assert shown["words"] == list(seen.tokens) == ["</s>", *TEXT.split()]
    for number, (layer, expected) in enumerate(zip(shown["layers"], seen.layers, strict=True)):
        assert (layer["layer"], layer["name"]) == (number + 1, expected.name)
        assert [each["gate"] for each in layer["gates"]] == list(expected.gates)
        for gate, values_TH in zip(layer["gates"], expected.gates.values(), strict=True):
            assert gate["mean"] == pytest.approx(values_TH.mean(axis=1).tolist(), abs=1e-6)
            assert np.allclose(gate["units"], values_TH[:, :32], atol=1e-6)


def test_a_network_without_gates_shows_none(client):
    shown = client.post("/inspect", "elman", what="gates", text=TEXT)
    assert [layer["gates"] for layer in shown["layers"]] == [[]]


def test_influence_is_that_of_the_inspection(client, models):
    [expected] = inspect_sensitivity({"": models["demo"]}, TEXT).models
    shown = client.post("/inspect", what="influence", text=TEXT)
    assert shown["words"] == [*TEXT.split(), "</s>"]
    assert shown["read"] == ["</s>", *TEXT.split()]
    for place, row in enumerate(shown["influence"]):
        assert row == pytest.approx(expected.norms[place, : place + 1].tolist())


def test_models_show_what_they_have(client):
    listed = client.get("/models")["models"]
    assert [model["family"] for model in listed] == ["network", "network", "ngram", "ngram"]
    can = {model["name"]: set(model["can"]) for model in listed}
    inspections = {"gates", "influence", "orders"}
    assert {name: each & inspections for name, each in can.items()} == {
        "demo": {"gates", "influence"}, "elman": {"gates", "influence"}, "kn": {"orders"},
        "one": set(),
    }  # fmt: skip


def ngram_tables(model):
    """Return the log-probability and the backoff weight of each n-gram, by its words."""
    symbols = [*model.tokenizer.symbols(), "<s>"]
    tables = {}
    for n, values in enumerate(model.values, start=1):
        columns = model.words(n, np.arange(len(values)))
        for words, row in zip(zip(*columns, strict=True), values.tolist(), strict=True):
            tables[tuple(symbols[int(word)] for word in words)] = (*row, 0.0)[:2]
    return tables


@pytest.mark.parametrize("text", [TEXT, "", "speech speech the cat sat on a zebra"])
def test_orders_are_those_that_the_tables_hold(client, models, text):
    tables = ngram_tables(models["kn"])
    shown = client.post("/inspect", "kn", what="orders", text=text)["words"]
    [score] = client.post("/score", "kn", sentences=[text], tokens=True)["scores"]
    known = {words[0] for words in tables if len(words) == 1}
    read = ["<s>", *(word if word in known else "<unk>" for word in text.split()), "</s>"]
    assert [each["word"] for each in shown] == [each["token"] for each in score["surprisals"]]
    for at, (each, token) in enumerate(zip(shown, score["surprisals"], strict=True), start=1):
        # Back off from the longest context by hand.
        context, target, backoffs = tuple(read[max(0, at - 2) : at]), read[at], []
        total = 0.0
        while (*context, target) not in tables:
            if context in tables:
                nats = tables[context][1]
                total += nats
                backoffs.append({"context": " ".join(context), "nats": pytest.approx(nats)})
            context = context[1:]
        total += tables[*context, target][0]
        assert (each["order"], each["backoffs"]) == (len(context) + 1, backoffs)
        assert each["logprob_nats"] == pytest.approx(total, abs=1e-6)
        nats = -token["surprisal_bits"] * math.log(2)
        assert each["logprob_nats"] == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize("name", ["demo", "elman", "kn"])
def test_ranks_count_likelier_words(client, models, name):
    sentences = [TEXT, "it is hard, the cat said", "", "a <s> b", "the dog"]
    model = models[name]
    asked = {"sentences": sentences, "given": "the cat", "next_words": 2, "eos": name != "kn"}
    for text, score in zip(sentences, client.post("/score", name, **asked)["scores"], strict=True):
        if score["reason"]:
            assert score["word_surprisals"] == []
            continue
        # One prediction after the other.
        ids = model.tokenizer.encode([f"the cat {text}".strip()]).ids
        state, ranks = model.initial_state(1), []
        inputs = np.concatenate([[model.tokenizer.boundary_id], ids[:-1]])
        for read, target in zip(inputs, ids, strict=True):
            predicted, state = model.predict(np.array([[read]]), state)
            logprob_V = arrays.as_numpy(predicted)[0, 0]
            ranks.append(1 + int((logprob_V > logprob_V[target]).sum()))
        ranks = ranks[2:] if asked["eos"] else ranks[2:-1]
        words = score["word_surprisals"]
        starts = np.cumsum([0, *(word["tokens"] for word in words)])[:-1]
        for word, start in zip(words, starts, strict=True):
            assert word["rank"] == (ranks[start] if word["tokens"] == 1 else None)


def test_measures_have_the_names_of_the_library(client, models):
    asked = {"tokens": True, "words": True, "measures": ["entropy", "rank", "order"]}
    [answer] = client.post("/score", "kn", sentences=[TEXT], **asked)["scores"]
    [score] = Model(models["kn"]).score_sentences([TEXT], **asked)
    for token, word, expected in zip(
        answer["surprisals"], answer["word_surprisals"], score.word_scores, strict=True
    ):
        assert (token["rank"], token["order"]) == (expected.rank, expected.order)
        assert (word["rank"], word["order"]) == (expected.rank, expected.order)
        assert word["entropy_bits"] == pytest.approx(expected.entropy_bits)
    refused = client.http.post("/score", json={"model": "elman", "sentences": [TEXT], **asked})
    assert refused.status_code == 400 and "order can be measured for" in refused.text
