"""Commands in processes of their own, for benchmarks: so that time and memory are theirs alone. One that fails raises RnnlmError."""

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from rnnlm.errors import RnnlmError
from rnnlm.system import peak_bytes


@dataclass(frozen=True)
class Process:
    """One that ended well."""

    seconds: float
    peak_bytes: int
    out: str


def run_rnnlm(command: str, *arguments: str) -> Process:
    """One of rnnlm's own commands, in a process of its own."""
    return run(f"rnnlm {command}", [sys.executable, "-m", "rnnlm", command, *arguments])


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
    """a, where a value grew as a size to the power of a; None where there is no size and value `before` to compare with."""
    if before is None or not all(before) or size == before[0]:
        return None
    return math.log(value / before[1]) / math.log(size / before[0])
