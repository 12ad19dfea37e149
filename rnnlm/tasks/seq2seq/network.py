"""The network of an encoder-decoder (Sutskever et al. 2014; Cho et al. 2014) with attention
(Bahdanau et al. 2015; Luong et al. 2015).

Shapes: S source time, T target time, M sources, B rows, E width of the features, V target
vocabulary. Time comes first, as the recurrent kernels want it. The outputs of a row are the same
alone and beside any others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from rnnlm.interface import PADDING, Tokenizer
from rnnlm.lm.neural.device import without_autocast
from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.lm.neural.layers.layers import (
    Layer,
    LayeredNetwork,
    RecurrentLayer,
    RecurrentStack,
    State,
    dropout,
    reader_of_rows,
)
from rnnlm.lm.neural.outputs.softmax import LinearCrossEntropy, SoftmaxOutput, without_padding
from rnnlm.lm.neural.trace import NamedLayer, trace_stack
from rnnlm.lm.neural.words import SomeUnknown, WordInput
from rnnlm.tasks.common.batches import is_word
from rnnlm.tasks.seq2seq.settings import AttentionKind, Seq2SeqSettings

# ---- Attention: the decoder's view of a source at each step.
#
# With h a state of the decoder and m_s the encoder's output at the source's token s:
#
#     dot:      e_s = h . m_s                      (Luong et al. 2015)
#     general:  e_s = h . (W m_s)                  (Luong et al. 2015)
#     additive: e_s = v . tanh(W h + U m_s)        (Bahdanau et al. 2015)
#
#     a = softmax of e over the source's tokens,  context = sum of a_s m_s
#
# Shapes: T target time, S source time, M sources, B rows, k rows of each source, H width of the
# memory, D of h, A of the keys.


def additive_scores(query_MNA: Tensor, keys_MSA: Tensor, scale_1A: Tensor) -> Tensor:
    """Return the scores (M, N, S) of additive attention, v . tanh(query + key).

    As tanh(a) = 2 s(2a) - 1, and torch's logistic function s takes an eighth of the time of its
    tanh on a CPU, they are 2v . s(2 query + 2 key) - (sum of v).
    """
    sigmoid_MNSA = torch.sigmoid((2 * query_MNA).unsqueeze(2) + (2 * keys_MSA).unsqueeze(1))
    return nn.functional.linear(sigmoid_MNSA, 2 * scale_1A, -scale_1A.sum(1)).squeeze(3)


CHUNK_NUMBERS = 1 << 24  # of tanh(W h + U m) at once, of which there are T B S A


class EncoderMemory(NamedTuple):
    """M sources as the decoder sees them. states_SMH: the encoder's outputs, zeros in padding.
    keys_SMA: keys to compare states of the decoder with, None without attention. lengths_M: number
    of tokens of each source, `</s>` counted."""

    states_SMH: Tensor
    keys_SMA: Tensor | None
    lengths_M: Tensor

    def select(self, chosen_N: Tensor) -> "EncoderMemory":
        """Return the memory of the chosen sources."""
        keys_SNA = None if self.keys_SMA is None else self.keys_SMA.index_select(1, chosen_N)
        return EncoderMemory(
            self.states_SMH.index_select(1, chosen_N),
            keys_SNA,
            self.lengths_M.index_select(0, chosen_N),
        )


class Attention(nn.Module):
    """Attention of a `kind`, of states of width D to memories of width H; additive attention
    compares vectors of width A = `size`."""

    def __init__(self, kind: AttentionKind, width: int, memory_width: int, size: int) -> None:
        super().__init__()
        self.kind = kind
        compared = size if kind == "additive" else width
        self.key: nn.Module = nn.Identity()
        self.query: nn.Module = nn.Identity()
        self.scale: nn.Parameter | None = None
        if kind != "dot":
            self.key = nn.Linear(memory_width, compared, bias=False)
        if kind == "additive":
            self.query = nn.Linear(width, compared, bias=False)
            self.scale = nn.Parameter(torch.empty(1, compared))

    def forward(self, h_TBD: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        """Return contexts (T, B, H) and weights (T, B, S), zeros at padding. Rows are grouped by
        source, k for each one: B = M k."""
        assert memory.keys_SMA is not None
        S, M, _ = memory.states_SMH.shape
        T, B, _ = h_TBD.shape

        # All N = T k states of a source at once.
        query_MNA = self.query(h_TBD).view(T, M, B // M, -1).transpose(0, 1).flatten(1, 2)
        is_padding_M1S = ~is_word(S, memory.lengths_M).t().unsqueeze(1)
        dtype = memory.states_SMH.dtype
        scores_MNS = self._scores(query_MNA, memory.keys_SMA.transpose(0, 1), dtype).to(dtype)
        weights_MNS = scores_MNS.masked_fill(is_padding_M1S, -torch.inf).softmax(dim=2)
        context_MNH = torch.bmm(weights_MNS, memory.states_SMH.transpose(0, 1))
        return self._rows(context_MNH, T), self._rows(weights_MNS, T)

    def _scores(self, query_MNA: Tensor, keys_MSA: Tensor, dtype: torch.dtype) -> Tensor:
        if self.scale is None:
            return torch.bmm(query_MNA.to(keys_MSA.dtype), keys_MSA.transpose(1, 2))

        # Of a long window only a part's vectors are in memory: they are computed again backward.
        query_MNA, keys_MSA = query_MNA.to(dtype), keys_MSA.to(dtype)
        parts = query_MNA.split(max(1, CHUNK_NUMBERS // keys_MSA.numel()), dim=1)
        with without_autocast(query_MNA):  # which would take attention's products, too
            if len(parts) == 1:
                return additive_scores(query_MNA, keys_MSA, self.scale)
            scores = [
                checkpoint(additive_scores, part_MnA, keys_MSA, self.scale, use_reentrant=False)
                for part_MnA in parts
            ]
        return torch.cat(scores, dim=1)

    @staticmethod
    def _rows(x_MNX: Tensor, T: int) -> Tensor:
        """Return the rows of a source beside each other, (T, B, X)."""
        return x_MNX.unflatten(1, (T, -1)).transpose(0, 1).flatten(1, 2)


# ---- The network of an encoder-decoder (Sutskever et al. 2014; Cho et al. 2014) with attention
# (Bahdanau et al. 2015; Luong et al. 2015).
#
# Shapes: S source time, T target time, M sources, B rows, E width of the features, V target
# vocabulary. Time comes first, as the recurrent kernels want it. The outputs of a row are the same
# alone and beside any others.

# ---- The decoder: recurrent layers, attention, and the attentional vector that the output layer
# reads (Luong et al. 2015, eq. 5).
#
#     h_t = layers([x_t; with input feeding a_(t-1)])    a_t = tanh(W [h_t; context_t])
#
# Without attention a_t = h_t, through a linear map where the output layer is tied to word vectors
# of another width. Shapes: T target time, B rows, E width of the word vectors, D of h, F of a.

# Of all layers, the lowest first; with input feeding then the last attentional vector (1, B, F).
DecoderState = tuple[Tensor, ...]


class Decoder(nn.Module):
    """From the vectors of target words to the output layer's input, before its dropout."""

    def __init__(self, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.settings = settings
        layers = settings.decoder
        width, features = layers.output_width, settings.features_width
        # With input feeding the layers draw no dropout: it is drawn before the first step.
        if settings.input_feeding:
            layers = replace(layers, weight_drop=0.0, dropout_between=0.0)
        self.body = RecurrentStack(layers)
        self.attention = self.combination = None
        self.projection: nn.Module = nn.Identity()
        if settings.attention:
            seen = settings.output_width
            self.attention = Attention(settings.attention, width, seen, settings.compared_width)
            self.combination = nn.Linear(width + seen, features, bias=False)
        elif width != features:
            self.projection = nn.Linear(width, features)

    def forward(
        self, x_TBE: Tensor, memory: EncoderMemory, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Return a (T, B, F), the weights of attention (T, B, S) and the state after the last
        word."""
        if self.settings.input_feeding:
            drawn = draw_dropout(self.body, self.settings, x_TBE)
            return read_step_by_step(self.body, x_TBE, memory, state, self.attend, drawn)
        # Decoding takes single steps, for which there is a faster way.
        if len(x_TBE) == 1 and not self.training and not torch.is_grad_enabled():
            h_TBD, after = one_step(self.body, x_TBE, state)
        else:
            h_TBD, after = self.body(x_TBE, state)
        if self.attention is None:
            return self.projection(h_TBD), None, after
        return *self.attend(h_TBD, memory), after

    def attend(self, h_TBD: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        """Return a (T, B, F) and the weights of attention (T, B, S) of the layers' states."""
        assert self.attention is not None and self.combination is not None
        context_TBH, weights_TBS = self.attention(h_TBD, memory)
        both_TBC = torch.cat([h_TBD, context_TBH.to(h_TBD.dtype)], dim=2)
        return torch.tanh(self.combination(both_TBC)), weights_TBS

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield (weights, their operand, blocks stacked in them), to be initialised."""
        yield from self.body.matrices()
        for module in (self.attention, self.combination, self.projection):
            if module is not None:
                for name, weight in module.named_parameters():
                    if not name.endswith("bias"):
                        yield weight, "input", 1


# ---- The whole network.

__all__ = ["DecoderState", "Seq2SeqNetwork", "make_network"]


class Seq2SeqNetwork(LayeredNetwork):
    """A network that reads sources, then targets word by word. If both sides share their vectors
    the source has none: the target's vectors are read."""

    def __init__(self, settings: Seq2SeqSettings, source: Tokenizer, target: Tokenizer) -> None:
        super().__init__()
        self.settings = settings
        self.source_boundary, self.target_boundary = source.boundary_id, target.boundary_id
        self.source_words: WordInput | None = None
        if settings.tied_embeddings != "all":
            self.source_words = WordInput(settings, source)
        self.some_unknown = SomeUnknown(settings.unknown_words, source)
        self.encoder = SourceEncoder(settings)
        self.target_words = WordInput(settings.target_words, target)
        self.decoder = Decoder(settings)
        self.bridge = Bridge(settings, self.decoder.body.layers)
        self.output = SoftmaxOutput(
            target.size, settings.features_width, tied=bool(settings.tied_embeddings)
        )

    def bodies(self) -> dict[str, nn.Module]:
        return {"encoder ": self.encoder.body, "decoder ": self.decoder.body}

    def encode(self, sources_SM: Tensor, lengths_M: Tensor) -> tuple[EncoderMemory, DecoderState]:
        """Return the decoder's view of sources, and its state before the first word. The ids of
        padding may be any."""
        is_word_SM = is_word(len(sources_SM), lengths_M)
        x_SME = self._source_vectors(sources_SM.masked_fill(~is_word_SM, self.source_boundary))
        y_SMH, last = self.encoder(x_SME, lengths_M)
        attention = self.decoder.attention
        memory = EncoderMemory(
            y_SMH, None if attention is None else attention.key(y_SMH), lengths_M
        )

        # Input feeding begins with an attentional vector of zeros.
        state = self.bridge(y_SMH, last, lengths_M)
        if self.settings.input_feeding:
            fed_1MF = y_SMH.new_zeros((1, y_SMH.shape[1], self.settings.fed_width))
            state = (*state, fed_1MF)
        return memory, state

    def source_layers(self, sources_SM: Tensor, lengths_M: Tensor) -> list[Tensor]:
        """Return the input vectors of each token of sources, (S, M, E), the outputs of each layer
        of the encoder, [forward; backward], the lowest first, and the encoder's outputs, (S, M, H).
        Values in padding mean nothing."""
        x_SME = self._source_vectors(sources_SM)
        y_SMH, layers = self.encoder.body.read(x_SME, lengths_M)
        return [x_SME, *layers, y_SMH]

    def trace_source(self, source_S1: Tensor) -> tuple[NamedLayer, ...]:
        """Trace the encoder's layers at each token of one source, `</s>` at its end."""
        return trace_stack(self.encoder.body, self._source_vectors(source_S1), "encoder ")

    def _source_vectors(self, sources_SM: Tensor) -> Tensor:
        words = self.source_words or self.target_words
        return self._drop_input(words(sources_SM, self.some_unknown(words.known(sources_SM))))

    def decode(
        self, inputs_TB: Tensor, memory: EncoderMemory, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Return the output layer's input after each input (T, B, E), the weights of attention (T,
        B, S), None without attention, and the state after the last input. Rows are grouped by
        source, as many for each one. Negative ids are padding."""
        settings = self.settings
        inputs_TB = inputs_TB.masked_fill(inputs_TB < 0, self.target_boundary)
        x_TBE = self._drop_input(self.target_words(inputs_TB))
        a_TBE, weights_TBS, state = self.decoder(x_TBE, memory, state)
        a_TBE = dropout(a_TBE, settings.dropout_output, self.training, settings.locked_dropout)
        return a_TBE, weights_TBS, state

    def loss(
        self,
        sources_SB: Tensor,
        lengths_B: Tensor,
        inputs_TB: Tensor,
        targets_TB: Tensor,
        label_smoothing: float = 0.0,
        own_1B: Tensor | None = None,
    ) -> Tensor:
        """Return the training loss in nats: a mean over the targets that are not -1.

        label_smoothing: e of (1 - e) nll + e (mean over V of nll) (Szegedy et al. 2016, section 7).
        own_1B: the chance that an input other than the first is the token that the network,
        without dropout, finds likeliest after the inputs before it (Bengio et al. 2015); no
        gradient flows through that choice. None: never.
        """
        if own_1B is not None:
            inputs_TB = self._with_own_words(sources_SB, lengths_B, inputs_TB, own_1B)
        features_TBE, _, _ = self.decode(inputs_TB, *self.encode(sources_SB, lengths_B))
        features_NE = features_TBE.flatten(0, 1)
        targets_N = self.target_words.known(targets_TB).flatten()
        # On a GPU looking for padding would wait.
        if targets_N.device.type == "cpu":
            features_NE, targets_N = without_padding(features_NE, targets_N)
        weight_VE = self.output.weight if self.tied_VE is None else self.tied_VE
        loss: Tensor = LinearCrossEntropy.apply(
            features_NE, weight_VE, self.output.bias, targets_N, label_smoothing
        )
        return loss

    def score_features(self, features_TBE: Tensor, targets_TB: Tensor) -> Tensor:
        """Return the log-probability (nats) of each target, (T, B), 0 where it is padding."""
        return self.score_and_hits(features_TBE, targets_TB)[0]

    def score_and_hits(self, features_TBE: Tensor, targets_TB: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probability (nats) of each target, and whether it is the likeliest token,
        (T, B) each; 0 and False where it is padding."""
        targets_N = self.target_words.known(targets_TB).flatten()
        logprob_N, is_likeliest_N = self.output.score_and_hits(
            features_TBE.flatten(0, 1), targets_N, self.tied_VE
        )
        return logprob_N.view(targets_TB.shape), is_likeliest_N.view(targets_TB.shape)

    def predict_features(self, features_TBE: Tensor) -> Tensor:
        """Return the log-probabilities (nats) of every next token, (T, B, V)."""
        logprob_NV = self.output.predict(features_TBE.flatten(0, 1), self.tied_VE)
        return logprob_NV.view(*features_TBE.shape[:2], -1)

    @property
    def tied_VE(self) -> Tensor | None:
        """The target's word vectors where the output layer uses them, too."""
        return self.target_words.weight if self.settings.tied_embeddings else None

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield (weights, their operand, blocks stacked in them), to be initialised, without word
        vectors and output layer."""
        for module in (self.encoder, self.bridge, self.decoder):
            yield from module.matrices()

    def _drop_input(self, x_TBE: Tensor) -> Tensor:
        return dropout(
            x_TBE, self.settings.dropout_input, self.training, self.settings.locked_dropout
        )

    def _with_own_words(
        self, sources_SB: Tensor, lengths_B: Tensor, inputs_TB: Tensor, own_1B: Tensor
    ) -> Tensor:
        """Replace some of the inputs by the tokens that the network finds likeliest after those
        before them, replaced ones among them."""
        is_own_TB = torch.rand(inputs_TB.shape, device=inputs_TB.device) < own_1B
        read = [inputs_TB[0]]
        was_training = self.training
        self.eval()
        with torch.no_grad():
            memory, state = self.encode(sources_SB, lengths_B)
            for is_own_B, given_B in zip(is_own_TB[1:], inputs_TB[1:], strict=True):
                features_1BE, _, state = self.decode(read[-1].unsqueeze(0), memory, state)
                own_B = self.predict_features(features_1BE)[0].argmax(dim=1)
                read.append(torch.where(is_own_B & (given_B != PADDING), own_B, given_B))
        self.train(was_training)
        return torch.stack(read)


def make_network(settings: Seq2SeqSettings, source: Tokenizer, target: Tokenizer) -> Seq2SeqNetwork:
    """Make a network with random weights as the settings ask for. Its output layer begins at the
    target's unigram distribution."""
    network = Seq2SeqNetwork(settings, source, target)
    if target.counts_V is not None:
        network.output.arrange(torch.from_numpy(target.counts_V))
    words_VE, outputs = network.target_words.weight, network.output.matrices()
    start_weights(settings, network.matrices(), outputs, words_VE)
    if network.source_words is not None:
        start_weights(settings, (), (), network.source_words.weight)
    return network


# ---- The encoder: recurrent layers that read the source from one end or both, and the bridge to
# the decoder's first state.
#
# Shapes: S source time, M sources, E width of the input vectors, H of the encoder's outputs, L of a
# layer's last states.


class SourceEncoder(nn.Module):
    """A vector for each token of a source, regardless of padding."""

    def __init__(self, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.settings = settings
        self.body = reader_of_rows(settings)

    def forward(self, x_SME: Tensor, lengths_M: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs (S, M, H), zeros in padding, and of each layer the last hidden states
        (M, L), [forward; backward]: at the last token of each source, and of the backward direction
        at its first."""
        y_SMH, layers = self.body.read(x_SME, lengths_M)
        at_1M1 = (lengths_M - 1).view(1, -1, 1)
        last = []
        for number, y_SML in enumerate(layers):
            width = self.settings.widths[number]
            onwards_ML = y_SML[:, :, :width].gather(0, at_1M1.expand(-1, -1, width))[0]
            last.append(torch.cat([onwards_ML, y_SML[0, :, width:]], dim=1))
        return y_SMH * is_word(len(x_SME), lengths_M).unsqueeze(2), last

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield (weights, their operand, blocks stacked in them), to be initialised."""
        return self.body.matrices()


class Bridge(nn.Module):
    """The decoder's first state: each h and c of each of its layers is tanh(W s + b), with another
    W and b each, and s

    last: the last hidden states of the encoder's layer of the same height; layers above its highest
    one read that, and a decoder of fewer layers reads the highest ones. The recurrent kernels do
    not give the cells at each row's end, so that cells begin from hidden states, too; mean: the
    mean of the encoder's outputs over the source's tokens (Sennrich et al. 2017).

    Without a bridge the first state is zero; so are the earlier inputs that a convolution reads.

    below: for each part of the state, the encoder's layer that it reads. shapes: whether it is a
    hidden state or a cell, and its (places, width).
    """

    def __init__(self, settings: Seq2SeqSettings, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.kind = settings.bridge
        self.shapes: list[tuple[bool, tuple[int, int]]] = []
        self.below: list[int] = []
        linears = []
        for number, layer in enumerate(layers):
            below = settings.below(number, len(layers))
            reads = settings.output_width
            if self.kind == "last":
                reads = settings.directions * settings.widths[below]
            for place, shape in enumerate(layer.state_shapes()):
                is_hidden = place < len(layer.parts)
                self.below.append(below)
                self.shapes.append((is_hidden, shape))
                if self.kind and is_hidden:
                    linears.append(nn.Linear(reads, shape[1]))
        # nn.ModuleList does not give the type of its modules.
        self.maps: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]

    def forward(self, y_SMH: Tensor, last: list[Tensor], lengths_M: Tensor) -> State:
        """Return the first state, in the type of the outputs. y_SMH: the encoder's outputs, zeros
        in padding. last: of each layer."""
        maps, state = iter(self.maps), []
        mean_MH = y_SMH.sum(dim=0) / lengths_M.unsqueeze(1) if self.kind == "mean" else None
        for below, (is_hidden, (places, width)) in zip(self.below, self.shapes, strict=True):
            if self.kind and is_hidden:
                read_MX = last[below] if mean_MH is None else mean_MH
                part_MX = torch.tanh(next(maps)(read_MX))
                state.append(part_MX.to(y_SMH.dtype).unsqueeze(0))
            else:
                state.append(y_SMH.new_zeros((places, y_SMH.shape[1], width)))
        return tuple(state)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield (weights, their operand, blocks stacked in them), to be initialised."""
        return ((linear.weight, "input", 1) for linear in self.maps)


# ---- Input feeding (Luong et al. 2015, section 3.3): each step reads the attentional vector of the
# step before beside its word.
#
# So the steps wait for each other, layers and attention alike. Dropout is drawn for the whole
# window before the first step. Shapes: T target time, B rows, E width of the word vectors, D of the
# layers' states h, F of attentional vectors a, S source time.

# From h and the memory to a and the weights of attention.
AttentionStep = Callable[[Tensor, EncoderMemory], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DropoutMasks:
    """The dropout of a window. fed_TBF: factors of the fed vectors. between_TBX: factors of the
    input of each layer above the lowest one. None: nothing is dropped. weights: the weights of each
    layer with dropped elements, by name."""

    fed_TBF: Tensor | None
    between_TBX: tuple[Tensor | None, ...]
    weights: tuple[dict[str, Tensor], ...]


def draw_dropout(body: RecurrentStack, settings: Seq2SeqSettings, x_TBE: Tensor) -> DropoutMasks:
    """Draw the dropout of a window of these word vectors."""
    # Masks for the inputs of layers, for all steps of the window.
    layers = body.layers
    T, B, _ = x_TBE.shape

    def mask(p: float, width: int) -> Tensor | None:
        if not body.training or not p:
            return None
        ones_TBX = layers[0].weight_ih.new_ones((T, B, width))
        return dropout(ones_TBX, p, True, settings.locked_dropout)

    def weights(layer: Layer) -> dict[str, Tensor]:
        if not body.training or not settings.weight_drop:
            return {}
        dropped = layer.get_parameter(layer.dropped)
        return {layer.dropped: dropout(dropped, settings.weight_drop, True)}

    between = tuple(
        mask(settings.dropout_between, layer.weight_ih.shape[1]) for layer in layers[1:]
    )
    fed_TBF = mask(settings.dropout_input, settings.fed_width)
    return DropoutMasks(fed_TBF, between, tuple(map(weights, layers)))


def read_step_by_step(
    body: RecurrentStack,
    x_TBE: Tensor,
    memory: EncoderMemory,
    state: State,
    attend: AttentionStep,
    drawn: DropoutMasks,
) -> tuple[Tensor, Tensor, State]:
    """Return a (T, B, F), the weights of attention (T, B, S) and the state after the last word. The
    layers of `body` drop nothing themselves."""
    layers, fed_1BF = state[:-1], state[-1]
    features, weights = [], []
    for t, x_BE in enumerate(x_TBE):
        read_1BF = fed_1BF if drawn.fed_TBF is None else fed_1BF * drawn.fed_TBF[t]
        x_1BX = torch.cat([x_BE.unsqueeze(0), read_1BF], dim=2)
        h_1BD, layers = one_step(body, x_1BX, layers, drawn, t)
        a_1BF, weights_1BS = attend(h_1BD, memory)
        fed_1BF = a_1BF.to(state[-1].dtype)
        features.append(a_1BF)
        weights.append(weights_1BS)
    return torch.cat(features), torch.cat(weights), (*layers, fed_1BF)


# ---- One step of a stack of layers, as decoding and input feeding take it.
#
# On a CPU the plain step of an LSTM of five rows takes a fifth to a half of oneDNN's time, which
# lays out the weights in each call: that pays over a window.


def one_step(
    body: RecurrentStack, x_1BE: Tensor, state: State, drawn: DropoutMasks | None = None, t: int = 0
) -> tuple[Tensor, State]:
    """Return the output of the stack, (1, B, H), and its state after the step. drawn: the dropout
    of a window, of which this is step `t`; None: nothing is dropped."""
    after: State = ()
    for number, layer in enumerate(body.layers):
        # The dropout of the layer's input and weights.
        weights: dict[str, Tensor] = {}
        if drawn is not None:
            weights = drawn.weights[number]
            mask_TBX = drawn.between_TBX[number - 1] if number else None
            if mask_TBX is not None:
                x_1BE = x_1BE * mask_TBX[t]

        end = len(after) + len(layer.state_shapes())
        y_1BH, layer_state = layer_step(layer, x_1BE, state[len(after) : end], weights)
        after += layer_state
        x_1BE = body.connect(number, x_1BE, y_1BH)
    return x_1BE, after


def layer_step(
    layer: Layer, x_1BE: Tensor, state: State, dropped: dict[str, Tensor]
) -> tuple[Tensor, State]:
    """Return the output of one layer, (1, B, H), and its state after the step.

    dropped: weights with dropped elements, which replace the layer's.
    """
    # Who looks at a layer's outputs (see `read_some` in fitting.py) needs it to be called.
    is_watched = torch.is_grad_enabled() and not layer.training
    if is_watched or not isinstance(layer, RecurrentLayer) or x_1BE.device.type != "cpu":
        y_1BH, after = functional_call(layer, dropped, (x_1BE, state))
        return y_1BH, after
    step, after = layer.step(x_1BE[0], state, dropped.get("weight_hh"))
    return step.hidden_BH.unsqueeze(0), after
