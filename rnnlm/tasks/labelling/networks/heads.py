"""Predict labels of words (softmax, CRF, Markov) and of texts from features: the heads.

Shapes: T time, B rows, H width of the features, K labels, n label sequences of a row. Labels are -1
in padding and where training never saw the label. Losses and probabilities are in fp32 or wider,
whatever type the features have.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import PADDING
from rnnlm.lm.neural.device import without_autocast
from rnnlm.parallel import interruptible_pieces
from rnnlm.tasks.common.batches import is_word

# ---- The best label sequences of a chain: Viterbi's algorithm (Viterbi 1967; Forney 1973) and its
# n best, exact.
#
# The scores may be the scores of a conditional random field, or log-probabilities of softmaxes that
# are independent of each other: without a chain, or with one of zeros that constraints turn into
# -inf where a label must not begin, end or follow another one.
#
# Shapes: T time, B rows, K labels, n paths of a row, Y labels and the end.

CELLS_AT_ONCE = 1 << 22  # of rows times labels times labels: 16 MB
# bool: which labels may begin (K,), end (K,), and follow each other (from, to).
Constraints = tuple[np.ndarray, np.ndarray, np.ndarray]


class Chain(NamedTuple):
    """The scores of a label sequence besides its labels' scores: of its first label, its last one,
    and each two neighbours [from, to]."""

    start_K: Tensor
    end_K: Tensor
    transitions_KK: Tensor

    def constrained(self, constraints: Constraints | None) -> "Chain":
        """Return the chain with -inf where `constraints` forbid."""
        if constraints is None:
            return self
        scores = []
        for score, allowed in zip(self, constraints, strict=True):
            mask = torch.from_numpy(np.ascontiguousarray(allowed, dtype=bool)).to(score.device)
            scores.append(score.detach().masked_fill(~mask, -torch.inf))
        return Chain(*scores)


@dataclass(frozen=True)
class LabelPaths:
    """The n best label sequences of each row, the best first.

    labels_nTB: -1 in padding, and everywhere where a row has fewer than n sequences. logprob_nB:
    natural logarithms, there -inf.
    """

    labels_nTB: Tensor
    logprob_nB: Tensor


def widened(scores: Tensor) -> Tensor:
    """Return scores in fp32 or wider, regardless of their type."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


@torch.no_grad()
def nbest_paths(
    scores_TBK: Tensor, lengths_B: Tensor, chain: Chain | None, n: int
) -> tuple[Tensor, Tensor]:
    """Return the n label sequences of the highest scores, (n, T, B), best first, and their scores,
    (n, B).

    Labels are -1 in padding. Where a row has fewer than n sequences, the rest has score -inf and
    labels -1.

    From each row's end backwards the n best suffixes are kept, each scored with the best beginning
    it can have. That is exact: a suffix of the k-th best sequence is below at most k - 1 others,
    since each of those belongs to another better sequence.
    """
    T, B, K = scores_TBK.shape
    device = scores_TBK.device
    best_TBK = _best_beginnings(scores_TBK, chain)
    # before_YK[y, k]: the score of label k directly before label y. Row y = K is the end.
    before_YK = scores_TBK.new_zeros(1).expand(K + 1, K)
    if chain is not None:
        before_YK = torch.cat([chain.transitions_KK.t(), chain.end_K.unsqueeze(0)])
    if n == 1:
        return paths_first(*_best_path(scores_TBK, best_TBK, lengths_B, before_YK))

    # The n best suffixes of each row: the first label of each (K: no label yet) and its score. At
    # first there is one, the empty suffix, and the other places hold impossible ones.
    next_Bn = torch.full((B, n), K, device=device)
    after_Bn = torch.full((B, n), -torch.inf, dtype=best_TBK.dtype, device=device)
    after_Bn[:, 0] = 0
    score_Bn = after_Bn
    same_Bn = torch.arange(n, device=device).expand(B, n)
    steps = []
    for t in interruptible_pieces(reversed(range(T))):
        # Put each label before each suffix, and keep the n that are part of the best sequences.
        is_word_B1 = (t < lengths_B).unsqueeze(1)
        after_BnK = after_Bn.unsqueeze(2) + before_YK[next_Bn]
        found_Bn, index_Bn = (best_TBK[t].unsqueeze(1) + after_BnK).flatten(1).topk(n)
        label_Bn, pointer_Bn = index_Bn % K, index_Bn // K
        after = after_BnK.flatten(1).gather(1, index_Bn) + scores_TBK[t].gather(1, label_Bn)

        # Nothing changes at places beyond a row's end.
        after_Bn = torch.where(is_word_B1, after, after_Bn)
        score_Bn = torch.where(is_word_B1, found_Bn, score_Bn)
        next_Bn = torch.where(is_word_B1, label_Bn, next_Bn)
        label_Bn = torch.where(is_word_B1, label_Bn, PADDING)
        steps.append((label_Bn, torch.where(is_word_B1, pointer_Bn, same_Bn)))
    return paths_first(follow(steps[::-1], same_Bn), score_Bn)


def _best_path(
    scores_TBK: Tensor, best_TBK: Tensor, lengths_B: Tensor, before_YK: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the one best path of each row, (T, B, 1), and its score, (B, 1): the result of
    :func:`nbest_paths` for n = 1, in fewer steps."""
    T, B, K = scores_TBK.shape
    next_B = torch.full((B,), K, device=scores_TBK.device)
    score_B = after_B = torch.zeros(B, dtype=best_TBK.dtype, device=scores_TBK.device)
    labels = []
    # A GPU would have to be waited for to know whether there is padding, so assume it there.
    is_padded = lengths_B.device.type != "cpu" or bool((lengths_B < T).any())
    for t in interruptible_pieces(reversed(range(T))):
        after_BK = after_B.unsqueeze(1) + before_YK[next_B]
        found_B, label_B = (best_TBK[t] + after_BK).max(1)
        after = (after_BK + scores_TBK[t]).gather(1, label_B.unsqueeze(1)).squeeze(1)
        if is_padded:
            is_word_B = t < lengths_B
            found_B = torch.where(is_word_B, found_B, score_B)
            after = torch.where(is_word_B, after, after_B)
            next_B = torch.where(is_word_B, label_B, next_B)
            label_B = torch.where(is_word_B, label_B, PADDING)
        else:
            next_B = label_B
        score_B, after_B = found_B, after
        labels.append(label_B)
    return torch.stack(labels[::-1]).unsqueeze(2), score_B.unsqueeze(1)


def _best_beginnings(scores_TBK: Tensor, chain: Chain | None) -> Tensor:
    """Return the score of the best labels up to each place that end in each label, (T, B, K)."""
    if chain is None:
        best_TB1 = scores_TBK.amax(2, keepdim=True).cumsum(0)
        return torch.cat([scores_TBK[:1], best_TB1[:-1] + scores_TBK[1:]])
    # [to, from]: a maximum over the last dimension is the fastest.
    into_KK = chain.transitions_KK.t().contiguous()
    # With thousands of labels all rows at once would need too much memory.
    rows = max(1, CELLS_AT_ONCE // into_KK.numel())
    best = [chain.start_K + scores_TBK[0]]
    for scores_BK in interruptible_pieces(scores_TBK[1:]):
        parts = [(best_bK.unsqueeze(1) + into_KK).amax(2) for best_bK in best[-1].split(rows)]
        best.append(torch.cat(parts) + scores_BK)
    return torch.stack(best)


def follow(steps: list[tuple[Tensor, Tensor]], path_Bn: Tensor) -> Tensor:
    """Collect the labels (T, B, n) of n paths along the pointers of a search.

    steps: (labels_Bn, pointers_Bn), the last step of the search first. A path is at place n of one
    step and at place pointers_Bn[:, n] of the next step in the list. path_Bn: the places of the
    wanted paths in the first step of the list.
    """
    labels = []
    for label_Bn, pointer_Bn in steps:
        labels.append(label_Bn.gather(1, path_Bn))
        path_Bn = pointer_Bn.gather(1, path_Bn)
    return torch.stack(labels)


def paths_first(labels_TBn: Tensor, score_Bn: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels (n, T, B) and scores (n, B) of a search; labels are -1 where there is no path:
    its score is -inf."""
    score_nB = score_Bn.t()
    is_none_n1B = torch.isneginf(score_nB).unsqueeze(1)
    return labels_TBn.permute(2, 0, 1).masked_fill(is_none_n1B, PADDING), score_nB


_Partition = Callable[[Tensor, Tensor], Tensor]  # scores_TBK, lengths_B to (B,)

# ---- The sum over some of a chain's label sequences: those that an automaton for each set accepts.
#
# Shapes: A sets, T time, N nodes of an automaton, D arcs into a node.


@dataclass(frozen=True)
class PathSets:
    """Sets of label sequences, each of one row.

    row_A: the row that each set belongs to. allowed_TAK: which labels may be at each place, bool,
    where any of them may follow each other. arcs_TAND2: otherwise the arcs of an automaton at each
    place: the node before and the label of each arc into node n; -1 in padding. It starts at node
    0, and a sequence ends with any arc of its row's last place. Each label sequence has one path.
    """

    row_A: Tensor
    allowed_TAK: Tensor | None = None
    arcs_TAND2: Tensor | None = None


def _log_sum_of_arcs(
    scores_TBK: Tensor, lengths_A: Tensor, chain: Chain, row_A: Tensor, arcs_TAND2: Tensor
) -> Tensor:
    """Return the logarithm of the sum of exp score over the label sequences of each set, (A,)."""
    row_A11 = row_A.view(-1, 1, 1)
    set_A11 = torch.arange(len(row_A), device=row_A.device).view(-1, 1, 1)
    before_TAND = arcs_TAND2[..., 0]
    node_TAND, label_TAND = arcs_TAND2.clamp(min=0).unbind(4)
    # The sum over the sequences that end with each arc.
    label_AND = label_TAND[0]
    total_AND = chain.start_K[label_AND] + scores_TBK[0, row_A11, label_AND]
    total_AND = total_AND.masked_fill(before_TAND[0] != 0, -torch.inf)
    for t in interruptible_pieces(range(1, len(arcs_TAND2))):
        # All arcs into the node before an arc precede it.
        last_ANDD = label_AND[set_A11, node_TAND[t]]
        after_ANDD = chain.transitions_KK[last_ANDD, label_TAND[t].unsqueeze(3)]
        into_AND = (total_AND[set_A11, node_TAND[t]] + after_ANDD).logsumexp(3)
        longer_AND = into_AND + scores_TBK[t, row_A11, label_TAND[t]]
        longer_AND = longer_AND.masked_fill(before_TAND[t] < 0, -torch.inf)
        is_word_A11 = (t < lengths_A).view(-1, 1, 1)
        total_AND = torch.where(is_word_A11, longer_AND, total_AND)
        label_AND = torch.where(is_word_A11, label_TAND[t], label_AND)
    return (total_AND + chain.end_K[label_AND]).flatten(1).logsumexp(1)


# ---- The heads themselves: a loss in training, and in use the best label sequences and the
# probabilities of labels.


class _LinearHead(nn.Module):
    """Base of all heads: a linear layer computes the scores of the labels."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, labels)

    def output_matrices(self) -> list[Tensor]:
        """Return the weights of the output layer, to be initialised."""
        return [self.output.weight]

    def _output_scores(self, features: Tensor) -> Tensor:
        """Compute the product in the type that autocast asks for; return it in fp32 or wider."""
        return widened(self.output(features))


class TaggingHead(_LinearHead):
    """Base of the heads that label words: a distribution over the label sequences of each row.

    Constraints choose among the sequences and don't change their probabilities: a log-probability
    always belongs to the distribution over all sequences, which training maximises. So the
    probabilities of the allowed ones may sum to less than one.
    """

    def loss(
        self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of -log p in nats over the labels that are known, and how many they are.
        Nothing waits for the device."""
        labels_TB = labels_TB.masked_fill(~is_word(len(labels_TB), lengths_B), PADDING)
        return self._nats(features_TBH, labels_TB, lengths_B), (labels_TB != PADDING).sum()

    @torch.no_grad()
    def predict(
        self,
        features_TBH: Tensor,
        lengths_B: Tensor,
        constraints: Constraints | None = None,
        nbest: int = 1,
    ) -> LabelPaths:
        """Find the `nbest` most probable label sequences of each row, and their log-probabilities.

        constraints: which labels may begin, end and follow each other. A row none of whose
        sequences is allowed is labelled without them.
        """
        paths = self._search(features_TBH, lengths_B, constraints, nbest)
        lost_B = torch.isneginf(paths.logprob_nB[0])
        if constraints is None or not lost_B.any():
            return paths
        free = self._search(features_TBH[:, lost_B], lengths_B[lost_B], None, nbest)
        paths.labels_nTB[:, :, lost_B] = free.labels_nTB
        paths.logprob_nB[:, lost_B] = free.logprob_nB
        return paths

    @torch.no_grad()
    def total_logprobs(
        self, features_TBH: Tensor, lengths_B: Tensor, all_sets: Iterable[PathSets]
    ) -> Tensor:
        """Return the log-probability of each set of label sequences, the sum over all of them. No
        constraints apply."""
        scores_TBK, chain, log_partition = self._chained(features_TBH, lengths_B)
        all_B = log_partition(scores_TBK, lengths_B)
        totals = []
        for sets in all_sets:
            row_A = sets.row_A.to(lengths_B.device)
            if sets.arcs_TAND2 is not None:
                arcs_TAND2 = sets.arcs_TAND2.to(row_A.device)
                total_A = _log_sum_of_arcs(scores_TBK, lengths_B[row_A], chain, row_A, arcs_TAND2)
            else:
                assert sets.allowed_TAK is not None
                is_other_TAK = ~sets.allowed_TAK.to(row_A.device)
                scores_TAK = scores_TBK[:, row_A].masked_fill(is_other_TAK, -torch.inf)
                total_A = log_partition(scores_TAK, lengths_B[row_A])
            totals.append((total_A - all_B[row_A]).clamp(max=0))
        return torch.cat(totals)

    @torch.no_grad()
    def label_probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the probability of each label at each place, (T, B, K), zeros in padding. No
        constraints apply."""
        p_TBK = self._probabilities(features_TBH, lengths_B)
        return p_TBK.masked_fill(~is_word(len(p_TBK), lengths_B).unsqueeze(2), 0)

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        raise NotImplementedError

    def _search(
        self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, nbest: int
    ) -> LabelPaths:
        raise NotImplementedError

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        raise NotImplementedError

    def _chained(self, features_TBH: Tensor, lengths_B: Tensor) -> tuple[Tensor, Chain, _Partition]:
        """Return the scores of the labels, (T, B, K), those of their chain, and the function that
        computes the logarithm of the sum of exp score over all label sequences."""
        raise NotImplementedError


class SoftmaxHead(TaggingHead):
    """Each label by itself, given the features of its word; the probability of a sequence is the
    product of its labels' probabilities. has_margin: it is trained by a margin between scores, so
    that probabilities follow from scores that were not trained for them."""

    def __init__(self, width: int, labels: int, has_margin: bool = False) -> None:
        super().__init__(width, labels)
        self.has_margin = has_margin

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        return _loss(self._output_scores(features_TBH), labels_TB, self.has_margin)

    def _search(
        self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, nbest: int
    ) -> LabelPaths:
        logprob_TBK = torch.log_softmax(self._output_scores(features_TBH), dim=2)
        # A maximum at each place gives the same as the search below, but faster.
        if constraints is None and nbest == 1:
            is_padding_TB = ~is_word(len(logprob_TBK), lengths_B)
            logprob_TB, labels_TB = logprob_TBK.max(dim=2)
            labels_TB = labels_TB.masked_fill(is_padding_TB, PADDING)
            logprob_TB = logprob_TB.masked_fill(is_padding_TB, 0)
            return LabelPaths(labels_TB.unsqueeze(0), logprob_TB.sum(0, keepdim=True))
        # Labels are independent but for constraints. Without any, a chain would have K^2 zeros, and
        # K may be thousands.
        chain = None
        if constraints is not None:
            free = Chain(*(logprob_TBK.new_zeros(mask.shape) for mask in constraints))
            chain = free.constrained(constraints)
        return LabelPaths(*nbest_paths(logprob_TBK, lengths_B, chain, nbest))

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        return torch.softmax(self._output_scores(features_TBH), dim=2)

    def _chained(self, features_TBH: Tensor, lengths_B: Tensor) -> tuple[Tensor, Chain, _Partition]:
        scores_TBK = self._output_scores(features_TBH)
        zeros_KK = scores_TBK.new_zeros(()).expand(2 * scores_TBK.shape[2:])  # no memory
        return scores_TBK, Chain(zeros_KK[0], zeros_KK[0], zeros_KK), _independent_partition


class CrfHead(TaggingHead):
    """A linear chain over the scores of the words' labels; its probabilities of labels are
    marginals."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__(width, labels)
        self.chain = LinearChain(labels)

    def scores(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the scores of the labels in the chain, (T, B, K)."""
        return self._output_scores(features_TBH)

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        scores_TBK = self.scores(features_TBH, lengths_B)
        return -self.chain.log_likelihood(scores_TBK, labels_TB, lengths_B).sum()

    def _search(
        self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, nbest: int
    ) -> LabelPaths:
        scores_TBK, chain, log_partition = self._chained(features_TBH, lengths_B)
        chain = chain.constrained(constraints)
        labels_nTB, score_nB = nbest_paths(scores_TBK, lengths_B, chain, nbest)
        return LabelPaths(labels_nTB, score_nB - log_partition(scores_TBK, lengths_B))

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        return self.chain.marginals(self.scores(features_TBH, lengths_B), lengths_B)

    def _chained(self, features_TBH: Tensor, lengths_B: Tensor) -> tuple[Tensor, Chain, _Partition]:
        scores_TBK = self.scores(features_TBH, lengths_B)
        return scores_TBK, self.chain.chain(scores_TBK.dtype), self.chain.log_partition


class MarkovHead(CrfHead):
    """Each label given its word and the label before it, which the softmax reads as one more input;
    training gives it the right one (McCallum, Freitag & Pereira 2000):

    p(y_t | x, y_t-1) = softmax(scores_t + transitions[y_t-1])

    A softmax divides by a sum that depends on the label before, so the logarithm of the sum is
    subtracted from that label's score. What results is a chain of log Z = 0, whose best sequences
    and marginals are found as those of a CRF.
    """

    def __init__(self, width: int, labels: int) -> None:
        super().__init__(width, labels)
        self.chain.end_K.requires_grad_(False)  # no softmax reads where a sentence ends

    def scores(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        scores_TBK = super().scores(features_TBH, lengths_B)
        return scores_TBK - self.chain.log_sums(scores_TBK, lengths_B)


class TextHead(_LinearHead):
    """Labels of whole texts: a softmax over K labels, or with `multi_label` K independent
    sigmoids."""

    def __init__(
        self, width: int, labels: int, multi_label: bool = False, has_margin: bool = False
    ) -> None:
        super().__init__(width, labels)
        self.multi_label, self.has_margin = multi_label, has_margin

    def loss(self, features_BH: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of -log p in nats, and the number of texts that have a known label.
        Nothing waits for the device.

        labels: (B,), -1 where a text has none that is known, which is left out (also (N, B), with
        features (N, B, H), of nodes); with `multi_label`
        (B, K), one where a text has the label and zero where not, and the sum is over all labels of
        all texts.
        """
        scores_BK = self._output_scores(features_BH)
        if self.multi_label:
            is_label_BK = labels.to(scores_BK.dtype)
            nats = F.binary_cross_entropy_with_logits(scores_BK, is_label_BK, reduction="sum")
            return nats, labels.new_full((), len(labels), dtype=torch.long)
        return _loss(scores_BK, labels, self.has_margin), (labels != PADDING).sum()

    @torch.no_grad()
    def label_probabilities(self, features_BH: Tensor) -> Tensor:
        """Return the probability of each label, (..., K) for features (..., H): they sum to one
        over the labels, or with `multi_label` each label's is independent."""
        scores_BK = self._output_scores(features_BH)
        return torch.sigmoid(scores_BK) if self.multi_label else torch.softmax(scores_BK, dim=-1)


def _independent_partition(scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
    is_padding_TB = ~is_word(len(scores_TBK), lengths_B)
    return scores_TBK.logsumexp(2).masked_fill(is_padding_TB, 0).sum(0)


def _loss(scores: Tensor, labels: Tensor, has_margin: bool) -> Tensor:
    """Return the sum of -log softmax(scores) at the labels that are known; scores (..., K), labels
    (...). With a margin, return the sum of max(0, 1 - the right label's score + the best other
    one's) (Collobert & Weston 2008; Crammer & Singer 2001)."""
    scores_NK, labels_N = scores.flatten(0, -2), labels.flatten()
    if not has_margin:
        return F.cross_entropy(scores_NK, labels_N, ignore_index=PADDING, reduction="sum")
    label_N1 = labels_N.clamp(min=0).unsqueeze(1)
    right_N = scores_NK.gather(1, label_N1).squeeze(1)
    best_other_N = scores_NK.scatter(1, label_N1, -torch.inf).amax(1)
    return F.relu(1 - right_N + best_other_N).masked_fill(labels_N == PADDING, 0).sum()


# ---- The linear-chain conditional random field (Lafferty, McCallum & Pereira 2001; with start and
# end scores, Lample et al. 2016, eq. 1):
#
# score(y) = start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t-1, y_t] + end[y_T],
#     log p(y) = score(y) - log Z
#
# with log Z the logarithm of the sum of exp score(y) over all K^T label sequences. All of it is
# computed in fp32, or in float64 where the scores have that type, also under autocast.


class LinearChain(nn.Module):
    """The scores of a chain of K labels; transitions_KK[i, j] is the score of j after i. They start
    at zero, where log p(y) equals that of independent softmaxes."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.start_K = nn.Parameter(torch.zeros(labels))
        self.end_K = nn.Parameter(torch.zeros(labels))
        self.transitions_KK = nn.Parameter(torch.zeros(labels, labels))

    def chain(self, dtype: torch.dtype = torch.float32) -> Chain:
        """Return the scores as a search needs them, in fp32 or a wider `dtype`."""
        dtype = torch.promote_types(dtype, self.start_K.dtype)
        return Chain(self.start_K.to(dtype), self.end_K.to(dtype), self.transitions_KK.to(dtype))

    def log_likelihood(self, scores_TBK: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """Return log p of each row's labels, in nats, shape (B,).

        A label of -1 before a row's end is unknown: the probability is then the sum over all labels
        at that place.
        """
        scores_TBK = widened(scores_TBK)
        is_unknown_TB = (labels_TB == PADDING) & is_word(len(labels_TB), lengths_B)
        # The shorter way where all labels are known. On a GPU looking would wait.
        if labels_TB.device.type == "cpu" and not is_unknown_TB.any():
            score_B = self.score(scores_TBK, labels_TB, lengths_B)
            return score_B - self.log_partition(scores_TBK, lengths_B)

        # The sum over the label sequences that fit, divided by the sum over all of them.
        labels_K = torch.arange(scores_TBK.shape[2], device=labels_TB.device)
        is_other_TBK = labels_K != labels_TB.unsqueeze(2)
        fitting_TBK = scores_TBK.masked_fill(is_other_TBK & ~is_unknown_TB.unsqueeze(2), -torch.inf)
        both_TBK = torch.cat([fitting_TBK, scores_TBK], dim=1)  # one pass over time for both sums
        fitting_B, all_B = self.log_partition(both_TBK, lengths_B.repeat(2)).chunk(2)
        return fitting_B - all_B

    def score(self, scores_TBK: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """Return score(y) of each row's labels, shape (B,). Entries of `labels_TB` beyond a row's
        end are not read."""
        scores_TBK = widened(scores_TBK)
        start_K, end_K, transitions_KK = self.chain(scores_TBK.dtype)
        labels_TB = labels_TB.clamp(min=0)
        is_word_TB = is_word(len(labels_TB), lengths_B)
        # Each label's score, and the score of its place after the label before.
        each_TB = scores_TBK.gather(2, labels_TB.unsqueeze(2)).squeeze(2)
        after_TB = transitions_KK[labels_TB[:-1], labels_TB[1:]]
        each_TB = each_TB + torch.cat([start_K[labels_TB[:1]], after_TB])
        last_1B = labels_TB.gather(0, (lengths_B - 1).clamp(min=0).unsqueeze(0))
        ended_B = end_K[last_1B[0]] * (lengths_B > 0)
        return each_TB.masked_fill(~is_word_TB, 0).sum(0) + ended_B

    def log_partition(self, scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
        """Return log Z of each row, in nats, shape (B,); 0 for a row of length 0.

        The forward recursion in the linear domain, each step's weights divided by their sum
        (Rabiner 1989, section V.A), so that a step is a matrix product. Exact while the transition
        scores lie within 80 nats of each other, and start and end scores within 80 nats of zero
        (700 in float64); training stays far from that. A score of -inf excludes a label at its
        place.
        """
        scores_TBK = widened(scores_TBK)
        start_K, end_K, transitions_KK = self.chain(scores_TBK.dtype)
        is_word_TB = is_word(len(scores_TBK), lengths_B)
        scores_TBK = scores_TBK.masked_fill(~is_word_TB.unsqueeze(2), 0)
        # Shift scores so that no exponential is above one.
        top_TB1, top = scores_TBK.detach().amax(2, keepdim=True), transitions_KK.detach().max()
        with without_autocast(scores_TBK):
            exp_TBK, exp_KK = (scores_TBK - top_TB1).exp(), (transitions_KK - top).exp()
            # The sums are constants to the gradient: any divisor of the weights comes back as its
            # logarithm.
            sums: list[Tensor] = []
            steps: list[Tensor] = []
            tiny = torch.finfo(exp_TBK.dtype).tiny
            # By an index, the gradient of each step would be as large as the gradient of all of
            # them.
            for exp_BK in interruptible_pieces(exp_TBK.unbind()):
                before_BK = steps[-1] @ exp_KK if steps else start_K.exp()
                weights_BK = before_BK * exp_BK
                sums.append(weights_BK.detach().sum(1, keepdim=True).clamp(min=tiny))
                steps.append(weights_BK / sums[-1])
            # Each row ends at its last word.
            last_1BK = (lengths_B - 1).clamp(min=0).view(1, -1, 1).expand(1, *steps[0].shape)
            last_BK = torch.stack(steps).gather(0, last_1BK)[0]
            ended_B = (last_BK * end_K.exp()).sum(1).log()

        # Add the logarithms of the subtracted and divided numbers.
        logs_TB = (torch.stack(sums).log() + top_TB1).squeeze(2)
        logs_TB = torch.cat([logs_TB[:1], logs_TB[1:] + top])
        return logs_TB.masked_fill(~is_word_TB, 0).sum(0) + ended_B * (lengths_B > 0)

    def log_sums(self, scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the logarithm of the sum of exp score over the labels after each label, (T, B, K),
        0 after a row's last one. That over the first labels is added at the first place. As exact
        as :meth:`log_partition`."""
        start_K, _, transitions_KK = self.chain(scores_TBK.dtype)
        top_TB1, top = scores_TBK.detach().amax(2, keepdim=True), transitions_KK.detach().max()
        with without_autocast(scores_TBK):
            exp_TBK, exp_KK = (scores_TBK - top_TB1).exp(), (transitions_KK - top).exp()
            after_TBK = (exp_TBK[1:] @ exp_KK.t()).log() + top_TB1[1:] + top
        has_next_TB1 = is_word(len(scores_TBK), lengths_B)[1:].unsqueeze(2)
        first_1B1 = (scores_TBK[:1] + start_K).logsumexp(2, keepdim=True)
        after_TBK = after_TBK.masked_fill(~has_next_TB1, 0)
        after_TBK = torch.cat([after_TBK, torch.zeros_like(scores_TBK[:1])])
        return torch.cat([after_TBK[:1] + first_1B1, after_TBK[1:]])

    def marginals(self, scores_TBK: Tensor, lengths_B: Tensor) -> Tensor:
        """Return p(y_t = k) of each place and label, shape (T, B, K), zeros in padding: the
        gradient of log Z with respect to the scores."""
        with torch.inference_mode(False), torch.enable_grad(), without_autocast(scores_TBK):
            scores_TBK = widened(scores_TBK).detach().clone().requires_grad_()
            total = self.log_partition(scores_TBK, lengths_B.clone()).sum()
            return torch.autograd.grad(total, scores_TBK)[0]
