"""All that a training run carries from step to step, taken out as facts and arrays, and put back: what --resume goes on from.

A trainer made with the same settings and texts, in which that is put back, takes the steps that the first one would have
taken, bit by bit on one machine and number of threads.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.arrays import strip_prefix, with_prefix
from rnnlm.errors import ModelError, notice
from rnnlm.events import TrainingState
from rnnlm.neural.fitting import random_states
from rnnlm.neural.fitting.averaging import NonMonotone

# What the parts of a trainer remember, beside tensors; all are numbers, infinity is stored as null.
REMEMBERED = {
    "learning_rate": ("factor", "bad_validations", "last_nats", "is_halving", "is_used_up"),
    "validation": ("ppl", "best_ppl", "step", "best_step", "without_improvement", "read_at", "cost"),
    "divergence": ("last_loss", "last_validation"),
    "averaging": ("start", "count"),
    "clock": ("set_aside",),
    "fine_tuning": ("is_over",),
    "rollbacks": ("count",),
}


def taken(trainer: Any) -> TrainingState:
    """What `trainer` (a :class:`rnnlm.neural.fitting.trainer.Trainer`) would go on from; of several ranks, all are to ask, and each gets all of it."""
    facts = {part: {name: _storable(getattr(getattr(trainer, part), name)) for name in names} for part, names in REMEMBERED.items()}
    triggers = {name: trigger and [_storable(ppl) for ppl in trigger.heard] for name, trigger in _triggers(trainer).items()}
    facts |= {
        "rows": trainer.streams.rows, "ranks": trainer.ranks.count,
        "step": trainer.step_count, "tokens": trainer.token_count, "epochs": trainer.epochs, "seconds": trainer.clock.elapsed(),
        "heard": triggers, "averaged": [name for name, weight in trainer.network.named_parameters() if weight.requires_grad],
    }  # fmt: skip
    return TrainingState(facts, {name: _on_host(name, tensor) for name, tensor in _tensors(trainer).items()})


def put_back(trainer: Any, stored: TrainingState) -> None:
    """`trainer` goes on where the one stood that `stored` is of.

    Where only the weights are there (of a run carried in compact form), the average, if one has begun, goes on from them;
    optimizer and best weights begin anew.

    Raises:
        ModelError: it is not of such a run.
    """
    facts, arrays = stored.facts, {name: torch.from_numpy(array) for name, array in stored.arrays.items()}
    try:
        for part, names in REMEMBERED.items():
            for name in names:
                setattr(getattr(trainer, part), name, _number(facts[part][name]))
        trainer.step_count, trainer.token_count, trainer.epochs = facts["step"], facts["tokens"], float(facts["epochs"])
        trainer.clock.started_at -= facts["seconds"]
        _hear_again(trainer, facts["heard"])
        with torch.no_grad():
            _put_weights(trainer, arrays)
        _put_random(trainer, arrays, facts.get("ranks", 1))
        for number, tensor in enumerate(trainer.state):
            tensor.copy_(arrays[f"hidden.{number}"][:, trainer.rows])
    except torch.OutOfMemoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError("what --resume needs is damaged, or of another run", f"{type(error).__name__}: {error}") from None


def go_back(trainer: Any, stored: TrainingState) -> None:
    """`trainer` takes up an earlier state of its own. But time has gone on, the best weights stay, and rollbacks stay counted."""
    validation, clock = trainer.validation, trainer.clock
    staying = [
        (validation, "best_ppl"), (validation, "best_step"), (validation, "best_weights"),
        (clock, "started_at"), (clock, "set_aside"), (trainer.rollbacks, "count"),
    ]  # fmt: skip
    values = [getattr(part, name) for part, name in staying]
    put_back(trainer, stored)
    for (part, name), value in zip(staying, values, strict=True):
        setattr(part, name, value)


def rows_of(stored: TrainingState) -> int | None:
    """The rows of all ranks of the run that `stored` is of; None: not told, it was of one process.

    Raises:
        ModelError: it is of no run.
    """
    rows = stored.facts.get("rows")
    if rows is not None and (type(rows) is not int or rows < 1):
        raise ModelError("what --resume needs is damaged, or of another run", f"rows = {rows!r}")
    return rows


def _triggers(trainer: Any) -> dict[str, NonMonotone | None]:
    return {"averaging": trainer.averaging.trigger, "fine_tuning": trainer.fine_tuning.trigger}


def _hear_again(trainer: Any, heard: dict[str, list[float | None] | None]) -> None:
    trainer.fine_tuning.trigger = None
    if heard["fine_tuning"] is not None:
        trainer.fine_tuning.begin()
    for name, trigger in _triggers(trainer).items():
        if trigger:
            trigger.heard = [_number(ppl) for ppl in heard[name]]


def _tensors(trainer: Any) -> dict[str, Tensor]:
    """Everything that is a tensor, by name: network.*, best.*, average.N, optimizer.N.*, hidden.N (of the rows of all ranks), random.KIND
    (of rank 0, and random.KIND.R of those after it)."""
    found = with_prefix("network.", trainer.network.state_dict()) | with_prefix("best.", trainer.validation.best_weights)
    found |= {f"average.{number}": tensor for number, tensor in enumerate(trainer.averaging.averages)}
    for number, moments in trainer.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{name}": value for name, value in moments.items() if isinstance(value, Tensor)}
    ranks = trainer.ranks
    found |= {f"hidden.{number}": ranks.gather_rows(tensor, trainer.streams.rows) for number, tensor in enumerate(trainer.state)}
    for kind, state in random_states.taken(trainer.device).items():
        found |= {_random_name(kind, rank): gathered for rank, gathered in enumerate(ranks.gather(state))}
    return found


def _random_name(kind: str, rank: int) -> str:
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"


def _put_weights(trainer: Any, arrays: dict[str, Tensor]) -> None:
    trainer.network.load_state_dict(strip_prefix("network.", arrays))
    trainer.network.prepare()
    trainer.validation.best_weights = {name: tensor.to(trainer.device) for name, tensor in strip_prefix("best.", arrays).items()}
    if not trainer.validation.best_weights:
        trainer.validation.best_ppl = math.inf
    averages = strip_prefix("average.", arrays) or {str(number): weight.clone() for number, weight in enumerate(trainer.averaging.weights)}
    count = len(averages) if trainer.averaging.count else 0
    trainer.averaging.averages = [averages[str(number)].to(trainer.device, copy=True) for number in range(count)]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in strip_prefix("optimizer.", arrays).items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = tensor.clone()
    trainer.optimizer.load_state_dict({**trainer.optimizer.state_dict(), "state": moments})


def _put_random(trainer: Any, arrays: dict[str, Tensor], ranks: int) -> None:
    """Each rank's own random state, of so many ranks; other ones than those draw anew."""
    rank = trainer.ranks.place.rank
    if ranks != trainer.ranks.count:
        notice(f"the run goes on in {_processes(trainer.ranks.count)} instead of {ranks}: what is drawn at random (dropout) is drawn anew")
        torch.manual_seed(trainer.streams.seed + trainer.step_count)
        trainer.ranks.seed_per_rank(trainer.streams.seed, trainer.step_count)
        return
    names = {kind: _random_name(kind, rank) for kind in random_states.KINDS}
    random_states.put_back({kind: arrays[name] for kind, name in names.items() if name in arrays}, trainer.device)


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _on_host(name: str, tensor: Tensor) -> np.ndarray:
    """A copy, as training goes on in place; but best weights are only ever replaced."""
    return tensor.detach().to("cpu", copy=not name.startswith("best.")).numpy()


def _storable(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _number(stored: float | None) -> float:
    return math.inf if stored is None else stored
