"""Noise-contrastive estimation (Gutmann & Hyvärinen 2010) of a softmax, its normaliser taken to be 1 (Mnih & Teh 2012)."""

import math

from torch import Tensor
from torch.nn import functional as F

from rnnlm.interface import PADDING
from rnnlm.neural.outputs.noise import NoiseTrainedSoftmax


class NoiseContrastiveSoftmax(NoiseTrainedSoftmax):
    """Training tells the target from K noise words by sigmoid(s - log(K q)), s the logit as an unnormalised log-probability.

    Mnih & Teh, equations 7 to 9, with the same noise words for all targets of a window; words that are drawn and are
    the target count as noise, as the theory has it. It makes the softmax's normaliser drift towards 1; at the start,
    with the unigram's logarithms for biases, it is there.
    """

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        noise_K = self.draw()
        target_N, noise_NK = self.logits(features_NE, targets_N, noise_K, tied_VE)
        log_samples = math.log(self.samples)
        true_N = F.logsigmoid(target_N - log_samples - self.log_noise_V[targets_N.clamp(min=0)])
        false_N = F.logsigmoid(log_samples + self.log_noise_V[noise_K] - noise_NK).sum(dim=1)
        kept_N = targets_N != PADDING
        return -((true_N + false_N) * kept_N).sum() / kept_N.sum().clamp(min=1)
