"""Noise words for training a softmax on a few words of a large vocabulary: drawn from the unigram distribution.

Drawn by Walker's alias method (1977; tables by Vose 1991): V columns of equal mass hold at most two words each, so that
a draw is a column and a comparison. Unlike a search in cumulated fp32 probabilities it never loses the rarest words of
a large vocabulary, and nothing waits for the device.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.errors import ModelError
from rnnlm.neural.outputs.base import derived, unigram
from rnnlm.neural.outputs.softmax import SoftmaxOutput


class NoiseTrainedSoftmax(SoftmaxOutput):
    """A full softmax whose training loss looks at the targets and `samples` noise words shared by the whole window.

    The gradient of the weights is dense, V E numbers that are zero for most words: filling it and the optimizer's pass over
    it is then what a step costs, since the optimizers here have no sparse form.
    """

    needs_counts = True
    is_exact = False

    def __init__(self, size: int, width: int, tied: bool, samples: int) -> None:
        super().__init__(size, width, tied)
        self.samples = samples
        self.register_buffer("keep_V", torch.empty(size))  # share of its column that is word v's own
        self.register_buffer("alias_V", torch.empty(size, dtype=torch.int32))  # whose the rest is
        derived(self, "log_noise_V")

    def arrange(self, counts_V: Tensor) -> None:
        super().arrange(counts_V)
        keep, alias = alias_table(unigram(counts_V).tolist())
        self.keep_V.copy_(torch.tensor(keep))
        self.alias_V.copy_(torch.tensor(alias))

    def prepare(self) -> None:
        keep_V, alias_V = self.keep_V.double(), self.alias_V.long()
        if not bool(((keep_V >= 0) & (keep_V <= 1) & (alias_V >= 0) & (alias_V < len(alias_V))).all()):
            raise ModelError("the output layer's noise distribution is damaged", "its alias table points beyond the vocabulary")
        self.log_noise_V = (keep_V.index_add(0, alias_V, 1 - keep_V) / len(keep_V)).log().float()

    def draw(self) -> Tensor:
        """`samples` words (K,) int64, each drawn from the noise distribution."""
        device = self.keep_V.device
        column_K = torch.randint(len(self.keep_V), (self.samples,), device=device)
        own_K = torch.rand(self.samples, device=device) < self.keep_V[column_K]
        return torch.where(own_K, column_K, self.alias_V[column_K].long())

    def logits(self, features_NE: Tensor, targets_N: Tensor, noise_K: Tensor, tied_VE: Tensor | None) -> tuple[Tensor, Tensor]:
        """The targets' (N,) and the noise words' (N, K) logits in fp32 or wider; padding has those of word 0."""
        words = torch.cat([targets_N.clamp(min=0), noise_K])  # in one gather, so that the dense gradient is filled once
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        parts = [len(targets_N), len(noise_K)]
        target_NE, noise_KE = F.embedding(words, self._weight(tied_VE)).split(parts)
        target_bias_N, noise_bias_K = self.bias.index_select(0, words).split(parts)
        target_N = (features_NE.to(wide) * target_NE).sum(dim=1) + target_bias_N
        noise_NK = torch.mm(features_NE, noise_KE.to(features_NE.dtype).t()).to(wide) + noise_bias_K
        return target_N, noise_NK


def alias_table(p: list[float]) -> tuple[list[float], list[int]]:
    """Of each of V columns the share that is its own word's, and the word that has the rest; `p` sums to one."""
    share = [len(p) * each for each in p]
    alias = list(range(len(p)))
    poor = [word for word, each in enumerate(share) if each < 1]
    rich = [word for word, each in enumerate(share) if each >= 1]
    while poor and rich:
        word = poor.pop()
        alias[word] = rich[-1]
        share[rich[-1]] -= 1 - share[word]
        if share[rich[-1]] < 1:
            poor.append(rich.pop())
    for word in poor + rich:  # what rounding has left over
        share[word] = 1.0
    return share, alias
