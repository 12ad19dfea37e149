"""The server's processes: models are loaded, then requests answered until a signal ends it.

A single process answers by itself. Several are started by this one, which only watches them: all
accept connections of one socket, each loads the models for itself, and arrays that are mapped from
files are the system's to share. A process that dies is replaced; connections that nobody has
accepted yet are not lost with it.
"""

import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import IO

import msgspec
from msgspec import Struct

from rnnlm import system
from rnnlm.errors import RnnlmError, RnnlmWarning, UsageError
from rnnlm.serving.settings import ServingSettings

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
GRACE_SECONDS = 3.5  # for requests that are being answered when a signal comes
LAST_SECONDS = 0.7  # for a process to end after that, before it is killed
POLL_SECONDS = 0.05
# A process that accepts all that waits leaves nothing to the others. asyncio accepts as many at
# once as it lets wait, so the system is told afterwards how many may.
ACCEPTED_AT_ONCE, MOST_WAITING = 1, 1024
# Between two starts of a process that dies soon after each.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, SOUND_SECONDS = 0.1, 10.0, 30.0
TOKEN_VARIABLE = "RNNLM_TOKEN"
FEWEST_CHARACTERS = 16  # of a token
MAKE_TOKEN = 'python -c "import secrets; print(secrets.token_urlsafe())"'

Told = Callable[[str], None]

# ---- Who may ask.


def token_from(file: str | None) -> str | None:
    """Return the token that clients must have: what the file holds, or the environment."""
    if file is None:
        where, token = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE)
        if token is None:
            return None
    else:
        where, token = file, _read_token(file).strip()
    if len(token) < FEWEST_CHARACTERS:
        why = f"it has {len(token)} characters; {FEWEST_CHARACTERS} are the fewest"
        raise UsageError(f"the token in {where} is too short", why, f"make one: {MAKE_TOKEN}")
    if not all("!" <= character <= "~" for character in token):
        why = "clients send it in a header, which takes letters, digits and signs of ASCII"
        raise UsageError(
            f"the token in {where} is none that a client can send", why, f"make one: {MAKE_TOKEN}"
        )
    return token


def _read_token(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            return stream.read(4096).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(f"cannot read the token from {file}", error.strerror or "") from None


def check_access(settings: ServingSettings, token: str | None) -> None:
    """Refuse to serve everybody unless it was said aloud."""
    if token is not None and settings.no_auth:
        raise UsageError("--no-auth needs no token", hint="leave out one of them")
    if token is None and not settings.no_auth and not is_local(settings.host):
        raise UsageError(
            f"other machines reach {settings.host}, and no token is asked of them",
            hint=f"set ${TOKEN_VARIABLE}, or --token-file FILE; --no-auth lets everybody in",
        )


def is_local(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


# ---- From start to end.


def serve(
    names: Sequence[str],
    settings: ServingSettings,
    device: str = "auto",
    token: str | None = None,
    started: Told = lambda url: None,
    notice: Told = lambda text: None,
) -> int:
    """Serve the models of these names until a signal ends it, and return the signal.

    token: what clients must have; None: nothing. started: told the address once requests are
    answered. notice: told what happens to the processes.
    """
    check_access(settings, token)
    work = Work(tuple(names), settings, device, token)
    with _bound(settings) as listener:
        url = _url(listener)
        if settings.workers == 1:
            return _answer(work, listener, lambda: started(url))
        return _Supervisor(work, listener, notice).run(lambda: started(url))


class Work(Struct, frozen=True):
    """What a process answers, and how."""

    names: tuple[str, ...]
    settings: ServingSettings
    device: str
    token: str | None


def _bound(settings: ServingSettings) -> socket.socket:
    """Bind the address, so that an error shows before models are loaded. Connections are accepted
    once somebody listens."""
    host, port = settings.host, settings.port
    try:
        # asyncio sends at once (TCP_NODELAY) only where the socket names its protocol.
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
    except UnicodeError:
        raise UsageError(f"there is no address {host}") from None
    except OSError as error:
        raise UsageError(f"there is no address {host}", error.strerror or "") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        hint = ""
        if error.errno == errno.EADDRINUSE:
            hint = "--port names another one; --port 0 takes any that is free"
        raise UsageError(
            f"cannot listen at {host}, port {port}", error.strerror or "", hint
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answer(work: Work, listener: socket.socket, started: Callable[[], None]) -> int:
    """Load the models and answer requests until a signal ends it. Return the signal."""
    from rnnlm.serving.app import make_app
    from rnnlm.serving.connections import Config, Connection, Server
    from rnnlm.serving.guards import guarded
    from rnnlm.serving.served import ServedModels

    models = ServedModels.load(work.names, work.device)
    app = guarded(make_app(models, work.settings), work.settings, work.token)

    # uvicorn's logs quote paths and errors, which quote texts; the access log is ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    _show_log()
    config = Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=GRACE_SECONDS,  # type: ignore[arg-type]
    )
    config.serving = work.settings

    def listening() -> None:
        listener.listen(MOST_WAITING)
        started()

    server = Server(config, listening)
    with signals_handled(server.end):
        server.run([listener])
    return server.ending


def _show_log() -> None:
    """Write the access log, and where errors of ours come from, to standard error."""
    log = logging.getLogger("rnnlm.serving")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
        log.propagate = False


@contextlib.contextmanager
def signals_handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals that ask for the end handled in this context; nohup's HUP stays ignored."""
    before = {}
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- Several processes.


class _Report(Struct, frozen=True, omit_defaults=True):
    """What a process tells the one that started it, one line of JSON: that it answers, a notice, or
    why it fails."""

    ready: bool = False
    notice: str = ""
    error: tuple[str, str, str, int] | None = None  # what, why, hint, exit code


class _Failed(RnnlmError):
    """A process that could not start, and said why."""


class _Worker:
    """A process that answers requests, in its own session: Ctrl-C on the terminal does not reach
    it. It ends when this process does, however it ends: its standard input ends with it."""

    def __init__(self, work: Work, listener: socket.socket) -> None:
        path = os.pathsep.join(system.import_path())
        threads = max(1, system.processors() // work.settings.workers)
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "PYTHONPATH": path}
        environment.pop(TOKEN_VARIABLE, None)  # it comes with the work
        number = listener.fileno()
        self.process = subprocess.Popen(
            system.python("-c", f"from {__name__} import work; work({number})"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            pass_fds=[number],
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        self.is_ready = False
        self.reports: list[_Report] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

        # A process that is gone already is found by whoever looks at it next.
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.write(msgspec.json.encode(work) + b"\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        """Collect what the process reports, until it has ended."""
        assert self.process.stdout
        for line in self.process.stdout:
            with contextlib.suppress(msgspec.DecodeError):
                report = msgspec.json.decode(line, type=_Report)
                self.is_ready = self.is_ready or report.ready
                self.reports.append(report)

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        code = self.process.returncode
        told = self.error()
        if told is not None:
            return f"has ended: {told[0]}"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def error(self) -> tuple[str, str, str, int] | None:
        """Return why the process, which has ended, failed; None if it did not say."""
        self._reading.join(timeout=1)
        for report in self.reports:
            if report.error is not None:
                return report.error
        return None

    def close(self) -> None:
        """End the process if it runs."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self._reading.join(timeout=1)


class _Supervisor:
    """Start processes, replace those that die, and end them all."""

    def __init__(self, work: Work, listener: socket.socket, notice: Told) -> None:
        self.work = work
        self.listener = listener
        self.notice = notice
        self.workers: list[_Worker] = []
        self.pauses: dict[int, float] = {}  # by place, before the next start there
        self.waiting: dict[int, float] = {}  # by place, until when
        self.ending = 0

    def run(self, started: Callable[[], None]) -> int:
        """Watch the processes until a signal comes, and return it. started: called once all of them
        answer."""
        try:
            with signals_handled(self._end):
                for _ in range(self.work.settings.workers):
                    self.workers.append(_Worker(self.work, self.listener))
                if self._all_ready():
                    self._tell_notices()
                    started()
                while not self.ending:
                    self._replace_dead()
                    time.sleep(POLL_SECONDS)
                self._end_all()
        finally:
            for worker in self.workers:
                worker.close()
        return self.ending

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ending = self.ending or number

    def _all_ready(self) -> bool:
        """Wait until all processes answer; a signal may come first. What fails now fails always."""
        while not all(worker.is_ready for worker in self.workers):
            if self.ending:
                return False
            for worker in self.workers:
                if worker.has_ended():
                    raise self._failure(worker)
            time.sleep(POLL_SECONDS)
        return True

    def _failure(self, worker: _Worker) -> RnnlmError:
        told = worker.error()
        if told is None:
            return RnnlmError("a process of the server failed to start", worker.how_it_ended())
        error = _Failed(*told[:3])
        error.exit_code = told[3]
        return error

    def _tell_notices(self) -> None:
        """Give the notices of one process: the others have the same."""
        for report in self.workers[0].reports:
            if report.notice:
                warnings.warn(report.notice, RnnlmWarning, stacklevel=2)

    def _replace_dead(self) -> None:
        """Start a process in place of each that has died; one that does so again and again is
        started less and less often."""
        now = time.monotonic()
        for place, worker in enumerate(self.workers):
            if not worker.has_ended():
                continue

            # It has just died: one that lived for a while is replaced at once, others after a pause
            # that doubles each time.
            if place not in self.waiting:
                pause = 0.0
                if now - worker.started_at < SOUND_SECONDS:
                    pause = self.pauses.get(place, 0.0)
                self.pauses[place] = min(max(FIRST_PAUSE_SECONDS, 2 * pause), LONGEST_PAUSE_SECONDS)
                self.waiting[place] = now + pause
                self.notice(f"a process of the server {worker.how_it_ended()}; another one starts")

            # Its pause is over.
            if now >= self.waiting[place]:
                worker.close()
                try:
                    self.workers[place] = _Worker(self.work, self.listener)
                    del self.waiting[place]
                except OSError:  # no memory or no process is left: later, perhaps
                    self.waiting[place] = now + LONGEST_PAUSE_SECONDS

    def _end_all(self) -> None:
        """Have all processes answer what they are at and end; kill those that take too long."""
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS + LAST_SECONDS
        while time.monotonic() < deadline:
            if all(worker.has_ended() for worker in self.workers):
                return
            time.sleep(POLL_SECONDS)


def work(number: int) -> None:
    """Answer requests in a process that :class:`_Worker` has started. number: of the socket."""
    # The parent handles these signals.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    # Reports have the stream to themselves: what a library prints goes where errors go.
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()

    code = 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _tell(reports, _Report(notice=str(message)))
            with socket.socket(fileno=number) as listener:
                _answer(given, listener, lambda: _tell(reports, _Report(ready=True)))
    except RnnlmError as error:
        _tell(reports, _Report(error=(error.what, error.why, error.hint, error.exit_code)))
        code = error.exit_code
    except Exception as error:
        what = f"a process of the server failed: {type(error).__name__}: {error}"
        _tell(reports, _Report(error=(what, "", "", 1)))
        code = 1
    # Threads that still compute would be in the way of an orderly end.
    os._exit(code)


def _tell(stream: IO[bytes], report: _Report) -> None:
    with contextlib.suppress(OSError):  # the parent may have gone
        stream.write(msgspec.json.encode(report) + b"\n")


def _end_with_parent(stream: IO[bytes]) -> None:
    """End this process once the one that started it is gone."""
    stream.read()
    os._exit(0)
