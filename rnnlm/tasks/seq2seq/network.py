"""An encoder-decoder (Sutskever et al. 2014; Cho et al. 2014) with attention (Bahdanau et al. 2015; Luong et al. 2015).

Shapes: S source time, T target time, M sources, B rows, E width of the features, V target vocabulary. Time comes first, as the recurrent
kernels want it. What a row gives is the same alone and beside any others.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING, Tokenizer
from rnnlm.neural.embeddings.word_input import WordInput
from rnnlm.neural.initialisation import start_weights
from rnnlm.neural.outputs.base import without_padding
from rnnlm.neural.outputs.linear_cross_entropy import LinearCrossEntropy
from rnnlm.neural.outputs.softmax import SoftmaxOutput
from rnnlm.neural.regularization import dropout
from rnnlm.neural.trace import NamedLayer, trace_stack
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.seq2seq.attention import Memory
from rnnlm.tasks.seq2seq.decoder import Decoder, DecoderState
from rnnlm.tasks.seq2seq.encoder import Bridge, Encoder
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings

__all__ = ["DecoderState", "Memory", "Seq2SeqNetwork", "make_network"]


class Seq2SeqNetwork(nn.Module):
    """Reads sources, then targets word by word. Where one vocabulary is tied on both sides the source has no vectors of its own."""

    def __init__(self, settings: Seq2SeqSettings, source: Tokenizer, target: Tokenizer) -> None:
        super().__init__()
        self.settings = settings
        self.source_boundary, self.target_boundary = source.boundary_id, target.boundary_id
        self.source_words = WordInput(settings, source) if settings.tied_embeddings != "all" else None
        self.encoder = Encoder(settings)
        self.target_words = WordInput(settings.target_words, target)
        self.decoder = Decoder(settings)
        self.bridge = Bridge(settings, self.decoder.body.layers)
        self.output = SoftmaxOutput(target.size, settings.features_width, tied=bool(settings.tied_embeddings))

    def encode(self, sources_SM: Tensor, lengths_M: Tensor) -> tuple[Memory, DecoderState]:
        """What the decoder sees of sources, and its state before the first word. The ids of padding may be any."""
        x_SME = self._source_vectors(sources_SM.masked_fill(~is_word(len(sources_SM), lengths_M), self.source_boundary))
        y_SMH, last = self.encoder(x_SME, lengths_M)
        attention = self.decoder.attention
        memory = Memory(y_SMH, None if attention is None else attention.key(y_SMH), lengths_M)
        state = self.bridge(y_SMH, last, lengths_M)
        if width := self.settings.fed_width:
            state = (*state, y_SMH.new_zeros((1, y_SMH.shape[1], width)))
        return memory, state

    def source_layers(self, sources_SM: Tensor, lengths_M: Tensor) -> list[Tensor]:
        """What is read of each token of sources, (S, M, E), what each layer of the encoder gives, [forward; backward], the lowest first,
        and the encoder's outputs, (S, M, H). What stands in padding means nothing."""
        x_SME = self._source_vectors(sources_SM)
        y_SMH, layers = self.encoder.read(x_SME, lengths_M)
        return [x_SME, *layers, y_SMH]

    def trace_source(self, source_S1: Tensor) -> tuple[NamedLayer, ...]:
        """What the encoder's layers do at each token of one source, `</s>` at its end."""
        return trace_stack(self.encoder.body, self._source_vectors(source_S1), "encoder ")

    def _source_vectors(self, sources_SM: Tensor) -> Tensor:
        return self._drop_input((self.target_words if self.source_words is None else self.source_words)(sources_SM))

    def decode(self, inputs_TB: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """What the output layer reads after each input (T, B, E), the weights of attention (T, B, S), None without attention, and the
        state after the last input. Rows stand by source, as many for each one. Negative ids are padding."""
        x_TBE = self._drop_input(self.target_words(inputs_TB.masked_fill(inputs_TB < 0, self.target_boundary)))
        a_TBE, weights_TBS, state = self.decoder(x_TBE, memory, state)
        return dropout(a_TBE, self.settings.dropout_output, self.training, self.settings.locked_dropout), weights_TBS, state

    def loss(
        self, sources_SB: Tensor, lengths_B: Tensor, inputs_TB: Tensor, targets_TB: Tensor, label_smoothing: float = 0.0,
        own_words: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """What training minimises, in nats: a mean over the targets that are not -1.

        label_smoothing: e of (1 - e) nll + e (mean over V of nll) (Szegedy et al. 2016, section 7).
        own_words: with that chance an input, but for the first, is the token that the network, without dropout, finds likeliest after the
        inputs before it (Bengio et al. 2015); no gradient flows through that choice.
        """
        if own_words:
            inputs_TB = self._with_own_words(sources_SB, lengths_B, inputs_TB, own_words)
        features_TBE, _, _ = self.decode(inputs_TB, *self.encode(sources_SB, lengths_B))
        features_NE, targets_N = features_TBE.flatten(0, 1), self.target_words.known(targets_TB).flatten()
        if targets_N.device.type == "cpu":  # where looking for padding waits for no device
            features_NE, targets_N = without_padding(features_NE, targets_N)
        weight_VE = self.output.weight if self.tied_VE is None else self.tied_VE
        loss: Tensor = LinearCrossEntropy.apply(features_NE, weight_VE, self.output.bias, targets_N, label_smoothing)
        return loss

    def score_features(self, features_TBE: Tensor, targets_TB: Tensor) -> Tensor:
        """Log-probability (nats) of each target, (T, B), 0 where it is padding."""
        targets_N = self.target_words.known(targets_TB).flatten()
        return self.output.score(features_TBE.flatten(0, 1), targets_N, self.tied_VE).view(targets_TB.shape)

    def predict_features(self, features_TBE: Tensor) -> Tensor:
        """Log-probabilities (nats) of every next token, (T, B, V)."""
        return self.output.predict(features_TBE.flatten(0, 1), self.tied_VE).view(*features_TBE.shape[:2], -1)

    @property
    def tied_VE(self) -> Tensor | None:
        """The target's word vectors where the output layer uses them, too."""
        return self.target_words.weight if self.settings.tied_embeddings else None

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised; word vectors and output layer apart."""
        for module in (self.encoder, self.bridge, self.decoder):
            yield from module.matrices()

    def _drop_input(self, x_TBE: Tensor) -> Tensor:
        return dropout(x_TBE, self.settings.dropout_input, self.training, self.settings.locked_dropout)

    def _with_own_words(self, sources_SB: Tensor, lengths_B: Tensor, inputs_TB: Tensor, chance: float) -> Tensor:
        """The inputs, some of them replaced by what the network finds likeliest after those before them, as they are then."""
        is_own_TB = torch.rand(inputs_TB.shape, device=inputs_TB.device) < chance
        was_training, read = self.training, [inputs_TB[0]]
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
    """A network with random weights as the settings ask for, whose output layer begins at the target's unigram distribution.

    Raises:
        SettingsError: an initialisation does not fit its weights.
    """
    network = Seq2SeqNetwork(settings, source, target)
    if target.counts_V is not None:
        network.output.arrange(torch.from_numpy(target.counts_V))
    start_weights(settings, network.matrices(), network.output.matrices(), network.target_words.weight)
    if network.source_words is not None:
        start_weights(settings, (), (), network.source_words.weight)
    return network
