"""Processes of `python -m rnnlm ...`, and of `python -c ...` where that is asked for, that start at
once: forks of a server that has imported torch.

Such a process is a child of whoever started it: it has a process id, takes signals and ends with
an exit code as any other; its streams, environment, working folder and limits are those that were
asked for. What a fork cannot show is how Python itself starts: tests of that take `subprocess`.

The server forks twice, and the process between ends at once. The kernel then gives the command to
the nearest "subreaper" above it (see prctl(2)), which is whoever asked, meanwhile. Where the
kernel has none (it is Linux's), commands start as usual.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import io
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOOR = "RNNLM_TESTS_DOOR"  # in the environment: the socket of the server
SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LONGEST_REQUEST = 1 << 17  # bytes
IMPORTED = (
    "torch", "torch._dynamo", "pyarrow.compute", "filelock", "zstandard", "scipy.sparse",
    "rnnlm.cli.main", "rnnlm.cli.commands.train", "rnnlm.cli.commands.eval",
    "rnnlm.cli.live", "rnnlm.training.run", "rnnlm.neural.fitting.fitting", "rnnlm.ngram.fitting",
    "rnnlm.tasks.labels.fitting", "rnnlm.tasks.labels.texts", "rnnlm.tasks.seq2seq.fitting",
    "rnnlm.tasks.seq2seq.texts", "rnnlm.cli.commands.serve", "rnnlm.serving.running",
)  # fmt: skip


class Forked(subprocess.Popen):
    """A `subprocess.Popen` whose process is forked of the server, if it runs `python -m rnnlm`.

    limits: by their number, as in the module `resource`. closed: the numbers of the streams that it
    is started without. ignored: the signals that it ignores. constants: numbers of modules that are
    others in it, by dotted name; only in what is forked. is_code: it runs `python -c CODE`, and finds
    imported what commands need.
    """

    def __init__(
        self,
        arguments: Sequence[Any],
        *,
        limits: Mapping[int, int] | None = None,
        closed: Sequence[int] = (),
        ignored: Sequence[int] = (),
        constants: Mapping[str, float] | None = None,
        is_code: bool = False,
        **options: Any,
    ) -> None:
        self.limits, self.closed, self.ignored = limits or {}, closed, ignored
        self.constants = constants or {}
        words = [] if isinstance(arguments, (str, bytes)) else list(map(os.fsdecode, arguments))
        is_ours = words[:1] == [sys.executable] and (
            is_code or _options_of_python(words) is not None
        )
        self.is_forked = is_ours and sys.platform == "linux"
        if not self.is_forked and (limits or closed or ignored):
            options["preexec_fn"] = self._prepare
        super().__init__(arguments, **options)

    def _prepare(self) -> None:
        prepare(self.limits, self.closed, self.ignored)

    def _execute_child(self, *given: Any) -> None:
        """Ask the server in the place of the kernel."""
        if not self.is_forked:
            super()._execute_child(*given)
            return
        named = inspect.signature(super()._execute_child).bind(*given).arguments
        streams = [
            asked if asked != -1 else own
            for own, asked in enumerate((named["p2cread"], named["c2pwrite"], named["errwrite"]))
        ]
        environment = dict(os.environ if named["env"] is None else named["env"]) | door()
        request = {
            "arguments": [os.fsdecode(word) for word in named["args"]],
            "folder": os.fsdecode(named["cwd"] or os.getcwd()),
            "environment": {os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()},
            "new_session": named["start_new_session"],
            "limits": list(self.limits.items()),
            "closed": list(self.closed),
            "ignored": [int(number) for number in self.ignored],
            "constants": dict(self.constants),
        }
        try:
            self.pid = _asked(json.dumps(request).encode("utf-8", "surrogatepass"), streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(
                *(named[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite")),
                *(named[name] for name in ("errread", "errwrite")),
            )


def _options_of_python(words: Sequence[str]) -> list[str] | None:
    """Return the words between the names of Python and of rnnlm; None for any other command."""
    found = words[1 : words.index("rnnlm")] if "rnnlm" in words else []
    return found if found[-1:] == ["-m"] and {*found} <= {"-u", "-P", "-m"} else None


def prepare(limits: Mapping[int, int], closed: Sequence[int], ignored: Sequence[int]) -> None:
    """Set the limits of the new process, close streams, ignore signals."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    for number, most in limits.items():
        resource.setrlimit(number, (most, most))
    # a limit to the size of files would cut off what Python caches, for all processes after it
    sys.dont_write_bytecode |= resource.RLIMIT_FSIZE in limits
    for number in closed:
        os.close(number)


def _asked(request: bytes, streams: Sequence[int]) -> int:
    """Return the id of the process that the server made, a child of this one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller, _adopting():
        caller.connect(door()[DOOR])
        socket.send_fds(caller, [request], streams)
        answer = caller.recv(64)
    if not answer:
        raise RuntimeError("the server of forked processes has ended")
    return int(answer)


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Adopt processes below this one that lose their parent, inside this context."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)


# ---- The server


def door() -> dict[str, str]:
    """Return what the environment of a process holds that is to ask the same server."""
    return {DOOR: os.environ.get(DOOR) or begin_server()}


@functools.cache
def begin_server() -> str:
    """Fork the server, which ends with this process. Return the path of its socket.

    A fork keeps what tests have changed in their process: call this before the first test.
    """
    if sys.platform != "linux":
        return ""
    path = os.path.join(tempfile.mkdtemp(prefix="rnnlm-forked-", dir="/tmp"), "door")
    listener, (leash, held) = _listening(path), os.pipe()
    if os.fork():
        listener.close()
        os.close(leash)  # `held` closes with this process
        return path

    # The server, and each command that it is forked to, leaves by itself: what called this here
    # goes on in the other process.
    try:
        os.close(held)
        atexit._clear()  # what pytest does at its end, pytest does
        nowhere = os.open(os.devnull, os.O_RDWR)
        for own in range(3):
            os.dup2(nowhere, own)
        serve(listener, path, leash)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))
    finally:
        os._exit(0)


@functools.cache
def import_commands() -> None:
    """Import what commands need, once, so that each of them starts with it."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # no fork looks at what was there before it


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path + ".new")
    listener.listen()
    os.rename(path + ".new", path)
    return listener


def serve(listener: socket.socket, path: str, leash: int) -> None:
    """Fork a process for each request, until the other end of the pipe `leash` is closed."""
    while True:
        ready, _, _ = select.select([listener, leash], [], [])
        if leash in ready:
            os.unlink(path)
            return
        caller, _ = listener.accept()
        with caller:
            request, streams, *_ = socket.recv_fds(caller, LONGEST_REQUEST, 3)
            import_commands()
            number = _forked() if request else 0
            if number is None:
                break
            for stream in streams:
                os.close(stream)
            caller.send(str(number).encode())
    # This is the new process.
    listener.close()
    os.close(leash)
    become(json.loads(request.decode("utf-8", "surrogatepass")), streams)


def _forked() -> int | None:
    """Fork a process whose parent has ended already. Return its id; None in that process."""
    reader, writer = os.pipe()
    between = os.fork()
    if not between:
        number = os.fork()
        if not number:
            os.close(reader)
            os.close(writer)
            return None
        os.write(writer, str(number).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(between, 0)
    with open(reader) as stream:
        return int(stream.read())


def become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Run the command in this process, as one that was started for it."""
    if request["new_session"]:
        os.setsid()
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    prepare(dict(request["limits"]), request["closed"], request["ignored"])
    for name, value in request["constants"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)

    arguments = request["arguments"]
    options = _options_of_python(arguments) or []
    is_unbuffered = "-u" in options or "PYTHONUNBUFFERED" in os.environ
    sys.stdin, sys.stdout, sys.stderr = (_stream(number, is_unbuffered) for number in range(3))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = arguments[len(options) + 1 :]
    if "-P" not in options:
        sys.path.insert(0, os.getcwd())
    code = 0
    try:
        if arguments[1] == "-c":
            sys.argv = arguments[1:2] + arguments[3:]
            exec(compile(arguments[2], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module("rnnlm", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    _leave(code)


def _leave(code: int) -> None:
    """End as Python does, but free nothing, which takes longest where torch is imported."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def command(folder: Path) -> Path:
    """Put a program `rnnlm` into `folder`, which shells may call; it needs :func:`door`."""
    program = folder / "rnnlm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "$@"\n')
    program.chmod(0o755)
    return program


def _stream(number: int, is_unbuffered: bool) -> Any:
    """Open a standard stream as Python does; return None if it is closed."""
    try:
        os.fstat(number)
    except OSError:
        return None
    if number == 0:
        return open(0, encoding="utf-8", closefd=False)
    raw = open(number, "wb", buffering=0 if is_unbuffered else -1, closefd=False)  # noqa: SIM115
    errors = "backslashreplace" if number == 2 else "strict"
    is_line_buffered = number == 2 or (not is_unbuffered and os.isatty(number))
    return io.TextIOWrapper(
        raw, "utf-8", errors, line_buffering=is_line_buffered, write_through=is_unbuffered
    )


if __name__ == "__main__":  # the command `rnnlm` of a shell
    raise SystemExit(Forked([sys.executable, "-m", "rnnlm", *sys.argv[1:]]).wait())
