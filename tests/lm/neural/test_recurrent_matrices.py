"""The recurrent matrices of every kind of network."""

import numpy as np
import pytest
import torch

from rnnlm.lm.neural.layers.layers import named_layers
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.spectrum import recurrent_matrices
from support.networks import network_settings
from support.tiny_models import make_tokenizer


def network_of(model: str, **settings):
    torch.manual_seed(1)
    small = {"embedding_size": 5, "hidden_size": 6, "init_range": 0.8, "tied": False}
    return make_network(network_settings(model, **{**small, **settings}), make_tokenizer())


def names_of(model: str, **settings):
    return [each.name for each in recurrent_matrices(network_of(model, **settings))]


def test_each_gate_has_its_rows_of_weight_hh():
    network = network_of("lstm", layers=2)
    found = {(each.layer, each.name): each.values for each in recurrent_matrices(network)}
    W = network.body.layers[1].weight_hh.detach().double().numpy()
    gates = [name for layer, name in found if layer == "layer 2"]
    assert gates == ["input", "forget", "candidate", "output"]
    np.testing.assert_array_equal(found["layer 2", "candidate"], W[12:18])
    assert names_of("lstm", coupled_gates=True) == ["forget", "candidate", "output"]
    assert names_of("gru") == ["reset", "update", "candidate"]
    assert names_of("qrnn") == names_of("ffnn") == []


def test_mogrifier_rounds_have_products_but_no_state_map():
    network = network_of("lstm", mogrifier_rounds=2, mogrifier_rank=3)
    found = {each.name: each for each in recurrent_matrices(network)}
    factors = list(network.body.layers[0].mogrifier)
    first, second = (factor.detach().double().numpy() for factor in factors[:2])
    np.testing.assert_allclose(found["round 1"].values, second @ first)
    assert found["round 1"].values.shape == (5, 6) and found["round 2"].values.shape == (6, 5)
    state_maps = [name for name, each in found.items() if each.is_state_map]
    assert state_maps == ["input", "forget", "candidate", "output"]


@pytest.mark.parametrize("feedback", ["distribution", "embedding"])
def test_a_jordan_layer_recurs_through_its_output(feedback):
    network = network_of("jordan", feedback=feedback).double()
    [matrix] = recurrent_matrices(network)
    layer, h, step = network.body, torch.zeros(1, 6, dtype=torch.float64), 1e-6
    [fed_back] = network.feedback
    columns = []
    with torch.no_grad():
        for unit in torch.eye(6, dtype=torch.float64):
            change = fed_back(h + step * unit) - fed_back(h - step * unit)
            columns.append(change @ layer.weight_hh.t() / (2 * step))
    np.testing.assert_allclose(matrix.values, torch.cat(columns).t().numpy(), atol=1e-8)


@pytest.mark.needs("tasks/seq2seq")
def test_encoder_decoder_layer_names_tell_side_and_direction():
    from support import tiny_seq2seq

    network = tiny_seq2seq.tiny_network(bidirectional=True, layers=2)
    assert list(named_layers(network)) == [
        "encoder layer 1 forward", "encoder layer 1 backward", "encoder layer 2 forward",
        "encoder layer 2 backward", "decoder layer 1",
    ]  # fmt: skip
    layers = dict.fromkeys(each.layer for each in recurrent_matrices(network))
    assert list(layers) == list(named_layers(network))
