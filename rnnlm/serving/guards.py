"""What a request must be before an endpoint sees it: from somebody who may ask, of JSON, not too
large, not too late, and not one too many.

The guard is ASGI middleware. It takes a request whole before it counts among those that wait, so
that slow senders hold up nobody; it answers what it refuses, puts the headers of safety on every
answer, and logs a line a request, which has nothing of what was sent or answered.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from rnnlm.serving import schemas
from rnnlm.serving.refusals import Refusal, error_record, refusal_of
from rnnlm.serving.settings import ServingSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = logging.getLogger("rnnlm.serving.access")

OPEN_PATHS = ("/", "/health")  # without a token: the page asks for one, and nothing of it is secret
RETRY_SECONDS = 1  # after a server, or a client, has too much to do
LARGEST_HEAD = 16_384  # bytes of all headers
ANY = "*"
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{0,5})?")
LEFT = 499  # in the log: the client left before it was answered

# Answers are for the program that asked. No page holds them, shows them in a frame, or takes them
# for something else than they say; a page of ours has a policy of its own.
SAFETY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
OWN_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")


def guarded(app: Starlette, settings: ServingSettings, token: str | None = None) -> App:
    """Return the application behind a guard. token: what clients must have; None: nothing."""
    return _Guard(app, settings, token)


_ENDS = Refusal(503, "the server ends", retry_after=RETRY_SECONDS)


class _Left(Exception):
    """The client has left before its request had arrived."""


class _Guard:
    """An application, and what a request must be to reach it."""

    def __init__(self, app: Starlette, settings: ServingSettings, token: str | None) -> None:
        self.app = app
        self.settings = settings
        self.token = None if token is None else token.encode()
        self.in_work = 0
        self.in_work_by_client: Counter[str] = Counter()
        # An address needs no mention.
        self.names = {"localhost", _name(settings.host), *map(_name, settings.allow_host)} - {""}
        self.paths = {route.path for route in app.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _by_name(scope["headers"])
        client = self._client(scope, headers)
        answer = _Answer(send, self._added_headers(headers))
        began = time.perf_counter()
        try:
            await self._answered(scope, receive, answer, headers, client)
        except _Left:
            answer.status = answer.status or LEFT
        finally:
            self._log(scope, answer.status, client, time.perf_counter() - began)

    async def _answered(
        self,
        scope: Scope,
        receive: Receive,
        answer: "_Answer",
        headers: dict[bytes, list[bytes]],
        client: str,
    ) -> None:
        """Answer a request, with an error where it fails."""
        try:
            _check_head(scope)
            self._check_host(headers)
            if scope["method"] == "OPTIONS" and await self._preflight(headers, answer):
                return
            self._check_token(scope["path"], headers)
            self._check_content(scope["method"], headers)
            body = await self._body(receive, headers)
            with self._place(client):
                async with asyncio.timeout(self.settings.answer_seconds):
                    await self.app(scope, _receive_again(body, receive), answer.send)
        except _Left:
            raise
        except asyncio.CancelledError:
            # The server ends, and has waited long enough.
            if not answer.status:
                await answer.refuse(_ENDS)
            raise
        except Exception as error:
            # Nobody is told more once the answer has begun: it is cut off.
            if answer.status:
                return
            await answer.refuse(_refusal(error))

    # ---- Who asks.

    def _client(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> str:
        """Return the address of the client; of a proxy's, if the proxy is to be believed."""
        if self.settings.proxy_headers:
            # A proxy adds what it sees to what the client claims.
            forwarded = b",".join(headers.get(b"x-forwarded-for", ())).rpartition(b",")[2].strip()
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(forwarded.decode("latin-1")))
        peer = scope.get("client")
        return str(peer[0]) if peer else "-"

    def _check_host(self, headers: dict[bytes, list[bytes]]) -> None:
        """Refuse a request that was meant for another server.

        A page whose name is made to lead here (DNS rebinding) sends its own name. An address is
        no name, so nobody can make it lead elsewhere.
        """
        hosts = headers.get(b"host", [])
        name = _name(hosts[0].decode("latin-1")) if len(hosts) == 1 else ""
        if name in self.names or ANY in self.settings.allow_host or _is_address(name):
            return
        raise Refusal(
            421,
            "this server does not go by the name of the request's Host",
            hint="rnnlm serve --allow-host NAME allows one",
        )

    def _check_token(self, path: str, headers: dict[bytes, list[bytes]]) -> None:
        if self.token is None or path in OPEN_PATHS:
            return
        given = headers.get(b"authorization", [])
        scheme, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        is_bearer = scheme.lower() == b"bearer"
        # Both compared in any case, so that the time says nothing.
        is_right = hmac.compare_digest(secret.strip(), self.token)
        if not (is_bearer and is_right):
            hint = "send it as the header Authorization: Bearer TOKEN"
            raise Refusal(401, "this server asks for a token", hint=hint)

    # ---- Pages of other origins.

    def _origin(self, headers: dict[bytes, list[bytes]]) -> bytes | None:
        """Return the origin of the page that asks, as the answer has it, if it may."""
        given = headers.get(b"origin", [])
        if len(given) != 1:
            return None
        if ANY in self.settings.cors:
            return ANY.encode()
        allowed = [origin.rstrip("/").encode() for origin in self.settings.cors]
        return given[0] if given[0] in allowed else None

    def _added_headers(self, headers: dict[bytes, list[bytes]]) -> Headers:
        """Return the headers of the answer to a request with these."""
        added = list(SAFETY)
        if not self.settings.cors:
            return [*added, OWN_ORIGIN]
        added.append((b"vary", b"Origin"))
        origin = self._origin(headers)
        if origin is None:
            return [*added, OWN_ORIGIN]
        added.append((b"access-control-allow-origin", origin))
        added.append((b"access-control-expose-headers", b"Retry-After"))
        return added

    async def _preflight(self, headers: dict[bytes, list[bytes]], answer: "_Answer") -> bool:
        """Answer a browser that asks whether a page may ask; return whether it did."""
        if b"access-control-request-method" not in headers or self._origin(headers) is None:
            return False
        allowed = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"Authorization, Content-Type"),
            (b"access-control-max-age", b"600"),
        ]
        await answer.send({"type": "http.response.start", "status": 204, "headers": allowed})
        await answer.send({"type": "http.response.body", "body": b""})
        return True

    # ---- What is asked.

    def _check_content(self, method: str, headers: dict[bytes, list[bytes]]) -> None:
        """Refuse what is not JSON: pages of other origins send all else without asking."""
        if any(
            each.strip().lower() != b"identity" for each in headers.get(b"content-encoding", ())
        ):
            raise Refusal(415, "bodies are taken as they are, not compressed")
        if method == "POST" and not _is_json(headers.get(b"content-type", [])):
            hint = "send the header Content-Type: application/json"
            raise Refusal(415, "only JSON in UTF-8 is taken", hint=hint)
        lengths = headers.get(b"content-length", [])
        if lengths and int(lengths[0]) > self.settings.max_body:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        why = f"at most {self.settings.max_body:,} bytes are taken"
        return Refusal(413, "the request is too large", why, "send its sentences in several")

    async def _body(self, receive: Receive, headers: dict[bytes, list[bytes]]) -> bytes:
        """Receive the body, within its time."""
        parts = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                while True:
                    message = await receive()
                    # Nobody is left to answer, or too much has come: what follows is not read.
                    if message["type"] == "http.disconnect":
                        raise _Left
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self.settings.max_body:
                        raise self._too_large()
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            why = f"it has {self.settings.body_seconds:g} seconds"
            raise Refusal(408, "the request did not arrive in time", why) from None

    @contextlib.contextmanager
    def _place(self, client: str) -> Iterator[None]:
        """Take a place among the requests that are answered, if there is one."""
        if self.in_work >= self.settings.max_requests:
            why = f"{self.in_work} requests are waiting"
            raise Refusal(503, "the server has too much to do", why, retry_after=RETRY_SECONDS)
        if self.in_work_by_client[client] >= self.settings.max_client_requests:
            why = f"{self.settings.max_client_requests} are not answered yet"
            raise Refusal(429, "too many requests at once", why, retry_after=RETRY_SECONDS)
        self.in_work += 1
        self.in_work_by_client[client] += 1
        try:
            yield
        finally:
            self.in_work -= 1
            self.in_work_by_client[client] -= 1
            if not self.in_work_by_client[client]:
                del self.in_work_by_client[client]

    def _log(self, scope: Scope, status: int, client: str, seconds: float) -> None:
        """Log a line. It has nothing of what was asked or answered: a path is named only if it is
        ours."""
        if not log.isEnabledFor(logging.INFO):
            return
        path = scope["path"] if scope["path"] in self.paths else "-"
        method = scope["method"] if scope["method"] in METHODS else "-"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        log.info("%s %s %s %s %d %.1f ms", stamp, client, method, path, status, 1000 * seconds)


class _Answer:
    """The answer to a request, on its way out. status: 0 before it has begun."""

    def __init__(self, send: Send, added: Headers) -> None:
        self._send = send
        self._added = added
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = list(message.get("headers", ()))
            named = {name.lower() for name, _ in own}
            added = [(name, value) for name, value in self._added if name not in named]
            if POLICY[0] not in named:
                added.append(POLICY)
            message = {**message, "headers": own + added}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error as the whole answer."""
        body = schemas.encode(error_record(refusal))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        for name, value in refusal.headers.items():
            headers.append((name.lower().encode(), value.encode()))
        await self.send(
            {"type": "http.response.start", "status": refusal.status, "headers": headers}
        )
        await self.send({"type": "http.response.body", "body": body})


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, TimeoutError):
        what = "the answer took too long"
        return Refusal(503, what, hint="ask for less", retry_after=RETRY_SECONDS)
    return refusal_of(error)


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """Return what an application receives: the body, and later that the client has left."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        if waiting:
            return waiting.pop()
        return await receive()

    return received


def _check_head(scope: Scope) -> None:
    """Refuse what no client of ours sends, though a parser may take it."""
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    if size > LARGEST_HEAD:
        raise Refusal(431, "the headers are too large", f"at most {LARGEST_HEAD:,} bytes are taken")
    if scope.get("http_version", "1.1") not in ("1.0", "1.1"):
        raise Refusal(400, "only HTTP 1.1 is spoken here")


def _by_name(headers: Headers) -> dict[bytes, list[bytes]]:
    """Return the values of each header."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def _name(host: str) -> str:
    """Return a host without its port, in small letters; "" where it is none."""
    match = _HOST.fullmatch(host.strip().lower())
    return match[1].strip("[]").removesuffix(".") if match else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_json(values: Sequence[bytes]) -> bool:
    """Return whether a content type is JSON in UTF-8."""
    if len(values) != 1:
        return False
    if values[0] == b"application/json":
        return True
    kind, _, parameters = values[0].decode("latin-1").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return kind.strip() == "application/json" and charset in ("", "utf-8", "utf8")
