"""The network of all tasks: one recurrent layer as language models have it, and a linear layer that gives the answers."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.benchmarks.memory.tasks import MemoryTask
from rnnlm.neural.initialisation import start_weights
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.recurrent_settings import ElmanCell, GruCell, LstmCell, RecurrentSettings

CELLS: dict[str, RecurrentSettings] = {
    "elman": ElmanCell("rnn", init_output="torch"),
    "irnn": ElmanCell("rnn", init_output="torch", activation="relu", init_recurrent="identity"),  # Le et al. 2015
    "gru": GruCell("gru", init_output="torch"),
    "lstm": LstmCell("lstm", init_output="torch"),
}


class Reader(nn.Module):
    """A layer of `width` units of one of CELLS, which reads a task's sequences from a state of zeros."""

    def __init__(self, task: MemoryTask, cell: str, width: int) -> None:
        super().__init__()
        self.task = task
        settings = replace(CELLS[cell], embedding_size=task.width, hidden_size=width)
        self.body = RecurrentStack(settings)
        self.output = nn.Linear(width, task.classes or 1)
        nn.init.zeros_(self.output.bias)
        start_weights(settings, self.body.matrices(), [self.output.weight], None)

    def forward(self, x_TBI: Tensor, answers: int) -> Tensor:
        """What it answers at the last `answers` steps, (A, B, classes): logits, or one number."""
        state = tuple(x_TBI.new_zeros((places, x_TBI.shape[1], width)) for places, width in self.body.state_shapes())
        y_TBH, _ = self.body(x_TBI, state)
        return self.output(y_TBH[-answers:])

    def loss(self, x_TBI: Tensor, answers_AB: Tensor) -> Tensor:
        """Cross-entropy (nats) of the answers, or their mean squared error."""
        given_ABC = self(x_TBI, len(answers_AB))
        if self.task.classes is None:
            return F.mse_loss(given_ABC[..., 0], answers_AB)
        return F.cross_entropy(given_ABC.flatten(0, 1), answers_AB.flatten())

    @torch.no_grad()
    def figure(self, x_TBI: Tensor, answers_AB: Tensor) -> float:
        """The share of right answers, or the mean squared error."""
        if self.task.classes is None:
            return float(self.loss(x_TBI, answers_AB))
        return float((self(x_TBI, len(answers_AB)).argmax(dim=2) == answers_AB).double().mean())
