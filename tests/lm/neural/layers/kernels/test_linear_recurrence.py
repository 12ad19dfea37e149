"""c_t = f_t c_t-1 + b_t against the loop in numpy, both ways of working it out."""

import numpy as np
import pytest
import torch

from rnnlm.lm.neural.layers.kernels.loops import LinearRecurrence, by_doubling, step_by_step

ways = pytest.mark.parametrize("way", [step_by_step, by_doubling])


def example(T, B=3, H=4):
    generator = torch.Generator().manual_seed(T)
    asked = {"dtype": torch.float64, "generator": generator}
    return torch.rand(T, B, H, **asked), torch.randn(T, B, H, **asked), torch.randn(B, H, **asked)


@ways
def test_numbers_by_hand_and_of_gates_long_shut_or_open(way):
    f_TBH, b_TBH = torch.tensor([[0.5, 0.0, 2.0], [1.0, 5.0, -1.0]]).view(2, 3, 1, 1)
    assert way(f_TBH, b_TBH, torch.tensor([[4.0]])).flatten().tolist() == [3.0, 5.0, 9.0]
    f_TBH = torch.cat((torch.zeros(200, 1, 1), torch.ones(200, 1, 1)))
    c_TBH = way(f_TBH, torch.ones(400, 1, 1), torch.ones(1, 1))
    assert torch.equal(c_TBH.flatten(), torch.cat((torch.ones(200), torch.arange(2.0, 202.0))))


@ways
@pytest.mark.parametrize("T", [1, 2, 3, 4, 7, 8, 9, 70])
def test_it_is_the_recurrence_written_as_a_loop(way, T):
    f_TBH, b_TBH, c_BH = example(T)
    c, expected = c_BH.numpy(), []
    for f, b in zip(f_TBH.numpy(), b_TBH.numpy(), strict=True):
        c = f * c + b
        expected.append(c)
    np.testing.assert_allclose(way(f_TBH, b_TBH, c_BH).numpy(), np.stack(expected), rtol=1e-12)


@pytest.mark.parametrize("T", [1, 5])
def test_gradients_equal_finite_differences(T):
    given = [part.requires_grad_() for part in example(T)]
    assert torch.autograd.gradcheck(LinearRecurrence.apply, given)
