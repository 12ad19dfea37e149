"""`/v1/completions` and `/v1/models` as OpenAI's clients and evaluation harnesses know them: texts
that go on, and log-probabilities of their tokens, those of the prompt included.

A prompt is read as lm-evaluation-harness reads it through `python -m rnnlm.lm_eval`
(:mod:`rnnlm.integrations.continuations`): from the initial state, newlines are the boundary. `</s>`
in it is the boundary, too; at its beginning it is what every text begins with, so that the first
word after it has a log-probability.
"""

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import msgspec
import numpy as np
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rnnlm.generation.drawing import (
    DrawnText,
    Starts,
    check_streams,
    draw_in_steps,
    read_prompt,
    texts_to_draw,
)
from rnnlm.generation.settings import SamplingSettings
from rnnlm.generation.word_constraints import LOOK_BACK, Ban
from rnnlm.inference.distributions import likeliest, score_with_likeliest
from rnnlm.inference.span_scoring import check_reads_forward
from rnnlm.integrations import continuations
from rnnlm.interface import BOUNDARY, LanguageModel, Tokenizer
from rnnlm.serving.openapi import Endpoint
from rnnlm.serving.refusals import Refusal
from rnnlm.serving.responses import (
    decoded,
    json_answer,
    openai_sent,
    refused_as_openai,
    unless_left,
)
from rnnlm.serving.schemas import Share
from rnnlm.serving.served import ServedModel, ServedModels
from rnnlm.serving.settings import ServingSettings
from rnnlm.text.encoding import known_ids

ZERO_PROBABILITY = -9999.0  # nats: JSON has no infinity
MAX_TOKENS = 16  # OpenAI's default
MOST_STOPS = 64
MOST_STOP_CHARACTERS = 10_000  # of all of them: each is looked for at each token
MOST_LOGPROBS = 500_000  # of an answer: some 20 MB of JSON, and several times that in memory
NO_CHARACTER = "\ufffd"  # what bytes of a character are decoded to before all are there

# ---- What is asked and answered.

Item = str | int | list[int]  # of a list of prompts, or of a prompt as ids
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
NonNegative = Annotated[float, Meta(ge=0)]


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream has beside its texts."""

    include_usage: bool | None = None


class CompletionRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Texts to go on with. null is the default of each."""

    model: str | None = None
    prompt: Annotated[
        str | list[Item] | None,
        Meta(description="a text, a list of texts, a list of token ids, or a list of such lists"),
    ] = None
    max_tokens: Annotated[Natural | None, Meta(description="of each text, beyond its prompt")] = (
        None
    )
    temperature: Annotated[
        NonNegative | None, Meta(description="0 always takes the likeliest token")
    ] = None
    top_p: Share | None = None
    seed: Annotated[Natural | None, Meta(description="the same seed gives the same texts")] = None
    stop: Annotated[
        str | list[str] | None, Meta(description="texts to stop before, beside the line's end")
    ] = None
    echo: Annotated[bool | None, Meta(description="answer with the prompt, too")] = None
    logprobs: Annotated[
        Natural | None,
        Meta(description="log-probabilities (nats) of tokens, and of so many of the likeliest"),
    ] = None
    n: Annotated[Count | None, Meta(description="texts for each prompt")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str | None, Meta(description="makes no difference")] = None

    # Beyond OpenAI's, with the names that other servers have for them.
    top_k: Count | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    repetition_penalty: Annotated[float, Meta(ge=1)] | None = None

    # OpenAI's that are not supported: refused unless they ask for nothing.
    best_of: int | None = None
    suffix: str | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Logprobs(Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens of a text: how each is written, its log-probability (nats) given those before it, the
    likeliest at its place, and where in prompt and text it begins."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """A text, or a part of it."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None


class Usage(Struct, frozen=True, forbid_unknown_fields=True):
    """How many tokens were read and drawn."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts; in a stream, parts of them."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class ModelCard(Struct, frozen=True, forbid_unknown_fields=True):
    """A model that is served."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "rnnlm"


class ModelCards(Struct, frozen=True, forbid_unknown_fields=True):
    """The models that are served."""

    data: list[ModelCard]
    object: str = "list"


class OpenAIProblem(Struct, frozen=True, forbid_unknown_fields=True):
    """What was wrong. param: the field of the request that was."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a request that is refused."""

    error: OpenAIProblem


# ---- A request, checked.


@dataclass(frozen=True)
class Wanted:
    """What a request wants, checked. prompts: texts or token ids. likely: how many of the likeliest
    tokens are shown; None: no log-probabilities are."""

    prompts: tuple[str | tuple[int, ...], ...]
    sampling: SamplingSettings
    max_tokens: int
    each: int
    echo: bool
    likely: int | None
    stops: tuple[str, ...]
    most_cells: int


def wanted(asked: CompletionRequest, limits: ServingSettings) -> Wanted:
    """Check a request. Refuse what is not supported, and what is beyond the limits."""
    _refuse_unsupported(asked)
    prompts = _prompts(asked.prompt)
    each = asked.n or 1
    max_tokens = MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
    stops = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    if "" in stops:
        raise _refusal("stop", "a text to stop before is empty")
    if asked.stream_options and not asked.stream:
        raise _refusal("stream_options", "stream_options need stream")

    # More than a request may ask for.
    sizes = [len(prompt) for prompt in prompts]
    for name, count, most in (
        ("n", each, limits.max_samples),
        ("prompt", len(prompts) * each, limits.max_sentences),
        ("prompt", sum(sizes), limits.max_characters),
        ("max_tokens", max_tokens, limits.max_tokens),
        ("logprobs", asked.logprobs or 0, limits.max_words),
        ("stop", len(stops), MOST_STOPS),
        ("stop", sum(map(len, stops)), MOST_STOP_CHARACTERS),
    ):
        if count > most:
            raise _refusal(name, f"{name} asks for {count:,}", f"this server gives {most:,}")

    # Without a seed, each request has texts of its own.
    sampling = SamplingSettings(
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        min_p=asked.min_p,
        typical_p=asked.typical_p,
        repetition_penalty=asked.repetition_penalty or 1.0,
        max_tokens=max(1, max_tokens),
        seed=secrets.randbits(63) if asked.seed is None else asked.seed,
    )
    check_streams(each, sampling.seed)
    return Wanted(
        prompts,
        sampling,
        max_tokens,
        each,
        echo=bool(asked.echo),
        likely=asked.logprobs,
        stops=stops,
        most_cells=limits.max_echo,
    )


def _refuse_unsupported(asked: CompletionRequest) -> None:
    """Refuse what would be ignored otherwise."""
    not_asked_for: dict[str, tuple[object, ...]] = {
        "best_of": (None, asked.n or 1),
        "suffix": (None, ""),
        "logit_bias": (None, {}),
        "presence_penalty": (None, 0),
        "frequency_penalty": (None, 0),
    }
    for name, values in not_asked_for.items():
        if getattr(asked, name) not in values:
            raise _refusal(name, f"{name} is not supported", "", "leave it out")


def _prompts(prompt: str | list[Item] | None) -> tuple[str | tuple[int, ...], ...]:
    """Return the prompts of any of the four shapes."""
    if prompt is None or isinstance(prompt, str):
        return (prompt or "",)
    if not prompt:
        raise _refusal("prompt", "the list of prompts is empty")
    if all(isinstance(item, int) for item in prompt):
        return (tuple(cast("list[int]", prompt)),)
    if all(isinstance(item, str) for item in prompt):
        return tuple(cast("list[str]", prompt))
    if all(isinstance(item, list) for item in prompt):
        return tuple(map(tuple, cast("list[list[int]]", prompt)))
    raise _refusal("prompt", "the list of prompts is mixed", "texts, ids or lists of ids are taken")


def _refusal(param: str, what: str, why: str = "", hint: str = "", code: str = "") -> Refusal:
    return Refusal(400, what, why, hint, param=param, code=code or None)


# ---- Prompts.


@dataclass(frozen=True)
class Prompt:
    """A prompt: its text, its tokens, and where in the text each of them begins."""

    text: str
    ids: np.ndarray
    starts: list[int]


def read_as_prompt(
    tokenizer: Tokenizer, prompt: str | tuple[int, ...], with_starts: bool
) -> Prompt:
    """Return a prompt given as text or as ids; without `with_starts`, no places of tokens."""
    if isinstance(prompt, str):
        ids = continuations.text_ids(tokenizer, prompt)
        starts = continuations.token_starts(tokenizer, prompt) if with_starts else []
        return Prompt(prompt, ids, starts)

    wrong = [id for id in prompt if not 0 <= id < tokenizer.size]
    if wrong:
        raise _refusal(
            "prompt", f"no token has the id {wrong[0]}", f"ids are 0 to {tokenizer.size - 1}"
        )
    text, starts = continuations.ids_text(tokenizer, prompt)
    return Prompt(text, np.array(prompt, dtype=np.int64), starts)


# ---- Tokens as texts, no two of a vocabulary alike: they are keys of a JSON object.


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """Return a text for each token: what it adds to a text; `bytes:\\xe2` for a part of a
    character; `token_id:7` where another token reads alike."""
    texts: list[str] = []
    for data in tokenizer.token_bytes():
        try:
            texts.append(data.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append("bytes:" + "".join(f"\\x{byte:02x}" for byte in data))
    texts[tokenizer.boundary_id] = BOUNDARY
    # Of tokens that read alike, the last has the text: single bytes come before other pieces.
    owner = {text: id for id, text in enumerate(texts)}
    return [text if owner[text] == id else f"token_id:{id}" for id, text in enumerate(texts)]


@dataclass
class Entries:
    """Tokens of a text with their log-probabilities, as lists that grow."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    likeliest: list[np.ndarray | None] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def part(self, begin: int, end: int) -> "Entries":
        """Return some of the tokens."""
        part = slice(begin, end)
        return Entries(self.ids[part], self.logprobs[part], self.likeliest[part], self.starts[part])

    def record(self, texts: Sequence[str]) -> Logprobs:
        """Return the entries as they are answered. texts: see :func:`token_texts`."""
        tops: list[dict[str, float] | None] = []
        for id, logprob, likely_K2 in zip(self.ids, self.logprobs, self.likeliest, strict=True):
            if logprob is None:
                tops.append(None)
                continue
            top = {}
            if likely_K2 is not None:
                for likely, its_logprob in likely_K2.tolist():
                    top[texts[int(likely)]] = _finite(its_logprob)
            top[texts[id]] = _finite(logprob)
            tops.append(top)
        logprobs = [None if logprob is None else _finite(logprob) for logprob in self.logprobs]
        return Logprobs([texts[id] for id in self.ids], logprobs, tops, self.starts)


def _finite(logprob: float) -> float:
    return ZERO_PROBABILITY if logprob == -np.inf else logprob


# ---- Texts that go on.


@dataclass(frozen=True)
class Grown:
    """What a step added to a choice. text: all of it so far, its prompt included where it is
    echoed; added: what is new of it; drawn: tokens so far."""

    index: int
    added: str
    text: str
    entries: Entries
    drawn: int = 0
    finish_reason: Literal["stop", "length"] | None = None


class Completing:
    """The answer to one request, step by step."""

    def __init__(self, model: LanguageModel, wanted: Wanted) -> None:
        check_reads_forward(model.tokenizer, "continue texts")
        self.model = model
        self.wanted = wanted
        self.prompts: list[Prompt] = []

    def steps(self) -> Iterator[list[Grown]]:
        """Yield what each step adds: reading a prompt, or a token to each text."""
        wanted, model = self.wanted, self.model
        with_starts = wanted.likely is not None and wanted.echo
        for given in wanted.prompts:
            self.prompts.append(read_as_prompt(model.tokenizer, given, with_starts))
        tokens = sum(len(prompt.ids) for prompt in self.prompts)
        if wanted.likely and wanted.echo and tokens * model.tokenizer.size > wanted.most_cells:
            raise _refusal(
                "prompt",
                f"log-probabilities of {tokens:,} tokens",
                f"with {model.tokenizer.size:,} tokens to choose from, this server gives them of "
                f"{wanted.most_cells // model.tokenizer.size:,}",
                "send fewer or shorter prompts at a time",
                code="context_length_exceeded",
            )
        self._check_logprobs(tokens)

        # Read the prompts; where there is nothing to draw, they are all.
        begun = []
        for number, prompt in enumerate(self.prompts):
            entries, start = self._read(prompt)
            begun.append(start)
            text = prompt.text if wanted.echo else ""
            finish = None if wanted.max_tokens else "length"
            indices = range(number * wanted.each, (number + 1) * wanted.each)
            yield [
                Grown(index, text, text, entries, 0, cast("Literal['length'] | None", finish))
                for index in indices
            ]
        if not wanted.max_tokens:
            return
        # All texts are drawn side by side, where the model can read so many.
        together = 1 if model.max_rows else len(begun)
        for first in range(0, len(begun), together):
            yield from self._draw(begun[first : first + together], first)

    def _check_logprobs(self, prompt_tokens: int) -> None:
        """Refuse to give more log-probabilities than an answer may have."""
        wanted = self.wanted
        if wanted.likely is None:
            return
        tokens = len(self.prompts) * wanted.each * wanted.max_tokens
        if wanted.echo:
            tokens += prompt_tokens * wanted.each
        count = tokens * (1 + wanted.likely)
        if count > MOST_LOGPROBS:
            raise _refusal(
                "logprobs",
                f"an answer of up to {count:,} log-probabilities",
                f"this server gives {MOST_LOGPROBS:,}",
                "ask for fewer of the likeliest tokens, or send fewer prompts at a time",
            )

    def _read(self, prompt: Prompt) -> tuple[Entries, Starts]:
        """Read a prompt. Return its tokens with their log-probabilities, where they are asked for,
        and where texts go on from."""
        wanted, model = self.wanted, self.model
        limit = max(1, wanted.max_tokens)
        boundary = model.tokenizer.boundary_id
        # Every text is read after the boundary: one that begins with it is not read after two.
        begins = bool(len(prompt.ids)) and prompt.ids[0] == boundary
        read = prompt.ids[1:] if begins else prompt.ids
        if wanted.likely is None or not wanted.echo or not len(read):
            entries = Entries()
            if wanted.likely is not None and wanted.echo and begins:
                entries = Entries([boundary], [None], [None], prompt.starts)
            return entries, read_prompt(model, read, limit)

        logprob_N, likeliest_NK2, state = score_with_likeliest(
            model, read, max(1, wanted.likely), model.initial_state(1)
        )
        logprobs: list[float | None] = [*logprob_N.tolist()]
        likely: list[np.ndarray | None] = [*likeliest_NK2] if wanted.likely else [None] * len(read)
        if begins:
            logprobs, likely = [None, *logprobs], [None, *likely]
        logprobs[0] = likely[0] = None
        ids = known_ids(prompt.ids, model.tokenizer).tolist()
        entries = Entries(ids, logprobs, likely, prompt.starts)
        return entries, Starts(state, read[-1:], np.array([limit]), (read,))

    def _draw(self, begun: Sequence[Starts], first: int) -> Iterator[list[Grown]]:
        """Draw texts side by side. first: the number of the first prompt."""
        wanted, model = self.wanted, self.model

        # Every prompt has been read: its texts begin in the state after it.
        starts = Starts(
            model.concat_states([start.state for start in begun]),
            np.concatenate([start.input_S for start in begun]),
            np.concatenate([start.limits_S for start in begun]),
            tuple(start.prompt(0) for start in begun),
        )

        # What is looked at beside the drawn tokens, and which tokens are never drawn.
        look = None
        if wanted.likely:
            count = wanted.likely
            look = lambda logprob_MV: likeliest(logprob_MV, count)  # noqa: E731
        ban = Ban(model.tokenizer, (), wanted.sampling.unknown)

        # Choices are numbered as OpenAI numbers them: all of a prompt, then those of the next.
        total = len(begun) * wanted.each
        numbers = range(first, first + len(begun))
        undrawn = texts_to_draw(starts, numbers, wanted.each, wanted.sampling.seed)
        growing: dict[int, _Growing] = {}
        for drawn in draw_in_steps(model, starts, undrawn, total, wanted.sampling, ban, look):
            grown = []
            for text in drawn:
                prompt = self.prompts[first + text.start]
                index = (first + text.start) * wanted.each + text.number
                if index not in growing:
                    growing[index] = _Growing(index, prompt, wanted, model.tokenizer)
                grown.append(growing[index].grow(text))
            yield grown


class _Growing:
    """A choice while it is drawn. Its text is told up to where it is certain: a character whose
    bytes have not all been drawn, and what may be the beginning of a stop, are told later."""

    def __init__(self, index: int, prompt: Prompt, wanted: Wanted, tokenizer: Tokenizer) -> None:
        self.index = index
        self.prompt = prompt
        self.wanted = wanted
        self.tokenizer = tokenizer
        # What comes after a text depends on its end.
        last = prompt.ids[-LOOK_BACK:]
        self.line = continuations.last_line(last, tokenizer.boundary_id)
        line_text = tokenizer.decode(self.line)
        self.has_open_space = prompt.text.endswith(" ") and not line_text.endswith(" ")
        self.shown = ""
        self.told = ""
        self.entries = Entries()
        self.entries_told = 0

    def grow(self, text: DrawnText) -> Grown:
        """Return what the last token of a text adds, and mark the text as finished where it comes
        to a stop."""
        self._add_entry(text, len(self.shown.rstrip(NO_CHARACTER)))
        if not text.ended:
            self.shown = self._shown(text.ids)
        certain, is_stopped = continuations.cut_at_stop(self.shown, self.wanted.stops)

        # Why it is finished, if it is.
        finish: Literal["stop", "length"] | None = None
        if is_stopped or text.ended:
            finish = "stop"
            text.is_finished = True
        elif text.is_finished:
            finish = "length"
        else:
            certain = _without_begun_stop(certain.rstrip(NO_CHARACTER), self.wanted.stops)

        # What is new, and the tokens that it is made of.
        added = ""
        if certain.startswith(self.told):
            added = certain[len(self.told) :]
            self.told = certain
        begin, end = self.entries_told, len(self.entries.ids)
        if is_stopped or not finish:
            told_end = len(self.prompt.text) + len(certain)
            while end > begin and self.entries.starts[end - 1] >= told_end:
                end -= 1
        self.entries_told = end
        whole = (self.prompt.text if self.wanted.echo else "") + certain
        return Grown(self.index, added, whole, self.entries.part(begin, end), len(text.ids), finish)

    def _shown(self, ids: Sequence[int]) -> str:
        """Return what these tokens add to the prompt. Where its last space is no token of its own,
        it is the one before the next word."""
        shown = continuations.added_text(self.tokenizer, self.line, [*ids])
        if self.has_open_space:
            return shown.removeprefix(" ")
        return shown

    def _add_entry(self, text: DrawnText, begin: int) -> None:
        if self.wanted.likely is None:
            return
        self.entries.ids.append(text.ids[-1])
        self.entries.logprobs.append(text.logprobs[-1])
        self.entries.likeliest.append(text.seen[-1] if text.seen else None)
        self.entries.starts.append(len(self.prompt.text) + begin)


def _without_begun_stop(text: str, stops: Sequence[str]) -> str:
    """Return a text without the end that may be the beginning of one of `stops`."""
    held = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), held, -1):
            if text.endswith(stop[:length]):
                held = length
                break
    return text[: len(text) - held]


# ---- The endpoints.


class Completions:
    """The answers of one server to OpenAI's clients."""

    def __init__(self, models: ServedModels, settings: ServingSettings) -> None:
        self.models = models
        self.settings = settings
        self.created = int(time.time())
        self._token_texts: dict[str, list[str]] = {}

    async def list_models(self) -> ModelCards:
        """List the models that are served."""
        return ModelCards([self._card(model) for model in self.models])

    async def model(self, name: str) -> ModelCard:
        """Describe a model."""
        return self._card(self.models.named(name))

    async def complete(self, asked: CompletionRequest) -> Completion:
        """Continue texts, and give the log-probabilities of their tokens."""
        model, completing = self._completing(asked)
        texts: dict[int, str] = {}
        entries: dict[int, Entries] = {}
        finishes: dict[int, Literal["stop", "length"] | None] = {}
        drawn: dict[int, int] = {}

        # Choices grow side by side: what each step adds is joined by choice.
        async for step in model.steps(completing.steps()):
            for grown in step:
                texts[grown.index], drawn[grown.index] = grown.text, grown.drawn
                finishes[grown.index] = grown.finish_reason
                its = entries.setdefault(grown.index, Entries())
                its.ids += grown.entries.ids
                its.logprobs += grown.entries.logprobs
                its.likeliest += grown.entries.likeliest
                its.starts += grown.entries.starts

        choices = []
        for index in sorted(texts):
            logprobs = None
            if asked.logprobs is not None:
                logprobs = entries[index].record(self._texts_of(model))
            choices.append(Choice(texts[index], index, logprobs, finishes[index]))
        usage = _usage(completing, sum(drawn.values()))
        return self._completion(model, choices, usage)

    async def complete_events(self, asked: CompletionRequest) -> AsyncIterator[Completion]:
        """Continue texts, and yield what each step adds."""
        model, completing = self._completing(asked)
        name = _new_name()
        drawn: dict[int, int] = {}
        async for step in model.steps(completing.steps()):
            for grown in step:
                drawn[grown.index] = grown.drawn
                # Nothing is told of a token whose text is held back.
                if not (grown.added or grown.entries.ids or grown.finish_reason):
                    continue
                logprobs = None
                if asked.logprobs is not None:
                    logprobs = grown.entries.record(self._texts_of(model))
                choice = Choice(grown.added, grown.index, logprobs, grown.finish_reason)
                yield self._completion(model, [choice], None, name)
        if asked.stream_options and asked.stream_options.include_usage:
            yield self._completion(model, [], _usage(completing, sum(drawn.values())), name)

    def _completing(self, asked: CompletionRequest) -> tuple[ServedModel, Completing]:
        """Return the model that is asked, and its answer, step by step."""
        model = self.models.doing(asked.model, "generate")
        checked = wanted(asked, self.settings)
        return model, Completing(cast(LanguageModel, model.core), checked)

    def _completion(
        self, model: ServedModel, choices: list[Choice], usage: Usage | None, name: str = ""
    ) -> Completion:
        return Completion(
            id=name or _new_name(),
            created=int(time.time()),
            model=model.name,
            choices=choices,
            usage=usage,
            system_fingerprint=model.core.fingerprint,
        )

    def _texts_of(self, model: ServedModel) -> list[str]:
        texts = self._token_texts.get(model.name)
        if texts is None:
            tokenizer = cast(LanguageModel, model.core).tokenizer
            texts = self._token_texts[model.name] = token_texts(tokenizer)
        return texts

    def _card(self, model: ServedModel) -> ModelCard:
        return ModelCard(model.name, self.created)


def _new_name() -> str:
    return f"cmpl-{secrets.token_hex(12)}"


def _usage(completing: Completing, drawn: int) -> Usage:
    read = sum(len(prompt.ids) for prompt in completing.prompts)
    return Usage(read, drawn, read + drawn)


# ---- Over HTTP.


def below_models(name: str | None, path_name: str | None) -> str | None:
    """Return the model that is asked: the one in the path, `/models/NAME/...`, where there is one.
    The request may name it, too."""
    if path_name is None:
        return name
    if name not in (None, path_name):
        raise _refusal("model", f"the path asks {path_name}, and the request {name}")
    return path_name


def endpoints_of(completions: Completions) -> list[Endpoint]:
    """Return OpenAI's endpoints, as /openapi.json describes them."""
    return [
        Endpoint(
            "/v1/completions",
            completions.complete,
            CompletionRequest,
            (Completion,),
            (Completion, OpenAIError),
            refuses=OpenAIError,
        ),
        Endpoint("/v1/models", completions.list_models, None, (ModelCards,), refuses=OpenAIError),
    ]


def routes(models: ServedModels, settings: ServingSettings) -> list[Route]:
    """Return the routes of OpenAI's endpoints."""
    completions = Completions(models, settings)
    decode = msgspec.json.Decoder(CompletionRequest).decode

    async def complete(request: Request) -> Response:
        body = await request.body()
        try:
            # Clients that know one model only reach the others by the path.
            asked = decoded(body, decode)
            name = below_models(asked.model, request.path_params.get("name"))
            asked = msgspec.structs.replace(asked, model=name)
            if not asked.stream:
                return json_answer(await unless_left(request, completions.complete(asked)))
            events = completions.complete_events(asked)
            first = await anext(events)  # what is wrong with a request shows before it
        except Exception as error:
            return refused_as_openai(error)
        return StreamingResponse(openai_sent(first, events), media_type="text/event-stream")

    async def list_models(request: Request) -> Response:
        return json_answer(await completions.list_models())

    async def model(request: Request) -> Response:
        try:
            return json_answer(await completions.model(request.path_params["name"]))
        except Exception as error:
            return refused_as_openai(error)

    return [
        Route("/v1/completions", complete, methods=["POST"]),
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{name:path}", model, methods=["GET"]),
        Route("/models/{name:path}/v1/completions", complete, methods=["POST"]),
    ]
