"""One layer trained on one task at one lag, on sequences that are never seen twice, until it solves the task or its steps are spent."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnlm.benchmarks.memory.reader import Reader
from rnnlm.benchmarks.memory.tasks import TASKS, MemoryTask
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings
from rnnlm.neural.fitting.optimizers import clip_gradients, make_optimizer

HELD_OUT = 1000  # sequences on which a task is solved or not
CHECK_STEPS = 100  # between looks at them


@dataclass(frozen=True)
class Budget:
    """What every layer gets for each lag of a task: steps of Adam over `rows` sequences each, clipped as `rnnlm train` does by default and
    at its peak learning rate, which stays."""

    steps: int = 2000
    rows: int = 32
    width: int = 64
    learning_rate: float = 0.005
    clip_norm: float = 0.5
    seed: int = 1


@dataclass(frozen=True)
class Trained:
    """How far one layer came. steps: after which it was solved, or all. figure: accuracy or mean squared error, of the last look."""

    task: str
    cell: str
    lag: int
    solved: bool
    steps: int
    figure: float
    parameters: int


def train(task_name: str, cell: str, lag: int, budget: Budget, device: torch.device) -> Trained:
    """A new network for this lag: the same seed gives the same one. One whose loss is no number any more has failed."""
    task = TASKS[task_name]
    random, held_out = np.random.default_rng([budget.seed, lag]), np.random.default_rng([budget.seed, lag, 1])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(budget.seed)
        reader = Reader(task, cell, budget.width).to(device)
    settings = OptimizationSettings(optimizer="adam", learning_rate=budget.learning_rate, clip_norm=budget.clip_norm)
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


def _drawn(task: MemoryTask, random: np.random.Generator, lag: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    inputs_TBI, answers_AB = (torch.from_numpy(array).to(device) for array in task.draw(random, lag, rows))
    return inputs_TBI, answers_AB
