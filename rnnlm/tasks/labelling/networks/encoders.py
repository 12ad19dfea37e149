"""Encode words as features: word input, dropout, recurrent layers that read each text from both
ends, dropout.

Shapes: T time, B rows, E width of the input for each word, H of the features. Time comes first, as
the recurrent kernels want it. A row is a text, followed by padding; the outputs of a row are the
same alone and beside any others.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.events import pieces
from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.layers.batch_norm import BatchNorm
from rnnlm.lm.neural.layers.layers import dropout, reader_of_rows, rows_of
from rnnlm.lm.neural.trained_network import ends
from rnnlm.lm.neural.words import SomeUnknown, WordInput
from rnnlm.tasks.common.batches import is_word, on_device
from rnnlm.tasks.labelling.settings import (
    BagClassifier,
    CnnClassifier,
    RecurrentTaskSettings,
    RecursiveClassifier,
    TaskSettings,
)
from rnnlm.tasks.labelling.trees import plan


class Reader(nn.Module):
    """The base of all networks of tasks: the words' vectors, and features of `width` with dropout
    before an output layer."""

    def __init__(self, settings: TaskSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.settings, self.width = settings, settings.output_width
        self.padding_id = tokenizer.boundary_id
        self.input = WordInput(settings, tokenizer)
        self.forms: LowerCasedForms | None = None
        if settings.lowercase_vectors and settings.characters:
            self.forms = LowerCasedForms(tokenizer)
        self.some_unknown = SomeUnknown(settings.unknown_words, tokenizer)

    def vectors(
        self, inputs_TB: Tensor, is_word_TB: Tensor, context_TBC: Tensor | None = None
    ) -> Tensor:
        """Return the vectors of words, (T, B, E), after dropout; further inputs beside the words
        come last. The ids of padding, which may be any, are read as `</s>`."""
        inputs_TB = inputs_TB.masked_fill(~is_word_TB, self.padding_id)
        vector_ids_TB = (self.forms or self.input.known)(inputs_TB)
        x_TBE = self.input(inputs_TB, self.some_unknown(vector_ids_TB))
        if context_TBC is not None:
            x_TBE = torch.cat([x_TBE, context_TBC.to(x_TBE.dtype)], dim=2)
        return dropout(
            x_TBE, self.settings.dropout_input, self.training, self.settings.locked_dropout
        )

    def drop(self, features: Tensor) -> Tensor:
        """Apply `dropout_output` to features of words (T, B, H) or texts (B, H)."""
        is_locked = self.settings.locked_dropout and features.dim() == 3
        return dropout(features, self.settings.dropout_output, self.training, is_locked)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield (weights, their operand, blocks stacked in them), to be initialised, without the
        word vectors and the output layer."""
        raise NotImplementedError

    def levels(self) -> list[list[nn.Module]]:
        """Return the layers above the words, the lowest first, each with all that belongs to it."""
        raise NotImplementedError


class WordEncoder(Reader):
    """A text's words as features, one vector a word: [forward; backward] of the highest layer. With
    dense connections the word's vector and both directions of each layer come before them, the
    lowest first."""

    def __init__(self, settings: RecurrentTaskSettings, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.reads_boundary = settings.reads_boundary
        self.body = reader_of_rows(settings)

    def forward(self, inputs_TB: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the features (T, B, H) of the words `inputs_TB`, the first `lengths_B` of each
        row, after dropout; zeros in padding."""
        return self.drop(self.read(inputs_TB, lengths_B))

    def read(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None
    ) -> Tensor:
        """Return the features before dropout."""
        x_SBE = self.read_vectors(inputs_TB, lengths_B, context_TBC)
        y_SBH, _ = self.body.read(x_SBE, lengths_B + len(x_SBE) - len(inputs_TB))
        return self._at_words(y_SBH, len(inputs_TB), lengths_B)

    def layers(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None
    ) -> list[Tensor]:
        """Return the input vectors of each word, the outputs of each layer, [forward; backward],
        the lowest first, and the features."""
        x_SBE = self.read_vectors(inputs_TB, lengths_B, context_TBC)
        y_SBH, layers = self.body.read(x_SBE, lengths_B + len(x_SBE) - len(inputs_TB))
        return [
            self._at_words(output, len(inputs_TB), lengths_B) for output in (x_SBE, *layers, y_SBH)
        ]

    def read_vectors(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None
    ) -> Tensor:
        """Return the input of the layers: a vector for each word and, where they read it, for
        `</s>` at either end."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        if not self.reads_boundary:
            return self.vectors(inputs_TB, is_word_TB, context_TBC)
        words_TB = inputs_TB.masked_fill(~is_word_TB, self.padding_id)
        around_SB = F.pad(words_TB, (0, 0, 1, 1), value=self.padding_id)
        beside_SBC = None if context_TBC is None else F.pad(context_TBC, (0, 0, 0, 0, 1, 1))
        return self.vectors(around_SB, is_word(len(around_SB), lengths_B + 2), beside_SBC)

    def _at_words(self, y_SBH: Tensor, T: int, lengths_B: Tensor) -> Tensor:
        """Return the outputs at words alone, zeros in padding. Each direction begins with one
        `</s>`; the other one is dropped."""
        y_TBH = y_SBH[1:-1] if self.reads_boundary else y_SBH
        return y_TBH * is_word(T, lengths_B).unsqueeze(2)

    def levels(self) -> list[list[nn.Module]]:
        levels: list[list[nn.Module]] = [[layer for _, layer in row] for row in rows_of(self.body)]
        for level, highway in zip(levels[1:], self.body.highways, strict=False):
            level.append(highway)
        return levels

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return self.body.matrices()


# ---- The vector of a word: the vector of its lower-cased form, however it is written.


class LowerCasedForms(nn.Module):
    """Map ids of words to ids of their forms: of all words of the vocabulary that are the same in
    lower case, the most frequent one; also of a word that the vocabulary lacks, where the tokenizer
    spells. Specials stay.

    The table is not a weight, and is not stored. It grows with the tokenizer's unseen words, like
    the table of their characters (:class:`rnnlm.lm.neural.words.SpelledWords`).
    """

    form_V: Tensor

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.specials = {tokenizer.boundary_id, tokenizer.unk_id}
        self.form_of: dict[str, int] = {}
        for id, word in enumerate(tokenizer.symbols()):  # the most frequent come first
            if id not in self.specials:
                self.form_of.setdefault(word.lower(), id)
        # Networks are made without memory, to be filled; this array is not among those that are.
        form_V = torch.from_numpy(np.zeros(0, dtype=np.int64))
        self.register_buffer("form_V", form_V, persistent=False)
        self.times_forgotten = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Return the ids of the forms, all below V; `<unk>` where no word of the vocabulary is the
        same in lower case."""
        return self._grown()[ids]

    def _grown(self) -> Tensor:
        """Return the table with a place for each word that has an id now."""
        # Once the tokenizer has forgotten its unseen words, their ids belong to others.
        times_forgotten = getattr(self.tokenizer, "times_forgotten", 0)
        if self.times_forgotten != times_forgotten:
            self.form_V = self.form_V[: self.tokenizer.size].clone()
            self.times_forgotten = times_forgotten

        known = len(self.form_V)
        if known >= self.tokenizer.input_size:
            return self.form_V
        unknown = self.tokenizer.unk_id
        if unknown is None:
            unknown = self.tokenizer.boundary_id
        spellings = enumerate(self.tokenizer.spellings(known), start=known)
        new = [
            id if id in self.specials else self.form_of.get(word.lower(), unknown)
            for id, word in spellings
        ]
        new_V = torch.from_numpy(np.array(new, dtype=np.int64))
        self.form_V = torch.cat([self.form_V, new_V.to(self.form_V.device, non_blocking=True)])
        return self.form_V


# ---- One vector of a whole text from the vectors of its words, regardless of padding.
#
# Shapes: T time, B rows, H width of the features. Every row has a word at least.


class Pooling(nn.Module):
    """`sentence_pooling` of the features of an
    :class:`rnnlm.tasks.labelling.networks.encoders.WordEncoder`:

    last: the forward direction's vector at the last word, and the backward one's at the first (with
    dense connections also the last word's vector itself); mean, max, sum: over the words, number by
    number; attention: sum of a_t y_t with a = softmax over the words of q . y_t. q is learned, and
    zeros at the start, so that it begins as the mean.
    """

    def __init__(self, settings: RecurrentTaskSettings) -> None:
        super().__init__()
        self.kind, self.width = settings.sentence_pooling, settings.output_width
        self.ends = ends(settings)
        self.query = nn.Parameter(torch.zeros(self.width)) if self.kind == "attention" else None

    def forward(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the texts' vectors (B, H)."""
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
        last = features_TBH.gather(0, at_1BH)[0].split(widths, dim=1)
        first = features_TBH[0].split(widths, dim=1)
        parts = [
            (first if is_backward else last)[number]
            for number, (_, is_backward) in enumerate(self.ends)
        ]
        return torch.cat(parts, dim=1)


def at_words(
    features_SBH: Tensor,
    first_TB: Tensor,
    last_TB: Tensor,
    lengths_B: Tensor,
    settings: RecurrentTaskSettings,
) -> Tensor:
    """Return the features (T, B, H) of words that have several tokens: the forward direction's at a
    word's last token, the backward one's at its first. Zeros in padding."""
    parts, start = [], 0
    for width, is_backward in ends(settings):
        at_TBH = (first_TB if is_backward else last_TB).unsqueeze(2).expand(-1, -1, width)
        parts.append(features_SBH[:, :, start : start + width].gather(0, at_TBH))
        start += width
    return torch.cat(parts, dim=2) * is_word(len(first_TB), lengths_B).unsqueeze(2)


def at_tokens(words_TBC: Tensor, first_TB: Tensor, lengths_B: Tensor, S: int) -> Tensor:
    """Repeat the vectors of words (T, B, C) at each of their tokens, (S, B, C). first_TB: the place
    of each word's first token."""
    # The number of words begun so far is the word that a token belongs to.
    starts_SB = torch.zeros((S + 1, words_TBC.shape[1]), dtype=torch.int64, device=words_TBC.device)
    is_word_TB = is_word(len(first_TB), lengths_B)
    starts_SB.scatter_(0, first_TB.masked_fill(~is_word_TB, S), 1)
    number_SB = starts_SB[:S].cumsum(0) - 1
    return words_TBC.gather(0, number_SB.unsqueeze(2).expand(-1, -1, words_TBC.shape[2]))


# ---- From the words of a text to one vector of it without recurrence: as a bag of words, by
# filters over the words, or over a tree.
#
# Each makes features (B, H), H = `width`, of inputs (T, B) and lengths (B), at least 1. Shapes: E
# width of what is read for each word, P places of a filter, F filters.


class BagOfWords(Reader):
    """The mean of the words' vectors, then `layers` of y = f(W x + b), with dropout between them
    (the deep averaging network of Iyyer et al. 2015)."""

    def __init__(self, settings: BagClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.activation = {"tanh": torch.tanh, "relu": torch.relu}[settings.activation]
        self.dropout_between = settings.dropout_between
        widths = [settings.input_width] + settings.layers * [settings.hidden_size]
        linears = [nn.Linear(below, width) for below, width in itertools.pairwise(widths)]
        # nn.ModuleList does not give the type of its modules.
        self.layers: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]
        self.norms = nn.ModuleList(
            BatchNorm(width) if settings.batch_norm else nn.Identity() for width in widths[1:]
        )

    def forward(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None
    ) -> Tensor:
        """Return the features (B, H) after dropout."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        x_TBE = self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)
        y_BH = x_TBE.sum(dim=0) / lengths_B.unsqueeze(1)
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            rate = self.dropout_between if number else 0.0
            y_BH = self.activation(norm(layer(dropout(y_BH, rate, self.training))))
        return self.drop(y_BH)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((layer.weight, "input", 1) for layer in self.layers)

    def levels(self) -> list[list[nn.Module]]:
        return [[layer, norm] for layer, norm in zip(self.layers, self.norms, strict=True)]


class WordFilters(Reader):
    """Filters of w words, each at its best place (Kim 2014, eq. 2 and 3):

        f_p = relu(W [x_p; ...; x_(p+w-1)] + b),  y = max over p of f_p

    The text is padded with w - 1 zeros on either side (a wide convolution, Kalchbrenner et al.
    2014), so that it may be shorter than a filter.
    """

    def __init__(self, settings: CnnClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.widths = settings.words_read
        linears = [nn.Linear(w * settings.input_width, settings.hidden_size) for w in self.widths]
        # nn.ModuleList does not give the type of its modules.
        self.filters: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]
        self.norm = BatchNorm(self.width) if settings.batch_norm else nn.Identity()

    def forward(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None = None
    ) -> Tensor:
        """Return the features (B, H) after dropout."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        x_TBE = self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)
        x_BET = x_TBE.permute(1, 2, 0)
        filters = zip(self.widths, self.filters, strict=True)
        best = [_best(w, linear, x_BET, lengths_B) for w, linear in filters]
        return self.drop(torch.relu(self.norm(torch.cat(best, dim=1))))

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        return ((linear.weight, "input", 1) for linear in self.filters)

    def levels(self) -> list[list[nn.Module]]:
        return [[*self.filters, self.norm]]


def _best(w: int, linear: nn.Linear, x_BET: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the largest product (B, F) of each filter of width `w`; the ReLU, which never falls,
    may follow."""
    weight_FEw = linear.weight.unflatten(1, (w, -1)).transpose(1, 2)
    y_BFP = F.conv1d(x_BET, weight_FEw, linear.bias, padding=w - 1)
    has_words_BP = is_word(y_BFP.shape[2], lengths_B + w - 1).t()
    return y_BFP.masked_fill(~has_words_BP.unsqueeze(1), -torch.inf).amax(dim=2)


# ---- The vectors of the nodes of a tree over the words (Socher et al. 2011; with a tensor, Socher
# et al. 2013, eq. 2):
#
#     v = tanh(W [a; b] + c),  v = tanh([a; b]' V [a; b] + W [a; b] + c)
#
# with a and b the vectors of a node's children, and of a leaf its word's vector. Shapes: T words
# and N = 2 T - 1 nodes of the longest text, C nodes of one height in all texts.


class TreeComposition(Reader):
    """Vectors of the nodes of trees, all nodes of one height at once. The tensor starts at zero, so
    that the network begins as the one with a matrix alone. Batches are normalised where they enter
    the recursion, at the leaves, as Laurent et al. (2016) do with recurrent layers."""

    def __init__(self, settings: RecursiveClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        width, read = settings.hidden_size, settings.input_width
        self.leaf = nn.Linear(read, width) if read != width else nn.Identity()
        self.compose = nn.Linear(2 * width, width)
        self.tensor: nn.Module = nn.Identity()
        if settings.composition == "tensor":
            self.tensor = nn.Linear(2 * width, 2 * width * width, bias=False)
            nn.init.zeros_(self.tensor.weight)
        self.norm = BatchNorm(width) if settings.batch_norm else nn.Identity()

    def forward(
        self,
        inputs_SB: Tensor,
        lengths_B: Tensor,
        context_SBC: Tensor | None,
        nodes_MB: Tensor,
        words: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor]:
        """Return the features of all nodes (N, B, H), and of roots (B, H), after dropout.

        nodes_MB: the trees, on the host. words: where words have several tokens, first_TB, last_TB
        and words_1B, as :func:`rnnlm.tasks.labelling.batches.batch_tensors` makes them; a word is
        then the mean of its tokens.
        """
        x_TBE = self.vectors(inputs_SB, is_word(len(inputs_SB), lengths_B), context_SBC)
        if words:
            x_TBE, lengths_B = _means(x_TBE, words[0], words[1]), words[2][0]
        words_C, heights, *others = plan(nodes_MB.numpy())
        word_C, child_X, node_X = (on_device(array, x_TBE.device) for array in (words_C, *others))

        # Each height takes what the lower ones gave it, and gives its own vectors to higher ones.
        given: list[list[Tensor]] = [[] for _ in range(len(heights) + 1)]
        vectors = [self.norm(self.leaf(x_TBE.flatten(0, 1).index_select(0, word_C)))]
        rows = child_X.split(
            [2 * sum(count for _, count in of_height) for of_height in heights[1:]]
        )
        for height, pieces_of_height in pieces(enumerate(heights)):
            if height:
                pairs_C2H = torch.cat(given[height]).index_select(0, rows[height - 1])
                vectors.append(self._composed(pairs_C2H.view(-1, 2 * self.width)))
            sizes = [count for _, count in pieces_of_height]
            for (parent, _), piece in zip(pieces_of_height, vectors[-1].split(sizes), strict=True):
                given[parent].append(piece)

        y_XH = torch.cat(vectors).index_select(0, node_X)
        y_NBH = self.drop(y_XH.view(-1, len(lengths_B), self.width))
        root_1BH = (2 * lengths_B - 2).view(1, -1, 1).expand(1, -1, y_NBH.shape[2])
        return y_NBH, y_NBH.gather(0, root_1BH)[0]

    def _composed(self, pairs_CX: Tensor) -> Tensor:
        """Return the vectors (C, H) of nodes from those of their children, [left; right]."""
        y_CH = self.compose(pairs_CX)
        if isinstance(self.tensor, nn.Linear):
            products_CHX = self.tensor(pairs_CX).unflatten(1, (self.width, -1))
            y_CH = y_CH + (products_CHX * pairs_CX.unsqueeze(1)).sum(dim=2)
        return torch.tanh(y_CH)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        linears = (self.leaf, self.compose)
        return ((linear.weight, "input", 1) for linear in linears if isinstance(linear, nn.Linear))

    def levels(self) -> list[list[nn.Module]]:
        return [[self.leaf, self.compose, self.tensor, self.norm]]


def _means(x_SBE: Tensor, first_TB: Tensor, last_TB: Tensor) -> Tensor:
    """Return the mean (T, B, E) of the tokens of each word, from its first to its last."""
    sums_SBE = F.pad(x_SBE.cumsum(dim=0), (0, 0, 0, 0, 1, 0))
    before, until = (
        sums_SBE.gather(0, place_TB.unsqueeze(2).expand(-1, -1, x_SBE.shape[2]))
        for place_TB in (first_TB, last_TB + 1)
    )
    return (until - before) / (last_TB - first_TB + 1).unsqueeze(2)


def make_text_encoder(
    settings: TaskSettings, tokenizer: Tokenizer
) -> BagOfWords | WordFilters | TreeComposition:
    """Make the network that reads texts for `bag`, `cnn` or `recursive`, with weights that
    :func:`rnnlm.lm.neural.initialisation.start_weights` fills."""
    if isinstance(settings, BagClassifier):
        return BagOfWords(settings, tokenizer)
    if isinstance(settings, RecursiveClassifier):
        return TreeComposition(settings, tokenizer)
    assert isinstance(settings, CnnClassifier)
    return WordFilters(settings, tokenizer)
