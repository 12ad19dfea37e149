"""Sampled softmax (Bengio & Senécal 2008; Jean et al. 2015): in training, a softmax over the target and some noise words."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.interface import PADDING
from rnnlm.neural.outputs.noise import NoiseTrainedSoftmax


class SampledSoftmax(NoiseTrainedSoftmax):
    """Cross-entropy over {target} and the distinct words among K drawn ones, logits minus the log of how often each is expected.

    A word is among K drawn ones with the probability pi = 1 - (1 - q)^K. Given the set, the posterior of which word is
    the target is proportional to P(w | h) / pi_w; so the target's logit is corrected, too, and a noise word that is
    the target itself is left out. As pi goes to 1, this is the full softmax.
    """

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        noise_K = self.draw().sort().values
        target_N, noise_NK = self.logits(features_NE, targets_N, noise_K, tied_VE)
        target_N = target_N - self._log_expected(targets_N.clamp(min=0))
        noise_NK = noise_NK - self._log_expected(noise_K)
        repeated_K = F.pad(noise_K[1:] == noise_K[:-1], (1, 0))
        left_out_NK = repeated_K | (noise_K == targets_N.unsqueeze(1))
        logits_NL = torch.cat([target_N.unsqueeze(1), noise_NK.masked_fill(left_out_NK, -torch.inf)], dim=1)
        nats_N = torch.logsumexp(logits_NL, dim=1) - target_N
        kept_N = targets_N != PADDING
        return (nats_N * kept_N).sum() / kept_N.sum().clamp(min=1)

    def _log_expected(self, words: Tensor) -> Tensor:
        """log(1 - (1 - q)^K), in a form that is exact for small q."""
        return torch.log(-torch.expm1(self.samples * torch.log1p(-self.log_noise_V[words].exp())))
