"""How long recurrent layers remember: synthetic tasks with an adjustable lag, and the longest lag
that each layer learns to bridge."""

import itertools
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

HELD_OUT = 1000  # sequences that decide whether a task is solved
CHECK_STEPS = 100  # between checks on them


@dataclass(frozen=True)
class Budget:
    """The training that every layer gets for each lag of a task: steps of Adam over `rows`
    sequences each. Clipping and the learning rate, which is constant here, are the defaults of
    `rnnlm train`."""

    steps: int = 2000
    rows: int = 32
    width: int = 64
    learning_rate: float = 0.005
    clip_norm: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class Trained:
    """The result of one layer at one lag. steps: after which it was solved, or all. figure:
    accuracy or mean squared error at the last check."""

    task: str
    cell: str
    lag: int
    solved: bool
    steps: int
    figure: float
    parameters: int


def train(task_name: str, cell: str, lag: int, budget: Budget, device: torch.device) -> Trained:
    """Train a new network for this lag; the same seed gives the same network. It fails if its loss
    stops being a finite number."""
    # The network, drawn without touching the caller's random numbers.
    task = TASKS[task_name]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(budget.seed)
        reader = Reader(task, cell, budget.width).to(device)
    settings = OptimizationSettings(
        optimizer="adam", learning_rate=budget.learning_rate, clip_norm=budget.clip_norm
    )
    optimizer = make_optimizer(settings, reader, device)

    # The data: a stream of new sequences to train on, and some that are held out.
    random = np.random.default_rng([budget.seed, lag])
    random_held_out = np.random.default_rng([budget.seed, lag, 1])
    held_out = _draw_tensors(task, random_held_out, lag, HELD_OUT, device)

    figure, step = math.nan, 0
    while step < budget.steps:
        step += 1
        loss = reader.loss(*_draw_tensors(task, random, lag, budget.rows, device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(settings, reader)
        optimizer.step()

        # Now and then see whether it is solved, or hopeless.
        if step % CHECK_STEPS == 0 or step == budget.steps:
            figure = reader.figure(*held_out)
            if task.is_solved(figure) or not bool(loss.isfinite()):
                break
    parameters = sum(parameter.numel() for parameter in reader.parameters())
    return Trained(task_name, cell, lag, task.is_solved(figure), step, figure, parameters)


def _draw_tensors(
    task: MemoryTask, random: np.random.Generator, lag: int, rows: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    inputs_TBI, answers_AB = task.draw(random, lag, rows)
    return torch.from_numpy(inputs_TBI).to(device), torch.from_numpy(answers_AB).to(device)


# ---- The longest lag that each layer learns to bridge: lag after lag, the shortest first, until
# one is not solved.

LAGS = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Reach:
    """How far one layer comes on one task. solved: the result at the longest lag that it solves;
    None if it solves none. failed: the result at the next lag; None if it solves all."""

    task: str
    cell: str
    parameters: int
    solved: Trained | None
    failed: Trained | None

    @property
    def longest(self) -> int:
        """The longest lag that it solves; 0 if it solves none."""
        return self.solved.lag if self.solved else 0

    def to_dict(self) -> dict[str, Any]:
        task = TASKS[self.task]
        judged = {"longest_lag": self.longest, "criterion": task.criterion, "chance": task.chance}
        return asdict(self) | judged


def verdict_of(reaches: Sequence[Reach]) -> str:
    """Say in one sentence which layers solve the longest lag of each task, and how far that
    holds."""
    by_task: dict[str, list[Reach]] = {}
    for reach in reaches:
        by_task.setdefault(reach.task, []).append(reach)

    said = []
    for name, own in by_task.items():
        longest = max(reach.longest for reach in own)
        if longest:
            best = [reach.cell for reach in own if reach.longest == longest]
            said.append(f"{name}, {longest} steps ({' and '.join(best)})")
        else:
            tried = min(reach.failed.lag for reach in own if reach.failed)
            said.append(f"{name}, none (not even {tried} steps)")
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
    """Train each layer on each task, at one lag after another until one is not solved. Yield each
    result, and after the last one of a task and layer how far that layer comes.

    tasks, cells: if empty, all. budget: for each lag; None: the default one.
    """
    from rnnlm.neural.device import resolve_device

    tasks = _checked("task", tasks, TASKS)
    cells = _checked("layer", cells, CELLS)
    if not lags or min(lags) < SHORTEST_LAG:
        shortest = min(lags, default=0)
        raise UsageError(
            f"a lag of {shortest} is too short", hint=f"the shortest one is {SHORTEST_LAG}"
        )
    where = resolve_device(device)
    for task, cell in itertools.product(tasks, cells):
        # A layer that fails at one lag would fail at longer ones, too.
        solved, failed = None, None
        for lag in sorted(set(lags)):
            trained = train(task, cell, lag, budget or Budget(), where)
            yield trained
            if not trained.solved:
                failed = trained
                break
            solved = trained
        yield Reach(task, cell, trained.parameters, solved, failed)


def _checked(what: str, given: Sequence[str], known: dict[str, Any]) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            raise UsageError(f"unknown {what} {name!r}", hint=nearest(name, known))
    return tuple(dict.fromkeys(given)) or tuple(known)


# ---- The network of all tasks: one recurrent layer, the same as in language models, and a linear
# layer for the answers.

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
    """A layer of `width` units of one of CELLS. It reads a task's sequences from a state of
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
        """Return the answers at the last `answers` steps, (A, B, classes): logits, or one
        number."""
        B = x_TBI.shape[1]
        shapes = self.body.state_shapes()
        state = tuple(x_TBI.new_zeros((places, B, width)) for places, width in shapes)
        y_TBH, _ = self.body(x_TBI, state)
        return self.output(y_TBH[-answers:])

    def loss(self, x_TBI: Tensor, answers_AB: Tensor) -> Tensor:
        """Return the cross-entropy (nats) of the answers, or their mean squared error."""
        given_ABC = self(x_TBI, len(answers_AB))
        if self.puzzle.classes is None:
            return F.mse_loss(given_ABC[..., 0], answers_AB)
        return F.cross_entropy(given_ABC.flatten(0, 1), answers_AB.flatten())

    @torch.no_grad()
    def figure(self, x_TBI: Tensor, answers_AB: Tensor) -> float:
        """Return the share of right answers, or the mean squared error."""
        if self.puzzle.classes is None:
            return float(self.loss(x_TBI, answers_AB))
        given_AB = self(x_TBI, len(answers_AB)).argmax(dim=2)
        return float((given_AB == answers_AB).double().mean())


# ---- The longest lags as bars: a group for each task, a bar for each layer.

TITLE = "How many steps each layer learns to bridge: the higher, the longer its memory"
HATCHES = ("", "//", "..", "xx")


def draw(reaches: Sequence[Reach]) -> "Figure":
    """Draw the lags on a logarithmic axis. A layer that solves no lag has a bar without height,
    marked 0."""
    tasks = list(dict.fromkeys(each.task for each in reaches))
    cells = list(dict.fromkeys(each.cell for each in reaches))
    figure, axes = plotting.new_figure(TITLE, "task", "longest lag solved (steps)")

    # The bars of a task are centred on its tick. On a logarithmic axis, the lowest lag is 1.
    width = 0.8 / len(cells)
    for number, cell in enumerate(cells):
        shift = (number - (len(cells) - 1) / 2) * width
        places, lags = [], []
        for each in reaches:
            if each.cell == cell:
                places.append(tasks.index(each.task) + shift)
                lags.append(each.longest)
        heights = [max(1, lag) for lag in lags]
        style: dict[str, Any] = {"label": cell, "hatch": HATCHES[number % len(HATCHES)]}
        bars = axes.bar(places, heights, width, edgecolor="white", linewidth=0, **style)
        axes.bar_label(bars, labels=[str(lag) for lag in lags], fontsize=plotting.SMALL)

    axes.set_xticks(range(len(tasks)), tasks)
    plotting.log_y(axes)
    axes.set_ylim(bottom=1)
    axes.grid(visible=False, axis="x")
    plotting.legend_below(figure, axes)
    return figure
