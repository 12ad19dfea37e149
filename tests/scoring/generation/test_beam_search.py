import functools
import itertools
import math

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.lm.base import span_scoring
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.search import likeliest
from rnnlm.scoring.generation.settings import BeamSettings, GenerationSettings
from support.tiny_models import LINES, fit

SHORT = ("a b", "b a b", "a", "b b")


def all_texts(
    model, prompt: list[int], most: int, unknown: bool
) -> list[tuple[float, tuple[int, ...]]]:
    """Return (log-probability, ids) of every text of at most `max_tokens` tokens."""
    boundary = model.tokenizer.boundary_id
    left_out = {boundary} if unknown else {boundary, model.tokenizer.unk_id}
    others = set(range(model.tokenizer.size)) - left_out
    texts = list(itertools.product(others, repeat=most))
    for length in range(most):
        texts += [(*ids, boundary) for ids in itertools.product(others, repeat=length)]
    found = []
    for ids in texts:
        whole = np.array([*prompt, *ids], dtype=np.int32)
        logprob_N = span_scoring.score_spans(model, whole, span_scoring.whole_text(whole))
        found.append((float(logprob_N[len(prompt) :].sum()), ids))
    return found


@functools.cache
def enumerated(name: str, prompt: str):
    """Return a model, the ids of the prompt, and all texts that may follow it."""
    model = fit(name, SHORT)
    prompt_ids = model.tokenizer.encode([prompt]).ids[:-1].tolist()
    return model, prompt_ids, all_texts(model, prompt_ids, 4, unknown=True)


@pytest.mark.parametrize("name", ["lstm", "ngram"])
@pytest.mark.parametrize("length_power", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("prompt", ["", "b"])
def test_wide_enough_beam_equals_exhaustive_search(name, length_power, prompt):
    model, prompt_ids, every = enumerated(name, prompt)
    ranked = sorted(
        every, key=lambda text: -text[0] / math.pow((5 + len(text[1])) / 6, length_power)
    )
    logprobs, ids = zip(*ranked[:20], strict=True)
    widest = {"beam": 4**4, "length_power": length_power, "max_tokens": 4, "unknown": True}
    found = likeliest(model, BeamSettings(prompt, 20, **widest))
    assert [sample.logprob_nats for sample in found] == pytest.approx(logprobs, abs=1e-5)
    assert [sample.tokens for sample in found] == list(map(len, ids))
    if name == "lstm":  # without ties
        texts = [model.tokenizer.decode([*prompt_ids, *of_text]) for of_text in ids]
        assert [sample.text for sample in found] == texts


def test_wider_beams_find_nothing_worse_than_greedy_search():
    model = fit("lstm", LINES)
    [greedy] = generate(model, GenerationSettings(temperature=0, max_tokens=30))
    for beam in (2, 8, 200):
        [best] = likeliest(model, BeamSettings(beam=beam, max_tokens=30))
        assert best.logprob_nats >= greedy.logprob_nats - 1e-6


def test_texts_are_ranked_and_unknown_words_left_out():
    model = fit("lstm", LINES)
    found = likeliest(model, BeamSettings(num=8, beam=8, max_tokens=6))
    assert [sample.number for sample in found] == list(range(8))
    logprobs = [sample.logprob_nats for sample in found]
    assert logprobs == sorted(logprobs, reverse=True)
    assert "<unk>" not in " ".join(sample.text for sample in found)


@pytest.mark.needs("tools/mixtures")
def test_one_row_model_or_num_beyond_beam_fails():
    from rnnlm.tools.mixtures.adaptation import adapt

    model = fit("lstm")
    with pytest.raises(UsageError, match="one text at a time"):
        likeliest(adapt(model, "dynamic"), BeamSettings(beam=2))
    for num in (0, 9):
        with pytest.raises(UsageError, match="beam of 8"):
            likeliest(model, BeamSettings(num=num))
