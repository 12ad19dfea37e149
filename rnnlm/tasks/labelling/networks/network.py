"""The network of a tagger or classifier: an encoder that reads the words, and on its features an
output layer (head) for each column of labels.

Shapes: S tokens and T words of the longest text, B rows, H width of the features, K labels of a
column.
"""

import itertools
from typing import NamedTuple

from torch import Tensor, nn

from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.trace import NamedLayer, trace_stack
from rnnlm.tasks.common.batches import is_word
from rnnlm.tasks.labelling.data import MULTI, WORD, Codec, LabelColumn
from rnnlm.tasks.labelling.networks.contextual import LayerMixture
from rnnlm.tasks.labelling.networks.encoders import (
    BagOfWords,
    Pooling,
    TreeComposition,
    WordEncoder,
    WordFilters,
    at_tokens,
    at_words,
    make_text_encoder,
)
from rnnlm.tasks.labelling.networks.heads import (
    CrfHead,
    MarkovHead,
    SoftmaxHead,
    TaggingHead,
    TextHead,
)
from rnnlm.tasks.labelling.settings import RecurrentTaskSettings, TaggingSettings, TaskSettings
from rnnlm.tasks.labelling.weights import check_loss


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
            y_TBH = at_words(y_TBH, first_TB, last_TB, lengths_B, settings)

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
        is read; none if there are no such layers."""
        if not isinstance(self.encoder, WordEncoder):
            return ()
        inputs, context_SBC = self._with_context(inputs)
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
            context_SBC = at_tokens(context_SBC, inputs[2], inputs[4][0], len(inputs[0]))
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
