"""From the words of a text to one vector of it without recurrence: as a bag of words, or by filters over the words.

Each is made of settings and a tokenizer, and gives features (B, H), H = `width`, of inputs (T, B) and lengths (B), at least 1. Shapes:
E width of what is read for each word, P places of a filter, F filters.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import Tokenizer
from rnnlm.neural.regularization import dropout
from rnnlm.tasks.encoders.encoder import Reader
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.settings import BagClassifier, CnnClassifier, TaskSettings


class BagOfWords(Reader):
    """The mean of the words' vectors, then `layers` of y = f(W x + b), with dropout between them (the deep averaging network of Iyyer
    et al. 2015)."""

    def __init__(self, settings: BagClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.activation = {"tanh": torch.tanh, "relu": torch.relu}[settings.activation]
        self.dropout_between = settings.dropout_between
        widths = [settings.input_width] + settings.layers * [settings.hidden_size]
        linears = [nn.Linear(below, width) for below, width in itertools.pairwise(widths)]
        self.layers: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]  # a list of modules does not say of which

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """Features (B, H) after dropout."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        y_BH = (self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)).sum(dim=0) / lengths_B.unsqueeze(1)
        for number, layer in enumerate(self.layers):
            y_BH = self.activation(layer(dropout(y_BH, self.dropout_between if number else 0.0, self.training)))
        return self.drop(y_BH)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((layer.weight, "input", 1) for layer in self.layers)

    def levels(self) -> list[list[nn.Module]]:
        return [[layer] for layer in self.layers]


class WordFilters(Reader):
    """Filters of w words, each at its best place (Kim 2014, eq. 2 and 3):

        f_p = relu(W [x_p; ...; x_(p+w-1)] + b),  y = max over p of f_p

    Zeros stand before and after the text, w - 1 on either side (a wide convolution, Kalchbrenner et al. 2014), so that a text may be
    shorter than a filter.
    """

    def __init__(self, settings: CnnClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.widths = settings.words_read
        linears = [nn.Linear(w * settings.input_width, settings.hidden_size) for w in self.widths]
        self.filters: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]  # a list of modules does not say of which

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None) -> Tensor:
        """Features (B, H) after dropout."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        x_BET = (self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)).permute(1, 2, 0)
        y_BH = torch.cat([_best(w, linear, x_BET, lengths_B) for w, linear in zip(self.widths, self.filters, strict=True)], dim=1)
        return self.drop(torch.relu(y_BH))

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((linear.weight, "input", 1) for linear in self.filters)

    def levels(self) -> list[list[nn.Module]]:
        return [list(self.filters)]


def _best(w: int, linear: nn.Linear, x_BET: Tensor, lengths_B: Tensor) -> Tensor:
    """The largest product (B, F) of each filter of width `w`; the ReLU, which never falls, may follow."""
    weight_FEw = linear.weight.unflatten(1, (w, -1)).transpose(1, 2)
    y_BFP = F.conv1d(x_BET, weight_FEw, linear.bias, padding=w - 1)
    has_words_BP = is_word(y_BFP.shape[2], lengths_B + w - 1).t()
    return y_BFP.masked_fill(~has_words_BP.unsqueeze(1), -torch.inf).amax(dim=2)


def make_text_encoder(settings: TaskSettings, tokenizer: Tokenizer) -> BagOfWords | WordFilters:
    """What reads texts for `bag` or `cnn`, with weights that :func:`rnnlm.neural.initialisation.start_weights` is to fill."""
    if isinstance(settings, BagClassifier):
        return BagOfWords(settings, tokenizer)
    assert isinstance(settings, CnnClassifier)
    return WordFilters(settings, tokenizer)
