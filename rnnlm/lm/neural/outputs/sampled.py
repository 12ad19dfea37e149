"""Train a softmax on a few words of a large vocabulary, the target and noise words drawn by their
frequency: sampled softmax (Bengio & Senécal 2008; Jean et al. 2015) and noise-contrastive
estimation (Gutmann & Hyvärinen 2010).

Both see a logit minus the log of how often the word is expected among the noise. Drawing waits for
no device.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.errors import ModelError
from rnnlm.interface import PADDING
from rnnlm.lm.neural.layers.layers import RowReader
from rnnlm.lm.neural.outputs.softmax import SoftmaxOutput, register_derived, unigram

# parts of one on the line of sampled softmax; with up to 2^22 samples, sums fit into int64
UNIT = 1 << 40


class NoiseTrainedSoftmax(SoftmaxOutput):
    """A full softmax whose training loss looks at the targets and `samples` noise words shared by
    the whole window.

    The gradient of the weights is V E numbers that are zero for most words, unless `read_rows` is
    set: then only the rows that it has read have one. The unigram distribution is stored as an
    alias table.
    """

    needs_counts = True
    is_exact = False
    keep_V: Tensor
    alias_V: Tensor
    expected_V: Tensor

    def __init__(self, size: int, width: int, tied: bool, samples: int) -> None:
        super().__init__(size, width, tied)
        self.samples = samples
        # How a training step reads the weights of words, if not as usual.
        self.read_rows: RowReader | None = None
        # share of its column that is word v's own
        self.register_buffer("keep_V", torch.empty(size))
        self.register_buffer("alias_V", torch.empty(size, dtype=torch.int32))  # whose the rest is
        register_derived(self, "expected_V")  # how often each word is expected among the noise

    def arrange(self, counts_V: Tensor) -> None:
        super().arrange(counts_V)
        keep, alias = alias_table(unigram(counts_V).tolist())
        self.keep_V.copy_(torch.tensor(keep))
        self.alias_V.copy_(torch.tensor(alias))

    def prepare(self) -> None:
        # On the CPU, as not every device has float64.
        keep_V, alias_V = self.keep_V.to("cpu", torch.float64), self.alias_V.to("cpu", torch.int64)
        is_share_V = (keep_V >= 0) & (keep_V <= 1)
        is_word_V = (alias_V >= 0) & (alias_V < len(alias_V))
        if not bool((is_share_V & is_word_V).all()):
            raise ModelError(
                "the output layer's noise distribution is damaged",
                "its alias table points beyond the vocabulary",
            )

        # The table gives the unigram distribution back.
        unigram_V = keep_V.index_add(0, alias_V, 1 - keep_V) / len(keep_V)
        self.expected_V = self.expected(unigram_V).to(self.keep_V.device, torch.float32)

    def expected(self, unigram_V: Tensor) -> Tensor:
        """Return how often each word is expected among the noise, (V,) fp64."""
        raise NotImplementedError

    def draw(self) -> Tensor:
        """Draw the noise words (K,) int64 of a window."""
        raise NotImplementedError

    def logits(
        self, features_NE: Tensor, targets_N: Tensor, noise_K: Tensor, tied_VE: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the targets' logits (N,) and the noise words' (N, K) minus the log of
        `expected_V`, fp32 or wider; padding has word 0's."""
        # One gather for targets and noise, so that a dense gradient is filled once.
        words = torch.cat([targets_N.clamp(min=0), noise_K])
        parts = [len(targets_N), len(noise_K)]
        if self.read_rows is None:
            rows_XE = F.embedding(words, self._weight(tied_VE))
        else:
            rows_XE = self.read_rows(words)
        target_NE, noise_KE = rows_XE.split(parts)
        bias = self.bias.index_select(0, words) - self.expected_V[words].log()
        target_bias_N, noise_bias_K = bias.split(parts)

        wide = torch.promote_types(features_NE.dtype, torch.float32)
        target_N = (features_NE.to(wide) * target_NE).sum(dim=1) + target_bias_N
        noise_NK = torch.mm(features_NE, noise_KE.to(features_NE.dtype).t()).to(wide) + noise_bias_K
        return target_N, noise_NK


class SampledSoftmax(NoiseTrainedSoftmax):
    """Cross-entropy over {target} and K distinct noise words, logits minus the log of how likely
    each word is to be among these.

    Word v is among them with the probability pi = min(1, c q), where c makes these sum to K:
    frequent words always are. Given the set, the posterior of which word is the target is
    proportional to P(w | h) / pi_w, were words drawn independently, and nearly so here; so the
    target's logit is corrected, too, and a noise word that is the target itself is left out. With K
    = V, this is the full softmax.
    """

    def __init__(self, size: int, width: int, tied: bool, samples: int) -> None:
        super().__init__(size, width, tied, min(samples, size))

    def expected(self, unigram_V: Tensor) -> Tensor:
        return inclusion(unigram_V, self.samples)

    def draw(self) -> Tensor:
        """Draw the words by systematic sampling in random order (Madow 1949).

        The words' pi, laid end to end, are a line of length K, on which a comb of K teeth, one
        apart, falls at random. The line is laid in whole numbers of 1 / UNIT: their sums are exact,
        the same on each device, and the same again in torch's deterministic mode, where CUDA has no
        running sum of floating-point numbers.
        """
        device = self.expected_V.device
        wide = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        # On a CPU randperm takes a tenth of the time of sorting. For a GPU it may draw on the host.
        V = len(self.expected_V)
        if device.type == "cpu":
            order_V = torch.randperm(V)
        else:
            order_V = torch.rand(V, device=device).argsort()

        # Where each word's part of the line ends, and where the teeth fall: above 0, so that the
        # first falls on a word.
        length_V = (self.expected_V[order_V].to(wide) * UNIT).round().long()
        end_V = length_V.cumsum(dim=0)
        offset = (torch.rand((), dtype=wide, device=device) * UNIT).ceil().long()
        teeth_K = torch.arange(self.samples, device=device) * UNIT + offset

        place_K = torch.searchsorted(end_V, teeth_K)
        # rounding can make the line a little shorter than K
        return order_V[place_K.clamp(max=len(order_V) - 1)]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        noise_K = self.draw()
        target_N, noise_NK = self.logits(features_NE, targets_N, noise_K, tied_VE)
        noise_NK = noise_NK.masked_fill(noise_K == targets_N.unsqueeze(1), -torch.inf)
        logits_NX = torch.cat([target_N.unsqueeze(1), noise_NK], dim=1)
        nats_N = torch.logsumexp(logits_NX, dim=1) - target_N
        kept_N = targets_N != PADDING
        return (nats_N * kept_N).sum() / kept_N.sum().clamp(min=1)


class NoiseContrastiveSoftmax(NoiseTrainedSoftmax):
    """Training distinguishes the target from K noise words by sigmoid(s - log(K q)), s the logit as
    an unnormalised log-probability.

    Mnih & Teh, equations 7 to 9, with the same noise words for all targets of a window; words that
    are drawn and are the target count as noise, as in the theory. It makes the softmax's normaliser
    drift towards 1; at the start, with the unigram's logarithms for biases, it is there.
    """

    def expected(self, unigram_V: Tensor) -> Tensor:
        return self.samples * unigram_V

    def draw(self) -> Tensor:
        """Draw the words by Walker's alias method (1977; tables by Vose 1991).

        V columns of equal mass hold at most two words each, so that a draw is a column and a
        comparison. It never loses the rarest words of a large vocabulary.
        """
        device = self.keep_V.device
        column_K = torch.randint(len(self.keep_V), (self.samples,), device=device)
        own_K = torch.rand(self.samples, device=device) < self.keep_V[column_K]
        return torch.where(own_K, column_K, self.alias_V[column_K].long())

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        target_N, noise_NK = self.logits(features_NE, targets_N, self.draw(), tied_VE)
        nats_N = F.logsigmoid(target_N) + F.logsigmoid(-noise_NK).sum(dim=1)
        kept_N = targets_N != PADDING
        return -(nats_N * kept_N).sum() / kept_N.sum().clamp(min=1)


def inclusion(p_V: Tensor, count: int) -> Tensor:
    """Return min(1, c p), (V,) fp64, with the c that makes them sum to `count`, V at most."""
    if count == len(p_V):
        return torch.ones_like(p_V)

    # The value of c if the k most frequent words are certain: the others share the rest.
    sorted_V = p_V.sort(descending=True).values
    rest_V = sorted_V.flip(0).cumsum(dim=0).flip(0)  # the sum of this one and all after it
    factor_K = (count - torch.arange(count, device=p_V.device)) / rest_V[:count]
    certain = int((factor_K * sorted_V[:count] > 1).sum())
    return (factor_K[certain] * p_V).clamp(max=1.0)


def alias_table(p: list[float]) -> tuple[list[float], list[int]]:
    """Return for each of V columns the share of its own word, and the word that has the rest; `p`
    sums to one."""
    share = [len(p) * probability for probability in p]
    alias = list(range(len(p)))
    poor = [word for word, scaled in enumerate(share) if scaled < 1]
    rich = [word for word, scaled in enumerate(share) if scaled >= 1]

    # A word with less than a column gets the rest of its column from one that has more.
    while poor and rich:
        word, donor = poor.pop(), rich[-1]
        alias[word] = donor
        share[donor] -= 1 - share[word]
        if share[donor] < 1:
            poor.append(rich.pop())
    for word in poor + rich:  # left over by rounding
        share[word] = 1.0
    return share, alias
