"""Layer normalisation against the equations of Ba, Kiros & Hinton (2016), written once more."""

import pytest
import torch

from rnnlm.errors import UsageError
from rnnlm.lm.neural.layers.layers import make_layer
from rnnlm.lm.neural.trained_network import portable_network
from support import tiny_models
from support.networks import network_settings

CASES = [
    {"model": "rnn"}, {"model": "rnn", "activation": "relu"},
    {"model": "gru"}, {"model": "gru", "reset_gate": "before", "update_gate": "renew"},
    {"model": "lstm"}, {"model": "lstm", "peepholes": True, "coupled_gates": True},
]  # fmt: skip
E, H, T, B = 3, 4, 5, 2


def norm(a, gain, bias=0.0):
    centred = a - a.mean(-1, keepdim=True)
    return gain * centred / ((centred**2).mean(-1, keepdim=True) + 1e-5).sqrt() + bias


def steps_by_hand(layer, settings, x_TBE, h, c):
    cell, (g, *more) = settings.cell, layer.norms
    U, W, b = layer.weight_ih.t(), layer.weight_hh.t(), layer.bias_ih
    outputs = []
    for x in x_TBE:
        if settings.model == "rnn":
            h = getattr(torch, cell.activation)(norm(x @ U + h @ W, g) + b)
        elif settings.model == "gru":
            b_hh, n = layer.bias_hh, slice(2 * H, 3 * H)
            a = norm(x @ U[:, : 2 * H], g[: 2 * H]) + norm(h @ W[:, : 2 * H], more[0][: 2 * H])
            r, z = (a + b[: 2 * H] + b_hh[: 2 * H]).sigmoid().split(H, dim=1)
            if cell.reset_gate == "after":
                back = r * (norm(h @ W[:, n], more[0][n]) + b_hh[n])
            else:
                back = norm((r * h) @ W[:, n], more[0][n]) + b_hh[n]
            new = (norm(x @ U[:, n], g[n]) + b[n] + back).tanh()
            h = z * h + (1 - z) * new if cell.update_gate == "keep" else z * new + (1 - z) * h
        else:
            names = "fgo" if cell.coupled_gates else "ifgo"
            sums = (norm(x @ U, g) + norm(h @ W, more[0]) + b).split(H, dim=1)
            a = dict(zip(names, sums, strict=True))
            p_f, p_o = layer.peepholes.split(H) if cell.peepholes else (0, 0)
            f = (a["f"] + p_f * c).sigmoid()
            i = 1 - f if cell.coupled_gates else a["i"].sigmoid()
            c = f * c + i * a["g"].tanh()
            h = (a["o"] + p_o * c).sigmoid() * norm(c, more[1], more[2]).tanh()
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layers_equal_the_published_equations_forward_and_backward(case):
    given = {name: value for name, value in case.items() if name != "model"}
    settings = network_settings(case["model"], **given, layer_norm=True, hidden_size=H)
    torch.manual_seed(1)
    layer = make_layer(settings, 0, E, H).double()
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, -1.5, 1.5)
    x = torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)
    h, c = torch.randn(2, B, H, dtype=torch.float64).requires_grad_().unbind(0)
    state = (h[None], c[None])[: len(layer.parts)]

    found, expected = layer(x, state)[0], steps_by_hand(layer, settings, x, h, c)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    weights = [x, h, *layer.parameters()]
    factors = torch.randn_like(found)
    ours = torch.autograd.grad((found * factors).sum(), weights)
    theirs = torch.autograd.grad((expected * factors).sum(), weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.needs("tools/inspection")
def test_exports_and_spectra_refuse_normalised_layers():
    from rnnlm.tools.inspection.spectrum import inspect_spectrum

    model = tiny_models.fit("gru", layer_norm=True)
    with pytest.raises(UsageError, match="its layers are normalised"):
        portable_network(model)
    with pytest.raises(UsageError, match="no spectrum that means something"):
        inspect_spectrum([model])
