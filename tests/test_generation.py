import math
import warnings
from collections import Counter

import numpy as np
import pytest
from tiny_models import LINES, fit, make_tokenizer

from rnnlm import arrays
from rnnlm.errors import RnnlmWarning, SettingsError, TextError
from rnnlm.drawing import FEWEST_ROWS
from rnnlm.generation import generate
from rnnlm.ngram.unigram import UnigramModel
from rnnlm.sampling import SamplingSettings, draw
from rnnlm.scoring import score_sentences


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm")


@pytest.fixture(scope="module")
def pieces():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return fit("lstm", tokenizer="sentencepiece", vocab_size=300)


def texts(model, num: int = 1, prompt: str = "", **settings) -> list[str]:
    return [sample.text for sample in generate(model, prompt=prompt, num=num, settings=SamplingSettings(**settings))]


def unigram_of(probabilities: list[float]) -> UnigramModel:
    """Words w2, w3, ... after </s> and <unk>, of these probabilities."""
    words = [f"w{number:04}" for number in range(2, len(probabilities))]
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log(probabilities), make_tokenizer([" ".join(words)]))


def test_a_sample_depends_on_seed_and_number_alone(lstm):
    assert FEWEST_ROWS < 40
    many = texts(lstm, 40, max_tokens=12, seed=3)
    assert texts(lstm, 1, max_tokens=12, seed=3) == many[:1]
    assert texts(lstm, 5, max_tokens=12, seed=3) == many[:5]
    assert texts(lstm, 17, max_tokens=12, seed=3) == many[:17]
    assert len(set(many)) > 20
    assert texts(lstm, 40, max_tokens=12, seed=4) != many


def test_samples_are_numbered_and_say_what_they_cost(lstm):
    samples = list(generate(lstm, num=20, settings=SamplingSettings(max_tokens=200, seed=5)))
    assert [sample.number for sample in samples] == list(range(20))
    complete = [sample for sample in samples if sample.complete]
    assert complete
    for sample in complete:
        (score,) = score_sentences(lstm, [sample.text])
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


def test_the_prompt_begins_every_sample_and_moves_the_model(lstm):
    for text in texts(lstm, 5, prompt="a dog saw", max_tokens=4):
        assert text.startswith("a dog saw")
    rest = [text.removeprefix("a dog saw ") for text in texts(lstm, 20, prompt="a dog saw", max_tokens=4)]
    assert rest != texts(lstm, 20, max_tokens=4)


def test_unknown_words_of_a_prompt_are_named_in_a_warning(lstm):
    with pytest.warns(RnnlmWarning, match="zebra, yak"):
        (text,) = texts(lstm, prompt="the zebra yak zebra", max_tokens=1)
    assert text.startswith("the <unk> <unk> <unk>")


def test_words_of_a_prompt_that_are_spelled_come_back_as_they_are():
    model = fit("unigram")
    model.tokenizer = model.tokenizer.spelling()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (text,) = texts(model, prompt="the zebra yak zebra", max_tokens=1)
    assert text.startswith("the zebra yak zebra")


@pytest.mark.parametrize("prompt", ["a\nb", "a </s>", "<s> a"])
def test_a_prompt_that_ends_a_line_is_an_error(lstm, pieces, prompt):
    for model in (lstm, pieces):
        with pytest.raises(TextError):
            texts(model, prompt=prompt)


def test_without_a_prompt_pieces_begin_as_a_line_does(pieces):
    seen = []
    predict = pieces.predict
    pieces.predict = lambda inputs, state: seen.append(np.asarray(inputs)) or predict(inputs, state)
    try:
        texts(pieces, max_tokens=1)
    finally:
        del pieces.predict
    assert [inputs[:, 0].tolist() for inputs in seen] == [[pieces.tokenizer.boundary_id] * FEWEST_ROWS]
    for sample in generate(pieces, num=5, prompt="the cat", settings=SamplingSettings(max_tokens=5)):
        assert sample.text.startswith("the cat")


def test_unknown_is_drawn_only_if_asked_for():
    model = unigram_of([0.05, 0.9, 0.05])
    plain = " ".join(texts(model, 50, max_tokens=10))
    assert "<unk>" not in plain and "w0002" in plain
    assert "<unk>" in " ".join(texts(model, 50, max_tokens=10, unknown=True))
    assert "<unk>" not in texts(model, temperature=0, max_tokens=3)[0]


def test_samples_end_at_max_tokens_or_the_line_end():
    endless = unigram_of([0.0, 0.0, 0.5, 0.5])
    samples = list(generate(endless, num=3, settings=SamplingSettings(max_tokens=7)))
    assert [(sample.tokens, sample.complete, len(sample.text.split())) for sample in samples] == [(7, False, 7)] * 3
    ended = list(generate(unigram_of([1.0, 0.0, 0.0]), num=3, settings=SamplingSettings(max_tokens=7)))
    assert [(sample.tokens, sample.complete, sample.text) for sample in ended] == [(1, True, "")] * 3


def test_no_more_rows_are_asked_for_than_the_model_takes(monkeypatch):
    model = fit("unigram")
    seen = []
    initial_state = model.initial_state
    monkeypatch.setattr(model, "max_rows", 1, raising=False)
    monkeypatch.setattr(model, "initial_state", lambda rows: seen.append(rows) or initial_state(rows))
    many = texts(model, 5, max_tokens=5)
    assert set(seen) == {1} and len(many) == 5
    monkeypatch.undo()
    assert texts(model, 5, max_tokens=5) == many


@pytest.mark.parametrize("num", [0, -1])
def test_fewer_than_one_sample_is_an_error(lstm, num):
    with pytest.raises(SettingsError):
        texts(lstm, num)


def test_a_seed_too_large_is_an_error(lstm):
    with pytest.raises(SettingsError, match="seed"):
        texts(lstm, seed=1 << 64)


def test_neighbouring_seeds_differ_however_large(lstm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = [tuple(texts(lstm, 3, seed=seed, max_tokens=10)) for seed in (0, 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)]
    assert len(set(samples)) == 5


def drawn(probabilities: list[float], count: int, **settings) -> Counter:
    logprob_V = np.log(probabilities)
    uniform_B = np.random.default_rng(7).random(count)
    return Counter(draw(np.tile(logprob_V, (count, 1)), uniform_B, SamplingSettings(**settings)).tolist())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_draws_follow_the_distribution(temperature):
    """Chi-square with 5 degrees of freedom; 20.5 has a probability of 0.001."""
    p = np.array([0.4, 0.05, 0.25, 0.1, 0.15, 0.05])
    expected = p ** (1 / temperature)
    expected *= 20_000 / expected.sum()
    found = drawn(p.tolist(), 20_000, temperature=temperature)
    assert sum((found[id] - expected[id]) ** 2 / expected[id] for id in range(6)) < 20.5


def test_top_k_keeps_exactly_the_k_likeliest():
    p = [0.1, 0.3, 0.05, 0.25, 0.2, 0.1]
    assert set(drawn(p, 2000, top_k=1)) == {1}
    assert set(drawn(p, 2000, top_k=3)) == {1, 3, 4}
    found = drawn(p, 20_000, top_k=2)
    assert found[1] / 20_000 == pytest.approx(0.3 / 0.55, abs=0.02)
    assert set(drawn(p, 2000, top_k=6)) == set(drawn(p, 2000, top_k=99)) == set(range(6))
    assert len(drawn([0.25] * 4, 2000, top_k=2)) == 2  # ties do not widen it


def test_top_p_keeps_exactly_the_nucleus():
    p = [0.125, 0.5, 0.125, 0.25]
    for top_p, kept in [(0.01, {1}), (0.5, {1}), (0.51, {1, 3}), (0.75, {1, 3}), (0.76, {1, 3, 0}), (0.875, {1, 3, 0}), (1.0, {0, 1, 2, 3})]:
        assert set(drawn(p, 3000, top_p=top_p)) == kept, top_p
    assert drawn(p, 20_000, top_p=0.75)[1] / 20_000 == pytest.approx(2 / 3, abs=0.02)


def test_top_p_is_of_what_top_k_and_temperature_leave():
    p = [0.4, 0.3, 0.2, 0.1]
    assert set(drawn(p, 2000, top_k=2, top_p=0.5)) == {0}
    assert set(drawn(p, 2000, temperature=0.25, top_p=0.7)) == {0}


def test_draws_at_the_edges_never_take_what_has_no_probability():
    logprob_BV = np.log(np.array([[1e-300, 0.5, 0.5, 1e-300]] * 3))
    logprob_BV[:, [0, 3]] = -np.inf
    edges = np.array([0.0, 0.5, np.nextafter(1.0, 0.0)])
    assert draw(logprob_BV, edges, SamplingSettings()).tolist() == [1, 2, 2]
    assert draw(logprob_BV, edges, SamplingSettings(top_p=0.6)).tolist() == [1, 2, 2]


@pytest.mark.parametrize("temperature", [1e-3, 1e-100, 5e-324, 1e300])
def test_extreme_temperatures_are_still_distributions(temperature):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = drawn([0.2, 0.5, 0.3], 300, temperature=temperature)
    assert set(found) == ({1} if temperature < 1 else {0, 1, 2})


def test_words_of_the_training_text_come_out(lstm):
    known = {word for line in LINES for word in line.split()}
    assert {word for text in texts(lstm, 5, max_tokens=10) for word in text.split()} <= known
    assert math.isfinite(sum(sample.logprob_nats for sample in generate(lstm, num=3)))


def test_room_is_taken_for_drawn_tokens_only():
    [sample] = generate(fit("unigram"), settings=SamplingSettings(max_tokens=10**12))
    assert sample.complete
