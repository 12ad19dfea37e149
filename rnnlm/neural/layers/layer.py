"""What all layers are: weights under torch's names, a state, a quick pass over a window and a plain step that shows what is in it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rnnlm.neural.layers.steps import Step

State = tuple[Tensor, ...]  # tensors (places, B, width)


class Layer(nn.Module):
    """`gates` blocks of `width` rows each: U for what the layer reads and, where something of width `fed_back` comes back to it, W for
    that. Biases start at zero. `forward` takes x_TBE and the state, and gives y_TBH and the state after the last step."""

    states = 1  # tensors (1, B, H) of state: h, or h and c
    is_launched_step_by_step = False  # on a GPU: many small kernels for each step, so that launching them takes the time
    weight_hh: nn.Parameter | None

    def __init__(self, input_width: int, width: int, fed_back: int = 0, gates: int = 1) -> None:
        super().__init__()
        self.width, self.gates = width, gates
        self.weight_ih = nn.Parameter(torch.empty(gates * width, input_width))
        self.weight_hh = nn.Parameter(torch.empty(gates * width, fed_back)) if fed_back else None
        self.bias_ih = nn.Parameter(torch.zeros(gates * width))

    def step(self, x_BE: Tensor, state: State) -> tuple[Step, State]:
        """One step as its equations have it, without dropout, and the state after it."""
        raise NotImplementedError

    def state_shapes(self) -> list[tuple[int, int]]:
        """(places, width) of each tensor of the state."""
        return [(1, self.width)] * self.states

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        yield self.weight_ih, "input", self.gates
        if self.weight_hh is not None:
            yield self.weight_hh, "recurrent", self.gates
