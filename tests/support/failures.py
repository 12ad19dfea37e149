"""What every failing command has in common, and what it must not touch; notices that are sent."""

import warnings

import rnnlm
from rnnlm.errors import RnnlmWarning


def notices_of(work) -> list[str]:
    """Return the notices that are sent during the work."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RnnlmWarning)
        work()
    return [str(each.message) for each in caught]


def checked_error(ended, code: int, what: str) -> list[str]:
    """Return the lines of the error message, after the checks that apply to every error."""
    assert (ended.code, ended.out) == (code, ""), ended
    labels = [line[:7] for line in ended.errors]
    more = [label for label in ("  why: ", "  try: ") if label in labels]
    assert labels == ["error: ", *more], ended.err
    assert ended.errors[0].startswith(f"error: {what}"), ended.err
    assert ended.errors == ended.err.splitlines()[-len(labels) :]
    assert "internal error" not in ended.err and "Traceback" not in ended.err
    return ended.errors


def contents(folder) -> dict[str, bytes]:
    """Return all files in a folder and those below it."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def fingerprint(folder) -> str:
    """Return the fingerprint of the model in that folder, which loads and scores."""
    model = rnnlm.load(folder, "cpu")
    assert rnnlm.Model(model).score_sentences(["the man"])[0].logprob_nats < 0
    return model.fingerprint
