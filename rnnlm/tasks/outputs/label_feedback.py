"""A tagger that reads its own labels: a forward layer over each word's features and the vector of the label before, and a softmax.

log p(y) = sum_t log p(y_t | features_1..t, y_1..t-1), so that the labels depend on all labels before (Mesnil et al. 2015; Vaswani et
al. 2016). Training reads the labels of the data (teacher forcing); decoding is a beam search, greedy where the beam is 1.

Shapes: T time, B rows, H width of the features, K labels, W hypotheses of a row.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import PADDING
from rnnlm.neural.layers.layer import Layer, State
from rnnlm.tasks.outputs.paths import Chain, Constraints, Paths, constraint_chain, follow, paths_first, widened

INIT_RANGE = 0.1  # label vectors start uniform in [-INIT_RANGE, INIT_RANGE]


class LabelFeedback(nn.Module):
    """layer: reads H + label_size numbers a word, the features before the label's vector. Label K stands before the first one; a label
    that is not known (-1) is read as zeros."""

    def __init__(self, layer: Layer, labels: int, label_size: int) -> None:
        super().__init__()
        self.layer, self.labels = layer, labels
        self.vectors_KE = nn.Parameter(torch.empty(labels + 1, label_size).uniform_(-INIT_RANGE, INIT_RANGE))
        self.output = nn.Linear(layer.width, labels)

    def forward(self, features_TBH: Tensor, labels_TB: Tensor) -> Tensor:
        """Scores of all labels at each place, given the labels before it, (T, B, K), whose softmax is p: one pass of the layer."""
        first_1B = torch.full_like(labels_TB[:1], self.labels)
        inputs_TBE = self._input(features_TBH, torch.cat([first_1B, labels_TB[:-1]]))
        return widened(self.output(self.layer(inputs_TBE, self._state(features_TBH.shape[1]))[0]))

    @torch.no_grad()
    def search(self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, beam: int, n: int) -> Paths:
        """The best `n` of `beam` hypotheses, exact where `beam` is not below the number of label sequences.

        A hypothesis that the constraints do not let come to an end is dropped at once: one that is allowed is found wherever there is one.
        """
        (T, B), W, K = features_TBH.shape[:2], beam, self.labels
        state, device = self._state(B * W), features_TBH.device
        after_YK, to_go_TK = _allowed(constraint_chain(constraints, self.vectors_KE), self.vectors_KE, T)
        before_BW = torch.full((B, W), K, device=device)
        score_BW = torch.full((B, W), -torch.inf, device=device)
        score_BW[:, 0] = 0
        same_BW, row_B1, steps = torch.arange(W, device=device).expand(B, W), torch.arange(B, device=device).unsqueeze(1), []
        for t in range(T):
            is_word_B1 = (t < lengths_B).unsqueeze(1)
            inputs_NE = self._input(features_TBH[t].repeat_interleave(W, dim=0), before_BW.flatten())
            step, state = self.layer.step(inputs_NE, state)  # takes half the time of a kernel, whose call pays for longer windows alone
            logprob_BWK = torch.log_softmax(widened(self.output(step.hidden_BH)), dim=1).view(B, W, K)
            allowed_BWK = after_YK[before_BW] + to_go_TK[(lengths_B - 1 - t).clamp(min=0)].unsqueeze(1)
            total_BWK = score_BW.unsqueeze(2) + logprob_BWK + allowed_BWK
            found_BW, index_BW = total_BWK.flatten(1).topk(W)
            from_BW = torch.where(is_word_B1, index_BW // K, same_BW)
            before_BW = torch.where(is_word_B1, index_BW % K, before_BW)
            score_BW = torch.where(is_word_B1, found_BW, score_BW)
            state = tuple(part.index_select(1, (row_B1 * W + from_BW).flatten()) for part in state)
            steps.append((torch.where(is_word_B1, before_BW, PADDING), from_BW))
        labels_WTB, score_WB = paths_first(follow(steps[::-1], same_BW).flip(0), score_BW)
        return Paths(labels_WTB[:n], score_WB[:n])

    def _input(self, features: Tensor, before: Tensor) -> Tensor:
        """What the layer reads: features (..., H) and the vectors of the labels before, (...), side by side."""
        vectors = F.embedding(before.clamp(min=0), self.vectors_KE) * (before != PADDING).unsqueeze(-1)
        return torch.cat([features, vectors.to(features.dtype)], dim=-1)

    def _state(self, rows: int) -> State:
        return tuple(self.vectors_KE.new_zeros(places, rows, width) for places, width in self.layer.state_shapes())


def _allowed(chain: Chain | None, like_KE: Tensor, T: int) -> tuple[Tensor, Tensor]:
    """Zeros, and -inf where `chain` forbids: each label after each one and, in row K, at the beginning, (K + 1, K); and where a label
    with t words to go can come to no end, (T, K)."""
    if chain is None:
        K = len(like_KE) - 1
        return like_KE.new_zeros(1).expand(K + 1, K), like_KE.new_zeros(1).expand(T, K)
    to_go = [chain.end_K]
    for _ in range(T - 1):
        to_go.append((chain.transitions_KK + to_go[-1]).amax(1))
    return torch.cat([chain.transitions_KK, chain.start_K.unsqueeze(0)]), torch.stack(to_go)
