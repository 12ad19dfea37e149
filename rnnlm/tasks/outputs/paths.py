"""The best label sequences of a chain: Viterbi's algorithm (Viterbi 1967; Forney 1973) and its n best, exact.

The scores may be those of a conditional random field, or log-probabilities of softmaxes that are independent of each other: without a
chain, or with one of zeros that constraints turn into -inf where a label must not begin, end or follow another one.

Shapes: T time, B rows, K labels, n paths of a row, Y labels and the end.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING

CELLS_AT_ONCE = 1 << 22  # of rows times labels times labels: 16 MB
Constraints = tuple[np.ndarray, np.ndarray, np.ndarray]  # bool: which labels may begin (K,), end (K,), and follow each other (from, to)


class Chain(NamedTuple):
    """What a label sequence scores beside its labels: its first label, its last one, and each two neighbours [from, to]."""

    start_K: Tensor
    end_K: Tensor
    transitions_KK: Tensor

    def constrained(self, constraints: Constraints | None) -> "Chain":
        """The chain with -inf where `constraints` forbid."""
        if constraints is None:
            return self
        allowed = [torch.from_numpy(np.ascontiguousarray(mask, dtype=bool)).to(self.start_K.device) for mask in constraints]
        return Chain(*(each.detach().masked_fill(~mask, -torch.inf) for each, mask in zip(self, allowed, strict=True)))


@dataclass(frozen=True)
class Paths:
    """The n best label sequences of each row, the best first.

    labels_nTB: -1 in padding, and everywhere where a row has fewer than n sequences. logprob_nB: natural logarithms, there -inf.
    """

    labels_nTB: Tensor
    logprob_nB: Tensor


def widened(scores: Tensor) -> Tensor:
    """Scores in fp32 or wider, in whatever type they were computed."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def constraint_chain(constraints: Constraints | None, like: Tensor) -> Chain | None:
    """The chain of labels that are independent but for `constraints`, of the type and on the device of `like`; None without any: it
    would have K^2 zeros, and K may be thousands."""
    if constraints is None:
        return None
    return Chain(*(like.new_zeros(mask.shape) for mask in constraints)).constrained(constraints)


def best_paths(scores_TBK: Tensor, lengths_B: Tensor, chain: Chain | None = None) -> tuple[Tensor, Tensor]:
    """The label sequence of the highest score, (T, B), and its score, (B,); as :func:`nbest_paths` has them."""
    labels_nTB, score_nB = nbest_paths(scores_TBK, lengths_B, chain, 1)
    return labels_nTB[0], score_nB[0]


@torch.no_grad()
def nbest_paths(scores_TBK: Tensor, lengths_B: Tensor, chain: Chain | None, n: int) -> tuple[Tensor, Tensor]:
    """The n label sequences of the highest scores, (n, T, B), best first, and their scores, (n, B).

    Labels are -1 in padding. Where a row has fewer than n sequences, the rest has score -inf and labels -1.

    From each row's end backwards the n best suffixes are kept, each scored with the best beginning it can have. That is exact: a suffix
    of the k-th best sequence is below at most k - 1 others, since each of those belongs to a better sequence of its own.
    """
    T, B, K = scores_TBK.shape
    best_TBK = _best_beginnings(scores_TBK, chain)
    before_YK = scores_TBK.new_zeros(1).expand(K + 1, K)  # before each label, and before the end, which is K
    if chain is not None:
        before_YK = torch.cat([chain.transitions_KK.t(), chain.end_K.unsqueeze(0)])
    if n == 1:
        return paths_first(*_best_path(scores_TBK, best_TBK, lengths_B, before_YK))
    next_Bn = torch.full((B, n), K, device=scores_TBK.device)
    after_Bn = torch.full((B, n), -torch.inf, dtype=best_TBK.dtype, device=scores_TBK.device)  # what is after place t scores
    after_Bn[:, 0] = 0
    score_Bn, same_Bn, steps = after_Bn, torch.arange(n, device=scores_TBK.device).expand(B, n), []
    for t in reversed(range(T)):
        is_word_B1 = (t < lengths_B).unsqueeze(1)
        after_BnK = after_Bn.unsqueeze(2) + before_YK[next_Bn]
        found_Bn, index_Bn = (best_TBK[t].unsqueeze(1) + after_BnK).flatten(1).topk(n)
        label_Bn = index_Bn % K
        after = after_BnK.flatten(1).gather(1, index_Bn) + scores_TBK[t].gather(1, label_Bn)
        after_Bn, score_Bn = torch.where(is_word_B1, after, after_Bn), torch.where(is_word_B1, found_Bn, score_Bn)
        next_Bn = torch.where(is_word_B1, label_Bn, next_Bn)
        steps.append((torch.where(is_word_B1, label_Bn, PADDING), torch.where(is_word_B1, index_Bn // K, same_Bn)))
    return paths_first(follow(steps[::-1], same_Bn), score_Bn)


def _best_path(scores_TBK: Tensor, best_TBK: Tensor, lengths_B: Tensor, before_YK: Tensor) -> tuple[Tensor, Tensor]:
    """The one best path of each row, (T, B, 1), and its score, (B, 1): what :func:`nbest_paths` does for n = 1, in fewer steps."""
    T, B, K = scores_TBK.shape
    next_B = torch.full((B,), K, device=scores_TBK.device)
    score_B = after_B = torch.zeros(B, dtype=best_TBK.dtype, device=scores_TBK.device)
    is_padded, labels = lengths_B.device.type != "cpu" or bool((lengths_B < T).any()), []  # elsewhere looking would wait
    for t in reversed(range(T)):
        after_BK = after_B.unsqueeze(1) + before_YK[next_B]
        found_B, label_B = (best_TBK[t] + after_BK).max(1)
        after = (after_BK + scores_TBK[t]).gather(1, label_B.unsqueeze(1)).squeeze(1)
        if is_padded:
            is_word_B = t < lengths_B
            found_B, after = torch.where(is_word_B, found_B, score_B), torch.where(is_word_B, after, after_B)
            next_B = torch.where(is_word_B, label_B, next_B)
            label_B = torch.where(is_word_B, label_B, PADDING)
        else:
            next_B = label_B
        score_B, after_B = found_B, after
        labels.append(label_B)
    return torch.stack(labels[::-1]).unsqueeze(2), score_B.unsqueeze(1)


def _best_beginnings(scores_TBK: Tensor, chain: Chain | None) -> Tensor:
    """The score of the best labels up to each place that end in each label, (T, B, K)."""
    if chain is None:
        best_TB1 = scores_TBK.amax(2, keepdim=True).cumsum(0)
        return torch.cat([scores_TBK[:1], best_TB1[:-1] + scores_TBK[1:]])
    into_KK = chain.transitions_KK.t().contiguous()  # [to, from]: a maximum over the last dimension is the fastest
    rows = max(1, CELLS_AT_ONCE // into_KK.numel())
    best = [chain.start_K + scores_TBK[0]]
    for scores_BK in scores_TBK[1:]:
        before_BK = torch.cat([(best_bK.unsqueeze(1) + into_KK).amax(2) for best_bK in best[-1].split(rows)])
        best.append(before_BK + scores_BK)
    return torch.stack(best)


def follow(steps: list[tuple[Tensor, Tensor]], path_Bn: Tensor) -> Tensor:
    """The labels (T, B, n) along the pointers of a search: `steps` are (labels_Bn, pointers_Bn), the last one of the search first; a
    pointer is the number that its path has in the step after it in the list."""
    labels = []
    for label_Bn, pointer_Bn in steps:
        labels.append(label_Bn.gather(1, path_Bn))
        path_Bn = pointer_Bn.gather(1, path_Bn)
    return torch.stack(labels)


def paths_first(labels_TBn: Tensor, score_Bn: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (n, T, B) and scores (n, B) of a search; labels are -1 where there is no path: its score is -inf."""
    score_nB = score_Bn.t()
    return labels_TBn.permute(2, 0, 1).masked_fill(torch.isneginf(score_nB).unsqueeze(1), PADDING), score_nB
