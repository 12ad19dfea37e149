"""/openapi.json: the possible requests, described by the types that bodies are checked against."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.costs import limits_of
from rnnlm.tools.serving.schemas import ErrorAnswer, Reply

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


def _refusals(settings: limits.ServingSettings) -> dict[str, str]:
    """Return why requests are refused, by status."""
    most = limits_of(settings)
    return {
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


@dataclass(frozen=True)
class Endpoint:
    """An endpoint. asked: the type of its request; None of a GET. gives: the types that an answer
    may have; events: the types of the events of a stream, if it gives one."""

    path: str
    answer: Callable[..., Awaitable[Reply]]
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
    types: list[type[msgspec.Struct]] = [ErrorAnswer]
    for each in endpoints:
        types += [*each.gives, *each.events]
        if each.asked:
            types.append(each.asked)
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCES)
    schema_of = dict(zip(types, schemas, strict=True))

    # Each endpoint: its answer, its refusals, and its body.
    paths = {}
    refusal = {"application/json": {"schema": schema_of[ErrorAnswer]}}
    refusals = _refusals(settings)
    for each in endpoints:
        answers = {"200": _answer(each, schema_of)}
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


def _answer(
    endpoint: Endpoint, schema_of: dict[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    """Describe the answers of an endpoint."""
    content = {"application/json": {"schema": _any_of(endpoint.gives, schema_of)}}
    if endpoint.events:
        content["text/event-stream"] = {"schema": _any_of(endpoint.events, schema_of)}
    return {"description": inspect.getdoc(endpoint.gives[0]), "content": content}


def _any_of(
    types: Sequence[type[msgspec.Struct]], schema_of: dict[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    schemas = [schema_of[each] for each in types]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
