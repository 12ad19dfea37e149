"""Run the command line: import commands when used, and turn errors, signals and closed pipes into
exit codes.

0 done; 1 failed, missing or bad input; 2 wrong usage; 128+n for signal n (130 Ctrl-C, 143 TERM, 141
closed pipe).
"""

from .signals import leave, leaving_at_ctrl_c

with leaving_at_ctrl_c():  # before anything that takes time
    import contextlib
    import gc
    import importlib
    import io
    import itertools
    import os
    import signal
    import sys
    import traceback
    import warnings
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from typing import Any, cast

    import click

    from rnnlm import __version__, satellites
    from rnnlm.errors import RnnlmError, RnnlmWarning, Signalled, did_you_mean, missing_package
    from rnnlm.system import (
        end_in_order_with_the_console,
        ending_signals,
        is_closed_pipe,
        processors,
        share_processors,
    )

    from . import terminal
    from .declaring import CommandGroup, stacked
    from .other_tools import name_here

# The groups of commands that `rnnlm --help` shows, each command in one, the most used ones first,
# with its short help: no command is imported for that. Satellites add theirs.
CORE_COMMANDS: dict[str, dict[str, str]] = {
    "Language models": {
        "train": "Train a model on TEXT, by default on the bundled corpus.",
        "eval": "Evaluate a model on TEXT by the metrics of its task.",
        "score": "Score sentences.",
        "generate": "Generate sentences from a model, one per line.",
        "compare": "Compare models on a text by the metrics of their task.",
    },
    "Tasks": {},
    "More": {
        "next": "likely words",
        "info": "describe a model",
        "doctor": "check a model",
        "import": "ARPA files",
        "export": "for other programs",
        "list": "models, recipes, corpora",
    },
}
# How often a thread looks for work before it sleeps: for some microseconds.
SPINS = "3000"
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")  # settings of the user
HERE = Path(__file__).parent
FOLDERS = ("lm", "data")  # which hold a file for each command of the core
satellites.types["commands()"] = lambda: click.Command
satellites.names_of_core["commands"] = lambda: itertools.chain(*CORE_COMMANDS.values())
FLAGS = satellites.by_name("flags")  # of ours
ANYWHERE = frozenset({"--debug", *FLAGS})  # flags


def groups() -> dict[str, dict[str, str]]:
    """Return the commands of each group, those of satellites among them, with their short help."""
    found = {title: dict(commands) for title, commands in CORE_COMMANDS.items()}
    waiting = _of_satellites()
    while waiting:
        # A command waits for the one that it comes after.
        ready = (name for name, command in waiting.items() if command.after not in waiting)
        name = next(ready, next(iter(waiting)))
        command = waiting.pop(name)
        group = list(found[command.group].items())
        names = [other for other, _ in group]
        place = names.index(command.after) + 1 if command.after in names else len(names)
        group.insert(place, (name, command.about))
        found[command.group] = dict(group)
    return {title: commands for title, commands in found.items() if commands}


def _of_satellites(name: str = "") -> dict[str, satellites.Command]:
    return satellites.by_name("commands", name)


class _ClosedPipe(Exception):
    """The program that reads our output has stopped reading."""

    exit_code = 141


@contextlib.contextmanager
def _own_error_for_closed_pipe() -> Iterator[None]:
    """Raise an error of our own for a closed pipe, before click makes another of it."""
    try:
        yield
    except OSError as error:
        if is_closed_pipe(error):
            raise _ClosedPipe from None
        raise


class _Commands(CommandGroup):
    """Finds each command of the core in its file, and those of satellites."""

    unknown = "no such command"

    @property
    def groups(self) -> dict[str, dict[str, str]]:
        return groups()

    def list_commands(self, context: click.Context | None) -> list[str]:
        return sorted(self.names)

    def has(self, name: str) -> bool:
        is_of_core = any(name in commands for commands in CORE_COMMANDS.values())
        return is_of_core or name in _of_satellites(name)

    def hint_for(self, name: str) -> str:
        return name_here(name) or did_you_mean(name, self.names) or "see the commands: rnnlm --help"

    def load(self, name: str) -> click.Command:
        for folder in FOLDERS:
            if (HERE / folder / f"{name}.py").exists():
                module = importlib.import_module(f".{folder}.{name}", __package__)
                return cast(click.Command, module.command)
        return cast(click.Command, _of_satellites(name)[name].load())

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments and not self.has(arguments[0]) and not context.resilient_parsing:
            gone = satellites.removed("commands", arguments[0], f"rnnlm {arguments[0]}")
            if gone:
                raise gone
        return super().resolve_command(context, arguments)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups without lines between them, the last one and the options as paragraphs,
        so that all fits a small screen."""
        satellites.look_for_others()
        found = groups()
        last = found.pop("More")
        formatter.write_paragraph()
        for title, commands in found.items():
            formatter.write_heading(title)
            with formatter.indentation():
                formatter.write_dl([(name.ljust(10), about) for name, about in commands.items()])
        phrases = [f"{name} ({about})" for name, about in last.items()]
        formatter.write_text(f"More: {', '.join(phrases)}.")
        options = [option for option in self.params if isinstance(option, click.Option)]
        phrases = [f"{option.opts[0]} ({option.help})" for option in options]
        formatter.write_text(
            f"Options: {', '.join(phrases)}, --help; all but --version work with every command."
        )

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _own_error_for_closed_pipe():  # help is printed here
            return super().make_context(*arguments, **more)

    def invoke(self, context: click.Context) -> Any:
        from rnnlm.version import made_by_command

        with _own_error_for_closed_pipe(), made_by_command(context.obj):
            result = super().invoke(context)
            sys.stdout.flush()
            return result


def _print_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    import platform
    from importlib import metadata

    from rnnlm.amounts import plural

    # torch itself would take a second to import.
    try:
        torch = f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        torch = "torch not installed"
    python = f"Python {platform.python_version()}"
    click.echo(f"rnnlm {__version__} ({python}, {torch}, {plural(processors(), 'processor')})")
    context.exit()


@click.group(
    cls=_Commands,
    options_metavar="[OPTIONS]",
    subcommand_metavar="COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
              help="of rnnlm and torch")  # fmt: skip
@click.option("--debug", is_flag=True, expose_value=False, help="tracebacks of errors")
@stacked(*(
    click.option(flag, is_flag=True, expose_value=False, help=entry.about)
    for flag, entry in FLAGS.items()
))  # fmt: skip
def cli() -> None:
    """Train and use language models. Try: rnnlm train my.txt, rnnlm train --help"""


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    # LC_ALL=C alone lets Python read names and typed texts as UTF-8. With PYTHONUTF8=0 they would
    # be ASCII: start again, so that all of the program and its workers agree.
    if os.environ.get("PYTHONUTF8") == "0" and sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    try:
        code = _run_of_this_process()
    except (KeyboardInterrupt, Signalled) as error:  # outside of the handlers of `run`
        code = getattr(error, "exit_code", 130)
    sys.exit(code)


def _run_of_this_process() -> int:
    # Imports make many objects and no cycles: search for these far less often than Python would.
    gc.set_threshold(100_000)
    _spin_briefly()
    share_processors()
    _occupy_standard_streams()
    # A process that was started with stdout closed has none.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    # Under python -u stdout has no buffer, and a write cut short would pass for a complete one.
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer), write_through=True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    # Python raises KeyboardInterrupt at Ctrl-C by itself.
    for number in ending_signals():
        if number != signal.SIGINT:
            signal.signal(number, _raise_signalled)
    end_in_order_with_the_console()

    code = run(sys.argv[1:])
    # Nothing catches an exception while Python ends.
    for number in ending_signals():
        signal.signal(number, leave)
    _discard_unwritable_output()
    # Python searches for cycles once more while it shuts down, which takes a sixth of torch's time
    # to be imported. Frozen objects are left out.
    gc.freeze()
    return code


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Tests call this in process."""
    command_line = list(arguments)
    arguments, flags = _take_flags(arguments)
    with warnings.catch_warnings(action="always", category=RnnlmWarning):
        warnings.showwarning = terminal.Notes().show
        try:
            with _contexts_of(flags):
                result = cli.main(
                    arguments, prog_name="rnnlm", standalone_mode=False, obj=command_line
                )
        except (Exception, KeyboardInterrupt, Signalled) as error:
            if "--debug" in flags and not isinstance(error, (_ClosedPipe, Signalled)):
                traceback.print_exception(error)
            return _exit_code(error, arguments)
    return result if isinstance(result, int) else 0


def _exit_code(error: BaseException, arguments: Sequence[str]) -> int:
    """Print the error, and return the exit code."""
    # Errors of ours say all that is needed, in the words of the command.
    if isinstance(error, ModuleNotFoundError):
        error = satellites.removed_module(error.name or "") or missing_package(error) or error
    if isinstance(error, RnnlmError):
        with context_of(arguments):
            terminal.show_error(error.what, error.why, error.hint)
        return error.exit_code
    if isinstance(error, click.ClickException):
        _show_refusal(error, arguments)
        return error.exit_code

    # click takes the end of a file, such as a compiled module that is cut off, for Ctrl-D.
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__

    # Somebody ended the program, or the one that reads its output has ended.
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        terminal.say("interrupted")
        return 130
    if isinstance(error, (Signalled, _ClosedPipe)):
        return error.exit_code
    _show_failure(error)
    return 1


def _show_refusal(error: click.ClickException, arguments: Sequence[str]) -> None:
    """Print the errors of click, mostly wrong usage."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    what, hint = error.format_message(), ""
    if isinstance(error, click.UsageError):
        hint = f"see {(error.ctx or context_of(arguments)).command_path} --help"
    if isinstance(error, click.NoSuchOption):
        from .options import option_removed, written_here

        gone = option_removed(error)
        if gone:
            terminal.show_error(gone.what)
            return
        instead = written_here(error, arguments)
        if instead:
            what, hint = f"no option {error.option_name}", instead
    terminal.show_error(what, "", hint)


def _show_failure(error: BaseException) -> None:
    """Say that files, disk or memory failed. Anything else is a bug."""
    if isinstance(error, OSError):
        where = error.filename or "standard output"
        terminal.show_error(f"cannot read or write {where}", error.strerror or str(error))
    elif isinstance(error, MemoryError):
        from rnnlm.registry import data_sources

        less = [source.less_memory for source in data_sources()]
        hint = "; ".join(["free some memory, or use less text or a smaller model", *less])
        terminal.show_error("not enough memory", str(error), hint)
    else:
        terminal.show_error(
            f"internal error: {type(error).__name__}: {error}",
            "",
            "run the command again with --debug and report the output",
        )


def context_of(arguments: Sequence[str]) -> click.Context:
    """Return a context of the command that these arguments name."""
    context = click.Context(cli, info_name="rnnlm")
    for word in arguments:
        group, subcommand = context.command, None
        if isinstance(group, click.Group):
            with contextlib.suppress(RnnlmError, ImportError):  # it is what failed
                subcommand = group.get_command(context, word)
        if subcommand is None:
            break
        context = click.Context(subcommand, context, info_name=word)
    return context


def _take_flags(arguments: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return the arguments without the flags that are accepted anywhere, and these flags (before
    any `--`)."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument not in ANYWHERE]
    return [*options, *arguments[end:]], ANYWHERE.intersection(arguments[:end])


@contextlib.contextmanager
def _contexts_of(flags: Collection[str]) -> Iterator[None]:
    """Enter the contexts of these flags."""
    with contextlib.ExitStack() as stack:
        for flag in FLAGS.keys() & flags:
            stack.enter_context(FLAGS[flag].context())
        yield


def _raise_signalled(number: int, frame: Any) -> None:
    raise Signalled(number)


def _spin_briefly() -> None:
    """Let idle threads of torch sleep soon instead of spinning, which on a busy machine takes the
    processor from the thread that they wait for.

    A thread that sleeps at once wakes too late for the next of a network's many small products: on
    two idle cores the recipe demo takes 1.1 (fp32) to 1.3 times (bf16) as long, more than with one
    thread. libgomp, which torch's builds for Linux use, reads this when torch is imported. A
    setting of the user stays.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def _occupy_standard_streams() -> None:
    """Open the null device in place of standard streams that the process was started without, so
    that no file that it writes later gets their numbers."""
    number = os.open(os.devnull, os.O_RDWR)
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _discard_unwritable_output() -> None:
    """Flush the standard streams; drop output that a closed pipe does not take, so that Python
    raises nothing while it shuts down."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
