"""The loss of a softmax over a large vocabulary: logits = features W^T + b, cross-entropy and
gradients in one.

Of logits, at most CHUNK_BYTES are in memory, whatever N x V: rows are worked through in chunks.
Each chunk's gradient of W is added, on a CPU slice by slice, so that what is added is still in the
cache. Beside gradients and chunk there is W once more, in the type of the products.
"""

import torch
from torch import Tensor

from rnnlm.interface import PADDING
from rnnlm.neural.device import product_type

CHUNK_BYTES = 1 << 28  # the more rows at once, the more a product does with each weight it reads
SLICE_WEIGHTS = 1 << 20
# columns of ones beside the features: one would do, but widths of sixteens multiply faster
ONES = 16
LINE = 16  # numbers of fp32 in a cache line
WIDE_BYTES, WIDE_ROWS = 1 << 25, 128  # of the products that fill whole lines: at most, and at least
SMALLEST = torch.finfo(torch.float32).tiny  # stands for a probability that underflowed


class LinearCrossEntropy(torch.autograd.Function):
    """Mean over the targets that are not padding of -log softmax(features W^T + b)[target], in
    nats.

    With p the softmax and y the one-hot target, d loss / d logits = (p - y) / n; so the gradients
    of features, W and b are products of (p - y), formed chunk by chunk in the forward pass. Logits
    and p have the type of the products: autocast's (bf16) or that of `features`; the softmax itself
    is worked out in fp32 or wider. A p in bf16 is right to 2^-9 of itself, so that a token's loss
    is right to 0.002 nats, apart from what the logits' own rounding does.

    With label smoothing e (Szegedy et al. 2016, section 7) the loss is (1 - e) nll + e (mean over V
    of nll), y becomes (1 - e) y + e / V. The uniform part is the same for all rows: it needs the
    mean of W's rows and no pass over the logits.
    """

    @staticmethod
    def forward(
        ctx,
        features_NE: Tensor,
        weight_VE: Tensor,
        bias_V: Tensor,
        targets_N: Tensor,
        smoothing: float = 0.0,
    ) -> Tensor:
        products = product_type(features_NE)
        features, weight, bias = (
            given.detach().to(products) for given in (features_NE, weight_VE, bias_V)
        )
        wide = torch.promote_types(products, torch.float32)
        kept_N1 = (targets_N != PADDING).to(products).unsqueeze(1)
        index_N, row_N = (
            targets_N.clamp(min=0),
            torch.arange(len(targets_N), device=targets_N.device),
        )
        count = kept_N1.sum(dtype=wide).clamp(min=1)
        # of each row in the mean, 0 for padding; in bf16 1 / n may be 0.4 % off
        share_N1 = kept_N1.to(wide) / count
        loss = torch.zeros((), dtype=wide, device=features_NE.device)
        grad_features, grad_weight = torch.empty_like(features), torch.empty_like(weight_VE)
        sum_V = torch.zeros(len(bias), dtype=wide, device=features_NE.device)
        rows = chunk_rows(len(features), len(weight) * features.element_size())
        for start in range(0, max(1, len(features)), rows):
            part = slice(start, start + rows)
            logits = logits_of(features[part], weight, bias)
            target = row_N[: len(logits)], index_N[part]
            if smoothing:
                loss += smoothing * (logits[target].to(wide) * share_N1[part, 0]).sum()
            p = softmax_over_V(logits)
            p_target_n = p[target]
            loss -= (p_target_n.to(wide).clamp(min=SMALLEST).log() * share_N1[part, 0]).sum()
            difference = p.index_put_(target, p_target_n - (1 - smoothing))  # p - y
            grad_features[part] = torch.mm(difference, weight) * share_N1[part]
            weighted = torch.cat(
                ((features[part] * share_N1[part]).to(products), kept_N1[part].expand(-1, ONES)),
                dim=1,
            )
            add_slices(grad_weight, sum_V, difference, weighted, is_first=start == 0)
        if smoothing:
            loss -= _smooth(
                smoothing, features, weight, bias, share_N1, (grad_features, grad_weight, sum_V)
            )
        ctx.save_for_backward(
            grad_features.to(features_NE.dtype), grad_weight, (sum_V / count).to(bias_V.dtype)
        )
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        return *scaled(ctx.saved_tensors, grad), None, None


def _smooth(
    smoothing: float,
    features_NE: Tensor,
    weight_VE: Tensor,
    bias_V: Tensor,
    share_N1: Tensor,
    gradients: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """e times the mean logit of a target, whose place the target's own logit has in nll; takes the
    uniform e / V from the gradients of features, W and (times the number of targets) b."""
    (grad_features, grad_weight, sum_V), V = gradients, len(bias_V)
    wide = sum_V.dtype
    mean_E, sum_E = weight_VE.mean(dim=0, dtype=wide), (features_NE.to(wide) * share_N1).sum(dim=0)
    grad_features -= smoothing * share_N1 * mean_E
    grad_weight -= smoothing / V * sum_E
    sum_V -= smoothing / V * (share_N1 != 0).sum()
    return smoothing * (
        torch.dot(sum_E, mean_E) + bias_V.mean(dtype=wide) * share_N1.sum(dtype=wide)
    )


def scaled(gradients: tuple[Tensor, ...], grad: Tensor) -> tuple[Tensor, ...]:
    """Each times the gradient of the loss; as they are where that is 1 and no device is to be
    waited for: as in `loss.backward()`, which spares one pass over all of W's gradient."""
    if grad.device.type == "cpu" and grad == 1:
        return gradients
    return tuple(gradient * grad for gradient in gradients)


def logits_of(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor) -> Tensor:
    """features W^T + b.

    On a CPU products in fp32 take up to 1.6 times as long where the rows of the result are not
    whole cache lines. There the result is written to wider rows, some hundred at a time. The
    numbers are the same.
    """
    N, V = len(features_NE), len(weight_VE)
    width = -(-V // LINE) * LINE
    most = WIDE_BYTES // (4 * width)
    if (
        features_NE.device.type != "cpu"
        or features_NE.dtype != torch.float32
        or width == V
        or min(N, most) < WIDE_ROWS
    ):
        return torch.mm(features_NE, weight_VE.t()).add_(bias_V)
    logits_NV, rows = features_NE.new_empty((N, V)), _even_rows(N, most)
    wide = features_NE.new_empty((rows, width))[:, :V]
    for start in range(0, N, rows):
        part = features_NE[start : start + rows]
        torch.add(
            torch.mm(part, weight_VE.t(), out=wide[: len(part)]),
            bias_V,
            out=logits_NV[start : start + rows],
        )
    return logits_NV


def softmax_over_V(logits_NV: Tensor) -> Tensor:
    """Over V; on a CPU in place (torch.softmax with `out` makes a new array, and copies it)."""
    place = logits_NV if logits_NV.device.type == "cpu" else torch.empty_like(logits_NV)
    return torch.ops.aten._softmax.out(logits_NV, 1, False, out=place)


def chunk_rows(count: int, row_bytes: int) -> int:
    """Rows of a chunk of `count`, whose logits take `row_bytes` each."""
    return _even_rows(count, CHUNK_BYTES // row_bytes)


def _even_rows(count: int, most: int) -> int:
    """Rows of a chunk, at most `most`, so that chunks are about the same size."""
    chunks = -(-count // max(1, most))
    return max(1, -(-count // max(1, chunks)))


def add_slices(
    grad_weight_VE: Tensor,
    sum_V: Tensor,
    difference_NV: Tensor,
    weighted_NF: Tensor,
    is_first: bool,
) -> None:
    """Adds difference^T features to the gradient of W (writes it there if `is_first`), and
    difference^T 1 to `sum_V`."""
    V, E = grad_weight_VE.shape
    # smaller products would leave a GPU half empty
    size = max(1, SLICE_WEIGHTS // E) if difference_NV.device.type == "cpu" else V
    # adding from bf16, with gaps between rows, takes twice as long
    wide_vE = grad_weight_VE.new_empty((min(size, V), E))
    for start in range(0, V, size):
        part = slice(start, start + size)
        product = torch.mm(difference_NV[:, part].t(), weighted_NF)
        if is_first:
            grad_weight_VE[part].copy_(product[:, :E])
        else:
            grad_weight_VE[part].add_(wide_vE[: len(product)].copy_(product[:, :E]))
        sum_V[part] += product[:, E]
