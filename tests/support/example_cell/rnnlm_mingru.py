"""The minimal gated recurrent unit (Feng et al. 2024) for rnnlm."""

from dataclasses import dataclass
from typing import Annotated

from rnnlm.config import about
from rnnlm.lm.neural.cells import CellKind
from rnnlm.lm.neural.settings import Cell, gate_sizes
from rnnlm.satellites import Satellite


@dataclass(frozen=True)
class MinGruCell(Cell):
    """A gate and a candidate that read the input alone."""

    starts = frozenset({"update_bias"})  # affects nothing but the start
    activations = {"update": "sigmoid"}
    update_bias: Annotated[float, about("initial bias of the update gate")] = 0.0

    def array_sizes(self, input_width, width):
        return gate_sizes(2, input_width, width)  # weight_ih and bias_ih, rows z h

    def start(self, weights):
        weights["bias_ih"].chunk(2)[0].fill_(self.update_bias)

    def step(self, x_BE, state, weights):
        from rnnlm.lm.neural.layers.steps import CellStep  # torch waits for the first step

        a_BG = x_BE @ weights["weight_ih"].T + weights["bias_ih"]
        a_z, candidate = a_BG.chunk(2, dim=1)
        z = a_z.sigmoid()
        h = (1 - z) * state[0] + z * candidate
        return CellStep(h, gates={"update": z, "forget": 1 - z})


CELL = CellKind("mingru", "minimal gated recurrent unit", lambda: MinGruCell)
SATELLITE = Satellite("rnnlm-mingru", cells=lambda: [CELL])
