"""What training is compared with: the loop of the tutorials, and the bare matrix products.

The loop has torch's own layers, all logits at once, an optimizer with its defaults. With
weight-drop it is AWD-LSTM as its scripts write it: layers one by one, whose recurrent weights are
dropped out again at each step and set as an attribute, and word vectors that are dropped out in a
copy of the whole matrix (Merity et al. 2018).
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
    """Return whether torch has the layers of such a network: word vectors, one recurrent kernel of
    equal widths (or, with weight-drop, a kernel for each layer), a softmax."""
    if not isinstance(settings, RecurrentModelSettings) or settings.model not in KERNELS:
        return False
    if settings.characters or settings.output_layer != "softmax":
        return False
    if settings.connections != "plain":
        return False

    # torch's layers have one width; with weight-drop, each layer is a kernel by itself.
    if len(set(settings.widths)) > 1 and settings.weight_drop <= 0:
        return False
    cell = vars(settings.cell)
    return all(cell.get(name, forms[0]) in forms for name, forms in IN_TORCH.items())


class _Network(nn.Module):
    """Word vectors and the layer of logits, tied if `settings` tie them, through a projection if
    widths differ."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__()
        E, H = settings.embedding_size, settings.widths[-1]
        self.settings = settings
        self.embedding = nn.Embedding(size, E)
        self.projection: nn.Module = nn.Identity()
        if settings.is_tied and E != H:
            self.projection = nn.Linear(H, E)
        self.decoder = nn.Linear(E if settings.is_tied else H, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if settings.is_tied:
            self.decoder.weight = self.embedding.weight

    def _kernel(self, *shape: int, **more: Any) -> nn.RNNBase:
        cell = self.settings.cell
        if isinstance(cell, ElmanCell):
            more["nonlinearity"] = cell.activation
        return KERNELS[self.settings.model](*shape, **more)


class TextbookNetwork(_Network):
    """nn.Embedding, one of nn.RNN, nn.GRU and nn.LSTM, and nn.Linear: for settings that
    :func:`is_in_torch` accepts, without weight-drop."""

    def __init__(self, settings: RecurrentModelSettings, size: int) -> None:
        super().__init__(settings, size)
        between = settings.dropout_between if settings.layers > 1 else 0.0
        self.drop_input = nn.Dropout(settings.dropout_input)
        self.drop_output = nn.Dropout(settings.dropout_output)
        E, H = settings.embedding_size, settings.widths[0]
        self.kernel = self._kernel(E, H, settings.layers, dropout=between)

    def forward(self, inputs_TB: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        """Return the logits (T, B, V), no penalty, and the state after the window. `state`: that of
        torch's layer, or None."""
        x_TBE = self.drop_input(self.embedding(inputs_TB))
        y_TBH, state = self.kernel(x_TBE, state)
        logits_TBV = self.decoder(self.drop_output(self.projection(y_TBH)))
        return logits_TBV, 0.0, state


class WeightDropLayer(nn.Module):
    """One of torch's layers. Its recurrent weights are a parameter beside the kernel, which reads a
    dropped-out copy of them at each step."""

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
        self.layers = nn.ModuleList()
        for shape in itertools.pairwise(widths):
            self.layers.append(WeightDropLayer(self._kernel(*shape), settings.weight_drop))

    def forward(
        self, inputs_TB: Tensor, states: States | None
    ) -> tuple[Tensor, Tensor | float, States]:
        """Return the logits (T, B, V), the penalties on activations (AR plus TAR), and the states
        after the window."""
        settings = self.settings
        after = []
        y_TBH = self._drop(self._embed(inputs_TB), settings.dropout_input)
        for number, layer in enumerate(self.layers):
            x_TBE = self._drop(y_TBH, settings.dropout_between) if number else y_TBH
            y_TBH, state = layer(x_TBE, states[number] if states else None)
            after.append(state)

        # AR penalizes large activations, TAR large changes from step to step.
        y_TBE = self.projection(y_TBH)
        dropped_TBE = self._drop(y_TBE, settings.dropout_output)
        change_TBE = y_TBE[1:] - y_TBE[:-1]
        penalty = settings.activation_penalty * dropped_TBE.float().pow(2).mean()
        penalty = penalty + settings.temporal_penalty * change_TBE.float().pow(2).mean()
        return self.decoder(dropped_TBE), penalty, after

    def _embed(self, inputs_TB: Tensor) -> Tensor:
        weight_VE, p = self.embedding.weight, self.settings.dropout_embedding
        if self.training and p:  # whole word types are dropped
            kept_V1 = weight_VE.new_empty(len(weight_VE), 1).bernoulli_(1 - p)
            weight_VE = weight_VE * (kept_V1.expand_as(weight_VE) / (1 - p))
        return F.embedding(inputs_TB, weight_VE)

    def _drop(self, x_TBE: Tensor, p: float) -> Tensor:
        if not self.settings.locked_dropout:
            return F.dropout(x_TBE, p, self.training)
        if not (self.training and p):
            return x_TBE
        kept_1BE = x_TBE.new_empty(1, *x_TBE.shape[1:]).bernoulli_(1 - p)  # at all steps alike
        return x_TBE * (kept_1BE / (1 - p))


def make_loop(
    settings: RecurrentModelSettings, size: int, learning_rate: float,
    batches: Iterable[tuple[Tensor, ...]],
    precision: str, device: torch.device,
) -> Callable[[], int]:  # fmt: skip
    """Return a function that trains once over `batches` (inputs_TB, targets_TB) and returns how
    many tokens they have: with AdamW, or with weight-drop with SGD, as in AWD-LSTM's scripts."""
    network: TextbookNetwork | WeightDropNetwork
    optimizer: torch.optim.Optimizer
    if settings.weight_drop:
        network = WeightDropNetwork(settings, size).to(device)
        optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    else:
        network = TextbookNetwork(settings, size).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate)

    def loop() -> int:
        state, tokens = None, 0
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(precision, device):
                logits_TBV, penalty, state = network(inputs_TB, state)
            logits_NV = logits_TBV.flatten(0, 1).float()
            loss = F.cross_entropy(logits_NV, targets_TB.flatten(), ignore_index=-1)
            optimizer.zero_grad()
            (loss + penalty).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.25)
            optimizer.step()

            # Truncated back-propagation: the next window starts from the state, without its past.
            state = tree_map(torch.Tensor.detach, state)
            tokens += targets_TB.numel()
        return tokens

    return loop


# ---- The training loop of the tutorials for encoder-decoders: torch's own layers, the decoder step
# by step, all logits at once.
#
# nn.LSTM over packed sources, then nn.LSTMCell for each word of the targets, attention (Luong et
# al. 2015) at each of them, one F.cross_entropy over the logits of all words.
#
# Shapes: S source time, T target time, B rows, E width of the word vectors, H of the encoder's
# outputs, D of the decoder, V vocabulary.

PAIRS_IN_TORCH: dict[str, tuple[object, ...]] = {
    "attention": ("general", "dot", None), "bridge": ("last",), "tied_embeddings": ("target", None),
    "connections": ("plain",),
    "decoder_model": (None, "lstm"), "peepholes": (False,), "coupled_gates": (False,),
    "mogrifier_rounds": (0,), "weight_drop": (0.0,),
}  # fmt: skip
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}

PairTensors = tuple[Tensor, Tensor, Tensor, Tensor]  # sources_SB, lengths_1B, inputs_TB, targets_TB


def are_pairs_in_torch(settings: Seq2SeqSettings, fitting: Seq2SeqFittingSettings) -> bool:
    """Return whether tutorials have such a network and such training: LSTMs of one width on either
    side, attention by products or none."""
    if not isinstance(settings.cell, LstmCell):
        return False
    if fitting.optimizer not in OPTIMIZERS or fitting.own_words:
        return False
    if len(set(settings.widths)) > 1 or settings.layers != settings.decoder_layers:
        return False
    if settings.attention is None and settings.features_width != settings.decoder_width:
        return False
    values = {**vars(settings), **vars(settings.cell)}
    return all(values[name] in forms for name, forms in PAIRS_IN_TORCH.items())


class TextbookPairs(nn.Module):
    """An encoder-decoder with `settings` that :func:`are_pairs_in_torch` accepts, and vocabularies
    of these sizes."""

    def __init__(self, settings: Seq2SeqSettings, source_size: int, target_size: int) -> None:
        super().__init__()
        self.settings = settings
        E, H = settings.embedding_size, settings.output_width
        D, F_ = settings.decoder_width, settings.features_width

        # The encoder.
        between = settings.dropout_between if settings.layers > 1 else 0.0
        self.source_embedding = nn.Embedding(source_size, E)
        self.target_embedding = nn.Embedding(target_size, settings.target_width)
        width, both = settings.widths[0], settings.bidirectional
        self.encoder = nn.LSTM(E, width, settings.layers, bidirectional=both, dropout=between)

        # The decoder, step by step; its first layer also reads the last step's features, if fed.
        first = settings.target_width + settings.fed_width
        widths = [first, *[D] * (settings.decoder_layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(each, D) for each in widths)
        self.bridge = nn.ModuleList(nn.Linear(H, D) for _ in range(2 * settings.decoder_layers))

        # Attention.
        self.query: nn.Module = nn.Identity()
        if settings.attention == "general":
            self.query = nn.Linear(D, H, bias=False)
        self.combination: nn.Module = nn.Identity()
        if settings.attention:
            self.combination = nn.Linear(D + H, F_, bias=False)

        # The output, and word vectors initialised as in tutorials.
        self.drop_input = nn.Dropout(settings.dropout_input)
        self.drop_between = nn.Dropout(settings.dropout_between)
        self.drop_output = nn.Dropout(settings.dropout_output)
        self.output = nn.Linear(F_, target_size)
        nn.init.uniform_(self.source_embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.target_embedding.weight, -0.1, 0.1)
        if settings.tied_embeddings:
            self.output.weight = self.target_embedding.weight

    def forward(self, sources_SB: Tensor, lengths_B: Tensor, inputs_TB: Tensor) -> Tensor:
        """Return the logits (T, B, V)."""
        # Read the sources. Packing spares the encoder the padding.
        x_SBE = self.drop_input(self.source_embedding(sources_SB))
        packed = nn.utils.rnn.pack_padded_sequence(x_SBE, lengths_B.cpu(), enforce_sorted=False)
        packed, (last, _) = self.encoder(packed)
        memory_BSH, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        step_S = torch.arange(len(sources_SB), device=lengths_B.device)
        is_padding_BS = step_S >= lengths_B.unsqueeze(1)

        # Decode step by step: each step may read the features of the one before.
        states = self._first_states(last)
        fed_BF = memory_BSH.new_zeros(len(memory_BSH), self.settings.fed_width)
        features = []
        for x_BE in self.drop_input(self.target_embedding(inputs_TB)):
            if self.settings.input_feeding:
                x_BE = torch.cat([x_BE, self.drop_input(fed_BF)], dim=1)
            h_BD = x_BE
            for number, cell in enumerate(self.cells):
                if number:
                    h_BD = self.drop_between(h_BD)
                states[number] = cell(h_BD, states[number])
                h_BD, _ = states[number]
            fed_BF = h_BD
            if self.settings.attention:
                fed_BF = self._attend(h_BD, memory_BSH, is_padding_BS)
            features.append(fed_BF)
        return self.output(self.drop_output(torch.stack(features)))

    def _first_states(self, last: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the state (h, c) that each layer of the decoder begins with. last: the last hidden
        states of the encoder, (layers x directions, B, width)."""
        last_LBH = last.unflatten(0, (self.settings.layers, -1)).transpose(1, 2).flatten(2)
        maps = iter(self.bridge)
        states = []
        for last_BH in last_LBH:
            h_BD = torch.tanh(next(maps)(last_BH))
            c_BD = torch.tanh(next(maps)(last_BH))
            states.append((h_BD, c_BD))
        return states

    def _attend(self, h_BD: Tensor, memory_BSH: Tensor, is_padding_BS: Tensor) -> Tensor:
        """Return the attentional vector."""
        query_B1H = self.query(h_BD).unsqueeze(1)
        scores_BS = torch.bmm(query_B1H, memory_BSH.transpose(1, 2)).squeeze(1)
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
    """Return a function that trains once over `batches` and returns how many tokens they have on
    both sides."""
    network.to(device)
    optimizer = OPTIMIZERS[fitting.optimizer](network.parameters(), lr=fitting.learning_rate)

    # Count before the loop, which is timed: counting waits for the device.
    tokens = 0
    for _, lengths_1B, _, targets_TB in batches:
        tokens += int(lengths_1B.sum()) + int((targets_TB >= 0).sum())

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
    """Return the loss of a batch, in nats per target."""
    sources_SB, lengths_1B, inputs_TB, targets_TB = tensors
    with training_products(precision, sources_SB.device):
        logits_TBV = network(sources_SB, lengths_1B[0], inputs_TB)
    logits_NV = logits_TBV.flatten(0, 1).float()
    return F.cross_entropy(
        logits_NV, targets_TB.flatten(), ignore_index=-1, label_smoothing=label_smoothing
    )


# ---- The part of a training step that it cannot do without: its matrix products, recorded during
# the step and repeated alone.

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
    """A context that records the products done in it, in order; `repeat` makes a function that does
    them again on other numbers.

    The products inside a kernel for a whole recurrent layer are not seen. Those of oneDNN's kernel
    are known; cuDNN's is switched off in this context.
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
            is_forward = func.overloadpacket is _aten.mkldnn_rnn_layer
            self.products += _of_fused_layer(x_TBE, weight_hh, is_forward)
        return func(*args, **(kwargs or {}))

    def repeat(self) -> Callable[[], None]:
        """Return a function that does the recorded products once at each call. Operands of one
        shape share their numbers."""
        tensors: dict[Operand, Tensor] = {}
        for recorded in self.products:
            for operand in (recorded.left, recorded.right):
                if operand not in tensors:
                    tensors[operand] = _filled(operand)

        def run() -> None:
            for product in self.products:
                multiply = torch.bmm if product.batched else torch.mm
                multiply(tensors[product.left], tensors[product.right])

        return run


def _of_fused_layer(x_TBE: Tensor, weight_hh: Tensor, is_forward: bool) -> list[Product]:
    """Return the products inside oneDNN's recurrent layer: the inputs of the window at once, the
    states step by step."""
    T, B, E = x_TBE.shape
    G, H = weight_hh.shape

    def product(rows: int, inner: int, columns: int) -> Product:
        left = Operand((rows, inner), (inner, 1), x_TBE.dtype, x_TBE.device)
        right = Operand((inner, columns), (columns, 1), x_TBE.dtype, x_TBE.device)
        return Product(left, right, batched=False)

    if is_forward:
        return [product(T * B, E, G), *[product(B, H, G)] * T]

    # Backward: the gradients of inputs and of both weights at once, those of states step by step.
    of_inputs, of_weight_ih = product(T * B, G, E), product(G, T * B, E)
    of_weight_hh, of_state = product(G, T * B, H), product(B, G, H)
    return [of_inputs, of_weight_ih, of_weight_hh, *[of_state] * T]


def _operand(tensor: Tensor) -> Operand:
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)


def _filled(operand: Operand) -> Tensor:
    """Fill an operand with ordinary numbers: zeros could be skipped, and denormals are slow."""
    tensor = torch.empty_strided(
        operand.size, operand.stride, dtype=operand.dtype, device=operand.device
    )
    return tensor.uniform_(-0.1, 0.1)
