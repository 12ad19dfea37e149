import math

import pytest
import torch

from rnnlm.lm.neural.layers.layers import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_drops_share_p_and_keeps_the_mean(p, dtype):
    torch.manual_seed(1)
    dropped = dropout(torch.ones(400, 500, dtype=dtype), p, training=True)
    assert dropped.dtype == dtype
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert dropped[dropped != 0].unique().float().tolist() == pytest.approx([1 / (1 - p)], rel=1e-2)
    assert dropped.double().mean().item() == pytest.approx(1, abs=0.02)


def test_elements_are_dropped_independently_and_in_training_alone():
    torch.manual_seed(1)
    kept = dropout(torch.ones(300, 300), 0.5, training=True) > 0
    for other in (kept.roll(1, 0), kept.roll(1, 1), kept.t()):
        assert (kept == other).float().mean().item() == pytest.approx(0.5, abs=0.02)
    x = torch.ones(10)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    torch.manual_seed(1)
    kept = (dropout(torch.ones(1 << 20), 0.5, training=True) > 0).view(-1, 4).long()
    counts = torch.bincount(kept @ torch.tensor([8, 4, 2, 1]), minlength=16).double()
    expected = kept.shape[0] / 16
    assert ((counts - expected) ** 2 / expected).sum().item() < 44.3  # chi square, 15: p = 1e-4


@pytest.mark.parametrize("p", [1e-9, 1e-5, 0.1, 0.3, 0.9999, 1 - 1e-9])
def test_masks_drop_p_in_steps_of_a_65536th_and_never_all_or_none(p):
    torch.manual_seed(1)
    count = 1_000_003  # not a multiple of the four elements of a random word
    factors = dropout(torch.ones(count), p, training=True)
    q = min(max(round(p * 65536), 1), 65535) / 65536
    deviation = math.sqrt(count * q * (1 - q))
    assert (factors == 0).sum().item() == pytest.approx(count * q, abs=5 * deviation)
    assert factors[factors != 0].unique().tolist() == pytest.approx([1 / (1 - q)])


def test_masks_follow_from_the_state_of_torch_on_each_machine():
    torch.manual_seed(1)
    first, second = (dropout(torch.ones(3, 5), 0.5, training=True) for _ in range(2))
    assert first.int().flatten().tolist() == [0, 2, 2, 0, 2, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0]
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(first, dropout(torch.ones(3, 5), 0.5, training=True))


def test_a_locked_mask_is_that_of_all_steps_and_gradients_take_the_mask():
    torch.manual_seed(1)
    x_TBE = torch.ones(7, 3, 5, requires_grad=True)
    dropped = dropout(x_TBE, 0.5, training=True, locked=True)
    assert torch.equal(dropped, dropped[:1].expand(7, 3, 5))
    dropped.sum().backward()
    assert torch.equal(x_TBE.grad, dropped)
    assert dropout(torch.ones(0, 5), 0.5, training=True).shape == (0, 5)
