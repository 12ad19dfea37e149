"""Options that set a field of a settings class. They take type, range, default and description from
the field, so that these are written once."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, TypeVar, cast

import click

from rnnlm.amounts import number, whole_number
from rnnlm.config import Setting, describe, is_share, setting, without_percent

from .help_sections import Decorator, stacked

T = TypeVar("T")


def option_called(name: str) -> str:
    """Return the option of a setting, as a command line spells it."""
    return f"--{name.replace('_', '-')}"


def options_of(
    settings: type,
    *names: str,
    but: Collection[str] = (),
    declared: Sequence[str] = (),
    **more: Any,
) -> Decorator:
    """Make an option of each of these fields, as one decorator; without names, of all but those in
    `but`.

    An option that is not given is None. settings: the class. declared: the name of the option, if
    not the field's. before: the text of `--help` before the description. default_is: its text on
    the default, if not the field's; "" is nothing. more: arguments of :class:`click.Option` that
    differ from the field.
    """
    assert len(names) == 1 or not declared
    chosen = [name for name in names or describe(settings) if name not in but]
    return stacked(*(_option(settings, name, declared, **more) for name in chosen))


def _option(cls: type, name: str, declared: Sequence[str], **more: Any) -> Decorator:
    field = setting(cls, name)
    about = more.pop("help", None) or _sentence(more.pop("before", "") + field.description)
    about += _default(field, more.pop("default_is", None))

    # The field's default is for `--help` alone: an option that is not given stays None, so that a
    # recipe or a settings file can still set it.
    default = more.pop("default", None)
    flags = declared or [option_called(name)]
    return click.option(name, *flags, help=about, default=default, **_typed(field, more))


# ---- The facts about a field that click needs.


class WholeNumber(click.ParamType):
    """A whole number as people type it."""

    name = "integer"

    @staticmethod
    def read(text: str) -> float:
        return whole_number(text)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        try:
            return self.read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", parameter, context)


class Number(WholeNumber):
    """A number as people type it."""

    name = "float"

    @staticmethod
    def read(text: str) -> float:
        return float(number(text))


class _BoundsInWords:
    """The treatment of a number beyond the bounds of its range: the message says them in words."""

    any_number: ClassVar[click.ParamType]  # of the same type, without bounds

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        bounds = cast(click.IntRange | click.FloatRange, self)
        number = self.any_number.convert(value, parameter, context)
        low, high = bounds.min, bounds.max
        too_low = low is not None and (number < low or (bounds.min_open and number == low))
        too_high = high is not None and (number > high or (bounds.max_open and number == high))
        if not (too_low or too_high):
            return number

        # Bounds that belong to the range on both sides read best as "from 1 to 64".
        limits = []
        if low is not None:
            limits.append(f"above {low:g}" if bounds.min_open else f"at least {low:g}")
        if high is not None:
            limits.append(f"below {high:g}" if bounds.max_open else f"at most {high:g}")
        in_words = " and ".join(limits)
        if len(limits) == 2 and not (bounds.min_open or bounds.max_open):
            in_words = f"from {low:g} to {high:g}" if low < high else f"{low:g}"
        return bounds.fail(f"it must be {in_words}, not {number:.15g}", parameter, context)


class IntRange(_BoundsInWords, click.IntRange):
    """A whole number within bounds."""

    any_number = WholeNumber()


class FloatRange(_BoundsInWords, click.FloatRange):
    """A number within bounds."""

    any_number = Number()


class Share(FloatRange):
    """A number up to 1, which may be written as a percentage."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        if isinstance(value, str):
            value = without_percent(value)
        return super().convert(value, parameter, context)


def list_of(kind: Callable[[str], T], what: str) -> Callable[..., tuple[T, ...] | None]:
    """Return a callback that reads an option as a list of `kind`, or leaves it None. what: the name
    of the parts in a message."""

    def parse(
        context: click.Context, option: click.Parameter, text: str | None
    ) -> tuple[T, ...] | None:
        if text is None:
            return None
        parts = map(str.strip, text.split(","))
        try:
            return tuple(kind(part) for part in parts if part)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a list of {what}") from None

    return parse


UNLIMITED = 1 << 31  # an upper bound that large helps no reader; the settings still check it


def _typed(field: Setting, more: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords for the type of a field, unless `more` has its own."""
    if field.title:
        more = {"metavar": field.title, **more}
    if "type" in more or "callback" in more:
        return more

    # A field that may be None is an option that need not be given: its other type counts.
    schemas = [schema for schema in field.schemas if schema.get("type") != "null"]
    kinds = {schema["type"] for schema in schemas if "type" in schema}
    if kinds == {"boolean"}:
        return {"is_flag": True, **more}
    if field.choices:
        return {"type": click.Choice(field.choices), **more}
    if kinds == {"array"} and not more.get("multiple"):
        return {"metavar": "NAME,...", "callback": list_of(str, "names"), **more}

    # Numbers with their bounds, which `--help` shows; all else is text, which the settings check.
    kind: click.ParamType = click.STRING
    if kinds == {"integer"}:
        bounds = _bounds(schemas[0])
        kind = IntRange(**bounds) if bounds else WholeNumber()
        more = {"metavar": "N", **more}
    elif kinds == {"number"}:
        bounds = _bounds(schemas[0])
        if is_share(schemas[0]):
            kind = Share(**bounds)
        else:
            kind = FloatRange(**bounds) if bounds else Number()
        more = {"metavar": "X", **more}
    return {"type": kind, **more}


_BOUNDS = {
    "minimum": ("min", False),
    "exclusiveMinimum": ("min", True),
    "maximum": ("max", False),
    "exclusiveMaximum": ("max", True),
}


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the bounds of a number, in click's words."""
    bounds: dict[str, Any] = {}
    for key, (end, is_open) in _BOUNDS.items():
        if key in schema and schema[key] < UNLIMITED:
            bounds[end] = schema[key]
            if is_open:
                bounds[f"{end}_open"] = True
    return bounds


_NAMED = re.compile(r"`(\w+)`")  # another setting, in a description
WITHOUT = "; none: "  # in a description, before the meaning of none


def _sentence(description: str) -> str:
    """Return a description as a sentence of `--help`."""
    about, _, _ = description.partition(WITHOUT)
    about = _NAMED.sub(lambda match: option_called(match[1]), about)
    return f"{about[:1].upper()}{about[1:].removesuffix('.')}."


def _default(field: Setting, default_is: str | None) -> str:
    """Return the text of `--help` on the default."""
    if default_is is None:
        _, _, default_is = field.description.partition(WITHOUT)
        if isinstance(field.default, float):
            default_is = f"{field.default:g}"
        elif field.default not in (None, "", ()) and not isinstance(field.default, bool):
            default_is = f"{field.default}"
    return f"  [default: {default_is}]" if default_is else ""
