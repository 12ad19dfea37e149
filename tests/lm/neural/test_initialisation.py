"""Each initialisation by its definition: bounds, variance, W W^T, the identity; gate by gate."""

import math
import subprocess
import sys

import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.lm.neural.initialisation import initialise

H, K = 120, 200


def weight_of(name, rows=H, columns=K, blocks=1, init_range=0.1, gain=1.0, width=H):
    torch.manual_seed(1)
    weight = torch.nn.Parameter(torch.full((rows, columns), math.nan))
    initialise(weight, name, init_range=init_range, gain=gain, width=width, blocks=blocks)
    assert weight.isfinite().all() and weight.requires_grad
    return weight.detach()


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("name, bound", [
    ("uniform", 0.25), ("torch", 1 / math.sqrt(H)), ("glorot", math.sqrt(6 / (H + K))),
])  # fmt: skip
def test_uniform_ones_keep_to_their_bounds(name, bound, blocks):
    weight = weight_of(name, rows=blocks * H, blocks=blocks, init_range=0.25)
    assert weight.abs().max() <= bound and weight.abs().max() > 0.99 * bound
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.03)
    assert abs(weight.mean().item()) < 0.02 * bound


@pytest.mark.parametrize("blocks", [1, 3])
def test_he_has_variance_two_by_the_inputs(blocks):
    weight = weight_of("he", rows=blocks * H, blocks=blocks)
    assert weight.var().item() == pytest.approx(2 / K, rel=0.03)
    assert weight.abs().max() > 3 * math.sqrt(2 / K)  # normal, not uniform


def test_he_keeps_the_mean_square_through_relu_layers():
    torch.manual_seed(2)
    x = torch.randn(2000, K)
    for seed in range(4):
        torch.manual_seed(seed)
        weight = torch.empty(K, K)
        initialise(weight, "he", init_range=0.1, gain=1.0, width=K)
        x = torch.relu(x @ weight.t())
    assert (x**2).mean().item() == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("blocks", [1, 3, 4])
@pytest.mark.parametrize("columns", [H, K, 50])
def test_orthogonal_blocks_have_orthonormal_rows_or_columns(blocks, columns):
    weight = weight_of("orthogonal", rows=blocks * H, columns=columns, blocks=blocks)
    for block in weight.chunk(blocks):
        product = block @ block.t() if H <= columns else block.t() @ block
        torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)
    if blocks > 1:
        assert not torch.equal(*weight.chunk(blocks)[:2])


@pytest.mark.parametrize("blocks", [1, 4])
def test_identity_is_the_identity_in_each_block(blocks):
    for block in weight_of("identity", rows=blocks * H, columns=H, blocks=blocks).chunk(blocks):
        assert torch.equal(block, torch.eye(H))


def test_gain_multiplies_only_initialisations_without_own_range():
    for name in ("glorot", "he", "orthogonal", "identity"):
        whole = weight_of(name, columns=H)
        torch.testing.assert_close(weight_of(name, columns=H, gain=0.5), 0.5 * whole)
    for name in ("uniform", "torch"):
        assert torch.equal(weight_of(name, gain=0.5), weight_of(name))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_identity_of_a_non_square_matrix_is_refused(device):
    weight = torch.empty(4 * H, K, device=device)
    with pytest.raises(SettingsError, match="identity needs square weights; these are 120 x 200"):
        initialise(weight, "identity", init_range=0.1, gain=1.0, width=H, blocks=4)


@pytest.mark.soak
def test_initialising_on_meta_does_and_imports_nothing():
    """Loading a model builds its network there, and does not wait for torch's compiler."""
    code = """
import sys, torch
from rnnlm.lm.neural.initialisation import initialise
for name in ('uniform', 'glorot', 'he', 'orthogonal', 'identity', 'torch'):
    initialise(torch.empty(8, 8, device='meta'), name, init_range=0.1, gain=1.0, width=8)
print('torch._dynamo' in sys.modules)"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
