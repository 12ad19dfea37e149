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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from rnnlm.errors import RnnlmError, Signalled, UsageError, notice, visible

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
Group = Literal["Language models", "Tasks", "More"]


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

    group: Group
    about: str
    load: "Callable[[], click.Command]"
    after: str = ""
    takes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.group not in get_args(Group) or visible(self.about) != self.about:
            raise ValueError(f"{self.about!r}: not one line, or group not in {get_args(Group)}")


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

    Of packages of others, TABLES and LISTS are taken: the core does not look for the rest.

    Attributes:
        name: Its folder, such as "tools/serving". The name of a package takes its place.
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
        companions: By the name of a check of `rnnlm doctor`: functions(folder) that check the
            satellite's own files beside a model there, and return their names.
        scorers: By a pattern of names: functions(name, takes, path) that open what `rnnlm doctor`
            checks besides models, a :class:`rnnlm.evaluation.scorer_checks.Scorer`.
        metrics: Function that imports metrics of language models.
        methods: Function that imports classes whose methods `rnnlm.Model` gets.
        names: Function that imports modules whose `__all__` become names of `rnnlm`.
        clashing: Names that a package cannot add, since others had them before it, by table.
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
    companions: Mapping[str, Callable[[Path], list[str]]] = field(default_factory=dict)
    scorers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    metrics: "Callable[[], Sequence[TextMetric]]" = tuple
    methods: "Callable[[], Sequence[type[ModelHandle]]]" = tuple
    names: Callable[[], Sequence[ModuleType]] = tuple
    clashing: dict[str, list[str]] = field(default_factory=dict)


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
# Names of the core in tables that its description leaves out.
names_of_core: dict[str, Callable[[], Iterable[str]]] = {}
# Types of the entries of each table, and under TABLE() of what functions among them return.
types: dict[str, Callable[[], Any]] = {
    "commands": lambda: Command, "methods": lambda: type, "names": lambda: ModuleType,
}  # fmt: skip


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
    with contextlib.redirect_stdout(sys.stderr):  # some print while they are imported
        for folder in _folders_of_others():
            # This takes a quarter of the time of `rnnlm --help` to be imported.
            from importlib.metadata import Distribution

            package = folder.stem.partition("-")[0]
            find = partial(getattr, Distribution.at(folder), "entry_points")
            for entry in dict.fromkeys(_tried(package, "its entry points", find)):
                if entry.group == GROUP:
                    _others.extend(_tried(package, entry.value, partial(_taken_in, package, entry)))


def _folders_of_others() -> Iterator[Path]:
    """Yield the folders with the metadata of packages that have a satellite, the first of each."""
    seen: set[str] = set()
    for folder in sys.path:
        for file in Path(folder).glob("*-info/entry_points.txt"):
            with contextlib.suppress(OSError):
                name = file.parent.stem.partition("-")[0]
                text = file.read_text(encoding="utf-8", errors="replace")
                if GROUP in text and name not in seen:
                    seen.add(name)
                    yield file.parent


def known() -> list[Satellite]:
    """Return the core, our satellites, and those of others that have been found so far."""
    return [*_core, *own(), *_others]


def entries(table: Callable[[Satellite], Mapping[str, T]], name: str = "") -> dict[str, T]:
    """Return the entries of one table of all satellites. If none of ours is called `name`, look for
    satellites of others, too."""
    if name and not any(name in table(satellite) for satellite in known()):
        look_for_others()
    found: dict[str, T] = {}
    for satellite in known():
        found |= table(satellite)
    return found


def names_in(satellite: Satellite) -> dict[str, list[str]]:
    """Return the names that a satellite adds, by the table that has them, then those it cannot."""
    names = {
        table: list(dict.fromkeys(name for (name, _), _ in _named(satellite, table)))
        for table in (*TABLES, *LISTS, "tokenizers", "exports", "imports", "flags")
    }
    return names | {f"ignored {table}": taken for table, taken in satellite.clashing.items()}


def _named(satellite: Satellite, table: str) -> list[tuple[tuple[Any, str], Any]]:
    """Return the entries of a table, each with every name that it adds. A name comes with a task,
    since kinds of models for different tasks may share it; "" in other tables."""
    part: Any = getattr(satellite, table)
    named: list[tuple[tuple[Any, str], Any]] = []
    for key, entry in part.items() if isinstance(part, Mapping) else enumerate(part()):
        _check(entry, types.get(table, lambda: object)())
        names = [key] if isinstance(part, Mapping) else _NAMES[table](entry)
        task = entry.task if table == "kinds" else ""
        free = [name for name in names if name not in satellite.clashing.get(table, ())]
        named += [((_check(name, str), task), entry) for name in free]
    return named


def _check(value: T, expected: Any) -> T:
    if not isinstance(value, expected):
        raise TypeError(f"{value!r} is not a {expected.__name__}")
    return value


def is_module(name: str) -> bool:
    """Return whether rnnlm has a module of that name, which Python imports after it asked for an
    attribute."""
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


def modules_by_name() -> dict[str, ModuleType]:
    """Return the modules that satellites bring names of `rnnlm` in, by these names."""
    named = chain(*(_named(satellite, "names") for satellite in known()))
    return {name: module for (name, _), module in named}


def all_of(functions: Iterable[Callable[[], T]]) -> list[T]:
    """Return the results of functions of satellites, without those of broken ones."""
    found = []
    for function in functions:
        try:
            found.append(function())
        except RnnlmError as error:
            notice(str(error))
    return found


# ---- Packages of others: what they add is checked where it is taken in, and they are blamed.

TABLES = ("commands", "tasks", "libraries", "adaptations", "scorers")
LISTS = ("kinds", "metrics", "methods", "names")  # of functions that import several entries
_NAMES: dict[str, Callable[[Any], Iterable[str]]] = {
    **dict.fromkeys(("kinds", "metrics", "exports", "imports"), lambda entry: [entry.name]),
    "methods": lambda methods: [name for name in vars(methods) if not name.startswith("_")],
    "names": lambda module: module.__all__,
}


def _taken_in(package: str, entry_point: "EntryPoint") -> Iterator[Satellite]:
    """Yield what a package adds that has the right type and a free name. Notices tell of the rest,
    and errors of its functions name the package."""
    given = _check(entry_point.load(), Satellite)
    before = known()
    clashing: dict[str, list[str]] = {}

    def free(table: str) -> list[Any]:
        """Return the entries of a table whose names are free, with these; of a list, alone."""
        named = _named(given, table)

        # Names belong to the core, or to the packages before this one; kinds to their tasks.
        taken = {(name, "") for name in names_of_core.get(table, tuple)()}
        taken |= {key for key, _ in chain(*(_named(other, table) for other in before))}
        clashing[table] = [name for (name, task), _ in named if (name, task) in taken]
        if clashing[table]:
            names = ", ".join(clashing[table])
            notice(f"the package {package}: ignored {table}, whose names are taken: {names}")

        # The rest is added: functions of single names are guarded here, lists of them by _tried.
        added = {key: entry for key, entry in named if key not in taken}
        if table in LISTS:
            return list(dict.fromkeys(added.values()))
        return [(name, _guarded(package, table, name, entry)) for (name, _), entry in added.items()]

    # Tables of names are made now; lists, which import their entries, when they are asked for.
    parts: dict[str, Any] = {"clashing": clashing}
    for table in (*TABLES, *LISTS):
        find = partial(_tried, package, table, partial(free, table))
        parts[table] = cache(find) if table in LISTS else dict(find())
    yield Satellite(package, **parts)


def _tried(package: str, place: str, function: Callable[[], Iterable[T]]) -> list[T]:
    """Return what a function of a package lists; nothing, with a notice, if it fails."""
    return list(chain(*all_of([_blamed(package, place, lambda: list(function()))])))


def _guarded(package: str, table: str, name: str, entry: Any) -> Any:
    """Return an entry of a table whose errors name the package."""
    returned = types.get(f"{table}()", lambda: object)
    blamed = partial(_blamed, package, f"{table}[{name!r}]", returned=returned)
    is_command = table == "commands"
    return replace(entry, load=blamed(entry.load)) if is_command else blamed(entry)


def _blamed(
    package: str,
    place: str,
    function: Callable[..., T],
    returned: Callable[[], Any] = lambda: object,
) -> Callable[..., T]:
    """Return a function whose errors name a package, and the place in its description."""

    def call(*arguments: Any) -> T:
        try:
            return _check(function(*arguments), returned())
        except (KeyboardInterrupt, Signalled):
            raise
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            raise RnnlmError(f"the package {package}: {place} cannot be used", why) from error

    return call


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
