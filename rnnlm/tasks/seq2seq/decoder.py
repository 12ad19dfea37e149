"""The decoder: recurrent layers, attention, and the attentional vector that the output layer reads (Luong et al. 2015, eq. 5).

    h_t = layers([x_t; with input feeding a_(t-1)])    a_t = tanh(W [h_t; context_t])

Without attention a_t = h_t, through a linear map where the output layer is tied to word vectors of another width.
Shapes: T target time, B rows, E width of the word vectors, D of h, F of a.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.tasks.seq2seq.attention import Attention, Memory
from rnnlm.tasks.seq2seq.feeding import draw, read_step_by_step
from rnnlm.tasks.seq2seq.kernels.choice import has_loop, make_loop
from rnnlm.tasks.seq2seq.kernels.fed_loop import run
from rnnlm.tasks.seq2seq.kernels.single_step import one_step
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings

DecoderState = tuple[Tensor, ...]  # of all layers, the lowest first; with input feeding then the last attentional vector (1, B, F)


class Decoder(nn.Module):
    """From the vectors of target words to what the output layer reads, before its dropout."""

    def __init__(self, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.settings = settings
        layers = settings.decoder
        width, memory_width, features = layers.output_width, settings.output_width, settings.features_width
        draws_itself = not settings.input_feeding  # else what is dropped is drawn before the first step
        self.body = RecurrentStack(layers if draws_itself else replace(layers, weight_drop=0.0, dropout_between=0.0))
        self.attention = self.combination = None
        self.projection: nn.Module = nn.Identity()
        if settings.attention:
            self.attention = Attention(settings.attention, width, memory_width, settings.compared_width)
            self.combination = nn.Linear(width + memory_width, features, bias=False)
        elif width != features:
            self.projection = nn.Linear(width, features)

    def forward(self, x_TBE: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """a (T, B, F), the weights of attention (T, B, S) and the state after the last word."""
        if self.settings.input_feeding:
            return self._fed(x_TBE, memory, state)
        is_one = len(x_TBE) == 1 and not self.training and not torch.is_grad_enabled()
        h_TBD, after = one_step(self.body, x_TBE, state) if is_one else self.body(x_TBE, state)
        if self.attention is None:
            return self.projection(h_TBD), None, after
        return *self.look(h_TBD, memory), after

    def look(self, h_TBD: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """a (T, B, F) and the weights of attention (T, B, S) of the layers' states."""
        assert self.attention is not None and self.combination is not None
        context_TBH, weights_TBS = self.attention(h_TBD, memory)
        return torch.tanh(self.combination(torch.cat([h_TBD, context_TBH.to(h_TBD.dtype)], dim=2))), weights_TBS

    def _fed(self, x_TBE: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        assert self.attention is not None and self.combination is not None
        drawn = draw(self.body, self.settings, x_TBE)
        if len(x_TBE) == 1 or len(memory.lengths_M) < x_TBE.shape[1] or not has_loop(self.body):
            return read_step_by_step(self.body, x_TBE, memory, state, self.look, drawn)
        given = zip(drawn.weights, self.body.layers, strict=True)
        recurrent = [its.get("weight_hh", layer.get_parameter("weight_hh")) for its, layer in given]
        masks = (drawn.fed_TBF, *drawn.between_TBX)
        return run(make_loop(self.body, self.attention, self.combination.weight, x_TBE, memory, state, recurrent, masks))

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        yield from self.body.matrices()
        for module in (self.attention, self.combination, self.projection):
            if module is not None:
                yield from ((weight, "input", 1) for name, weight in module.named_parameters() if not name.endswith("bias"))
