"""Settings name the output layer; the shapes of what is stored follow from settings and
vocabulary."""

import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.neural.network import make_output
from rnnlm.neural.outputs.softmax import SoftmaxOutput
from rnnlm.neural.settings import network_settings
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


def shapes(settings, size):
    with torch.device("meta"):
        layer = make_output(network_settings("lstm", **settings, tied=False), size, 64)
    return {
        name: (tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in layer.state_dict().items()
    }


def test_shapes_of_what_is_stored():
    assert shapes({"output_layer": "adaptive", "cutoffs": "10, 20"}, 50) == {
        "head_weight": ((12, 64), "torch.float32"), "head_bias": ((12,), "torch.float32"),
        "order_V": ((50,), "torch.int32"),
        "projections.0": ((16, 64), "torch.float32"), "weights.0": ((10, 16), "torch.float32"),
        "biases.0": ((10,), "torch.float32"),
        "projections.1": ((16, 64), "torch.float32"), "weights.1": ((30, 16), "torch.float32"),
        "biases.1": ((30,), "torch.float32"),
    }  # fmt: skip
    assert shapes({"output_layer": "class", "classes": 5}, 50) == {
        "class_weight": ((5, 64), "torch.float32"), "class_bias": ((5,), "torch.float32"),
        "starts_C": ((5,), "torch.int32"),
        "weight": ((50, 64), "torch.float32"), "bias": ((50,), "torch.float32"),
        "order_V": ((50,), "torch.int32"),
    }  # fmt: skip
    assert shapes({"output_layer": "hierarchical"}, 50) == {
        "weight": ((49, 64), "torch.float32"), "bias": ((49,), "torch.float32"),
        "parent_M": ((98,), "torch.int32"),
    }  # fmt: skip
    assert shapes({"output_layer": "mos", "mixture_components": 3, "embedding_size": 7}, 50) == {
        "weight": ((50, 7), "torch.float32"), "bias": ((50,), "torch.float32"),
        "prior_weight": ((3, 64), "torch.float32"),
        "latent_weight": ((21, 64), "torch.float32"), "latent_bias": ((21,), "torch.float32"),
    }  # fmt: skip
    assert shapes({"loss": "nce"}, 50) == {
        "weight": ((50, 64), "torch.float32"), "bias": ((50,), "torch.float32"),
        "keep_V": ((50,), "torch.float32"), "alias_V": ((50,), "torch.int32"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{"output_layer": "adaptive", "cutoffs": "30,20"}, {"output_layer": "class", "classes": 51}],
)
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
    assert torch.equal(
        tied.loss(features_NE, targets_N, weight_VE), own.loss(features_NE, targets_N)
    )
