import math
import warnings
from collections import Counter

import numpy as np
import pytest

from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import SettingsError, UsageError
from rnnlm.scoring.generation import drawing
from rnnlm.scoring.generation.drawing import draw, penalise
from rnnlm.scoring.generation.settings import SamplingSettings


def drawn(probabilities: list[float], count: int, **settings) -> Counter:
    with np.errstate(divide="ignore"):
        logprob_BV = np.tile(np.log(probabilities), (count, 1))
    streams = [np.random.default_rng(7)] * count
    return Counter(draw(logprob_BV, streams, SamplingSettings(**settings)).tolist())


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
    order = {0.01: 1, 0.5: 1, 0.51: 2, 0.75: 2, 0.76: 3, 0.875: 3, 1.0: 4}
    for top_p, count in order.items():
        assert set(drawn(p, 3000, top_p=top_p)) == set([1, 3, 0, 2][:count]), top_p
    assert drawn(p, 20_000, top_p=0.75)[1] / 20_000 == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize("settings", [{}, {"top_p": 0.6}])
def test_impossible_tokens_are_never_drawn(settings):
    assert set(drawn([0.0, 0.5, 0.5, 0.0], 2000, **settings)) == {1, 2}


def slow_masks(p: np.ndarray, settings: SamplingSettings) -> set[int]:
    """Return the tokens that may be drawn, token by token as the papers define them."""
    kept = set(range(len(p)))

    def fewest(order: list[int], share: float) -> set[int]:
        """Return the fewest tokens, in this order, that have this share of the probability."""
        total, chosen, mass = sum(p[id] for id in kept), set(), 0.0
        for id in order:
            if mass / total >= share:
                break
            chosen.add(id)
            mass += p[id]
        return chosen

    # One after the other; each renormalizes the probabilities left by those before.
    if settings.top_k:
        kept = set(sorted(kept, key=lambda id: -p[id])[: settings.top_k])
    if settings.top_p:
        kept = fewest(sorted(kept, key=lambda id: -p[id]), settings.top_p)
    if settings.min_p:
        largest = max(p[id] for id in kept)
        kept = {id for id in kept if p[id] >= settings.min_p * largest}
    if settings.typical_p:
        total = sum(p[id] for id in kept)
        information = {id: -math.log(p[id] / total) for id in kept}
        entropy = sum(p[id] / total * information[id] for id in kept)
        order = sorted(kept, key=lambda id: abs(information[id] - entropy))
        kept = fewest(order, settings.typical_p)
    return kept


@pytest.mark.parametrize("settings", [
    {"top_p": 0.9}, {"top_p": 0.2}, {"min_p": 0.1}, {"min_p": 1.0}, {"top_k": 17},
    {"top_k": 40, "top_p": 0.8, "min_p": 0.05}, {"typical_p": 0.2}, {"typical_p": 0.9},
    {"top_k": 40, "top_p": 0.8, "typical_p": 0.5},
])  # fmt: skip
@pytest.mark.parametrize("size", [150, 20 * drawing.FIRST_CANDIDATES])
def test_what_may_be_drawn_equals_a_slow_transcription(settings, size):
    random, settings = np.random.default_rng(5), SamplingSettings(**settings)
    p_BV = random.dirichlet(np.full(size, 0.3), size=6) + 1e-9
    kept_BV = p_BV.copy()
    drawing._narrow(kept_BV, settings)
    for p, kept in zip(p_BV, kept_BV, strict=True):
        assert set(np.flatnonzero(kept)) == slow_masks(p, settings)
        np.testing.assert_array_equal(kept[kept > 0], p[kept > 0])


def test_typical_tokens_by_hand_may_leave_out_the_likeliest():
    """An entropy of 1.75 bits; the tokens have 1, 2, 3 and 3 bits."""
    p_BV = np.array([[0.5, 0.25, 0.125, 0.125]])
    for share, kept in (
        (0.25, [1]),
        (0.26, [0, 1]),
        (0.75, [0, 1]),
        (0.8, [0, 1, 2]),
        (1, range(4)),
    ):
        left_BV = 3 * p_BV  # need not sum to one
        drawing._narrow(left_BV, SamplingSettings(typical_p=share))
        assert np.flatnonzero(left_BV[0]).tolist() == [*kept]


def test_draws_from_several_blocks_follow_the_distribution():
    from scipy.stats import chisquare

    p = np.random.default_rng(3).dirichlet(np.full(300, 2.0))  # in five blocks, the last not full
    found = drawn(p.tolist(), 20_000)
    assert chisquare([found[token] for token in range(300)], 20_000 * p).pvalue > 0.001


def test_a_slight_error_of_probabilities_hardly_changes_what_is_drawn():
    random = np.random.default_rng(3)
    logprob_BV = np.log(random.dirichlet(np.full(7000, 0.2), size=1000) + 1e-12)
    disturbed_BV = logprob_BV + 1e-4 * random.standard_normal(logprob_BV.shape)
    drawn = []
    for each_BV in (logprob_BV, disturbed_BV):
        streams = [np.random.default_rng(row) for row in range(1000)]
        drawn.append(draw(each_BV, streams, SamplingSettings()))
    assert (drawn[0] != drawn[1]).sum() <= 1


def test_row_is_drawn_alike_alone_and_in_batch():
    logprob_BV = np.log(np.random.default_rng(3).dirichlet(np.full(700, 0.2), size=40))
    logprob_BV = logprob_BV.astype(np.float32)
    nucleus = {"top_p": 0.9}
    for settings in ({}, nucleus, nucleus | {"top_k": 300}, {"temperature": 0.6, "min_p": 0.01}):
        sampling_settings = SamplingSettings(**settings)
        streams = [np.random.default_rng(row) for row in range(40)]
        together = draw(logprob_BV, streams, sampling_settings)
        for row, token in enumerate(together.tolist()):
            alone = draw(logprob_BV[[row]], [np.random.default_rng(row)], sampling_settings)
            assert alone.tolist() == [token]


def test_a_penalty_makes_less_likely_whatever_the_probability():
    logprob_BV = np.log(np.array([[0.9, 0.05, 0.05]]))
    seen_BV = np.array([[True, False, True]])
    penalise(logprob_BV, seen_BV, 2.0)
    np.testing.assert_allclose(np.exp(logprob_BV), [[0.81, 0.05, 0.0025]])


def test_where_nothing_is_left_that_is_an_error():
    with pytest.raises(UsageError, match="no token can be drawn"):
        draw(np.full((1, 3), -np.inf), [np.random.default_rng(1)], SamplingSettings())


@pytest.mark.parametrize("values", [
    {"min_p": 0.0}, {"min_p": 1.1}, {"top_p": 0.0}, {"top_p": 2.0}, {"repetition_penalty": 0.9},
])  # fmt: skip
def test_settings_out_of_range_are_errors(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        resolve([SamplingSettings], [SettingsLayer("the test", values)])


@pytest.mark.parametrize("temperature", [1e-3, 1e-100, 5e-324, 1e300])
def test_extreme_temperatures_give_distributions_in_single_precision(temperature):
    logprob_BV = np.tile(np.log(np.array([0.2, 0.5, 0.3, 1.0], dtype=np.float32)), (300, 1))
    logprob_BV[:, 3] = -np.inf
    with warnings.catch_warnings(action="error"):
        streams = [np.random.default_rng(1)] * 300
        found = draw(logprob_BV, streams, SamplingSettings(temperature=temperature))
    assert set(found.tolist()) == ({1} if temperature < 1 else {0, 1, 2})
