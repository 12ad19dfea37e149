"""A page shows the same with a server as without: both engines give the same answers."""

import warnings

import pytest

from rnnlm.conversion.compaction import compact
from rnnlm.models import loading
from rnnlm.serving import html_export
from support import pages, tiny_models
from support.servers import client_of

pytestmark = pytest.mark.skipif(pages.NODE is None, reason="node is not installed")

MODELS = {
    "words": ("lstm", {"layers": 2, "tied": None, "lowercase": True, "split_punctuation": True}),
    "elman": ("rnn", {"activation": "relu"}),
    "grams": ("ngram", {"order": 3}),
    "stupid": ("ngram", {"order": 4, "smoothing": "stupid"}),
    "frequencies": ("unigram", {}),
    "letters": ("gru", {"tokenizer": "char", "tied": None}),
    "pieces": ("lstm", {"tokenizer": "sentencepiece", "vocab_size": 300, "tied": None}),
}
TEXTS = ["the cat sat.", "a zebra, \U0001f600 saw the dog", "", "the <unk> is hard"]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Return a client of a server of the models in compact form, and the packed models."""
    folder = tmp_path_factory.mktemp("engines")
    served, packed = {}, {}
    for name, (kind, settings) in MODELS.items():
        tiny_models.save(folder / name, tiny_models.fit(kind, **settings), kind, **settings)
        packed[name] = html_export.packed(folder / name)
        served[name] = str(folder / name)
        if loading.model_folder.read_manifest(folder / name).kind.trains_in_steps:
            served[name] = str(folder / f"{name}-small")
            compact(str(folder / name), served[name], bits=8)
    with client_of(served) as client:
        yield client, packed


def equal(local, server, where):
    """Compare answers: numbers to 1e-3, all else exactly; a page may say more."""
    if isinstance(server, dict):
        for key in server:
            equal(local[key], server[key], f"{where}.{key}")
    elif isinstance(server, list):
        assert len(local) == len(server), where
        for at, pair in enumerate(zip(local, server, strict=True)):
            equal(*pair, f"{where}[{at}]")
    elif isinstance(server, float):
        assert local == pytest.approx(server, rel=1e-3, abs=1e-4), where
    else:
        assert local == server, where


def compared(engines, calls_of):
    """Compare the answers of both engines to calls of every model. calls_of: returns for a model
    pairs of a call of the page's engine, and a function that asks the server."""
    client, packed = engines
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {name: calls_of(client, name) for name in MODELS}
    asked = [(packed[name], [call for call, _ in expected[name]]) for name in MODELS]
    for name, answers in zip(MODELS, pages.answers(asked), strict=True):
        for answer, (call, server) in zip(answers, expected[name], strict=True):
            equal(answer, server, f"{name} {call}")


def test_both_describe_models_alike(engines):
    client, packed = engines
    served = {record["name"]: record for record in client.get("/models")["models"]}
    for name, each in packed.items():
        card, record = each["card"], served[name]
        own = {"fingerprint", "can"}  # of the compact form; what takes a server
        assert {*card} == {*record}
        for key in {*card} - own:
            assert card[key] == record[key], (name, key)
        assert {*card["can"]} == {*record["can"]} - {"influence", "rescore", "embed"}


def test_both_score_alike(engines):
    def calls_of(client, name):
        calls = []
        for text in TEXTS:
            asked = {"sentences": [text], "words": True, "given": "The dog"}
            [record] = client.post("/score", name, **asked)["scores"]
            calls.append((["score", name, text, {"given": "The dog"}], record))
        asked = {"sentences": TEXTS[:1], "words": True, "alternatives": 2}
        [record] = client.post("/score", name, **asked)["scores"]
        return [*calls, (["score", name, TEXTS[0], {"alternatives": 2}], record)]

    compared(engines, calls_of)


def test_both_find_the_same_next_words(engines):
    def calls_of(client, name):
        asked = [("the ", 4), ("the c", 2), ("", 3)]
        return [
            (["next", name, text, n], client.post("/next", name, text=text, n=n)["next"])
            for text, n in asked
        ]

    compared(engines, calls_of)


def test_both_look_alike(engines):
    def calls_of(client, name):
        can = {record["name"]: record["can"] for record in client.get("/models")["models"]}[name]
        calls = []
        for what in ("gates", "orders"):
            if what in can:
                for text in (TEXTS[0], TEXTS[1]):
                    answer = client.post("/look", name, what=what, text=text)
                    calls.append((["look", name, what, text], answer))
        return calls

    compared(engines, calls_of)
