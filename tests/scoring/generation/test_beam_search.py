import itertools
import math

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.lm.base import span_scoring
from rnnlm.lm.mixtures.adaptation import adapt
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.sampling import GenerationSettings
from rnnlm.scoring.generation.search import likeliest
from rnnlm.scoring.generation.settings import BeamSettings
from support.tiny_models import LINES, fit

SHORT = ("a b", "b a b", "a", "b b")


def all_texts(
    model, prompt: list[int], most: int, unknown: bool
) -> list[tuple[float, tuple[int, ...]]]:
    """Return (log-probability, ids) of every text of at most so many tokens; those without an end
    have exactly that many."""
    others = [
        id
        for id in range(model.tokenizer.size)
        if id != model.tokenizer.boundary_id and (unknown or id != model.tokenizer.unk_id)
    ]
    texts = [
        (*ids, model.tokenizer.boundary_id)
        for length in range(most)
        for ids in itertools.product(others, repeat=length)
    ]
    texts += list(itertools.product(others, repeat=most))
    found = []
    for ids in texts:
        whole = np.array([*prompt, *ids], dtype=np.int32)
        found.append(
            (
                float(
                    span_scoring.score_spans(model, whole, span_scoring.whole_text(whole))[
                        len(prompt) :
                    ].sum()
                ),
                ids,
            )
        )
    return found


@pytest.mark.parametrize("name", ["lstm", "ngram"])
@pytest.mark.parametrize("length_power", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("prompt", ["", "b"])
def test_wide_enough_beam_equals_exhaustive_search(name, length_power, prompt):
    model = fit(name, SHORT)
    prompt_ids = model.tokenizer.encode([prompt]).ids[:-1].tolist()
    every = all_texts(model, prompt_ids, 4, unknown=True)
    best = sorted(
        every, key=lambda text: -text[0] / math.pow((5 + len(text[1])) / 6, length_power)
    )[:20]
    widest = BeamSettings(
        prompt, 20, beam=4**4, length_power=length_power, max_tokens=4, unknown=True
    )
    found = likeliest(model, widest)
    assert [sample.logprob_nats for sample in found] == pytest.approx(
        [logprob for logprob, _ in best], abs=1e-5
    )
    assert [sample.tokens for sample in found] == [len(ids) for _, ids in best]
    if name == "lstm":  # without ties
        assert [sample.text for sample in found] == [
            model.tokenizer.decode([*prompt_ids, *ids]) for _, ids in best
        ]


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
    assert [sample.logprob_nats for sample in found] == sorted(
        (sample.logprob_nats for sample in found), reverse=True
    )
    assert "<unk>" not in " ".join(sample.text for sample in found)


def test_one_row_model_or_num_beyond_beam_fails():
    model = fit("lstm")
    with pytest.raises(UsageError, match="one text at a time"):
        likeliest(adapt(model, "dynamic"), BeamSettings(beam=2))
    for num in (0, 9):
        with pytest.raises(UsageError, match="beam of 8"):
            likeliest(model, BeamSettings(num=num))
