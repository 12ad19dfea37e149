"""Whatever a request holds that its schema allows, the server answers or refuses it: never 500."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from rnnlm.tools.serving.served import ServedModels
from support.servers import client_of

ENDPOINTS = ("/score", "/next", "/generate", "/rescore", "/tag", "/classify", "/translate",
             "/inspect")  # fmt: skip
MODELS = ("lstm", "unigram", "kn", "chars", "tagger", "classifier", "fra")
WORDS = ["", " ", "\n", "the man", "un", "the\n", "\t", "\0", "\r", "\u2028", "\ufeff", "<s>", "</s>",
         "<unk>", "a </s>", "\ud800", "e\u0301", "\U0001f600", "x" * 300, "\x1b[31m"]  # fmt: skip
TEXTS = st.sampled_from(WORDS) | st.text(max_size=20) | st.lists(
    st.sampled_from(WORDS), max_size=4
).map("".join)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, 2, 3, 0.5, -1, 1e-300, 1e300]) | st.floats(-4, 4)


def values_of(schema, components):
    """Return a strategy of the values that a schema allows, few and small ones."""
    if "$ref" in schema:
        return values_of(components[schema["$ref"].rpartition("/")[2]], components)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values_of(part, components) for part in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        required, optional = {}, {}
        for name, inner in schema["properties"].items():
            is_required = name in schema.get("required", ())
            (required if is_required else optional)[name] = values_of(inner, components)
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "object":
        inner = values_of(schema.get("additionalProperties", {}), components)
        return st.dictionaries(st.sampled_from(MODELS) | TEXTS, inner, max_size=2)
    if kind == "array":
        least = schema.get("minItems", 0)
        return st.lists(values_of(schema["items"], components), min_size=least, max_size=least + 2)
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        low = max(low, schema.get("exclusiveMinimum", low))
        numbers = NUMBERS.filter(lambda number: low <= number <= high)
        large = st.sampled_from([2**31, 2**63, 10**30]).filter(lambda number: number <= high)
        whole = st.integers(max(int(max(low, -3)), -3), 6) | large
        return whole if kind == "integer" else numbers
    return {"string": TEXTS, "boolean": st.booleans(), "null": st.none()}[kind]


@pytest.fixture(scope="module")
def client(models, tagger, classifier, translator):
    folders = [models.lstm, models.unigram, tagger.folder, classifier.folder, translator.folder]
    with client_of(ServedModels.load([str(folder) for folder in folders])) as client:
        yield client


def able(client, path):
    """Return the fingerprints of the models that an endpoint takes, by name."""
    need = {"/inspect": "gates"}.get(path, path.strip("/"))
    models = [model for model in client.get("/models")["models"] if need in model["can"]]
    return {model["name"]: model["fingerprint"] for model in models}


def weights_of(name, fingerprint):
    return {"models": {name: fingerprint}, "weights": {f"lm:{name}": 1.0}}


def status_of(client, path, asked):
    headers = {"Content-Type": "application/json"}
    return client.http.post(path, content=json.dumps(asked), headers=headers).status_code


@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_request_that_the_schema_allows_is_an_internal_error(client, path):
    components = client.document["components"]["schemas"]
    body = client.document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    models = able(client, path)

    @given(values_of(body["schema"], components), st.sampled_from([None, *models]))
    def post(asked, name):
        if path == "/rescore" and name is not None:
            asked["weights"] |= weights_of(name, models[name])
        elif name is not None:
            asked["model"] = name
        assert status_of(client, path, asked) != 500, asked

    post()


@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_odd_text_is_an_internal_error(client, path):
    name, fingerprint = next(iter(able(client, path).items()))
    statuses = set()
    for word in WORDS:
        both = [word, f"the {word}"]
        hypotheses = [{"text": text, "score": 1.0} for text in both]
        bodies = {
            "/score": {"sentences": both, "words": True, "next_words": 1, "given": word},
            "/next": {"text": word},
            "/generate": {"prompt": word, "max_tokens": 2, "stream": False},
            "/rescore": {
                "utterances": [{"hypotheses": hypotheses}],
                "weights": weights_of(name, fingerprint),
            },
            "/tag": {"model": name, "sentences": [*both, both]},
            "/classify": {"model": name, "texts": both},
            "/translate": {"model": name, "sources": both},
            "/inspect": {"model": name, "what": "gates", "text": word},
        }
        statuses.add(status_of(client, path, bodies[path]))
    assert 200 in statuses and 500 not in statuses
