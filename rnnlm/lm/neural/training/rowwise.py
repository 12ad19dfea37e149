"""AdamW for word vectors of which a step reads few: a row is updated when it is read.

With a sampled softmax, most rows of a large vocabulary have no gradient in a step. AdamW
(Loshchilov & Hutter 2019) still moves such a row, by what is left of its momentum, and shrinks it.
Doing this for all rows is a pass over arrays of the vocabulary's size, which takes as long as the
rest of a small network's step. Here a row waits. When it is read, it takes at once the n steps j
that it has missed:

    w <- D_n w - C_n m / (sqrt(v) + eps'),    m <- beta1^n m,    v <- beta2^n v

D_n is the product of 1 - r_j lambda over these steps, where r_j is the learning rate of step j. C_n
is the sum of r_j sqrt(1 - beta2^j) / (1 - beta1^j) (beta1 / sqrt(beta2))^i over them, i counted
from 1, each term times 1 - r_k lambda for every later step k. eps' is eps sqrt(1 - beta2^j) for the
first of them; in torch it grows by beta2^(-1/2) per step. Apart from that and from rounding, the
results are those of torch's AdamW.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adamw import adamw

from rnnlm.lm.neural.layers.layers import LayeredNetwork

MOST_STEPS = 128  # that a row may miss; after so many, all rows are updated
ROWS_AT_ONCE = 8192  # of an update of all rows, so that its arrays stay small


class WaitingRows:
    """The rows of an array, and the steps of AdamW that each has missed.

    Attributes:
        steps_V: Number of steps that each row has missed.
        momentum_N: C_n of the last n steps, for n from 0 to MOST_STEPS.
        shrinkage_N: D_n of the last n steps.
    """

    steps_V: Tensor
    momentum_N: Tensor
    shrinkage_N: Tensor

    def __init__(self, optimizer: torch.optim.Optimizer, weight_VE: Tensor) -> None:
        self.optimizer = optimizer
        self.weight_VE = weight_VE
        self.load_state_dict({})

    @property
    def group(self) -> dict[str, Any]:
        """The optimizer's settings for the array."""
        groups = self.optimizer.param_groups
        return next(g for g in groups if any(w is self.weight_VE for w in g["params"]))

    @property
    def state(self) -> dict[str, Tensor]:
        """The optimizer's arrays for the array, as torch names them."""
        return self.optimizer.state[self.weight_VE]

    def advance(self, ids_R: Tensor) -> None:
        """Count a missed step for all rows but these."""
        group, step = self.group, float(self.state["step"])
        beta1, beta2 = group["betas"]
        shrinkage = 1 - group["lr"] * group["weight_decay"]
        step_size = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        powers_N = torch.arange(1, MOST_STEPS + 1).to(self.momentum_N)
        last_step_N = step_size * (beta1 / math.sqrt(beta2)) ** powers_N
        self.momentum_N[1:] = self.momentum_N[:-1] * shrinkage + last_step_N
        self.shrinkage_N[1:] = self.shrinkage_N[:-1] * shrinkage
        self.steps_V.add_(1).index_fill_(0, ids_R, 0)

    @torch.no_grad()
    def read(self, ids_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return copies of w, m and v of these rows, up to date."""
        beta1, beta2 = self.group["betas"]
        w_RE, m_RE, v_RE = (array_VE.index_select(0, ids_R) for array_VE in self._arrays())
        steps_R1 = self.steps_V[ids_R].unsqueeze(1)
        n_R1 = steps_R1.long()

        # eps' at the first step missed, which counts most. MPS has no float64.
        steps_N = torch.arange(MOST_STEPS + 1, dtype=torch.float64)
        first_missed_N = (float(self.state["step"]) + 1 - steps_N).clamp(min=1)
        eps_N = (self.group["eps"] * (1 - beta2**first_missed_N).sqrt()).to(v_RE)
        size_RE = v_RE.sqrt().add_(eps_N[n_R1])
        w_RE.mul_(self.shrinkage_N[n_R1]).addcdiv_(m_RE * self.momentum_N[n_R1], size_RE, value=-1)
        return w_RE, m_RE.mul_(beta1**steps_R1), v_RE.mul_(beta2**steps_R1)

    @torch.no_grad()
    def write(self, ids_R: Tensor, *rows_RE: Tensor) -> None:
        """Put w, m and v of these rows into their arrays."""
        for array_VE, values_RE in zip(self._arrays(), rows_RE, strict=True):
            array_VE.index_copy_(0, ids_R, values_RE)

    def update_all(self) -> None:
        """Bring all rows up to date."""
        for ids_R in self._slices():
            self.write(ids_R, *self.read(ids_R))
            self.steps_V[ids_R] = 0

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Bring all rows up to date in this context, and restore them exactly afterwards."""
        weight_VE, steps_V = self.weight_VE.detach(), self.steps_V
        before_VE = weight_VE.clone()
        try:
            for ids_R in self._slices():
                weight_VE.index_copy_(0, ids_R, self.read(ids_R)[0])
            self.steps_V = torch.zeros_like(steps_V)
            yield
        finally:
            weight_VE.copy_(before_VE)
            self.steps_V = steps_V

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": self.steps_V, "momentum": self.momentum_N, "shrinkage": self.shrinkage_N}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state. In that of a run that updated all rows in each step, as on a GPU,
        these arrays are missing, and no row waits."""
        new_zeros = self.weight_VE.detach().new_zeros
        self.steps_V = new_zeros(len(self.weight_VE))
        self.momentum_N = new_zeros(MOST_STEPS + 1)
        self.shrinkage_N = new_zeros(MOST_STEPS + 1) + 1
        if state:
            for name, array in self.state_dict().items():
                array.copy_(state[name])

    def _arrays(self) -> tuple[Tensor, Tensor, Tensor]:
        state = self.state
        return self.weight_VE.detach(), state["exp_avg"], state["exp_avg_sq"]

    def _slices(self) -> tuple[Tensor, ...]:
        """Return the ids of all rows, some at a time."""
        rows = len(self.weight_VE)
        return torch.arange(rows, device=self.weight_VE.device).split(ROWS_AT_ONCE)


@dataclass(frozen=True)
class NoWaitingRows:
    """The rows of a run that updates all of them in each step. Rows that waited in a stored state
    are updated when it is loaded."""

    optimizer: torch.optim.Optimizer
    network: LayeredNetwork

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weight_VE = self.network.sampled_vectors()
        if state and weight_VE is not None:
            waiting = WaitingRows(self.optimizer, weight_VE)
            waiting.load_state_dict(state)
            waiting.update_all()


class RowsOfStep(NamedTuple):
    """Rows that a step has read, up to date: their ids, and copies of w, m and v."""

    ids_R: Tensor
    w_RE: Tensor
    m_RE: Tensor
    v_RE: Tensor


class RowwiseAdamW(torch.optim.AdamW):
    """AdamW that updates the rows of `weight_VE` as the module says, other weights as torch does.

    The forward pass of a step runs within :meth:`reading`. After its backward pass, :meth:`collect`
    makes the gradients of the rows that were read the gradient of `weight_VE`.
    """

    def __init__(
        self, groups: list[dict[str, Any]], weight_VE: nn.Parameter, **options: Any
    ) -> None:
        super().__init__(groups, **options)
        self.weight_VE = weight_VE
        self._make_state()
        self.waiting = WaitingRows(self, weight_VE)
        self.reads: list[RowsOfStep] = []  # of this step
        # Position of each row among those read in this step; -1 if unread.
        self.place_V = torch.full((len(weight_VE),), -1)

    @contextlib.contextmanager
    def reading(self, network: LayeredNetwork) -> Iterator[None]:
        """Start a step: in this context, `network` reads rows by :meth:`read`."""
        for read in self.reads:
            self.place_V[read.ids_R] = -1
        self.reads = []
        network.read_rows_by(self.read)
        try:
            yield
        finally:
            network.read_rows_by(None)

    def read(self, ids: Tensor) -> Tensor:
        """Return the up-to-date vectors of `ids`, (..., E)."""
        ids_R = ids.unique()
        ids_R = ids_R[self.place_V[ids_R] < 0]
        w_RE, m_RE, v_RE = self.waiting.read(ids_R)
        first = sum(len(read.ids_R) for read in self.reads)
        self.reads.append(RowsOfStep(ids_R, w_RE.requires_grad_(), m_RE, v_RE))
        self.place_V[ids_R] = torch.arange(first, first + len(ids_R))
        return F.embedding(self.place_V[ids], torch.cat([read.w_RE for read in self.reads]))

    def collect(self) -> None:
        """Store the gradients of the rows read as the array's sparse gradient."""
        ids_R = torch.cat([read.ids_R for read in self.reads])
        g_RE = torch.cat([cast(Tensor, read.w_RE.grad) for read in self.reads])
        # No id is there twice, which torch calls coalesced.
        self.weight_VE.grad = torch.sparse_coo_tensor(
            ids_R.unsqueeze(0),
            g_RE,
            self.weight_VE.shape,
            is_coalesced=True,
            check_invariants=False,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all other weights, and the rows that were read."""
        gradient, self.weight_VE.grad = self.weight_VE.grad, None
        super().step(closure)
        self.weight_VE.grad = gradient
        if gradient is None:
            return

        # The rows read are up to date: torch's kernel can update them.
        group, step = self.waiting.group, self.waiting.state["step"]
        weights = [read.w_RE.detach() for read in self.reads]
        sizes = [len(weight) for weight in weights]
        adamw(
            weights,
            list(gradient.values().split(sizes)),
            [read.m_RE for read in self.reads],
            [read.v_RE for read in self.reads],
            [],
            [step.clone() for _ in weights],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
        )
        for read, w_RE in zip(self.reads, weights, strict=True):
            self.waiting.write(read.ids_R, w_RE, read.m_RE, read.v_RE)

        # All others miss this one.
        step.add_(1)
        self.waiting.advance(gradient.indices()[0])
        if step % MOST_STEPS == 0:
            self.waiting.update_all()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if not self.state[self.weight_VE]:  # of a run before its first step
            self._make_state()

    def _make_state(self) -> None:
        self.state[self.weight_VE] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(self.weight_VE),
            "exp_avg_sq": torch.zeros_like(self.weight_VE),
        }
