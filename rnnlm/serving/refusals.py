"""What is answered where a request is refused: a status, and what, why and the way out in JSON."""

import logging
import re
import traceback
from pathlib import PurePath
from typing import Any

from rnnlm.errors import RnnlmError, TextError, UsageError

log = logging.getLogger("rnnlm.serving")


class Refusal(RnnlmError):
    """A request that is answered with an error.

    status: the status of HTTP. retry_after: seconds after which it may be worth another try. param,
    code: the field that is wrong, and OpenAI's name of the error, for its clients.
    """

    def __init__(
        self,
        status: int,
        what: str,
        why: str = "",
        hint: str = "",
        *,
        retry_after: int | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(what, why, hint)
        self.status = status
        self.retry_after = retry_after
        self.param = param
        self.code = code

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def refusal_of(error: Exception) -> Refusal:
    """Return what is answered where answering a request failed with `error`."""
    if isinstance(error, Refusal):
        return error
    # What the library refuses is a sentence or a setting that cannot be.
    if isinstance(error, UsageError | TextError):
        return Refusal(400, error.what, error.why, error.hint)
    # All else is no fault of the request, and may quote what is nobody's business.
    log.error("internal error: %s at %s", type(error).__name__, _place(error))
    return Refusal(500, "the server failed to answer this request")


def _place(error: Exception) -> str:
    """Return where an error was raised, for a log that quotes no text."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    parts = PurePath(frames[-1].filename).parts[-3:]
    return f"{'/'.join(parts)}:{frames[-1].lineno}"


def error_record(refusal: Refusal) -> dict[str, dict[str, str]]:
    """Return the body of the answer, in JSON's types."""
    told = {"what": refusal.what, "why": refusal.why, "hint": refusal.hint}
    return {"error": {name: text for name, text in told.items() if text or name == "what"}}


# What OpenAI's clients call errors of a status; the others are "invalid_request_error".
_OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
_FIELD = re.compile(r"`\$\.(\w+)|field `(\w+)`")  # in the messages of msgspec
_SETTING = re.compile(r"(\w+) = ")  # in those of settings that cannot be


def openai_record(refusal: Refusal) -> dict[str, dict[str, str | None]]:
    """Return the body of the answer as OpenAI has it, in JSON's types."""
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    param = refusal.param
    found = _FIELD.search(refusal.why) or _SETTING.match(refusal.what)
    if param is None and found:
        param = next(filter(None, found.groups()))
    problem = {
        "message": str(refusal),
        "type": _OPENAI_TYPES.get(refusal.status, kind),
        "param": param,
        "code": refusal.code or _OPENAI_CODES.get(refusal.status),
    }
    return {"error": problem}


def record_at(path: str, refusal: Refusal) -> dict[str, Any]:
    """Return the body of the answer as clients of this path expect it: OpenAI's below /v1."""
    is_openais = "v1" in path.split("/")
    return openai_record(refusal) if is_openais else error_record(refusal)
