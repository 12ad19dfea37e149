"""Initialise weights in one of several ways, by name."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rnnlm.errors import SettingsError
from rnnlm.lm.neural.settings import Initialisation, InputSettings


@torch.no_grad()
def initialise(
    weight: Tensor,
    name: Initialisation,
    *,
    init_range: float,
    gain: float,
    width: int,
    blocks: int = 1,
) -> None:
    """Fill a weight matrix, in place, as `name` says:

    uniform: in [-r, r], r = init_range; glorot: uniform in +-gain sqrt(6 / (fan_in + fan_out))
    (Glorot & Bengio 2010, eq. 16); he: normal with deviation gain sqrt(2 / fan_in), made for ReLU
    (He et al. 2015, eq. 10); orthogonal: gain Q, Q random with orthonormal rows or columns,
    whichever are fewer (Saxe et al. 2014); identity: gain I (Le et al. 2015, with gain 1); square
    matrices only; torch: uniform in +-1 / sqrt(width), as torch's layers start: `width` is H of
    recurrent ones, K of linear ones.

    The rows of a matrix of gates, (blocks * H, K), are `blocks` matrices, each of which is filled
    by itself: its fans are K and H. Nothing happens on the meta device, whose weights are read from
    a file later.
    """
    if name == "identity" and weight.shape[0] != blocks * weight.shape[1]:
        raise SettingsError(
            "initialisation identity needs square weights",
            f"these are {weight.shape[0] // blocks} x {weight.shape[1]}",
            "choose another initialisation (init_...), or equal widths",
        )
    if weight.is_meta:  # normal numbers there would import torch's compiler
        return
    for block in weight.chunk(blocks):
        _fill(block, name, init_range, gain, width)


def start_weights(
    settings: InputSettings,
    hidden: Iterable[tuple[Tensor, str, int]],
    outputs: Iterable[Tensor],
    vectors_VE: Tensor | None,
) -> None:
    """Fill a network's weights as its settings ask for.

    hidden: weights of hidden layers, each with its operand ("input" or "recurrent") and the number
    of blocks stacked in it. outputs: weights of output layers. vectors_VE: the word vectors, if
    there are any.
    """

    def start(weight: Tensor, name: Initialisation, width: int, blocks: int = 1) -> None:
        initialise(
            weight,
            name,
            init_range=settings.init_range,
            gain=settings.init_gain,
            width=width,
            blocks=blocks,
        )

    names = {"input": settings.init_input, "recurrent": settings.init_recurrent}
    for weight, kind, blocks in hidden:
        start(weight, names[kind], len(weight) // blocks, blocks)
    for weight in outputs:
        start(weight, settings.init_output, weight.shape[1])
    if vectors_VE is not None:
        start(vectors_VE, settings.init_embedding, settings.embedding_size)


def _fill(weight: Tensor, name: Initialisation, init_range: float, gain: float, width: int) -> None:
    if name == "uniform":
        nn.init.uniform_(weight, -init_range, init_range)
    elif name == "torch":
        nn.init.uniform_(weight, -1 / math.sqrt(width), 1 / math.sqrt(width))
    elif name == "glorot":
        nn.init.xavier_uniform_(weight, gain)
    elif name == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu").mul_(gain)
    elif name == "orthogonal":
        nn.init.orthogonal_(weight, gain)
    else:
        nn.init.eye_(weight).mul_(gain)
