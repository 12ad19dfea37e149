"""Lay out `--help`: options by section, commands by group, in columns that line up.

Not cloup: it takes 30 ms more to import, needs other decorators, and cannot import commands when
they are used.
"""

import inspect
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import click

from rnnlm.errors import UsageError, did_you_mean, nearest

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
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
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
        return super().parse_args(context, arguments)

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

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments and not self.has(arguments[0]) and not context.resilient_parsing:
            name = arguments[0]
            hint = did_you_mean(name, ["--help"]) or nearest(name, self.names)
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
