"""Settings name the output layer; shapes of what is stored follow from them and the vocabulary."""

import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.lm.neural.network import make_output
from rnnlm.lm.neural.outputs.softmax import SoftmaxOutput
from support.networks import network_settings
from support.output_layers import E, V, example


@pytest.mark.parametrize("settings, name", [
    ({}, "SoftmaxOutput"), ({"output_layer": "adaptive"}, "AdaptiveSoftmax"),
    ({"output_layer": "class"}, "ClassSoftmax"),
    ({"output_layer": "hierarchical"}, "HierarchicalSoftmax"),
    ({"output_layer": "mos"}, "MixtureOfSoftmaxes"),
    ({"loss": "sampled"}, "SampledSoftmax"), ({"loss": "nce"}, "NoiseContrastiveSoftmax"),
])  # fmt: skip
def test_settings_name_the_layer(settings, name):
    layer = make_output(network_settings("lstm", **settings), 20, 8)
    assert type(layer).__name__ == name
    untied = make_output(network_settings("lstm", **settings, tied=False), 20, 8)
    assert type(untied) is type(layer) and any(matrix.shape[1] == 8 for matrix in untied.matrices())


@pytest.mark.parametrize("settings, floats, integers", [
    ({"output_layer": "adaptive", "cutoffs": "10, 20"},
     {"head_weight": (12, 64), "head_bias": (12,), "projections.0": (16, 64),
      "weights.0": (10, 16), "biases.0": (10,), "projections.1": (16, 64),
      "weights.1": (30, 16), "biases.1": (30,)}, {"order_V": (50,)}),
    ({"output_layer": "class", "classes": 5},
     {"class_weight": (5, 64), "class_bias": (5,), "weight": (50, 64), "bias": (50,)},
     {"starts_C": (5,), "order_V": (50,)}),
    ({"output_layer": "hierarchical"}, {"weight": (49, 64), "bias": (49,)}, {"parent_M": (98,)}),
    ({"output_layer": "mos", "mixture_components": 3, "embedding_size": 7},
     {"weight": (50, 7), "bias": (50,), "prior_weight": (3, 64), "latent_weight": (21, 64),
      "latent_bias": (21,)}, {}),
    ({"loss": "nce"}, {"weight": (50, 64), "bias": (50,), "keep_V": (50,)}, {"alias_V": (50,)}),
])  # fmt: skip
def test_shapes_of_what_is_stored(settings, floats, integers):
    with torch.device("meta"):
        layer = make_output(network_settings("lstm", **settings, tied=False), 50, 64)
    stored = layer.state_dict()
    kinds = {torch.float32: floats, torch.int32: integers}
    assert {name: tuple(each.shape) for name, each in stored.items()} == {**floats, **integers}
    assert all(name in kinds[each.dtype] for name, each in stored.items())


@pytest.mark.parametrize("settings", [
    {"output_layer": "adaptive", "cutoffs": "30,20"}, {"output_layer": "class", "classes": 51},
])  # fmt: skip
def test_settings_not_fitting_the_vocabulary_are_an_error(settings):
    with pytest.raises(SettingsError):
        make_output(network_settings("lstm", **settings), 50, 8)


def test_a_tied_layer_computes_with_the_word_vectors():
    features_NE, weight_VE, bias_V, targets_N = example()
    tied, own = SoftmaxOutput(V, E, tied=True), SoftmaxOutput(V, E, tied=False)
    assert tied.weight is None and list(tied.state_dict()) == ["bias"] and tied.matrices() == []
    with torch.no_grad():
        own.weight.copy_(weight_VE)
        for layer in (tied, own):
            layer.bias.copy_(bias_V)
    assert torch.equal(tied.predict(features_NE, weight_VE), own.predict(features_NE))
    loss = tied.loss(features_NE, targets_N, weight_VE)
    assert torch.equal(loss, own.loss(features_NE, targets_N))
