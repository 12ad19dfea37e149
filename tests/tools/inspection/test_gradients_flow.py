"""Gradients and sensitivity: positions, curves, untrained networks, maps."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.tools.inspection.gradients import curves
from rnnlm.tools.inspection.gradients.curves import curve, draw
from rnnlm.tools.inspection.gradients.flow import LOSS, SIZE, inspect_gradients, verdict_of
from rnnlm.tools.inspection.gradients.jacobians import JacobianBounds, loss_gradients
from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity
from support.pictures import faults_of
from support.tiny_models import LINES, Lines, fit

TEXT = Lines(LINES * 6)


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm", layers=2)


@pytest.fixture(scope="module")
def elman():
    return fit("rnn")


def _squares(rate, rows=5, lags=40):
    return np.repeat(rate ** (2 * np.arange(1, lags + 1, dtype=float)), rows).reshape(lags, rows)


@pytest.mark.parametrize("a, course, half_life", [
    (0.9, "vanishes", math.log(2) / -math.log(0.9)),
    (1.1, "explodes", -math.log(2) / math.log(1.1)), (1.0, "holds", None),
    # 0.5 ** (1 / 40) lies between
    (0.983, "holds", math.log(2) / -math.log(0.983)),
    (0.982, "vanishes", math.log(2) / -math.log(0.982)),
])  # fmt: skip
def test_power_of_lag_has_course_and_half_life(a, course, half_life):
    trend = curve(_squares(a), 1).trend
    assert trend.course == course
    if half_life is None:
        assert trend.slope == pytest.approx(0, abs=1e-12)
    else:
        assert trend.half_life == pytest.approx(half_life)
    assert trend.low == pytest.approx(trend.high)


@pytest.mark.parametrize("rate, share, half_life", [(0.9, 0.3, 5.67), (0.97, 0.1, None)])
def test_a_half_life_is_named_only_where_an_exponential_fits(rate, share, half_life):
    """R squared is 0.986, and 0.814 where the size loses threefold in four lags."""
    sizes = (1 - share) * np.sqrt(_squares(0.7)) + share * np.sqrt(_squares(rate))
    found = curve(sizes**2, 1)
    assert found.trend.half_life == (half_life and pytest.approx(half_life, abs=0.01))
    assert ("half-life" in verdict_of("x", (), found, "word")) is bool(half_life)


def test_course_is_undecided_if_positions_disagree():
    both = np.concatenate([_squares(0.9, 2), _squares(1.05, 2)], axis=1)
    assert curve(both, 1).trend.course == "undecided"
    gone = _squares(0.9)
    gone[20:] = 0
    trend = curve(gone, 1).trend
    assert trend.course == "vanishes" and trend.slope == pytest.approx(math.log(0.9))
    trend = curve(0 * gone, 1).trend
    assert trend.course == "vanishes" and trend.slope == -math.inf
    assert curve(_squares(1e3), 1).trend.course == "explodes"


@pytest.mark.parametrize("gone", [0, 2])
def test_single_lag_rate_starts_at_lag_zero(gone):
    squares = np.array([[4.0] * 5, [1.0] * 5] + [[0.0] * 5] * gone)  # sizes 2 and 1, as of a loss
    assert curve(squares, 0).trend.slope == pytest.approx(-math.log(2))
    # of a Jacobian: 1 and 1/2
    assert curve(squares[1:] / 4, 1).trend.slope == pytest.approx(-math.log(2))


@pytest.mark.parametrize("a, largest, words", [
    (0.5, 0.99, "as it must, since sigma_max(W) max phi' = 0.99 is below"),
    (0.99, 0.99, "; further back it must vanish"),
    (1.0, 1.0, ", and cannot explode, as"),
    (1.0, 1.1, ", though sigma_max(W) max phi' = 1.1 would"),
])  # fmt: skip
def test_verdict_compares_the_bound_with_the_observation(elman, a, largest, words):
    (layer,) = inspect_gradients({"a": elman}, TEXT, lags=5, positions=10).models[0].layers
    state, bounds = curve(_squares(a), 1), JacobianBounds(largest, 0.4, 1.0, 0.5)
    looked = replace(layer, state=state, bounds=bounds)
    assert words in verdict_of("a", [looked], looked.state, "word")


def test_curve_points_are_rms_with_error_and_quantiles():
    squares = np.random.default_rng(0).exponential(size=(2, 1000)) ** 2
    found = curve(squares, 1)
    assert found.mean == pytest.approx(np.sqrt(squares.mean(1)))
    again = np.random.default_rng(1).integers(1000, size=(4000, 1000))
    error = np.sqrt(squares[0][again].mean(1)).std()
    assert found.standard_error[0] == pytest.approx(error, rel=0.1)
    low, median, high = np.quantile(np.sqrt(squares), (0.1, 0.5, 0.9), axis=1)
    assert found.median == pytest.approx(median)
    assert found.low == pytest.approx(low, rel=1e-3)
    assert found.high == pytest.approx(high, rel=1e-3)


def test_each_position_starts_from_its_preceding_state(lstm):
    ids = np.asarray(TEXT.encode(lstm.tokenizer).ids)[:40]
    # all places of the one stream that so short a text is
    drawn = draw(lstm, ids, 10, 1000, seed=0)
    assert (drawn.rows, drawn.lags) == (30, 10)
    inputs = np.concatenate(([lstm.tokenizer.boundary_id], ids[:-1]))
    state = lstm.initial_state(1)
    for row in range(30):
        assert drawn.inputs_TB[:, row].tolist() == inputs[row : row + 11].tolist()
        assert int(drawn.targets_B[row]) == ids[row + 10]
        for found, expected in zip(drawn.state, state.tensors, strict=True):
            torch.testing.assert_close(found[:, row], expected[:, 0])
        _, state = lstm.score(inputs[None, row : row + 1], ids[None, row : row + 1], state)


def test_parallel_streams_are_parts_of_the_text(lstm):
    ids = np.asarray(TEXT.encode(lstm.tokenizer).ids)
    drawn = draw(lstm, ids, 2, 30, seed=0)
    assert drawn.rows == 30
    text = ",".join(map(str, [lstm.tokenizer.boundary_id, *ids]))
    for column in torch.cat([drawn.inputs_TB, drawn.targets_B[None]]).t().tolist():
        assert ",".join(map(str, column)) in text


def test_short_text_has_fewer_lags_single_token_none(lstm):
    with pytest.warns(RnnlmWarning, match="lags go up to 5, not 100"):
        found = inspect_gradients({"tiny": lstm}, Lines(["the cat sat on it"]), positions=3)
    assert found.models[0].lags == 5
    with pytest.raises(TextError, match="too short"):
        draw(lstm, np.array([0]), 10, 5, seed=0)


def test_figures_are_independent_of_position_batch_size(lstm, monkeypatch):
    whole = inspect_gradients({"tiny": lstm}, TEXT, lags=6, positions=20, exponents=0).models[0]
    monkeypatch.setattr(curves, "rows_at_once", lambda *_: 7)
    parts = inspect_gradients({"tiny": lstm}, TEXT, lags=6, positions=20, exponents=0).models[0]
    for (_, one), (_, other) in zip(whole.curves(), parts.curves(), strict=True):
        assert one.mean == pytest.approx(other.mean, rel=1e-4)
        assert one.median == pytest.approx(other.median, rel=1e-4)


def test_flow_holds_all_its_parts_and_is_json(lstm, elman):
    found = inspect_gradients({"big": lstm, "small": elman}, TEXT, lags=5, positions=10)
    big, small = found.models
    parts = [f"layer {number}, {part}" for part in ("state", "cell") for number in (1, 2)]
    losses = ["loss by h of layer 1", "loss by h of layer 2", "loss by word read"]
    assert [what for what, _ in big.curves()] == [*parts, *losses]
    assert [layer.bounds is None for layer in (*big.layers, *small.layers)] == [True, True, False]
    assert small.loss.lags.tolist() == [0, 1, 2, 3, 4, 5]
    [layer] = small.layers
    assert len(layer.exponents) == 3
    assert (layer.state.high <= layer.bounds.upper**layer.state.lags + 1e-9).all()
    assert layer.exponents[0].value <= math.log(layer.bounds.upper)
    assert found.verdict.count("\n") == 1 and "of layer 2" in found.verdict
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))["models"]
    assert len(stored[0]["layers"][1]["cell"]["root_mean_square"]) == 5
    assert len(stored[0]["layers"][1]["loss"]["root_mean_square"]) == 6
    (bounds,) = [layer["bounds"] for layer in stored[1]["layers"]]
    upper = bounds["largest_singular_value"] * bounds["steepest_slope"]
    assert bounds["upper"][2] == pytest.approx(upper**3)
    assert [len(table.rows[0]) == len(table.columns) for table in found.tables()] == [True] * 4
    figure = found.figure()
    assert faults_of(figure) == []
    assert [axes.get_ylabel() for axes in figure.axes] == [SIZE, SIZE, LOSS, LOSS]
    states = figure.axes[0]
    for line in states.lines:
        low, high = states.get_ylim()
        values = line.get_ydata()
        assert np.all(np.isnan(values) | ((values >= low) & (values <= high)))


def test_report_says_word_only_for_word_models(elman):
    models = {"words": elman, "letters": fit("rnn", tokenizer="char")}
    found = inspect_gradients(models, TEXT, lags=2, positions=5, exponents=0)
    of_words, of_letters = "with respect to the word read", "with respect to the token read"
    words, letters = found.verdict.splitlines()
    assert of_words in words and of_letters not in words
    assert of_letters in letters and of_words not in letters
    assert "with respect to the token read" in found.tables()[0].title
    assert found.models[1].curves()[-1][0] == "loss by token read"
    figure = found.figure()
    title = figure.axes[2].get_title().replace("\n", " ")
    assert title == "\u2202loss(t) / \u2202x(t\u2212lag): the higher, the more a token matters"
    assert all(tick == int(tick) for axes in figure.axes for tick in axes.get_xticks())
    maps = inspect_sensitivity(models, "the cat")
    words, letters = maps.tables()
    assert "of the word read" in words.title and "of the token read" in letters.title
    assert [axes.get_xlabel() for axes in maps.figure().axes[:2]] == ["word read", "token read"]


def test_seed_determines_the_positions_drawn(elman):
    asked = {"lags": 3, "positions": 5}
    one, same, other = (inspect_gradients({"a": elman}, TEXT, seed=n, **asked) for n in (0, 0, 1))
    assert one.to_dict() == same.to_dict() != other.to_dict()


def test_untrained_stands_beside_the_model(lstm):
    both = inspect_gradients({"tiny": lstm}, TEXT, lags=3, positions=5, untrained=True)
    assert [each.model for each in both.models] == ["tiny", "tiny, untrained"]
    assert both.models[0].loss.mean[0] != both.models[1].loss.mean[0]


def test_map_holds_the_results_of_each_prefix(lstm):
    sentence = "the cat sat on the mat"
    (found,) = inspect_sensitivity({"tiny": lstm}, sentence).models
    assert found.read == ("</s>", "the", "cat", "sat", "on", "the", "mat")
    assert found.predicted == ("the", "cat", "sat", "on", "the", "mat", "</s>")
    ids = np.asarray(lstm.tokenizer.encode([sentence]).ids)
    inputs_T1 = torch.from_numpy(
        np.concatenate(([lstm.tokenizer.boundary_id], ids[:-1])).astype(np.int64)
    ).unsqueeze(1)
    network = copy.deepcopy(lstm.network).cpu()
    for t in range(len(ids)):
        x_TBE, target = network.input.vectors(inputs_T1[: t + 1]), torch.tensor([int(ids[t])])
        norms_TB, _ = loss_gradients(
            network, x_TBE, torch.tensor([t]), target, network.initial_state(1)
        )
        assert found.norms[t, : t + 1] == pytest.approx(norms_TB[:, 0].numpy(), rel=1e-3)
        assert np.isnan(found.norms[t, t + 1 :]).all()
    logprob_BT, _ = lstm.score(inputs_T1.T.numpy(), ids[None], lstm.initial_state(1))
    assert found.surprisal_nats == pytest.approx(-logprob_BT[0].cpu().numpy(), rel=1e-4)
    assert found.share(0, 0) + found.share(1, 5) + found.share(6) == pytest.approx(1)


def test_models_without_recurrence_and_bad_numbers_are_refused(elman):
    for model in (fit("ffnn"), fit("ngram")):
        with pytest.raises(UsageError, match="nothing to show for m"):
            inspect_gradients({"m": model}, TEXT)
    with pytest.raises(UsageError, match="lags = 0 is too small"):
        inspect_gradients({"m": elman}, TEXT, lags=0)
    for sentence, why in ((" ", "no words"), ("the cat " * 200, "400? tokens|401 tokens")):
        with pytest.raises(TextError, match=why):
            inspect_sensitivity({"m": elman}, sentence)
