"""The training loop of the tutorials, to be compared with: torch's own layers, all logits at once, an optimizer as it comes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from rnnlm.benchmarks.textbook_weight_drop import KERNELS, WeightDropNetwork
from rnnlm.neural.device import training_products
from rnnlm.neural.settings import NetworkSettings, RecurrentSettings

IN_TORCH = {"activation": ("tanh", "relu"), "reset_gate": ("after",), "peepholes": (False,), "coupled_gates": (False,)}


def is_in_torch(settings: NetworkSettings) -> bool:
    """Whether torch has the layers of such a network: word vectors, one recurrent kernel of equal widths (or, under weight-drop,
    a kernel for each layer), a softmax."""
    if not isinstance(settings, RecurrentSettings) or settings.model not in KERNELS or getattr(settings, "mogrifier_rounds", 0):
        return False
    if settings.characters or settings.output_layer != "softmax":
        return False
    is_plain = settings.connections == "plain" and (len(set(settings.widths)) == 1 or settings.weight_drop > 0)
    return is_plain and all(getattr(settings, name, forms[0]) in forms for name, forms in IN_TORCH.items())


class TextbookNetwork(nn.Module):
    """nn.Embedding, nn.RNN, nn.GRU or nn.LSTM, nn.Linear; tied where `settings` tie, through a projection if widths differ.

    For settings that are :func:`is_in_torch`, without weight-drop.
    """

    def __init__(self, settings: RecurrentSettings, size: int) -> None:
        super().__init__()
        E, H = settings.embedding_size, settings.widths[0]
        self.drop_input, self.drop_output = nn.Dropout(settings.dropout_input), nn.Dropout(settings.dropout_output)
        self.embedding = nn.Embedding(size, E)
        between = settings.dropout_between if settings.layers > 1 else 0.0
        form = {"nonlinearity": settings.activation} if settings.model == "rnn" else {}
        self.kernel = KERNELS[settings.model](E, H, settings.layers, dropout=between, **form)
        self.projection = nn.Linear(H, E) if settings.is_tied and E != H else nn.Identity()
        self.decoder = nn.Linear(E if settings.is_tied else H, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if settings.is_tied:
            self.decoder.weight = self.embedding.weight

    def forward(self, inputs_TB: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        """Logits (T, B, V), no penalty, and the state after the window; `state` is as torch's layers have it, or None."""
        y_TBH, state = self.kernel(self.drop_input(self.embedding(inputs_TB)), state)
        return self.decoder(self.drop_output(self.projection(y_TBH))), 0.0, state


def make_loop(
    settings: RecurrentSettings,
    size: int,
    learning_rate: float,
    batches: Iterable[tuple[Tensor, Tensor]],
    precision: str,
    device: torch.device,
) -> Callable[[], int]:
    """A function that trains over `batches` (inputs_TB, targets_TB) once and returns how many tokens that were; with AdamW, or with
    SGD under weight-drop, as in the scripts of AWD-LSTM."""
    network = (WeightDropNetwork if settings.weight_drop else TextbookNetwork)(settings, size).to(device)
    optimizer = (torch.optim.SGD if settings.weight_drop else torch.optim.AdamW)(network.parameters(), lr=learning_rate)

    def loop() -> int:
        state, tokens = None, 0
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(precision, device):
                logits_TBV, penalty, state = network(inputs_TB, state)
            loss = F.cross_entropy(logits_TBV.flatten(0, 1).float(), targets_TB.flatten(), ignore_index=-1)
            optimizer.zero_grad()
            (loss + penalty).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.25)
            optimizer.step()
            state = tree_map(torch.Tensor.detach, state)
            tokens += targets_TB.numel()
        return tokens

    return loop
