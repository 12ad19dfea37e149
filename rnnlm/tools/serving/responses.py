"""From requests of HTTP to their content, and from answers and refusals to responses."""

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rnnlm.errors import nearest
from rnnlm.tools.serving import schemas
from rnnlm.tools.serving.refusals import Refusal, error_record, refusal_of

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
    answering = asyncio.ensure_future(answer)
    leaving: asyncio.Future[None] | None = None
    try:
        # Most are soon there: watching the client would take longer than it is worth.
        await asyncio.wait({answering}, timeout=SOON_SECONDS)
        if not answering.done():
            leaving = asyncio.ensure_future(_left(request))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Refusal(499, "the client has disconnected")
        return answering.result()
    finally:
        answering.cancel()
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
        what = "the request does not match the schema"
        raise Refusal(422, what, str(error), hint) from None
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
