"""Connections: each address has a number of them, and sends its request within some time."""

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from rnnlm.tools.serving import settings as limits


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
            # A client that sends no request in time is in the way of others.
            self.deadline = self.loop.call_later(limits.BODY_SECONDS, self._end_if_idle)
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

        def _end_if_idle(self) -> None:
            if self.cycle is None:  # no request has begun
                self.transport.abort()

    return LimitedProtocol
