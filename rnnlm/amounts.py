"""Write numbers for people, in tables, messages, pages and on a terminal; read those they type."""

import contextlib
import math
import re
from typing import Literal

# A number as people type it: .9, 1., +0.9, 05, 1e-3, 1_000
_DIGITS = r"[0-9](?:_?[0-9])*"
NUMBER = rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"


def number(text: str) -> int | float:
    """Return the number that somebody typed; a whole one, also 1. and 1e3, as an int.

    ValueError: it is no number, or no finite one.
    """
    value = float(text) if re.fullmatch(rf"\s*{NUMBER}\s*", text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    # Of large whole numbers, a float would lose digits.
    with contextlib.suppress(ValueError):
        return int(text)
    return int(value) if value.is_integer() else value


def whole_number(text: str) -> int:
    """Return the whole number that somebody typed. ValueError: it is none."""
    value = number(text)
    if not isinstance(value, int):
        raise ValueError(f"{text!r} is not a whole number")
    return value


HUGE = 1e9  # a number from there on is written with an exponent
# The unit of a number: none; a share of 1, written in percent; from 0 to 100; bytes
Unit = Literal["plain", "share", "of_100", "bytes"]
MINUTE, HOUR, DAY = 60, 3600, 86_400


def amount(
    value: object, digits: int | str | None = 2, unit: Unit = "plain", whole: str = ","
) -> str:
    """Write a value of any type for people: a dash for None, text as it is.

    `digits` is the number of digits of a fraction behind the point, or its format; with None, about
    four digits count. Shares and scores from 0 to 100 have two. `whole` is the format of whole
    numbers.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if not isinstance(value, int | float):
        return str(value)

    # The format of a unit.
    if unit == "bytes":
        if value >= 1e9:
            return f"{value / 1e9:,.1f} GB"
        if value >= 1e6:
            return f"{value / 1e6:.{1 if value < 1e8 else 0}f} MB"
        return f"{value / 1e3:.0f} kB"
    if unit == "share":
        value = 100 * value
    if unit in ("share", "of_100"):
        digits = 2
    if isinstance(value, int):
        return format(value, whole)

    # The digits that count: four of most numbers, three of those that are very large or small.
    size = abs(value)
    if digits is None:
        if value and not 0.001 <= size < 1e6:
            return f"{value:.3g}"
        digits = 1
        if size < 100:
            digits = 4 if size < 1 else 3
    # Numbers that are rounded to zero have no sign (z).
    if isinstance(digits, str):
        sign = digits[: len(digits) - len(digits.lstrip("+-"))]
        return format(value, f"{sign}z{digits.removeprefix(sign)}")
    return f"{value:z,.{digits}f}" if size < HUGE else f"{value:.4g}"


def bounds(
    low: float | None, high: float | None, digits: int | str | None = 2, unit: Unit = "plain"
) -> str:
    """Write the bounds of an interval as :func:`amount` writes each; a dash where there is none."""
    if low is None or high is None:
        return "-"
    return f"[{amount(low, digits, unit)}, {amount(high, digits, unit)}]"


def duration(seconds: float) -> str:
    """Return seconds as 45s, 3m 05s, 2h 10m."""
    seconds = max(0, round(seconds))
    if seconds < MINUTE:
        return f"{seconds}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE}m {seconds % MINUTE:02d}s"
    return f"{seconds // HOUR}h {seconds % HOUR // MINUTE:02d}m"


def ago(seconds: float) -> str:
    """Return how long ago something was: 2 minutes ago."""
    passed = max(1, round(seconds))
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        if passed >= length:
            return f"{plural(passed // length, unit)} ago"
    return f"{plural(passed, 'second')} ago"


def plural(count: int, singular: str, plural_form: str = "") -> str:
    """Return a count with its noun: 1 line, 1,000 lines. A noun that does not just take an s has a
    `plural_form`."""
    return f"{count:,} {singular if count == 1 else plural_form or singular + 's'}"
