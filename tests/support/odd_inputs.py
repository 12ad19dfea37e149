"""Odd and damaged input for the tests that fuzz parsers, and what every parser promises whatever it
is given.

Two kinds: values that a format allows and nobody expects (`odd_numbers`, `odd_text`, `odd_json`),
and files that were whole (`damaged`).
"""

import contextlib
import copy
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import settings, strategies as st

from rnnlm.errors import LONGEST_MESSAGE, RnnlmError, RnnlmWarning

NUMBERS = (
    "0", "-0", "-1", "00", "0.0", "1.5", "-1.5", "1e5", "1e-400", "1e308", "-1e308", "1e400",
    "-1e400", "nan", "NaN", "inf", "-Infinity", "1_000", " 7", "+7", "0x10", "٣", "²", "1,5",
    "2147483648", "-9223372036854775809", "18446744073709551616", "9" * 40, "9" * 400, "9" * 5000,
)  # fmt: skip
PIECES = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\x1b[31m", b"\x1a", b"\r", b"\n",
    b"\n\n", b"\r\n", b"\t", b" ", b",", b'"', b"'", b"\\", b"\\ud800", b"\\u0000", b"{", b"}",
    b"[", b"]", b":", b"null", b"true",
    b"[" * 3000, b'{"a":' * 1500, b"../", b"/etc/passwd", b"<s>", b"</s>", b"<unk>", b"<UNK>",
    b"\xe2\x80\xa8", b"\xc2\xa0", b"-", b"-1",
    b"=", b"#", *(number.encode() for number in NUMBERS),
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")

fewer = settings(max_examples=settings().max_examples // 4)  # for what takes longer
odd_numbers = st.sampled_from(NUMBERS)
odd_text = st.one_of(
    st.text(max_size=12),
    st.sampled_from([
        "", " ", "\0", "\t", "\n", "\r", "a b", "the cat", "<s>", "</s>", "<unk>", "\ufeff", "\u2028",
        "a\x1b[1m", "../x", "/", ".", "..", "a/b", "\u202e", "e\u0301", "none", "null", "true", "x" * 300,
    ]),
    odd_numbers,
)  # fmt: skip
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-2, 3), st.floats(), odd_text,
    st.sampled_from([2**31, 2**63, 2**64, -(2**70), 10**30]),
    st.sampled_from(["\ud800", "a\0b", 10**400]),
)  # fmt: skip
odd_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)


deep_json = st.builds(  # hypothesis itself makes room for some 2000 more calls than Python does
    lambda depth, opens, closes: opens * depth + b"0" + closes * depth,
    st.sampled_from([1, 30, 500, 900, 1500, 2500, 5000, 100_000]),
    st.sampled_from([b"[", b'{"a":']), st.sampled_from([b"]", b"}", b""]),
)  # fmt: skip


def json_bytes(value: Any) -> bytes:
    """Return `value` as JSON; NaN and lone surrogates are written as Python does."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def changed(draw: Any, value: Any) -> Any:
    """Draw a JSON value with one or two places, at any depth, odd, missing or duplicated."""
    for _ in range(draw(st.integers(1, 2))):
        value = _changed(draw, value)
    return value


def _changed(draw: Any, value: Any) -> Any:
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(odd_json)
    at = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    new = copy.copy(value)
    match draw(st.sampled_from(["inside", "inside", "inside", "left out", "added"])):
        case "inside":
            new[at] = _changed(draw, value[at])
        case "left out":
            del new[at]
        case "added" if isinstance(value, dict):
            new[draw(odd_text)] = draw(odd_json)
        case "added":
            new.insert(at, draw(odd_json))
    return new


@st.composite
def damaged(draw: Any, *originals: bytes) -> bytes:
    """Draw an original with one to four faults: parts cut out, replaced or exchanged."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.sampled_from([start, start + 1, len(data)]) | st.integers(start, len(data)))
        piece = draw(
            st.just(b"") | st.sampled_from(PIECES) | st.binary(max_size=9) | _part(originals)
        )
        if draw(st.booleans()) and (numbers := list(_NUMBER.finditer(data[:20_000]))):
            start, end = draw(st.sampled_from(numbers)).span()
            piece = draw(odd_numbers).encode()
        data = data[:start] + piece + data[end:]
    return data


@st.composite
def _part(draw: Any, originals: Sequence[bytes]) -> bytes:
    data = draw(st.sampled_from(originals))
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    return data[first:last]


def value_or_error(parse: Callable[[], Any]) -> Any:
    """Return what `parse` returns, or the RnnlmError that it raises, which must say something and
    not too much. Any other exception is a bug."""
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        try:
            return parse()
        except RnnlmError as error:
            assert error.what.strip()
            expected = LONGEST_MESSAGE + len(" ... ")
            assert max(map(len, (error.what, error.why, error.hint))) <= expected
            return error


def put(path: Path, data: bytes) -> None:
    """Replace the file by one with `data`; who has mapped the old one keeps its content."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence notices inside this context."""
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        yield
