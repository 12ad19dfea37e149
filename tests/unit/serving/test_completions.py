"""`/v1/completions`, asked as OpenAI's client and lm-evaluation-harness ask it. The clients
themselves ask it in tests/system/test_openai_client.py and test_served_harness.py."""

import itertools
import json
import math

import numpy as np
import pytest

from rnnlm.combinations.adaptation import adapt
from rnnlm.generation.drawing import generate
from rnnlm.generation.settings import SamplingSettings
from rnnlm.integrations.continuations import score_continuations, text_ids
from rnnlm.serving import completions
from rnnlm.serving.completions import token_texts
from support.servers import client_of
from support.tiny_models import LINES, fit, halves_model, make_tokenizer

MODELS = [
    ("ngram", {"order": 3}), ("lstm", {}), ("lstm", {"tokenizer": "char"}),
    ("lstm", {"tokenizer": "byte"}), ("gru", {"characters": "cnn"}),
    ("lstm", {"tokenizer": "sentencepiece", "vocab_size": 290}),
    ("mixture", {"parts": [("ngram", {}), ("lstm", {})], "weights": [0.5, 0.5]}),
]  # fmt: skip
PAIRS = [
    ("the cat", " sat on the mat"), ("the cat sat\na", " dog"), ("", "the cat"), ("the", " dog\n"),
    ("the cat sat\n\n", "a dog saw"), ("it is hard to ", "recognize speech"), ("the cat", " sat"),
    ("the cat sat on the mat\n", "it"), ("a", " zyzzyva sat"),
]  # fmt: skip


class Asking:
    """A model in a server."""

    def __init__(self, model, http):
        self.model = model
        self.http = http

    def answer(self, status=200, **asked):
        answer = self.http.post("/v1/completions", json=asked)
        assert answer.status_code == status, answer.text
        return answer.json()

    def choice(self, **asked):
        [choice] = self.answer(**asked)["choices"]
        return choice

    def events(self, **asked):
        answer = self.http.post("/v1/completions", json={**asked, "stream": True})
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        *events, last, rest = answer.text.split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def tokens(self, text):
        answer = self.http.post("/tokenize", json={"prompt": text, "add_special_tokens": False})
        return answer.json()["tokens"]


@pytest.fixture(
    scope="module",
    params=MODELS,
    ids=lambda each: "-".join([each[0], *map(str, each[1].values())])[:30],
)
def asking(request):
    name, settings = request.param
    model = fit(name, **settings)
    with client_of({"m": model}) as client:
        yield Asking(model, client.http)


@pytest.fixture(scope="module")
def words():
    model = fit("lstm", LINES * 20, budget="60steps")
    with client_of({"m": model}) as client:
        yield Asking(model, client.http)


def distributions(model, ids):
    """Return what `predict` gives after the boundary and each of `ids`, one token at a time."""
    state, found = model.initial_state(1), []
    for id in (model.tokenizer.boundary_id, *ids):
        predicted, state = model.predict(np.array([[id]]), state)
        found.append(np.asarray(predicted.detach() if hasattr(predicted, "detach") else predicted))
    return np.array(found)[:, 0, 0].astype(np.float64)


# ---- Log-probabilities of prompts.


def test_an_echo_has_the_models_probabilities(asking):
    ids = asking.tokens("the cat sat on a mat")
    texts = token_texts(asking.model.tokenizer)
    found = asking.choice(prompt=ids, max_tokens=0, echo=True, logprobs=3)["logprobs"]
    expected_NV = distributions(asking.model, ids)
    assert found["tokens"] == [texts[id] for id in ids]
    assert (found["token_logprobs"][0], found["top_logprobs"][0]) == (None, None)
    for place, id in list(enumerate(ids))[1:]:
        expected_V = expected_NV[place]
        assert found["token_logprobs"][place] == pytest.approx(expected_V[id], abs=1e-5)
        top = found["top_logprobs"][place]
        best = {texts[each] for each in np.argsort(-expected_V, kind="stable")[:3]}
        if len(set(np.sort(expected_V)[-4:])) == 4:  # else several may be third
            assert set(top) == best | {texts[id]}
        for text, logprob in top.items():
            assert logprob == pytest.approx(expected_V[texts.index(text)], abs=1e-5)


def harness_scores(asking, pairs):
    """Score pairs as lm-evaluation-harness does: tokens of both, then sums over an echo."""
    scores = []
    for context, continuation in pairs:
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        if context:
            whole = asking.tokens(context + continuation)
            before = asking.tokens(context)
        else:
            before = asking.tokens("</s>")
            whole = before + asking.tokens(continuation)
        asked = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
        found = asking.choice(prompt=[whole], **asked)["logprobs"]
        assert len(found["token_logprobs"]) == len(found["top_logprobs"]) == len(whole) + 1
        own = found["token_logprobs"][len(before) : -1]
        tops = found["top_logprobs"][len(before) : -1]
        is_greedy = all(each == max(top.values()) for each, top in zip(own, tops, strict=True))
        scores.append((sum(own), is_greedy))
    return scores


def test_the_harness_scores_as_its_model_type(asking):
    # Words that only their spelling tells apart are one unknown word where ids are sent.
    pairs = [
        pair for pair in PAIRS if "zyzzyva" not in pair[1] or not asking.model.tokenizer.spells
    ]
    expected = score_continuations(asking.model, pairs)
    for found, each in zip(harness_scores(asking, pairs), expected, strict=True):
        assert found == (pytest.approx(each.logprob_nats, abs=1e-5), each.is_greedy)


def test_a_greedy_text_is_greedy_to_the_harness(asking):
    context = "the cat"
    written = asking.choice(prompt=context, max_tokens=6, temperature=0, logprobs=0)
    [(_, is_greedy)] = harness_scores(asking, [(context, written["text"])])
    assert is_greedy or any("unk" in token for token in written["logprobs"]["tokens"])


def test_a_boundary_before_ids_is_not_read_twice(asking):
    boundary = asking.model.tokenizer.boundary_id
    ids = asking.tokens("the cat sat")
    asked = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    plain = asking.choice(prompt=ids, **asked)["logprobs"]
    marked = asking.choice(prompt=[boundary, *ids], **asked)["logprobs"]
    assert marked["tokens"] == ["</s>", *plain["tokens"]]
    assert marked["token_logprobs"][2:] == pytest.approx(plain["token_logprobs"][1:], abs=1e-6)
    first = distributions(asking.model, ids)[0][ids[0]]
    assert marked["token_logprobs"][:2] == [None, pytest.approx(first, abs=1e-5)]
    assert asking.choice(prompt="</s>the cat sat", **asked)["logprobs"] == marked


def test_a_text_beyond_2048_tokens_is_read():
    model = fit("lstm")
    ids = text_ids(model.tokenizer, " ".join(LINES) + "\n" + "the cat sat " * 700)
    with client_of({"m": model}) as client:
        found = Asking(model, client.http).choice(
            prompt=ids.tolist(), max_tokens=1, echo=True, logprobs=1, temperature=0
        )["logprobs"]
    expected_NV = distributions(model, ids.tolist())
    assert len(ids) > 2100 and len(found["token_logprobs"]) == len(ids) + 1
    own = expected_NV[np.arange(len(ids)), ids]
    assert found["token_logprobs"][1:-1] == pytest.approx(own[1:].tolist(), abs=1e-5)


def test_a_probability_of_zero_is_a_large_number():
    with client_of({"m": halves_model()}) as client:
        asking = Asking(halves_model(), client.http)
        asked = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 20}
        found = asking.choice(prompt="a never a", **asked)["logprobs"]
    assert found["token_logprobs"][1] == -9999.0
    assert found["top_logprobs"][1][" never"] == found["top_logprobs"][2][" never"] == -9999.0


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "byte"}, {"tokenizer": "char"},
                                      {"tokenizer": "sentencepiece", "vocab_size": 290}])  # fmt: skip
def test_no_two_tokens_have_the_same_key(settings):
    tokenizer = make_tokenizer(LINES, **settings)
    texts = token_texts(tokenizer)
    assert len(set(texts)) == len(texts) == tokenizer.size
    assert texts[tokenizer.boundary_id] == "</s>"
    if settings.get("tokenizer") == "sentencepiece":  # bytes and pieces of one character
        assert any(text.startswith("token_id:") for text in texts) and "a" in texts


# ---- Prompts, and what is answered beside texts.


def test_prompts_of_all_shapes_are_read_alike(words):
    asked = {"max_tokens": 4, "temperature": 0, "echo": True, "logprobs": 1}
    texts = ["the cat sat", "a dog"]
    ids = [words.tokens(text) for text in texts]
    by_text = [words.answer(prompt=text, **asked)["choices"][0] for text in texts]
    by_ids = [words.answer(prompt=each, **asked)["choices"][0] for each in ids]
    assert by_ids == by_text
    second = by_text[1] | {"index": 1}
    for prompts in (texts, ids):
        found = words.answer(prompt=prompts, **asked)["choices"]
        assert [each["text"] for each in found] == [by_text[0]["text"], second["text"]]
        for one, other in zip(found, (by_text[0], second), strict=True):
            assert one["index"] == other["index"]
            close = pytest.approx(other["logprobs"]["token_logprobs"][1:], abs=1e-5)
            assert one["logprobs"]["token_logprobs"][1:] == close


def test_usage_counts_each_prompt_once(words):
    answer = words.answer(prompt=["the cat", "a dog saw"], max_tokens=2, n=3, seed=1, logprobs=0)
    drawn = sum(len(each["logprobs"]["tokens"]) for each in answer["choices"])
    assert answer["usage"] == {
        "prompt_tokens": 5, "completion_tokens": drawn, "total_tokens": 5 + drawn,
    }  # fmt: skip
    assert [each["index"] for each in answer["choices"]] == list(range(6))
    assert (answer["object"], answer["model"]) == ("text_completion", "m")


def test_offsets_are_where_tokens_are_in_the_text(words):
    text = "the cat\n\nzyzzyva  sat on</s>a dog"
    choice = words.choice(prompt=text, max_tokens=3, temperature=0, echo=True, logprobs=0)
    found = choice["logprobs"]
    assert choice["text"].startswith(text)
    bounds = [*found["text_offset"], len(choice["text"])]
    pieces = [
        choice["text"][start:end] for start, end in itertools.pairwise(bounds)
    ]  # fmt: skip
    assert pieces[:8] == ["the", " cat", "\n", "\nzyzzyva", "  sat", " on", "</s>", "a"]
    assert found["tokens"][:8] == [" the", " cat", "</s>", " <unk>", " sat", " on", "</s>", " a"]
    assert [piece.strip() for piece in pieces[9:]] == [
        token.strip() if token != "</s>" else "" for token in found["tokens"][9:]
    ]


def test_no_token_is_drawn_where_none_is_asked(words):
    assert words.choice(prompt="the cat", max_tokens=0) == {
        "text": "", "index": 0, "logprobs": None, "finish_reason": "length",
    }  # fmt: skip
    assert words.choice(prompt="the cat", max_tokens=0, echo=True)["text"] == "the cat"
    empty = words.choice(prompt="", max_tokens=0, echo=True, logprobs=1)["logprobs"]
    assert empty == {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def test_a_prompt_may_be_left_out(words):
    choice = words.choice(max_tokens=3, temperature=0, logprobs=1)
    assert choice["logprobs"]["token_logprobs"][0] == pytest.approx(
        distributions(words.model, [])[0].max(), abs=1e-5
    )


# ---- Texts.


def test_texts_are_those_of_the_command(words):
    settings = SamplingSettings(max_tokens=12, seed=5, top_p=0.9, temperature=0.8)
    expected = list(generate(words.model, prompt="the cat", num=4, settings=settings))
    answer = words.answer(
        prompt="the cat", n=4, max_tokens=12, seed=5, top_p=0.9, temperature=0.8, logprobs=0
    )
    for choice, sample in zip(answer["choices"], expected, strict=True):
        assert "the cat" + choice["text"] == sample.text
        assert choice["finish_reason"] == ("stop" if sample.complete else "length")
        its = choice["logprobs"]["token_logprobs"]
        assert len(its) == sample.tokens and sum(its) == pytest.approx(sample.logprob_nats)


def test_without_a_seed_texts_differ(words):
    texts = {words.choice(prompt="", max_tokens=30)["text"] for _ in range(5)}
    assert len(texts) > 1


def test_a_text_ends_before_a_stop(words):
    asked = {"prompt": "it", "max_tokens": 8, "seed": 1, "logprobs": 1}
    whole = words.choice(**asked)
    first, second, third, *_ = whole["text"].split()
    cut = words.choice(**asked, stop=["\n", f"{second} {third}"])
    assert (cut["text"], cut["finish_reason"]) == (f" {first} ", "stop")
    # The space before a word belongs to it.
    for name, its in cut["logprobs"].items():
        assert its == whole["logprobs"][name][:2]


@pytest.mark.parametrize("tokenizer", ["char", "byte", "word"])
def test_a_space_is_shown_where_it_is_drawn(tokenizer):
    # A space that the prompt ends with is a token of its own, or begins the next word.
    lines = ["aa    bb    aa    bb"] * 9
    model = fit("ngram", lines=lines, order=4, tokenizer=tokenizer)
    with client_of({"m": model}) as client:
        choice = Asking(model, client.http).choice(
            prompt="aa ", max_tokens=4, temperature=0, logprobs=1
        )
    tokens = "".join(choice["logprobs"]["tokens"]).removesuffix("</s>")
    if tokenizer == "word":
        assert tokens.startswith(" bb aa") and choice["text"] == tokens.removeprefix(" ")
    else:
        assert tokens == choice["text"] and tokens.startswith(" ")


def test_the_end_of_a_line_is_an_entry():
    with client_of({"m": halves_model()}) as client:
        asking = Asking(halves_model(), client.http)
        found = [
            choice
            for choice in asking.answer(prompt="a", n=16, seed=1, logprobs=1)["choices"]
            if choice["finish_reason"] == "stop"
        ]
    assert found
    for choice in found:
        assert choice["logprobs"]["tokens"][-1] == "</s>"
        assert choice["logprobs"]["token_logprobs"][-1] == pytest.approx(math.log(1 / 4))
        assert choice["logprobs"]["text_offset"][-1] == len("a" + choice["text"])


@pytest.mark.parametrize(
    "echo, stop",
    [
        (False, None),
        (True, ["sat on", "e c"]),
        pytest.param(False, ["sat on", "e c"], marks=pytest.mark.soak),
        pytest.param(True, None, marks=pytest.mark.soak),
    ],
)
def test_a_stream_adds_up_to_the_answer(asking, stop, echo):
    asked = {
        "prompt": ["the cat", "it is"], "n": 2, "max_tokens": 15, "seed": 3, "logprobs": 2,
        "stop": stop, "echo": echo,
    }  # fmt: skip
    expected = asking.answer(**asked)
    events = asking.events(**asked, stream_options={"include_usage": True})
    assert len({event["id"] for event in events}) == 1
    assert events.pop()["usage"] == expected["usage"]
    for choice in expected["choices"]:
        parts = [
            each for event in events for each in event["choices"] if each["index"] == choice["index"]
        ]  # fmt: skip
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [
            choice["finish_reason"]
        ]
        for name, its in choice["logprobs"].items():
            assert [each for part in parts for each in part["logprobs"][name]] == its


def test_characters_are_whole_in_streams():
    lines = ["ein größeres Glück", "größer als 10 €", "😀 and naïve"]
    model = fit("lstm", lines=lines, tokenizer="byte")
    with client_of({"m": model}) as client:
        asking = Asking(model, client.http)
        asked = {"prompt": "gr", "max_tokens": 60, "n": 8, "seed": 2, "logprobs": 1}
        expected = asking.answer(**asked)["choices"]
        texts = dict.fromkeys(range(8), "")
        for event in asking.events(**asked):
            [part] = event["choices"]
            texts[part["index"]] += part["text"]
    assert texts == {each["index"]: each["text"] for each in expected}


def test_a_model_that_adapts_itself_completes_texts():
    model = adapt(fit("lstm"), "dynamic")
    with client_of({"m": model}) as client:
        asking = Asking(model, client.http)
        asked = {"max_tokens": 2, "temperature": 0, "echo": True, "logprobs": 1}
        one = [asking.choice(prompt=text, **asked) for text in ("the cat sat", "a dog")]
        both = asking.answer(prompt=["the cat sat", "a dog"], **asked)["choices"]
    assert [each["text"] for each in both] == [each["text"] for each in one]


# ---- What is refused.


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"best_of": 3}, "best_of", "not supported"),
        ({"suffix": "x"}, "suffix", "not supported"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"unheard": 1}, "unheard", "unknown field"),
        ({"prompt": []}, "prompt", "empty"),
        ({"prompt": ["a", 3]}, "prompt", "mixed"),
        ({"prompt": [[1], "a"]}, "prompt", "mixed"),
        ({"prompt": [99_999]}, "prompt", "no token has the id 99999"),
        ({"prompt": [-1]}, "prompt", "no token has the id -1"),
        ({"prompt": 5}, "prompt", "Expected"),
        ({"prompt": "the <s> cat"}, None, "<s>"),
        ({"max_tokens": -1}, "max_tokens", "Expected"),
        ({"max_tokens": 100_000}, "max_tokens", "this server gives"),
        ({"n": 0}, "n", "Expected"),
        ({"n": 1000}, "n", "this server gives"),
        ({"logprobs": 100_000}, "logprobs", "this server gives"),
        ({"temperature": -1}, "temperature", "Expected"),
        ({"top_p": 0}, "top_p", "Expected"),
        ({"top_p": 1.5}, "top_p", "Expected"),
        ({"stop": ""}, "stop", "empty"),
        ({"stop": ["a"] * 100}, "stop", "this server gives"),
        ({"seed": -1}, "seed", "Expected"),
        ({"stop": ["a" * 6000, "b" * 6000]}, "stop", "this server gives"),
        ({"seed": 1 << 64}, "seed", "not valid"),
        ({"prompt": ["a"] * 200, "n": 16}, "prompt", "this server gives"),
        ({"prompt": "a" * 200_000}, "prompt", "this server gives"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_is_refused(words, asked, param, message, stream):
    error = words.answer(400, **{"prompt": "a", "stream": stream, **asked})["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and message in error["message"]
    assert error["param"] == param


def test_options_of_a_stream_need_one(words):
    error = words.answer(400, prompt="a", stream_options={"include_usage": True})["error"]
    assert error["param"] == "stream_options"


def test_what_asks_for_nothing_is_taken(words):
    plain = words.choice(prompt="the", temperature=0)
    nulls = dict.fromkeys(("best_of", "suffix", "logit_bias", "presence_penalty", "stop", "echo",
                           "logprobs", "n", "stream", "seed", "top_p", "max_tokens"))  # fmt: skip
    zeros = {"frequency_penalty": 0, "best_of": 1, "user": "me", "logit_bias": {}}
    assert words.choice(prompt="the", temperature=0, **nulls) == plain
    assert words.choice(prompt="the", temperature=0, **zeros) == plain


def test_an_echo_may_take_so_much_alone():
    with client_of({"m": halves_model()}, max_echo=20) as client:
        asking = Asking(halves_model(), client.http)
        asked = {"max_tokens": 0, "echo": True}
        asking.answer(prompt="a b a b", logprobs=1, **asked)
        error = asking.answer(400, prompt=["a b a", "b a"], logprobs=1, **asked)["error"]
        assert error["code"] == "context_length_exceeded"
        asking.answer(prompt="a b a b a", logprobs=0, **asked)


def test_an_answer_has_so_many_logprobs_alone(words, monkeypatch):
    monkeypatch.setattr(completions, "MOST_LOGPROBS", 3 * (2 + 4) * 2)
    asked = {"prompt": ["the cat"], "echo": True, "n": 3, "max_tokens": 4}
    words.answer(**asked, logprobs=1)
    words.answer(**asked)
    assert words.answer(400, **asked, logprobs=2)["error"]["param"] == "logprobs"
    more = {**asked, "max_tokens": 5}
    assert words.answer(400, **more, logprobs=1)["error"]["param"] == "logprobs"
    words.answer(**{**more, "echo": False}, logprobs=1)


def test_models_are_listed_and_found_by_name(words):
    listed = words.http.get("/v1/models").json()
    assert listed["object"] == "list"
    [card] = listed["data"]
    assert (card["id"], card["object"]) == ("m", "model")
    assert words.http.get("/v1/models/m").json() == card
    for path, body in (("/v1/models/x", None), ("/v1/completions", {"model": "x"})):
        answer = words.http.post(path, json=body) if body else words.http.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/completions", 405), ("GET", "/v1/x", 404)]
)
def test_other_paths_and_methods_have_openais_errors(words, method, path, status):
    answer = words.http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"prompt": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(words, body):
    answer = words.http.post(
        "/v1/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
