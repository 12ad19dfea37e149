"""AdamW for word vectors of which a step reads few: a row is updated when it is read.

With a sampled softmax, most rows of a large vocabulary have no gradient in a step. AdamW
(Loshchilov & Hutter 2019) still moves such a row, by what is left of its momentum, and shrinks it.
For all rows that is a pass over arrays of the vocabulary's size, which takes as long as the rest of
a small network's step. Here a row waits, and when it is read it takes all n steps that it has
missed at once:

    w <- D_n w - C_n m / (sqrt(v) + eps'),    m <- beta1^n m,    v <- beta2^n v

D_n is the product of 1 - r_j lambda over these steps j, with r_j their learning rates. C_n is the
sum of r_j sqrt(1 - beta2^j) / (1 - beta1^j) (beta1 / sqrt(beta2))^i over them, where j is the i-th
of them, each multiplied by 1 - r lambda of the steps after it. The results are those of torch's
AdamW, up to rounding and to eps, which counts alike in all of the n steps.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adamw import adamw

# Steps that a row may miss; after so many, all rows are updated.
MOST_STEPS = 128


class WaitingRows:
    """What the rows of an array have missed.

    Attributes:
        steps_V: Number of steps that each row has missed.
        momentum_N: C_n of the last n steps, for n from 0 to MOST_STEPS.
        shrinkage_N: D_n of the last n steps.
    """

    def __init__(self, weight_VE: Tensor) -> None:
        self.weight_VE = weight_VE
        self.load_state_dict({})

    def advance(self, rows_R: Tensor, momentum: float, fading_N: Tensor, shrinkage: float) -> None:
        """Take note of a step that has updated `rows_R`: its factor of the momentum, how much is
        left of that after n steps, and 1 - r lambda."""
        self.steps_V.add_(1).index_fill_(0, rows_R, 0)
        self.momentum_N[1:] = self.momentum_N[:-1] * shrinkage + momentum * fading_N[1:]
        self.shrinkage_N[1:] = self.shrinkage_N[:-1] * shrinkage

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": self.steps_V, "momentum": self.momentum_N, "shrinkage": self.shrinkage_N}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state. No row waits in the state of a run that updated all rows in each
        step, as on a GPU: it has none of these arrays."""
        new_zeros = self.weight_VE.new_zeros
        self.steps_V = state.get("steps", new_zeros(len(self.weight_VE))).clone()
        self.momentum_N = state.get("momentum", new_zeros(MOST_STEPS + 1)).clone()
        self.shrinkage_N = state.get("shrinkage", new_zeros(MOST_STEPS + 1) + 1).clone()


class ReadRows(NamedTuple):
    """Rows that a step has read, up to date: their ids, and copies of w, m and v."""

    ids_R: Tensor
    w_RE: Tensor
    m_RE: Tensor
    v_RE: Tensor


class RowwiseAdamW(torch.optim.AdamW):
    """AdamW that updates the rows of `weight_VE` as the module describes, other weights as ever.

    A step begins with :meth:`begin`. Its forward pass reads rows by :meth:`read`, and after its
    backward pass :meth:`collect` makes their gradients that of `weight_VE`.
    """

    def __init__(
        self, groups: list[dict[str, Any]], weight_VE: nn.Parameter, **options: Any
    ) -> None:
        super().__init__(groups, **options)
        self.weight_VE = weight_VE
        self.waiting = WaitingRows(weight_VE.detach())
        self.state[weight_VE] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(weight_VE),
            "exp_avg_sq": torch.zeros_like(weight_VE),
        }
        self.parts: list[ReadRows] = []  # of this step, one for each time that rows were read
        # Where the step's rows are among those that it has read; -1 of others.
        self.place_V = torch.full((len(weight_VE),), -1)

    def begin(self) -> None:
        """Forget the rows of an earlier step."""
        for part in self.parts:
            self.place_V[part.ids_R] = -1
        self.parts = []

    def read(self, ids: Tensor) -> Tensor:
        """Return the rows of these ids, up to date, in one more dimension."""
        if not torch.is_grad_enabled():
            return F.embedding(ids, self.weight_VE)
        ids_R = ids.unique()
        ids_R = ids_R[self.place_V[ids_R] < 0]
        start = sum(len(part.ids_R) for part in self.parts)
        self.place_V[ids_R] = torch.arange(start, start + len(ids_R))
        w_RE, m_RE, v_RE = self._up_to_date(ids_R)
        self.parts.append(ReadRows(ids_R, w_RE.requires_grad_(), m_RE, v_RE))
        return F.embedding(self.place_V[ids], torch.cat([part.w_RE for part in self.parts]))

    def collect(self) -> None:
        """Make the gradients of the rows that were read the gradient of the array."""
        ids_R = torch.cat([part.ids_R for part in self.parts])
        g_RE = torch.cat([_gradient(part.w_RE) for part in self.parts])
        size = self.weight_VE.shape
        # Each id is there once, which is what `values` asks for.
        self.weight_VE.grad = torch.sparse_coo_tensor(
            ids_R.unsqueeze(0), g_RE, size, is_coalesced=True, check_invariants=False
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all other weights, and the rows that were read."""
        weight_VE = self.weight_VE
        gradient, weight_VE.grad = weight_VE.grad, None
        super().step(closure)
        weight_VE.grad = gradient
        if gradient is None:
            return

        # One step of AdamW: these rows have missed none.
        state, group = self.state[weight_VE], self._group()
        beta1, beta2 = group["betas"]
        ids_R, g_RE = gradient.indices()[0], gradient.values()
        parts = self.parts
        w = [part.w_RE.detach() for part in parts]
        adamw(
            w,
            list(g_RE.split([len(part.ids_R) for part in parts])),
            [part.m_RE for part in parts],
            [part.v_RE for part in parts],
            [],
            [state["step"].clone() for _ in parts],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
        )
        for part, w_RE in zip(parts, w, strict=True):
            self._put_rows(part.ids_R, w_RE, part.m_RE, part.v_RE)
        state["step"] += 1

        # All others miss it.
        momentum, _ = self._momentum_and_eps()
        shrinkage = 1 - group["lr"] * group["weight_decay"]
        steps_N = torch.arange(MOST_STEPS + 1, dtype=g_RE.dtype)
        fading_N = (beta1 / math.sqrt(beta2)) ** steps_N
        self.waiting.advance(ids_R, momentum, fading_N, shrinkage)
        if state["step"] % MOST_STEPS == 0:
            self.update_rows()

    @torch.no_grad()
    def update_rows(self) -> None:
        """Bring all rows up to date."""
        ids_V = torch.arange(len(self.weight_VE))
        self._put_rows(ids_V, *self._up_to_date(ids_V))
        self.waiting.steps_V.zero_()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Bring all rows up to date in this context, and restore them exactly afterwards."""
        before_VE = self.weight_VE.detach().clone()
        with torch.no_grad():
            self.weight_VE.copy_(self._up_to_date(torch.arange(len(before_VE)))[0])
        try:
            yield
        finally:
            with torch.no_grad():
                self.weight_VE.copy_(before_VE)

    @torch.no_grad()
    def _up_to_date(self, ids_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return copies of w, m and v of these rows after the steps that they have missed."""
        waiting, (beta1, beta2) = self.waiting, self._group()["betas"]
        _, eps = self._momentum_and_eps()
        w_RE, m_RE, v_RE = (array_VE.index_select(0, ids_R) for array_VE in self._arrays())
        steps_R1 = waiting.steps_V[ids_R].unsqueeze(1)
        n_R1 = steps_R1.long()
        moved_RE = m_RE * waiting.momentum_N[n_R1]
        w_RE.mul_(waiting.shrinkage_N[n_R1]).addcdiv_(moved_RE, v_RE.sqrt().add_(eps), value=-1)
        return w_RE, m_RE.mul_(beta1**steps_R1), v_RE.mul_(beta2**steps_R1)

    def _put_rows(self, ids_R: Tensor, *rows_RE: Tensor) -> None:
        for array_VE, values_RE in zip(self._arrays(), rows_RE, strict=True):
            array_VE.index_copy_(0, ids_R, values_RE)

    def _momentum_and_eps(self) -> tuple[float, float]:
        """Return the factor of m / (sqrt(v) + eps') in a row's step now, and eps'."""
        group, step = self._group(), float(self.state[self.weight_VE]["step"])
        beta1, beta2 = group["betas"]
        if not step:
            return 0.0, group["eps"]
        correction = math.sqrt(1 - beta2**step)
        return group["lr"] * correction / (1 - beta1**step), group["eps"] * correction

    def _group(self) -> dict[str, Any]:
        """Return the group of the array."""
        groups = self.param_groups
        return next(g for g in groups if any(w is self.weight_VE for w in g["params"]))

    def _arrays(self) -> tuple[Tensor, Tensor, Tensor]:
        state = self.state[self.weight_VE]
        return self.weight_VE, state["exp_avg"], state["exp_avg_sq"]


def _gradient(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
