import pytest
import torch

from rnnlm.neural.regularization import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_share_p_is_dropped_and_the_expected_value_kept(p, dtype):
    torch.manual_seed(1)
    dropped = dropout(torch.ones(400, 500, dtype=dtype), p, training=True)
    assert dropped.dtype == dtype
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert dropped[dropped != 0].unique().float().tolist() == pytest.approx([1 / (1 - p)], rel=1e-2)
    assert dropped.double().mean().item() == pytest.approx(1, abs=0.02)


def test_elements_are_dropped_independently():
    torch.manual_seed(1)
    kept = dropout(torch.ones(300, 300), 0.5, training=True) > 0
    for other in (kept.roll(1, 0), kept.roll(1, 1), kept.t()):
        assert (kept == other).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_gradients_pass_where_values_do():
    x = torch.ones(1000, requires_grad=True)
    y = dropout(x, 0.25, training=True)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_nothing_is_dropped_outside_training_or_without_p():
    x = torch.ones(10)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_the_same_seed_gives_the_same_mask_and_the_next_call_another():
    torch.manual_seed(3)
    first, second = (dropout(torch.ones(100), 0.5, True) for _ in range(2))
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(torch.ones(100), 0.5, True), first)
    assert not torch.equal(first, second)
