"""How long recurrent layers remember: synthetic tasks whose lag is a knob, and the longest lag that
each layer learns to bridge."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.benchmarks.memory_tasks import SHORTEST_LAG, TASKS, MemoryTask
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation import plotting
from rnnlm.neural.fitting.optimization import clip_gradients, make_optimizer
from rnnlm.neural.fitting.settings import OptimizationSettings
from rnnlm.neural.initialisation import start_weights
from rnnlm.neural.layers.layers import RecurrentStack
from rnnlm.neural.settings import ElmanCell, RecurrentSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- One layer trained on one task at one lag, on sequences that are never seen twice, until it
# solves the task or its steps are spent.

HELD_OUT = 1000  # sequences on which a task is solved or not
CHECK_STEPS = 100  # between looks at them


@dataclass(frozen=True)
class Budget:
    """What every layer gets for each lag of a task: steps of Adam over `rows` sequences each,
    clipped as `rnnlm train` does by default and at its peak learning rate, which stays."""

    steps: int = 2000
    rows: int = 32
    width: int = 64
    learning_rate: float = 0.005
    clip_norm: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class Trained:
    """How far one layer came. steps: after which it was solved, or all. figure: accuracy or mean
    squared error, of the last look."""

    task: str
    cell: str
    lag: int
    solved: bool
    steps: int
    figure: float
    parameters: int


def train(task_name: str, cell: str, lag: int, budget: Budget, device: torch.device) -> Trained:
    """A new network for this lag: the same seed gives the same one. One whose loss is no number any
    more has failed."""
    task = TASKS[task_name]
    random, held_out = (
        np.random.default_rng([budget.seed, lag]),
        np.random.default_rng([budget.seed, lag, 1]),
    )
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(budget.seed)
        reader = Reader(task, cell, budget.width).to(device)
    settings = OptimizationSettings(
        optimizer="adam", learning_rate=budget.learning_rate, clip_norm=budget.clip_norm
    )
    optimizer = make_optimizer(settings, reader, device)
    judged_on = _drawn(task, held_out, lag, HELD_OUT, device)
    figure, step = math.nan, 0
    while step < budget.steps:
        step += 1
        loss = reader.loss(*_drawn(task, random, lag, budget.rows, device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(settings, reader)
        optimizer.step()
        if step % CHECK_STEPS == 0 or step == budget.steps:
            figure = reader.figure(*judged_on)
            if task.is_solved(figure) or not bool(loss.isfinite()):
                break
    parameters = sum(parameter.numel() for parameter in reader.parameters())
    return Trained(task_name, cell, lag, task.is_solved(figure), step, figure, parameters)


def _drawn(
    task: MemoryTask, random: np.random.Generator, lag: int, rows: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    inputs_TBI, answers_AB = (
        torch.from_numpy(array).to(device) for array in task.draw(random, lag, rows)
    )
    return inputs_TBI, answers_AB


# ---- The longest lag that each layer learns to bridge: lag after lag, the shortest first, until
# one is not solved.

LAGS = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Reach:
    """How far one layer comes on one task. solved: at the longest lag that it solves; None where
    that is none. failed: at the next one; None where it solves all."""

    task: str
    cell: str
    parameters: int
    solved: Trained | None
    failed: Trained | None

    @property
    def longest(self) -> int:
        """The longest lag that it solves; 0 where that is none."""
        return self.solved.lag if self.solved else 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "longest_lag": self.longest,
            "criterion": TASKS[self.task].criterion,
            "chance": TASKS[self.task].chance,
        }


def verdict_of(reaches: Sequence[Reach]) -> str:
    """For each task which layers solve the longest lag, in one sentence, and what is to be kept in
    mind."""
    said = []
    by_task: dict[str, list[Reach]] = {}
    for reach in reaches:
        by_task.setdefault(reach.task, []).append(reach)
    for name, own in by_task.items():
        longest = max(reach.longest for reach in own)
        best = [reach.cell for reach in own if reach.longest == longest]
        tried = min(reach.failed.lag for reach in own if reach.failed) if not longest else 0
        said.append(
            f"{name}, {longest} steps ({' and '.join(best)})"
            if longest
            else f"{name}, none (not even {tried} steps)"
        )
    return (
        f"The longest lag that a layer solves: {'; '.join(said)}. More training may solve longer "
        "ones."
    )


def bench_memory(
    tasks: Sequence[str] = (),
    cells: Sequence[str] = (),
    lags: Sequence[int] = LAGS,
    budget: Budget | None = None,
    device: str = "auto",
) -> Iterator[Trained | Reach]:
    """Each training as it ends and, after the last one of a task and layer, how far that came. Of
    all tasks and layers where none is named; each lag begins anew with `budget`, the default one if
    None."""
    from rnnlm.neural.device import resolve_device

    tasks, cells = _checked("task", tasks, TASKS), _checked("layer", cells, CELLS)
    if not lags or min(lags) < SHORTEST_LAG:
        raise UsageError(
            f"a lag of {min(lags, default=0)} is too short",
            hint=f"the shortest one is {SHORTEST_LAG}",
        )
    where = resolve_device(device)
    for task in tasks:
        for cell in cells:
            found = []
            for lag in sorted(set(lags)):
                found.append(train(task, cell, lag, budget or Budget(), where))
                yield found[-1]
                if not found[-1].solved:
                    break
            solved, failed = (
                [each for each in found if each.solved],
                [each for each in found if not each.solved],
            )
            yield Reach(
                task,
                cell,
                found[0].parameters,
                solved[-1] if solved else None,
                failed[0] if failed else None,
            )


def _checked(what: str, given: Sequence[str], known: dict[str, Any]) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            raise UsageError(f"there is no {what} {name!r} here", hint=nearest(name, known))
    return tuple(dict.fromkeys(given)) or tuple(known)


# ---- The network of all tasks: one recurrent layer as language models have it, and a linear layer
# that gives the answers.

CELLS: dict[str, RecurrentSettings] = {
    "elman": RecurrentSettings("rnn", init_output="torch"),
    # Le et al. 2015
    "irnn": RecurrentSettings(
        "rnn", init_output="torch", init_recurrent="identity", cell=ElmanCell("relu")
    ),
    "gru": RecurrentSettings("gru", init_output="torch"),
    "lstm": RecurrentSettings("lstm", init_output="torch"),
}


class Reader(nn.Module):
    """A layer of `width` units of one of CELLS, which reads a task's sequences from a state of
    zeros."""

    def __init__(self, puzzle: MemoryTask, cell: str, width: int) -> None:
        super().__init__()
        self.puzzle = puzzle
        settings = replace(CELLS[cell], embedding_size=puzzle.width, hidden_size=width)
        self.body = RecurrentStack(settings)
        self.output = nn.Linear(width, puzzle.classes or 1)
        nn.init.zeros_(self.output.bias)
        start_weights(settings, self.body.matrices(), [self.output.weight], None)

    def forward(self, x_TBI: Tensor, answers: int) -> Tensor:
        """What it answers at the last `answers` steps, (A, B, classes): logits, or one number."""
        state = tuple(
            x_TBI.new_zeros((places, x_TBI.shape[1], width))
            for places, width in self.body.state_shapes()
        )
        y_TBH, _ = self.body(x_TBI, state)
        return self.output(y_TBH[-answers:])

    def loss(self, x_TBI: Tensor, answers_AB: Tensor) -> Tensor:
        """Cross-entropy (nats) of the answers, or their mean squared error."""
        given_ABC = self(x_TBI, len(answers_AB))
        if self.puzzle.classes is None:
            return F.mse_loss(given_ABC[..., 0], answers_AB)
        return F.cross_entropy(given_ABC.flatten(0, 1), answers_AB.flatten())

    @torch.no_grad()
    def figure(self, x_TBI: Tensor, answers_AB: Tensor) -> float:
        """The share of right answers, or the mean squared error."""
        if self.puzzle.classes is None:
            return float(self.loss(x_TBI, answers_AB))
        return float((self(x_TBI, len(answers_AB)).argmax(dim=2) == answers_AB).double().mean())


# ---- The longest lags as bars: a group for each task, a bar for each layer.


def draw(reaches: Sequence[Reach]) -> "Figure":
    """On a logarithmic axis of lags; a layer that solves no lag has a bar without height, marked
    0."""
    tasks, cells = (
        list(dict.fromkeys(names))
        for names in zip(*((each.task, each.cell) for each in reaches), strict=True)
    )
    figure, axes = plotting.new_figure("Longest lag learned", "task", "lag in steps", width=7.2)
    width = 0.8 / len(cells)
    for number, cell in enumerate(cells):
        own = [each for each in reaches if each.cell == cell]
        places = [tasks.index(each.task) + (number - (len(cells) - 1) / 2) * width for each in own]
        bars = axes.bar(places, [max(1, each.longest) for each in own], width, label=cell)
        axes.bar_label(bars, labels=[str(each.longest) for each in own], fontsize=8)
    axes.set_xticks(range(len(tasks)), tasks)
    plotting.log_y(axes)
    axes.set_ylim(bottom=1)
    plotting.legend_above(figure, axes)
    return figure
