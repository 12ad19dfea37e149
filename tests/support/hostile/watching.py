"""A watch on what reads hostile input: it must end, and take no memory that a file merely
claims."""

import contextlib
import resource
import signal
from pathlib import Path

SECONDS = 30  # a watchdog, no measurement
MOST_BYTES = 700 << 20  # of memory above what was there before


class Watchdog(BaseException):
    """The command did not end."""


@contextlib.contextmanager
def watched():
    """Stop what takes too long. On Linux, also check that no more memory is used than a command
    may, and refuse far more."""

    def bark(*_):
        raise Watchdog

    handler = signal.signal(signal.SIGALRM, bark)
    signal.alarm(SECONDS)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = status("VmRSS")
    if before:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (2 << 30), limits[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert status("VmHWM") - before < MOST_BYTES, f"{(status('VmHWM') - before) >> 20} MB"


def status(name: str) -> int:
    """Return a number of this process in bytes from /proc; 0 if there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0
