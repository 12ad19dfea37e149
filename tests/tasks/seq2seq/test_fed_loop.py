"""The hand-scheduled loop of input feeding against the plain one, forward and backward, with the
same things dropped."""

import contextlib

import pytest
import torch

from rnnlm.tasks.seq2seq.kernels import has_loop, make_loop, run
from rnnlm.tasks.seq2seq.network import draw_dropout, read_step_by_step
from support.tiny_seq2seq import batch, tiny_network

DROPS = {"dropout_input": 0.4, "dropout_between": 0.3, "weight_drop": 0.3}
DEEP = {"decoder_layers": 3, "connections": "residual"}
CASES = [
    ("lstm", {"attention": "general"}), ("lstm", {"attention": "dot", **DROPS}),
    ("lstm", {"attention": "additive", **DEEP, **DROPS}),
    ("lstm", {"peepholes": True, "decoder_layers": 2}),
    ("lstm", {"coupled_gates": True, "locked_dropout": True, **DROPS}),
    ("gru", {"attention": "additive"}), ("gru", {"update_gate": "renew", **DEEP, **DROPS}),
]  # fmt: skip


def both(model, settings, dtype=torch.float64, products=contextlib.nullcontext):
    """Return the results of the loop and of the plain steps, and the gradients of all that they
    read."""
    network = tiny_network(model, dtype, input_feeding=True, **settings)
    decoder, found = network.decoder, []
    torch.manual_seed(3)
    with products():
        memory, _ = network.encode(batch().sources_SB, batch().lengths_B)
        state = tuple(
            torch.randn(places, 4, width, dtype=dtype)
            for places, width in [*decoder.body.state_shapes(), (1, network.settings.fed_width)]
        )
        given = [
            each.detach().requires_grad_()
            for each in (
                torch.randn(5, 4, 4, dtype=dtype),
                memory.states_SMH,
                memory.keys_SMA,
                *state,
            )
        ]
        drawn = draw_dropout(decoder.body, decoder.settings, given[0])
        recurrent = [
            its.get("weight_hh", layer.weight_hh)
            for its, layer in zip(drawn.weights, decoder.body.layers, strict=True)
        ]
    for is_loop in (True, False):
        with products():
            x_TBE, states_SMH, keys_SMA, *state = given
            seen = memory._replace(
                states_SMH=states_SMH,
                keys_SMA=states_SMH if settings.get("attention") == "dot" else keys_SMA,
            )
            if is_loop:
                masks = (drawn.fed_TBF, *drawn.between_TBX)
                weight_FC = decoder.combination.weight
                outputs = run(
                    make_loop(
                        decoder.body,
                        decoder.attention,
                        weight_FC,
                        x_TBE,
                        seen,
                        tuple(state),
                        recurrent,
                        masks,
                    )
                )
            else:
                outputs = read_step_by_step(
                    decoder.body, x_TBE, seen, tuple(state), decoder.attend, drawn
                )
        a_TBF, weights_TBS, after = outputs
        loss = (
            a_TBF.to(dtype) * torch.linspace(-1, 1, a_TBF.numel()).view(a_TBF.shape)
        ).sum() + sum((part * (number + 1)).sum() for number, part in enumerate(after))
        wanted = [*given, *decoder.parameters()]
        gradients = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
        found.append(
            ([a_TBF, weights_TBS, *after], [each for each in gradients if each is not None])
        )
    return found


@pytest.mark.parametrize("model, settings", CASES, ids=str)
def test_it_equals_plain_steps_forward_and_backward(model, settings):
    (ours, our_gradients), (theirs, their_gradients) = both(model, settings)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("model, attention", [("lstm", "general"), ("gru", "additive")])
def test_autocast_runs_only_products_in_bf16(model, attention):
    exact, _ = both(model, {"attention": attention}, torch.float32)
    near, plain = both(
        model,
        {"attention": attention},
        torch.float32,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    )
    assert {each.dtype for each in (*near[0], *near[1][3:])} == {torch.float32}
    for side in (0, 1):
        for ours, theirs, bf16 in zip(near[side], exact[side], plain[side], strict=True):
            error = (bf16.float() - theirs).norm()
            assert (ours.float() - theirs).norm() < 0.03 * theirs.norm() + 1.5 * error


def test_what_it_cannot_run_goes_step_by_step():
    fits = {
        model: has_loop(tiny_network(model, input_feeding=True).decoder.body)
        for model in ("rnn", "gru", "lstm", "qrnn")
    }
    assert fits == {"rnn": False, "gru": True, "lstm": True, "qrnn": False}
    for settings in (
        {"mogrifier_rounds": 2},
        {"connections": "dense"},
        {"connections": "highway", "decoder_layers": 2},
    ):
        assert not has_loop(tiny_network("lstm", input_feeding=True, **settings).decoder.body)
    assert not has_loop(tiny_network("gru", input_feeding=True, reset_gate="before").decoder.body)
