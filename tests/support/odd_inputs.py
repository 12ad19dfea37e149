"""Odd and damaged input for the tests that fuzz parsers, and what every parser promises whatever it
is given.

Two kinds: values that a format allows and nobody expects (`odd_numbers`, `odd_text`, `odd_json`),
and files that were whole (`damaged`).
"""

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from rnnlm.errors import LONGEST_MESSAGE, RnnlmError, RnnlmWarning

NUMBERS = (
    "0", "-0", "-1", "00", "0.0", "1.5", "-1.5", "1e5", "1e-400", "1e308", "-1e308", "1e400",
    "-1e400", "nan", "NaN", "inf", "-Infinity",
    "1_000", " 7", "+7", "0x10", "٣", "²", "1,5", "2147483648", "-9223372036854775809",
    "18446744073709551616", "9" * 40, "9" * 400,
    "9" * 5000,
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
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "\t",
            "\n",
            "\r",
            "a b",
            "the cat",
            "<s>",
            "</s>",
            "<unk>",
            "\ufeff",
            "\u2028",
            "a\x1b[1m",
        ]
    ),
    st.sampled_from(
        ["../x", "/", ".", "..", "a/b", "\u202e", "e\u0301", "none", "null", "true", "x" * 300]
    ),
    odd_numbers,
)
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
    """Return `value` as JSON. What JSON lacks (NaN, lone surrogates) is written as Python writes
    it."""
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
    how = draw(st.sampled_from(["inside", "inside", "inside", "left out", "added"]))
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        new = {
            "inside": lambda: [_changed(draw, value[at])],
            "left out": list,
            "added": lambda: [value[at], draw(odd_json)],
        }[how]()
        return [*value[:at], *new, *value[at + 1 :]]
    at = draw(st.sampled_from(sorted(value)))
    if how == "left out":
        return {name: each for name, each in value.items() if name != at}
    if how == "added":
        return {**value, draw(odd_text): draw(odd_json)}
    return {**value, at: _changed(draw, value[at])}


@st.composite
def damaged(draw: Any, *originals: bytes) -> bytes:
    """Draw one of the `originals` with one to four faults: bits flipped, parts cut out, doubled or
    moved in from another, odd bytes put in."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        data = _with_fault(draw, data, originals)
    return data


FAULTS = (
    "flipped",
    "put in",
    "overwritten",
    "cut out",
    "cut off",
    "doubled",
    "moved in",
    "renumbered",
    "renumbered",
)


def _with_fault(draw: Any, data: bytes, originals: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(originals))
    (start, end), (first, last) = (
        sorted(draw(st.integers(0, len(each))) for _ in range(2)) for each in (data, other)
    )
    match draw(st.sampled_from(FAULTS)):
        case "flipped" if start < len(data):
            return (
                data[:start]
                + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))])
                + data[start + 1 :]
            )
        case "put in":
            return (
                data[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=9)) + data[start:]
            )
        case "overwritten":
            piece = draw(st.binary(min_size=1, max_size=9))
            return data[:start] + piece + data[start + len(piece) :]
        case "cut out":
            return data[:start] + data[end:]
        case "cut off":
            return data[:start]
        case "doubled":
            return data[:end] + data[start:]
        case "moved in":
            return data[:start] + other[first:last] + data[start:]
        case "renumbered" if numbers := list(_NUMBER.finditer(data[:20_000])):
            found = draw(st.sampled_from(numbers))
            return data[: found.start()] + draw(odd_numbers).encode() + data[found.end() :]
    return data


def value_or_error(parse: Callable[[], Any]) -> Any:
    """Return what `parse` returns, or the RnnlmError that it raises, which must say something and
    not too much. Any other exception is a bug."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        try:
            return parse()
        except RnnlmError as error:
            assert error.what.strip()
            assert max(map(len, (error.what, error.why, error.hint))) <= LONGEST_MESSAGE + len(
                " ... "
            )
            return error


def put(path: Path, data: bytes) -> None:
    """Replace the file by one with `data`. A process that has mapped the old file keeps its
    content."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence notices inside this context."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        yield
