"""The loop to compare with does what tutorials do, with as many weights as ours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnnlm.benchmarks.textbook import TextbookNetwork, WeightDropNetwork, is_in_torch, make_loop
from rnnlm.neural.network import make_network
from rnnlm.neural.settings import network_settings

V = 13


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "settings",
    [{"hidden_size": 6}, {"hidden_size": 8}, {"hidden_size": 8, "tied": False, "layers": 2}],
    ids=str,
)
def test_it_has_the_matrices_of_our_network(model, settings):
    shape = network_settings(model, embedding_size=6, **settings)
    tokenizer = SimpleNamespace(size=V, input_size=V, unk_id=1, counts_V=np.ones(V), spells=False)
    theirs, ours = TextbookNetwork(shape, V), make_network(shape, tokenizer)
    matrices = [
        sorted(tuple(p.shape) for p in network.parameters() if p.dim() > 1)
        for network in (theirs, ours)
    ]
    assert matrices[0] == matrices[1]


@pytest.mark.parametrize("model, settings, expected", [
    ("lstm", {"layers": 2, "layer_sizes": "5,5"}, True), ("rnn", {"activation": "relu"}, True),
    ("gru", {"update_gate": "renew"}, True),
    ("lstm", {"layers": 2, "layer_sizes": "5,6"}, False),
    ("lstm", {"layers": 2, "connections": "dense"}, False),
    ("lstm", {"peepholes": True}, False), ("lstm", {"coupled_gates": True}, False),
    ("gru", {"reset_gate": "before"}, False),
    *(("rnn", {"activation": name}, False) for name in ("sigmoid", "elu", "leaky_relu")),
    ("lstm", {"characters": "cnn"}, False),
    ("lstm", {"output_layer": "class"}, False), ("ffnn", {}, False), ("jordan", {}, False),
    ("qrnn", {}, False),
    ("lstm", {"mogrifier_rounds": 2}, False), ("lstm", {"output_layer": "mos"}, False),
])  # fmt: skip
def test_only_what_torch_has_is_compared_with(model, settings, expected):
    shape = network_settings(model, **settings)
    assert is_in_torch(shape) == expected
    if expected:
        kernel = TextbookNetwork(shape, V).kernel
        assert (
            kernel.hidden_size == shape.widths[0]
            and getattr(kernel, "nonlinearity", "relu") == "relu"
        )


@pytest.mark.parametrize(
    "kind, weight_drop, rate", [(TextbookNetwork, 0.0, 0.05), (WeightDropNetwork, 0.1, 5.0)]
)
def test_it_learns_and_counts_its_tokens(kind, weight_drop, rate):
    torch.manual_seed(1)
    ids_TB = torch.arange(12).view(6, 2)
    shape = network_settings(
        "lstm",
        embedding_size=8,
        hidden_size=8,
        weight_drop=weight_drop,
        dropout_input=0.0,
        dropout_output=0.0,
    )
    loop = make_loop(shape, V, rate, [(ids_TB, ids_TB + 1)] * 3, "fp32", torch.device("cpu"))
    for _ in range(60):
        assert loop() == 36
    found = next(
        cell.cell_contents for cell in loop.__closure__ if isinstance(cell.cell_contents, kind)
    ).eval()
    assert (found(ids_TB, None)[0].argmax(dim=2) == ids_TB + 1).float().mean() > 0.9


AWD = {
    "embedding_size": 6, "layers": 2, "layer_sizes": "10,6", "weight_drop": 0.5,
    "dropout_embedding": 0.4, "dropout_input": 0.4,
    "dropout_between": 0.4, "dropout_output": 0.4, "locked_dropout": True,
    "activation_penalty": 2.0, "temporal_penalty": 3.0,
}  # fmt: skip


def pair(**settings):
    """Return the tutorials' network and ours, with the same weights, in evaluation mode, and the
    inputs of two windows."""
    torch.manual_seed(1)
    shape = network_settings("lstm", **AWD | settings)
    tokenizer = SimpleNamespace(
        size=V, input_size=V, unk_id=None, counts_V=np.ones(V), spells=False
    )
    theirs, ours = WeightDropNetwork(shape, V), make_network(shape, tokenizer)
    with torch.no_grad():
        ours.input.weight.copy_(theirs.embedding.weight)
        ours.output.bias.copy_(theirs.decoder.bias)
        for layer, other in zip(ours.body.layers, theirs.layers, strict=True):
            layer.weight_ih.copy_(other.kernel.weight_ih_l0)
            layer.weight_hh.copy_(other.raw)
            layer.bias_ih.copy_(other.kernel.bias_ih_l0 + other.kernel.bias_hh_l0)
    return theirs, ours, torch.randint(V, (5, 3))


def test_torch_has_weight_drop_layers_of_any_width():
    assert is_in_torch(network_settings("lstm", **AWD))
    assert not is_in_torch(network_settings("lstm", **AWD | {"weight_drop": 0.0}))
    assert not is_in_torch(network_settings("lstm", **AWD | {"connections": "dense"}))


def test_without_dropping_it_is_our_network():
    theirs, ours, inputs_TB = pair()
    theirs.eval()
    ours.eval()
    states, state = None, ours.initial_state(3)
    for _ in range(2):
        logits_TBV, _, states = theirs(inputs_TB, states)
        expected_TBV, state = ours.predict(inputs_TB, state)
        torch.testing.assert_close(
            logits_TBV.log_softmax(dim=2), expected_TBV, atol=1e-5, rtol=1e-5
        )


def test_its_penalties_are_ours():
    theirs, ours, inputs_TB = pair(
        **dict.fromkeys(
            (
                "dropout_embedding",
                "dropout_input",
                "dropout_between",
                "dropout_output",
                "weight_drop",
            ),
            0.0,
        )
    )
    expected = ours.loss(inputs_TB, inputs_TB, ours.initial_state(3))[1]
    torch.testing.assert_close(theirs(inputs_TB, None)[1], expected)


def test_raw_recurrent_weights_learn_while_dropped_in_training():
    theirs, _, inputs_TB = pair()
    seen = []
    for _ in range(2):
        theirs(inputs_TB, None)[0].sum().backward()
        seen.append([layer.kernel.weight_hh_l0.detach() for layer in theirs.layers])
    for first, second, layer in zip(*seen, theirs.layers, strict=True):
        assert not torch.equal(first == 0, second == 0)
        torch.testing.assert_close(first[first != 0], 2 * layer.raw[first != 0])
        assert layer.raw.grad.any() and "weight_hh_l0" not in dict(layer.kernel.named_parameters())


def test_words_are_dropped_whole_and_masks_are_locked():
    theirs, _, inputs_TB = pair()
    dropped_TBE = theirs._embed(inputs_TB)
    is_gone_TB = (dropped_TBE == 0).all(dim=2)
    assert (
        torch.equal(is_gone_TB, (dropped_TBE == 0).any(dim=2))
        and 0 < is_gone_TB.sum() < is_gone_TB.numel()
    )
    mask_TBE = theirs._drop(torch.ones(5, 3, 40), 0.5)
    assert torch.equal(
        mask_TBE, mask_TBE[:1].expand_as(mask_TBE)
    ) and mask_TBE.unique().tolist() == [0, 2]
