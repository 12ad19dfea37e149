"""From requests of HTTP to their content, and from answers and refusals to responses. A refused
request gets a status, and the fault, the reason and the hint in JSON.
"""

import asyncio
import functools
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rnnlm.errors import RnnlmError, TextError, UsageError, nearest
from rnnlm.tools.serving import schemas

# ---- Refusals.

log = logging.getLogger("rnnlm.tools.serving")

RETRY_SECONDS = 1  # after a server has too much to do


class Refusal(RnnlmError):
    """A request that is answered with an error.

    status: the status of HTTP. retry_after: seconds after which it may be worth another try.
    ends_connection: nothing that follows on the connection is read.
    """

    def __init__(
        self,
        status: int,
        what: str,
        why: str = "",
        hint: str = "",
        *,
        retry_after: int | None = None,
        ends_connection: bool = False,
    ) -> None:
        super().__init__(what, why, hint)
        self.status = status
        self.retry_after = retry_after
        self.ends_connection = ends_connection

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.ends_connection:
            return {"Connection": "close"}
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def refusal_of(error: Exception) -> Refusal:
    """Return the answer to a request that failed with `error`."""
    if isinstance(error, Refusal):
        return error
    # The library refuses sentences or settings that cannot be.
    if isinstance(error, UsageError | TextError):
        return Refusal(400, error.what, error.why, error.hint)
    # All else is no fault of the request, and may quote private data.
    log.error("internal error: %s at %s", type(error).__name__, _place(error))
    return Refusal(500, "the server failed to answer this request")


def _place(error: Exception) -> str:
    """Return where an error was raised, for a log that quotes no text."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    return f"{'/'.join(PurePath(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}"


def error_record(refusal: Refusal) -> dict[str, dict[str, str]]:
    """Return the body of the answer, in JSON's types."""
    told = {"what": refusal.what, "why": refusal.why, "hint": refusal.hint}
    return {"error": {name: str(text) for name, text in told.items() if text or name == "what"}}


# ---- Contents and responses.

Asked = TypeVar("Asked", bound=msgspec.Struct)
Result = TypeVar("Result")
SOON_SECONDS = 0.02
HttpFunction = Callable[[Request], Awaitable[Response]]


async def server_sent(
    first: msgspec.Struct, rest: AsyncIterator[msgspec.Struct]
) -> AsyncIterator[bytes]:
    """Yield events as a stream of server-sent ones; an error is the last of them."""
    yield b"data: " + schemas.encode(first) + b"\n\n"
    try:
        async for event in rest:
            yield b"data: " + schemas.encode(event) + b"\n\n"
    except Exception as error:
        yield b"data: " + schemas.encode(error_record(refusal_of(error))) + b"\n\n"


async def unless_left(request: Request, answer: Awaitable[Result]) -> Result:
    """Wait for an answer; give it up when the client leaves."""
    answering = asyncio.current_task()
    assert answering is not None
    leaving: asyncio.Future[None] | None = None
    is_over = False

    def give_up(left: "asyncio.Future[None]") -> None:
        # A client that leaves while its answer is there must not end what follows.
        if not (left.cancelled() or is_over):
            answering.cancel()

    def watch() -> None:
        nonlocal leaving
        leaving = asyncio.ensure_future(_left(request))
        leaving.add_done_callback(give_up)

    # Most are soon there: watching the client would take longer than it is worth.
    timer = asyncio.get_running_loop().call_later(SOON_SECONDS, watch)
    try:
        return await answer
    except asyncio.CancelledError:
        if leaving is None or not leaving.done():
            raise  # the server ends, or the answer takes too long
        answering.uncancel()
        raise Refusal(499, "the client has disconnected") from None
    finally:
        is_over = True
        timer.cancel()
        if leaving is not None:
            leaving.cancel()


async def _left(request: Request) -> None:
    """Wait until the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def decoded(body: bytes, decoder: msgspec.json.Decoder[Asked]) -> Asked:
    """Return the request that a body holds. Refuse a body that is no JSON, or does not match the
    schema."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # Suggest a field where one is unknown.
        unknown = _UNKNOWN_FIELD.search(str(error))
        hint = nearest(unknown[1], _fields_of(decoder.type)) if unknown else ""
        raise Refusal(422, "the request does not match the schema", str(error), hint) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "the body is not JSON", str(error)) from None


def json_answer(answer: schemas.Reply | dict[str, Any], status: int = 200) -> Response:
    """Return an answer as JSON."""
    body = answer if isinstance(answer, bytes) else schemas.encode(answer)
    return Response(body, status, media_type="application/json")


def refused(error: Exception) -> Response:
    """Return the answer to a request that failed with `error`."""
    refusal = refusal_of(error)
    response = json_answer(error_record(refusal), refusal.status)
    response.headers.update(refusal.headers)
    return response


_UNKNOWN_FIELD = re.compile(r"unknown field `(.*?)`")


@functools.cache
def _fields_of(kind: type[msgspec.Struct]) -> set[str]:
    """Return the fields of a request and of the objects in it."""
    _, components = msgspec.json.schema_components([kind])
    return set().union(*(schema.get("properties", ()) for schema in components.values()))
