"""Settings of the server: where it listens, and how much a request may ask for."""

import contextlib
import ipaddress
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Count, Positive, ValidatedSettings, about

Port = Annotated[int, Meta(ge=0, le=65535)]

# Limits of a request, and of the server's load, besides the settings below.
MAX_SAMPLES = 16  # generated texts of a request
MAX_WORDS = 100  # likely words at a place
MAX_REQUESTS = 256  # that are answered, or wait for it
MAX_BODY = 1_000_000  # bytes
MAX_HEAD = 65_536  # bytes
MAX_REQUESTS_OF_CLIENT = 64  # of these
MAX_CONNECTIONS = 1024  # of all addresses, counted with the open files of the process
SPARE_FILES = 64  # of those that the process may open: for answering, not for connections
MAX_CONNECTIONS_OF_ADDRESS = 128
BODY_SECONDS = 10.0  # within which a body must have arrived, and before it the head


@dataclass(frozen=True)
class ServingSettings(ValidatedSettings):
    """Settings of the server: where it listens, and how much a request may ask for."""

    host: Annotated[str, about("address to listen on")] = "127.0.0.1"
    port: Annotated[Port, about("port to listen on; 0 picks a free one")] = 8000

    # Who may ask.
    no_auth: Annotated[
        bool, about("allow everyone who can reach the server to use it without a token")
    ] = False
    allow_host: Annotated[
        tuple[str, ...], about("host name by which clients or a proxy may address the server")
    ] = ()
    cors: Annotated[
        tuple[str, ...],
        about("origin whose web pages may use the server, such as https://example.org"),
    ] = ()
    trusted_proxy: Annotated[
        bool, about("all clients come from a proxy's address: no limits for each address")
    ] = False

    # How much a request may ask for.
    max_sentences: Annotated[
        Count, about("maximum number of sentences, lines or hypotheses in a request")
    ] = 256
    max_characters: Annotated[
        Count,
        about(
            "maximum number of characters read for a request, where context and source count "
            "for each sentence; the limits of tokens and of numbers in the answer are twice "
            "this"
        ),
    ] = 100_000
    max_tokens: Annotated[Count, about("maximum number of tokens in a generated text")] = 1000
    answer_seconds: Annotated[
        Positive, about("seconds after which a request without an answer fails")
    ] = 60.0

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the address."""
        if self.host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False
