"""This process and its machine: processors and threads, memory, and its rank among the processes of
a run.

torchrun starts the processes of a run and gives each its rank in the environment. torch is imported
where it is used: processes that need no torch ask for their rank, too.
"""

import contextlib
import ctypes
import errno
import functools
import itertools
import math
import mmap
import os
import platform
import re
import select
import shlex
import signal
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlm.amounts import NUMBER
from rnnlm.errors import (
    DeviceError,
    LostProcessError,
    ReportedByOtherProcess,
    RnnlmError,
    SettingsError,
    UsageError,
    keyword,
)

if TYPE_CHECKING:
    from torch.distributed import Store

IS_WINDOWS = os.name == "nt"
START_SECONDS = 600  # within which all processes must have started
POLL_SECONDS = 0.05
FAREWELL_SECONDS = 10.0
PREPARED_SHAPES = "128"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def python(*arguments: str) -> list[str]:
    """Return the command for one of our Python processes.

    It does not import modules of the current folder (`-P`), where `-m` and `-c` look first: a
    `torch.py` there is not ours.
    """
    return [sys.executable, "-P", *arguments]


def import_path() -> list[str]:
    """Return the folders where this process finds modules, for one that it starts.

    The current folder, which is in it under `python -m rnnlm`, is left out unless this package is
    there.
    """
    here = os.path.realpath(os.curdir)
    package_parent = os.path.realpath(Path(__file__).parents[1])
    # "" is the current folder, too.
    left_out = {"", here} - {package_parent}
    return [folder for folder in sys.path if folder and os.path.realpath(folder) not in left_out]


def processors() -> int:
    """Return how many processors this process may use: its affinity, or as many as a quota of its
    control groups gives time for, rounded up.

    `python -X cpu_count` and PYTHON_CPU_COUNT replace that number, as they do for Python itself
    (3.13). The load of the machine plays no part: results would differ from day to day.
    """
    return _named_processors() or math.ceil(min(_processors_of_affinity(), cpu_quota()))


def _named_processors() -> int:
    named = str(sys._xoptions.get("cpu_count") or os.environ.get("PYTHON_CPU_COUNT"))
    return int(named) if named.isdecimal() else 0


def _processors_of_affinity() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def cpu_quota(root: Path = Path("/")) -> float:
    """Return how many processors' time the control groups of this process give it: its own and
    those that hold it (containers, batch systems, systemd); infinity without a quota.

    `root` is the folder that holds proc, and in which control groups are mounted.
    """
    quota = math.inf
    with contextlib.suppress(OSError, ValueError, IndexError):  # not Linux, or another form
        # Of each hierarchy, of version 2 (without a name) or 1, the group of this process.
        group_of: dict[str, str] = {}
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            group_of |= dict.fromkeys(controllers.split(","), path)

        # Where these are mounted, each group is a folder in the one that holds it.
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            place, _, source = line.partition(" - ")
            mounted, mount_point = place.split()[3:5]
            kind, options = source.split()[0], source.split()[-1].split(",")
            if kind not in ("cgroup", "cgroup2") or (kind == "cgroup" and "cpu" not in options):
                continue
            path = group_of.get("" if kind == "cgroup2" else "cpu", "/")
            group = Path(os.path.relpath(path, mounted))
            if os.pardir in group.parts:  # a container sees its own group as the topmost one
                group = Path()
            for folder in (group, *group.parents):
                quota = min(quota, _quota_of(root / mount_point.lstrip("/") / folder))
    return quota


def _quota_of(group: Path) -> float:
    """Return the quota of one control group, of version 2 or 1, in processors."""
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        time_us, period_us = map(int, (group / "cpu.max").read_text().split())
        return time_us / period_us
    with contextlib.suppress(OSError, ValueError):
        time_us = int((group / "cpu.cfs_quota_us").read_text())
        if time_us > 0:  # -1: none
            return time_us / int((group / "cpu.cfs_period_us").read_text())
    return math.inf


def share_processors() -> None:
    """Let torch and BLAS have a thread for each of :func:`processors`; by themselves they know the
    affinity alone. They read OMP_NUM_THREADS when they are imported. A value that is set already
    stays.
    """
    # Without an affinity, the number that is named replaces the machine's in Python alone.
    if _named_processors() or processors() != _processors_of_affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(processors()))


_thread = threading.local()


def free_processors() -> int:
    """Return how many processors the current thread may use: a single one in a thread of
    :func:`rnnlm.parallel.in_threads`, where other threads use the others."""
    return 1 if hasattr(_thread, "is_of_several") else processors()


def note_several() -> None:
    """Note that the current thread leaves the other processors to others."""
    _thread.is_of_several = True


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    """Let the current thread use a single processor in this context: other processes use the
    others."""
    was_alone = free_processors() > 1
    note_several()
    try:
        yield
    finally:
        if was_alone:
            del _thread.is_of_several


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads in this context."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy and scipy use one thread in this context, for eigenvalues and singular values.

    These take thousands of short products, after each of which OpenBLAS's threads wait for each
    other: two can take a hundred times as long as one.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end this process in order: Ctrl-C, TERM and, on systems that have it,
    HUP, or Windows' BREAK: Ctrl-Break, a closed window, logging off. Ignored ones are left out:
    nohup ignores HUP."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


if sys.platform == "win32":

    @ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)
    def _end_with_the_console(event: int) -> bool:
        if event >= 2:  # the window closes, the user logs off, the machine shuts down
            interrupt_main(signal.SIGBREAK)
            time.sleep(START_SECONDS)
        return False  # Python's own handler has the others


def end_in_order_with_the_console() -> None:
    """Have a closed window or logging off arrive as BREAK (Windows; elsewhere nothing happens).

    Windows ends a process as soon as its handler of such an event returns, so this one does not:
    the main thread has the seconds that Windows gives.
    """
    if sys.platform == "win32":
        ctypes.windll.kernel32.SetConsoleCtrlHandler(_end_with_the_console, True)


def is_closed_pipe(error: OSError) -> bool:
    """Return whether the reader of a pipe has left. Windows says that an argument is not valid."""
    return isinstance(error, BrokenPipeError) or (
        IS_WINDOWS and error.errno == errno.EINVAL and error.filename is None
    )


def has_input(descriptor: int) -> bool:
    """Return whether reading from standard input, or another pipe, would not wait."""
    if sys.platform != "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    if os.isatty(descriptor):
        return False  # it may have keys, and no line
    import msvcrt

    # Windows asks pipes alone; files, and pipes whose writer has left, never wait.
    pipe, arrived = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor)), ctypes.c_ulong()
    is_open = ctypes.WinDLL("kernel32").PeekNamedPipe(
        pipe, None, 0, None, ctypes.byref(arrived), None
    )
    return not is_open or arrived.value > 0


_PLAIN = re.compile(r"[\w\\/:.+=-]+", re.ASCII)


def quoted(word: str) -> str:
    """Return a word such that the user's shell takes it as one: on Windows PowerShell, and cmd
    where both agree."""
    if not IS_WINDOWS:
        return shlex.quote(word)
    if _PLAIN.fullmatch(word):
        return word
    is_replaced = "$" in word or "`" in word  # by PowerShell, in double quotes
    return "'" + word.replace("'", "''") + "'" if is_replaced else f'"{word}"'


def held_bytes() -> int:
    """Return how much memory this process holds now, where the system shows it; elsewhere the most
    it has held."""
    if sys.platform == "win32":
        return _windows_memory()[_WORKING_SET]
    if sys.platform == "darwin":
        return _resident_bytes_of_macos()
    with contextlib.suppress(OSError), open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * mmap.PAGESIZE
    return peak_bytes()


# Places in PROCESS_MEMORY_COUNTERS, nine numbers of a pointer's size (learn.microsoft.com)
_PEAK_WORKING_SET, _WORKING_SET, _COMMITTED, _COUNTERS = 1, 2, 7, 9


def _windows_memory() -> list[int]:
    """Return what Windows knows of this process's memory, in bytes; zeros where it does not say."""
    counters = (ctypes.c_size_t * _COUNTERS)(ctypes.sizeof(ctypes.c_size_t) * _COUNTERS)
    if sys.platform == "win32":
        ctypes.WinDLL("kernel32").K32GetProcessMemoryInfo(
            ctypes.c_void_p(-1),
            ctypes.byref(counters),
            ctypes.sizeof(counters),  # of this process
        )
    return list(counters)


def _resident_bytes_of_macos() -> int:
    """Return how much memory this process holds now, as the kernel of macOS counts it."""
    kernel = ctypes.CDLL(None)
    task = ctypes.c_uint32.in_dll(kernel, "mach_task_self_")
    # MACH_TASK_BASIC_INFO, 20, is 48 bytes, of which the second eight count (mach/task_info.h).
    info, words = (ctypes.c_uint64 * 6)(), ctypes.c_uint32(12)
    failed = kernel.task_info(task, 20, ctypes.byref(info), ctypes.byref(words))
    return peak_bytes() if failed else info[1]


def most_open_files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else min(soft, 1 << 20)


def allow_open_files() -> None:
    """Let this process have as many files open as it may, up to 65,536."""
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(OSError, ValueError):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
            if soft != resource.RLIM_INFINITY and soft < wanted:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def private_bytes() -> int:
    """Return how much memory this process holds now that belongs to it alone, where the system
    shows it (pages of mapped files do not count); elsewhere all that it holds."""
    if sys.platform == "win32":
        memory = _windows_memory()
        # What is promised may not be in use.
        return min(memory[_COMMITTED], memory[_WORKING_SET])
    private = _bytes_in_status("RssAnon")
    return held_bytes() if private is None else private


def mapped_bytes() -> int:
    """Return how much memory this process holds now that mirrors files, which the system takes back
    when it is short of memory; 0 where the system does not show it."""
    return _bytes_in_status("RssFile") or 0


def available_bytes() -> int | None:
    """Return how much memory programs can still take; None where the system does not show it."""
    return _bytes_in("/proc/meminfo", "MemAvailable")


def _bytes_in_status(name: str) -> int | None:
    """Return a size from /proc/self/status; None where the system does not show it."""
    return _bytes_in("/proc/self/status", name)


def _bytes_in(path: str, name: str) -> int | None:
    with contextlib.suppress(OSError), open(path) as status:
        for line in status:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return None


def peak_bytes() -> int:
    """Return the most memory that this process has held so far; 0 where the system does not show
    it."""
    if sys.platform == "win32":
        return _windows_memory()[_PEAK_WORKING_SET]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    # macOS counts bytes, Linux KiB.
    return peak if sys.platform == "darwin" else peak * 1024


def return_freed(kept_bytes: int = 1 << 20) -> None:
    """Give freed memory back to the system, and from now on at once, so that memory held is memory
    used (glibc; elsewhere nothing happens). Arrow would keep its own.

    Arrays below `kept_bytes` stay in the process when they are freed: new pages for each take time.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if "pyarrow" in sys.modules:
        pyarrow = sys.modules["pyarrow"]
        pyarrow.default_memory_pool().release_unused()
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    _set_malloc({_M_MMAP_THRESHOLD: kept_bytes})
    trim()


def trim() -> None:
    """Give memory freed so far back to the system (glibc; elsewhere nothing happens)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed() -> None:
    """Keep freed arrays in the process. Large ones would go back to the system, and code that makes
    the same ones again and again would wait for their pages each time. Peak memory is unchanged.
    """
    keep_few_caches()
    _set_malloc({_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1})


def keep_few_caches() -> None:
    """Keep little memory besides the memory in use. Threads share one arena: memory that one of
    them frees, another one takes.

    oneDNN, torch's kernels on a CPU, also keeps its preparations for each shape: by default for
    1,024 shapes, a gigabyte or two where batches of lines have any shape; here for fewer.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", PREPARED_SHAPES)
    _set_malloc({_M_ARENA_MAX: 1})


def _set_malloc(options: dict[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc":
        for option, value in options.items():
            ctypes.CDLL(None).mallopt(option, value)


SMALLEST_BARE_SIZE = 1_000  # bytes; a smaller number without a unit is a mistake


def parse_size(text: str, name: str = "memory") -> int:
    """Return the bytes that `500M`, `1.5G`, `800MiB` or `1000000` name; they must be above zero."""
    match = re.fullmatch(rf"\s*({NUMBER})\s*([kmgt]?i?)b?\s*", text.lower())
    size = 0
    if match and match[2] in _UNITS:
        with contextlib.suppress(OverflowError):
            size = int(float(match[1]) * _UNITS[match[2]])
    if match and not text.strip()[-1].isalpha() and 0 < size < SMALLEST_BARE_SIZE:
        raise SettingsError(
            f"{name} = {text!r} has no unit",
            f"that is {size} bytes",
            f"write {size}M for megabytes or {size}G for gigabytes",
        )
    if size > 0:
        return size
    raise SettingsError(
        f"{name} = {text!r} is not understood", hint="write, for instance, 500M, 2G or 1.5GiB"
    )


@dataclass(frozen=True)
class Rank:
    """The rank of this process in a run."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # on its machine

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.count}"


def current_rank() -> Rank:
    """Return this process's rank, which torchrun's variables in the environment name."""
    # Only together do they say that the run has several processes: a cluster may set one of them.
    if not all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR")):
        return Rank()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    try:
        here = Rank(*(int(os.environ.get(name, "0")) for name in names))
    except ValueError:
        here = Rank(count=0)
    if not 0 <= here.rank < here.count:
        raise UsageError(
            "RANK, WORLD_SIZE or LOCAL_RANK in the environment are not valid",
            hint="unset them, or start the processes with torchrun",
        )
    return here


def bind_device(name: str) -> str:
    """Return the device of this rank where `name` was asked for: each of several ranks has its own
    GPU, or all are on the CPU."""
    here = current_rank()
    if here.count == 1:
        return name
    if name.startswith(("cuda:", "mps")):
        raise UsageError(
            f"{here.count} processes cannot share the device {name}",
            hint="use " + keyword("device") + " cuda, cpu or auto",
        )
    import torch

    # Each rank takes the GPU of its number.
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if torch.cuda.is_available() and here.local_rank >= torch.cuda.device_count():
        raise DeviceError(
            f"there is no GPU for process {here.local_rank + 1} of this machine",
            f"each process takes one, and there are {torch.cuda.device_count()} here",
            "start fewer processes, or use " + keyword("device", "cpu"),
        )
    return f"cuda:{here.local_rank}" if name in ("auto", "cuda") else name


@contextlib.contextmanager
def planning_together() -> Iterator[None]:
    """Let each rank prepare for training in this context. Where it fails on one rank, it fails on
    all, and one of them reports it."""
    here = current_rank()
    if here.count == 1:
        yield
        return
    with lost_at_start(here):
        place_to_meet = store()
        run = next(_plans)

    # Plan. A rank that fails notifies the others, and the lowest of those that failed reports it.
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        # The store may be gone, with the rank that held it.
        with contextlib.suppress(RuntimeError):
            place_to_meet.set(f"plan{run}/{here.rank}", str(code))
        if any(_plan_code(place_to_meet, run, lower) for lower in range(here.rank)):
            raise ReportedByOtherProcess(code) from None
        if here.rank and isinstance(error, RnnlmError):
            error.what = f"{here}: " + error.what
        raise

    # A rank that succeeds waits to hear that all of them did.
    with contextlib.suppress(RuntimeError):
        place_to_meet.set(f"plan{run}/{here.rank}", "0")
    codes = [_plan_code(place_to_meet, run, rank) for rank in range(here.count)]
    if any(codes):
        raise ReportedByOtherProcess(max(codes))
    # The first rank may hold the store, and have nothing left to do.
    farewell(f"plan{run}", here)


_plans = itertools.count()


def _plan_code(place_to_meet: "Store", run: int, rank: int) -> int:
    """Wait for the exit code of a rank's planning, however long that takes, and return it."""
    key = f"plan{run}/{rank}"
    try:
        while not place_to_meet.check([key]):
            time.sleep(POLL_SECONDS)
        return int(place_to_meet.get(key))
    except RuntimeError:
        # The store went with the rank that held it, which had no reason to end but an error.
        return 1


@functools.cache
def store() -> "Store":
    """Return the store that all processes can write to and read, until the one that holds it ends:
    torchrun, or rank 0."""
    from torch.distributed import rendezvous

    if IS_WINDOWS:
        os.environ.setdefault("USE_LIBUV", "0")  # which torch's wheels for Windows lack
    shared: Store = next(rendezvous("env://", timeout=timedelta(seconds=START_SECONDS)))[0]
    return shared


def farewell(name: str, here: Rank) -> None:
    """Wait until each rank has noted in the store that it exchanges nothing more.

    A rank that closes its connections while another is still in the last exchange would break that
    one down. A rank that is gone, or takes longer than FAREWELL_SECONDS, is not waited for.
    """
    place_to_meet = store()
    until = time.monotonic() + FAREWELL_SECONDS
    notes = [f"{name}/bye{rank}" for rank in range(here.count)]
    # Without the store, the rank that held it is gone, and it had seen all notes.
    with contextlib.suppress(RuntimeError):
        place_to_meet.set(notes[here.rank], "1")
        while not place_to_meet.check(notes) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def lost_at_start(here: Rank) -> Iterator[None]:
    """Turn torch's errors in this context into a LostProcessError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            "the processes of the run cannot find each other",
            f"{here}: {str(error).partition(chr(10))[0]}",
        ) from error
