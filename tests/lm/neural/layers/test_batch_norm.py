"""Batch normalisation against torch's, its places, and what evaluation may depend on."""

import pytest
import torch
from torch import nn

from rnnlm.lm.neural.layers.batch_norm import BatchNorm
from rnnlm.lm.neural.layers.layers import WordWindow
from support.networks import network_settings


def rows(count, shift=0.0):
    return torch.randn(count, 3, dtype=torch.float64) * 3 + shift


def test_it_equals_torchs_and_normalises_single_rows_as_in_evaluation():
    torch.manual_seed(1)
    ours, theirs = BatchNorm(3).double(), nn.BatchNorm1d(3).double()
    for count in (7, 2, 5):
        x = rows(count, 1.0)
        torch.testing.assert_close(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    x = rows(4)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x.view(2, 2, 3)), theirs(x).view(2, 2, 3))
    norm = BatchNorm(3).double()
    norm(rows(6, 2.0))
    before = norm.running_mean.clone()
    x = rows(1)
    torch.testing.assert_close(norm(x), norm.eval()(x))
    torch.testing.assert_close(norm.running_mean, before)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_stacked_layers_of_a_feed_forward_network_equal_the_equations(batch_norm):
    sizes = {"context_words": 2, "layers": 3, "hidden_size": 4, "embedding_size": 3}
    body = WordWindow(network_settings("ffnn", batch_norm=batch_norm, **sizes)).double()
    for parameter in body.parameters():
        nn.init.uniform_(parameter, -1, 1)
    x_TBE = torch.randn(5, 2, 3, dtype=torch.float64)
    state = (torch.zeros(1, 2, 3, dtype=torch.float64),)
    if batch_norm:
        body(x_TBE, state)
    body.eval()
    found, _ = body(x_TBE, state)

    h = torch.cat([torch.cat([state[0], x_TBE[:-1]]), x_TBE], dim=2)
    weights = [(body.weight_ih, body.bias_ih), *((each.weight, each.bias) for each in body.above)]
    for number, (weight, bias) in enumerate(weights):
        a = h @ weight.t() + bias
        if batch_norm:
            norm = body.norms[number]
            scaled = (a - norm.running_mean) / (norm.running_var + 1e-5).sqrt()
            a = norm.weight * scaled + norm.bias
        h = a.tanh()
    torch.testing.assert_close(found, h)
    step, _ = body.step(x_TBE[0], state)
    torch.testing.assert_close(step.hidden_BH, found[0])
