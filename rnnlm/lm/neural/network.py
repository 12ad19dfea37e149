"""The whole model: words -> body -> (projection) -> output layer. Bengio et al. 2003; Mikolov et
al. 2010; Sundermeyer et al. 2012.

The body is a stack of recurrent layers, a Jordan layer or a window of words; the network around it
is the same. Shapes: T time, B rows, E width of the inputs, H of the body's outputs, V vocabulary.
Time comes first inside, as the recurrent kernels want it. A state is a tuple of tensors (steps, B,
width): a recurrent layer keeps 1 step, and a layer that reads earlier words (a window, a QRNN)
keeps those words. All are zeros before the first token. They have the type of the weights (fp32)
even if products run in another, so that they are stored and carried over without loss.
"""

import functools
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.lm.neural.layers.layers import (
    FedBack,
    JordanLayer,
    LayeredNetwork,
    LookBack,
    RecurrentStack,
    RowReader,
    WordWindow,
    dropout,
)
from rnnlm.lm.neural.outputs.classes import AdaptiveSoftmax, ClassSoftmax, HierarchicalSoftmax
from rnnlm.lm.neural.outputs.sampled import (
    NoiseContrastiveSoftmax,
    NoiseTrainedSoftmax,
    SampledSoftmax,
)
from rnnlm.lm.neural.outputs.softmax import MixtureOfSoftmaxes, OutputLayer, SoftmaxOutput
from rnnlm.lm.neural.settings import (
    FeedForwardSettings,
    JordanSettings,
    NetworkSettings,
    RecurrentModelSettings,
    RecurrentSettings,
    sizes,
)
from rnnlm.lm.neural.trace import LayerTrace, Trace, read_layer, trace_hidden
from rnnlm.lm.neural.words import WordInput

NetworkState = tuple[Tensor, ...]  # of all layers, the lowest first


class Network(LayeredNetwork):
    """A neural language model. A tied output (Press & Wolf 2017; Inan et al. 2017) uses the word
    vectors as its weights."""

    def __init__(self, settings: NetworkSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.settings = settings
        self.input = WordInput(settings, tokenizer)
        self.body = _body(settings, tokenizer.size)

        # A tied output needs features as wide as the word vectors.
        width = settings.features_width
        is_as_wide = width == settings.output_width
        self.projection = nn.Identity() if is_as_wide else nn.Linear(settings.output_width, width)
        self.output = make_output(settings, tokenizer.size, width)

    def forward(
        self, inputs_TB: Tensor, state: NetworkState, lookback: LookBack | None = None
    ) -> tuple[Tensor, Tensor, NetworkState]:
        """Compute the output layer's input, (T, B, E) if tied, else (T, B, H).

        Return it after dropout and before it, and the state after the last input. With `lookback`,
        return it for the last T of the inputs alone, and the state that `lookback` keeps.
        """
        drop = functools.partial(
            dropout, training=self.training, locked=self.settings.locked_dropout
        )
        x_TBE = drop(self.input(inputs_TB), self.settings.dropout_input)
        if lookback is None:
            y_TBH, state = self.body(x_TBE, state, *self.feedback)
        else:
            y_SBH, state = lookback.read(self.body, x_TBE, state, *self.feedback)
            y_TBH = y_SBH[-lookback.window :]
        y_TBE = self.projection(y_TBH)
        return drop(y_TBE, self.settings.dropout_output), y_TBE, state

    def features(self, inputs_TB: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Return the output layer's input and the state after the last input."""
        features_TBE, _, state = self(inputs_TB, state)
        return features_TBE, state

    def loss(
        self,
        inputs_TB: Tensor,
        targets_TB: Tensor,
        state: NetworkState,
        lookback: LookBack | None = None,
    ) -> tuple[Tensor, Tensor | float, NetworkState]:
        """Return the loss, the penalty on activations, and the state as :meth:`forward` does.

        The loss is a mean in nats over the targets that are not padding. Training minimises the
        penalty beside it; it is 0.0 where there is none.
        """
        tied_VE = self.tied_VE
        if tied_VE is not None and self.input.read_rows is None:  # before the input reads them
            tied_VE = _GradientLast.apply(tied_VE)
        features_TBE, y_TBE, state = self(inputs_TB, state, lookback)
        loss = self.output.window_loss(features_TBE, self.input.known(targets_TB), tied_VE)
        return loss, activation_penalty(self.settings, y_TBE, features_TBE), state

    def score(
        self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState
    ) -> tuple[Tensor, NetworkState]:
        """Return the log-probability (nats) of each target, (T, B), 0 for padding, and the state
        after the last input."""
        features_TBE, state = self.features(inputs_TB, state)
        return self.score_features(features_TBE, targets_TB), state

    def predict(self, inputs_TB: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Return the log-probabilities (nats) of every next token, (T, B, V), and the state after
        the last input."""
        features_TBE, state = self.features(inputs_TB, state)
        return self.predict_features(features_TBE), state

    def score_features(self, features_TBE: Tensor, targets_TB: Tensor) -> Tensor:
        """Score targets as :meth:`score` does, given the features: log-probabilities (nats), (T,
        B)."""
        features_NE = features_TBE.flatten(0, 1)
        targets_N = self.input.known(targets_TB).flatten()
        logprob_N = self.output.score(features_NE, targets_N, self.tied_VE)
        return logprob_N.view(targets_TB.shape)

    def predict_features(self, features_TBE: Tensor) -> Tensor:
        """Predict as :meth:`predict` does, given the features: log-probabilities (nats), (T, B,
        V)."""
        logprob_NV = self.output.predict(features_TBE.flatten(0, 1), self.tied_VE)
        return logprob_NV.view(*features_TBE.shape[:2], -1)

    @property
    def tied_VE(self) -> Tensor | None:
        """The word vectors if the output layer uses them, too."""
        return self.input.weight if self.settings.is_tied else None

    def sampled_vectors(self) -> nn.Parameter | None:
        is_sampled = isinstance(self.output, NoiseTrainedSoftmax) and not self.feedback
        return cast(nn.Parameter, self.tied_VE) if is_sampled and self.settings.is_tied else None

    def read_rows_by(self, read: RowReader | None) -> None:
        assert isinstance(self.output, NoiseTrainedSoftmax)
        self.input.read_rows = self.output.read_rows = read

    def initial_state(self, rows: int) -> NetworkState:
        """Return zeros: the state before the first token."""
        weight = next(self.parameters())
        return tuple(
            weight.new_zeros((steps, rows, width)) for steps, width in self.body.state_shapes()
        )

    def prepare(self) -> "Network":
        """Derive the values that follow from the weights; call it after weights were loaded or
        arranged."""
        self.output.prepare()
        return self

    def trace(self, inputs_TB: Tensor, state: NetworkState) -> Trace:
        """Record the values of each layer at each step while `inputs_TB` are read from `state` on.

        Values and gradients equal those of :meth:`features` without dropout. The hidden state is
        recorded for every kind of network, with direct connections followed by the words of the
        window; the cell and the gates where the step of its layers (layers/steps.py) has them.
        """
        body = self.body
        x_TBE = self.input.vectors(inputs_TB)
        if not isinstance(body, RecurrentStack):
            traced, after = read_layer(body, x_TBE, state, self.feedback)
            traced_layers: tuple[LayerTrace, ...] = (traced,) if self.bodies() else ()
            if isinstance(body, WordWindow) and traced_layers:
                lower = body.hidden_layers(body.windows(x_TBE, state))[:-1]
                traced_layers = (*trace_hidden(x_TBE, lower), traced)
            return Trace(traced_layers, self.projection(traced.hidden_TBH), after)

        layers: list[LayerTrace] = []
        after = ()
        for number, layer in enumerate(body.layers):
            layer_state = state[len(after) : len(after) + len(layer.state_shapes())]
            traced, layer_state = read_layer(layer, x_TBE, layer_state, self.feedback)
            x_TBE = body.connect(number, x_TBE, traced.hidden_TBH)
            layers.append(traced)
            after += layer_state
        return Trace(tuple(layers), self.projection(x_TBE), after)

    def bodies(self) -> dict[str, nn.Module]:
        # Without hidden layers, a window of words has no weights.
        return {"": self.body} if len(list(self.body.parameters())) else {}

    @property
    def feedback(self) -> tuple[FedBack, ...]:
        if not isinstance(self.settings, JordanSettings):
            return ()
        vectors_VE = self.input.weight if self.settings.feedback == "embedding" else None
        return (functools.partial(self._fed_back, vectors_VE),)

    def _fed_back(self, vectors_VE: Tensor | None, y_BH: Tensor) -> Tensor:
        """Return the vector that the output after `y_BH` feeds into the next step: its
        probabilities (B, V), or the expected word vector (B, E)."""
        p_BV = self.output.predict(self.projection(y_BH), self.tied_VE).exp()
        return p_BV if vectors_VE is None else p_BV @ vectors_VE


class _GradientLast(torch.autograd.Function):
    """Shared word vectors as they are. Applied before the input reads them, it makes the backward
    pass add the input's few rows to the output layer's array in place. The other way round torch
    would copy that array."""

    @staticmethod
    def forward(ctx: Any, weight_VE: Tensor) -> Tensor:
        return weight_VE.view_as(weight_VE)

    @staticmethod
    def backward(ctx: Any, gradient_VE: Tensor) -> Tensor:
        return gradient_VE


def make_network(
    settings: NetworkSettings, tokenizer: Tokenizer, counts_V: np.ndarray | None = None
) -> Network:
    """Make a network with random weights, whose output layer predicts the unigram distribution.

    counts_V: how often the tokens occur; None: as often as the tokenizer says.

    At the unigram distribution the mean gradient of the output layer's input is zero. A deep
    network that hands it small numbers, as the AWD-LSTM does, then hardly moves under plain SGD.
    With `init_output_bias = zero` the biases start at zero instead: the network has frequencies to
    learn, which make these numbers grow.
    """
    network = Network(settings, tokenizer)

    # The output layer arranges its words, and sets its biases, by how often they occur.
    if counts_V is None:
        counts_V = tokenizer.counts_V
    if counts_V is None and network.output.needs_counts:
        counts_V = np.ones(tokenizer.size, dtype=np.int64)  # not known: all alike
    if counts_V is not None:
        network.output.arrange(torch.from_numpy(counts_V))
    if settings.init_output_bias == "zero":
        assert isinstance(network.output, SoftmaxOutput)  # the settings refuse others
        nn.init.zeros_(network.output.bias)

    start_weights(
        settings, network.body.matrices(), network.output.matrices(), network.input.weight
    )
    return network.prepare()


def _body(settings: NetworkSettings, size: int) -> RecurrentStack | JordanLayer | WordWindow:
    if isinstance(settings, RecurrentSettings):
        return RecurrentStack(settings)
    if isinstance(settings, JordanSettings):
        feeds_vectors = settings.feedback == "embedding"
        return JordanLayer(settings, settings.embedding_size if feeds_vectors else size)
    assert isinstance(settings, FeedForwardSettings)
    return WordWindow(settings)


def make_output(settings: NetworkSettings, size: int, width: int) -> OutputLayer:
    """Make the output layer for a vocabulary of `size` tokens, given features of `width`; weights
    are empty, biases zero."""
    if settings.output_layer == "adaptive":
        cutoffs = None if settings.cutoffs is None else sizes(settings.cutoffs)
        return AdaptiveSoftmax(size, width, cutoffs, settings.cluster_shrink)
    if settings.output_layer == "class":
        return ClassSoftmax(size, width, settings.classes, settings.is_tied)
    if settings.output_layer == "hierarchical":
        return HierarchicalSoftmax(size, width)
    if settings.output_layer == "mos":
        return MixtureOfSoftmaxes(
            size=size,
            width=width,
            tied=settings.is_tied,
            latent_width=settings.embedding_size,
            components=settings.mixture_components,
            dropout_latent=settings.dropout_latent,
            locked=settings.locked_dropout,
        )
    if settings.loss == "sampled":
        return SampledSoftmax(size, width, settings.is_tied, settings.samples)
    if settings.loss == "nce":
        return NoiseContrastiveSoftmax(size, width, settings.is_tied, min(settings.samples, size))
    return SoftmaxOutput(size, width, settings.is_tied)


def activation_penalty(
    settings: NetworkSettings, y_TBE: Tensor, dropped_TBE: Tensor
) -> Tensor | float:
    """Compute activation and temporal activation regularization (Merity, McCann & Socher 2017;
    Merity et al. 2018, section 4.6).

    It is alpha mean(dropped^2) + beta mean((y_t+1 - y_t)^2): AR on the outputs after dropout, TAR
    on the outputs before it; 0.0 where both are off.
    """
    if not isinstance(settings, RecurrentModelSettings):
        return 0.0
    penalty: Tensor | float = 0.0
    if settings.activation_penalty:
        penalty = penalty + settings.activation_penalty * _mean_square(dropped_TBE)
    if settings.temporal_penalty and len(y_TBE) > 1:
        penalty = penalty + settings.temporal_penalty * _mean_square(y_TBE.diff(dim=0))
    return penalty


def _mean_square(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32)).pow(2).mean()
