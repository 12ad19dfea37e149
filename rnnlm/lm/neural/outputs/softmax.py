"""The protocol of all output layers, the full softmax over the vocabulary, its loss, and mixtures
of softmaxes.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm import arrays
from rnnlm.interface import PADDING
from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers.layers import dropout

# ---- The contract of every output layer: a normalised distribution over V tokens, given features
# of width E.
#
# Shapes: N tokens, E width of the features, V vocabulary. Log-probabilities are natural, fp32 or
# wider.


class OutputLayer(nn.Module):
    """Base of the output layers; `predict` sums to one, `score` equals it at the targets.

    A layer is first made (weights empty, biases zero). Then `arrange` computes the buffers that
    depend on token counts, once, before training; or a model file restores them. `prepare` derives
    the rest, and the layer can compute.

    Attributes:
        needs_counts: Whether it cannot be trained without the token counts.
        is_exact: Whether the training loss is the cross-entropy that `score` gives.
    """

    needs_counts = False  # whether it cannot be trained without the token counts
    is_exact = True  # whether the training loss is the cross-entropy that `score` gives

    def arrange(self, counts_V: Tensor) -> None:
        """Fill the buffers that depend on counts; with features of zero, predict() is then the
        add-half unigram.

        Args:
            counts_V: Count of each token in the training text, (V,).
        """
        raise NotImplementedError

    def prepare(self) -> None:
        """Derive the buffers that are not stored from the stored ones; call it after `arrange` and
        after loading. Raise a ModelError if the stored buffers are damaged."""

    def matrices(self) -> list[nn.Parameter]:
        """Return the weight matrices, which the network initialises."""
        raise NotImplementedError

    def word_rows(self, tied_VE: Tensor | None = None) -> Tensor | None:
        """Return the weights of each word, (V, E), whose product with the features makes its logit;
        None if words have no such row, or rows that do not compare.

        Args:
            tied_VE: Matrix of word vectors if the network ties the output weights to it.
        """
        return None

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Return the training loss in nats: a mean over the targets that are not padding.

        Args:
            features_NE: Features of N tokens, (N, E).
            targets_N: Token ids, (N,); -1 is padding.
            tied_VE: Matrix of word vectors if the network ties the output weights to it.
        """
        raise NotImplementedError

    def window_loss(
        self, features_TBE: Tensor, targets_TB: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        """Return the `loss` of a window of T steps of B rows. Layers whose own dropout is one mask
        for each row override it.

        Args:
            features_TBE: Features, (T, B, E).
            targets_TB: Token ids, (T, B); -1 is padding.
            tied_VE: Matrix of word vectors if the network ties the output weights to it.
        """
        features_NE, targets_N = features_TBE.flatten(0, 1), targets_TB.flatten()
        if targets_N.device.type == "cpu":  # where looking for padding waits for no device
            features_NE, targets_N = without_padding(features_NE, targets_N)
        return self.loss(features_NE, targets_N, tied_VE)

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        """Return the log-probability of each target in nats, (N,), 0 for padding. Memory does not
        grow with N V.

        Args:
            features_NE: Features of N tokens, (N, E).
            targets_N: Token ids, (N,); -1 is padding.
            tied_VE: Matrix of word vectors if the network ties the output weights to it.
        """
        raise NotImplementedError

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Return the log-probabilities of all tokens in nats, (N, V).

        Args:
            features_NE: Features of N tokens, (N, E).
            tied_VE: Matrix of word vectors if the network ties the output weights to it.
        """
        raise NotImplementedError


def without_padding(features_NE: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows whose targets are not padding; all rows if that would leave none."""
    kept_N = targets_N != PADDING
    if kept_N.all() or not kept_N.any():
        return features_NE, targets_N
    return features_NE[kept_N], targets_N[kept_N]


def unigram(counts_V: Tensor) -> Tensor:
    """Return each token's add-half relative frequency, shape (V,), fp64."""
    frequency_V = counts_V.double() + 0.5
    return frequency_V / frequency_V.sum()


def register_derived(layer: nn.Module, *names: str) -> None:
    """Register buffers that `prepare` sets: they move with the layer, but are not stored."""
    for name in names:
        layer.register_buffer(name, None, persistent=False)


# ---- The full softmax over the vocabulary, logits = features W^T + b, and its cross-entropy.
#
# The loss never holds all logits of a large vocabulary, see LinearCrossEntropy; nor does the
# score. The other output layers are built of the same parts.

CHUNK_LOGITS = 1 << 22
# Logits that are scored at once on a CPU: few enough to stay in its cache, of enough rows that W is
# not read for each few of them.
BLOCK_ROWS, BLOCK_LOGITS = 512, 1 << 20


class SoftmaxOutput(OutputLayer):
    """The full softmax. `weight` is a separate parameter, or None if the network ties it to the
    word vectors."""

    weight: nn.Parameter

    def __init__(self, size: int, width: int, tied: bool) -> None:
        super().__init__()
        self.register_parameter("weight", None if tied else nn.Parameter(torch.empty(size, width)))
        self.bias = nn.Parameter(torch.zeros(size))

    def arrange(self, counts_V: Tensor) -> None:
        with torch.no_grad():
            self.bias.copy_(unigram(counts_V).log())

    def matrices(self) -> list[nn.Parameter]:
        return [] if self.weight is None else [self.weight]

    def word_rows(self, tied_VE: Tensor | None = None) -> Tensor | None:
        return self._weight(tied_VE)

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return LinearCrossEntropy.apply(features_NE, self._weight(tied_VE), self.bias, targets_N)

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        return self.score_and_hits(features_NE, targets_N, tied_VE)[0]

    def score_and_hits(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the result of `score`, and whether each target is the likeliest token, (N,)."""
        return likelihood_and_hits(features_NE, self._weight(tied_VE), self.bias, targets_N)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        logits_NV = linear_logits(features_NE, self._weight(tied_VE), self.bias)
        return torch.log_softmax(logits_NV, dim=1)

    def _weight(self, tied_VE: Tensor | None) -> Tensor:
        return self.weight if tied_VE is None else tied_VE


def linear_logits(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor) -> Tensor:
    """Compute features W^T + b, (N, V): the product in the type of the features, the result in fp32
    or wider."""
    dtype = features_NE.dtype
    logits_NV = torch.addmm(bias_V.to(dtype), features_NE, weight_VE.to(dtype).t())
    return logits_NV.to(torch.promote_types(dtype, torch.float32))


def log_likelihood(
    features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor, targets_N: Tensor
) -> Tensor:
    """Compute log softmax(features W^T + b) (nats) at each target, 0 for padding, shape (N,)."""
    return likelihood_and_hits(features_NE, weight_VE, bias_V, targets_N)[0]


def likelihood_and_hits(
    features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor, targets_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute :func:`log_likelihood`, and whether each target is the likeliest token, (N,), False
    for padding; block by block."""
    # W is large: cast it once, not by autocast for every block.
    products = product_type(features_NE)
    features_NE, weight_VE = features_NE.to(products), weight_VE.to(products)
    index_N = targets_N.clamp(min=0)

    # Logits of some rows and a part of the vocabulary are computed at once. The parts are joined.
    N, V = len(features_NE), len(weight_VE)
    rows = _even_rows(N, BLOCK_ROWS)
    size = max(1, (BLOCK_LOGITS if features_NE.device.type == "cpu" else CHUNK_LOGITS) // rows)
    results = []
    for part in arrays.blocks(max(1, N), rows):
        features_nE, index_n = features_NE[part], index_N[part]
        terms = [
            _softmax_terms(features_nE, weight_VE[words], bias_V[words], index_n - words.start)
            for words in arrays.blocks(V, size)
        ]
        target_n, largest_n, sum_n = functools.reduce(_joined_terms, terms)
        # log sum exp(logits) would round its small part off where the largest logit is large.
        results.append((target_n - largest_n - sum_n.log(), target_n == largest_n))
    logprob_N, is_likeliest_N = map(torch.cat, zip(*results, strict=True))
    is_token_N = targets_N != PADDING
    # Padding is read as the first token, whose log-probability may be -inf.
    return torch.where(is_token_N, logprob_N, 0.0), is_likeliest_N & is_token_N


def _softmax_terms(
    features_nE: Tensor, weight_vE: Tensor, bias_v: Tensor, index_n: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute for a part of the vocabulary, (n,) each: the target's logit, or -inf if its index
    lies outside; the largest logit; the sum of exponentials of logits, each less the largest."""
    logits_nv = linear_logits(features_nE, weight_vE, bias_v)
    inside_n = index_n.clamp(0, len(bias_v) - 1)
    # gather() would keep the logits for its gradient, which are then overwritten.
    logit_n = logits_nv[torch.arange(len(inside_n), device=inside_n.device), inside_n]
    target_n = torch.where(index_n == inside_n, logit_n, -torch.inf)
    # Where all words of the part have log-probability -inf, -inf - -inf would be no number.
    largest_n = logits_nv.detach().amax(dim=1).clamp(min=torch.finfo(logits_nv.dtype).min)
    sum_n = logits_nv.sub_(largest_n.unsqueeze(1)).exp_().sum(dim=1)
    return target_n, largest_n, sum_n


def _joined_terms(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Join the terms of two parts of the vocabulary (Milakov & Gimelshein 2018, "Online normalizer
    calculation for softmax", section 3.1)."""
    largest_n = torch.maximum(first[1], second[1])
    sum_n = first[2] * (first[1] - largest_n).exp() + second[2] * (second[1] - largest_n).exp()
    return torch.maximum(first[0], second[0]), largest_n, sum_n


# ---- The loss of a softmax over a large vocabulary: logits = features W^T + b, cross-entropy and
# gradients in one.
#
# At most CHUNK_BYTES of logits are in memory for any N x V: rows are worked through in chunks. Each
# chunk's gradient of W is added, on a CPU slice by slice, so that the addend is still in the cache.
# Besides gradients and chunk there is W once more, in the type of the products.

CHUNK_BYTES = 1 << 28  # the more rows at once, the more a product does with each weight it reads
SLICE_WEIGHTS = 1 << 20
# columns of ones beside the features: one would do, but widths of sixteens multiply faster
ONES = 16
LINE = 16  # numbers of fp32 in a cache line
WIDE_BYTES, WIDE_ROWS = 1 << 25, 128  # of the products that fill whole lines: at most, and at least
SMALLEST = torch.finfo(torch.float32).tiny  # in the place of a probability that underflowed


class LinearCrossEntropy(torch.autograd.Function):
    """Mean over the targets that are not padding of -log softmax(features W^T + b)[target], in
    nats.

    With p the softmax and y the one-hot target, d loss / d logits = (p - y) / n; so the gradients
    of features, W and b are products of (p - y), formed chunk by chunk in the forward pass. Logits
    and p have the type of the products: autocast's (bf16) or the type of `features`; the softmax
    itself is worked out in fp32 or wider. A p in bf16 is right to 2^-9 of itself, so that a token's
    loss is right to 0.002 nats, apart from the logits' own rounding.

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
        device = features_NE.device
        products = product_type(features_NE)
        wide = torch.promote_types(products, torch.float32)
        features = features_NE.detach().to(products)
        weight = weight_VE.detach().to(products)
        bias = bias_V.detach().to(products)

        # Each row's share in the mean, 0 for padding; in bf16, 1 / n could be 0.4 % off.
        kept_N1 = (targets_N != PADDING).to(products).unsqueeze(1)
        count = kept_N1.sum(dtype=wide).clamp(min=1)
        share_N1 = kept_N1.to(wide) / count
        index_N = targets_N.clamp(min=0)
        row_N = torch.arange(len(targets_N), device=targets_N.device)

        # Sums over the chunks. sum_V becomes the gradient of b, times n.
        loss = torch.zeros((), dtype=wide, device=device)
        grad_features, grad_weight = torch.empty_like(features), torch.empty_like(weight_VE)
        sum_V = torch.zeros(len(bias), dtype=wide, device=device)
        rows = chunk_rows(len(features), len(weight) * features.element_size())
        for part in arrays.blocks(max(1, len(features)), rows):
            share_n1 = share_N1[part]
            logits = logits_of(features[part], weight, bias)
            target = row_N[: len(logits)], index_N[part]
            if smoothing:
                loss += smoothing * (logits[target].to(wide) * share_n1[:, 0]).sum()

            # The logits' memory is used for p, and then for p - y.
            p = softmax_over_V(logits)
            p_target_n = p[target]
            logprob_n = p_target_n.to(wide).clamp(min=SMALLEST).log()
            loss -= (logprob_n * share_n1[:, 0]).sum()
            difference = p.index_put_(target, p_target_n - (1 - smoothing))

            grad_features[part] = torch.mm(difference, weight) * share_n1
            weighted = (features[part] * share_n1).to(products)
            weighted = torch.cat((weighted, kept_N1[part].expand(-1, ONES)), dim=1)
            add_slices(grad_weight, sum_V, difference, weighted, is_first=part.start == 0)

        if smoothing:
            gradients = grad_features, grad_weight, sum_V
            loss -= _smooth(smoothing, features, weight, bias, share_N1, gradients)
        grad_bias = (sum_V / count).to(bias_V.dtype)
        ctx.save_for_backward(grad_features.to(features_NE.dtype), grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        return *scale_gradients(ctx.saved_tensors, grad), None, None


def _smooth(
    smoothing: float,
    features_NE: Tensor,
    weight_VE: Tensor,
    bias_V: Tensor,
    share_N1: Tensor,
    gradients: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Put the mean logit in the place of the target's own, for the share e of the loss.

    Return e times the mean logit of a target; take the uniform e / V from the gradients of
    features, W and (times the number of targets) b.
    """
    grad_features, grad_weight, sum_V = gradients
    V, wide = len(bias_V), sum_V.dtype
    mean_E = weight_VE.mean(dim=0, dtype=wide)
    sum_E = (features_NE.to(wide) * share_N1).sum(dim=0)
    grad_features -= smoothing * share_N1 * mean_E
    grad_weight -= smoothing / V * sum_E
    sum_V -= smoothing / V * (share_N1 != 0).sum()
    mean_bias = bias_V.mean(dtype=wide) * share_N1.sum(dtype=wide)
    return smoothing * (torch.dot(sum_E, mean_E) + mean_bias)


def scale_gradients(gradients: tuple[Tensor, ...], grad: Tensor) -> tuple[Tensor, ...]:
    """Multiply each by the gradient of the loss.

    Where that is 1, as in `loss.backward()`, they are returned as they are, which spares one pass
    over all of W's gradient; but not where that would require waiting for a device.
    """
    if grad.device.type == "cpu" and grad == 1:
        return gradients
    return tuple(gradient * grad for gradient in gradients)


def logits_of(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor) -> Tensor:
    """Compute features W^T + b.

    On a CPU products in fp32 take up to 1.6 times as long where the rows of the result are not
    whole cache lines. There the result is written to wider rows, some hundred at a time. The
    numbers are the same.
    """
    N, V = len(features_NE), len(weight_VE)
    width = -(-V // LINE) * LINE
    most = WIDE_BYTES // (4 * width)
    is_fp32_on_cpu = features_NE.device.type == "cpu" and features_NE.dtype == torch.float32
    if not is_fp32_on_cpu or width == V or min(N, most) < WIDE_ROWS:
        return torch.mm(features_NE, weight_VE.t()).add_(bias_V)

    rows = _even_rows(N, most)
    wide_nV = features_NE.new_empty((rows, width))[:, :V]
    logits_NV = features_NE.new_empty((N, V))
    for part in arrays.blocks(N, rows):
        part_nE = features_NE[part]
        product_nV = torch.mm(part_nE, weight_VE.t(), out=wide_nV[: len(part_nE)])
        torch.add(product_nV, bias_V, out=logits_NV[part])
    return logits_NV


def softmax_over_V(logits_NV: Tensor) -> Tensor:
    """Compute the softmax over V; on a CPU in place (torch.softmax with `out` would make a new
    array, and copy it)."""
    place = logits_NV if logits_NV.device.type == "cpu" else torch.empty_like(logits_NV)
    return torch.ops.aten._softmax.out(logits_NV, 1, False, out=place)


def chunk_rows(count: int, row_bytes: int) -> int:
    """Return how many of `count` rows, whose logits take `row_bytes` each, make a chunk."""
    return _even_rows(count, CHUNK_BYTES // row_bytes)


def _even_rows(count: int, most: int) -> int:
    """Return how many rows make a chunk, at most `most`, so that chunks are about the same size."""
    chunks = -(-count // max(1, most))
    return max(1, -(-count // max(1, chunks)))


def add_slices(
    grad_weight_VE: Tensor,
    sum_V: Tensor,
    difference_NV: Tensor,
    weighted_NF: Tensor,
    is_first: bool,
) -> None:
    """Add difference^T features to the gradient of W (write it there if `is_first`), and
    difference^T 1 to `sum_V`."""
    V, E = grad_weight_VE.shape
    # A GPU gets all of V: smaller products would leave it half empty.
    size = max(1, SLICE_WEIGHTS // E) if difference_NV.device.type == "cpu" else V
    # Adding from bf16, with gaps between rows, would take twice as long.
    wide_vE = grad_weight_VE.new_empty((min(size, V), E))
    for part in arrays.blocks(V, size):
        product = torch.mm(difference_NV[:, part].t(), weighted_NF)
        if is_first:
            grad_weight_VE[part].copy_(product[:, :E])
        else:
            grad_weight_VE[part].add_(wide_vE[: len(product)].copy_(product[:, :E]))
        sum_V[part] += product[:, E]


# ---- A mixture of softmaxes (Yang, Dai, Salakhutdinov & Cohen 2018): K of them over the same word
# weights W, b.
#
# With g the layer's input: p = sum_k pi_k softmax(h_k W^T + b), pi = softmax(P g), h_k = tanh(L_k g
# + l_k) (their section 2.4). One softmax gives logits of a rank no higher than the width of W; the
# logarithm of a mixture has no such bound. Shapes: K components, F width of g, E width of h_k and
# of the word weights.


class MixtureOfSoftmaxes(SoftmaxOutput):
    """A mixture of K softmaxes.

    The latent vectors h_k are as wide as the word vectors, tied or not, so that the layer needs no
    projection before it. Their dropout acts in training; locked, it is one mask for each row and
    component.
    """

    def __init__(
        self,
        size: int,
        width: int,
        tied: bool,
        latent_width: int,
        components: int,
        dropout_latent: float,
        locked: bool,
    ) -> None:
        super().__init__(size, latent_width, tied)
        self.components = components
        self.dropout_latent = dropout_latent
        self.locked = locked
        self.prior_weight = nn.Parameter(torch.empty(components, width))
        self.latent_weight = nn.Parameter(torch.empty(components * latent_width, width))
        self.latent_bias = nn.Parameter(torch.zeros(components * latent_width))

    def matrices(self) -> list[nn.Parameter]:
        return [self.prior_weight, self.latent_weight, *super().matrices()]

    def loss(self, features_NF: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return self.window_loss(features_NF.unsqueeze(0), targets_N.unsqueeze(0), tied_VE)

    def window_loss(
        self, features_TBF: Tensor, targets_TB: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        latents_TBX = self._latents(features_TBF)
        latents_TBX = dropout(latents_TBX, self.dropout_latent, self.training, self.locked)
        latents_NKE = latents_TBX.flatten(0, 1).unflatten(1, (self.components, -1))
        logprior_NK = self._logprior(features_TBF).flatten(0, 1)
        return MixtureCrossEntropy.apply(
            latents_NKE, logprior_NK, self._weight(tied_VE), self.bias, targets_TB.flatten()
        )

    def score(
        self, features_NF: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        K = self.components
        latents_ME = self._latents(features_NF).unflatten(1, (K, -1)).flatten(0, 1)
        targets_M = targets_N.unsqueeze(1).expand(-1, K).flatten()
        logprob_M = log_likelihood(latents_ME, self._weight(tied_VE), self.bias, targets_M)
        joint_NK = self._logprior(features_NF) + logprob_M.view(-1, K)
        return torch.logsumexp(joint_NK, dim=1) * (targets_N != PADDING)

    def predict(self, features_NF: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Predict component by component, with two arrays of (N, V) for any K."""
        weight_VE = self._weight(tied_VE)
        logprior_NK = self._logprior(features_NF)
        latents = self._latents(features_NF).chunk(self.components, dim=1)

        def joint(k: int) -> Tensor:
            logits_NV = linear_logits(latents[k], weight_VE, self.bias)
            return torch.log_softmax(logits_NV, dim=1) + logprior_NK[:, k : k + 1]

        return functools.reduce(torch.logaddexp, map(joint, range(self.components)))

    def _latents(self, features: Tensor) -> Tensor:
        """Return h_1 to h_K side by side, (..., K E)."""
        return torch.tanh(F.linear(features, self.latent_weight, self.latent_bias))

    def _logprior(self, features: Tensor) -> Tensor:
        """Return log pi, (..., K), in fp32 or wider."""
        logits = F.linear(features, self.prior_weight)
        wide = torch.promote_types(logits.dtype, torch.float32)
        return torch.log_softmax(logits.to(wide), dim=-1)


class MixtureCrossEntropy(torch.autograd.Function):
    """Mean over the targets that are not padding of -log sum_k pi_k softmax(h_k W^T + b)[target],
    in nats.

    With p_k the softmaxes, y the one-hot target and gamma_k = pi_k p_k[target] / p[target], the
    share of component k in the target's probability: d loss / d logits_k = gamma_k (p_k - y) / n
    and d loss / d log pi_k = - gamma_k / n, log pi_k taken as free. So all is as in
    LinearCrossEntropy, with weights: formed chunk by chunk in the forward pass, products in the
    type of autocast.
    """

    @staticmethod
    def forward(
        ctx,
        latents_NKE: Tensor,
        logprior_NK: Tensor,
        weight_VE: Tensor,
        bias_V: Tensor,
        targets_N: Tensor,
    ) -> Tensor:
        (N, K, E), V = latents_NKE.shape, len(bias_V)
        products = product_type(latents_NKE)
        latents = latents_NKE.detach().to(products)
        weight = weight_VE.detach().to(products)
        bias = bias_V.detach().to(products)
        # Each target's share in the mean, 0 for padding.
        kept_N1 = (targets_N != PADDING).to(logprior_NK.dtype).unsqueeze(1)
        share_N1 = kept_N1 / kept_N1.sum().clamp(min=1)
        index_N1 = targets_N.clamp(min=0).unsqueeze(1)

        # Sums over the chunks.
        loss = logprior_NK.new_zeros(())
        grad_latents, grad_logprior = torch.empty_like(latents_NKE), torch.empty_like(logprior_NK)
        grad_weight, grad_bias = torch.empty_like(weight_VE), logprior_NK.new_zeros(V)
        rows = chunk_rows(N, K * V * latents.element_size())
        for part in arrays.blocks(max(1, N), rows):
            # The softmaxes of all components, one row each: M = n K.
            latents_ME = latents[part].flatten(0, 1)
            p_MV = softmax_over_V(torch.mm(latents_ME, weight.t()).add_(bias))
            row_M = torch.arange(len(p_MV), device=p_MV.device)
            target = row_M, index_N1[part].expand(-1, K).flatten()
            p_target_M = p_MV[target]

            # log pi_k p_k[target], its sum over k, and gamma_k by the row's share in the mean.
            logprob_nK = p_target_M.to(loss.dtype).clamp(min=SMALLEST).log().view(-1, K)
            joint_nK = logprior_NK[part] + logprob_nK
            logprob_n1 = joint_nK.logsumexp(1, keepdim=True)
            loss -= (logprob_n1 * share_N1[part]).sum()
            share_nK = (joint_nK - logprob_n1).exp() * share_N1[part]
            grad_logprior[part] = -share_nK

            # p_k's memory is used for p_k - y.
            share_M1 = share_nK.view(-1, 1).to(products)
            difference_MV = p_MV.index_put_(target, p_target_M - 1)
            grad_latents[part] = (torch.mm(difference_MV, weight) * share_M1).view(-1, K, E)
            weighted = torch.cat((latents_ME * share_M1, share_M1.expand(-1, ONES)), dim=1)
            add_slices(grad_weight, grad_bias, difference_MV, weighted, is_first=part.start == 0)
        ctx.save_for_backward(grad_latents, grad_logprior, grad_weight, grad_bias.to(bias_V.dtype))
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        return *scale_gradients(ctx.saved_tensors, grad), None
