"""Processes that start at once: forks of this one, which has imported torch already."""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnnlm.cli.main import main

# Who uses it needs the ability `fork`, see support.systems.
FORK: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else None)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_command(arguments: Sequence[Any], out: Path, err: Path, **variables: str) -> None:
    """Run `rnnlm ARGUMENTS` in this process, a fork, with its output in files."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    # as long as the process
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["rnnlm", *map(str, arguments)]
    main()


def killed_after(seconds: float, function: Callable[..., None], *arguments: Any) -> bool:
    """Call a function in a fork, and kill it. Return whether it had come to its end."""
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return False
    assert process.exitcode == 0
    return True
