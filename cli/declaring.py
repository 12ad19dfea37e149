"""Declare commands and their options: `--help` with options by section and commands by group, in
columns that line up; and options that set a field of a settings class.

Not cloup: it takes 30 ms more to import, needs other decorators, and cannot import commands when
they are used.
"""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import click
from click.core import ParameterSource

from rnnlm.amounts import number, whole_number
from rnnlm.config import Setting, describe, is_share, setting, without_percent
from rnnlm.errors import UsageError, did_you_mean, nearest

from .other_tools import name_here

Decorator = Callable[[Callable], Callable]
WIDEST = 30  # of the first column, as in click: a longer name gets a line to itself
MOST_SHOWN = 22  # options: of a command with more, --help shows those that most uses need
Record = tuple[str, str]


def stacked(*decorators: Decorator) -> Decorator:
    """Apply several decorators, the first one outermost: options are listed in reading order."""

    def apply(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def taking_over(
    option: str, work: Callable[[], Callable[..., Any]], others: Collection[str] = ()
) -> Decorator:
    """Let a satellite do its own work in the place of the command's, where its option is given.

    option: its parameter. work: function that imports the work, a function of the value of the
    option, with all other parameters as keywords. others: parameters of the satellite's further
    options, which need this one.
    """

    def apply(function: Callable) -> Callable:
        @functools.wraps(function)  # it has the options that were declared so far
        def either(**given: Any) -> Any:
            value = given.pop(option)
            if value:
                return work()(value, **given)
            context = click.get_current_context()
            flags = {parameter.name: parameter.opts[-1] for parameter in context.command.params}
            for name in others:
                if given.pop(name) is not None:
                    raise click.UsageError(f"{flags[name]} needs {flags[option]}.")
            return function(**given)

        return either

    return apply


def explained(*examples: str, more: str = "") -> Decorator:
    """Let a satellite add to the help of a command.

    examples: command lines, below the command's own. more: a paragraph at the end.
    """

    def apply(function: Callable) -> Callable:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        blocks = [at for at, text in enumerate(paragraphs) if text.startswith("\b\n")]
        if not blocks:  # the command has no examples yet
            blocks = [len(paragraphs)]
            paragraphs.append("\b")
        paragraphs[blocks[0]] = "\n".join([paragraphs[blocks[0]], *examples])
        function.__doc__ = "\n\n".join([*paragraphs, *filter(None, [more])])
        return function

    return apply


@dataclass(frozen=True)
class Section:
    """A title of `--help`, and when the options below it are shown there.

    is_rare: by `--help-all` alone. goes_with: where one of these is on the command line, such as
    `--task tagging`.
    """

    title: str
    is_rare: bool = False
    goes_with: tuple[str, ...] = ()


def section(
    title: str, *decorators: Decorator, rare: bool = False, goes_with: tuple[str, ...] = ()
) -> Decorator:
    """Put options into a section: the `--help` of a :class:`Command` shows all options of that
    title together, even where several calls add to it. Options that are in a section already stay
    there. rare, goes_with: when the `--help` of a command with many options shows them."""
    declare = stacked(*decorators)

    # Another function takes the same options, which tells their names.
    def options_alone() -> None: ...

    declare(options_alone)
    inner_sections = vars(options_alone).pop(_SECTIONS, {})
    names = [parameter.name for parameter in click.command()(options_alone).params]
    sections = dict.fromkeys(names, Section(title, rare, goes_with)) | inner_sections

    def apply(function: Callable) -> Callable:
        vars(function).setdefault(_SECTIONS, {}).update(sections)
        return declare(function)

    return apply


_SECTIONS = "sections"  # the attribute of a decorated function: a Section by the name of the option


class Command(click.Command):
    """A command whose `--help` has its options below the titles that `section` gave them, in the
    order of each title's first option; options without one come last.

    With more than MOST_SHOWN options, `--help` shows those that most uses need, and those that go
    with the command line: `--task tagging --help`. `--help-all` shows all, and the part of the
    docstring after a form feed, too; every command has it.

    needs: names of options, each with the names of those of which it needs one.
    """

    def __init__(
        self, *arguments: Any, needs: Mapping[str, Sequence[str]] | None = None, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self.needs = needs or {}
        self.sections: dict[str | None, Section] = vars(self.callback).get(_SECTIONS, {})
        # The summary is the part before the form feed.
        text = inspect.cleandoc(self.help or "")
        self.summary, _, _ = text.partition("\f")
        self.help = text.replace("\f\n", "") or None

    @property
    def has_many_options(self) -> bool:
        """Whether `--help` leaves some out."""
        return sum(isinstance(parameter, click.Option) for parameter in self.params) > MOST_SHOWN

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        return [*super().get_params(context), _help_all(is_shown=self.has_many_options)]

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        context.meta[_ARGUMENTS] = tuple(arguments)
        self._refuse_single_dashes(context, arguments)
        return super().parse_args(context, arguments)

    def _refuse_single_dashes(self, context: click.Context, arguments: Sequence[str]) -> None:
        """Refuse `-order 3`, as other tools write it: click would read it as `-o rder`."""
        options = [option for option in self.params if isinstance(option, click.Option)]
        names = {name for option in options for name in option.opts}
        taking = {name for option in options if not option.is_flag for name in option.opts}
        words = itertools.takewhile(lambda word: word != "--", arguments)
        for before, word in itertools.pairwise(["", *words]):
            # The value of an option is what was typed, whatever it looks like.
            if before in taking or not re.fullmatch(r"-[A-Za-z][\w-]+", word):
                continue
            if f"-{word}" in names:
                raise click.NoSuchOption(word, possibilities=[f"-{word}"], ctx=context)
            if name_here(word) or word[:2] not in {*names, "-h"}:
                raise click.NoSuchOption(word, ctx=context)

    def invoke(self, context: click.Context) -> Any:
        """Run the command, but refuse options that would have no effect without others."""
        flags = {option.name: option.opts[-1] for option in self.params}
        for name, others in self.needs.items():
            is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if is_given and not any(_is_set(other, context.params) for other in others):
                # Options of satellites may be missing.
                wanted = " or ".join(flags[other] for other in others if other in flags)
                raise click.UsageError(f"{flags[name]} needs {wanted}.")
        return super().invoke(context)

    def format_help_text(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        text = self.help if self._shows_all(context) else self.summary
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text or "")

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        options = [
            parameter
            for parameter in self.get_params(context)
            if isinstance(parameter, click.Option) and not parameter.hidden
        ]
        shown = [option for option in options if self._is_shown(option, context)]

        # Those without a title come last, whichever options are declared first.
        places = [self.sections.get(option.name) for option in shown]
        titles = [place.title for place in places if place]
        rest = "Other options" if titles else "Options"
        sections: dict[str, list[Record]] = {title: [] for title in (*titles, rest)}
        for option, place in zip(shown, places, strict=True):
            sections[place.title if place else rest] += records_of([option], context)
        write_sections(formatter, sections)

        # How to see the others.
        hidden = [option for option in options if option not in shown]
        if hidden:
            self._write_more(hidden, context, formatter)

    def _shows_all(self, context: click.Context) -> bool:
        return not self.has_many_options or bool(context.meta.get(_WANTS_ALL))

    def _is_shown(self, option: click.Option, context: click.Context) -> bool:
        """Return whether `--help` shows an option beside those on the command line."""
        place = self.sections.get(option.name)
        if place is None or self._shows_all(context):
            return True
        if place.goes_with:
            return not _pairs_of(context).isdisjoint(place.goes_with)
        return not place.is_rare

    def _write_more(
        self, hidden: list[click.Option], context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Say how the options are seen that are not shown."""
        hints = (self.sections[option.name].goes_with for option in hidden)
        goes_with = dict.fromkeys(itertools.chain.from_iterable(hints))
        formatter.write_paragraph()
        if goes_with:
            *others, last = goes_with
            alternatives = f"{', '.join(others)} or {last}" if others else last
            formatter.write_text(f"To see the options of {alternatives}, put it before --help")
        plural = "" if len(hidden) == 1 else "s"
        formatter.write_text(
            f"{len(hidden)} more option{plural}: {context.command_path} --help-all"
        )


def _is_set(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether an option has a value. Standard output is no file to write to."""
    value = values.get(name)
    return value not in (None, False, ()) and (name, str(value)) != ("output", "-")


# Keys in the `meta` of a context: the words on the command line, and whether all help is wanted.
_ARGUMENTS, _WANTS_ALL = f"{__name__}.arguments", f"{__name__}.wants_all"


def _pairs_of(context: click.Context) -> set[str]:
    """Return each word of the command line with the next one, `--name=value` as two words."""
    arguments = context.meta.get(_ARGUMENTS, ())
    words = itertools.chain.from_iterable(argument.split("=", 1) for argument in arguments)
    return {f"{first} {second}" for first, second in itertools.pairwise(words)}


def _show_all_help(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        context.meta[_WANTS_ALL] = True
        click.echo(context.get_help())
        context.exit()


def _help_all(is_shown: bool) -> click.Option:
    """Return the option `--help-all`; where `--help` shows all it works, too, but is not shown."""
    return click.Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_all_help,
        help="Show all options and exit.",
        hidden=not is_shown,
    )


class CommandGroup(click.Group):
    """A group that imports a command when it is used, and lists its commands by group.

    groups: the names of the commands below each title. unknown: the error for another name.
    """

    unknown: ClassVar[str]

    @property
    def groups(self) -> Mapping[str, Collection[str]]:
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        """The names of all commands, in the order of the groups."""
        return list(itertools.chain.from_iterable(self.groups.values()))

    def load(self, name: str) -> click.Command:
        """Import the command of that name."""
        raise NotImplementedError

    def list_commands(self, context: click.Context | None) -> list[str]:
        return self.names

    def has(self, name: str) -> bool:
        """Return whether there is a command of that name."""
        return name in self.names

    def get_command(self, context: click.Context | None, name: str) -> click.Command | None:
        if not self.has(name):
            return None
        command = self.load(name)
        command.name = name  # its function may have another one
        return command

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        return [*super().get_params(context), _help_all(is_shown=False)]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # The width that the names and the gap between the columns leave for the short helps.
        width = formatter.width - max(map(len, self.names)) - 6
        sections = {
            title: [(name, self.load(name).get_short_help_str(width)) for name in names]
            for title, names in self.groups.items()
        }
        sections["Options"] = records_of(self.get_params(context), context)
        write_sections(formatter, sections)

    def hint_for(self, name: str) -> str:
        """Return what to write in place of a name that is none of a command."""
        return nearest(name, self.names)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments and not self.has(arguments[0]) and not context.resilient_parsing:
            name = arguments[0]
            hint = did_you_mean(name, ["--help"]) or self.hint_for(name)
            raise UsageError(f"{self.unknown} {name!r}", hint=hint)
        return super().resolve_command(context, arguments)


def records_of(parameters: Iterable[click.Parameter], context: click.Context) -> list[Record]:
    """Return names and descriptions of the parameters that `--help` shows."""
    records = (parameter.get_help_record(context) for parameter in parameters)
    return [record for record in records if record is not None]  # arguments have none


def write_sections(
    formatter: click.HelpFormatter, sections: Mapping[str, Sequence[Record]]
) -> None:
    """Write the records below their titles, the second column at the same place in all sections."""
    records_shown = itertools.chain.from_iterable(sections.values())
    width = min(WIDEST, max(len(name) for name, _ in records_shown))
    for title, records in sections.items():
        aligned = [(name.ljust(width), about) for name, about in records]
        with formatter.section(title):
            formatter.write_dl(aligned, col_max=WIDEST)


# ---- Options that set a field of a settings class. They take type, range, default and description
# from the field, so that these are written once.

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
            in_words = f"{low:g}" if low == high else f"from {low:g} to {high:g}"
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
