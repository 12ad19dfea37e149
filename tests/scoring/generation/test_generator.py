import copy
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm import arrays
from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.lm.base.span_scoring import score_spans, whole_text
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.scoring.generation import drawing
from rnnlm.scoring.generation.drawing import MOST_ROWS, TextStarts, draw_samples, generate
from rnnlm.scoring.generation.search import search
from rnnlm.scoring.generation.settings import GenerationSettings, SamplingSettings, SearchSettings
from support.starts import EVERY_LENGTH, PROMPTS, one_of, starts_after
from support.tiny_models import LINES, fit, make_tokenizer


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def pieces():
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return fit("lstm", tokenizer="sentencepiece", vocab_size=300)


def texts(model, num: int = 1, prompt: str = "", **settings) -> list[str]:
    samples = generate(model, GenerationSettings(prompt=prompt, num=num, **settings))
    return [sample.text for sample in samples]


def unigram_of(probabilities: list[float]) -> UnigramModel:
    """Make a model of the words w2, w3, ... after </s> and <unk>, with these probabilities."""
    words = [f"w{number:04}" for number in range(2, len(probabilities))]
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log(probabilities), make_tokenizer([" ".join(words)]))


def test_a_sample_depends_on_seed_and_number_alone_however_large(lstm):
    many = texts(lstm, 200, max_tokens=12, seed=3)
    for num in (1, 5, 17, 70):
        assert texts(lstm, num, max_tokens=12, seed=3) == many[:num]
    assert len(set(many)) > 100
    assert texts(lstm, 200, max_tokens=12, seed=4) != many
    with warnings.catch_warnings(action="error"):
        seeds = (0, 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)
        samples = {tuple(texts(lstm, 3, seed=seed, max_tokens=10)) for seed in seeds}
    assert len(samples) == 5


def test_samples_are_numbered_and_say_what_they_cost(lstm):
    samples = list(generate(lstm, GenerationSettings(num=20, max_tokens=200, seed=5)))
    assert [sample.number for sample in samples] == list(range(20))
    complete = [sample for sample in samples if sample.complete]
    assert complete
    for sample in complete:
        (score,) = rnnlm.Model(lstm).score_sentences([sample.text])
        assert score.tokens == sample.tokens
        assert sample.logprob_nats == pytest.approx(score.logprob_nats, abs=1e-4)


def test_greedy_takes_the_likeliest_token_at_each_step(lstm):
    (text,) = texts(lstm, prompt="the cat", temperature=0, max_tokens=6)
    ids, state = lstm.tokenizer.encode(["the cat"]).ids[:-1].tolist(), lstm.initial_state(1)
    for _ in range(6):
        predicted, _ = lstm.predict(np.array([[0, *ids]]), state)
        last = arrays.as_numpy(predicted)[0, -1].copy()
        last[lstm.tokenizer.unk_id] = -np.inf
        ids.append(int(last.argmax()))
        if ids[-1] == 0:
            break
    assert text == lstm.tokenizer.decode(ids)
    assert set(texts(lstm, 20, prompt="the cat", temperature=0, max_tokens=6)) == {text}


def test_prompt_starts_every_sample_unchanged_and_conditions_the_model(lstm):
    drawn = texts(lstm, 20, prompt="a dog saw", max_tokens=4)
    assert all(text.startswith("a dog saw") for text in drawn)
    rest = [text.removeprefix("a dog saw ") for text in drawn]
    assert rest != texts(lstm, 20, max_tokens=4)
    model = fit("unigram")
    model.tokenizer = model.tokenizer.spelling()
    with warnings.catch_warnings(action="error"):
        (text,) = texts(model, prompt="the zebra yak zebra", max_tokens=1)
    assert text.startswith("the zebra yak zebra")


def test_pieces_without_prompt_start_like_a_line(pieces):
    seen = []
    predict = pieces.predict
    pieces.predict = lambda inputs, state: seen.append(np.asarray(inputs)) or predict(inputs, state)
    try:
        texts(pieces, max_tokens=1)
    finally:
        del pieces.predict
    assert seen[-1][:, 0].tolist() == [pieces.tokenizer.boundary_id]
    for sample in generate(pieces, GenerationSettings(num=5, prompt="the cat", max_tokens=5)):
        assert sample.text.startswith("the cat")


def test_unknown_is_drawn_only_if_asked_for():
    model = unigram_of([0.05, 0.9, 0.05])
    plain = " ".join(texts(model, 50, max_tokens=10))
    assert "<unk>" not in plain and "w0002" in plain
    assert "<unk>" in " ".join(texts(model, 50, max_tokens=10, unknown=True))
    assert "<unk>" not in texts(model, temperature=0, max_tokens=3)[0]


def test_samples_end_at_max_tokens_or_line_end_whatever_the_room():
    endless = unigram_of([0.0, 0.0, 0.5, 0.5])
    samples = list(generate(endless, GenerationSettings(num=3, max_tokens=7)))
    found = [(sample.tokens, sample.complete, len(sample.text.split())) for sample in samples]
    assert found == [(7, False, 7)] * 3
    ended = generate(unigram_of([1.0, 0.0, 0.0]), GenerationSettings(num=3, max_tokens=7))
    assert [(each.tokens, each.complete, each.text) for each in ended] == [(1, True, "")] * 3
    [sample] = generate(fit("unigram"), GenerationSettings(max_tokens=10**12))
    assert sample.complete


def test_rows_requested_never_exceed_the_models_limit():
    seen = []

    class OneByOne(UnigramModel):
        max_rows = 1

        def predict(self, inputs_BT, state):
            seen.append(len(inputs_BT))
            return super().predict(inputs_BT, state)

    model = fit("unigram")
    one_by_one = OneByOne(model.logprob_V, model.tokenizer)
    assert texts(one_by_one, 5, max_tokens=5) == texts(model, 5, max_tokens=5)
    assert set(seen) == {1}


@pytest.fixture
def calls(lstm):
    """List how many rows the LSTM reads in each call."""
    rows = []
    with lstm.network.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[1])):
        yield rows


def test_samples_are_yielded_as_soon_as_possible(lstm, calls):
    samples = generate(lstm, GenerationSettings(num=2000, max_tokens=20))
    next(samples)
    before = len(calls)
    list(samples)
    assert before * 5 < len(calls)


def test_finished_rows_are_refilled_and_finally_dropped(lstm, calls):
    samples = generate(lstm, GenerationSettings(num=1000, max_tokens=60))
    assert sum(sample.tokens for sample in samples) == sum(calls)
    assert max(calls) == MOST_ROWS and calls[-1] < 10


@pytest.mark.needs("tools/mixtures")
@pytest.mark.parametrize("kind", ["unigram", "cache", "dynamic"])
def test_adaptive_models_draw_the_same_whatever_num_is(lstm, kind):
    from rnnlm.tools.mixtures.adaptation import adapt

    model = adapt(lstm, kind)
    num = 3 if kind == "dynamic" else 20
    many = texts(model, num, prompt="the cat", max_tokens=6)
    assert texts(model, 2, prompt="the cat", max_tokens=6) == many[:2]


def test_running_text_continues_across_line_ends(lstm):
    [sample] = generate(lstm, GenerationSettings(prompt="the cat", max_tokens=80, running=True))
    assert sample.tokens == 80 and sample.text.count("\n") > 2
    lines = sample.text.split("\n")
    ids = [id for line in lines for id in lstm.tokenizer.encode([line]).ids.tolist()][: 80 + 2]
    logprob_N = score_spans(lstm, np.array(ids, dtype=np.int32), np.array([[0, len(ids)]]))
    assert sample.logprob_nats == pytest.approx(logprob_N[2:].sum(), abs=1e-3)


def test_a_prompt_may_be_longer_than_any_line(lstm):
    prompt = " ".join(["the cat sat on the mat"] * 500)
    [sample] = generate(lstm, GenerationSettings(prompt=prompt, max_tokens=3))
    assert sample.text.startswith(prompt)
    in_pieces = copy.copy(lstm)
    in_pieces.call_tokens = 7
    assert [sample.text] == texts(in_pieces, prompt=prompt, max_tokens=3)


def test_repetition_penalty_spares_the_line_end():
    model = unigram_of([0.1, 0.0, 0.3, 0.3, 0.3])
    asked = {"num": 300, "prompt": "w0002", "max_tokens": 3}
    plain, penalised = (texts(model, **asked, repetition_penalty=by) for by in (1.0, 50.0))
    assert any(text.count("w0002") > 1 for text in plain)
    assert all(len(set(text.split())) == len(text.split()) for text in penalised)
    assert min(plain.count("w0002"), penalised.count("w0002")) > 10


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_first_tokens_are_as_frequent_as_predicted(lstm, temperature):
    from scipy.stats import chisquare

    size, unk_id, num = lstm.tokenizer.size, lstm.tokenizer.unk_id, 3000
    inputs = np.array([[0, *lstm.tokenizer.encode(["the cat"]).ids[:-1]]])
    predicted, _ = lstm.predict(inputs, lstm.initial_state(1))
    p_V = np.exp(arrays.as_numpy(predicted)[0, -1].astype(np.float64) / temperature)
    p_V[unk_id] = 0
    p_V /= p_V.sum()
    drawing = GenerationSettings("the cat", num, temperature=temperature, max_tokens=1, seed=11)
    samples = list(generate(lstm, drawing))
    last = lstm.tokenizer.encode([sample.text for sample in samples])
    drawn = np.where([sample.complete for sample in samples], 0, last.ids[last.offsets[1:] - 2])
    found_V = np.bincount(drawn, minlength=size)
    assert found_V[unk_id] == 0
    often = p_V * num >= 5
    expected, found = (np.append(each[often], each[~often].sum()) for each in (p_V * num, found_V))
    keep = expected > 0
    assert keep[:-1].all() and found[~keep].sum() == 0
    assert chisquare(found[keep], expected[keep]).pvalue > 0.001


@pytest.fixture(scope="module", params=["lstm", "ngram", "large ngram"])
def model(request):
    # A model of many words draws among those that it stores.
    with pytest.MonkeyPatch.context() as patch:
        if request.param.startswith("large"):
            patch.setattr(drawing, "LEAST_SPARSE", 1)
        yield fit(request.param.split()[-1], LINES)


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
