"""The network of a tagger or classifier: an encoder that reads the words, and on its features an
output layer (head) for each column of labels.

Shapes: S tokens and T words of the longest text, B rows, H width of the features, K labels of a
column.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.activations import BY_NAME, Activation
from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.lm.neural.layers.batch_norm import BatchNorm
from rnnlm.lm.neural.layers.layers import HIDDEN, LayeredNetwork, dropout, reader_of_rows, rows_of
from rnnlm.lm.neural.layers.steps import ACTIVATIONS
from rnnlm.lm.neural.settings import Activation as ActivationName
from rnnlm.lm.neural.trace import NamedLayer, trace_hidden, trace_stack
from rnnlm.lm.neural.trained_network import ends
from rnnlm.lm.neural.words import SomeUnknown, WordInput
from rnnlm.parallel import interruptible_pieces
from rnnlm.tasks.common.batches import is_word, on_device
from rnnlm.tasks.labelling.data import MULTI, WORD, Codec, LabelColumn
from rnnlm.tasks.labelling.networks.contextual import LayerMixture
from rnnlm.tasks.labelling.networks.heads import (
    CrfHead,
    MarkovHead,
    SoftmaxHead,
    TaggingHead,
    TextHead,
)
from rnnlm.tasks.labelling.settings import (
    BagClassifier,
    CnnClassifier,
    RecurrentTaskSettings,
    RecursiveClassifier,
    TaggingSettings,
    TaskSettings,
)
from rnnlm.tasks.labelling.trees import plan
from rnnlm.tasks.labelling.weights import check_loss

# ---- Encoders: word input, dropout, recurrent layers that read each text from both ends, dropout.
#
# Shapes: T time, B rows, E width of the input for each word, H of the features. Time comes first,
# as the recurrent kernels want it. A row is a text, followed by padding; the outputs of a row are
# the same alone and beside any others.


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

    # The activation of networks without recurrent layers
    activation: ActivationName

    def activations(self) -> dict[str, Activation]:
        """Return the activation of the hidden units, as layers do."""
        return {HIDDEN: BY_NAME[self.activation]}

    def hidden_layers(self, inputs: tuple[Tensor, ...], context_TBC: Tensor | None) -> list[Tensor]:
        """Return the values (P, B, H) of the layers of a network without recurrent ones, the lowest
        first, at each of P places. inputs: as for :meth:`TaskNetwork.forward`."""
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
    :class:`rnnlm.tasks.labelling.networks.network.WordEncoder`:

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
            at_1BH = (lengths_B - 1).view(1, -1, 1).expand(1, -1, features_TBH.shape[2])
            widths = [width for width, _ in self.ends]
            last = features_TBH.gather(0, at_1BH)[0].split(widths, dim=1)
            first = features_TBH[0].split(widths, dim=1)
            parts = [
                (first if is_backward else last)[number]
                for number, (_, is_backward) in enumerate(self.ends)
            ]
            return torch.cat(parts, dim=1)
        if self.kind == "max":
            return features_TBH.masked_fill(~is_word_TB1, -torch.inf).amax(dim=0)
        if self.query is not None:
            score_TB1 = (features_TBH @ self.query).unsqueeze(2)
            weight_TB1 = score_TB1.masked_fill(~is_word_TB1, -torch.inf).softmax(dim=0)
            return (weight_TB1 * features_TBH).sum(dim=0)
        sum_BH = (features_TBH * is_word_TB1).sum(dim=0)
        return sum_BH / lengths_B.unsqueeze(1) if self.kind == "mean" else sum_BH


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
        self.activation = settings.activation
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
        return self.drop(self._outputs(inputs_TB, lengths_B, context_TBC)[-1])

    def hidden_layers(self, inputs: tuple[Tensor, ...], context_TBC: Tensor | None) -> list[Tensor]:
        outputs = self._outputs(inputs[0], inputs[1][0], context_TBC)
        return [output_BH.unsqueeze(0) for output_BH in outputs[1:]]

    def _outputs(
        self, inputs_TB: Tensor, lengths_B: Tensor, context_TBC: Tensor | None
    ) -> list[Tensor]:
        """Return the mean of the words' vectors, and the output of each layer."""
        is_word_TB = is_word(len(inputs_TB), lengths_B)
        x_TBE = self.vectors(inputs_TB, is_word_TB, context_TBC) * is_word_TB.unsqueeze(2)
        outputs = [x_TBE.sum(dim=0) / lengths_B.unsqueeze(1)]
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            rate = self.dropout_between if number else 0.0
            a_BH = norm(layer(dropout(outputs[-1], rate, self.training)))
            outputs.append(ACTIVATIONS[self.activation](a_BH))
        return outputs

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

    activation = "relu"

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
        return self.drop(ACTIVATIONS[self.activation](self.norm(torch.cat(best, dim=1))))

    def hidden_layers(self, inputs: tuple[Tensor, ...], context_TBC: Tensor | None) -> list[Tensor]:
        return [self(inputs[0], inputs[1][0], context_TBC).unsqueeze(0)]

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
# with a and b the vectors of a node's children, and of a leaf v = W' x + c', x its word's vector
# (x itself where `leaf_map` asks for no map and the widths are equal). Shapes: T words and N = 2 T
# - 1 nodes of the longest text, C nodes of one height in all texts.


class TreeComposition(Reader):
    """Vectors of the nodes of trees, all nodes of one height at once. The tensor starts at zero, so
    that the network begins as the one with a matrix alone. Batches are normalised where they enter
    the recursion, at the leaves, as Laurent et al. (2016) do with recurrent layers."""

    activation = "tanh"

    def __init__(self, settings: RecursiveClassifier, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        width, read = settings.hidden_size, settings.input_width
        self.leaf: nn.Module = nn.Identity()
        if settings.maps_leaves:
            self.leaf = nn.Linear(read, width)
            nn.init.zeros_(self.leaf.bias)
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
        for height, pieces_of_height in interruptible_pieces(enumerate(heights)):
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
        return ACTIVATIONS[self.activation](y_CH)

    def hidden_layers(self, inputs: tuple[Tensor, ...], context_TBC: Tensor | None) -> list[Tensor]:
        y_NBH, _ = self(inputs[0], inputs[1][0], context_TBC, inputs[-1], inputs[2:-1])
        return [y_NBH[(len(y_NBH) + 1) // 2 :]]  # without the leaves, which come first

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


# ---- The whole network.


class Features(NamedTuple):
    """The features that output layers read, after dropout. words_TBH: of words, zeros in padding;
    None where no column has labels of words. text_BH: of texts; None where no column has labels of
    texts. lengths_B: words of each row. nodes_NBH: of the nodes of trees, the roots of which are
    text_BH, anything in padding; None where the network reads none."""

    words_TBH: Tensor | None
    text_BH: Tensor | None
    lengths_B: Tensor
    nodes_NBH: Tensor | None = None


class TaskNetwork(LayeredNetwork):
    """A network that labels words, texts, or both at once: the layers are shared, and each column
    has a head."""

    def __init__(self, settings: TaskSettings, codec: Codec) -> None:
        super().__init__()
        self.settings = settings
        self.has_word_labels = bool(codec.word_columns)
        self.has_text_labels = bool(codec.text_columns)
        # Modules without recurrence have one vector of a text anyway.
        self.encoder: WordEncoder | BagOfWords | WordFilters | TreeComposition
        self.pooling: Pooling | None = None
        if isinstance(settings, RecurrentTaskSettings):
            self.encoder = WordEncoder(settings, codec.tokenizer)
            if self.has_text_labels:
                self.pooling = Pooling(settings)
        else:
            self.encoder = make_text_encoder(settings, codec.tokenizer)
        self.heads = nn.ModuleList(_head(settings, column) for column in codec.columns)
        self.context = LayerMixture(settings) if settings.context_models else None

    def forward(self, inputs: tuple[Tensor, ...]) -> Features:
        """Read a batch. inputs: inputs_SB, tokens_1B and, where words may have several tokens,
        first_TB, last_TB and words_1B; where language models are read beside them their states_TBX;
        for trees nodes_MB: see :func:`rnnlm.tasks.labelling.batches.batch_tensors`."""
        nodes_MB = inputs[-1]
        inputs, context_SBC = self._with_context(inputs)
        inputs_SB, lengths_B = inputs[0], inputs[1][0]
        encoder, settings = self.encoder, self.settings
        if isinstance(encoder, TreeComposition):
            nodes = encoder(inputs_SB, lengths_B, context_SBC, nodes_MB, inputs[2:])
            return Features(None, nodes[1], lengths_B, nodes[0])
        if not isinstance(encoder, WordEncoder) or not isinstance(settings, RecurrentTaskSettings):
            return Features(None, encoder(inputs_SB, lengths_B, context_SBC), lengths_B)

        # From tokens to words, where these may have several.
        y_TBH = encoder.read(inputs_SB, lengths_B, context_SBC)
        if len(inputs) > 2:
            first_TB, last_TB, (lengths_B,) = inputs[2:]

            # The features (T, B, H) of words that have several tokens: the forward direction's at a
            # word's last token, the backward one's at its first. Zeros in padding.
            parts, start = [], 0
            for width, is_backward in ends(settings):
                at_TBH = (first_TB if is_backward else last_TB).unsqueeze(2).expand(-1, -1, width)
                parts.append(y_TBH[:, :, start : start + width].gather(0, at_TBH))
                start += width
            y_TBH = torch.cat(parts, dim=2) * is_word(len(first_TB), lengths_B).unsqueeze(2)

        # Each kind of label has its own dropout.
        text_BH = None
        if self.pooling is not None:
            text_BH = encoder.drop(self.pooling(y_TBH, lengths_B))
        return Features(encoder.drop(y_TBH) if self.has_word_labels else None, text_BH, lengths_B)

    def bodies(self) -> dict[str, nn.Module]:
        return {"": self.encoder.body} if isinstance(self.encoder, WordEncoder) else {}

    def layers(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return the input vectors of each token, (S, B, E), and, for a recurrent network, the
        outputs of each layer, the lowest first, and the vectors that the highest hands on, (S, B,
        H). inputs: as for :meth:`forward`."""
        inputs, context_SBC = self._with_context(inputs)
        inputs_SB, lengths_B = inputs[0], inputs[1][0]
        if isinstance(self.encoder, WordEncoder):
            return self.encoder.layers(inputs_SB, lengths_B, context_SBC)
        return [self.encoder.vectors(inputs_SB, is_word(len(inputs_SB), lengths_B), context_SBC)]

    def trace(self, inputs: tuple[Tensor, ...]) -> tuple[NamedLayer, ...]:
        """Trace the recurrent layers at each token of one text, and at `</s>` at either end if that
        is read; other layers at each of their places."""
        nodes_MB = inputs[-1:] if isinstance(self.encoder, TreeComposition) else ()
        inputs, context_SBC = self._with_context(inputs)
        if not isinstance(self.encoder, WordEncoder):
            outputs = self.encoder.hidden_layers((*inputs, *nodes_MB), context_SBC)
            traces = enumerate(trace_hidden(inputs[0], outputs), start=1)
            return tuple(NamedLayer(f"layer {n}", traced, self.encoder) for n, traced in traces)
        x_SBE = self.encoder.read_vectors(inputs[0], inputs[1][0], context_SBC)
        return trace_stack(self.encoder.body, x_SBE)

    def _with_context(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Return the inputs for the words, without trees, and what is read beside each token, (S,
        B, C)."""
        if isinstance(self.encoder, TreeComposition):
            inputs = inputs[:-1]
        if self.context is None:
            return inputs, None
        inputs, context_SBC = inputs[:-1], self.context(inputs[-1])
        if len(inputs) > 2:
            # Repeat the vectors of words (T, B, C) at each of their tokens, (S, B, C). first_TB:
            # the place of each word's first token.
            first_TB = inputs[2]
            S = len(inputs[0])
            # The number of words begun so far is the word that a token belongs to.
            starts_SB = torch.zeros(
                (S + 1, context_SBC.shape[1]), dtype=torch.int64, device=context_SBC.device
            )
            starts_SB.scatter_(0, first_TB.masked_fill(~is_word(len(first_TB), inputs[4][0]), S), 1)
            number_SB = starts_SB[:S].cumsum(0) - 1
            context_SBC = context_SBC.gather(
                0, number_SB.unsqueeze(2).expand(-1, -1, context_SBC.shape[2])
            )
        return inputs, context_SBC

    def depths(self) -> dict[nn.Parameter, int]:
        """Return how many layers are above each weight that is not an output layer's: 1 of the
        highest layer, most of the words."""
        words: list[nn.Module] = [self.encoder.input]
        if self.context is not None:
            words.append(self.context)
        levels = [words, *self.encoder.levels()]
        depths: dict[nn.Parameter, int] = {}
        for number, modules in enumerate(levels):
            parameters = itertools.chain.from_iterable(module.parameters() for module in modules)
            depths |= dict.fromkeys(parameters, len(levels) - number)
        return depths

    def losses(self, features: Features, labels: tuple[Tensor, ...]) -> list[Tensor]:
        """Return the sum over the batch of the loss of each column, in nats."""
        return [
            _loss(head, features, column_labels)
            for head, column_labels in zip(self.heads, labels, strict=True)
        ]


def make_network(settings: TaskSettings, codec: Codec) -> TaskNetwork:
    """Make a network with random weights as the settings ask for."""
    network = TaskNetwork(settings, codec)
    outputs: list[Tensor] = []
    for head in network.heads:
        assert isinstance(head, TaggingHead | TextHead)
        outputs += head.output_matrices()
    start_weights(settings, network.encoder.matrices(), outputs, network.encoder.input.weight)
    return network


def _head(settings: TaskSettings, column: LabelColumn) -> nn.Module:
    width, count = settings.output_width, len(column.symbols)
    check_loss(settings, column)
    has_margin = settings.loss == "margin"
    if column.level != WORD:
        return TextHead(width, count, column.form == MULTI, has_margin)
    assert isinstance(settings, TaggingSettings) and isinstance(settings, RecurrentTaskSettings)
    if settings.output_layer == "softmax":
        return SoftmaxHead(width, count, has_margin)
    return CrfHead(width, count) if settings.output_layer == "crf" else MarkovHead(width, count)


def _loss(head: nn.Module, features: Features, labels: Tensor) -> Tensor:
    if isinstance(head, TextHead):
        if features.nodes_NBH is not None and not head.multi_label:
            return head.loss(features.nodes_NBH, labels)[0]
        assert features.text_BH is not None
        return head.loss(features.text_BH, labels.t() if head.multi_label else labels[0])[0]
    assert isinstance(head, TaggingHead) and features.words_TBH is not None
    return head.loss(features.words_TBH, labels, features.lengths_B)[0]
