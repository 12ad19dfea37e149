"""The Mogrifier LSTM against its equations in numpy."""

import numpy as np
import pytest
import torch

from reference import recurrent
from rnnlm.lm.neural.layers.layers import MogrifierLayer
from rnnlm.lm.neural.settings import LstmCell

T, B, E, H = 5, 3, 4, 6
ROUNDS = [(rounds, rank) for rounds in range(1, 6) for rank in (None, 2)]
FORMS = [(peepholes, coupled) for peepholes in (False, True) for coupled in (False, True)]
all_rounds = pytest.mark.parametrize("rounds, rank", ROUNDS)
all_forms = pytest.mark.parametrize("peepholes, coupled", FORMS)


def example(rounds, rank, peepholes=False, coupled=False, dtype=torch.float64, sizes=(T, B, E, H)):
    """Return x, h, c, weights; peepholes or None; factors."""
    (T, B, E, H), count = sizes, 4 - coupled
    shapes = [(T, B, E), (B, H), (B, H), (count * H, E), (count * H, H), (count * H,)]
    shapes += [((count - 1) * H,)] * peepholes
    for i in range(rounds):
        rows, columns = (E, H) if i % 2 == 0 else (H, E)
        shapes += [(rows, columns)] if rank is None else [(rank, columns), (rows, rank)]
    generator = torch.Generator().manual_seed(4)
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    tensors = [tensor.to(dtype).requires_grad_() for tensor in drawn]
    return tensors[:6], tensors[6] if peepholes else None, tensors[6 + peepholes :]


def run(rounds, inputs, peepholes, factors):
    """Return y_TBH and the last cell of a layer with these weights."""
    x_TBE, h_BH, c_BH, *weights = inputs
    cell = LstmCell(
        peepholes=peepholes is not None,
        coupled_gates=len(weights[0]) == 3 * H,
        mogrifier_rounds=rounds,
        mogrifier_rank=None if len(factors) == rounds else len(factors[0]),
    )
    named = dict(zip(("weight_ih", "weight_hh", "bias_ih"), weights, strict=True))
    named |= {f"mogrifier.{number}": factor for number, factor in enumerate(factors)}
    named |= {} if peepholes is None else {"peepholes": peepholes}
    state = h_BH.unsqueeze(0), c_BH.unsqueeze(0)
    layer = MogrifierLayer(cell, E, H)
    y_TBH, (_, c_1BH) = torch.func.functional_call(layer, named, (x_TBE, state))
    return y_TBH, c_1BH[0]


def gradients(rounds, inputs, peepholes, factors):
    outputs = run(rounds, inputs, peepholes, factors)
    total = 0.0
    for part in outputs:
        weighting = torch.linspace(-1, 1, part.numel(), dtype=part.dtype, device=part.device)
        total = total + (weighting.view_as(part) * part).sum()
    given = [*inputs, *([] if peepholes is None else [peepholes]), *factors]
    return torch.autograd.grad(total, given)


@all_forms
@all_rounds
def test_outputs_equal_the_equations_and_gradients_finite_differences(
    rounds, rank, peepholes, coupled
):
    inputs, p, factors = example(rounds, rank, peepholes, coupled)
    x_TBE, h, c, *weights = (part.detach().numpy() for part in inputs)
    weights.append(None if p is None else p.detach().numpy())
    numbers = [factor.detach().numpy() for factor in factors]
    matrices, expected = recurrent.mogrifier_matrices(rounds, numbers), []
    for x in x_TBE:
        x, h = recurrent.mogrify(x, h, matrices)
        h, c = recurrent.lstm_step(x, h, c, *weights, coupled)
        expected.append(h)
    y_TBH, last_BH = run(rounds, inputs, p, factors)
    np.testing.assert_allclose(y_TBH.detach().numpy(), np.stack(expected), atol=1e-12)
    np.testing.assert_allclose(last_BH.detach().numpy(), c, atol=1e-12)

    def read(*given):
        return run(rounds, given[:6], given[6] if peepholes else None, given[6 + peepholes :])

    assert torch.autograd.gradcheck(read, [*inputs, *[p] * peepholes, *factors], fast_mode=True)


def test_a_round_worked_out_by_hand():
    """s(0) = 1/2: zeros pass what they gate; a gate far open doubles it, one far shut stops it."""
    x, h = np.array([[3.0, -1.0]]), np.array([[1.0]])
    still, open_, shut = np.zeros((2, 1)), np.full((2, 1), 50.0), np.full((2, 1), -50.0)
    for matrix, factor in ((still, 1), (open_, 2), (shut, 0)):
        np.testing.assert_allclose(recurrent.mogrify(x, h, [matrix])[0], factor * x, atol=1e-12)


@all_rounds
def test_bf16_and_gradient_free_results_stay_close(rounds, rank):
    given = example(rounds, rank, dtype=torch.float32)
    for tensors in (given[0][3:], given[2]):
        for tensor in tensors:
            tensor.data.mul_(0.4)
    exact = [*run(rounds, *given), *gradients(rounds, *given)]
    with torch.no_grad():
        for mine, other in zip(run(rounds, *given), exact, strict=False):
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [*run(rounds, *given), *gradients(rounds, *given)]
    for mine, other in zip(rounded, exact, strict=True):
        assert mine.dtype == torch.float32
        assert 1e-5 < (mine - other).norm() / other.norm() < 0.04
