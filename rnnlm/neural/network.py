"""The whole model: embedding -> recurrent stack -> (projection) -> softmax. Mikolov et al. 2010; Sundermeyer et al. 2012.

Shapes: T time, B rows, E embedding, H hidden, V vocabulary. Time comes first inside, as the recurrent kernels want it.
"""

import torch
from torch import Tensor, nn

from rnnlm.neural.cells import RecurrentStack, RecurrentState
from rnnlm.neural.output import SoftmaxOutput
from rnnlm.neural.regularization import dropout
from rnnlm.neural.network_settings import RecurrentSettings


class RecurrentNetwork(nn.Module):
    """A recurrent language model. Tied output (Press & Wolf 2017; Inan et al. 2017) reuses the embedding's weights."""

    def __init__(self, settings: RecurrentSettings, size: int) -> None:
        super().__init__()
        self.settings = settings
        E, H = settings.embedding_size, settings.hidden_size
        # not nn.Embedding(size, E): its own initialisation, replaced below, makes the meta device import torch's compiler
        self.embedding = nn.Embedding.from_pretrained(torch.empty(size, E), freeze=False)
        self.stack = RecurrentStack(settings)
        self.projection = nn.Linear(H, E) if settings.is_tied and H != E else None
        self.output = SoftmaxOutput(size, E if settings.is_tied else H, settings.is_tied)
        self._initialise(settings.init_range)

    def features(self, inputs_TB: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """What the softmax multiplies, (T, B, E) if tied, else (T, B, H), and the state after the last input."""
        x_TBE = dropout(self.embedding(inputs_TB), self.settings.dropout_input, self.training)
        y_TBH, state = self.stack(x_TBE, state)
        if self.projection is not None:
            y_TBH = self.projection(y_TBH)
        return dropout(y_TBH, self.settings.dropout_output, self.training), state

    def loss(self, inputs_TB: Tensor, targets_TB: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Mean cross-entropy (nats) of the targets that are not padding, and the state after the last input."""
        features_TBE, state = self.features(inputs_TB, state)
        return self.output.loss(features_TBE.flatten(0, 1), self.output_weight, targets_TB.flatten()), state

    @property
    def output_weight(self) -> Tensor:
        return self.embedding.weight if self.settings.is_tied else self.output.weight

    def initial_state(self, rows: int) -> RecurrentState:
        return self.stack.initial_state(rows)

    def set_output_bias(self, counts_V: Tensor) -> None:
        """Start from the unigram distribution: the bias is the logarithm of each token's (add-half) frequency."""
        frequency_V = counts_V.float() + 0.5
        with torch.no_grad():
            self.output.bias.copy_((frequency_V / frequency_V.sum()).log())

    def _initialise(self, init_range: float) -> None:
        nn.init.uniform_(self.embedding.weight, -init_range, init_range)
        if self.output.weight is not None:
            nn.init.uniform_(self.output.weight, -init_range, init_range)
