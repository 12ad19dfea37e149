"""Connections of the server: how many there are, and how long one may keep the server waiting.

uvicorn's protocol waits forever for a request that does not come and for a client that does not
take its answer. Neither reaches an application, so both are ended here. What is no HTTP gets an
answer of ours.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Generator
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from rnnlm.serving import schemas
from rnnlm.serving.refusals import Refusal, error_record
from rnnlm.serving.settings import ServingSettings

LOOK_SECONDS = 1.0  # between two looks at a connection
CLOSING_SECONDS = 5.0  # for the client to take what was sent before the connection was closed
RETRY_SECONDS = 1
BUSY = Refusal(503, "the server has too many connections", retry_after=RETRY_SECONDS)
LATE = Refusal(408, "the request did not arrive in time")


class Config(uvicorn.Config):
    """uvicorn's configuration, and our settings."""

    serving: ServingSettings


class Connection(H11Protocol):
    """A connection of a client."""

    config: Config
    _looking: asyncio.TimerHandle | None = None
    _seen: object = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.config.serving.max_connections:
            self._refuse(BUSY)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close the connection when it has kept the server waiting for too long."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        is_closing = self.transport.is_closing()
        now = (is_waiting, is_closing, self.cycle)
        if now != self._seen:
            self._seen, self._since = now, self.loop.time()
        lasts = self.loop.time() - self._since

        # The client does not take its answer, or its request does not come.
        if is_closing and lasts > CLOSING_SECONDS:
            self.transport.abort()
        elif is_waiting and not is_closing and lasts > self.config.serving.body_seconds:
            has_begun = bool(self.conn.trailing_data[0])
            if has_begun:
                self._refuse(LATE)
            else:
                self.transport.close()
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        # h11 knows where another status says more: 431 for headers that are too large.
        error = sys.exception()
        status = 400
        if isinstance(error, h11.ProtocolError) and 400 <= error.error_status_hint < 500:
            status = error.error_status_hint
        self._refuse(Refusal(status, "the request is not valid HTTP"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error, and close the connection."""
        # The application answers no more.
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = schemas.encode(error_record(refusal))
            self.transport.write(_answer(refusal, body))
        self.transport.close()


def _answer(refusal: Refusal, body: bytes) -> bytes:
    """Return an error as it is sent."""
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
        **refusal.headers,
    }
    reason = STATUS_PHRASES[refusal.status].decode()
    lines = [f"HTTP/1.1 {refusal.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server(uvicorn.Server):
    """uvicorn's server, which a signal ends in order, without raising the signal again.

    ending: the signal that ends it, or 0.
    """

    def __init__(self, config: Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.ending = 0
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to those who run the server."""
        yield

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: stop accepting connections, answer what has come, and end."""
        self.ending = self.ending or number
        self.should_exit = True
