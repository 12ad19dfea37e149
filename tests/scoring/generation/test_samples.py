import numpy as np
import pytest

from rnnlm.errors import SettingsError
from rnnlm.lm.base.span_scoring import score_spans, whole_text
from rnnlm.scoring.generation.drawing import TextStarts, draw_samples, generate
from rnnlm.scoring.generation.search import search
from rnnlm.scoring.generation.settings import GenerationSettings, SamplingSettings, SearchSettings
from support.starts import EVERY_LENGTH, PROMPTS, one_of, starts_after
from support.tiny_models import LINES, fit


@pytest.fixture(scope="module", params=["lstm", "ngram"])
def model(request):
    return fit(request.param, LINES)


def test_first_text_from_initial_state_matches_generate(model):
    settings = GenerationSettings(num=20, max_tokens=9, seed=3, top_p=0.95)
    inputs = np.array([model.tokenizer.boundary_id])
    start = TextStarts(model.initial_state(1), inputs, np.array([9]))
    [found] = draw_samples(model, start, 20, settings)
    samples = list(generate(model, settings))
    expected = [sample.text for sample in samples]
    assert [model.tokenizer.decode(text.ids) for text in found] == expected
    expected = [(sample.logprob_nats, sample.complete) for sample in samples]
    assert [(text.logprob_nats, text.ended) for text in found] == expected


def test_samples_are_independent_of_other_texts(model):
    starts, settings = starts_after(model, PROMPTS, EVERY_LENGTH), SamplingSettings(seed=5)

    def drawn_ids(starts, num, numbers=None):
        samples = draw_samples(model, starts, num, settings, numbers)
        return [[text.ids for text in texts] for texts in samples]

    together = drawn_ids(starts, 9)
    for number in (1, 4):
        assert drawn_ids(one_of(starts, number), 9, [number]) == [together[number]]
    assert drawn_ids(starts, 2) == [texts[:2] for texts in together]
    assert drawn_ids(one_of(starts, 4), 9, [3]) != [together[4]]


def test_samples_follow_their_initial_states_and_length_limits(model):
    starts = starts_after(model, PROMPTS, EVERY_LENGTH)
    for number, texts in enumerate(draw_samples(model, starts, 10, SamplingSettings(seed=2))):
        assert max(len(text.ids) for text in texts) <= EVERY_LENGTH[number]
        for text in texts:
            assert text.ended == (text.ids[-1] == model.tokenizer.boundary_id)
            assert text.ended or len(text.ids) == EVERY_LENGTH[number]
            whole = np.array([*starts.prompt(number), *text.ids], dtype=np.int32)
            logprob_N = score_spans(model, whole, whole_text(whole))
            logprob = logprob_N[len(starts.prompt(number)) :].sum()
            assert text.score == text.logprob_nats == pytest.approx(logprob, abs=1e-4)


def test_equal_starts_differ_and_zero_temperature_is_greedy(model):
    starts = starts_after(model, ("the cat",) * 3, [12] * 3)
    first, second, third = draw_samples(model, starts, 5, SamplingSettings(seed=1))
    assert len({tuple(texts) for texts in (map(tuple, (first, second, third)))}) == 3
    greedy = [found[0].ids for found in search(model, starts, SearchSettings(beam=1))]
    drawn = draw_samples(model, starts, 1, SamplingSettings(temperature=0))
    assert [texts[0].ids for texts in drawn] == greedy


def test_earlier_tokens_count_as_seen(model):
    starts = starts_after(model, ("the cat sat on the mat", ""), [8, 8])
    penalised = draw_samples(model, starts, 40, SamplingSettings(repetition_penalty=200.0, seed=4))
    seen = set(starts.prompt(0).tolist())
    assert not seen & {id for text in penalised[0] for id in text.ids[:2]}
    assert seen & {id for text in penalised[1] for id in text.ids[:2]}


def test_no_texts_give_nothing_but_zero_samples_fail(model):
    none = TextStarts(model.initial_state(0), *np.zeros((2, 0), dtype=np.int64))
    assert draw_samples(model, none, 3) == []
    with pytest.raises(SettingsError, match="num = 0"):
        draw_samples(model, none, 0)
