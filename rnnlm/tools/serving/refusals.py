"""Answers to refused requests: a status, and the fault, the reason and the hint in JSON."""

import logging
import traceback
from pathlib import PurePath

from rnnlm.errors import RnnlmError, TextError, UsageError

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
