"""The loop to compare with does what tutorials do, with as many weights as ours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnnlm.neural.network import make_network
from rnnlm.neural.network_settings import KINDS
from rnnlm.textbook_loop import TextbookNetwork, is_in_torch, make_loop

V = 13


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("settings", [{"hidden_size": 6}, {"hidden_size": 8}, {"hidden_size": 8, "tied": False, "layers": 2}], ids=str)
def test_it_has_the_matrices_of_our_network(model, settings):
    shape = KINDS[model](model=model, embedding_size=6, **settings)
    tokenizer = SimpleNamespace(size=V, input_size=V, unk_id=1, counts_V=np.ones(V), spells=False)
    theirs, ours = TextbookNetwork(shape, V), make_network(shape, tokenizer)
    matrices = [sorted(tuple(p.shape) for p in network.parameters() if p.dim() > 1) for network in (theirs, ours)]
    assert matrices[0] == matrices[1]


@pytest.mark.parametrize(
    "model, settings, expected",
    [
        ("lstm", {"layers": 2, "layer_sizes": "5,5"}, True), ("rnn", {"activation": "relu"}, True), ("gru", {"update_gate": "renew"}, True),
        ("lstm", {"layers": 2, "layer_sizes": "5,6"}, False), ("lstm", {"layers": 2, "connections": "dense"}, False),
        ("lstm", {"peepholes": True}, False), ("lstm", {"coupled_gates": True}, False), ("gru", {"reset_gate": "before"}, False),
        ("rnn", {"activation": "sigmoid"}, False), ("lstm", {"characters": "cnn"}, False), ("lstm", {"output": "class"}, False),
        ("ffnn", {}, False), ("jordan", {}, False), ("qrnn", {}, False), ("lstm", {"mogrifier_rounds": 2}, False), ("lstm", {"output": "mos"}, False),
    ],
)  # fmt: skip
def test_only_what_torch_has_is_compared_with(model, settings, expected):
    shape = KINDS[model](model=model, **settings)
    assert is_in_torch(shape) == expected
    if expected:
        kernel = TextbookNetwork(shape, V).kernel
        assert kernel.hidden_size == shape.widths[0] and getattr(kernel, "nonlinearity", "relu") == "relu"


def test_it_learns_and_counts_its_tokens():
    torch.manual_seed(1)
    ids_TB = torch.arange(12).view(6, 2)
    shape = KINDS["lstm"](embedding_size=8, hidden_size=8, dropout_input=0.0, dropout_output=0.0)
    loop = make_loop(shape, V, 0.05, [(ids_TB, ids_TB + 1)] * 3, "fp32", torch.device("cpu"))
    assert loop() == 36
    for _ in range(30):
        loop()
    network = loop.__closure__
    found = next(cell.cell_contents for cell in network if isinstance(cell.cell_contents, TextbookNetwork)).eval()
    assert (found(ids_TB, None)[0].argmax(dim=2) == ids_TB + 1).float().mean() > 0.9
