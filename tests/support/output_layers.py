"""Small output layers with random weights, ready to compute."""

import torch

from rnnlm.lm.neural.outputs import softmax
from rnnlm.lm.neural.outputs.classes import AdaptiveSoftmax, ClassSoftmax, HierarchicalSoftmax
from rnnlm.lm.neural.outputs.sampled import NoiseContrastiveSoftmax, SampledSoftmax
from rnnlm.lm.neural.outputs.softmax import MixtureOfSoftmaxes, SoftmaxOutput

N, E, V = 13, 6, 17


def example(dtype=torch.float32, padded=4):
    """Return features_NE, weight_VE, bias_V, and targets_N of which `padded` are padding."""
    torch.manual_seed(5)
    features_NE = torch.randn(N, E, dtype=dtype, requires_grad=True)
    weight_VE = torch.randn(V, E, dtype=dtype, requires_grad=True)
    bias_V = torch.randn(V, dtype=dtype, requires_grad=True)
    targets_N = torch.randint(V, (N,))
    targets_N[torch.randperm(N)[:padded]] = -1
    return features_NE, weight_VE, bias_V, targets_N


def in_chunks(monkeypatch, chunk_bytes):
    """Limit the logits computed at once, and slices of the vocabulary to five words."""
    monkeypatch.setattr(softmax, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(softmax, "SLICE_WEIGHTS", 5 * E)


def adaptive(size, tied, width):
    return AdaptiveSoftmax(
        size, width, tuple(sorted({max(1, size // 4), max(1, size // 2)} - {size})), 2.0
    )


LAYERS = {
    "softmax": lambda size, tied, width: SoftmaxOutput(size, width, tied), "adaptive": adaptive,
    "adaptive head": lambda size, tied, width: AdaptiveSoftmax(size, width, None, 4.0),
    "class": lambda size, tied, width: ClassSoftmax(size, width, None, tied),
    "hierarchical": lambda size, tied, width: HierarchicalSoftmax(size, width),
    "mos": lambda size, tied, width: MixtureOfSoftmaxes(size, width, tied, E, 3, 0.0, False),
    "sampled": lambda size, tied, width: SampledSoftmax(size, width, tied, 8),
    "nce": lambda size, tied, width: NoiseContrastiveSoftmax(size, width, tied, 8),
}  # fmt: skip
EXACT = ["softmax", "adaptive", "adaptive head", "class", "hierarchical", "mos"]
NOISY = ["sampled", "nce"]
TIED = ["softmax", "class", "mos", *NOISY]


def counts_of(size):
    """Return counts with Zipf's frequencies, but out of order, with zeros and equal counts."""
    generator = torch.Generator().manual_seed(size)
    return (100 / (torch.randperm(size, generator=generator) + 1)).long()


def ready(layer, counts_V=None, dtype=torch.float32, seed=1):
    """Arrange `layer` for `counts_V`, prepare it, and draw every parameter at random. Return it."""
    torch.manual_seed(seed)
    if counts_V is not None:
        layer.arrange(counts_V)
        layer.prepare()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer.to(dtype)


def make(kind, size, dtype=torch.float32, tied=False, width=E):
    return ready(LAYERS[kind](size, tied, width), counts_of(size), dtype)


def window(size, rows=17, dtype=torch.float32, padded=5, width=E, seed=2):
    """Return features that require gradients, and targets, some of them padding."""
    torch.manual_seed(seed)
    features_NE = torch.randn(rows, width, dtype=dtype).requires_grad_()
    targets_N = torch.randint(size, (rows,))
    targets_N[torch.randperm(rows)[:padded]] = -1
    return features_NE, targets_N


def gradients(value, layer, *more):
    """Return the gradients of all parameters and of `more`, by name; zeros where there is none."""
    named = dict(layer.named_parameters()) | {f"input {i}": tensor for i, tensor in enumerate(more)}
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(named[name]) if g is None else g
        for name, g in zip(named, found, strict=True)
    }


def plain_loss(layer, features_NE, targets_N, tied_VE=None):
    """Return the mean cross-entropy by automatic differentiation through `predict`."""
    return torch.nn.functional.nll_loss(
        layer.predict(features_NE, tied_VE), targets_N, ignore_index=-1
    )
