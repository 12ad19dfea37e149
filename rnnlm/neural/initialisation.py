"""How weights start, by name; dropout, and penalties on activations."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.errors import SettingsError
from rnnlm.neural.settings import (
    Initialisation,
    InputSettings,
    NetworkSettings,
    RecurrentModelSettings,
)


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
        shape = f"{weight.shape[0] // blocks} x {weight.shape[1]}"
        raise SettingsError(
            "initialisation identity needs square weights",
            f"these are {shape}",
            "choose another of init_..., or equal widths",
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

    hidden: weights of hidden layers, each with what it multiplies ("input" or "recurrent") and the
    number of blocks stacked in it. outputs: weights of output layers. vectors_VE: the word vectors,
    if there are any.
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


# ---- Dropout, and penalties on activations.
#
# Dropout (Srivastava et al. 2014) is inverted: what is kept is scaled up, so that expected values
# stay.
#
# Locked (variational) dropout (Gal & Ghahramani 2016): one mask for each row, the same at all
# places of a window.


def dropout(x_TBE: Tensor, p: float, training: bool, locked: bool = False) -> Tensor:
    """Set each element of `x` to zero with probability `p`, and divide the others by 1 - p; return
    `x` itself if not training."""
    if not training or p == 0:
        return x_TBE
    shape = (1, *x_TBE.shape[1:]) if locked else x_TBE.shape

    if x_TBE.device.type != "cpu":
        if locked:
            return x_TBE * F.dropout(x_TBE.new_ones(shape), p)
        return F.dropout(x_TBE, p)

    # torch's own kernel on the CPU takes ten nanoseconds an element for its mask, a tenth of a
    # training step; uniform numbers take two.
    kept = torch.rand(shape, dtype=torch.float32) >= p
    return x_TBE * (kept / (1 - p)).to(x_TBE.dtype)


def activation_penalty(
    settings: NetworkSettings, y_TBE: Tensor, dropped_TBE: Tensor
) -> Tensor | float:
    """Compute activation and temporal activation regularization (Merity, McCann & Socher 2017;
    Merity et al. 2018, section 4.6).

    It is alpha mean(dropped^2) + beta mean((y_t+1 - y_t)^2): AR on what dropout left, TAR on what
    there was before; 0.0 where neither is asked for.
    """
    if not isinstance(settings, RecurrentModelSettings):
        return 0.0
    penalty: Tensor | float = 0.0
    if settings.activation_penalty:
        penalty = penalty + settings.activation_penalty * _mean_square(dropped_TBE)
    if settings.temporal_penalty and len(y_TBE) > 1:
        penalty = penalty + settings.temporal_penalty * _mean_square(y_TBE.diff(dim=0))
    return penalty


def _mean_square(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32)).pow(2).mean()
