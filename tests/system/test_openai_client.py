"""A served model, asked by OpenAI's client itself. `.ci/doors openai` has an environment for it."""

import math

import pytest

import rnnlm
from rnnlm.generation.settings import SamplingSettings
from rnnlm.models import loading
from support.served_processes import serving

pytestmark = [pytest.mark.soak, pytest.mark.system]


@pytest.fixture(scope="module")
def demo():
    """Return OpenAI's client of a server of the shipped model."""
    openai = pytest.importorskip(
        "openai", reason="openai is not installed; .ci/doors openai has it"
    )
    with serving("-m", "demo") as server:
        base = f"http://{server.host}:{server.port}/v1"
        yield openai.OpenAI(base_url=base, api_key="unused", max_retries=0)


def test_openais_client_gets_texts(demo):
    settings = SamplingSettings(max_tokens=12, seed=5, top_p=0.9, temperature=0.8)
    expected = list(rnnlm.generate("demo", prompt="the old man", num=3, settings=settings))
    asked = {
        "model": "demo", "prompt": "the old man", "n": 3, "max_tokens": 12, "seed": 5,
        "top_p": 0.9, "temperature": 0.8,
    }  # fmt: skip
    found = demo.completions.create(**asked)
    assert ["the old man" + each.text for each in found.choices] == [each.text for each in expected]
    finishes = ["stop" if each.complete else "length" for each in expected]
    assert [each.finish_reason for each in found.choices] == finishes
    assert found.usage.completion_tokens == sum(each.tokens for each in expected)

    # The same event by event.
    texts = dict.fromkeys(range(3), "")
    usage = None
    for event in demo.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    ):
        usage = event.usage or usage
        for choice in event.choices:
            texts[choice.index] += choice.text
    assert [*texts.values()] == [each.text for each in found.choices]
    assert usage == found.usage


def test_openais_client_gets_surprisals_of_a_text(demo):
    text = "the dog barked at the old man"
    found = demo.completions.create(
        model="demo", prompt=f"</s>{text}", max_tokens=0, echo=True, logprobs=3
    )
    [choice] = found.choices
    [score] = rnnlm.score_sentences(loading.load("demo"), [text], with_tokens=True)
    bits = [each.surprisal_bits for each in score.token_scores[:-1]]
    nats = choice.logprobs.token_logprobs[1:]
    assert [-each / math.log(2) for each in nats] == pytest.approx(bits, abs=1e-4)
    assert choice.text == f"</s>{text}" and choice.logprobs.text_offset[:3] == [0, 4, 7]
    for own, top in zip(nats, choice.logprobs.top_logprobs[1:], strict=True):
        assert len(top) in (3, 4) and own in top.values()


def test_openais_client_lists_models(demo):
    assert [each.id for each in demo.models.list()] == ["demo"]
    assert demo.models.retrieve("demo").object == "model"


def test_openais_client_is_told_what_is_wrong(demo):
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        demo.completions.create(model="demo", prompt="the", best_of=3)
    assert caught.value.param == "best_of" and "not supported" in str(caught.value)
    with pytest.raises(openai.NotFoundError) as caught:
        demo.completions.create(model="nothing", prompt="the")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        demo.models.retrieve("nothing")
    with pytest.raises(openai.BadRequestError):
        next(iter(demo.completions.create(model="demo", prompt="<s>", stream=True)))


def test_openais_client_sends_the_token(demo):
    import openai

    with serving("-m", "demo", RNNLM_TOKEN="a-token-of-this-test") as server:
        base = f"http://{server.host}:{server.port}/v1"
        right = openai.OpenAI(base_url=base, api_key="a-token-of-this-test", max_retries=0)
        assert right.completions.create(model="demo", prompt="the", max_tokens=1).choices
        wrong = openai.OpenAI(base_url=base, api_key="another", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            wrong.completions.create(model="demo", prompt="the", max_tokens=1)
