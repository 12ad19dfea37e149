"""The endpoints over HTTP: bodies are checked against their schemas, answers are JSON, and errors
hold the fault, the reason and the way out."""

import contextlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from rnnlm.errors import RnnlmWarning
from rnnlm.tools.serving import schemas
from rnnlm.tools.serving.handlers import Handlers
from rnnlm.tools.serving.openapi import Endpoint, document
from rnnlm.tools.serving.page import content_security_policy, server_page
from rnnlm.tools.serving.refusals import Refusal
from rnnlm.tools.serving.responses import (
    Asked,
    HttpFunction,
    decoded,
    json_answer,
    refused,
    server_sent,
    unless_left,
)
from rnnlm.tools.serving.served import ServedModels
from rnnlm.tools.serving.settings import ServingSettings


def make_app(models: ServedModels, settings: ServingSettings) -> Starlette:
    """Return the application that serves these models."""
    app = Starlette(
        routes=routes(models, settings),
        exception_handlers={404: _not_found, 405: _not_allowed, Exception: _failed},
        lifespan=_without_notices,
    )
    # A path has one spelling: another one is nothing here, and no clue where to go.
    app.router.redirect_slashes = False
    return app


def routes(models: ServedModels, settings: ServingSettings) -> list[Route]:
    """Return the routes of the endpoints, of their description and of the page."""
    handlers = Handlers(models, settings)
    endpoints = endpoints_of(handlers)

    # The endpoints, with their input and output.
    made = []
    for each in endpoints:
        if each.asked is None:
            function = _got(each.answer)
        elif each.events:
            function = _streamed(
                schemas.GenerateRequest, handlers.generate, handlers.generate_events
            )
        else:
            function = _posted(each.asked, each.answer)
        made.append(Route(each.path, function, methods=[each.method]))

    described = json_answer(document(endpoints, settings))

    async def openapi(request: Request) -> Response:
        return described

    return [
        *made,
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/", _page, methods=["GET"]),
    ]


async def _page(request: Request) -> Response:
    """Answer with the page, which may do nothing but run itself and ask this server."""
    html = server_page()
    return HTMLResponse(html, headers={"Content-Security-Policy": content_security_policy(html)})


def endpoints_of(handlers: Handlers) -> list[Endpoint]:
    """Return the endpoints of these handlers."""
    generate = (schemas.PieceEvent, schemas.DoneEvent, schemas.ErrorAnswer)
    inspections = (schemas.GatesAnswer, schemas.InfluenceAnswer, schemas.OrdersAnswer)
    return [
        Endpoint("/health", handlers.health, None, (schemas.Health,)),
        Endpoint("/models", handlers.list_models, None, (schemas.ModelList,)),
        Endpoint("/score", handlers.score, schemas.ScoreRequest, (schemas.ScoreAnswer,)),
        Endpoint("/next", handlers.next_words, schemas.NextRequest, (schemas.NextAnswer,)),
        Endpoint(
            "/generate",
            handlers.generate,
            schemas.GenerateRequest,
            (schemas.GenerateAnswer,),
            generate,
        ),
        Endpoint("/inspect", handlers.inspect, schemas.InspectRequest, inspections),
        Endpoint("/rescore", handlers.rescore, schemas.RescoreRequest, (schemas.RescoreAnswer,)),
        Endpoint("/tag", handlers.tag, schemas.TagRequest, (schemas.TagAnswer,)),
        Endpoint(
            "/classify", handlers.classify, schemas.ClassifyRequest, (schemas.ClassifyAnswer,)
        ),
        Endpoint(
            "/translate", handlers.translate, schemas.TranslateRequest, (schemas.TranslateAnswer,)
        ),
    ]


@contextlib.asynccontextmanager
async def _without_notices(app: Starlette) -> AsyncIterator[None]:
    """Silence notices while requests are answered: they quote the texts of requests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        yield


# ---- From functions to endpoints.


def _got(answer: Callable[[], Awaitable[schemas.Reply]]) -> HttpFunction:
    """Return the endpoint of an answer to a GET."""

    async def endpoint(request: Request) -> Response:
        return json_answer(await answer())

    return endpoint


def _posted(kind: type[Asked], answer: Callable[[Asked], Awaitable[schemas.Reply]]) -> HttpFunction:
    """Return the endpoint of an answer to a POST, whose body is a request of this kind."""
    decoder = msgspec.json.Decoder(kind)

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            return json_answer(await unless_left(request, answer(decoded(body, decoder))))
        except Exception as error:
            return refused(error)

    return endpoint


def _streamed(
    kind: type[schemas.GenerateRequest],
    answer: Callable[[schemas.GenerateRequest], Awaitable[schemas.Reply]],
    stream: Callable[[schemas.GenerateRequest], AsyncIterator[msgspec.Struct]],
) -> HttpFunction:
    """Return the endpoint of a POST that is answered at once, or event by event."""
    decoder = msgspec.json.Decoder(kind)

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            asked = decoded(body, decoder)
            if not asked.stream:
                return json_answer(await unless_left(request, answer(asked)))
            events = stream(asked)
            first = await anext(events)  # errors of a request show before it
        except Exception as error:
            return refused(error)
        return StreamingResponse(server_sent(first, events), media_type="text/event-stream")

    return endpoint


async def _not_found(request: Request, error: Exception) -> Response:
    return refused(Refusal(404, "not found", hint="/openapi.json lists all endpoints"))


async def _not_allowed(request: Request, error: Exception) -> Response:
    what = f"{request.method} is not allowed here"
    response = refused(Refusal(405, what, hint="/openapi.json lists the methods that are"))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # the methods that do
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return refused(error)
