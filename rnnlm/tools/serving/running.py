"""The server from start to end: who may ask, the address, and uvicorn, until a signal ends it."""

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from rnnlm.errors import UsageError, keyword
from rnnlm.system import ending_signals, keep_few_caches
from rnnlm.tools.serving.settings import ServingSettings

if TYPE_CHECKING:
    import uvicorn

GRACE_SECONDS = 3  # for requests that are being answered when a signal comes
SWITCH_SECONDS = 0.0005  # between threads; Python's own 5 ms are for few
TOKEN_VARIABLE = "RNNLM_TOKEN"
FEWEST_CHARACTERS = 16  # of a token
MAKE_TOKEN = 'python -c "import secrets; print(secrets.token_urlsafe())"'

Told = Callable[[str], None]

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
        _check_token(token, where)
    return tokens


def _check_token(token: str, where: str) -> None:
    if len(token) < FEWEST_CHARACTERS:
        why = f"it has {len(token)} characters; at least {FEWEST_CHARACTERS} are needed"
        raise UsageError(f"the token in {where} is too short", why, f"make one: {MAKE_TOKEN}")
    if not all("!" <= character <= "~" for character in token):
        raise UsageError(
            f"the token in {where} holds characters that HTTP headers cannot carry",
            "use only letters, digits and symbols of ASCII",
            f"make one: {MAKE_TOKEN}",
        )


def check_access(settings: ServingSettings, tokens: Sequence[str] = ()) -> None:
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
    settings: ServingSettings,
    device: str = "auto",
    tokens: Sequence[str] = (),
    started: Told = lambda url: None,
) -> None:
    """Serve the models of these names until SIGTERM, SIGINT or SIGHUP ends it.

    tokens: clients must have one of these; none: they need none. started: called with the address
    once requests are answered.
    """
    import uvicorn

    from rnnlm.tools.serving.app import make_app
    from rnnlm.tools.serving.connections import limited_protocol
    from rnnlm.tools.serving.guards import guarded
    from rnnlm.tools.serving.served import ServedModels

    check_access(settings, tokens)
    keep_few_caches()
    with _bound(settings) as listener:
        models = ServedModels.load(names, device)
        app = guarded(make_app(models, settings), settings, tokens)
        _show_log()
        # Threads that compute let the threads of short requests run: each call into torch waits for
        # it.
        sys.setswitchinterval(SWITCH_SECONDS)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=limited_protocol(settings),
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # a client's own claims are logged nowhere
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        _run(uvicorn.Server(config), listener, started)


def _bound(settings: ServingSettings) -> socket.socket:
    """Bind the address, so that an error shows before models are loaded. Connections are accepted
    once a server listens."""
    from rnnlm.tools.serving.connections import LimitedListener

    host, port = settings.host, settings.port
    try:
        # asyncio sends at once (TCP_NODELAY) only where the socket names its protocol.
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = LimitedListener(family, kind, protocol)
    except UnicodeError:
        raise UsageError(f"no such address: {host}") from None
    except OSError as error:
        raise UsageError(f"no such address: {host}", error.strerror or "") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        other = (
            "choose another " + keyword("port") + "; " + keyword("port", 0) + " takes any free one"
        )
        raise UsageError(
            f"cannot listen at {host}, port {port}",
            error.strerror or "",
            other if error.errno == errno.EADDRINUSE else "",
        ) from None
    return listener


def _run(server: "uvicorn.Server", listener: socket.socket, started: Told) -> None:
    """Answer requests until a signal ends the server."""

    # uvicorn handles SIGINT and SIGTERM while it runs, and then restores these handlers. Others are
    # handled here alone.
    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in ending_signals()}
    try:
        # Who connects from now on waits for uvicorn's first turn.
        listener.listen()
        host, port = listener.getsockname()[:2]
        started(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_log() -> None:
    """Write the access log, and where errors of ours come from, to standard error. uvicorn's logs
    quote paths and errors, which quote texts."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    log = logging.getLogger("rnnlm.tools.serving")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
        log.propagate = False
