"""What evaluation harnesses ask a server beside completions: `/tokenizer_info`, `/tokenize` and
`/detokenize`, by which lm-evaluation-harness counts the tokens of contexts.

It names no model there. So where models of several tokenizers are served, each is asked below a
path of its own: `/models/NAME/v1/completions`, `/models/NAME/tokenize`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rnnlm.integrations import continuations
from rnnlm.interface import BOUNDARY, LanguageModel, Tokenizer
from rnnlm.serving.completions import below_models, read_as_prompt
from rnnlm.serving.openapi import Endpoint
from rnnlm.serving.refusals import Refusal
from rnnlm.serving.responses import Asked, Handler, decoded, json_answer, refused
from rnnlm.serving.served import ServedModels
from rnnlm.serving.settings import ServingSettings


class TokenizerInfo(Struct, frozen=True, forbid_unknown_fields=True):
    """The special symbols: one boundary, which ends each line and begins each text."""

    eos_token: str = BOUNDARY
    bos_token: str = BOUNDARY
    pad_token: str | None = None


class TokenizeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text. add_special_tokens: with the boundary before it, if it does not begin with one."""

    model: str | None = None
    prompt: str
    add_special_tokens: bool = True


class Tokenized(Struct, frozen=True, forbid_unknown_fields=True):
    """The ids of its tokens."""

    tokens: list[int]
    count: int


class DetokenizeRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ids of tokens."""

    model: str | None = None
    tokens: Annotated[list[int], Meta(description="as /tokenize gives them")]


class Detokenized(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that has these tokens."""

    prompt: str


class Harness:
    """The answers of one server about its tokenizers."""

    def __init__(self, models: ServedModels, settings: ServingSettings) -> None:
        self.models = models
        self.settings = settings

    async def tokenizer_info(self, name: str | None = None) -> TokenizerInfo:
        """Describe the tokenizer of a model."""
        self._tokenizer(name)
        return TokenizerInfo()

    async def tokenize(self, asked: TokenizeRequest) -> Tokenized:
        """Return the ids that a text is read as. A word that only its spelling tells from others
        has the id of the unknown word, as ids of such words do not last."""
        tokenizer = self._tokenizer(asked.model)
        self._check(len(asked.prompt), "characters")
        ids = continuations.text_ids(tokenizer, asked.prompt)
        if tokenizer.unk_id is not None:
            ids[ids >= tokenizer.size] = tokenizer.unk_id
        tokens = ids.tolist()
        if asked.add_special_tokens and tokens[:1] != [tokenizer.boundary_id]:
            tokens.insert(0, tokenizer.boundary_id)
        return Tokenized(tokens, len(tokens))

    async def detokenize(self, asked: DetokenizeRequest) -> Detokenized:
        """Return the text of ids."""
        tokenizer = self._tokenizer(asked.model)
        self._check(len(asked.tokens), "tokens")
        return Detokenized(read_as_prompt(tokenizer, tuple(asked.tokens), False).text)

    def _tokenizer(self, name: str | None) -> Tokenizer:
        """Return the tokenizer of a model, or the one that all models have."""
        model = self.models.doing(name, "generate")
        tokenizer = cast(LanguageModel, model.core).tokenizer
        if name is not None:
            return tokenizer
        for other in self.models:
            its = (
                cast(LanguageModel, other.core).tokenizer
                if "generate" in other.record.can
                else None
            )
            if its and its.fingerprint != tokenizer.fingerprint:
                raise Refusal(
                    400,
                    f"{model.name} and {other.name} have different tokenizers",
                    "none is named here",
                    f"name a model, or ask below /models/{model.name}",
                )
        return tokenizer

    def _check(self, count: int, what: str) -> None:
        most = self.settings.max_characters
        if count > most:
            raise Refusal(413, f"{count:,} {what}", f"at most {most:,} are taken")


# ---- Over HTTP.


def endpoints_of(harness: Harness) -> list[Endpoint]:
    """Return the endpoints, as /openapi.json describes them."""
    return [
        Endpoint("/tokenizer_info", harness.tokenizer_info, None, (TokenizerInfo,)),
        Endpoint("/tokenize", harness.tokenize, TokenizeRequest, (Tokenized,)),
        Endpoint("/detokenize", harness.detokenize, DetokenizeRequest, (Detokenized,)),
    ]


def routes(models: ServedModels, settings: ServingSettings) -> list[Route]:
    """Return the routes about tokenizers."""
    harness = Harness(models, settings)

    async def tokenizer_info(request: Request) -> Response:
        try:
            return json_answer(await harness.tokenizer_info(request.path_params.get("name")))
        except Exception as error:
            return refused(error)

    tokenize = _posted(TokenizeRequest, harness.tokenize)
    detokenize = _posted(DetokenizeRequest, harness.detokenize)
    made = []
    for prefix in ("", "/models/{name:path}"):
        made += [
            Route(f"{prefix}/tokenizer_info", tokenizer_info, methods=["GET"]),
            Route(f"{prefix}/tokenize", tokenize, methods=["POST"]),
            Route(f"{prefix}/detokenize", detokenize, methods=["POST"]),
        ]
    return made


def _posted(kind: type[Asked], answer: Callable[[Asked], Awaitable[Struct]]) -> Handler:
    """Return the endpoint of an answer, whose request may have its model in the path."""
    decode = msgspec.json.Decoder(kind).decode

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            asked = decoded(body, decode)
            named = cast(TokenizeRequest | DetokenizeRequest, asked)
            name = below_models(named.model, request.path_params.get("name"))
            asked = msgspec.structs.replace(asked, model=name)
            return json_answer(await answer(asked))
        except Exception as error:
            return refused(error)

    return endpoint
