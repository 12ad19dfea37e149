"""What reads the features of an encoder and gives labels: heads for words (softmax, CRF, label feedback) and for texts.

Shapes: T time, B rows, H width of the features, K labels, n label sequences of a row. Labels are -1 in padding and where training never
saw the label. Losses and probabilities are in fp32 or wider, whatever type the features have.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.errors import UsageError
from rnnlm.interface import PADDING
from rnnlm.neural.layers.layer import Layer
from rnnlm.tasks.outputs.label_feedback import LabelFeedback
from rnnlm.tasks.outputs.linear_chain import LinearChain
from rnnlm.tasks.outputs.paths import Constraints, Paths, constraint_chain, nbest_paths, widened
from rnnlm.tasks.padding import is_word


class TaggingHead(nn.Module):
    """Base of the heads that label words: a distribution over the label sequences of each row.

    Constraints choose among the sequences and don't change their probabilities: a log-probability is always that of the distribution over
    all sequences, which training maximises. So the probabilities of the allowed ones may sum to less than one.
    """

    def loss(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of -log p in nats, and the number of labels it is about: those that are known. Waits for no device."""
        labels_TB = labels_TB.masked_fill(~is_word(len(labels_TB), lengths_B), PADDING)
        return self._nats(features_TBH, labels_TB, lengths_B), (labels_TB != PADDING).sum()

    @torch.no_grad()
    def predict(
        self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None = None, beam: int = 1, nbest: int = 1
    ) -> Paths:
        """The `nbest` most probable label sequences of each row, and their log-probabilities.

        constraints: which labels may begin, end and follow each other. A row none of whose sequences is allowed is labelled without them.
        beam: hypotheses kept a row with label feedback; softmax and CRF search exactly.

        Raises:
            UsageError: with label feedback, `nbest` is above `beam`.
        """
        paths = self._search(features_TBH, lengths_B, constraints, beam, nbest)
        lost_B = torch.isneginf(paths.logprob_nB[0])
        if constraints is None or not lost_B.any():
            return paths
        free = self._search(features_TBH[:, lost_B], lengths_B[lost_B], None, beam, nbest)
        paths.labels_nTB[:, :, lost_B], paths.logprob_nB[:, lost_B] = free.labels_nTB, free.logprob_nB
        return paths

    @torch.no_grad()
    def label_probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        """The probability of each label at each place, (T, B, K), zeros in padding. No constraints apply."""
        p_TBK = self._probabilities(features_TBH, lengths_B)
        return p_TBK.masked_fill(~is_word(len(p_TBK), lengths_B).unsqueeze(2), 0)

    def hidden_matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them) of recurrent layers, to be initialised."""
        return iter(())

    def output_matrices(self) -> list[Tensor]:
        """The weights of output layers, to be initialised."""
        raise NotImplementedError

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        raise NotImplementedError

    def _search(self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, beam: int, nbest: int) -> Paths:
        raise NotImplementedError

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        raise NotImplementedError


class SoftmaxHead(TaggingHead):
    """Each label by itself, given the features of its word; the probability of a sequence is the product of those of its labels."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, labels)

    def output_matrices(self) -> list[Tensor]:
        return [self.output.weight]

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        return _cross_entropy(_scores(self.output, features_TBH), labels_TB)

    def _search(self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, beam: int, nbest: int) -> Paths:
        logprob_TBK = torch.log_softmax(_scores(self.output, features_TBH), dim=2)
        if constraints is None and nbest == 1:  # what the search below finds, too
            is_padding_TB = ~is_word(len(logprob_TBK), lengths_B)
            logprob_TB, labels_TB = logprob_TBK.max(dim=2)
            labels_TB, logprob_TB = labels_TB.masked_fill(is_padding_TB, PADDING), logprob_TB.masked_fill(is_padding_TB, 0)
            return Paths(labels_TB.unsqueeze(0), logprob_TB.sum(0, keepdim=True))
        return Paths(*nbest_paths(logprob_TBK, lengths_B, constraint_chain(constraints, logprob_TBK), nbest))

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        return torch.softmax(_scores(self.output, features_TBH), dim=2)


class CrfHead(TaggingHead):
    """A linear chain over the scores of the words' labels; its probabilities of labels are marginals."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, labels)
        self.chain = LinearChain(labels)

    def output_matrices(self) -> list[Tensor]:
        return [self.output.weight]

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        return -self.chain.log_likelihood(_scores(self.output, features_TBH), labels_TB, lengths_B).sum()

    def _search(self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, beam: int, nbest: int) -> Paths:
        scores_TBK = _scores(self.output, features_TBH)
        chain = self.chain.chain(scores_TBK.dtype).constrained(constraints)
        labels_nTB, score_nB = nbest_paths(scores_TBK, lengths_B, chain, nbest)
        return Paths(labels_nTB, score_nB - self.chain.log_partition(scores_TBK, lengths_B))

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        return self.chain.marginals(_scores(self.output, features_TBH), lengths_B)


class FeedbackHead(TaggingHead):
    """Each label given all labels before it; its probabilities of labels are those after the labels that a greedy search chose."""

    def __init__(self, layer: Layer, labels: int, label_size: int) -> None:
        super().__init__()
        self.feedback = LabelFeedback(layer, labels, label_size)

    def hidden_matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return self.feedback.layer.matrices()

    def output_matrices(self) -> list[Tensor]:
        return [self.feedback.output.weight]

    def _nats(self, features_TBH: Tensor, labels_TB: Tensor, lengths_B: Tensor) -> Tensor:
        return _cross_entropy(self.feedback(features_TBH, labels_TB), labels_TB)

    def _search(self, features_TBH: Tensor, lengths_B: Tensor, constraints: Constraints | None, beam: int, nbest: int) -> Paths:
        if nbest > beam:
            why = f"with label feedback the search keeps {beam} label sequence{'s' * (beam > 1)}"
            raise UsageError(f"the {nbest} best label sequences are not available", why, f"set the beam to {nbest} or more")
        return self.feedback.search(features_TBH, lengths_B, constraints, beam, nbest)

    def _probabilities(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        labels_TB = self._search(features_TBH, lengths_B, None, 1, 1).labels_nTB[0]
        return torch.softmax(self.feedback(features_TBH, labels_TB), dim=2)


class TextHead(nn.Module):
    """Labels of whole texts: a softmax over K labels, or with `multi_label` K independent sigmoids."""

    def __init__(self, width: int, labels: int, multi_label: bool = False) -> None:
        super().__init__()
        self.output = nn.Linear(width, labels)
        self.multi_label = multi_label

    def loss(self, features_BH: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of -log p in nats, and the number of texts it is about. Waits for no device.

        labels: (B,), -1 where a text has none that is known, which is left out; with `multi_label` (B, K), one where a text has the label
        and zero where not, and the sum is over all labels of all texts.
        """
        scores_BK = _scores(self.output, features_BH)
        if self.multi_label:
            nats = F.binary_cross_entropy_with_logits(scores_BK, labels.to(scores_BK.dtype), reduction="sum")
            return nats, labels.new_full((), len(labels), dtype=torch.long)
        return _cross_entropy(scores_BK, labels), (labels != PADDING).sum()

    @torch.no_grad()
    def label_probabilities(self, features_BH: Tensor) -> Tensor:
        """(B, K): they sum to one over the labels, or with `multi_label` are each label's own."""
        scores_BK = _scores(self.output, features_BH)
        return torch.sigmoid(scores_BK) if self.multi_label else torch.softmax(scores_BK, dim=1)

    def output_matrices(self) -> list[Tensor]:
        """The weights of the output layer, to be initialised."""
        return [self.output.weight]


def _scores(output: nn.Linear, features: Tensor) -> Tensor:
    """The product in the type that autocast asks for, the scores in fp32 or wider."""
    return widened(output(features))


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """The sum of -log softmax(scores) at the labels that are known; scores (..., K), labels (...)."""
    return F.cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=PADDING, reduction="sum")
