"""From the words of a text to one vector of it without recurrence: as a bag of words, or by filters over the words.

Each is made of settings and a tokenizer, and gives features (B, H), H = `width`, of inputs (T, B) and lengths (B), at least 1. Shapes:
E width of what is read for each word, P places of a filter, F filters.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import Tokenizer
from rnnlm.neural.regularization import dropout
from rnnlm.tasks.encoder import Reader, words_of
from rnnlm.tasks.settings import BagClassifier, CnnClassifier, TaskSettings


class BagOfWords(Reader):
    """The mean of the words' vectors, then `layers` of y = f(W x + b), with dropout between them (the deep averaging network of Iyyer
    et al. 2015)."""

    def __init__(self, settings: BagClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.activation = {"tanh": torch.tanh, "relu": torch.relu}[settings.activation]
        self.dropout_between = settings.dropout_between
        widths = [settings.input_width] + settings.layers * [settings.hidden_size]
        self.layers = nn.ModuleList(nn.Linear(below, width) for below, width in itertools.pairwise(widths))

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """Features (B, H) after dropout."""
        is_word_TB = words_of(len(inputs_TB), lengths_B)
        y_BH = (self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)).sum(dim=0) / lengths_B.unsqueeze(1)
        for number, layer in enumerate(self.layers):
            y_BH = self.activation(layer(dropout(y_BH, self.dropout_between if number else 0.0, self.training)))
        return self.drop(y_BH)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((layer.weight, "input", 1) for layer in self.layers)  # type: ignore[misc]  # those of a list of linear layers

    def levels(self) -> list[list[nn.Module]]:
        return [[layer] for layer in self.layers]


class WordFilters(Reader):
    """Filters of w words, each at its best place (Kim 2014, eq. 2 and 3):

        f_p = relu(W [x_p; ...; x_(p+w-1)] + b),  y = max over p of f_p

    As in Kim's program zeros stand before and after the text, w - 1 on either side, so that a text may be shorter than a filter.
    """

    def __init__(self, settings: CnnClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        width, count = settings.input_width, settings.hidden_size
        self.filters = nn.ModuleDict({str(w): nn.Linear(w * width, count) for w in settings.words_read})

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """Features (B, H) after dropout."""
        is_word_TB = words_of(len(inputs_TB), lengths_B)
        x_TBE = self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)
        y_BH = torch.cat([_best(int(w), linear, x_TBE, lengths_B) for w, linear in self.filters.items()], dim=1)
        return self.drop(torch.relu(y_BH))

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((linear.weight, "input", 1) for linear in self.filters.values())  # type: ignore[misc]

    def levels(self) -> list[list[nn.Module]]:
        return [[self.filters]]


def _best(w: int, linear: nn.Module, x_TBE: Tensor, lengths_B: Tensor) -> Tensor:
    """The largest product (B, F) of each filter of width `w`; the ReLU, which never falls, may follow."""
    padded_SBE = F.pad(x_TBE, (0, 0, 0, 0, w - 1, w - 1))
    places = len(x_TBE) + w - 1
    windows_PBX = torch.cat([padded_SBE[start : start + places] for start in range(w)], dim=2)
    y_PBF = linear(windows_PBX)
    has_words_PB = words_of(places, lengths_B + w - 1)
    best_BF: Tensor = y_PBF.masked_fill(~has_words_PB.unsqueeze(2), -torch.inf).amax(dim=0)
    return best_BF


def make_text_encoder(settings: TaskSettings, tokenizer: Tokenizer) -> BagOfWords | WordFilters:
    """What reads texts for `bag` or `cnn`, with weights that :func:`rnnlm.neural.initialisation.start_weights` is to fill."""
    if isinstance(settings, BagClassifier):
        return BagOfWords(settings, tokenizer)
    assert isinstance(settings, CnnClassifier)
    return WordFilters(settings, tokenizer)
