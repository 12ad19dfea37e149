"""The training loop of the tutorials, to be compared with: torch's own layers, all logits at once, an optimizer as it comes.

With weight-drop it is AWD-LSTM as scripts write it: layers one by one, their recurrent weights dropped anew at each step into an attribute,
word vectors dropped in a copy of the whole matrix (Merity et al. 2018).
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from rnnlm.neural.device import training_products
from rnnlm.neural.settings import ElmanSettings, NetworkSettings, RecurrentModelSettings

KERNELS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
IN_TORCH: dict[str, tuple[Any, ...]] = {
    "activation": ("tanh", "relu"), "reset_gate": ("after",), "peepholes": (False,), "coupled_gates": (False,), "mogrifier_rounds": (0,),
}  # fmt: skip

States = list[tuple[Tensor, Tensor] | Tensor]  # of each layer


def is_in_torch(settings: NetworkSettings) -> bool:
    """Whether torch has the layers of such a network: word vectors, one recurrent kernel of equal widths (or, under weight-drop,
    a kernel for each layer), a softmax."""
    if not isinstance(settings, RecurrentModelSettings) or settings.model not in KERNELS:
        return False
    if settings.characters or settings.output_layer != "softmax":
        return False
    is_plain = settings.connections == "plain" and (len(set(settings.widths)) == 1 or settings.weight_drop > 0)
    return is_plain and all(getattr(settings, name, forms[0]) in forms for name, forms in IN_TORCH.items())


class _Network(nn.Module):
    """Word vectors and the layer of logits; tied where `settings` tie, through a projection if widths differ."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__()
        E, H = settings.embedding_size, settings.widths[-1]
        self.settings = settings
        self.embedding = nn.Embedding(size, E)
        self.projection = nn.Linear(H, E) if settings.is_tied and E != H else nn.Identity()
        self.decoder = nn.Linear(E if settings.is_tied else H, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if settings.is_tied:
            self.decoder.weight = self.embedding.weight

    def _kernel(self, *shape: int, **more: Any) -> nn.RNNBase:
        form = {"nonlinearity": self.settings.activation} if isinstance(self.settings, ElmanSettings) else {}
        return KERNELS[self.settings.model](*shape, **form, **more)


class TextbookNetwork(_Network):
    """nn.Embedding, nn.RNN, nn.GRU or nn.LSTM, nn.Linear, for settings that are :func:`is_in_torch`, without weight-drop."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__(settings, size)
        between = settings.dropout_between if settings.layers > 1 else 0.0
        self.drop_input, self.drop_output = nn.Dropout(settings.dropout_input), nn.Dropout(settings.dropout_output)
        self.kernel = self._kernel(settings.embedding_size, settings.widths[0], settings.layers, dropout=between)

    def forward(self, inputs_TB: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        """Logits (T, B, V), no penalty, and the state after the window; `state` is as torch's layers have it, or None."""
        y_TBH, state = self.kernel(self.drop_input(self.embedding(inputs_TB)), state)
        return self.decoder(self.drop_output(self.projection(y_TBH))), 0.0, state


class WeightDropLayer(nn.Module):
    """One of torch's layers. Its recurrent weights are a parameter beside it; what its kernel reads is made of them at each step."""

    def __init__(self, kernel: nn.RNNBase, p: float) -> None:
        super().__init__()
        self.p = p
        self.raw: nn.Parameter = kernel.get_parameter("weight_hh_l0")
        del kernel.weight_hh_l0
        self.kernel = kernel

    def forward(self, x_TBE: Tensor, state: tuple[Tensor, Tensor] | Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor] | Tensor]:
        self.kernel.weight_hh_l0 = F.dropout(self.raw, self.p, self.training)
        return self.kernel(x_TBE, state)


class WeightDropNetwork(_Network):
    """Layers of any widths, with the dropouts and penalties that `settings` ask for."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__(settings, size)
        widths = (settings.embedding_size, *settings.widths)
        self.layers = nn.ModuleList(WeightDropLayer(self._kernel(*shape), settings.weight_drop) for shape in itertools.pairwise(widths))

    def forward(self, inputs_TB: Tensor, states: States | None) -> tuple[Tensor, Tensor | float, States]:
        """Logits (T, B, V), the penalty on activations (AR and TAR), and the states after the window."""
        settings, after = self.settings, []
        y_TBH = self._drop(self._embed(inputs_TB), settings.dropout_input)
        for number, layer in enumerate(self.layers):
            x_TBE = self._drop(y_TBH, settings.dropout_between) if number else y_TBH
            y_TBH, state = layer(x_TBE, states[number] if states else None)
            after.append(state)
        y_TBE = self.projection(y_TBH)
        dropped_TBE = self._drop(y_TBE, settings.dropout_output)
        penalty = settings.activation_penalty * dropped_TBE.float().pow(2).mean()
        penalty = penalty + settings.temporal_penalty * (y_TBE[1:] - y_TBE[:-1]).float().pow(2).mean()
        return self.decoder(dropped_TBE), penalty, after

    def _embed(self, inputs_TB: Tensor) -> Tensor:
        weight_VE, p = self.embedding.weight, self.settings.dropout_embedding
        if self.training and p:
            weight_VE = weight_VE * (weight_VE.new_empty(len(weight_VE), 1).bernoulli_(1 - p).expand_as(weight_VE) / (1 - p))
        return F.embedding(inputs_TB, weight_VE)

    def _drop(self, x_TBE: Tensor, p: float) -> Tensor:
        if not self.settings.locked_dropout:
            return F.dropout(x_TBE, p, self.training)
        return x_TBE * (x_TBE.new_empty(1, *x_TBE.shape[1:]).bernoulli_(1 - p) / (1 - p)) if self.training and p else x_TBE


def make_loop(
    settings: RecurrentModelSettings, size: int, learning_rate: float, batches: Iterable[tuple[Tensor, ...]],
    precision: str, device: torch.device,
) -> Callable[[], int]:  # fmt: skip
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
