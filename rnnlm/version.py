"""The version of rnnlm, and the provenance of a model: the versions of rnnlm, torch and Python, the
date, and the command. Imports nothing of ours, so that every module may import it.
"""

import contextlib
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__version__ = "0.1.0"

_command_line: Sequence[str] | None = None  # of the command that runs in this process

# Strings that may precede a path in an argument, or follow a comma in it: `--option=`, `name=`,
# `kind:`, `-o`; and the address of another machine, such as `tcp://10.0.0.1:8786`.
_PARTS = re.compile(
    r"((?:[\w.-]+=|\w{2,}:(?!//)|-[A-Za-z](?=[/\\~.]|[A-Za-z]:))*)(.*)", re.DOTALL
)  # one letter and a colon are a drive of Windows
_ADDRESS = re.compile(r"(\w+://).*", re.DOTALL)


@dataclass(frozen=True)
class MadeBy:
    """torch: None where it was not loaded. date: in UTC, in ISO 8601. command: quoted for a shell;
    None: a Python program."""

    rnnlm: str
    torch: str | None
    python: str
    date: str
    command: str | None

    def __str__(self) -> str:
        torch = f", torch {self.torch}" if self.torch else ""
        return f"rnnlm {self.rnnlm}{torch}, Python {self.python}, {self.date}"


def made_now() -> MadeBy:
    """Return the provenance of a model that is saved now. torch is not imported for it."""
    torch = sys.modules.get("torch")
    return MadeBy(
        rnnlm=__version__,
        torch=str(torch.__version__) if torch else None,
        python=platform.python_version(),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock())),
        command=None if _command_line is None else shown_command(_command_line),
    )


def clock() -> float:
    """Return the seconds since 1970, for dates of models."""
    return time.time()


@contextlib.contextmanager
def made_by_command(arguments: Sequence[str] | None) -> Iterator[None]:
    """Have models that are saved in this context name this command line. arguments: those after
    `rnnlm`."""
    global _command_line
    before = _command_line
    _command_line = arguments
    try:
        yield
    finally:
        _command_line = before


def shown_command(arguments: Sequence[str]) -> str:
    """Return a command line for a shell, without paths outside the working folder or addresses of
    other machines, which are private to the user."""
    words = [",".join(map(_without_places, argument.split(","))) for argument in arguments]
    return shlex.join(["rnnlm", *words])


def _without_places(part: str) -> str:
    """Return a part of an argument as :func:`shown_command` shows it."""
    before, value = _PARTS.fullmatch(part).groups()  # type: ignore[union-attr]  # matches all
    address = _ADDRESS.fullmatch(value)
    return before + (f"{address[1]}..." if address else _inside_working_folder(value))


def _inside_working_folder(path: str) -> str:
    """Return a path that may lead out of the working folder relative to it, or its name alone if it
    does; any other string as it is."""
    expanded = Path(os.path.expanduser(path))
    if not expanded.anchor and os.pardir not in expanded.parts:
        return path

    # A link in the working folder stays as the user called it.
    folder, name = os.path.split(os.path.abspath(expanded))
    real, here = Path(os.path.realpath(folder), name), os.path.realpath(os.curdir)
    return real.relative_to(here).as_posix() if real.is_relative_to(here) else name
