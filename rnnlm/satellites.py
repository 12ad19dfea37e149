"""Satellites: what each adds to rnnlm, and how they are found.

A satellite is a folder of rnnlm/tasks or rnnlm/tools that has a module `satellite.py`, or a package
of somebody else with an entry point in the group `rnnlm.satellites`. Its :class:`Satellite` says
what it adds; nothing else in the core knows one by name. All its tables have one shape: functions
that return entries, each with its name. What an entry names is imported when it is used
(:func:`on_use`), so that a description is cheap to read.
"""

import contextlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, get_args

from rnnlm.errors import RnnlmError, Signalled, UsageError, notice, visible

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
HERE = Path(__file__).parent
PLACES = ("tasks", "tools")  # folders of ours that hold satellites
GROUP = "rnnlm.satellites"  # of the entry points of other packages
EVERY_TASK = "*"
Group = Literal["Language models", "Tasks", "More"]


class Entry(Protocol):
    """What a table of a description holds."""

    @property
    def name(self) -> str:
        """Its name, which no other entry of the table has."""


Entries: TypeAlias = Callable[[], Iterable[Entry]]


@dataclass(frozen=True)
class Named:
    """What is imported when it is used.

    Attributes:
        name: Its name.
        load: Function that imports it.
        about: What the help says of it. Of a library: the names of its models, and what they are.
    """

    name: str
    load: Callable[[], Any]
    about: str = ""


@dataclass(frozen=True)
class Command:
    """A command of `rnnlm`.

    Attributes:
        name: Its name.
        group: Title of the group in which `rnnlm --help` lists it.
        about: Its line or phrase there.
        load: Function that imports the command, a :class:`click.Command`.
        after: Name of the command that it comes after there. Otherwise, it comes last.
        takes: Names of the tasks whose models it takes, besides those that name the command
            (`Task.commands`), or EVERY_TASK.
    """

    name: str
    group: Group
    about: str
    load: Callable[[], Any]
    after: str = ""
    takes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.group not in get_args(Group) or visible(self.about) != self.about:
            raise ValueError(f"{self.about!r}: not one line, or group not in {get_args(Group)}")


@dataclass(frozen=True)
class Flag:
    """A flag that is accepted anywhere on the command line.

    Attributes:
        name: The flag.
        about: Its phrase in `rnnlm --help`.
        context: Function that makes the context in which the command runs.
    """

    name: str
    about: str
    context: Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Elsewhere:
    """What a command or an option of another tool is here.

    Attributes:
        name: Its name there.
        here: A command line of ours.
    """

    name: str
    here: str


@dataclass(frozen=True)
class Method:
    """A method that `rnnlm.Model` gets.

    Attributes:
        name: Its name.
        function: The method itself.
        command: Command that does the same, of which the task of a model decides whether it has
            the method; "": all models have it.
    """

    name: str
    function: Any
    command: str = ""


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
        kinds: Kinds of such files, as :func:`rnnlm.storage.files.file_types.binary_of` names them.
        read: Function(file, output, overwrite, settings of the tokenizer, **details) that makes a
            model, and returns a description of it.
        options: Decorator with further options, and with an explanation for the help.
        details: Parameters of these options, which need such a file.
    """

    name: str
    kinds: tuple[str, ...]
    read: Callable[..., str]
    options: Decorator = lambda command: command
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Satellite:
    """What a satellite adds: tables, which are functions that return entries with names.

    Of packages of others, the tables OF_OTHERS are taken: the core does not look for the rest.

    Attributes:
        name: Its folder, such as "tools/serving". The name of a package takes its place.
        needs: Names of the satellites without which it is left out.
        commands: Commands of `rnnlm`: :class:`Command`.
        options: Decorators with further options, by the command of the core that gets them.
        exports: Forms in which `rnnlm export` writes models: :class:`Export`.
        imports: Kinds of files that `rnnlm import` reads: :class:`Import`.
        flags: Flags that are accepted anywhere on the command line: :class:`Flag`.
        elsewhere: Commands and options of other tools: :class:`Elsewhere`.
        tasks: Tasks.
        kinds: Kinds of models: :class:`rnnlm.registry.Kind`.
        cells: Recurrent cells, of which each task makes kinds of models:
            :class:`rnnlm.lm.neural.cells.CellKind`.
        tokenizers: Classes of tokenizers, by their name in config.json.
        libraries: Libraries of other models, by the prefix of names.
        adaptations: By the KIND of NAME+KIND: functions(model, kind, folder) that make a model
            adapt itself.
        companions: By the name of a check of `rnnlm doctor`: functions(folder) that check the
            satellite's own files beside a model there, and return their names.
        checks: Functions(model, seed, prefix) that yield further checks of a language model by
            `rnnlm doctor`, with `prefix` before their names.
        scorers: By a pattern of names: functions(name, **options) that open what `rnnlm doctor`
            checks besides models; the result has a method `checks`. options: those that satellites
            add to the command.
        folders: Forms of folders that hold texts: :class:`rnnlm.registry.TextFolder`.
        sources: Sources of training data, :class:`rnnlm.registry.DataSource`, by the settings and
            options that ask for them.
        tables: By the suffix of their files: functions(source, file, sheet) that yield the rows of
            tables as lines of CSV. sheet: of FILE#SHEET; None: the first one.
        metrics: Metrics of language models: :class:`rnnlm.evaluation.perplexity.TextMetric`.
        methods: Methods of `rnnlm.Model`: :class:`Method`, as :func:`methods_of` returns them.
        names: Names of `rnnlm`, as :func:`names_of` returns them.
        parts: Classes with more of a class of the core that says what is taken, fields or keywords,
            by its name.
        clashing: Names that a package cannot add, since others had them before it, by table.
    """

    name: str
    needs: tuple[str, ...] = ()
    commands: Entries = tuple
    options: Entries = tuple
    exports: Entries = tuple
    imports: Entries = tuple
    flags: Entries = tuple
    elsewhere: Entries = tuple
    tasks: Entries = tuple
    kinds: Entries = tuple
    cells: Entries = tuple
    tokenizers: Entries = tuple
    libraries: Entries = tuple
    adaptations: Entries = tuple
    companions: Entries = tuple
    checks: Entries = tuple
    scorers: Entries = tuple
    folders: Entries = tuple
    sources: Entries = tuple
    tables: Entries = tuple
    metrics: Entries = tuple
    methods: Entries = tuple
    names: Entries = tuple
    parts: Entries = tuple
    clashing: dict[str, list[str]] = field(default_factory=dict)


def on_use(package: str, place: str) -> Callable[[], Any]:
    """Return a function that imports an object and returns it.

    Args:
        package: Package of the description, `__package__`.
        place: Module in that package, and name of the object there: "kinds:KINDS".
    """
    return partial(pkgutil.resolve_name, f"{package}.{place}")


def on_call(package: str, place: str) -> Callable[[], Any]:
    """Return a function that imports another one, given as for :func:`on_use`, and returns what
    that one returns."""
    return lambda: on_use(package, place)()()


def all_on_use(package: str, *places: str) -> Callable[[], tuple[Any, ...]]:
    """Return a function that imports several objects, each as :func:`on_use` does."""
    return lambda: tuple(on_use(package, place)() for place in places)


def named(package: str, places: Mapping[str, str]) -> Callable[[], list[Named]]:
    """Return a table of objects by name, each of which :func:`on_use` imports from its place."""
    return lambda: [Named(name, on_use(package, place)) for name, place in places.items()]


def methods_of(package: str, *places: str) -> Callable[[], list[Method]]:
    """Return a table of the methods of classes, which derive from
    :class:`rnnlm.interface.ModelHandle` and are imported from their places."""

    def methods() -> list[Method]:
        found = []
        for holder in all_on_use(package, *places)():
            public = {name: it for name, it in vars(holder).items() if not name.startswith("_")}
            commands = getattr(holder, "_commands", {})
            found += [Method(name, it, commands.get(name, "")) for name, it in public.items()]
        return found

    return methods


def names_of(module: str) -> Callable[[], list[Named]]:
    """Return a table of the names that a module has in `__all__`, which become names of `rnnlm`."""

    def names() -> list[Named]:
        holder = importlib.import_module(module)
        return [Named(name, partial(getattr, holder, name)) for name in holder.__all__]

    return names


# ---- Those that are here: the core and our folders, then packages of others once they are needed.

_core: list[Satellite] = []
_others: list[Satellite] = []
# Names of the core in tables that its description leaves out.
names_of_core: dict[str, Callable[[], Iterable[str]]] = {}
# Types of the entries of each table, if not Named; and under TABLE() of what they load.
types: dict[str, Callable[[], Any]] = {"commands": lambda: Command, "methods": lambda: Method}


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


def entries(table: str, name: str = "") -> list[Any]:
    """Return the entries of a table of all satellites. If none of ours is called `name`, look for
    satellites of others, too."""
    found = [entry for satellite in known() for entry in getattr(satellite, table)()]
    if name and all(entry.name != name for entry in found):
        look_for_others()
        return entries(table)
    return found


def by_name(table: str, name: str = "") -> dict[str, Any]:
    """Return what :func:`entries` does by name."""
    return {entry.name: entry for entry in entries(table, name)}


def names_in(satellite: Satellite) -> dict[str, list[str]]:
    """Return the names that a satellite adds, by the table that has them, then those it cannot."""
    names = {}
    for table in (*OF_OTHERS, "tokenizers", "exports", "imports", "flags"):
        names[table] = list(dict.fromkeys(entry.name for entry in getattr(satellite, table)()))
    return names | {f"ignored {table}": taken for table, taken in satellite.clashing.items()}


def with_parts(base: type) -> type:
    """Return a class of the core with the parts of our satellites, which derive from it."""
    parts = [part.load() for part in entries("parts") if part.name == base.__name__]
    return type(base.__name__, (*parts, base), {"__doc__": base.__doc__})


def is_module(name: str) -> bool:
    """Return whether rnnlm has a module of that name, which Python imports after it asked for an
    attribute."""
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


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

OF_OTHERS = (
    "commands", "tasks", "libraries", "adaptations", "scorers",
    "kinds", "cells", "folders", "sources", "metrics", "methods", "names",
)  # fmt: skip


def _taken_in(package: str, entry_point: "EntryPoint") -> Iterator[Satellite]:
    """Yield what a package adds that has the right type and a free name. Notices tell of the rest,
    and errors of its functions name the package."""
    given = _check(entry_point.load(), Satellite)
    before = known()
    clashing: dict[str, list[str]] = {}

    def free(table: str) -> list[Entry]:
        """Return the entries of a table whose names neither the core nor a satellite before this
        one has."""
        found = list(getattr(given, table)())
        for entry in found:
            _check(_check(entry, types.get(table, lambda: Named)()).name, str)
        taken = {(name, "") for name in names_of_core.get(table, tuple)()}
        taken |= {_key(entry) for other in before for entry in getattr(other, table)()}
        clashing[table] = [entry.name for entry in found if _key(entry) in taken]
        if clashing[table]:
            names = ", ".join(clashing[table])
            notice(f"the package {package}: ignored {table}, whose names are taken: {names}")
        return [_guarded(package, table, entry) for entry in found if _key(entry) not in taken]

    # Each table is made once, when somebody asks for it.
    tables: dict[str, Any] = {
        table: cache(partial(_tried, package, table, partial(free, table))) for table in OF_OTHERS
    }
    yield Satellite(package, clashing=clashing, **tables)


def _key(entry: Entry) -> tuple[str, str]:
    """Return what two entries of a table may not share: kinds of models for different tasks may
    share a name."""
    return entry.name, getattr(entry, "task", "")


def _check(value: T, expected: Any) -> T:
    if not isinstance(value, expected):
        raise TypeError(f"{value!r} is not a {expected.__name__}")
    return value


def _tried(package: str, place: str, function: Callable[[], Iterable[T]]) -> list[T]:
    """Return what a function of a package lists; nothing, with a notice, if it fails."""
    listed = _blaming(package, place)(lambda: list(function()))
    return list(chain(*all_of([listed])))


def _guarded(package: str, table: str, entry: Any) -> Any:
    """Return an entry whose errors, where it loads something, name the package."""
    if not hasattr(entry, "load"):
        return entry
    returned = types.get(f"{table}()", lambda: object)
    place = f"{table}[{entry.name!r}]"
    load = _blaming(package, place)(lambda: _check(entry.load(), returned()))
    return replace(entry, load=load)


@contextlib.contextmanager
def _blaming(package: str, place: str) -> Iterator[None]:
    """Have errors in this context name a package, and the place in its description."""
    try:
        yield
    except (KeyboardInterrupt, Signalled):
        raise
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
        raise RnnlmError(f"the package {package}: {place} cannot be used", why) from error


def blaming(table: str, name: str) -> contextlib.AbstractContextManager[None]:
    """Return a context in which errors name the package of an entry, if it is not ours."""
    package = package_of(table, name)
    place = f"{table}[{name!r}]"
    return _blaming(package, place) if package else contextlib.nullcontext()


def package_of(table: str, name: str, task: str = "") -> str:
    """Return the package of somebody else that has an entry, for a task where the entry is for
    one; "" for ours."""
    having = (other.name for other in _others if (name, task) in map(_key, getattr(other, table)()))
    return next(having, "")


def check_package(package: str | None) -> None:
    """Refuse a model that needs a package of somebody else which is not here. None: it needs
    none."""
    if package:
        look_for_others()
        if package not in [other.name for other in _others]:
            what = f"this model needs the package {package}, which is not installed here"
            raise UsageError(what)


# ---- Those that were removed. A script writes which names our satellites have
# (tests/support/satellite_files.py), so that an error can say which one is missing.

Table = Literal[
    "commands", "tasks", "kinds", "tokenizers", "libraries", "folders", "sources", "names",
    "methods",
]  # fmt: skip


def removed(table: Table, name: str, called: str) -> UsageError | None:
    """Return the error for a name of a satellite that was removed; None for other names.

    called: the name in the message.
    """
    satellite = _owners()[table].get(name)
    lacking = satellite and _first_lacking(satellite)
    return _not_here(called, lacking) if lacking else None


def removed_folder(folder: Path) -> UsageError | None:
    """Return the error for a folder whose files are those of a satellite that was removed; None for
    other folders."""
    for pattern in _owners()["folders"]:
        gone = removed("folders", pattern, str(folder))
        if gone and any(folder.glob(pattern)):
            return gone
    return None


@cache
def _owners() -> dict[str, dict[str, str]]:
    """Return the satellites of ours by the names that they add, by table."""
    import tomllib

    return tomllib.loads(HERE.joinpath("satellites.toml").read_text(encoding="utf-8"))


def removed_module(name: str) -> UsageError | None:
    """Return the error for a module of a satellite that was removed; None for other modules."""
    package, *path = name.split(".")
    is_of_satellite = package == __package__ and path and path[0] in PLACES
    return _not_here("this", "/".join(path[:2])) if is_of_satellite else None


def _not_here(called: str, satellite: str) -> UsageError:
    return UsageError(called + f" needs the satellite {satellite}, which is not installed here")
