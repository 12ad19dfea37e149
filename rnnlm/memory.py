"""What this process holds of memory, and how the C library deals with what is freed."""

import contextlib
import ctypes
import mmap
import platform
import re
import sys
from typing import Any

from rnnlm.errors import SettingsError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def held_bytes() -> int:
    """How much memory this process holds now, where the system tells; elsewhere the most it has held."""
    with contextlib.suppress(OSError):
        with open("/proc/self/statm") as statistics:
            return int(statistics.read().split()[1]) * mmap.PAGESIZE
    return peak_bytes()


def peak_bytes(usage: Any = None) -> int:
    """The most memory held so far by this process, or by the one of that `usage`; 0 where the system does not tell."""
    if usage is None:
        try:
            import resource
        except ImportError:  # Windows
            return 0
        usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def return_freed() -> None:
    """Freed arrays go back to the system at once, so that memory held is memory used (glibc; elsewhere nothing happens)."""
    _set_malloc({_M_MMAP_THRESHOLD: 1 << 20})


def keep_freed() -> None:
    """Freed arrays stay with the process: large ones would go back to the system, and whoever makes the same ones again and again
    would wait for their pages each time. Peak memory is unchanged."""
    _set_malloc({_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1})


def _set_malloc(options: dict[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in options.items():
            libc.mallopt(option, value)


def parse_size(text: str, name: str = "memory") -> int:
    """Bytes of `500M`, `1.5G`, `800MiB`, `1000000`.

    Raises:
        SettingsError: the text has none of these forms, or is not above zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    with contextlib.suppress(KeyError, OverflowError):
        if match and (size := int(float(match[1]) * _UNITS[match[2]])) > 0:
            return size
    raise SettingsError(f"{name} = {text!r} is not understood", hint="write for instance 500M, 2G or 1.5GiB")
