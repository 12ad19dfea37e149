"""The synthetic tasks: random sequences whose answer lies `lag` steps back, and when a task counts
as solved.

All answers are due at the last steps. Shapes: T steps, B sequences, I numbers read at a step, A
steps with an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LETTERS, COPIED = 8, 3  # in copy: different letters, and how many of them are to be copied
MOST_ERROR = 0.01  # in adding: the mean squared error below which it is solved
LEAST_ACCURACY = 0.99  # in all others
SHORTEST_LAG = 5

# inputs_TBI float32; answers_AB, int64 classes or float32 numbers
Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MemoryTask:
    """One task. classes: of an answer; None if it is a number. chance: the accuracy of the best
    guess without the input, or its mean squared error. draw: draws sequences, given a generator, a
    lag and their number."""

    name: str
    width: int
    classes: int | None
    chance: float
    draw: Callable[[np.random.Generator, int, int], Drawn]

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return "mean squared error" if self.classes is None else "accuracy"

    @property
    def criterion(self) -> str:
        """When the task is solved, in words."""
        if self.classes is None:
            return f"{self.metric} below {MOST_ERROR}"
        return f"{self.metric} of {100 * LEAST_ACCURACY:g} % or more"

    def is_solved(self, value: float) -> bool:
        """Return whether a value of the metric is good enough."""
        if self.classes is None:
            return value < MOST_ERROR
        return value >= LEAST_ACCURACY


def draw_copy(random: np.random.Generator, lag: int, rows: int) -> Drawn:
    """Draw COPIED letters, then blanks, then a sign at each step that asks for the letter read
    `lag` steps before (after Hochreiter & Schmidhuber 1997).

    Inputs are one-hot: letters, blank, sign. T = lag + COPIED.
    """
    letters_AB = random.integers(LETTERS, size=(COPIED, rows))
    symbols_TB = np.full((lag + COPIED, rows), LETTERS)
    symbols_TB[:COPIED] = letters_AB
    symbols_TB[lag:] = LETTERS + 1
    return _one_hot(symbols_TB, LETTERS + 2), letters_AB


def draw_adding(random: np.random.Generator, lag: int, rows: int) -> Drawn:
    """Draw numbers from [0, 1], two of which are marked, one in each half. The answer is their sum
    (Hochreiter & Schmidhuber 1997, experiment 4, as in Le et al. 2015).

    Inputs: number, mark. T = lag.
    """
    number_TB = random.random((lag, rows), dtype=np.float32)
    mark_TB = np.zeros_like(number_TB)
    row_B = np.arange(rows)
    for start, end in ((0, lag // 2), (lag // 2, lag)):
        mark_TB[random.integers(start, end, size=rows), row_B] = 1
    inputs_TBI = np.stack((number_TB, mark_TB), axis=2)
    return inputs_TBI, (number_TB * mark_TB).sum(axis=0, keepdims=True)


def draw_parity(random: np.random.Generator, lag: int, rows: int) -> Drawn:
    """Draw bits, read as -1 and 1. The answer, at the end, is whether the number of ones is odd.

    T = lag.
    """
    bit_TB = random.integers(2, size=(lag, rows))
    inputs_TBI = (2 * bit_TB - 1).astype(np.float32)[:, :, None]
    return inputs_TBI, bit_TB.sum(axis=0, keepdims=True) % 2


def draw_order(random: np.random.Generator, lag: int, rows: int) -> Drawn:
    """Draw X or Y in the second tenth and again just after the middle, and four other letters
    everywhere else. The answer is the order: XX, XY, YX or YY (Hochreiter & Schmidhuber 1997,
    experiment 6a, without its letters for start and end).

    Inputs are one-hot: X, Y, the others. T = lag.
    """
    symbols_TB = random.integers(2, 6, size=(lag, rows))
    row_B = np.arange(rows)
    first_B, second_B = random.integers(2, size=(2, rows))
    symbols_TB[random.integers(lag // 10, lag // 5 + 1, size=rows), row_B] = first_B
    symbols_TB[random.integers(lag // 2, 3 * lag // 5 + 1, size=rows), row_B] = second_B
    return _one_hot(symbols_TB, 6), (2 * first_B + second_B)[None]


def _one_hot(symbols_TB: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[symbols_TB]


TASKS = {
    "copy": MemoryTask("copy", LETTERS + 2, LETTERS, 1 / LETTERS, draw_copy),
    # By chance: the variance of a sum of two uniform numbers.
    "adding": MemoryTask("adding", 2, None, 1 / 6, draw_adding),
    "parity": MemoryTask("parity", 1, 2, 1 / 2, draw_parity),
    "order": MemoryTask("order", 6, 4, 1 / 4, draw_order),
}
