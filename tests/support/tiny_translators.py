"""Pairs of a small language and its translation, and tiny encoder-decoders for them.

Sources are rows of one to seven numbers in English, targets the same in French: "two seven one
four" -> "deux sept un quatre".
"""

import random
from pathlib import Path
from typing import Any

import pytest

from rnnlm.tasks.seq2seq.pairs import ParallelPair, ParallelText
from support.commands import Trained, train

NUMBERS = {
    "one": "un", "two": "deux", "three": "trois", "four": "quatre", "five": "cinq", "seven": "sept",
}  # fmt: skip
TINY = {
    "tokenizer": "word", "hidden_size": 16, "embedding_size": 12, "batch_rows": 16,
    "learning_rate": 0.02, "device": "cpu",
    "precision": "fp32", "threads": 1, "validate_every_steps": 60, "label_smoothing": 0,
    "dropout_input": 0, "dropout_output": 0,
}  # fmt: skip


def numbers(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Draw so many pairs, the same ones for the same seed."""
    draw = random.Random(seed)
    rows = [draw.choices(list(NUMBERS), k=1 + number % 7) for number in range(count)]
    return [(" ".join(row), " ".join(NUMBERS[each] for each in row)) for row in rows]


def table(rows: list[tuple[str, str]]) -> str:
    """Format pairs as a table."""
    return "english\tfrench\n" + "".join(f"{source}\t{target}\n" for source, target in rows)


def parallel_text(rows: list[tuple[str, Any]]) -> ParallelText:
    """Return pairs in memory. A target is one reference, or a tuple of several."""
    pairs = tuple(
        ParallelPair(source, (target,) if isinstance(target, str) else target, line, "memory")
        for line, (source, target) in enumerate(rows, start=1)
    )
    return ParallelText(pairs, "source", "target", "tsv")


@pytest.fixture(scope="session")
def translator(made_once):
    """Train a translator of numbers into French (columns english and french), not well."""
    return made_once("translator", _trained)


def _trained(place: Path) -> Trained:
    files = []
    for name, rows in (("train", numbers(200)), ("valid", numbers(21, seed=2))):
        files.append(place / f"{name}.tsv")
        files[-1].write_text(table(rows), encoding="utf-8")
    folder = place / "checkpoints" / "fra"
    sets = [f"--set={name}={value}" for name, value in TINY.items()]
    shown = train(
        files[0], "--task", "seq2seq", "--valid", files[1], *sets, "--budget", "60steps",
        "-o", folder,
    )  # fmt: skip
    return Trained(folder, *files, shown.out, shown.err)
