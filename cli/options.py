"""Options that several commands share, and what they make of them."""

import contextlib
import io
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click
from click.core import ParameterSource

from rnnlm.errors import ModelError, TextError, UsageError, nearest, visible

from . import terminal
from .setting_options import LABELS, LINES, SOURCES, SettingOption, options_of

if TYPE_CHECKING:
    from rnnlm.config import Settings
    from rnnlm.text.corpus import Text

T = TypeVar("T")
PATH = click.Path(path_type=Path)
STANDARD_OUTPUT = Path("-")
Decorator = Callable[[Callable], Callable]


def stacked(*decorators: Decorator) -> Decorator:
    """Several decorators as one, in reading order."""

    def apply(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def section(title: str, *decorators: Decorator) -> Decorator:
    """Options as one decorator, in reading order, which the `--help` of a :class:`help.Command`
    shows below `title`: all of that title together, wherever they stand. Options that have a
    section already stay in it."""

    def apply(function: Callable) -> Callable:
        before = len(getattr(function, "__click_params__", ()))
        function = stacked(*decorators)(function)
        for option in vars(function)["__click_params__"][before:]:
            option.section = getattr(option, "section", title)
        return function

    return apply


# Options that have another name now, or two: refused for one release in words that name them.
RENAMED_OPTIONS = {
    "--format": {"--input-format": "of what is read", "--output-format": "of what is written"}
}


def renamed_option(error: click.NoSuchOption) -> tuple[str, str, str]:
    """What is wrong with an option that has other names now, why, and which one to use."""
    names = RENAMED_OPTIONS[error.option_name]
    options = error.ctx.command.params if error.ctx else []
    known = {name for option in options for name in option.opts}
    here = [name for name in names if name in known]
    why = "it is now " + " or ".join(f"{name} ({what})" for name, what in names.items())
    return f"no option {error.option_name}", why, f"use {' or '.join(here)}" if here else ""


def refuse_if(wrong: object, why: str) -> None:
    """Wrong usage, if options contradict each other like that."""
    if wrong:
        raise click.UsageError(why)


def one_on_stdout(
    outputs: Collection[Path], as_json: bool
) -> contextlib.AbstractContextManager[Any]:
    """Where one of the `outputs` is standard output (`-`), what is printed for people goes to
    stderr while this lasts; --json, or a second one, is wrong usage."""
    streams = [path for path in outputs if path == STANDARD_OUTPUT]
    refuse_if(
        len(streams) + as_json > 1,
        "standard output takes one result: name a FILE for the others, and leave --json out.",
    )
    return (
        contextlib.redirect_stdout(sys.stderr or io.StringIO())
        if streams
        else contextlib.nullcontext()
    )


def models_checked(context: click.Context, option: click.Parameter, names: Any) -> Any:
    """The names of models, none of which is of a task that the command does nothing with; as the
    callback of an option or argument.

    Raises:
        UsageError: one is. Names of no model are the command's own matter.
    """
    if not names or context.resilient_parsing:
        return names
    from rnnlm.models import loading, registry

    for name in names:
        with contextlib.suppress(ModelError, OSError, ValueError):
            registry.check_use(context.command_path.split()[1], loading.task_of(name), name)
    return names


class _ModelOption(click.Option):
    """`-m MODEL`, however often it stands there; by default the one model that its environment
    variable names."""

    def __init__(self, names: Sequence[str], **more: Any) -> None:
        super().__init__(names, multiple=True, **more)

    def type_cast_value(self, context: click.Context, value: Any) -> Any:
        return models_checked(context, self, super().type_cast_value(context, value))

    def value_from_envvar(self, context: click.Context) -> tuple[str, ...] | None:
        name = self.resolve_envvar_value(context)  # one name, whatever white space it holds
        return (name,) if name else None


def _only_one(
    context: click.Context, option: click.Parameter, names: tuple[str, ...]
) -> str | None:
    if len(names) > 1:
        raise _one_model_taken(context, ", ".join(names))
    return names[0] if names else None


def _one_model_taken(context: click.Context, given: str) -> click.UsageError:
    several = "rnnlm compare, mix, rescore and score take several"
    return click.UsageError(
        f"{context.command_path} takes one model, but was given {given}; {several}.", context
    )


def one_model_option(help: str, **more: Any) -> Decorator:
    """`-m MODEL`, as `model_name`, for a command that takes one model: a second one is refused, not
    taken in the place of the first."""
    return click.option(
        "-m",
        "--model",
        "model_name",
        cls=_ModelOption,
        callback=_only_one,
        metavar="MODEL",
        help=help,
        **more,
    )


model_option = one_model_option(
    "Model folder, or a name in ./checkpoints. Default: $RNNLM_MODEL.", envvar="RNNLM_MODEL"
)
model_or_demo_option = one_model_option(
    (
        "Model folder, or a name in ./checkpoints. Default: $RNNLM_MODEL, else the shipped model "
        "of plain English."
    ),
    envvar="RNNLM_MODEL",
)
models_or_demo_option = click.option(
    "-m", "--model", "model_names", cls=_ModelOption, metavar="MODEL", envvar="RNNLM_MODEL",
    help="Model folder, or a name in ./checkpoints; repeat it to see models side by side. Default: "
         "$RNNLM_MODEL, else the "
         "shipped model of plain English.",
)  # fmt: skip
context_option = click.option("--context", type=click.Choice(["carry", "reset"]), default="carry",
                              show_default=True,
                              help="One stream with the state carried across lines, or each line "
                                   "alone.")  # fmt: skip
device_option = click.option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N or mps.",
)


def number_option(*declared: str, default: int, help: str, least: int | None = 1) -> Decorator:
    """A whole number of `least` or more, which has a default."""
    kind = click.INT if least is None else click.IntRange(least)
    return click.option(
        *declared, type=kind, default=default, show_default=True, metavar="N", help=help
    )


def output_option(help: str, metavar: str = "FILE", **more: Any) -> Decorator:
    """`-o FILE`, or a folder."""
    return click.option("-o", "--output", type=PATH, metavar=metavar, help=help, **more)


def overwrite_option(help: str = "Replace FILE.") -> Decorator:
    """`--overwrite`, which goes with what is written."""
    return click.option("--overwrite", is_flag=True, help=help)


json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
adapt_option = click.option(
    "--adapt", "kind", type=click.Choice(["dynamic", "cache", "unigram"]),
    help="Dynamic evaluation, the neural cache, or a cache of words (for any model).",
)  # fmt: skip
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="name=value",
    help="A setting of --adapt; may be repeated.",
)
special_symbols_option = options_of(LINES, "special_symbols")
column_option = options_of(SOURCES, "column", metavar="NAME")
delimiter_option = options_of(SOURCES, "delimiter", metavar="CHARACTER")
encoding_option = options_of(LINES, "encoding_errors")
split_option = options_of(SOURCES, "split", metavar="NAME")
source_options = stacked(column_option, delimiter_option, split_option, encoding_option)
text_options = section(
    "Text",
    source_options,
    click.option("--keep-blank-lines", is_flag=True,
                 help="A blank line is a sentence of </s> alone."),
    click.option("--documents", is_flag=True, help="Blank lines separate documents."),
    special_symbols_option,
)  # fmt: skip


_LABELS = "Labels, of taggers and classifiers"
label_options = section(
    _LABELS,
    options_of(LABELS, "format", declared=["--input-format"], type=str, metavar="FORMAT"),
    options_of(
        LABELS,
        "label_column",
        help="Columns of the gold labels, by name or number.",
        metavar="NAME,...",
    ),
    options_of(LABELS, "sentence_label_column", before="Of a tagger: ", metavar="NAME,..."),
    click.option(
        "--labels",
        multiple=True,
        metavar="FILE",
        help="Gold labels of TEXT, in a file of their own; line by line.",
    ),
    options_of(LABELS, "scheme", type=str, metavar="SCHEME"),
    click.option(
        "--mode",
        type=click.Choice(["conlleval", "strict"]),
        help="How spans are counted: as the script conlleval does, or only "
        "those that keep to their scheme, as seqeval's strict mode does.  [default: "
        "conlleval]",
    ),
)
confusion_options = section(
    _LABELS,
    click.option("--confusions", type=click.IntRange(0), metavar="N",
                 help="Show the N most frequent confusions.  [default: 10]"),
    click.option("--plot", type=PATH, metavar="FILE.svg",
                 help="Draw the confusion matrix: .svg, .png or .pdf; one for each column."),
    overwrite_option(),
)  # fmt: skip


def refuse_given(names: Collection[str], why: str) -> None:
    """Wrong usage, if one of the options with these parameters stands on the command line."""
    context = click.get_current_context()
    options = {option.name: option.opts[-1] for option in context.command.params}
    stands = [
        options[name]
        for name in names
        if name in options and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    refuse_if(stands, f"{', '.join(stands)}: {why}")


def text_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Takes the values of `text_options` out of `given`; the settings they name."""
    keep, documents = given.pop("keep_blank_lines"), given.pop("documents")
    why = (
        "--keep-blank-lines and --documents cannot be combined: a blank line is a "
        "sentence or the end of a document."
    )
    refuse_if(keep and documents, why)
    flags = {
        name: given.pop(name)
        for name in ("column", "delimiter", "split", "encoding_errors", "special_symbols")
    }
    flags["blank_lines"] = "keep" if keep else "documents" if documents else None
    return {name: value for name, value in flags.items() if value is not None}


def settings_of(
    kind: "type[Settings]", names: Iterable[str], given: Mapping[str, Any]
) -> "Settings":
    """Make settings of a class from the options with these names that were given."""
    from rnnlm.config import Layer, resolve

    values = {name: given[name] for name in names if given[name] is not None}
    return resolve([kind], [Layer("the command line", values)]).make(kind)


def corpus_of(texts: tuple[str, ...], flags: dict[str, Any]) -> "Text":
    """The text of these sources, read as `flags` say, or the one that is prepared in a folder,
    which was read before."""
    from rnnlm.config import Layer, resolve
    from rnnlm.text.corpus import open_text
    from rnnlm.text.lines import TextSettings
    from rnnlm.text.sources import SourceSettings

    resolved = resolve([TextSettings, SourceSettings], [Layer("the command line", flags)])
    text = open_text(texts, resolved.make(TextSettings), resolved.make(SourceSettings))
    refuse_if(
        flags and text.tokenizer,
        f"{texts[0]} is a prepared text: options for reading text have no effect.",
    )
    return text


def checked_utf8(text: str, what: str) -> str:
    """`text` itself, an argument that is read as text and must be UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise TextError(f"{what} is not UTF-8") from None
    return text


def load_model(
    name: str | None, device: str, kind: str | None = None, settings: tuple[str, ...] = ()
) -> Any:
    """The model of `-m`, adapting itself as `--adapt` and `--set` say."""
    refuse_if(settings and not kind, "--set is for an adaptation: name it with --adapt.")
    name = named(name)
    if not kind:
        from rnnlm.models.loading import load

        return load(name, device)
    from rnnlm.config import parse_assignments
    from rnnlm.models.loading import load_adapted

    return load_adapted(name, kind, parse_assignments(settings), device)


def or_demo(name: str | None) -> str:
    """What `-m` or its environment variable names, else the shipped model, which a note names."""
    if name:
        return name
    from rnnlm.models.loading import SHIPPED

    terminal.say("note: the shipped model of plain English (rnnlm info demo); -m names another")
    return str(SHIPPED)


def models_or_demo(names: tuple[str, ...]) -> tuple[str, ...]:
    """What a repeatable `-m` or its environment variable names, else the shipped model, which a
    note names."""
    return tuple(filter(None, names)) or (or_demo(None),)


def load_models(names: tuple[str, ...], device: str) -> dict[str, Any]:
    """What scores lines with the models of a repeatable `-m`, by the names that results call them;
    without any, the shipped one."""
    from rnnlm.evaluation.comparison.pairing import names_of
    from rnnlm.models.loading import scoring_model_of

    given = models_or_demo(names)
    return {
        short: scoring_model_of(name, device)
        for short, name in zip(names_of(given, None), given, strict=True)
    }


def argument_or_option(model: str | None, model_name: str | None) -> str | None:
    """The model that stands as an argument, else that of `-m` or its environment variable; not in
    both places."""
    context = click.get_current_context()
    if model and context.get_parameter_source("model_name") is ParameterSource.COMMANDLINE:
        raise _one_model_taken(context, f"{model}, {model_name}")
    return model or model_name


def named(model_name: str | None) -> str:
    """What `-m` or its environment variable names, which is needed."""
    if not model_name:
        raise click.UsageError("which model? Name it with -m MODEL, or in $RNNLM_MODEL.")
    return model_name


def check_output(output: Path | None, overwrite: bool, source: str | None) -> None:
    """Make sure that the file of -o may be written, before time goes into it; `source` is what is
    read."""
    refuse_if(
        overwrite and output in (None, STANDARD_OUTPUT),
        "--overwrite is about a file: name it with --output.",
    )
    if output and output != STANDARD_OUTPUT:
        from rnnlm.files import outputs

        outputs.check_file(output, overwrite)
        outputs.check_apart([output], [source] if source else [])


def put(pieces: Iterable[str], output: Path | None) -> None:
    """Write pieces of text as they come, to standard output, or to a file, which is whole in the
    end or not there."""
    if output in (None, STANDARD_OUTPUT):
        is_terminal = sys.stdout.isatty()
        for piece in pieces:
            click.echo(visible(piece, kept="\t\n\r") if is_terminal else piece, nl=False)
        return
    from rnnlm.files.outputs import save_file

    save_file(output, (piece.encode("utf-8") for piece in pieces))


# ---- What `--help` shows: options by section, commands by group, in columns that line up.
#
# Our own rather than cloup's: that takes 30 ms more to import, wants its own decorators, and knows
# no commands that are imported when used.

WIDEST = 30  # of the first column: what is longer has a line of its own, as click has it
Record = tuple[str, str]


class Command(click.Command):
    """Shows its options below the titles that `options.section` gave them, in the order of each
    title's first option; options without one come last. Options of settings are made when somebody
    asks for them."""

    _declared: Sequence[click.Parameter | SettingOption] = ()

    @property
    def params(self) -> list[click.Parameter]:
        """The options and arguments."""
        made: list[click.Parameter] = [
            each.made() if isinstance(each, SettingOption) else each for each in self._declared
        ]
        self._declared = made
        return made

    @params.setter
    def params(self, declared: Sequence[click.Parameter | SettingOption]) -> None:
        self._declared = declared

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        options = [
            option
            for option in self.get_params(context)
            if isinstance(option, click.Option) and not option.hidden
        ]
        titles = [option.section for option in options if hasattr(option, "section")]
        rest = "Other options" if titles else "Options"
        sections: dict[str, list[Record]] = {title: [] for title in (*titles, rest)}
        for option in options:
            sections[getattr(option, "section", rest)] += records_of([option], context)
        write_sections(formatter, sections)


class CommandGroup(click.Group):
    """Finds its commands when they are used, and shows them by group.

    groups: the names of commands below each title. unknown: what is said of another name.
    """

    groups: ClassVar[Mapping[str, Sequence[str]]]
    unknown: ClassVar[str]

    @property
    def names(self) -> list[str]:
        """The names of all commands, in the order of the groups."""
        return [name for names in self.groups.values() for name in names]

    def load(self, name: str) -> click.Command:
        """Import the command of that name."""
        raise NotImplementedError

    def list_commands(self, context: click.Context | None) -> list[str]:
        return self.names

    def get_command(self, context: click.Context | None, name: str) -> click.Command | None:
        return self.load(name) if name in self.names else None

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
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
        is_known = not arguments or arguments[0] in self.names
        if not is_known and not context.resilient_parsing:
            raise UsageError(
                f"{self.unknown} {arguments[0]!r}", hint=nearest(arguments[0], self.names)
            )
        return super().resolve_command(context, arguments)


def records_of(parameters: Iterable[click.Parameter], context: click.Context) -> list[Record]:
    """Names and descriptions of the parameters that `--help` shows."""
    records = [parameter.get_help_record(context) for parameter in parameters]
    return [record for record in records if record is not None]


def write_sections(
    formatter: click.HelpFormatter, sections: Mapping[str, Sequence[Record]]
) -> None:
    """Write the records below their titles; their second column starts at one place."""
    width = min(WIDEST, max(len(name) for records in sections.values() for name, _ in records))
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(
                [(name.ljust(width), about) for name, about in records], col_max=WIDEST
            )


# ---- The options of a picture beside what a command prints: --plot FILE and --overwrite.

plot_option = stacked(
    click.option("--plot", type=PATH, metavar="FILE", help="Save a plot: .svg, .png or .pdf."),
    overwrite_option(),
)


def check_plot(plot: Path | None, overwrite: bool) -> None:
    """Make sure that the picture of --plot can be written, before time goes into it.

    Raises:
        UsageError: its suffix is another one, or --overwrite stands alone. OutputError: it cannot
            be written.
    """
    refuse_if(overwrite and plot is None, "--overwrite is for a picture: name it with --plot.")
    if plot is not None:
        from rnnlm.evaluation import plotting

        plotting.check(plot, overwrite)


# ---- Options that take a list: parts between commas.


def list_of(kind: Callable[[str], T], what: str) -> Callable[..., tuple[T, ...] | None]:
    """What reads an option as a list of `kind`; `what` names its parts in a message. None where the
    option is not given."""

    def parse(
        context: click.Context, option: click.Parameter, text: str | None
    ) -> tuple[T, ...] | None:
        if text is None:
            return None
        try:
            return tuple(kind(part) for part in map(str.strip, text.split(",")) if part)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a list of {what}") from None

    return parse
