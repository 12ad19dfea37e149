"""Open what scores texts besides models: a function MODULE:FUNCTION, and a server that answers in
the form of OpenAI's completions, with log-probabilities."""

import contextlib
import importlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.errors import ModelError, UsageError
from rnnlm.tools.scorers.scorer_checks import (
    Scorer,
    Text,
    TokenScores,
    bytes_of_words,
    of_function,
    written,
)

LIKELIEST = 5  # the most that some servers show
SECONDS = 60
MOST_BYTES = 1 << 26  # of an answer
HINT = "completions with logprobs and echo are needed, as vLLM gives them"


# ---- Functions. Code runs only from installed packages, or from a folder that the user names.


@contextlib.contextmanager
def _importing_from(path: str | Path | None) -> Iterator[None]:
    """Import from `path` before all else, and from the current folder only if `path` is it."""
    before = sys.path[:]
    here = os.path.realpath(os.curdir)
    kept = [folder for folder in before if folder and os.path.realpath(folder) != here]
    sys.path[:] = [*([os.path.abspath(path)] if path is not None else []), *kept]
    try:
        yield
    finally:
        sys.path[:] = before


def function_scorer(name: str, takes: str, path: str | Path | None) -> Scorer:
    """Return the access to the function MODULE:FUNCTION, which is imported."""
    module, _, attribute = name.partition(":")
    hint = "" if path is not None else "to import it from the current folder, add --path ."
    try:
        with _importing_from(path):
            found = importlib.import_module(module)
        found = attrgetter(attribute)(found)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"no function {name}", str(error), hint) from error
    except Exception as error:  # whatever else the module's own code raises
        why = f"{type(error).__name__}: {error}"
        raise ModelError(f"module {module} cannot be imported", why) from error
    if not callable(found):
        raise UsageError(f"{name} is no function")
    return of_function(found, takes)


# ---- Servers.


class _Logprobs(msgspec.Struct):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs
    index: int = 0


class _Answer(msgspec.Struct):
    choices: list[_Choice]


def server_scorer(address: str, takes: str = "", path: str | Path | None = None) -> Scorer:
    """Return the access to a server: to the scores of the tokens of texts, and to the likeliest
    next tokens.

    address: that of its API, such as http://localhost:8000/v1; with #NAME at its end to name the
    model, if it serves several. takes, path: of functions alone.
    """
    base, _, model = address.partition("#")
    base = base.rstrip("/")
    named = {"model": model} if model else {}

    def complete(prompts: list[str], **more: Any) -> list[_Logprobs]:
        asked = {**named, "prompt": prompts, "max_tokens": 1, "temperature": 0, **more}
        answer = _ask(f"{base}/completions", asked)
        if len(answer.choices) != len(prompts):
            raise ModelError(f"{base} gave {len(answer.choices)} answers for {len(prompts)} texts")
        return [choice.logprobs for choice in sorted(answer.choices, key=lambda one: one.index)]

    def after(text: Text) -> Mapping[Any, float]:
        if not text:
            return {}  # many servers refuse to complete nothing
        (found,) = complete([written(text)], logprobs=LIKELIEST)
        if not found.top_logprobs or not found.top_logprobs[0]:
            raise ModelError(f"{base} shows no likely next tokens", hint=HINT)
        return found.top_logprobs[0]

    def scores(texts: Sequence[Text]) -> list[TokenScores]:
        prompts = [written(text) for text in texts]
        return [
            _without_written(found, prompt)
            for found, prompt in zip(complete(prompts, logprobs=1, echo=True), prompts, strict=True)
        ]

    return Scorer(after=after, scores=scores, takes_batches=True, bytes_of=bytes_of_words)


def _without_written(found: _Logprobs, prompt: str) -> TokenScores:
    """Return the scores of a text without the token that the server wrote after it. The first token
    of the text has no score; it counts as 0."""
    end = len(found.tokens)
    while end and len("".join(found.tokens[: end - 1])) >= len(prompt):
        end -= 1
    first, *others = found.token_logprobs[:end]
    values = [0.0 if first is None else first, *(np.nan if one is None else one for one in others)]
    return TokenScores(tuple(found.tokens[:end]), np.array(values, dtype=np.float64))


def _ask(address: str, body: object) -> _Answer:
    """Return what a server answers to this body."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, msgspec.json.encode(body), headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return msgspec.json.decode(answer.read(MOST_BYTES), type=_Answer)
    except (urllib.error.HTTPError, ValueError) as error:
        raise ModelError(f"{address} does not answer in OpenAI's form", str(error), HINT) from error
    except OSError as error:
        reason = str(getattr(error, "reason", error))
        raise ModelError(f"{address} cannot be reached", reason, "is it running?") from error
