"""The endpoints over HTTP: bodies are checked against their schemas, answers are JSON, and errors
hold the fault, the reason and the way out. /openapi.json describes the possible requests by the
types that bodies are checked against, and / is a page that shows models.
"""

import base64
import contextlib
import functools
import hashlib
import inspect
import re
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from rnnlm.errors import RnnlmWarning
from rnnlm.tools.serving import schemas, settings as limits
from rnnlm.tools.serving.costs import limits_of
from rnnlm.tools.serving.handlers import Handlers
from rnnlm.tools.serving.metrics import CONTENT_TYPE, Metrics
from rnnlm.tools.serving.responses import (
    Asked,
    HttpFunction,
    Refusal,
    decoded,
    json_answer,
    refused,
    server_sent,
    unless_left,
)
from rnnlm.tools.serving.served import ServedModels

# ---- The description of the endpoints.

REFERENCES = "#/components/schemas/{name}"
OF_EVERY_REQUEST = ("401", "429", "503")
SECURITY = {"token": {"type": "http", "scheme": "bearer"}}


def limits_in_words(settings: limits.ServingSettings) -> dict[str, int | float]:
    """Return the limits of a request, by name."""
    most = limits_of(settings)
    return {
        "body_bytes": limits.MAX_BODY,
        "texts": most.texts,
        "characters": most.characters,
        "tokens": most.tokens,
        "numbers": most.numbers,
        "answer_bytes": most.answer_bytes,
        "next_words": limits.MAX_WORDS,
        "samples": limits.MAX_SAMPLES,
        "generated_tokens": settings.max_tokens,
        "answer_seconds": settings.answer_seconds,
        "requests": limits.MAX_REQUESTS,
        "requests_of_a_client": limits.MAX_REQUESTS_OF_CLIENT,
    }


@dataclass(frozen=True)
class Endpoint:
    """An endpoint. asked: the type of its request; None of a GET. gives: the types that an answer
    may have; events: the types of the events of a stream, if it gives one."""

    path: str
    answer: Callable[..., Awaitable[schemas.Reply]]
    asked: type[msgspec.Struct] | None
    gives: tuple[type[msgspec.Struct], ...]
    events: tuple[type[msgspec.Struct], ...] = ()

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return "GET" if self.asked is None else "POST"


def document(endpoints: Sequence[Endpoint], settings: limits.ServingSettings) -> dict[str, Any]:
    """Return the description of the endpoints, in JSON's types (OpenAPI 3.1)."""
    # A type that several endpoints share is described once, and referred to.
    types: list[type[msgspec.Struct]] = [schemas.ErrorAnswer]
    for each in endpoints:
        types += [*each.gives, *each.events]
        if each.asked:
            types.append(each.asked)
    described, components = msgspec.json.schema_components(types, ref_template=REFERENCES)
    schema_of = dict(zip(types, described, strict=True))

    # Each endpoint: its answer, its refusals, and its body.
    paths = {}
    refusal = {"application/json": {"schema": schema_of[schemas.ErrorAnswer]}}

    # Why requests are refused, by status.
    most = limits_of(settings)
    refusals = {
        "400": "a text or a setting that is not possible",
        "401": "the token is missing or wrong",
        "404": "no such model",
        "413": f"too large: at most {limits.MAX_BODY:,} bytes; {most.texts:,} texts; "
        f"{most.characters:,} characters, with each text its context and source; {most.tokens:,} "
        f"tokens read and written; {most.numbers:,} numbers and {most.answer_bytes:,} bytes in the "
        "answer",
        "422": "JSON that does not match the schema, or a number beyond a limit: "
        f"{limits.MAX_WORDS} likely words, {limits.MAX_SAMPLES} samples, {settings.max_tokens:,} "
        "generated tokens",
        "429": f"more than {limits.MAX_REQUESTS_OF_CLIENT} requests of this client wait",
        "503": f"the server is overloaded, or the answer took longer than "
        f"{settings.answer_seconds:g} seconds",
    }

    for each in endpoints:
        content = {"application/json": {"schema": _any_of(each.gives, schema_of)}}
        if each.events:
            content["text/event-stream"] = {"schema": _any_of(each.events, schema_of)}
        answers = {"200": {"description": inspect.getdoc(each.gives[0]), "content": content}}
        for status, why in refusals.items():
            if each.asked or status in OF_EVERY_REQUEST:
                answers[status] = {"description": why, "content": refusal}
        operation: dict[str, Any] = {
            "operationId": each.path.strip("/"),
            "summary": inspect.getdoc(each.answer),
            "responses": answers,
        }
        if each.asked:
            content = {"application/json": {"schema": schema_of[each.asked]}}
            operation["requestBody"] = {"required": True, "content": content}
        paths[each.path] = {each.method.lower(): operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "rnnlm serve", "version": "1"},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
        "security": [{"token": []}, {}],  # a server of one machine may need none
        "x-limits": limits_in_words(settings),
    }


def _any_of(
    types: Sequence[type[msgspec.Struct]], schema_of: dict[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    schemas = [schema_of[each] for each in types]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


# ---- The endpoints.


def make_app(
    models: ServedModels, settings: limits.ServingSettings, metrics: Metrics | None = None
) -> Starlette:
    """Return the application that serves these models, and these metrics."""
    app = Starlette(
        routes=routes(models, settings, metrics or Metrics()),
        exception_handlers={404: _not_found, 405: _not_allowed, Exception: _failed},
        lifespan=_without_notices,
    )
    # A path has one spelling: another one is nothing here, and no clue where to go.
    app.router.redirect_slashes = False
    return app


def routes(models: ServedModels, settings: limits.ServingSettings, metrics: Metrics) -> list[Route]:
    """Return the routes of the endpoints, of their description, of the metrics and the page."""
    handlers = Handlers(models, settings, metrics)
    metrics.watch_queues({"scoring": models.count_waiting, **models.queues})

    generate = (schemas.PieceEvent, schemas.DoneEvent, schemas.ErrorAnswer)
    inspections = (schemas.GatesAnswer, schemas.InfluenceAnswer, schemas.OrdersAnswer)
    endpoints = [
        Endpoint("/health", handlers.health, None, (schemas.Health,)),
        Endpoint("/ready", handlers.ready, None, (schemas.Ready,)),
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

    async def measured(request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return [
        *made,
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/metrics", measured, methods=["GET"]),
        Route("/", _page, methods=["GET"]),
    ]


async def _page(request: Request) -> Response:
    """Answer with the page, which may do nothing but run itself and ask this server."""
    html = server_page()
    return HTMLResponse(html, headers={"Content-Security-Policy": content_security_policy(html)})


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
        try:
            return json_answer(await answer())
        except Refusal as refusal:
            return refused(refusal)

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


# ---- The page that shows models: one HTML file with its style and script, which asks the server
# that sent it.

PAGE_FOLDER = Path(__file__).parent / "page"
_PAGE_START = "start(new ServerEngine());\n"


@functools.cache
def server_page() -> str:
    """Return the page of `rnnlm serve`."""
    script = f"{{\n{_page_file('page.js')}\n{_page_file('engine_server.js')}\n{_PAGE_START}}}\n"
    parts = {"style": _page_file("page.css"), "script": script}
    # All at once: the content of a part is never taken for the place of another.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _page_file("page.html"))


def content_security_policy(html: str) -> str:
    """Return the header that lets this page use its own style and script, ask its own server,
    and do nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash_between(html, '<style>', '</style>')}'",
            f"script-src '{_hash_between(html, '<script>', '</script>')}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash_between(html: str, before: str, after: str) -> str:
    content = html.split(before, 1)[1].split(after, 1)[0]
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _page_file(name: str) -> str:
    return (PAGE_FOLDER / name).read_text(encoding="utf-8")
