"""Run `rnnlm` as on a system without what only Unix has, as far as Linux can pretend:

    python tests/support/other_system.py score -m demo "the dog"

What is taken away: fork, HUP and USR1, the affinity of processors, opening without
links, and /proc. Processes that it starts lack the same, as
`sitecustomize` in a folder of PYTHONPATH takes it away there."""

import builtins
import os
import signal
import sys

MISSING = {
    os: ("fork", "forkpty", "sched_getaffinity", "sched_setaffinity",
         "getloadavg", "O_NOFOLLOW", "posix_fallocate", "pread", "nice"),
    signal: ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM"),
}  # fmt: skip

# what rnnlm itself reads; other packages know what there is on each system
HIDDEN = ("/proc/self/statm", "/proc/self/status", "/proc/meminfo")


def take_away() -> None:
    """Take away what only Unix has."""
    import multiprocessing
    import subprocess

    import filelock  # noqa: F401 it chooses its locks when it is imported

    multiprocessing.set_start_method("spawn")
    subprocess._USE_VFORK = False
    for module, names in MISSING.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in ("pwd", "grp"):
        sys.modules[name] = None

    usual = builtins.open

    def open_here(file, *arguments, **keywords):
        if file in HIDDEN:
            raise FileNotFoundError(2, "no such file", file)
        return usual(file, *arguments, **keywords)

    builtins.open = open_here


if __name__ == "__main__":
    take_away()
    from rnnlm.cli.main import main

    sys.exit(main())
