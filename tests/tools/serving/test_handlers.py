"""What endpoints for other uses than scores answer: the same as the commands, to the digit."""

import json

import pytest

import rnnlm as library
from rnnlm.lm.base.loading import load
from support.servers import client_of
from support.tiny_models import fit


@pytest.fixture(scope="module")
def folders(slot_tagger, classifier, translator, pronouncer):
    return {
        "slots": str(slot_tagger.folder),
        "intents": str(classifier.folder),
        "french": str(translator.folder),
        "sounds": str(pronouncer),
    }


@pytest.fixture(scope="module")
def client(folders):
    with client_of({"demo": load(), **folders}) as client:
        yield client


def printed(outcome):
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


TEXTS = ["fly me to oslo", "oslo at noon"]
NBEST = {"nbest": 3, "probabilities": True}
SOURCES = ["two seven one four", "one"]


@pytest.mark.parametrize("path, model, asked, command", [
    ("/tag", "slots", {"sentences": TEXTS}, "tag"),
    ("/tag", "slots", {"sentences": TEXTS, **NBEST}, "tag --nbest 3 --probabilities"),
    ("/tag", "sounds", {"sentences": ["sheet"]}, "tag"),
    ("/classify", "intents", {"texts": [*TEXTS, "play a song"], "top": 2}, "classify --top 2"),
    ("/translate", "french", {"sources": SOURCES}, "translate"),
    ("/translate", "french", {"sources": SOURCES, "beam": 4, "nbest": 3},
     "translate --beam 4 --nbest 3"),
])  # fmt: skip
def test_answers_are_those_of_the_command(client, folders, rnnlm, path, model, asked, command):
    texts, *_ = asked.values()
    expected = printed(rnnlm(*command.split(), "-m", folders[model], "--json", *texts))
    answer = client.post(path, model, **asked)
    assert answer.pop("model") == model
    assert list(answer.values()) == [expected]


@pytest.mark.parametrize("asked", [{}, NBEST])
def test_lists_of_words_are_tagged_as_texts_are(client, asked):
    texts, words = (
        client.post("/tag", "slots", sentences=sentences, **asked)["sentences"]
        for sentences in (TEXTS, [text.split() for text in TEXTS])
    )
    assert [{**tagged, "text": None} for tagged in texts] == words


def test_more_labels_than_any_classifier_has_are_refused(client):
    for top, status in ((10**6, 200), (10**24, 422)):
        asked = {"model": "intents", "texts": ["fly"], "top": top}
        assert client.http.post("/classify", json=asked).status_code == status


def test_attention_is_that_of_the_library(client, folders):
    settings = library.DecodingSettings(attention=True)
    [expected] = library.load(folders["french"]).translate(["two seven"], settings=settings)
    [found] = client.post("/translate", "french", sources=["two seven"], attention=True)["lines"]
    assert found["hypotheses"] == json.loads(json.dumps(expected.to_dict()))["hypotheses"]


def test_minimum_bayes_risk_is_that_of_the_library(client, folders):
    [expected] = library.load(folders["french"]).translate(["two seven"], nbest=4, mbr=True)
    asked = {"model": "french", "sources": ["two seven"], "mbr": True}
    [found] = client.post("/translate", **asked, nbest=4)["lines"]
    assert found["hypotheses"] == json.loads(json.dumps(expected.to_dict()))["hypotheses"]
    for nbest in (17, 1):
        refused = client.http.post("/translate", json={**asked, "nbest": nbest})
        assert refused.status_code in (400, 422)


def test_targets_are_scored_given_their_source(client, folders, rnnlm):
    targets = ["deux sept", "un"]
    answer = client.post("/score", "french", sentences=targets, source="two seven", words=True)
    assert answer["scores"] == printed(
        rnnlm("score", "-m", folders["french"], *targets, "--source", "two seven", "--words",
              "--json")
    )  # fmt: skip
    error = client.post("/score", "french", sentences=targets)["error"]
    assert error["what"] == "sentence 1 has no source"


@pytest.mark.parametrize("more", [{}, {"scores": {"lm": -2.5, "am": -1.0}}])
def test_lists_are_rescored_as_by_the_command(client, here, rnnlm, more):
    speech = [("wreck a nice beach", -1.0), ("recognize speech", -1.5), ("recognise peach", -2.0)]
    speech.append(("recognize speech", -1e10))
    bark = [("the dog bark", -3.0), ("the dogs bark", -3.5)]
    lists = [
        {"utt": "u1", "ref": "recognize speech", "hypotheses": speech},
        {"utt": "u2", "hypotheses": bark},
    ]
    for each in lists:
        each["hypotheses"] = [
            {"text": text, "score": score, **more} for text, score in each["hypotheses"]
        ]
    (here / "list.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lists))
    tuned = rnnlm("rescore", "-m", "demo", "--tune", "list.jsonl", "--skip-incomplete",
                  "--weights-output", "w.json")  # fmt: skip
    assert tuned.code == 0, tuned.err
    weights = json.loads((here / "w.json").read_text())
    answer = client.post("/rescore", utterances=lists, weights=weights)
    assert answer["models"] == ["demo"]
    assert answer["utterances"] == printed(
        rnnlm("rescore", "-m", "demo", "--weights", "w.json", "--apply", "list.jsonl",
              "--nbest-output", "-")
    )[: len(lists)]  # fmt: skip
    # Other scores or models than those of the weights.
    answer = client.http.post(
        "/rescore", json={"utterances": lists, "weights": {**weights, "scores": ["score:x"]}}
    )
    assert answer.status_code == 400 and "utterance 1: its scores are not" in answer.text
    others = {**weights, "models": {"kn": "0" * 12}, "weights": {"lm:kn": 1.0}}
    answer = client.http.post("/rescore", json={"utterances": lists, "weights": others})
    assert answer.status_code == 400
    assert answer.json()["error"]["what"] == "the weights were tuned for other models"


def test_scores_beyond_a_number_are_refused(client):
    body = (
        b'{"utterances": [{"hypotheses": [{"text": "a", "score": 1e999}]}],'
        b' "weights": {"weights": {}, "models": {}}}'
    )
    assert 400 <= client.http.post("/rescore", content=body).status_code < 500


def test_ranks_of_pieces_are_unknown():
    with client_of({"characters": fit("lstm", tokenizer="char")}) as client:
        [score] = client.post("/score", sentences=["the cat"], next_words=2)["scores"]
    words = score["word_surprisals"]
    assert [word["rank"] for word in words] == [None] * 3
    assert all(len(word["next"]) <= 2 for word in words)
