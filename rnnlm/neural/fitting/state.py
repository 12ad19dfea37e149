"""All that a training run carries from step to step, collected from the trainer's parts under fixed
keys: what --resume goes on from.

A trainer made with the same settings and texts, into which that is loaded, takes the steps that the
first one would have taken, bit by bit on one machine and number of threads. Numbers and lists of
numbers are facts, under the key of their part; tensors are arrays, named KEY.NAME.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rnnlm.arrays import strip_prefix
from rnnlm.errors import ModelError, notice
from rnnlm.events import TrainingState
from rnnlm.neural.fitting import legacy
from rnnlm.neural.fitting.contracts import Part

if TYPE_CHECKING:
    from rnnlm.neural.fitting.trainer import Trainer


def state_dict(trainer: "Trainer") -> TrainingState:
    """What `trainer` (a :class:`~rnnlm.neural.fitting.trainer.Trainer`) would go on from; of
    several ranks, all ask, and each gets all of it."""
    facts: dict[str, Any] = {"step": trainer.step_count}
    arrays = {}
    for key, part in _parts(trainer).items():
        for name, value in part.state_dict().items():
            # a copy, as training goes on in place; but best weights are only ever replaced
            if isinstance(value, Tensor):
                arrays[f"{key}.{name}"] = value.detach().to("cpu", copy=key != "best").numpy()
            else:
                facts.setdefault(key, {})[name] = _storable(value)
    return TrainingState(facts, arrays)


def load_state_dict(trainer: "Trainer", stored: TrainingState, but: Collection[str] = ()) -> None:
    """`trainer` goes on where the one stood that `stored` is of; the parts called `but` stay as
    they are.

    Raises:
        ModelError: it is not of such a run.
    """
    try:
        facts, arrays = (
            stored.facts,
            {name: torch.from_numpy(array) for name, array in stored.arrays.items()},
        )
        trainer.step_count = facts["step"]
        for key, part in _parts(trainer).items():
            if key not in but:
                numbers = {name: _number(value) for name, value in facts.get(key, {}).items()}
                part.load_state_dict({**numbers, **strip_prefix(f"{key}.", arrays)})
    except torch.OutOfMemoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None


def checked(stored: TrainingState) -> TrainingState:
    """`stored` in the form of today, with a number of rows that makes sense; None: not known, it
    was of one process.

    Raises:
        ModelError: it is of no run.
    """
    try:
        stored = legacy.upgraded(stored)
        rows = stored.facts["source"]["rows"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None
    if rows is not None and (type(rows) is not int or rows < 1):
        raise _damaged(f"rows = {rows!r}")
    return stored


def _parts(trainer: "Trainer") -> dict[str, Part]:
    """By the keys they are stored under; an average may need the weights, which come before it."""
    return {
        "network": _Weights(trainer), "optimizer": _Moments(trainer),
        "averaging": trainer.averaging, "source": trainer.source,
        "schedule": trainer.schedule, "best": trainer.best, "validation": trainer.validation,
        "curve": trainer.curve,
        "fine_tuning": trainer.fine_tuning, "divergence": trainer.divergence,
        "clock": trainer.clock, "rollbacks": trainer.rollbacks,
        "layers": trainer.layers, "carry": _Carried(trainer), "random": _RandomStates(trainer),
    }  # fmt: skip


@dataclass(frozen=True)
class _OfTrainer:
    """A part that is no class of its own."""

    trainer: "Trainer"


class _Weights(_OfTrainer):
    def state_dict(self) -> dict[str, Tensor]:
        return self.trainer.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer.network.load_state_dict(state)
        self.trainer.objective.weights_changed()


class _Moments(_OfTrainer):
    """What the optimizer remembers of each weight, by the weight's number."""

    def state_dict(self) -> dict[str, Tensor]:
        moments = self.trainer.optimizer.state_dict()["state"].items()
        return {
            f"{number}.{name}": value
            for number, own in moments
            for name, value in own.items()
            if isinstance(value, Tensor)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = tensor.clone()
        optimizer = self.trainer.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


class _Carried(_OfTrainer):
    """What the last batch left to the next one, of the rows of all ranks."""

    def state_dict(self) -> dict[str, Tensor]:
        gather_rows, rows = self.trainer.ranks.gather_rows, self.trainer.source.rows
        return {
            str(number): gather_rows(tensor, rows)
            for number, tensor in enumerate(self.trainer.carry)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, tensor in enumerate(self.trainer.carry):
            tensor.copy_(state[str(number)][:, self.trainer.share])


class _RandomStates(_OfTrainer):
    """Those of torch's generators, of each rank: `cpu` and `cuda` of the first one, `cpu.1` of the
    second. Whatever else draws makes its generator anew from the seed."""

    def state_dict(self) -> dict[str, Any]:
        device, ranks = self.trainer.device, self.trainer.ranks
        states = {"cpu": torch.get_rng_state()} | (
            {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
        )
        found: dict[str, Any] = {"ranks": ranks.count}
        for kind, state in states.items():
            found |= {
                _of_rank(kind, rank): gathered for rank, gathered in enumerate(ranks.gather(state))
            }
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Another number of ranks than the stored one draws anew. Where `cuda` is missing, as of
        another device, the state there stays."""
        trainer, ranks = self.trainer, self.trainer.ranks
        if state["ranks"] != ranks.count:
            here = "1 process" if ranks.count == 1 else f"{ranks.count} processes"
            notice(
                f"the run goes on in {here} instead of {state['ranks']}: what is drawn at "
                "random (dropout) is drawn anew"
            )
            torch.manual_seed(trainer.source.seed + trainer.step_count)
            ranks.seed_per_rank(trainer.source.seed, trainer.step_count)
            return
        torch.set_rng_state(state[_of_rank("cpu", ranks.rank_info.rank)])
        on_device = state.get(_of_rank("cuda", ranks.rank_info.rank))
        if on_device is not None and trainer.device.type == "cuda":
            torch.cuda.set_rng_state(on_device, trainer.device)


def _of_rank(kind: str, rank: int) -> str:
    return f"{kind}.{rank}" if rank else kind


def _storable(value: object) -> object:
    """JSON has no infinity: it is stored as a text."""
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(stored: object) -> object:
    if isinstance(stored, list):
        return [_number(each) for each in stored]
    return float(stored) if stored in ("inf", "-inf", "nan") else stored


def _damaged(why: str) -> ModelError:
    return ModelError("what --resume needs is damaged, or of another run", why)
