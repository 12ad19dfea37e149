"""Connections: their number, in all and of each address, and the time for the head of a request."""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from rnnlm.system import most_open_files
from rnnlm.tools.serving import schemas
from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.responses import RETRY_SECONDS, Refusal, error_record

log = logging.getLogger("rnnlm.tools.serving.access")

_OVERLOADED = Refusal(503, "the server is overloaded", "it has as many connections as it takes")
_BODY = schemas.encode(error_record(_OVERLOADED))
# The answer to a connection beyond the limit, which is sent before its request is read.
ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncache-control: no-store\r\n"
ANSWER += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(_BODY)
ANSWER += b"retry-after: %d\r\n\r\n" % RETRY_SECONDS + _BODY


class LimitedListener(socket.socket):
    """A listening socket that answers connections beyond a limit with 503, and closes them.

    The number of a connection's file is the lowest that is free, so it counts connections and all
    other open files. Some files are kept for the work of answering.
    """

    is_out_of_files = False

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

        files = most_open_files()
        spare = min(limits.SPARE_FILES, files // 4)
        beyond = connection.fileno() - min(limits.MAX_CONNECTIONS, files - spare)
        if beyond < 0:
            return connection, address

        # A request that reaches a closed connection may destroy the answer before it is read, so
        # close it later while there are files for it.
        log.info("%s %s - - 503 0.0 ms", time.strftime("%Y-%m-%dT%H:%M:%S"), address[0])
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(ANSWER)
            connection.shutdown(socket.SHUT_WR)
        if beyond < spare // 2:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, connection.close)
        else:
            connection.close()
        raise BlockingIOError  # let others have their turn before the next one


def limited_protocol(settings: limits.ServingSettings) -> type[H11Protocol]:
    """Return uvicorn's protocol with limits on the connections of each address, unless all come
    from a proxy's."""
    open_by_address: Counter[str] = Counter()

    class LimitedProtocol(H11Protocol):
        """HTTP/1.1 on one connection. counted: the address that the connection counts for."""

        counted: str | None = None
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
