"""What training is compared with: the loop of the tutorials, and its bare matrix products.

The loop has torch's own layers, all logits at once, an optimizer as it comes. With weight-drop it
is AWD-LSTM as scripts write it: layers one by one, their recurrent weights dropped anew at each
step into an attribute, word vectors dropped in a copy of the whole matrix (Merity et al. 2018).
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from rnnlm.neural.device import training_products
from rnnlm.neural.settings import ElmanCell, LstmCell, NetworkSettings, RecurrentModelSettings
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, Seq2SeqSettings

KERNELS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
IN_TORCH: dict[str, tuple[object, ...]] = {
    "activation": ("tanh", "relu"), "reset_gate": ("after",), "peepholes": (False,),
    "coupled_gates": (False,), "mogrifier_rounds": (0,),
}  # fmt: skip

States = list[tuple[Tensor, Tensor] | Tensor]  # of each layer


def is_in_torch(settings: NetworkSettings) -> bool:
    """Whether torch has the layers of such a network: word vectors, one recurrent kernel of equal
    widths (or, under weight-drop, a kernel for each layer), a softmax."""
    if not isinstance(settings, RecurrentModelSettings) or settings.model not in KERNELS:
        return False
    if settings.characters or settings.output_layer != "softmax":
        return False
    is_plain = settings.connections == "plain" and (
        len(set(settings.widths)) == 1 or settings.weight_drop > 0
    )
    cell = vars(settings.cell)
    return is_plain and all(cell.get(name, forms[0]) in forms for name, forms in IN_TORCH.items())


class _Network(nn.Module):
    """Word vectors and the layer of logits; tied where `settings` tie, through a projection if
    widths differ."""

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
        cell = self.settings.cell
        form = {"nonlinearity": cell.activation} if isinstance(cell, ElmanCell) else {}
        return KERNELS[self.settings.model](*shape, **form, **more)


class TextbookNetwork(_Network):
    """nn.Embedding, nn.RNN, nn.GRU or nn.LSTM, nn.Linear, for settings that are
    :func:`is_in_torch`, without weight-drop."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__(settings, size)
        between = settings.dropout_between if settings.layers > 1 else 0.0
        self.drop_input, self.drop_output = (
            nn.Dropout(settings.dropout_input),
            nn.Dropout(settings.dropout_output),
        )
        self.kernel = self._kernel(
            settings.embedding_size, settings.widths[0], settings.layers, dropout=between
        )

    def forward(self, inputs_TB: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        """Logits (T, B, V), no penalty, and the state after the window; `state` is as torch's
        layers have it, or None."""
        y_TBH, state = self.kernel(self.drop_input(self.embedding(inputs_TB)), state)
        return self.decoder(self.drop_output(self.projection(y_TBH))), 0.0, state


class WeightDropLayer(nn.Module):
    """One of torch's layers. Its recurrent weights are a parameter beside it; what its kernel reads
    is made of them at each step."""

    def __init__(self, kernel: nn.RNNBase, p: float) -> None:
        super().__init__()
        self.p = p
        self.raw: nn.Parameter = kernel.get_parameter("weight_hh_l0")
        del kernel.weight_hh_l0
        self.kernel = kernel

    def forward(
        self, x_TBE: Tensor, state: tuple[Tensor, Tensor] | Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | Tensor]:
        self.kernel.weight_hh_l0 = F.dropout(self.raw, self.p, self.training)
        return self.kernel(x_TBE, state)


class WeightDropNetwork(_Network):
    """Layers of any widths, with the dropouts and penalties that `settings` ask for."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__(settings, size)
        widths = (settings.embedding_size, *settings.widths)
        self.layers = nn.ModuleList(
            WeightDropLayer(self._kernel(*shape), settings.weight_drop)
            for shape in itertools.pairwise(widths)
        )

    def forward(
        self, inputs_TB: Tensor, states: States | None
    ) -> tuple[Tensor, Tensor | float, States]:
        """Logits (T, B, V), the penalty on activations (AR and TAR), and the states after the
        window."""
        settings, after = self.settings, []
        y_TBH = self._drop(self._embed(inputs_TB), settings.dropout_input)
        for number, layer in enumerate(self.layers):
            x_TBE = self._drop(y_TBH, settings.dropout_between) if number else y_TBH
            y_TBH, state = layer(x_TBE, states[number] if states else None)
            after.append(state)
        y_TBE = self.projection(y_TBH)
        dropped_TBE = self._drop(y_TBE, settings.dropout_output)
        penalty = settings.activation_penalty * dropped_TBE.float().pow(2).mean()
        penalty = (
            penalty + settings.temporal_penalty * (y_TBE[1:] - y_TBE[:-1]).float().pow(2).mean()
        )
        return self.decoder(dropped_TBE), penalty, after

    def _embed(self, inputs_TB: Tensor) -> Tensor:
        weight_VE, p = self.embedding.weight, self.settings.dropout_embedding
        if self.training and p:
            weight_VE = weight_VE * (
                weight_VE.new_empty(len(weight_VE), 1).bernoulli_(1 - p).expand_as(weight_VE)
                / (1 - p)
            )
        return F.embedding(inputs_TB, weight_VE)

    def _drop(self, x_TBE: Tensor, p: float) -> Tensor:
        if not self.settings.locked_dropout:
            return F.dropout(x_TBE, p, self.training)
        return (
            x_TBE * (x_TBE.new_empty(1, *x_TBE.shape[1:]).bernoulli_(1 - p) / (1 - p))
            if self.training and p
            else x_TBE
        )


def make_loop(
    settings: RecurrentModelSettings, size: int, learning_rate: float,
    batches: Iterable[tuple[Tensor, ...]],
    precision: str, device: torch.device,
) -> Callable[[], int]:  # fmt: skip
    """A function that trains over `batches` (inputs_TB, targets_TB) once and returns how many
    tokens that were; with AdamW, or with SGD under weight-drop, as in the scripts of AWD-LSTM."""
    network = (WeightDropNetwork if settings.weight_drop else TextbookNetwork)(settings, size).to(
        device
    )
    optimizer = (torch.optim.SGD if settings.weight_drop else torch.optim.AdamW)(
        network.parameters(), lr=learning_rate
    )

    def loop() -> int:
        state, tokens = None, 0
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(precision, device):
                logits_TBV, penalty, state = network(inputs_TB, state)
            loss = F.cross_entropy(
                logits_TBV.flatten(0, 1).float(), targets_TB.flatten(), ignore_index=-1
            )
            optimizer.zero_grad()
            (loss + penalty).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.25)
            optimizer.step()
            state = tree_map(torch.Tensor.detach, state)
            tokens += targets_TB.numel()
        return tokens

    return loop


# ---- The training loop of the tutorials for encoder-decoders, to be compared with: torch's own
# layers, the decoder step by step, all logits.
#
# nn.LSTM over packed sources, then nn.LSTMCell for each word of the targets, attention (Luong et
# al. 2015) at each of them, one F.cross_entropy over the logits of all words.
#
# Shapes: S source time, T target time, B rows, E width of the word vectors, H of what the encoder
# gives, D of the decoder, V vocabulary.

PAIRS_IN_TORCH: dict[str, tuple[object, ...]] = {
    "attention": ("general", "dot", None), "bridge": ("last",), "tied_embeddings": ("target", None),
    "connections": ("plain",),
    "decoder_model": (None, "lstm"), "peepholes": (False,), "coupled_gates": (False,),
    "mogrifier_rounds": (0,), "weight_drop": (0.0,),
}  # fmt: skip
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}

PairTensors = tuple[Tensor, Tensor, Tensor, Tensor]  # sources_SB, lengths_1B, inputs_TB, targets_TB


def are_pairs_in_torch(settings: Seq2SeqSettings, fitting: Seq2SeqFittingSettings) -> bool:
    """Whether tutorials have such a network and such training: LSTMs of one width on either side,
    attention by products or none."""
    if (
        not isinstance(settings.cell, LstmCell)
        or fitting.optimizer not in OPTIMIZERS
        or fitting.own_words
    ):
        return False
    if len(set(settings.widths)) > 1 or settings.layers != settings.decoder_layers:
        return False
    fits = settings.attention is not None or settings.features_width == settings.decoder_width
    values = {**vars(settings), **vars(settings.cell)}
    return fits and all(values[name] in forms for name, forms in PAIRS_IN_TORCH.items())


class TextbookPairs(nn.Module):
    """The network of `settings` that are :func:`is_in_torch`, of so many tokens on either side."""

    def __init__(self, settings: Seq2SeqSettings, source_size: int, target_size: int) -> None:
        super().__init__()
        self.settings = settings
        H, D, F_ = settings.output_width, settings.decoder_width, settings.features_width
        between = settings.dropout_between if settings.layers > 1 else 0.0
        self.source_embedding = nn.Embedding(source_size, settings.embedding_size)
        self.target_embedding = nn.Embedding(target_size, settings.target_width)
        width, both = settings.widths[0], settings.bidirectional
        self.encoder = nn.LSTM(
            settings.embedding_size, width, settings.layers, bidirectional=both, dropout=between
        )
        widths = [settings.target_width + settings.fed_width, *[D] * (settings.decoder_layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(each, D) for each in widths)
        self.bridge = nn.ModuleList(nn.Linear(H, D) for _ in range(2 * settings.decoder_layers))
        self.query = (
            nn.Linear(D, H, bias=False) if settings.attention == "general" else nn.Identity()
        )
        self.combination = nn.Linear(D + H, F_, bias=False) if settings.attention else nn.Identity()
        self.drop_input, self.drop_between = (
            nn.Dropout(settings.dropout_input),
            nn.Dropout(settings.dropout_between),
        )
        self.drop_output = nn.Dropout(settings.dropout_output)
        self.output = nn.Linear(F_, target_size)
        nn.init.uniform_(self.source_embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.target_embedding.weight, -0.1, 0.1)
        if settings.tied_embeddings:
            self.output.weight = self.target_embedding.weight

    def forward(self, sources_SB: Tensor, lengths_B: Tensor, inputs_TB: Tensor) -> Tensor:
        """Logits (T, B, V)."""
        x_SBE = self.drop_input(self.source_embedding(sources_SB))
        packed = nn.utils.rnn.pack_padded_sequence(x_SBE, lengths_B.cpu(), enforce_sorted=False)
        packed, (last, _) = self.encoder(packed)
        memory_BSH, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        is_padding_BS = torch.arange(
            len(sources_SB), device=lengths_B.device
        ) >= lengths_B.unsqueeze(1)
        states = self._first_states(last)
        fed_BF = memory_BSH.new_zeros(len(memory_BSH), self.settings.fed_width)
        features = []
        for x_BE in self.drop_input(self.target_embedding(inputs_TB)):
            if self.settings.input_feeding:
                x_BE = torch.cat([x_BE, self.drop_input(fed_BF)], dim=1)
            h_BD = x_BE
            for number, cell in enumerate(self.cells):
                states[number] = cell(self.drop_between(h_BD) if number else h_BD, states[number])
                h_BD = states[number][0]
            fed_BF = (
                self._look(h_BD, memory_BSH, is_padding_BS) if self.settings.attention else h_BD
            )
            features.append(fed_BF)
        return self.output(self.drop_output(torch.stack(features)))

    def _first_states(self, last: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The state (h, c) of each layer of the decoder. last: the last hidden states of the
        encoder, (layers x directions, B, width)."""
        last_LBH = last.unflatten(0, (self.settings.layers, -1)).transpose(1, 2).flatten(2)
        maps = iter(self.bridge)
        return [
            (torch.tanh(next(maps)(last_BH)), torch.tanh(next(maps)(last_BH)))
            for last_BH in last_LBH
        ]

    def _look(self, h_BD: Tensor, memory_BSH: Tensor, is_padding_BS: Tensor) -> Tensor:
        """The attentional vector."""
        scores_BS = torch.bmm(self.query(h_BD).unsqueeze(1), memory_BSH.transpose(1, 2)).squeeze(1)
        weights_BS = scores_BS.masked_fill(is_padding_BS, -torch.inf).softmax(dim=1)
        context_BH = torch.bmm(weights_BS.unsqueeze(1), memory_BSH).squeeze(1)
        return torch.tanh(self.combination(torch.cat([h_BD, context_BH], dim=1)))


def make_pairs_loop(
    network: TextbookPairs,
    fitting: Seq2SeqFittingSettings,
    batches: Sequence[PairTensors],
    precision: str,
    device: torch.device,
) -> Callable[[], int]:
    """A function that trains over `batches` once and returns how many tokens of both sides that
    were."""
    network.to(device)
    optimizer = OPTIMIZERS[fitting.optimizer](network.parameters(), lr=fitting.learning_rate)
    tokens = sum(
        int(lengths_1B.sum()) + int((targets_TB >= 0).sum())
        for _, lengths_1B, _, targets_TB in batches
    )

    def loop() -> int:
        network.train()
        for tensors in batches:
            loss = mean_loss(network, tensors, fitting.label_smoothing, precision)
            optimizer.zero_grad()
            loss.backward()
            if fitting.clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), fitting.clip_norm)
            optimizer.step()
        return tokens

    return loop


def mean_loss(
    network: TextbookPairs, tensors: PairTensors, label_smoothing: float, precision: str
) -> Tensor:
    """The loss of a batch, nats a target."""
    sources_SB, lengths_1B, inputs_TB, targets_TB = tensors
    with training_products(precision, sources_SB.device):
        logits_TBV = network(sources_SB, lengths_1B[0], inputs_TB)
    logits_NV = logits_TBV.flatten(0, 1).float()
    return F.cross_entropy(
        logits_NV, targets_TB.flatten(), ignore_index=-1, label_smoothing=label_smoothing
    )


# ---- What a training step cannot do without: its matrix products, recorded as it runs and repeated
# alone.

_aten = torch.ops.aten
_PRODUCTS = {
    _aten.mm: torch.mm,
    _aten.addmm: torch.mm,
    _aten.bmm: torch.bmm,
    _aten.baddbmm: torch.bmm,
}


@dataclass(frozen=True)
class Operand:
    """One side of a product, without its content."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True)
class Product:
    """One matrix product, or a batch of them."""

    left: Operand
    right: Operand
    batched: bool


class BareProducts(TorchDispatchMode):
    """A context that records the products done in it, in order; `repeat` does them again on numbers
    of no meaning.

    Of a kernel that does a whole recurrent layer no product is seen: oneDNN's are known, cuDNN is
    left out meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __enter__(self) -> "BareProducts":
        self._without_cudnn = torch.backends.cudnn.flags(enabled=False)
        self._without_cudnn.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._without_cudnn.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        product = _PRODUCTS.get(func.overloadpacket)
        if product is not None:
            left, right = args[-2:]
            self.products.append(Product(_operand(left), _operand(right), product is torch.bmm))
        if func.overloadpacket in (_aten.mkldnn_rnn_layer, _aten.mkldnn_rnn_layer_backward):
            x_TBE, _, weight_hh = args[:3]
            self.products += _of_fused_layer(
                x_TBE, weight_hh, is_forward=func.overloadpacket is _aten.mkldnn_rnn_layer
            )
        return func(*args, **(kwargs or {}))

    def repeat(self) -> Callable[[], None]:
        """What does the recorded products once at each call; operands of one shape share their
        numbers."""
        operands = {
            operand for product in self.products for operand in (product.left, product.right)
        }
        tensors = {operand: _filled(operand) for operand in operands}

        def run() -> None:
            for product in self.products:
                multiply = torch.bmm if product.batched else torch.mm
                multiply(tensors[product.left], tensors[product.right])

        return run


def _of_fused_layer(x_TBE: Tensor, weight_hh: Tensor, is_forward: bool) -> list[Product]:
    """What oneDNN's recurrent layer multiplies inside: the window's inputs at once, states step by
    step."""
    (T, B, E), (G, H), like = x_TBE.shape, weight_hh.shape, x_TBE

    def product(rows: int, inner: int, columns: int) -> Product:
        left = Operand((rows, inner), (inner, 1), like.dtype, like.device)
        right = Operand((inner, columns), (columns, 1), like.dtype, like.device)
        return Product(left, right, batched=False)

    if is_forward:
        return [product(T * B, E, G), *[product(B, H, G)] * T]
    return [
        product(T * B, G, E),
        product(G, T * B, E),
        product(G, T * B, H),
        *[product(B, G, H)] * T,
    ]


def _operand(tensor: Tensor) -> Operand:
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)


def _filled(operand: Operand) -> Tensor:
    """Ordinary numbers: zeros could be skipped, denormal ones are slow."""
    tensor = torch.empty_strided(
        operand.size, operand.stride, dtype=operand.dtype, device=operand.device
    )
    return tensor.uniform_(-0.1, 0.1)
