"""How the cost of training grows with the network: one setting at a time, each in a process of its
own."""

import itertools
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rnnlm.errors import RnnlmError, UsageError
from rnnlm.system import peak_bytes, python
from rnnlm.training.request import Request, resolve_request

TOKENS = 120_000
LINE_WORDS = 20
BASE = {"hidden_size": 256, "layers": 1, "vocabulary": 10_000, "bptt_tokens": 35}
VALUES = {
    "hidden_size": (128, 256, 512, 1024), "layers": (1, 2, 4),
    "vocabulary": (2_500, 10_000, 40_000, 160_000), "bptt_tokens": (9, 35, 140),
}  # fmt: skip


@dataclass(frozen=True)
class Growth:
    """One setting at one value, all others as in BASE. Exponents: the power of the value by which a
    figure grew from the one before.

    ratio_products: time of a step over that of its matrix products alone.
    """

    setting: str
    value: int
    tokens_per_second: float
    peak_bytes: int
    ratio_products: float
    time_exponent: float | None
    memory_exponent: float | None


def bench_growth(
    recipe: str,
    assignments: dict[str, str],
    steps: int,
    values: dict[str, tuple[int, ...]] | None = None,
) -> Iterator[Growth]:
    """Every value of every setting (`values`: VALUES), on texts of random words, as often as words
    of that rank are (Zipf).

    Raises:
        UsageError: a setting is asked for that is varied. SettingsError: a setting is unknown.
            RnnlmError: training failed.
    """
    varied = sorted({*BASE, "embedding_size"} & assignments.keys())
    if varied:
        raise UsageError(f"{varied[0]} is varied by --growth", hint=f"leave {varied[0]} out")
    resolve_request(Request(recipe=recipe, assignments=assignments))
    with tempfile.TemporaryDirectory() as name:
        for setting, chosen in (VALUES if values is None else values).items():
            before: Growth | None = None
            for value in chosen:
                before = _grown(
                    Path(name),
                    recipe,
                    assignments,
                    {**BASE, setting: value},
                    setting,
                    steps,
                    before,
                )
                yield before


def _grown(
    folder: Path,
    recipe: str,
    assignments: dict[str, str],
    shape: dict[str, int],
    setting: str,
    steps: int,
    before: Growth | None,
) -> Growth:
    text = folder / f"{shape['vocabulary']}.txt"
    if not text.exists():
        _write_text(text, shape["vocabulary"])
    settings = {
        **assignments,
        **{name: str(value) for name, value in shape.items() if name != "vocabulary"},
    }
    settings["embedding_size"] = settings["hidden_size"]
    options = itertools.chain.from_iterable(
        ("--set", f"{name}={value}") for name, value in settings.items()
    )
    arguments = [
        "train",
        str(text),
        "--recipe",
        recipe,
        *options,
        "--alone",
        "--rounds",
        "2",
        "--steps",
        str(steps),
        "--json",
    ]
    found = json.loads(run_rnnlm("bench", *arguments).out)
    speed, peak, value = found["tokens_per_second"], found["peak_bytes"], shape[setting]
    return Growth(
        setting, value, speed, peak, found["ratio_products"],
        exponent(value, 1 / speed,
                 (before.value, 1 / before.tokens_per_second) if before else None),
        exponent(value, peak, (before.value, before.peak_bytes) if before else None),
    )  # fmt: skip


def _write_text(path: Path, vocabulary: int) -> None:
    """Random words, the one of rank r by a chance that falls as 1 / r; each word once at least."""
    chance_V = 1 / np.arange(1, vocabulary + 1)
    words = np.random.default_rng(1).choice(vocabulary, TOKENS, p=chance_V / chance_V.sum())
    words = np.concatenate([np.arange(vocabulary), words]).tolist()
    lines = (
        " ".join(f"w{word}" for word in words[start : start + LINE_WORDS])
        for start in range(0, len(words), LINE_WORDS)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- Commands in processes of their own, for benchmarks: so that time and memory are theirs alone.
# One that fails raises RnnlmError.


@dataclass(frozen=True)
class Process:
    """One that ended well."""

    seconds: float
    peak_bytes: int
    out: str


def run_rnnlm(command: str, *arguments: str) -> Process:
    """One of rnnlm's own commands, in a process of its own."""
    return run(f"rnnlm {command}", python("-m", "rnnlm", command, *arguments))


def run(name: str, command: list[str]) -> Process:
    """A command in a process of its own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RnnlmError(f"{name} failed", _last_words(_content(err)))
        return Process(seconds, peak_bytes(usage), _content(out))


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _last_words(messages: str) -> str:
    """What a failed program said: its error, else its last line."""
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


def exponent(size: float, value: float, before: tuple[float, float] | None) -> float | None:
    """a, where a value grew as a size to the power of a; None where there is no size and value
    `before` to compare with."""
    if before is None or not all(before) or size == before[0]:
        return None
    return math.log(value / before[1]) / math.log(size / before[0])
