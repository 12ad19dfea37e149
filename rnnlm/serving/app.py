"""The endpoints over HTTP: bodies are checked against their schemas, answers are JSON, and errors
say what, why and the way out."""

import contextlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rnnlm.errors import RnnlmWarning
from rnnlm.serving import schemas
from rnnlm.serving.answers import Answers
from rnnlm.serving.refusals import Refusal, error_record, refusal_of
from rnnlm.serving.served import ServedModels
from rnnlm.serving.settings import ServingSettings

Asked = TypeVar("Asked", bound=Struct)
Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(models: ServedModels, settings: ServingSettings) -> Starlette:
    """Return the application that serves these models."""
    return Starlette(
        routes=routes(models, settings),
        exception_handlers={404: _not_found, 405: _not_allowed, Exception: _failed},
        lifespan=_without_notices,
    )


def routes(models: ServedModels, settings: ServingSettings) -> list[Route]:
    """Return the routes of our own endpoints."""
    answers = Answers(models, settings)
    return [
        Route("/health", _got(answers.health), methods=["GET"]),
        Route("/models", _got(answers.list_models), methods=["GET"]),
        Route("/score", _posted(schemas.ScoreRequest, answers.score), methods=["POST"]),
    ]


@contextlib.asynccontextmanager
async def _without_notices(app: Starlette) -> AsyncIterator[None]:
    """Silence notices while requests are answered: they quote the texts that they are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        yield


# ---- From functions to endpoints.


def _got(answer: Callable[[], Awaitable[Struct]]) -> Endpoint:
    """Return the endpoint of an answer to a GET."""

    async def endpoint(request: Request) -> Response:
        return json_answer(await answer())

    return endpoint


def _posted(kind: type[Asked], answer: Callable[[Asked], Awaitable[Struct]]) -> Endpoint:
    """Return the endpoint of an answer to a POST, whose body is a request of this kind."""
    decode = msgspec.json.Decoder(kind).decode

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            return json_answer(await answer(decoded(body, decode)))
        except Exception as error:
            return refused(error)

    return endpoint


def decoded(body: bytes, decode: Callable[[bytes], Asked]) -> Asked:
    """Return what a body holds. Refuse one that is no JSON, or JSON of another shape."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, "the request has another shape", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "the body is not JSON", str(error)) from None


def json_answer(answer: Struct | dict[str, Any], status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(schemas.encode(answer), status, media_type="application/json")


def refused(error: Exception) -> Response:
    """Return what is answered where a request failed with `error`."""
    refusal = refusal_of(error)
    response = json_answer(error_record(refusal), refusal.status)
    response.headers.update(refusal.headers)
    return response


async def _not_found(request: Request, error: Exception) -> Response:
    return refused(Refusal(404, "there is nothing here", hint="/openapi.json lists what there is"))


async def _not_allowed(request: Request, error: Exception) -> Response:
    response = refused(
        Refusal(405, f"{request.method} does not go here", hint="/openapi.json lists what does")
    )
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # the methods that do
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return refused(error)
