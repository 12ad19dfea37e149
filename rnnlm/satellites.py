"""Satellites: what each adds to rnnlm, and how they are found.

A satellite is a folder of rnnlm/tasks or rnnlm/tools that has a module `satellite.py`, or a package
of somebody else with an entry point in the group `rnnlm.satellites`. Its :class:`Satellite` says
what it adds; nothing else in the core knows one by name. What it names is imported when it is used
(:func:`on_use`), so that a description is cheap to read.
"""

import contextlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from rnnlm.errors import RnnlmError, UsageError, notice

if TYPE_CHECKING:
    import click

    from rnnlm.evaluation.perplexity import TextMetric
    from rnnlm.interface import ModelHandle, Task
    from rnnlm.registry import Kind, Library

T = TypeVar("T")
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
HERE = Path(__file__).parent
PLACES = ("tasks", "tools")  # folders of ours that hold satellites
GROUP = "rnnlm.satellites"  # of the entry points of other packages
EVERY_TASK = "*"


@dataclass(frozen=True)
class Command:
    """A command of `rnnlm`.

    Attributes:
        group: Title of the group in which `rnnlm --help` lists it.
        about: Its line or phrase there.
        load: Function that imports the command.
        after: Name of the command that it comes after there. Otherwise, it comes last.
        takes: Names of the tasks whose models it takes, besides those that name the command
            (`Task.commands`), or EVERY_TASK.
    """

    group: Literal["Language models", "Tasks", "More"]
    about: str
    load: "Callable[[], click.Command]"
    after: str = ""
    takes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """A flag that is accepted anywhere on the command line.

    Attributes:
        about: Its phrase in `rnnlm --help`.
        context: Function that makes the context in which the command runs.
    """

    about: str
    context: Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class Export:
    """A form in which `rnnlm export` writes models.

    Attributes:
        name: Parameter of its option.
        called: The option with its value: "--hf DIR".
        options: Decorator with the options.
        write: Function(name of the model, path, overwrite, **details).
        need: Ability that the model must have (`Kind.has`).
        details: Parameters of further options, which need this one.
        place: Where it comes among others.
    """

    name: str = field(kw_only=False)
    called: str
    options: Decorator
    write: Callable[..., None]
    need: str = "layers"
    details: tuple[str, ...] = ()
    place: int = 9


@dataclass(frozen=True)
class Import:
    """Files of another program that `rnnlm import` reads, besides ARPA files.

    Attributes:
        name: What it takes, for messages: "a PyTorch file".
        begins: Pattern of the first bytes of such files.
        read: Function(file, output, overwrite, settings of the tokenizer, **details) that makes a
            model, and returns a description of it.
        options: Decorator with further options.
        details: Parameters of these options, which need such a file.
    """

    name: str
    begins: bytes
    read: Callable[..., str]
    options: Decorator = lambda command: command
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Satellite:
    """What a satellite adds. Tables are by name.

    Of packages of others, `options`, `exports`, `imports` and `flags` are not taken: commands of
    the core do not look for them.

    Attributes:
        name: Its folder, such as "tools/serving", or the name of the package.
        needs: Names of the satellites without which it is left out.
        commands: Commands of `rnnlm`.
        options: Function that imports decorators with further options, by the name of the command
            of the core that gets them.
        exports: Function that imports forms in which `rnnlm export` writes models.
        imports: Function that imports the kinds of files that `rnnlm import` reads.
        flags: Flags that are accepted anywhere on the command line.
        tasks: Functions that import tasks.
        kinds: Function that imports kinds of models.
        tokenizers: Functions that import classes of tokenizers, by their name in config.json.
        libraries: Functions that import the libraries of other models, by the prefix of names.
        adaptations: By the KIND of NAME+KIND: functions(model, kind, folder) that make a model
            adapt itself.
        scorers: By a pattern of names: functions(name, takes, path) that open what `rnnlm doctor`
            checks besides models, a :class:`rnnlm.evaluation.scorer_checks.Scorer`.
        metrics: Function that imports metrics of language models.
        methods: Function that imports classes whose methods `rnnlm.Model` gets.
        names: Function that imports modules whose `__all__` become names of `rnnlm`.
    """

    name: str
    needs: tuple[str, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)
    options: Callable[[], Mapping[str, Decorator]] = dict
    exports: Callable[[], Sequence[Export]] = tuple
    imports: Callable[[], Sequence[Import]] = tuple
    flags: Mapping[str, Flag] = field(default_factory=dict)
    tasks: "Mapping[str, Callable[[], Task]]" = field(default_factory=dict)
    kinds: "Callable[[], Sequence[Kind]]" = tuple
    tokenizers: Mapping[str, Callable[[], type]] = field(default_factory=dict)
    libraries: "Mapping[str, Callable[[], Library]]" = field(default_factory=dict)
    adaptations: Mapping[str, Callable[[Any, str, Path], Any]] = field(default_factory=dict)
    scorers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    metrics: "Callable[[], Sequence[TextMetric]]" = tuple
    methods: "Callable[[], Sequence[type[ModelHandle]]]" = tuple
    names: Callable[[], Sequence[ModuleType]] = tuple


def on_use(package: str, place: str) -> Callable[[], Any]:
    """Return a function that imports an object and returns it.

    Args:
        package: Package of the description, `__package__`.
        place: Module in that package, and name of the object there: "kinds:KINDS".
    """
    return partial(pkgutil.resolve_name, f"{package}.{place}")


def all_on_use(package: str, *places: str) -> Callable[[], tuple[Any, ...]]:
    """Return a function that imports several objects, each as :func:`on_use` does."""
    return lambda: tuple(on_use(package, place)() for place in places)


# ---- Those that are here: the core and our folders, then packages of others once they are needed.

_core: list[Satellite] = []
_others: list[Satellite] = []


def add_core(core: Satellite) -> None:
    """Enter what the core itself has, which comes first."""
    _core[:] = [core]


@cache
def _in_folders() -> dict[str, Satellite]:
    """Return the satellites in our folders by name."""
    found = {}
    for place in PLACES:
        for file in sorted((HERE / place).glob("*/satellite.py")):
            module = importlib.import_module(f"{__package__}.{place}.{file.parent.name}.satellite")
            found[module.SATELLITE.name] = module.SATELLITE
    return found


def _first_lacking(name: str) -> str | None:
    """Return the satellite of ours that is not here: this one, or the first one that it needs."""
    found = _in_folders()
    if name not in found:
        return name
    return next(filter(None, map(_first_lacking, found[name].needs)), None)


@cache
def own() -> tuple[Satellite, ...]:
    """Return the satellites in our folders that have all that they need."""
    return tuple(satellite for name, satellite in _in_folders().items() if not _first_lacking(name))


@cache
def look_for_others() -> None:
    """Find the satellites in packages of others. A notice tells of each broken one."""
    # importlib.metadata takes a quarter of the time of `rnnlm --help` to be imported.
    if not _has_entry_points():
        return
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        try:
            satellite = entry.load()
            if not isinstance(satellite, Satellite):
                raise TypeError(f"{entry.value} is not a rnnlm.satellites.Satellite")
        except (Exception, SystemExit) as error:
            notice(f"the satellite {entry.name} is left out: {type(error).__name__}: {error}")
        else:
            _others.append(_guarded(satellite))


def _has_entry_points() -> bool:
    """Return whether an installed package has a satellite."""
    for folder in sys.path:
        for file in Path(folder).glob("*-info/entry_points.txt"):
            with contextlib.suppress(OSError):
                if GROUP in file.read_text(encoding="utf-8", errors="replace"):
                    return True
    return False


def known() -> list[Satellite]:
    """Return the core, our satellites, and those of others that have been found so far."""
    return [*_core, *own(), *_others]


def entries(table: Callable[[Satellite], Mapping[str, T]], name: str = "") -> dict[str, T]:
    """Return the entries of one table of all satellites. If none of ours is called `name`, look for
    satellites of others, too. The first of a name counts."""
    if name and not any(name in table(satellite) for satellite in known()):
        look_for_others()
    found: dict[str, T] = {}
    for satellite in known():
        for key, entry in table(satellite).items():
            found.setdefault(key, entry)
    return found


def names_in(satellite: Satellite) -> dict[str, list[str]]:
    """Return the names that a satellite adds, by the table that has them."""
    methods = [name for methods in satellite.methods() for name in vars(methods)]
    return {
        "commands": list(satellite.commands),
        "tasks": list(satellite.tasks),
        "kinds": list(dict.fromkeys(kind.name for kind in satellite.kinds())),
        "tokenizers": list(satellite.tokenizers),
        "libraries": list(satellite.libraries),
        "adaptations": list(satellite.adaptations),
        "scorers": list(satellite.scorers),
        "metrics": [metric.name for metric in satellite.metrics()],
        "names": [name for module in satellite.names() for name in module.__all__],
        "methods": [name for name in methods if not name.startswith("_")],
        "exports": [export.name for export in satellite.exports()],
        "imports": [form.name for form in satellite.imports()],
        "flags": list(satellite.flags),
    }


def is_module(name: str) -> bool:
    """Return whether rnnlm has a module of that name, which Python imports after it asked for an
    attribute."""
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


def modules_by_name() -> dict[str, ModuleType]:
    """Return the modules that satellites bring names of `rnnlm` in, by these names."""
    found: dict[str, ModuleType] = {}
    for satellite in reversed(known()):
        for module in satellite.names():
            found |= dict.fromkeys(getattr(module, "__all__", ()), module)
    return found


def all_of(functions: Iterable[Callable[[], T]]) -> list[T]:
    """Return the results of functions of satellites, without those of broken ones."""
    found = []
    for function in functions:
        try:
            found.append(function())
        except RnnlmError as error:
            notice(str(error))
    return found


def _guarded(satellite: Satellite) -> Satellite:
    """Return a satellite of somebody else whose functions blame it for their errors: one that
    brings several things brings none, with a notice, and what is asked for by name is an error."""
    name = satellite.name

    def guard(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: guard(entry) for key, entry in value.items()}
        if isinstance(value, Command):
            return replace(value, load=guard(value.load))
        if not callable(value):
            return value

        def call(*arguments: Any) -> Any:
            try:
                return value(*arguments)
            except RnnlmError:
                raise
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                raise RnnlmError(f"the satellite {name} is broken", why) from error

        return call

    def guard_list(function: Callable[[], Sequence[T]]) -> Callable[[], Sequence[T]]:
        guarded = guard(lambda: tuple(function()))
        return cache(lambda: next(iter(all_of([guarded])), ()))

    lists = ("kinds", "metrics", "methods", "names")
    guarded: dict[str, Any] = {}
    for part in fields(satellite):
        guarding = guard_list if part.name in lists else guard
        guarded[part.name] = guarding(getattr(satellite, part.name))
    return Satellite(**guarded)


# ---- Those that were removed. A script writes which names our satellites have
# (tests/support/satellite_files.py), so that an error can say which one is missing.

Table = Literal["commands", "tasks", "kinds", "tokenizers", "libraries", "names", "methods"]


def removed(table: Table, name: str, called: str) -> UsageError | None:
    """Return the error for a name of a satellite that was removed; None for other names.

    called: the name in the message.
    """
    import tomllib

    text = HERE.joinpath("satellites.toml").read_text(encoding="utf-8")
    satellite = tomllib.loads(text)[table].get(name)
    lacking = satellite and _first_lacking(satellite)
    return _not_here(called, lacking) if lacking else None


def removed_module(name: str) -> UsageError | None:
    """Return the error for a module of a satellite that was removed; None for other modules."""
    package, *path = name.split(".")
    is_of_satellite = package == __package__ and path and path[0] in PLACES
    return _not_here("this", "/".join(path[:2])) if is_of_satellite else None


def _not_here(called: str, satellite: str) -> UsageError:
    return UsageError(f"{called} needs the satellite {satellite}, which is not installed here")
