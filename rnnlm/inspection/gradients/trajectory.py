"""What a recurrent layer went through at several positions of a text, and vectors pulled back along it.

A layer's Jacobian dS(t)/dS(t-k) is the product of the Jacobians of its k last steps, in which everything that the layer reads stays what
it was. S is all that goes round in the layer: h, for an LSTM h and c side by side, for a QRNN c. The words that a QRNN's convolution
reads are inputs, not state.

Shapes: T steps, B rows (positions, read side by side), H width of the layer, S width of its state (H or 2H), M vectors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.qrnn import QuasiRecurrentLayer
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.network import Network


@dataclass(frozen=True)
class Trajectory:
    """A layer, what it read, (T, B, .), and its states: those before each step and the one after the last."""

    layer: Layer
    inputs_TBE: Tensor
    states: Sequence[State]
    feedback: tuple = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """What the state consists of."""
        return ("c",) if isinstance(self.layer, QuasiRecurrentLayer) else ("h", "c")[: self.layer.states]

    @property
    def state_width(self) -> int:
        return self.layer.width * len(self.parts)

    @property
    def steps(self) -> int:
        return len(self.inputs_TBE)

    @property
    def rows(self) -> int:
        return self.inputs_TBE.shape[1]

    @property
    def hidden_TBH(self) -> Tensor:
        """The first part of the state, after each step."""
        return torch.cat([state[0] for state in self.states[1:]])

    def first_rows(self, rows: int) -> "Trajectory":
        """The same at the first so many positions."""
        states = [tuple(part[:, :rows] for part in state) for state in self.states]
        return Trajectory(self.layer, self.inputs_TBE[:, :rows], states, self.feedback)

    def pull_back(self, step: int, vectors_MBS: Tensor) -> Tensor:
        """v^T J for each of the vectors, with J the Jacobian of the state after `step` (0 is the first) with respect to that before."""
        parts = len(self.parts)
        before = [part[0].detach().requires_grad_() for part in self.states[step][:parts]]
        with torch.enable_grad():
            whole = (*(part.unsqueeze(0) for part in before), *self.states[step][parts:])
            _, after = self.layer.step(self.inputs_TBE[step], whole, *self.feedback)
            outputs = [part[0] for part in after[:parts]]
        pulled = torch.autograd.grad(outputs, before, vectors_MBS.chunk(parts, dim=2), is_grads_batched=True)
        return torch.cat(pulled, dim=2)


def trajectories(network: Network, inputs_TB: Tensor, state: State) -> Iterator[Trajectory]:
    """What each layer of a recurrent network goes through while it reads `inputs_TB` from `state` on, the lowest layer first."""
    body, x_TBE = network.body, network.input.vectors(inputs_TB)
    used = 0
    for number, layer in enumerate(body.layers if isinstance(body, RecurrentStack) else [body]):
        tensors = len(layer.state_shapes())
        states, hidden = [state[used : used + tensors]], []
        used += tensors
        for x_BE in x_TBE:
            step, after = layer.step(x_BE, states[-1], *network.feedback)
            states.append(after)
            hidden.append(step.hidden_BH)
        yield Trajectory(layer, x_TBE, states, network.feedback)
        y_TBH = torch.stack(hidden)
        x_TBE = body.connect(number, x_TBE, y_TBH) if isinstance(body, RecurrentStack) else y_TBH
