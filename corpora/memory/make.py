"""Make train.tsv, valid.tsv, test.tsv and a table for each lag: sequences of symbols, and an answer
that only who remembers how they began can give.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
SEED = 23
SIZES = {"train": 1800, "valid": 240, "test": 240}
LAGS = (5, 20, 80)  # symbols in a sequence, as often each
LAG_SIZE = 160  # sequences in the table of each lag
LETTERS = "abcdefgh"
DIGITS = "01234"

Draw = Callable[[], float]  # a number from [0, 1)
# What is read, and the answer.
Example = tuple[list[str], str]


def pick(draw: Draw, choices: str) -> str:
    return choices[int(draw() * len(choices))]


def draw_copy(draw: Draw, lag: int) -> Example:
    """Draw a letter, then blanks; the answer is the letter (after Hochreiter & Schmidhuber
    1997)."""
    letter = pick(draw, LETTERS)
    return [letter, *["."] * (lag - 1)], letter


def draw_order(draw: Draw, lag: int) -> Example:
    """Draw x or y in the second tenth and again just after the middle, and blanks everywhere else;
    the answer is both in their order (Hochreiter & Schmidhuber 1997, experiment 6a)."""
    symbols = ["."] * lag
    first, second = pick(draw, "xy"), pick(draw, "xy")
    symbols[lag // 10 + int(draw() * (lag // 10 + 1))] = first
    symbols[lag // 2 + int(draw() * (lag // 10 + 1))] = second
    return symbols, first + second


def draw_adding(draw: Draw, lag: int) -> Example:
    """Draw a digit among blanks in each half; the answer is their sum (after Hochreiter &
    Schmidhuber 1997, experiment 4, whose numbers are real)."""
    symbols = ["."] * lag
    first, second = pick(draw, DIGITS), pick(draw, DIGITS)
    symbols[int(draw() * (lag // 2))] = first
    symbols[lag // 2 + int(draw() * (lag - lag // 2))] = second
    return symbols, str(int(first) + int(second))


def draw_parity(draw: Draw, lag: int) -> Example:
    """Draw bits; the answer is whether the number of ones is odd."""
    bits = [pick(draw, "01") for _ in range(lag)]
    return bits, "odd" if bits.count("1") % 2 else "even"


TASKS = {"copy": draw_copy, "order": draw_order, "adding": draw_adding, "parity": draw_parity}


def table(draw: Draw, size: int, lags: tuple[int, ...]) -> str:
    """Draw the rows of a table: tasks and lags in turns, the name of the task before its
    symbols."""
    lines = ["task\tlag\ttext\tanswer\n"]
    names = tuple(TASKS)
    for number in range(size):
        task = names[number % len(names)]
        lag = lags[number // len(names) % len(lags)]
        symbols, answer = TASKS[task](draw, lag)
        lines.append(f"{task}\t{lag}\t{task} {' '.join(symbols)}\t{answer}\n")
    return "".join(lines)


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    texts = {}
    for part, size in SIZES.items():
        texts[f"{part}.tsv"] = table(draw, size, LAGS)
    for lag in LAGS:
        texts[f"lag-{lag:02}.tsv"] = table(draw, LAG_SIZE, (lag,))
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
