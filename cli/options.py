"""Define options that several commands share, and check and convert their values."""

import contextlib
import glob
import io
import itertools
import os
import re
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from rnnlm import registry, satellites
from rnnlm.config import USER, Settings, SettingsLayer, as_called_here, names_of, resolve
from rnnlm.errors import ModelError, TextError, UsageError, first_of, notice, visible
from rnnlm.system import quoted

from . import terminal
from .declaring import Decorator, IntRange, WholeNumber, stacked
from .other_tools import name_here

if TYPE_CHECKING:
    from rnnlm.evaluation.plotting import Figure
    from rnnlm.text.corpus import Text

PATH = click.Path(path_type=Path)
STANDARD_OUTPUT = Path("-")
T = TypeVar("T")


def written_here(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    """Return how to give what somebody took for an option of `rnnlm`: one of another tool, or a
    setting of `rnnlm train`; "" for what is neither."""
    elsewhere = name_here(error.option_name)
    if elsewhere:
        return elsewhere
    if error.ctx is None or error.ctx.info_name != "train":
        return ""

    # Its value is in the same word or in the next one.
    words = list(itertools.chain.from_iterable(word.split("=", 1) for word in arguments))
    following = words[words.index(error.option_name) + 1 :]
    has_value = following and not following[0].startswith("--")
    value = quoted(following[0]) if has_value else "N"
    name = error.option_name.lstrip("-").replace("-", "_")
    setting, value = as_called_here(name, value)
    if f"--{setting}" in {name for option in error.ctx.command.params for name in option.opts}:
        return f"to change this setting, write --{setting} {value}"
    names = _set_names()
    if setting in names:
        return f"to change this setting, write --set {setting}={value}"

    # Only a part of the name may be given: hidden, or dropout, of which there are several.
    longer = sorted(name for name in names if name.startswith(f"{setting}_"))
    if len(longer) > 1:
        return f"to change one of the settings {first_of(longer, 5)}, write --set NAME={value}"
    return f"to change this setting, write --set {longer[0]}={value}" if longer else ""


def option_removed(error: click.NoSuchOption) -> UsageError | None:
    """Return the error for an option of `rnnlm train` whose satellite was removed; None for other
    options."""
    name = error.option_name.lstrip("-").replace("-", "_")
    is_of_train = error.ctx is not None and error.ctx.info_name == "train"
    return satellites.removed("sources", name, error.option_name) if is_of_train else None


def refuse_if(wrong: object, why: str) -> None:
    """Raise a usage error with this message if something is wrong."""
    if wrong:
        raise click.UsageError(why)


def one_on_stdout(
    outputs: Collection[Path], as_json: bool
) -> contextlib.AbstractContextManager[Any]:
    """Keep standard output for the one result that goes there (`-` among the `outputs`): text for
    people goes to stderr meanwhile. Refuse a second one, or --json beside it."""
    streams = [path for path in outputs if path == STANDARD_OUTPUT]
    refuse_if(
        len(streams) + as_json > 1,
        "standard output can take only one result: name a FILE for the others, and leave out "
        "--json.",
    )
    if streams:
        # A process that was started with stderr closed has none.
        return contextlib.redirect_stdout(sys.stderr or io.StringIO())
    return contextlib.nullcontext()


def models_checked(context: click.Context, option: click.Parameter, names: Any) -> Any:
    """Refuse models of tasks that the command cannot use: the callback of an option or argument.
    Other names are left to the command."""
    if not names or context.resilient_parsing:
        return names
    _check_uses(_command(context), names)
    return names


def _check_uses(command: str, names: Iterable[str]) -> None:
    """Refuse models of tasks that the command can do nothing with."""
    from rnnlm.lm.base import loading

    for name in names:
        with contextlib.suppress(ModelError, OSError, ValueError):
            base, _ = loading.without_adaptation(name)
            registry.check_use(command, loading.task_of(name), base)


def _command(context: click.Context) -> str:
    """Return the word after `rnnlm`."""
    return context.command_path.split()[1]


# ---- The suggestions of a shell for the value of an option.


def complete_model(
    context: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the models of that beginning: those trained here, the shipped ones, and folders; after
    hf: folders alone."""
    from rnnlm.lm.base import loading
    from rnnlm.text.sources import HUB

    if incomplete.startswith(HUB):
        begin = glob.escape(incomplete.removeprefix(HUB))
        folders = [path for path in sorted(glob.glob(f"{begin}*")) if os.path.isdir(path)]
        return [CompletionItem(f"{HUB}{folder}") for folder in folders]
    names = {folder.name for folder in (*loading.saved_here(), *loading.shipped())}
    return _completions((*sorted(names), HUB), incomplete, otherwise="dir")


def _completions(names: Iterable[str], incomplete: str, otherwise: str) -> list[CompletionItem]:
    """Return the names of that beginning; without any, let the shell offer a "file" or "dir"."""
    offered = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return offered or [CompletionItem(incomplete, type=otherwise)]


def complete_recipe(
    context: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the recipes of that beginning, or else let the shell offer files."""
    from rnnlm.training.recipes import recipe

    return _completions(recipe.names(), incomplete, otherwise="file")


def complete_setting(
    context: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the settings of that beginning, each with its equals sign."""
    names = sorted(_set_names())
    return [CompletionItem(f"{name}=") for name in names if name.startswith(incomplete)]


def _set_names() -> set[str]:
    """Return the names of all settings that some kind of model is trained with."""

    kinds = registry.all_kinds()
    return set().union(*(names_of(kind.all_settings) for kind in kinds if kind.is_trained))


class _ModelOption(click.Option):
    """`-m MODEL`, which may be repeated."""

    def __init__(self, names: Sequence[str], **more: Any) -> None:
        super().__init__(names, multiple=True, shell_complete=complete_model, **more)

    def type_cast_value(self, context: click.Context, value: Any) -> Any:
        return models_checked(context, self, super().type_cast_value(context, value))


def _only_one(
    context: click.Context, option: click.Parameter, names: tuple[str, ...]
) -> str | None:
    if len(names) > 1:
        raise _one_model_taken(context, ", ".join(names))
    return names[0] if names else None


def _one_model_taken(context: click.Context, given: str) -> click.UsageError:
    several = "some commands, such as rnnlm compare, take several"
    return click.UsageError(
        f"{context.command_path} takes one model, but was given {given}; {several}.", context
    )


def one_model_option(help: str) -> Decorator:
    """Make `-m MODEL`, as `model_name`, for a command that takes one model. It refuses a second
    one, of which click would silently take the last."""
    return click.option(
        "-m",
        "--model",
        "model_name",
        cls=_ModelOption,
        callback=_only_one,
        metavar="MODEL",
        help=help,
    )


DEFAULT_MODEL = (  # for the help of options
    "Default: $RNNLM_MODEL, else the model trained last in ./checkpoints, else the shipped model."
)
_KINDS_OF_NAMES = [
    "Model folder",
    "a name in ./checkpoints",
    *(library.about for library in satellites.entries("libraries")),
]
WHICH_MODEL = f"{', '.join(_KINDS_OF_NAMES[:-1])}, or {_KINDS_OF_NAMES[-1]}"
model_option = one_model_option(f"{WHICH_MODEL}. {DEFAULT_MODEL}")


def several_models_option(help: str) -> Decorator:
    """Make `-m MODEL`, as `model_names`, for a command that takes several models."""
    return click.option(
        "-m", "--model", "model_names", cls=_ModelOption, metavar="MODEL", help=help
    )


models_option = several_models_option(f"{WHICH_MODEL}; repeat for several models. {DEFAULT_MODEL}")
context_option = click.option("--context", type=click.Choice(["carry", "reset"]), default="carry",
                              show_default=True,
                              help="Read all lines as one stream (carry), or each line alone "
                                   "(reset).")  # fmt: skip
device_option = click.option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="Device to compute on: auto, cpu, cuda, cuda:N or mps.",
)


def number_option(*declared: str, default: int, help: str, least: int | None = 1) -> Decorator:
    """Make an option that takes a whole number of `least` or more, and has a default."""
    kind = WholeNumber() if least is None else IntRange(least)
    return click.option(
        *declared, type=kind, default=default, show_default=True, metavar="N", help=help
    )


def output_option(help: str, metavar: str = "FILE", **more: Any) -> Decorator:
    """Make `-o FILE`, or `-o` of a folder."""
    return click.option("-o", "--output", type=PATH, metavar=metavar, help=help, **more)


def overwrite_option(help: str = "Replace FILE.") -> Decorator:
    """Make `--overwrite`, for commands that write files."""
    return click.option("--overwrite", is_flag=True, help=help)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")

latex_option = click.option(
    "--latex", "as_latex", is_flag=True, help="Print a table for a paper, in LaTeX."
)


OF_NGRAMS = ("--model ngram", "--model unigram")  # with which `train --help` shows their options


def options_added_to(command: str) -> Decorator:
    """Return the options that satellites add to a command of the core."""
    added = satellites.entries("options")
    return stacked(*(options.load() for options in added if options.name == command))


def refuse_given(names: Collection[str], why: str) -> None:
    """Refuse the options with these parameter names where they are on the command line."""
    given = flags_given(names)
    refuse_if(given, f"{', '.join(given)}: {why}")


def flags_given(names: Collection[str]) -> list[str]:
    """Return the flags of the options with these parameter names that are on the command line."""
    context = click.get_current_context()
    flags = {option.name: option.opts[-1] for option in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names if name in flags}
    given = ParameterSource.COMMANDLINE
    return [flags[name] for name, source in sources.items() if source is given]


def without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; the others are None."""
    return {name: value for name, value in given.items() if value is not None}


def settings_of(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Make settings of a class from the fields that were given as options."""

    values = without_none({name: given[name] for name in names_of([kind]) & given.keys()})
    return resolve([kind], [SettingsLayer(USER, values)]).make(kind)


class TextFlags(TypedDict, total=False):
    """The options of commands that say how a text is read: those that were given."""

    column: str
    sentence_columns: tuple[str, ...]
    split: str
    encoding_errors: str
    blank_lines: str
    special_symbols: str
    unwrap: bool


def corpus_of(texts: tuple[str, ...], flags: TextFlags) -> "Text":
    """Open the text of these sources, read as `flags` say, or a prepared one."""
    from rnnlm.text.corpus import open_text
    from rnnlm.text.lines import TextSettings
    from rnnlm.text.sources import SourceSettings

    resolved = resolve([TextSettings, SourceSettings], [SettingsLayer(USER, dict(flags))])
    text = open_text(texts, resolved.make(TextSettings), resolved.make(SourceSettings))
    refuse_if(
        flags and text.tokenizer,
        f"{texts[0]} is a prepared text: options for reading text have no effect.",
    )
    return text


def typed_or_arriving(texts: tuple[str, ...], read_as: str, what: str) -> Iterable[str]:
    """Return the texts that were typed or, for `-`, the lines of standard input that are not blank,
    as they arrive. read_as: what a text is used as; what: its name in an error."""
    if not is_standard_input(texts):
        notice_file(texts, read_as, "to use its lines: - < {file}")
        return [checked_utf8(text, what) for text in texts]
    from rnnlm.text.lines import is_blank, lines_with_ends, without_end

    lines = (without_end(line) for _, line in lines_with_ends("-"))
    return (line for line in lines if not is_blank(line))


def checked_utf8(text: str, what: str) -> str:
    """Return an argument that must be UTF-8. what: its name in an error."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise TextError(f"{what} is not UTF-8") from None
    return text


def chosen_model(
    name: str | None, needs: registry.Needs = registry.ANYTHING, argument: str | None = None
) -> str:
    """Return the model of `-m`, or the default one, as :func:`chosen_models` does.

    argument: the model where it is named as an argument instead.
    """
    if argument and name:
        raise _one_model_taken(click.get_current_context(), f"{argument}, {name}")
    named = argument or name
    (model,) = chosen_models((named,) if named else (), needs)
    return model


def chosen_models(
    names: Sequence[str], needs: registry.Needs = registry.ANYTHING
) -> tuple[str, ...]:
    """Return the models of a repeatable `-m`; without any, the one of $RNNLM_MODEL, else the one
    that was trained last in ./checkpoints and that the command can use, else the shipped one.

    Say which it is unless `-m` names it.
    """
    given = tuple(map(_checked_model, filter(None, names)))
    return given or (model_by_default(_command(click.get_current_context()), needs),)


def model_by_default(command: str, needs: registry.Needs = registry.ANYTHING) -> str:
    """Return the model that a command takes where none is named, and say which and why."""
    # The environment may name one, which has to be there and of use.
    name = os.environ.get("RNNLM_MODEL")
    if name:
        terminal.say(f"model: {name}, from $RNNLM_MODEL; use -m to choose another")
        _check_uses(command, [name])
        return _checked_model(name)
    from rnnlm.lm.base.loading import default_model, short_name

    # The one trained last, or the shipped one, which is called by its name.
    default = default_model(command, needs)
    if default.trained is None:
        shown, why = default.folder.name, "the shipped model of plain English"
    else:
        shown, why = str(default.folder), f"trained {terminal.ago(time.time() - default.trained)}"
    terminal.say(f"model: {shown}, {why}; use -m to choose another")
    return short_name(default.folder)


def notice_file(arguments: Iterable[str], read_as: str, otherwise: str) -> None:
    """Give a notice if an argument that is read as text is the name of a file, too, or looks like
    one: who names a file mostly means its content. otherwise: how that is read, "--input {file}
    scores its lines"."""
    for argument in arguments:
        is_file = os.path.isfile(argument)
        if is_file or _FILE_NAME.fullmatch(argument):
            why = "although a file has" if is_file else "as no file has"
            how = otherwise.format(file=quoted(argument))
            notice(f"{argument!r} is {read_as}, {why} that name; {how}")
            return


_FILE_NAME = re.compile(r"\S+\.(txt|csv|tsv|jsonl)", re.IGNORECASE)


def is_standard_input(arguments: tuple[str, ...]) -> bool:
    """Return whether the arguments that a command reads as texts are `-` alone; refuse it beside
    others."""
    refuse_if(
        "-" in arguments and len(arguments) > 1,
        "- means standard input, so it must be the only text.",
    )
    return arguments == ("-",)


def texts_or_input(
    texts: tuple[str, ...], source: T, noun: str, of_input: Collection[str], standard_input: T
) -> tuple[tuple[str, ...], T]:
    """Return the arguments and what --input names, of which only one may be given. `-` in place of
    arguments is the same as `--input -`.

    noun: what the arguments are called. of_input: options that need --input.
    """
    if is_standard_input(texts):
        refuse_if(source, "- already means standard input: leave out --input.")
        return (), standard_input
    refuse_if(texts and source, f"give either {noun}s or --input, not both.")
    if texts:
        refuse_given(of_input, f"only valid with --input, not for {noun}s given as arguments.")
    return texts, source


def load_models(names: tuple[str, ...], device: str) -> dict[str, Any]:
    """Load the chosen models, by the names that results call them."""
    from rnnlm.lm.base.loading import distinct_names, scoring_model_of

    called = zip(distinct_names(names), names, strict=True)
    return {short: scoring_model_of(name, device) for short, name in called}


def _checked_model(model_name: str) -> str:
    """Return the name, if there is a model of that name, or a prepared text, which some commands
    take: find out at once, before anything is loaded."""
    from rnnlm.lm.base.loading import base_folder

    try:
        base_folder(model_name)
    except ModelError:
        form = registry.text_folder(model_name)
        if not form or not form.is_text:
            raise
    return model_name


def check_texts(*names: str | None) -> None:
    """Make sure that the named texts are there, before anything is loaded. A name may belong to a
    bundled corpus."""
    given = tuple(filter(None, names))
    if given:
        from rnnlm.text import sources

        sources.check_files(given)


def own_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written, and own it until the command ends: another command that
    would write it is refused."""
    from rnnlm.storage.files.outputs import owned_file

    click.get_current_context().with_resource(owned_file(path, overwrite))


def own_output(output: Path | None, overwrite: bool, source: str | None) -> None:
    """Make sure that a file can be written for -o, before time goes into it, and own it until the
    command ends. source: the file that is read, which must not be replaced."""
    if output and output != STANDARD_OUTPUT:
        from rnnlm.storage.files import outputs

        outputs.check_apart([output], [source] if source else [])
        own_file(output, overwrite)


def put(pieces: Iterable[Any], output: Path | None) -> None:
    """Write pieces as they come: to standard output, or to a file that appears when it is complete.
    They are text; those of a workbook are lists of rows, or lines of text, which are a cell."""
    if output in (None, STANDARD_OUTPUT):
        is_terminal = sys.stdout.isatty()
        for piece in pieces:
            if is_terminal:
                piece = visible(piece, kept="\t\n\r")
            click.echo(piece, nl=False)
        return
    from rnnlm.storage.files import workbooks
    from rnnlm.storage.files.outputs import save_file

    if workbooks.is_workbook(output):
        rows = ([[piece.strip("\n")]] if isinstance(piece, str) else piece for piece in pieces)
        workbooks.save_workbook(output, itertools.chain.from_iterable(rows))
        return
    save_file(output, (piece.encode("utf-8") for piece in pieces))


# ---- Options of commands that draw a picture beside their output: --plot FILE and --overwrite.

plot_option = stacked(
    click.option("--plot", type=PATH, metavar="FILE", help="Save a plot as .svg, .png or .pdf."),
    overwrite_option(),
)


def check_plot(plot: Path | None, overwrite: bool) -> None:
    """Make sure that the picture of --plot can be written, before time goes into it."""
    if plot is not None:
        from rnnlm.evaluation import plotting

        plotting.check_path(plot)
        own_file(plot, overwrite)


def save_plot(figure: "Figure", path: Path) -> None:
    """Save the picture of a command, and say where."""
    from rnnlm.evaluation import plotting

    plotting.save(figure, path)
    terminal.say(f"saved in {path}")
