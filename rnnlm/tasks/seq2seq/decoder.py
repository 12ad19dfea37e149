"""The decoder: recurrent layers, attention, and the attentional vector that the output layer reads (Luong et al. 2015, eq. 5).

    h_t = layers([x_t; with input feeding a_(t-1)])    a_t = tanh(W [h_t; context_t])

Without attention a_t = h_t, through a linear map where the output layer is tied to word vectors of another width.
Shapes: T target time, B rows, E width of the word vectors, D of h, F of a.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.regularization import dropout
from rnnlm.tasks.seq2seq.attention import Attention, Memory
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings

DecoderState = tuple[Tensor, ...]  # of all layers, the lowest first; with input feeding then the last attentional vector (1, B, F)


class Decoder(nn.Module):
    """From the vectors of target words to what the output layer reads, before its dropout."""

    def __init__(self, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.settings = settings
        layers = settings.decoder
        width, memory_width, features = layers.output_width, settings.output_width, settings.features_width
        self.body = RecurrentStack(layers)
        self.attention = self.combination = None
        self.projection: nn.Module = nn.Identity()
        if settings.attention:
            self.attention = Attention(settings.attention, width, memory_width, settings.compared_width)
            self.combination = nn.Linear(width + memory_width, features, bias=False)
        elif width != features:
            self.projection = nn.Linear(width, features)

    def forward(
        self, x_TBE: Tensor, memory: Memory, of_B: Tensor | None, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """a (T, B, F), the weights of attention (T, B, S) and the state after the last word."""
        if not self.settings.input_feeding:
            h_TBD, after = self.body(x_TBE, state)
            if self.attention is None or self.combination is None:
                return self.projection(h_TBD), None, after
            return *_look(h_TBD, memory, of_B, self.attention, self.combination), after
        *layers, fed_1BF = state
        drop_TBF = dropout(fed_1BF.new_ones((len(x_TBE), *fed_1BF.shape[1:])), self.settings.dropout_input, self.training)
        features, weights = [], []
        assert self.attention is not None and self.combination is not None
        for x_BE, drop_BF in zip(x_TBE, drop_TBF, strict=True):
            x_1BX = torch.cat([x_BE.unsqueeze(0), fed_1BF * drop_BF], dim=2)
            h_1BD, layers = self.body(x_1BX, tuple(layers))
            a_1BF, weights_1BS = _look(h_1BD, memory, of_B, self.attention, self.combination)
            fed_1BF = a_1BF.to(state[-1].dtype)
            features.append(a_1BF)
            weights.append(weights_1BS)
        return torch.cat(features), torch.cat(weights), (*layers, fed_1BF)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        yield from self.body.matrices()
        for module in (self.attention, self.combination, self.projection):
            if module is not None:
                yield from ((weight, "input", 1) for name, weight in module.named_parameters() if not name.endswith("bias"))


def _look(h_TBD: Tensor, memory: Memory, of_B: Tensor | None, attention: Attention, combination: nn.Linear) -> tuple[Tensor, Tensor]:
    context_TBH, weights_TBS = attention(h_TBD, memory, of_B)
    return torch.tanh(combination(torch.cat([h_TBD, context_TBH.to(h_TBD.dtype)], dim=2))), weights_TBS
