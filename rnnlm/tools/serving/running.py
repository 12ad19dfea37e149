"""The server from start to end: who may ask, the address, and uvicorn, until a signal ends it; how
many connections it takes."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from rnnlm.amounts import plural
from rnnlm.errors import RnnlmError, UsageError, keyword
from rnnlm.system import IS_WINDOWS, ending_signals, keep_few_caches, most_open_files
from rnnlm.tools.serving import schemas, settings as limits
from rnnlm.tools.serving.responses import RETRY_SECONDS, Refusal, error_record

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from rnnlm.tools.serving.metrics import Metrics
    from rnnlm.tools.serving.served import ServedModels

GRACE_SECONDS = 3  # for requests that are being answered when a signal comes
SWITCH_SECONDS = 0.0005  # between threads; Python's own 5 ms are for few
TOKEN_VARIABLE = "RNNLM_TOKEN"
FEWEST_CHARACTERS = 16  # of a token
MAKE_TOKEN = 'python -c "import secrets; print(secrets.token_urlsafe())"'

RELOAD = getattr(signal, "SIGUSR1", None)  # Windows has none

Told = Callable[[str], None]
log = logging.getLogger("rnnlm.tools.serving.access")


def note(text: str, *values: object) -> None:
    """Write a line with the time to the log."""
    log.info("%s " + text, time.strftime("%Y-%m-%dT%H:%M:%S"), *values)


# ---- Who may ask.


def tokens_from(file: str | None) -> list[str]:
    """Return the tokens, one of which clients must have: the lines of the file, or the environment.
    Clients with tokens of their own have equal shares of the server."""
    if file is None:
        where = f"${TOKEN_VARIABLE}"
        if TOKEN_VARIABLE not in os.environ:
            return []
        tokens = [os.environ[TOKEN_VARIABLE]]
    else:
        where = file
        try:
            with open(file, "rb") as stream:
                lines = stream.read(1 << 16).decode("ascii", "replace").split("\n")
        except OSError as error:
            raise UsageError(f"cannot read the token from {file}", error.strerror or "") from None
        tokens = [token.strip() for token in lines if token.strip()] or [""]
    for token in tokens:
        if len(token) < FEWEST_CHARACTERS:
            why = f"it has {len(token)} characters; at least {FEWEST_CHARACTERS} are needed"
            raise UsageError(f"the token in {where} is too short", why, f"make one: {MAKE_TOKEN}")
        if not all("!" <= character <= "~" for character in token):
            raise UsageError(
                f"the token in {where} holds characters that HTTP headers cannot carry",
                "use only letters, digits and symbols of ASCII",
                f"make one: {MAKE_TOKEN}",
            )
    return tokens


def check_access(settings: limits.ServingSettings, tokens: Sequence[str] = ()) -> None:
    """Refuse to serve everyone unless explicitly told to."""
    if tokens and settings.no_auth:
        raise UsageError(
            keyword("no_auth", True) + " and a token cannot be combined",
            hint="leave out one of them",
        )
    if not tokens and not settings.no_auth and not settings.is_local:
        raise UsageError(
            f"{settings.host} is reachable from other machines, but no token is set",
            hint=f"set ${TOKEN_VARIABLE}, or "
            + keyword("token_file", "FILE")
            + "; "
            + keyword("no_auth", True)
            + " lets everybody in",
        )
    for name in settings.allow_host:
        if name != "*" and "*" in name.removeprefix("*."):
            why = "* matches every name, and *.example.org every name below example.org"
            raise UsageError(f"allow_host = {name} is not valid", why)


# ---- From start to end.


def serve(
    names: Sequence[str],
    settings: limits.ServingSettings,
    device: str = "auto",
    read_tokens: Callable[[], list[str]] = list,
    started: Told = lambda url: None,
) -> None:
    """Serve the models of these names until SIGTERM, SIGINT or SIGHUP ends it; load them anew at
    each SIGUSR1.

    read_tokens: returns the tokens, one of which clients must have; none: they need none. started:
    called with the address once requests are answered.
    """
    import uvicorn

    from rnnlm.tools.serving.app import make_app
    from rnnlm.tools.serving.guards import guarded
    from rnnlm.tools.serving.metrics import Metrics
    from rnnlm.tools.serving.served import ServedModels, Threads

    def load() -> ServedModels:
        return ServedModels.load(names, device, threads, metrics)

    def read() -> list[str]:
        tokens = read_tokens()
        check_access(settings, tokens)
        return tokens

    tokens, threads, metrics = read(), Threads(), Metrics()
    keep_few_caches()
    with _bound(settings) as listener, Reloading(load, read, tokens, metrics) as reloading:
        models = reloading.models = load()
        app = guarded(make_app(models, settings, metrics), settings, tokens, metrics)
        listener.metrics = metrics

        # Write the access log, and where errors of ours come from, to standard error. uvicorn's
        # logs quote paths and errors, which quote texts.
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        log = logging.getLogger("rnnlm.tools.serving")
        if not log.handlers:
            log.addHandler(logging.StreamHandler())
            log.setLevel(logging.INFO)
            log.propagate = False

        # Threads that compute let the threads of short requests run: each call into torch waits for
        # it.
        sys.setswitchinterval(SWITCH_SECONDS)
        config = uvicorn.Config(
            app,
            loop="asyncio:SelectorEventLoop",  # Windows' other one accepts without our listener
            http=limited_protocol(settings),
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # a client's own claims are logged nowhere
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            callback_notify=reloading.look,  # each second
            timeout_notify=0,
        )
        _run(uvicorn.Server(config), listener, started)


def _bound(settings: limits.ServingSettings) -> "LimitedListener":
    """Bind the address, so that an error shows before models are loaded. Connections are accepted
    once a server listens."""
    host, port = settings.host, settings.port
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = LimitedListener(family, kind, protocol)
    except UnicodeError:
        raise UsageError(f"no such address: {host}") from None
    except OSError as error:
        raise UsageError(f"no such address: {host}", error.strerror or "") from None
    try:
        # On Windows, SO_REUSEADDR would let two servers have one port.
        option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        other = (
            "choose another " + keyword("port") + "; " + keyword("port", 0) + " takes any free one"
        )
        raise UsageError(
            f"cannot listen at {host}, port {port}",
            error.strerror or "",
            other if error.errno in (errno.EADDRINUSE, errno.EACCES) else "",
        ) from None
    return listener


def _run(server: "uvicorn.Server", listener: socket.socket, started: Told) -> None:
    """Answer requests until a signal ends the server."""

    # uvicorn handles SIGINT and SIGTERM while it runs, and then restores these handlers. Others are
    # handled here alone.
    ended_by: list[str] = []

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True
        ended_by.append(signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in ending_signals()}
    try:
        # Who connects from now on waits for uvicorn's first turn.
        listener.listen()
        host, port = listener.getsockname()[:2]
        started(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        server.run([listener])
        note("ended by %s", ended_by[0] if ended_by else "itself")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- Loading anew.


class Reloading:
    """Loads the models and reads the tokens anew after each SIGUSR1, beside the work on requests.
    Those that have begun end with the old ones. Where something fails, the old ones stay."""

    models: "ServedModels"

    def __init__(
        self,
        load: "Callable[[], ServedModels]",
        read: Callable[[], list[str]],
        tokens: list[str],
        metrics: "Metrics",
    ) -> None:
        self.metrics = metrics
        self.load = load
        self.read = read
        self.tokens = tokens
        self.is_wanted = False
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "Reloading":
        # Before the models are loaded, too: by itself the signal would end the process.
        if RELOAD is not None:
            self._before = signal.signal(RELOAD, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        if RELOAD is not None:
            signal.signal(RELOAD, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = True

    async def look(self) -> None:
        """Begin where it is wanted, one after the other."""
        if self.is_wanted and (self._task is None or self._task.done()):
            self.is_wanted = False
            self._task = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        try:
            tokens = self.read()
            models = await self.models.first.threads.loading.call(self.load)
        except Exception as error:
            note("not loaded anew, so the old models stay: %s", _reason(error))
            self.metrics.reloaded("failed")
            return
        self.models.replace(models)
        self.tokens[:] = tokens
        self.metrics.reloaded("done")
        count = f", {plural(len(tokens), 'token')}" if tokens else ""
        note("loaded anew: %s%s", ", ".join(self.models.by_name), count)
        gc.collect()  # the old models


def _reason(error: Exception) -> str:
    """Return the reason for the operator, who may see paths."""
    if not isinstance(error, RnnlmError):
        return f"internal error {type(error).__name__}"
    return f"{error.what} ({error.why})" if error.why else error.what


# ---- Connections: their number, in all and of each address, and the time for a request's head.

_OVERLOADED = Refusal(503, "the server is overloaded", "it has as many connections as it takes")
_BODY = schemas.encode(error_record(_OVERLOADED))
# The answer to a connection beyond the limit, which is sent before its request is read.
ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncache-control: no-store\r\n"
ANSWER += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(_BODY)
ANSWER += b"retry-after: %d\r\n\r\n" % RETRY_SECONDS + _BODY


class LimitedListener(socket.socket):
    """A listening socket that answers connections beyond a limit with 503, and closes them.

    The number of a connection's file is the lowest that is free, so it counts connections and all
    other open files; on Windows it counts nothing, and connections alone are counted. Some files
    are kept for the work of answering.
    """

    is_out_of_files = False
    metrics: "Metrics | None" = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # that are open

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection within the limit, and its address."""
        # asyncio pauses after this error, but tries the whole backlog before it does.
        if self.is_out_of_files:
            self.is_out_of_files = False
            raise BlockingIOError
        try:
            connection, address = super().accept()
        except OSError as error:
            self.is_out_of_files = error.errno in (errno.EMFILE, errno.ENFILE)
            raise

        # asyncio does so only where the socket names its protocol, which accepted ones may not.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers go at once
        files = most_open_files()
        spare = min(limits.SPARE_FILES, files // 4)
        number = len(self.connections) if IS_WINDOWS else connection.fileno()
        beyond = number - min(limits.MAX_CONNECTIONS, files - spare)
        self.connections.add(connection)
        if beyond < 0:
            return connection, address

        # A request that reaches a closed connection may destroy the answer before it is read, so
        # close it later while there are files for it.
        note("%s - - 503 0.0 ms", address[0])
        if self.metrics is not None:
            from rnnlm.tools.serving.metrics import OTHER

            self.metrics.answered(OTHER, 503, 0.0)
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(ANSWER)
            connection.shutdown(socket.SHUT_WR)
        if beyond < spare // 2:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, connection.close)
        else:
            connection.close()
        raise BlockingIOError  # let others have their turn before the next one


def limited_protocol(settings: limits.ServingSettings) -> "type[HttpToolsProtocol]":
    """Return uvicorn's protocol with limits on the connections of each address, unless all come
    from a proxy's."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    open_by_address: Counter[str] = Counter()

    class LimitedProtocol(HttpToolsProtocol):
        """HTTP/1.1 on one connection. counted: the address that the connection counts for. unread:
        bytes of a head that has not ended; the parser itself has no limit for it."""

        counted: str | None = None
        unread = 0
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin_deadline()
            if settings.trusted_proxy or self.client is None:
                return
            address = self.client[0]
            if open_by_address[address] >= limits.MAX_CONNECTIONS_OF_ADDRESS:
                transport.abort()
                return
            self.counted = address
            open_by_address[address] += 1

        def connection_lost(self, exc: Exception | None) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
            if self.counted is not None:
                open_by_address[self.counted] -= 1
                if not open_by_address[self.counted]:
                    del open_by_address[self.counted]
                self.counted = None
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self.unread += len(data)
            super().data_received(data)
            if self.unread > limits.MAX_HEAD:
                self.transport.abort()

        def on_headers_complete(self) -> None:
            self.unread = 0
            if not self.url.startswith(b"/"):  # a whole URL is no path of ours
                self.url = b"/" + self.url
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.unread = 0
            super().on_body(body)

        def on_response_complete(self) -> None:
            self._begin_deadline()
            super().on_response_complete()

        def _begin_deadline(self, waited: float = 0.0) -> None:
            """Give the client some time for the whole head of its next request."""
            if self.deadline is not None:
                self.deadline.cancel()
            self.deadline = self.loop.call_later(limits.BODY_SECONDS, self._end_if_idle, waited)

        def _end_if_idle(self, waited: float) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                return
            # A client on a slow line may still be reading its answer.
            if self.transport.get_write_buffer_size() and waited < settings.answer_seconds:
                self._begin_deadline(waited + limits.BODY_SECONDS)
            else:
                self.transport.abort()

    return LimitedProtocol
