"""The linear-chain conditional random field (Lafferty, McCallum & Pereira 2001; with start and end scores, Lample et al. 2016, eq. 1):

score(y) = start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t-1, y_t] + end[y_T],    log p(y) = score(y) - log Z

with log Z the logarithm of the sum of exp score(y) over all K^T label sequences. All of it is computed in fp32, or in float64 where the
scores have that type, also under autocast.
"""

import contextlib

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING
from rnnlm.tasks.outputs.paths import Chain, widened
from rnnlm.tasks.padding import is_word


class LinearChain(nn.Module):
    """The scores of a chain of K labels; transitions_KK[i, j] is that of j after i. They start at zero, where log p(y) is that of
    independent softmaxes."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.start_K = nn.Parameter(torch.zeros(labels))
        self.end_K = nn.Parameter(torch.zeros(labels))
        self.transitions_KK = nn.Parameter(torch.zeros(labels, labels))

    def chain(self, dtype: torch.dtype = torch.float32) -> Chain:
        """The scores as paths.py wants them, in fp32 or a wider `dtype`."""
        dtype = torch.promote_types(dtype, self.start_K.dtype)
        return Chain(self.start_K.to(dtype), self.end_K.to(dtype), self.transitions_KK.to(dtype))

    def log_likelihood(self, scores_TBK: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """log p of each row's labels, in nats, shape (B,).

        A label of -1 before a row's end is unknown: the probability is then the sum over all labels at that place.
        """
        scores_TBK = widened(scores_TBK)
        is_unknown_TB = (labels_TB == PADDING) & is_word(len(labels_TB), lengths_B)
        if labels_TB.device.type == "cpu" and not is_unknown_TB.any():  # where looking waits for no device
            return self.score(scores_TBK, labels_TB, lengths_B) - self.log_partition(scores_TBK, lengths_B)
        is_other_TBK = torch.arange(scores_TBK.shape[2], device=labels_TB.device) != labels_TB.unsqueeze(2)
        fitting_TBK = scores_TBK.masked_fill(is_other_TBK & ~is_unknown_TB.unsqueeze(2), -torch.inf)
        both_TBK = torch.cat([fitting_TBK, scores_TBK], dim=1)  # one pass over time for both sums
        fitting_B, all_B = self.log_partition(both_TBK, lengths_B.repeat(2)).chunk(2)
        return fitting_B - all_B

    def score(self, scores_TBK: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """score(y) of each row's labels, shape (B,). What `labels_TB` holds beyond a row's end is not read."""
        scores_TBK = widened(scores_TBK)
        start_K, end_K, transitions_KK = self.chain(scores_TBK.dtype)
        labels_TB = labels_TB.clamp(min=0)
        is_word_TB = is_word(len(labels_TB), lengths_B)
        each_TB = scores_TBK.gather(2, labels_TB.unsqueeze(2)).squeeze(2)
        each_TB = each_TB + torch.cat([start_K[labels_TB[:1]], transitions_KK[labels_TB[:-1], labels_TB[1:]]])
        last_1B = labels_TB.gather(0, (lengths_B - 1).clamp(min=0).unsqueeze(0))
        return each_TB.masked_fill(~is_word_TB, 0).sum(0) + end_K[last_1B[0]] * (lengths_B > 0)

    def log_partition(self, scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
        """log Z of each row, in nats, shape (B,); 0 for a row of length 0.

        The forward recursion in the linear domain, each step's weights divided by their sum (Rabiner 1989, section V.A), so that a step
        is a matrix product. Exact while the transition scores lie within 80 nats of each other, and start and end scores within 80 nats
        of zero (700 in float64); training stays far from that. A score of -inf excludes a label at its place.
        """
        scores_TBK = widened(scores_TBK)
        start_K, end_K, transitions_KK = self.chain(scores_TBK.dtype)
        is_word_TB = is_word(len(scores_TBK), lengths_B)
        scores_TBK = scores_TBK.masked_fill(~is_word_TB.unsqueeze(2), 0)
        top_TB1, top = scores_TBK.detach().amax(2, keepdim=True), transitions_KK.detach().max()
        with _without_autocast(scores_TBK):
            exp_TBK, exp_KK = (scores_TBK - top_TB1).exp(), (transitions_KK - top).exp()
            # The sums are constants to the gradient: whatever the weights are divided by comes back as its logarithm.
            sums: list[Tensor] = []
            steps: list[Tensor] = []
            for exp_BK in exp_TBK.unbind():  # by an index, the gradient of each step would be as large as that of all of them
                weights_BK = (steps[-1] @ exp_KK if steps else start_K.exp()) * exp_BK
                sums.append(weights_BK.detach().sum(1, keepdim=True).clamp(min=torch.finfo(weights_BK.dtype).tiny))
                steps.append(weights_BK / sums[-1])
            last_1BK = (lengths_B - 1).clamp(min=0).view(1, -1, 1).expand(1, *steps[0].shape)
            ended_B = (torch.stack(steps).gather(0, last_1BK)[0] * end_K.exp()).sum(1).log()
        logs_TB = (torch.stack(sums).log() + top_TB1).squeeze(2)
        logs_TB = torch.cat([logs_TB[:1], logs_TB[1:] + top])
        return logs_TB.masked_fill(~is_word_TB, 0).sum(0) + ended_B * (lengths_B > 0)

    def marginals(self, scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
        """p(y_t = k) of each place and label, shape (T, B, K), zeros in padding: the gradient of log Z with respect to the scores."""
        with torch.inference_mode(False), torch.enable_grad(), _without_autocast(scores_TBK):
            scores_TBK = widened(scores_TBK).detach().clone().requires_grad_()
            total = self.log_partition(scores_TBK, lengths_B.clone()).sum()
            return torch.autograd.grad(total, scores_TBK)[0]


def _without_autocast(x: Tensor) -> contextlib.AbstractContextManager[None]:
    device = x.device.type  # meta has no autocast
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else contextlib.nullcontext()
