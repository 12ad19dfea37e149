"""Collect the state of a training run from the trainer's parts under fixed keys: all that it
carries from step to step. The same command resumes from it.

A trainer made with the same settings and texts that takes up this state takes the steps that the
first one would have taken, bit by bit on one machine and number of threads. Numbers and lists of
numbers are facts, under the key of their part; tensors are arrays, named KEY.NAME.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rnnlm.arrays import strip_prefix
from rnnlm.errors import ModelError, notice
from rnnlm.events import TrainingState
from rnnlm.lm.neural.training.contracts import BatchSource, Carry, Objective, Stateful
from rnnlm.lm.neural.training.ranks import SingleProcess
from rnnlm.lm.neural.training.validation import Rollbacks


class StatefulParts(Protocol):
    """A trainer, as the parts whose states it carries from step to step."""

    step_count: int
    source: BatchSource
    carry: Carry
    ranks: SingleProcess

    def restart_carry(self) -> None:
        """Let every row that this rank reads begin with the initial state."""

    def parts(self) -> dict[str, Stateful]:
        """Return the parts by the keys they are stored under; an average may need the weights,
        which come before it, and rows that wait need the optimizer's arrays, too."""


def state_dict(trainer: StatefulParts) -> TrainingState:
    """Collect the state of `trainer`. Of several ranks all must ask, and each gets all of it."""
    facts: dict[str, Any] = {"step": trainer.step_count}
    arrays = {}
    for key, part in trainer.parts().items():
        for name, value in part.state_dict().items():
            if isinstance(value, Tensor):
                # Training updates in place; only these are always replaced as a whole.
                must_copy = key not in ("best", "good")
                arrays[f"{key}.{name}"] = value.detach().to("cpu", copy=must_copy).numpy()
            else:
                facts.setdefault(key, {})[name] = _storable(value)
    return TrainingState(facts, arrays)


def load_state_dict(
    trainer: StatefulParts, stored: TrainingState, but: Collection[str] = ()
) -> None:
    """Take `trainer` to where the run of `stored` was; leave the parts called `but` as they are."""
    try:
        facts = stored.facts
        arrays = {name: torch.from_numpy(array) for name, array in stored.arrays.items()}
        trainer.step_count = facts["step"]
        for key, part in trainer.parts().items():
            if key not in but:
                numbers = {name: _number(value) for name, value in facts.get(key, {}).items()}
                part.load_state_dict({**numbers, **strip_prefix(f"{key}.", arrays)})
    except torch.OutOfMemoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damage_error(f"{type(error).__name__}: {error}") from None


def with_parts(stored: TrainingState, other: TrainingState, keys: Collection[str]) -> TrainingState:
    """Return `stored` with the parts called `keys` of `other`."""
    facts = {key: value for key, value in stored.facts.items() if key not in keys}
    facts |= {key: value for key, value in other.facts.items() if key in keys}

    # An array is called by its part, then by its name in that part.
    prefixes = tuple(f"{key}." for key in keys)
    arrays = {name: a for name, a in stored.arrays.items() if not name.startswith(prefixes)}
    arrays |= {name: a for name, a in other.arrays.items() if name.startswith(prefixes)}
    return TrainingState(facts, arrays)


def checked(stored: TrainingState) -> TrainingState:
    """Return `stored`, if its number of rows makes sense."""
    try:
        rows = stored.facts["source"]["rows"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _damage_error(f"{type(error).__name__}: {error}") from None
    if type(rows) is not int or rows < 1:
        raise _damage_error(f"rows = {rows!r}")
    return stored


@dataclass(frozen=True)
class Weights:
    """The weights of the network."""

    network: nn.Module
    objective: Objective
    ranks: SingleProcess

    def state_dict(self) -> dict[str, Tensor]:
        self.ranks.share_statistics(self.network)
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state)
        self.objective.weights_changed()


@dataclass(frozen=True)
class Moments:
    """The optimizer's arrays for each weight, by the weight's number."""

    optimizer: torch.optim.Optimizer

    def state_dict(self) -> dict[str, Tensor]:
        tensors = {}
        for number, moments in self.optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                if isinstance(value, Tensor):
                    tensors[f"{number}.{name}"] = value
        return tensors

    def load_state_dict(self, state: dict[str, Any]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = tensor.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


@dataclass(frozen=True)
class CarryOfRanks:
    """The carry from the last batch to the next, for all rows, of which this rank reads its share.
    Its source comes first when a state is loaded, which may have other rows."""

    trainer: StatefulParts

    def state_dict(self) -> dict[str, Tensor]:
        ranks, rows = self.trainer.ranks, self.trainer.source.rows
        gathered = (ranks.gather_rows(tensor, rows) for tensor in self.trainer.carry)
        return {str(number): tensor for number, tensor in enumerate(gathered)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer.restart_carry()
        share = self.trainer.ranks.share(self.trainer.source.rows)
        for number, tensor in enumerate(self.trainer.carry):
            tensor.copy_(state[str(number)][:, share])


@dataclass(frozen=True)
class GoodState:
    """The last good state, to which the run goes back, if there is one."""

    rollbacks: Rollbacks

    def state_dict(self) -> dict[str, Any]:
        good = self.rollbacks.good
        if good is None:
            return {}
        arrays = {name: torch.from_numpy(array) for name, array in good.arrays.items()}
        return {"facts": good.facts, **arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "facts" in state:
            facts = state.pop("facts")
            arrays = {name: tensor.numpy() for name, tensor in state.items()}
            self.rollbacks.good = TrainingState(facts, arrays)


@dataclass(frozen=True)
class RandomStates:
    """The states of torch's generators in each rank: `cpu` and `cuda` of the first one, `cpu.1` of
    the second. Any other user of random numbers makes its generator from the seed again."""

    device: torch.device
    ranks: SingleProcess
    seed: int
    step_count: int

    def state_dict(self) -> dict[str, Any]:
        device, ranks = self.device, self.ranks
        states = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        all_states: dict[str, Any] = {"ranks": ranks.count}
        for kind, state in states.items():
            for rank, gathered in enumerate(ranks.gather(state)):
                all_states[_of_rank(kind, rank)] = gathered
        return all_states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the states, unless there are now more ranks, or fewer: then seed the generators.
        Where `cuda` is missing, as in a state of another device, leave the one there."""
        ranks = self.ranks
        if state["ranks"] != ranks.count:
            here = "1 process" if ranks.count == 1 else f"{ranks.count} processes"
            notice(
                f"the run continues in {here} instead of {state['ranks']}: dropout and all other "
                "random draws will differ"
            )
            torch.manual_seed(self.seed + self.step_count)
            ranks.seed_per_rank(self.seed, self.step_count)
            return

        torch.set_rng_state(state[_of_rank("cpu", ranks.rank_info.rank)])
        on_device = state.get(_of_rank("cuda", ranks.rank_info.rank))
        if on_device is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(on_device, self.device)


def _of_rank(kind: str, rank: int) -> str:
    return f"{kind}.{rank}" if rank else kind


def _storable(value: object) -> object:
    """Return `value` as JSON can hold it: infinity and NaN as a text."""
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(stored: object) -> object:
    """Undo :func:`_storable`."""
    if isinstance(stored, list):
        return [_number(item) for item in stored]
    return float(stored) if stored in ("inf", "-inf", "nan") else stored


def _damage_error(why: str) -> ModelError:
    return ModelError("the stored state of the run is damaged, or belongs to another run", why)
