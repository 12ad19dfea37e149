"""One vector of a whole text from those of its words, whatever stands in padding.

Shapes: T time, B rows, H width of the features. Every row has a word at least.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnlm.inference.layer_outputs import FEATURES, INPUT
from rnnlm.neural.recurrent_settings import RecurrentSettings
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.settings import RecurrentTaskSettings

Parts = Sequence[tuple[int, bool]]  # of each part of a layer its width, and whether the backward direction gives it


class Pooling(nn.Module):
    """`sentence_pooling` of the features of an :class:`rnnlm.tasks.encoders.encoder.Encoder`:

    last: of what the forward direction gives the vector at the last word, of what the backward one gives that at the first
    (with dense connections the words stand beside both, and the last one's vector is taken);
    mean, max, sum: over the words, number by number;
    attention: sum of a_t y_t with a = softmax over the words of q . y_t, q learned; zeros at the start, so that it begins as the mean.
    """

    def __init__(self, settings: RecurrentTaskSettings) -> None:
        super().__init__()
        self.kind, self.width = settings.sentence_pooling, settings.output_width
        self.ends = ends(settings)
        self.query = nn.Parameter(torch.zeros(self.width)) if self.kind == "attention" else None

    def forward(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        """The texts' vectors (B, H)."""
        is_word_TB1 = is_word(len(features_TBH), lengths_B).unsqueeze(2)
        if self.kind == "last":
            return self._last(features_TBH, lengths_B)
        if self.kind == "max":
            return features_TBH.masked_fill(~is_word_TB1, -torch.inf).amax(dim=0)
        if self.query is not None:
            score_TB1 = (features_TBH @ self.query).unsqueeze(2)
            weight_TB1 = score_TB1.masked_fill(~is_word_TB1, -torch.inf).softmax(dim=0)
            return (weight_TB1 * features_TBH).sum(dim=0)
        sum_BH = (features_TBH * is_word_TB1).sum(dim=0)
        return sum_BH / lengths_B.unsqueeze(1) if self.kind == "mean" else sum_BH

    def _last(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        at_1BH = (lengths_B - 1).view(1, -1, 1).expand(1, -1, features_TBH.shape[2])
        widths = [width for width, _ in self.ends]
        last, first = (end_BH.split(widths, dim=1) for end_BH in (features_TBH.gather(0, at_1BH)[0], features_TBH[0]))
        parts = [first[part] if is_backward else last[part] for part, (_, is_backward) in enumerate(self.ends)]
        return torch.cat(parts, dim=1)


def at_words(features_SBH: Tensor, first_TB: Tensor, last_TB: Tensor, lengths_B: Tensor, settings: RecurrentTaskSettings) -> Tensor:
    """Features (T, B, H) of words that have several tokens: of what the forward direction gives the vector at a word's last token, of what
    the backward one gives that at its first. Zeros in padding."""
    parts, start = [], 0
    for width, is_backward in ends(settings):
        at_TBH = (first_TB if is_backward else last_TB).unsqueeze(2).expand(-1, -1, width)
        parts.append(features_SBH[:, :, start : start + width].gather(0, at_TBH))
        start += width
    return torch.cat(parts, dim=2) * is_word(len(first_TB), lengths_B).unsqueeze(2)


def at_tokens(words_TBC: Tensor, first_TB: Tensor, lengths_B: Tensor, S: int) -> Tensor:
    """What is read of words (T, B, C) at each of their tokens, (S, B, C); first_TB: the place of each word's first token."""
    starts_SB = torch.zeros((S + 1, words_TBC.shape[1]), dtype=torch.int64, device=words_TBC.device)
    is_word_TB = is_word(len(first_TB), lengths_B)
    starts_SB.scatter_(0, first_TB.masked_fill(~is_word_TB, S), 1)
    number_SB = starts_SB[:S].cumsum(0) - 1
    return words_TBC.gather(0, number_SB.unsqueeze(2).expand(-1, -1, words_TBC.shape[2]))


def ends(settings: RecurrentSettings) -> list[tuple[int, bool]]:
    """(width, whether the backward direction gives it) of each part of the features, in their order."""
    directions = [False, True][: settings.directions]
    if settings.connections == "dense":
        return [(settings.input_width, False), *((width, each) for width in settings.widths for each in directions)]
    return [(settings.widths[-1], each) for each in directions]


def parts_of(settings: RecurrentSettings) -> dict[str, Parts]:
    """The parts of each layer of a recurrent encoder, the lowest first."""
    found: dict[str, Parts] = {INPUT: [(settings.input_width, False)]}
    for number, width in enumerate(settings.widths, start=1):
        found[str(number)] = [(width, each) for each in (False, True)[: settings.directions]]
    return found | {FEATURES: ends(settings)}
