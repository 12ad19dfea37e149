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


def test_elements_are_dropped_independently_in_training_alone():
    torch.manual_seed(1)
    kept = dropout(torch.ones(300, 300), 0.5, training=True) > 0
    for other in (kept.roll(1, 0), kept.roll(1, 1), kept.t()):
        assert (kept == other).float().mean().item() == pytest.approx(0.5, abs=0.02)
    x = torch.ones(10)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
