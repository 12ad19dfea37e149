import copy

import pytest
import torch

from rnnlm.combinations import gradient_statistics
from rnnlm.combinations.gradient_statistics import gather_statistics
from support.adapted_models import text_of
from support.tiny_models import fit


@pytest.mark.parametrize("name, settings", [("lstm", {"dropout_input": 0.5}), ("gru", {"tied": False})])
def test_they_are_the_means_of_squared_gradients_over_segments(name, settings, monkeypatch):
    monkeypatch.setattr(gradient_statistics, "ROWS", 2)
    model = fit(name, **settings)
    inputs_1T, targets_1T = text_of(model)
    half = targets_1T.shape[1] // 2
    network = copy.deepcopy(model.network).eval().requires_grad_(True)
    state, segments = network.initial_state(2), range(0, half, 3)
    sums = {name: 0 for name, _ in network.named_parameters()}
    for start in segments:
        rows = [slice(begin + start, min(begin + start + 3, begin + half)) for begin in (0, half)]
        inputs, targets = (torch.stack([torch.as_tensor(ids[0, row]) for row in rows], dim=1) for ids in (inputs_1T, targets_1T))
        logprobs, state = network.predict(inputs, tuple(tensor.detach() for tensor in state))
        network.zero_grad()
        torch.nn.functional.nll_loss(logprobs.flatten(0, 1), targets.flatten()).backward()
        sums = {name: sums[name] + weight.grad.to_dense() ** 2 for name, weight in network.named_parameters()}
    found = gather_statistics(model, targets_1T[0, : 2 * half], 3)
    assert found.keys() == sums.keys()
    for name, square in found.items():
        torch.testing.assert_close(square, sums[name] / len(segments), atol=1e-7, rtol=1e-3)


def test_a_text_shorter_than_a_segment_is_one():
    model = fit("lstm")
    heard = []
    found = gather_statistics(model, text_of(model)[1][0, :2], 5, lambda *done: heard.append(done))
    assert heard == [(1, 1)] and any(square.any() for square in found.values())
