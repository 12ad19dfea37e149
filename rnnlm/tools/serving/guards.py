"""Checks of a request before an endpoint sees it: its host, token, content type, size and time, and
how many requests are waiting.

All of it is ASGI middleware; Host and the pages of other origins are starlette's to check. A
request is taken whole before it counts among those that wait, so that slow senders do not block
others.
"""

import asyncio
import contextlib
import hmac
import logging
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rnnlm.tools.serving import schemas, settings as limits, work
from rnnlm.tools.serving.metrics import OTHER, Metrics
from rnnlm.tools.serving.responses import RETRY_SECONDS, Refusal, error_record, refused

log = logging.getLogger("rnnlm.tools.serving.access")

# without a token: the page asks for one, and nothing of these is secret
OPEN_PATHS = ("/", "/health", "/ready")
# answered however many requests wait, as they tell about that
PROBES = ("/health", "/ready", "/metrics")
MOST_OF_A_PATH = 100  # characters in the log, of a path that is none of ours
ANY = "*"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
LEFT = 499  # in the log: the client left before it was answered
OTHERS_HINT = "rnnlm serve --allow-host NAME and --cors ORIGIN allow others"

# Answers are for the program that asked: browsers must not cache them, frame them or guess their
# type. Our own page has its own policy.
SAFETY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def guarded(
    app: Starlette,
    settings: limits.ServingSettings,
    tokens: Sequence[str] = (),
    metrics: Metrics | None = None,
) -> ASGIApp:
    """Return the application behind its guards. tokens: clients must have one of these, which may
    change; none: they need none. metrics: they count the requests."""
    metrics = metrics or Metrics()
    guard = _Guard(app, settings, tokens)
    metrics.watch_requests(lambda: guard.in_work.total())
    guarding: ASGIApp = guard
    # A browser asks whether a page may ask, and has no token then.
    if settings.cors:
        guarding = CORSMiddleware(
            guarding,
            allow_origins=[origin.rstrip("/") for origin in settings.cors],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    guarding = TrustedHostMiddleware(guarding, hosts_of(settings), www_redirect=False)
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    return _Envelope(guarding, paths, metrics)


def hosts_of(settings: limits.ServingSettings) -> list[str]:
    """Return the names that the server goes by, as starlette takes them.

    On this machine, a page of the internet whose name is made to lead here (DNS rebinding) could
    read answers: only our own names are taken. A server that others reach asks for a token, which
    such a page lacks, or is open to everybody.
    """
    if not settings.is_local and not settings.allow_host:
        return [ANY]
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [*LOCAL_NAMES, own, *settings.allow_host]


# ---- Outside: every answer, from any source.


class _Envelope:
    """Logs and counts each request, puts the headers of safety on every answer, and gives refusals
    one form. A log line has nothing of the body or the query of a request, nor of the answer."""

    def __init__(self, app: ASGIApp, paths: set[str], metrics: Metrics) -> None:
        self.app = app
        self.paths = paths
        self.metrics = metrics
        self.lines: list[str] = []  # of the log, which are written at the loop's next turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        began = time.perf_counter()
        try:
            await self.app(scope, receive, answer.send)
        finally:
            status, seconds = answer.status or LEFT, time.perf_counter() - began
            route = scope["path"] if scope["path"] in self.paths else OTHER
            self.metrics.answered(route, status, seconds)
            self._log(scope, status, seconds)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        client = scope["client"][0] if scope.get("client") else "-"
        path = scope["path"] if scope["path"] in self.paths else shown_path(scope["path"])
        method = scope["method"] if scope["method"] in METHODS else "-"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        # Requests that are answered together are written together.
        if not self.lines:
            asyncio.get_running_loop().call_soon(self._write_log)
        self.lines.append(f"{stamp} {client} {method} {path} {status} {1000 * seconds:.1f} ms")

    def _write_log(self) -> None:
        """Write the lines that wait."""
        log.info("%s", "\n".join(self.lines))
        self.lines.clear()


def shown_path(path: str) -> str:
    """Return a path that is none of ours as one word of ASCII, cut where it is long."""
    shown = urllib.parse.quote(path, safe="/:@!$&'()*+,;=-._~", errors="replace")
    return shown if len(shown) <= MOST_OF_A_PATH else f"{shown[:MOST_OF_A_PATH]}..."


class _Answer:
    """The answer to a request, on its way out. status: 0 before it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._plain: Message | None = None  # the start of a refusal in plain text
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SAFETY.items():
                headers.setdefault(name, value)
            # Starlette's middleware refuses in plain text: its form is known with its body.
            if self.status >= 400 and headers.get("content-type", "").startswith("text/plain"):
                self._plain = message
                return
        elif self._plain is not None:
            refusal = Refusal(self.status, message["body"].decode(), hint=OTHERS_HINT)
            body = schemas.encode(error_record(refusal))
            headers = MutableHeaders(scope=self._plain)
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(body))
            await self._send(self._plain)
            message = {**message, "body": body}
        await self._send(message)


# ---- Inside: conditions on a request.

_ENDS = Refusal(503, "the server is shutting down", retry_after=RETRY_SECONDS)
_LATE = Refusal(503, "the answer took too long", hint="ask for less", retry_after=RETRY_SECONDS)


def _too_large() -> Refusal:
    why = f"the limit is {limits.MAX_BODY:,} bytes"
    return Refusal(413, "the request is too large", why, "split it into several requests")


class _Left(Exception):
    """The client has left before its request had arrived."""


class _Guard:
    """An application, and the conditions on requests that reach it."""

    def __init__(
        self, app: ASGIApp, settings: limits.ServingSettings, tokens: Sequence[str]
    ) -> None:
        self.app = app
        self.settings = settings
        self.tokens = tokens
        self.in_work: Counter[str] = Counter()  # requests, by client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with an error where it fails."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def tracked(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._answered(scope, receive, tracked)
        except _Left:
            return
        except asyncio.CancelledError:
            # The server ends, and has waited long enough.
            if not has_begun:
                await refused(_ENDS)(scope, receive, send)
            raise
        except Exception as error:
            # Once the answer has begun, an error can only cut it off.
            if not has_begun:
                refusal = _LATE if isinstance(error, TimeoutError) else error
                await refused(refusal)(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        token = self._check_token(scope["path"], headers)
        self._check_content(scope["method"], headers)
        body = await self._body(receive)
        client = self._client(scope, token)
        work.client.set(client)
        place = contextlib.nullcontext() if scope["path"] in PROBES else self._place(client)
        with place:
            async with asyncio.timeout(self.settings.answer_seconds):
                await self.app(scope, _receive_again(body, receive), send)

    def _check_token(self, path: str, headers: Headers) -> int | None:
        """Return the number of the token that a client has; refuse one that has none."""
        if not self.tokens or path in OPEN_PATHS:
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        # All are always compared, so that the time reveals nothing.
        sent = secret.strip().encode("latin-1")
        matching = [hmac.compare_digest(sent, token.encode()) for token in self.tokens]
        if scheme.lower() != "bearer" or not any(matching):
            hint = "send it as the header Authorization: Bearer TOKEN"
            raise Refusal(401, "this server requires a token", hint=hint)
        return matching.index(True)

    def _client(self, scope: Scope, token: int | None) -> str:
        """Return who asks: a token if clients have different ones, else an address; "" if a proxy's
        address is everybody's."""
        if token is not None and len(self.tokens) > 1:
            return f"token {token + 1}"
        if self.settings.trusted_proxy or not scope.get("client"):
            return ""
        return str(scope["client"][0])

    def _check_content(self, method: str, headers: Headers) -> None:
        """Refuse bodies other than JSON: pages of other origins send all else without asking."""
        # Two lengths of one body: a proxy may have read another request than we do (RFC 9112, 6.1).
        if "content-length" in headers and "transfer-encoding" in headers:
            what = "the request has both Content-Length and Transfer-Encoding"
            raise Refusal(400, what, ends_connection=True)
        if len(headers.getlist("host")) > 1:
            raise Refusal(400, "the request names several hosts", ends_connection=True)
        if any(each.strip().lower() != "identity" for each in headers.getlist("content-encoding")):
            raise Refusal(415, "compressed bodies are not accepted")
        if method == "POST" and not _is_json(headers.getlist("content-type")):
            hint = "send the header Content-Type: application/json"
            raise Refusal(415, "only JSON in UTF-8 is accepted", hint=hint)
        if int(headers.get("content-length", "0")) > limits.MAX_BODY:
            raise _too_large()

    async def _body(self, receive: Receive) -> bytes:
        """Receive the body, within its time."""
        parts = []
        size = 0
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                while True:
                    message = await receive()
                    # Client gone or body too large: stop reading.
                    if message["type"] == "http.disconnect":
                        raise _Left
                    part = message.get("body", b"")
                    size += len(part)
                    if size > limits.MAX_BODY:
                        raise _too_large()
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            why = f"the limit is {limits.BODY_SECONDS:g} seconds"
            raise Refusal(408, "the request did not arrive in time", why) from None

    @contextlib.contextmanager
    def _place(self, client: str) -> Iterator[None]:
        """Take a place among the requests that are answered, if there is one for this client."""
        if self.in_work.total() >= limits.MAX_REQUESTS:
            why = f"{self.in_work.total()} requests are waiting"
            raise Refusal(503, "the server is overloaded", why, retry_after=RETRY_SECONDS)
        if client and self.in_work[client] >= limits.MAX_REQUESTS_OF_CLIENT:
            why = f"{self.in_work[client]} requests of this client are waiting"
            raise Refusal(429, "too many requests at once", why, retry_after=RETRY_SECONDS)
        self.in_work[client] += 1
        try:
            yield
        finally:
            self.in_work -= Counter([client])  # which forgets clients without a request


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """Return the messages that an application receives: the body, and later that the client has
    left."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _is_json(values: Sequence[str]) -> bool:
    """Return whether a content type is JSON in UTF-8."""
    if len(values) != 1:
        return False
    kind, _, parameters = values[0].lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return kind.strip() == "application/json" and charset in ("", "utf-8", "utf8")
