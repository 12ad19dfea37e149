"""What all output layers promise."""

import pytest
import torch

from rnnlm.lm.neural.outputs import classes, softmax
from rnnlm.lm.neural.outputs.softmax import unigram
from support import output_layers as outputs
from support.output_layers import EXACT, LAYERS, NOISY, TIED, E, counts_of, gradients, make, window

SIZES = [2, 11]
PIECES = [
    (softmax, "BLOCK_LOGITS"), (softmax, "BLOCK_ROWS"), (softmax, "CHUNK_LOGITS"),
    (classes, "CHUNK_LOGITS"), (classes, "CHUNK_NUMBERS"),
]  # fmt: skip


@pytest.fixture(params=["whole", "chunks", "as on a GPU"])
def chunked(request, monkeypatch):
    """Compute everything at once, or in the smallest pieces, or without asking for numbers, too."""
    if request.param != "whole":
        outputs.in_chunks(monkeypatch, 1)
        for module, name in PIECES:
            monkeypatch.setattr(module, name, 1)
    if request.param == "as on a GPU":
        monkeypatch.setattr(classes, "picks_rows", lambda features_NE: False)


def tied_matrix(size, tied, dtype=torch.float32):
    if not tied:
        return None
    generator = torch.Generator().manual_seed(4)
    return torch.randn(size, E, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_predictions_sum_to_one_and_scores_equal_them(kind, size, tied, chunked):
    layer, tied_VE = make(kind, size, tied=tied), tied_matrix(size, tied and kind in TIED)
    features_NE, targets_N = window(size)
    with torch.no_grad():
        predicted_NV = layer.predict(features_NE, tied_VE)
        scored_N = layer.score(features_NE, targets_N, tied_VE)
    assert predicted_NV.shape == (17, size) and predicted_NV.dtype == torch.float32
    torch.testing.assert_close(predicted_NV.exp().sum(dim=1), torch.ones(17))
    kept_N = targets_N >= 0
    expected_N = predicted_NV.gather(1, targets_N.clamp(min=0)[:, None])[:, 0]
    torch.testing.assert_close(scored_N[kept_N], expected_N[kept_N], atol=2e-6, rtol=1e-5)
    assert not scored_N[~kept_N].any()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", EXACT)
def test_loss_and_gradients_are_those_of_cross_entropy(kind, size, tied, chunked):
    layer = make(kind, size, torch.float64, tied)
    features_NE, targets_N = window(size, dtype=torch.float64)
    tied_VE = tied_matrix(size, tied and kind in TIED, torch.float64)
    inputs = [features_NE] if tied_VE is None else [features_NE, tied_VE]
    ours = layer.loss(features_NE, targets_N, tied_VE)
    plain = outputs.plain_loss(layer, features_NE, targets_N, tied_VE)
    torch.testing.assert_close(ours, plain)
    total = -layer.score(features_NE, targets_N, tied_VE).sum()
    torch.testing.assert_close(ours, total / (targets_N >= 0).sum())
    found, expected = (gradients(loss, layer, *inputs) for loss in (ours, plain))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("kind", EXACT)
def test_fp32_loss_matches_cross_entropy_to_a_millionth(kind):
    layer, (features_NE, targets_N) = make(kind, 50), window(50)
    ours = layer.loss(features_NE, targets_N)
    plain = outputs.plain_loss(layer, features_NE, targets_N)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)
    found, expected = (gradients(loss, layer, features_NE) for loss in (ours, plain))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_changes_neither_loss_nor_gradients(kind):
    layer, (features_NE, targets_N) = make(kind, 11), window(11, padded=17)
    loss = layer.loss(features_NE, targets_N)
    assert loss == 0
    loss.backward()
    assert not any(tensor.grad.any() for tensor in (features_NE, *layer.parameters()))
    layer, (features_NE, targets_N) = make(kind, 11, torch.float64), window(11, dtype=torch.float64)
    losses = []
    for rows in (slice(None), targets_N >= 0):
        torch.manual_seed(5)
        losses.append(layer.loss(features_NE[rows], targets_N[rows]))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(gradients(loss, layer, features_NE) for loss in losses))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_training_starts_at_the_unigram_distribution(kind, size):
    layer, counts_V = LAYERS[kind](size, False, E), counts_of(size)
    assert not any(parameter.any() for parameter in layer.parameters() if parameter.dim() == 1)
    layer.arrange(counts_V)
    layer.prepare()
    # MPS has no float64: moving such a buffer there is an error
    assert torch.float64 not in {each.dtype for each in [*layer.parameters(), *layer.buffers()]}
    with torch.no_grad():
        for matrix in layer.matrices():
            matrix.normal_()
        predicted_NV = layer.predict(torch.zeros(2, E))
    expected_V = unigram(counts_V)
    torch.testing.assert_close(predicted_NV[1], expected_V.log().float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(expected_V, (counts_V + 0.5).double() / (counts_V + 0.5).sum())


@pytest.mark.parametrize("kind", LAYERS)
def test_products_in_bf16_come_close(kind):
    layer, (features_NE, targets_N) = make(kind, 50), window(50)
    torch.manual_seed(5)
    exact = layer.loss(features_NE, targets_N)
    torch.manual_seed(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer.loss(features_NE.bfloat16(), targets_N)
        assert layer.predict(features_NE.bfloat16()).dtype == torch.float32
        assert layer.score(features_NE, targets_N).dtype == torch.float32
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)
    exact, rough = gradients(exact, layer, features_NE), gradients(rough, layer, features_NE)
    for name, gradient in exact.items():
        assert rough[name].dtype == torch.float32
        assert (rough[name] - gradient).norm() < 0.03 * gradient.norm(), name


def test_only_losses_on_noise_are_no_cross_entropy():
    made = {kind: LAYERS[kind](11, False, E) for kind in LAYERS}
    assert {kind for kind, layer in made.items() if not layer.is_exact} == set(NOISY)
    assert {kind for kind, layer in made.items() if not layer.needs_counts} == {"softmax", "mos"}
