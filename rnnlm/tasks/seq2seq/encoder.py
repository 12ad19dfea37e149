"""The encoder: recurrent layers that read the source from one end or both, and the bridge to the decoder's first state.

Shapes: S source time, M sources, E width of what is read for each token, H of what the encoder gives, L of a layer's last states.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from rnnlm.neural.layers.bidirectional import BidirectionalStack, first_state
from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings


class Encoder(nn.Module):
    """What stands before the decoder: a vector for each token of a source, whatever stands in padding."""

    def __init__(self, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.settings = settings
        self.body = BidirectionalStack(settings) if settings.bidirectional else RecurrentStack(settings)

    def forward(self, x_SME: Tensor, lengths_M: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs (S, M, H), zeros in padding, and of each layer the last hidden states (M, L), [forward; backward]: at the last token of
        each source, and of the backward direction at its first."""
        y_SMH, layers = self.read(x_SME, lengths_M)
        at_1M1 = (lengths_M - 1).view(1, -1, 1)
        last = []
        for number, y_SML in enumerate(layers):
            width = self.settings.widths[number]
            onwards_ML = y_SML[:, :, :width].gather(0, at_1M1.expand(-1, -1, width))[0]
            last.append(torch.cat([onwards_ML, y_SML[0, :, width:]], dim=1))
        return y_SMH * is_word(len(x_SME), lengths_M).unsqueeze(2), last

    def read(self, x_SME: Tensor, lengths_M: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs (S, M, H), and what each layer gives by itself, [forward; backward]. What stands in padding means nothing."""
        return self.body.read(x_SME, lengths_M) if isinstance(self.body, BidirectionalStack) else self._onwards(x_SME)

    def _onwards(self, x_SME: Tensor) -> tuple[Tensor, list[Tensor]]:
        assert isinstance(self.body, RecurrentStack)
        layers = []
        for number, layer in enumerate(self.body.layers):
            x_SME = self.body.drop_between(number, x_SME)
            y_SML, _ = layer(x_SME, first_state(layer, x_SME))
            layers.append(y_SML)
            x_SME = self.body.connect(number, x_SME, y_SML)
        return x_SME, layers

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        return self.body.matrices()


class Bridge(nn.Module):
    """The decoder's first state: each h and c of each of its layers is tanh(W s + b), with W and b of its own, and s

    last: the last hidden states of the encoder's layer of the same height; layers above its highest one read that, and a decoder
    of fewer layers reads the highest ones. The recurrent kernels do not give the cells at each row's own end, so that cells
    begin from hidden states, too;
    mean: the mean of the encoder's outputs over the source's tokens (Sennrich et al. 2017).

    Without a bridge the first state is zero; so are the earlier inputs that a QRNN reads.
    """

    def __init__(self, settings: Seq2SeqSettings, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.kind, highest = settings.bridge, len(settings.widths) - 1
        self.shapes = [(place < layer.states, shape) for layer in layers for place, shape in enumerate(layer.state_shapes())]
        above = max(0, len(settings.widths) - len(layers))
        self.below = [min(number + above, highest) for number, layer in enumerate(layers) for _ in layer.state_shapes()]
        read = [settings.directions * settings.widths[each] if self.kind == "last" else settings.output_width for each in self.below]
        linears = [nn.Linear(E, shape[1]) for E, (is_hidden, shape) in zip(read, self.shapes, strict=True) if self.kind and is_hidden]
        self.maps: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]  # a list of modules does not say of which

    def forward(self, y_SMH: Tensor, last: list[Tensor], lengths_M: Tensor) -> State:
        """The first state, in the type of the outputs. y_SMH: the encoder's outputs, zeros in padding. last: of each layer."""
        maps, state = iter(self.maps), []
        mean_MH = y_SMH.sum(dim=0) / lengths_M.unsqueeze(1) if self.kind == "mean" else None
        for below, (is_hidden, (places, width)) in zip(self.below, self.shapes, strict=True):
            if self.kind and is_hidden:
                state.append(torch.tanh(next(maps)(last[below] if mean_MH is None else mean_MH)).to(y_SMH.dtype).unsqueeze(0))
            else:
                state.append(y_SMH.new_zeros((places, y_SMH.shape[1], width)))
        return tuple(state)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        return ((each.weight, "input", 1) for each in self.maps)
