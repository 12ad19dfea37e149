"""`/tokenizer_info`, `/tokenize` and `/detokenize`, as lm-evaluation-harness asks for them."""

import pytest

from support.servers import client_of
from support.tiny_models import fit, save


def post(client, path, status=200, **asked):
    answer = client.http.post(path, json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def several():
    models = {
        "words": fit("ngram", order=2), "deep/words": fit("lstm"),
        "letters": fit("lstm", tokenizer="char"),
    }  # fmt: skip
    with client_of(models) as client:
        yield models, client


@pytest.fixture(scope="module")
def one():
    model = fit("lstm")
    with client_of({"m": model}) as client:
        yield model, client


def test_the_boundary_is_the_only_special_token(one):
    model, client = one
    info = client.http.get("/tokenizer_info").json()
    assert info == {"eos_token": "</s>", "bos_token": "</s>", "pad_token": None}
    tokens = post(client, "/tokenize", prompt=info["eos_token"], add_special_tokens=False)
    assert tokens == {"tokens": [model.tokenizer.boundary_id], "count": 1}


def test_special_tokens_are_put_before_a_text_once(one):
    model, client = one
    ids = model.tokenizer.encode(["the cat"]).ids.tolist()[:-1]
    boundary = model.tokenizer.boundary_id
    assert post(client, "/tokenize", prompt="the cat")["tokens"] == [boundary, *ids]
    assert post(client, "/tokenize", prompt="</s>the cat")["tokens"] == [boundary, *ids]
    plain = post(client, "/tokenize", prompt="the cat", add_special_tokens=False)
    assert plain["tokens"] == ids
    assert post(client, "/detokenize", tokens=[boundary, *ids])["prompt"] == "</s>the cat"


def test_paths_tell_models_of_several_tokenizers_apart(several):
    models, client = several
    for path in ("/tokenizer_info", "/tokenize"):
        answer = client.http.get(path) if "info" in path else None
        error = answer.json() if answer else post(client, path, 400, prompt="the cat")
        assert "different tokenizers" in error["error"]["what"]
    for name, model in models.items():
        ids = model.tokenizer.encode(["the cat"]).ids.tolist()[:-1]
        asked = {"prompt": "the cat", "add_special_tokens": False}
        assert post(client, f"/models/{name}/tokenize", **asked)["tokens"] == ids
        assert post(client, "/tokenize", model=name, **asked)["tokens"] == ids
        assert post(client, f"/models/{name}/detokenize", tokens=ids)["prompt"] == "the cat"
        assert client.http.get(f"/models/{name}/tokenizer_info").status_code == 200
        answer = post(client, f"/models/{name}/v1/completions", prompt="the cat", max_tokens=1)
        assert answer["model"] == name


def test_path_and_request_must_not_name_two_models(several):
    _, client = several
    asked = {"prompt": "the", "model": "letters"}
    post(client, "/models/words/tokenize", 400, **asked)
    error = post(client, "/models/words/v1/completions", 400, **asked)["error"]
    assert error["param"] == "model"


def test_unknown_models_paths_and_ids_are_refused(one):
    _, client = one
    post(client, "/models/x/tokenize", 404, prompt="a")
    post(client, "/tokenize", 404, prompt="a", model="x")
    post(client, "/detokenize", 400, tokens=[5000])
    post(client, "/detokenize", 422, tokens="a")
    post(client, "/tokenize", 413, prompt="a" * 200_000)


def test_spelled_words_have_the_id_of_unknown_ones(tmp_path):
    settings = {"characters": "cnn", "character_filters": "3,4", "character_size": 5}
    save(tmp_path / "spelled", fit("lstm", **settings), "lstm", **settings)
    with client_of({"m": str(tmp_path / "spelled")}) as client:
        asked = {"prompt": "the zyzzyva sat", "add_special_tokens": False}
        ids = post(client, "/tokenize", **asked)["tokens"]
        assert post(client, "/detokenize", tokens=ids)["prompt"] == "the <unk> sat"
        asked = {"max_tokens": 3, "echo": True, "logprobs": 1, "temperature": 0}
        read = [
            post(client, "/v1/completions", prompt=prompt, **asked)["choices"][0]["logprobs"]
            for prompt in (ids, "the zyzzyva sat")
        ]
        assert read[0]["tokens"][:3] == read[1]["tokens"][:3] == [" the", " <unk>", " sat"]
        # As text, the word is read by its letters.
        assert read[0]["token_logprobs"][2] != read[1]["token_logprobs"][2]
