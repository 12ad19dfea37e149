"""What a system may lack, which some tests need: ``@pytest.mark.system("holes")`` skips a test where
there is none."""

import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

HOLE = 1 << 20  # bytes


def hole(path: Path, size: int) -> None:
    """Give a file that is there, or a new one, `size` bytes: what is new takes no space on disk.

    On a system that makes no holes this would write as many zeros: only tests that need `holes` may
    ask for more than a few kilobytes.
    """
    assert size <= HOLE or has("holes"), "this would fill the disk"
    with open(path, "ab") as stream:
        stream.truncate(size)


def _makes_holes() -> bool:
    with tempfile.TemporaryFile() as stream:
        stream.truncate(HOLE)
        return getattr(os.fstat(stream.fileno()), "st_blocks", HOLE) * 512 < HOLE


def _makes_links() -> bool:
    """Return whether this user may make symbolic links: Windows asks for a right."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "link"
        with contextlib.suppress(OSError, NotImplementedError):
            link.symlink_to("nowhere")
        return link.is_symlink()


# What a test may need: whether it is here.
ABILITIES: dict[str, Callable[[], bool]] = {
    "bash": lambda: os.name == "posix" and shutil.which("bash") is not None,
    "fork": lambda: hasattr(os, "fork"),
    "holes": _makes_holes,
    "links": _makes_links,  # symbolic ones
    "modes": lambda: hasattr(os, "geteuid") and os.geteuid() != 0,  # root may read and write all
    "owners": lambda: hasattr(os, "geteuid"),  # of files
    "pipes": lambda: hasattr(os, "mkfifo"),  # with a name
    "posix": lambda: os.name == "posix",  # files of any name, deleted while they are open
    "proc": lambda: sys.platform == "linux" and os.path.exists("/proc/self/status"),
    "signals": lambda: hasattr(signal, "SIGKILL"),  # to other processes, which handle them
    "terminals": lambda: os.name == "posix",  # that a test can open
    "windows": lambda: os.name == "nt",
}


@functools.cache
def has(ability: str) -> bool:
    """Return whether this system has what a test needs."""
    return ABILITIES[ability]()


def need(*abilities: str) -> None:
    """Skip a test, or all that use a fixture, where this system lacks what they need."""
    for ability in abilities:
        if not has(ability):
            pytest.skip(f"this system has no {ability}")
