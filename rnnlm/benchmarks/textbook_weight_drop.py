"""AWD-LSTM as scripts write it, to be compared with: torch's own layers one by one, their recurrent weights dropped anew at each
step into an attribute, word vectors dropped in a copy of the whole matrix, all logits at once (Merity et al. 2018)."""

from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.settings import RecurrentSettings

KERNELS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
States = list[tuple[Tensor, Tensor] | Tensor]  # of each layer


class WeightDropLayer(nn.Module):
    """One of torch's layers. Its recurrent weights are a parameter beside it; what its kernel reads is made of them at each step."""

    def __init__(self, kernel: nn.RNNBase, p: float) -> None:
        super().__init__()
        self.p = p
        self.raw = kernel.weight_hh_l0
        del kernel.weight_hh_l0
        self.kernel = kernel

    def forward(self, x_TBE: Tensor, state: tuple[Tensor, Tensor] | Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor] | Tensor]:
        self.kernel.weight_hh_l0 = F.dropout(self.raw, self.p, self.training)
        return self.kernel(x_TBE, state)


class WeightDropNetwork(nn.Module):
    """Layers of any widths, with the dropouts and penalties that `settings` ask for; tied through a projection if widths differ."""

    def __init__(self, settings: RecurrentSettings, size: int) -> None:
        super().__init__()
        self.settings = settings
        E, widths = settings.embedding_size, settings.widths
        form = {"nonlinearity": settings.activation} if settings.model == "rnn" else {}
        kernels = [KERNELS[settings.model](*shape, **form) for shape in zip((E, *widths), widths, strict=False)]
        self.layers = nn.ModuleList(WeightDropLayer(kernel, settings.weight_drop) for kernel in kernels)
        self.embedding = nn.Embedding(size, E)
        self.projection = nn.Linear(widths[-1], E) if settings.is_tied and widths[-1] != E else nn.Identity()
        self.decoder = nn.Linear(E if settings.is_tied else widths[-1], size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if settings.is_tied:
            self.decoder.weight = self.embedding.weight

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
