"""The whole network: its parameters, its start, dropout, its loss against a transcription."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reference import recurrent_network
from rnnlm.errors import SettingsError
from rnnlm.lm.neural.network import make_network as start
from support.networks import network_settings

V, T, B = 11, 5, 3
PLAIN = {"embedding_size": 4, "hidden_size": 6, "dropout_input": 0.0, "dropout_output": 0.0}
VARIANTS = [
    ("rnn", {"activation": "relu"}),
    ("gru", {"reset_gate": "before", "layers": 2, "connections": "dense"}),
    ("lstm", {"layers": 2, "layer_sizes": "5,7"}),
    ("lstm", {"peepholes": True, "coupled_gates": True, "layers": 2, "connections": "highway"}),
    ("lstm", {"mogrifier_rounds": 2, "mogrifier_rank": 3}), ("qrnn", {"layers": 2}), ("ffnn", {}),
    ("ffnn", {"context_words": 1, "activation": "relu"}),
    ("ffnn", {"context_words": 9, "direct_connections": True}), ("ffnn", {"activation": "elu"}),
    ("jordan", {"activation": "elu"}), ("ffnn", {"activation": "leaky_relu"}),
    ("jordan", {"activation": "leaky_relu"}), ("jordan", {}),
    ("jordan", {"feedback": "embedding", "activation": "tanh"}),
]  # fmt: skip
TYING = [{"tied": True, "hidden_size": 4}, {"tied": True}, {"tied": False}]
CASES = [(*each, TYING[number % 3]) for number, each in enumerate(VARIANTS)]
CASES += [(model, {}, tying) for model in ("lstm", "jordan") for tying in TYING]
cases = pytest.mark.parametrize("model, variant, tying", CASES, ids=str)


def make_settings(model="lstm", **settings):
    if settings.get("direct_connections"):
        settings.pop("tied", None)
    between = {} if model in ("ffnn", "jordan") else {"dropout_between": 0.0}
    return network_settings(model, **{**PLAIN, **between, **settings})


def begun(counts_V, model="lstm", **settings):
    """Start a network as training does, after a text with these word counts."""
    tokenizer = SimpleNamespace(size=V, input_size=V, unk_id=1, spells=False, counts_V=counts_V)
    return start(make_settings(model, **settings), tokenizer)


def make_network(model="lstm", dtype=torch.float32, **settings):
    torch.manual_seed(8)
    network = begun(np.arange(V), model, **settings).to(dtype)
    with torch.no_grad():
        network.output.bias.uniform_(-1, 1) if hasattr(network.output, "bias") else None
    return network


def text(seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs_TB = torch.randint(V, (T, B), generator=generator)
    targets_TB = torch.randint(V, (T, B), generator=generator)
    targets_TB[3:, 1] = -1
    return inputs_TB, targets_TB


def lstm_parameters(E, H):
    return 4 * H * (E + H + 1)


@pytest.mark.parametrize("settings, parts, count", [
    ({"tied": True, "hidden_size": 4}, set(), V * 4 + lstm_parameters(4, 4) + V),
    ({"tied": True}, {"projection.weight", "projection.bias"},
     V * 4 + lstm_parameters(4, 6) + (6 * 4 + 4) + V),
    ({"tied": False}, {"output.weight"}, V * 4 + lstm_parameters(4, 6) + V * 6 + V),
], ids=["tied", "tied and projected", "untied"])  # fmt: skip
def test_parameters_are_those_of_the_shape_asked_for(settings, parts, count):
    network = make_network(**settings)
    layer = {f"body.layers.0.{name}" for name in ("weight_ih", "weight_hh", "bias_ih")}
    assert set(network.state_dict()) == {"input.embedding.weight", "output.bias", *layer, *parts}
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert (network.tied_VE is network.input.weight) == settings["tied"]


@cases
def test_loss_and_state_equal_the_numpy_transcription(model, variant, tying):
    network = make_network(model, **variant, **tying)
    inputs_TB, targets_TB = text()
    state = tuple(torch.randn_like(part) for part in network.initial_state(B))
    loss, _, after = network.loss(inputs_TB, targets_TB, state)
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    given = inputs_TB.numpy(), targets_TB.numpy(), [part.double().numpy() for part in state]
    expected, expected_after = recurrent_network.network_loss(network.settings, weights, *given)
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    for ours, theirs in zip(after, expected_after, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("where", ["dropout_input", "dropout_between", "dropout_output"])
@pytest.mark.parametrize("locked", [False, True])
def test_dropout_acts_in_training_and_not_in_evaluation(where, locked):
    network = make_network(**{where: 0.5}, layers=2, locked_dropout=locked)
    inputs_TB, targets_TB = text()
    state = network.initial_state(B)

    def loss():
        return network.loss(inputs_TB, targets_TB, state)[0].item()

    network.train()
    assert loss() != loss()
    network.eval()
    without = make_network(layers=2)
    without.load_state_dict(network.state_dict())
    assert loss() == loss() == without.loss(inputs_TB, targets_TB, state)[0].item()


@pytest.mark.parametrize("model, settings, layers", [
    *((model, {"layers": 2, "layer_sizes": "64,32"},
       {f"body.layers.0.weight_{kind}": 64, f"body.layers.1.weight_{kind}": 32})
      for model, kind in (("lstm", "ih"), ("gru", "hh"), ("qrnn", "ih"))),
    ("ffnn", {"hidden_size": 64}, {"body.weight_ih": 64}),
    ("jordan", {"hidden_size": 64}, {"body.weight_hh": 64}),
])  # fmt: skip
def test_torchs_initialisation_follows_each_layers_width(model, settings, layers):
    settings = {**settings, "embedding_size": 40, "tied": False, "init_output": "torch"}
    weights = dict(make_network(model, **settings).named_parameters())
    for name, width in {**layers, "output.weight": weights["output.weight"].shape[1]}.items():
        assert weights[name].abs().max().item() == pytest.approx(width**-0.5, rel=0.02), name


@pytest.mark.parametrize("settings", [
    {}, {"tied": False}, {"loss": "sampled", "samples": 5}, {"output_layer": "mos"},
], ids=str)  # fmt: skip
def test_output_biases_start_at_unigram_or_zero(settings):
    counts_V = 100 * torch.arange(V)
    expected_V = ((counts_V + 0.5) / (counts_V + 0.5).sum()).log()
    assert torch.allclose(begun(counts_V.numpy(), **settings).output.bias, expected_V)
    assert not begun(counts_V.numpy(), **settings, init_output_bias="zero").output.bias.any()


WEIGHTS_OF = {
    "embedding": "input.embedding.weight", "input": "weight_ih", "recurrent": "weight_hh",
    "output": "output.weight",
}  # fmt: skip


def test_a_unigram_bias_leaves_no_mean_feature_gradient():
    """Why a deep network may stay there under SGD: p - y sums to nothing but for the add-half."""
    counts_V = 100 * torch.arange(V)
    targets_N = torch.arange(V).repeat_interleave(counts_V)

    def mean_gradient(bias):
        network = begun(counts_V.numpy(), tied=False, init_output_bias=bias)
        features_NE = torch.zeros(len(targets_N), PLAIN["hidden_size"], requires_grad=True)
        network.output.loss(features_NE, targets_N).backward()
        return features_NE.grad.sum(0).norm().item()

    assert mean_gradient("unigram") < 0.01 * mean_gradient("zero")


@pytest.mark.parametrize("chosen", WEIGHTS_OF)
@pytest.mark.parametrize("model", ["rnn", "gru", "lstm", "qrnn", "jordan", "ffnn"])
def test_each_weight_kind_follows_its_own_setting(model, chosen):
    """One kind is orthogonal, so much larger than the others are at a small uniform range."""
    kinds = {f"init_{kind}": "uniform" for kind in WEIGHTS_OF}
    kinds[f"init_{chosen}"] = "orthogonal"
    network = make_network(model, **kinds, init_range=1e-4, tied=False)
    weights = {name: each for name, each in network.named_parameters() if each.dim() > 1}
    large = {name for name, weight in weights.items() if weight.abs().max() > 1e-3}
    assert large == {name for name in weights if name.endswith(WEIGHTS_OF[chosen])}
    assert large or (model, chosen) in (("ffnn", "recurrent"), ("qrnn", "recurrent"))


@pytest.mark.parametrize("output", [
    {}, {"output_layer": "class"}, {"output_layer": "hierarchical"},
    {"output_layer": "adaptive", "cutoffs": "3"}, {"loss": "nce"},
], ids=str)  # fmt: skip
def test_an_unseen_target_word_counts_as_unknown(output):
    network = make_network(**output)
    inputs_TB, targets_TB = text()
    unseen_TB = targets_TB.masked_fill(targets_TB == 1, V + 3)
    assert (targets_TB == 1).any() and network.training
    for ask in (network.loss, network.score):
        torch.manual_seed(1)
        known = ask(inputs_TB, targets_TB, network.initial_state(B))[0]
        torch.manual_seed(1)
        assert torch.equal(known, ask(inputs_TB, unseen_TB, network.initial_state(B))[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("model, variant", VARIANTS, ids=str)
def test_a_state_keeps_the_weights_type_under_autocast(model, variant, dtype):
    network, (inputs_TB, _) = make_network(model, dtype, **variant), text()
    state = network.initial_state(B)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            features_TBE, state = network.features(inputs_TB, state)
            assert {part.dtype for part in state} == {dtype}


def test_a_new_irnn_sums_its_non_negative_inputs():
    """Le et al. 2015: the identity and ReLU add up non-negative inputs."""
    settings = {"activation": "relu", "init_recurrent": "identity", "embedding_size": 6}
    network = begun(np.arange(V), "rnn", tied=False, **settings)
    layer = network.body.layers[0]
    assert torch.equal(layer.weight_hh, torch.eye(6)) and not layer.bias_ih.any()
    with torch.no_grad():
        layer.weight_ih.copy_(torch.eye(6))
    x_TBE = torch.rand(T, B, 6)
    torch.testing.assert_close(network.body(x_TBE, network.initial_state(B))[0], x_TBE.cumsum(0))


@pytest.mark.parametrize("model, settings, what", [
    ("lstm", {"layers": 2, "layer_sizes": "5,6", "connections": "residual"}, "equal width"),
    ("lstm", {"layers": 3, "layer_sizes": "5,6"}, "set layers=2"),
    ("lstm", {"layers": 2, "layer_sizes": "5,0"}, "width of 0"),
    ("lstm", {"tied": True, "output_layer": "adaptive"}, "adaptive softmax has no weights"),
    ("lstm", {"tied": True, "characters": "cnn"}, "no word vectors"),
    ("ffnn", {"tied": True, "direct_connections": True}, "have separate weights"),
    ("jordan", {"feedback": "embedding", "characters": "cnn"}, "needs word vectors"),
])  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(model, settings, what):
    with pytest.raises(SettingsError, match=what):
        network_settings(model, **settings)
