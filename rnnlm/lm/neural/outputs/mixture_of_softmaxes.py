"""A mixture of softmaxes (Yang, Dai, Salakhutdinov & Cohen 2018): K of them over the same word
weights W, b.

With g the layer's input: p = sum_k pi_k softmax(h_k W^T + b), pi = softmax(P g), h_k = tanh(L_k g +
l_k) (their section 2.4). One softmax gives logits of a rank no higher than the width of W; the
logarithm of a mixture has no such bound. Shapes: K components, F width of g, E width of h_k and of
the word weights.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm import arrays
from rnnlm.interface import PADDING
from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers.layers import dropout
from rnnlm.lm.neural.outputs.softmax import (
    ONES,
    SMALLEST,
    SoftmaxOutput,
    add_slices,
    chunk_rows,
    linear_logits,
    log_likelihood,
    scale_gradients,
    softmax_over_V,
)


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
