"""Every kind of model and every task by name. Nothing is imported before use."""

import gc
import pkgutil
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rnnlm.errors import ComparisonError, SettingsError, UsageError, nearest
from rnnlm.system import current_rank

if TYPE_CHECKING:
    from rnnlm.interface import LanguageModel, Shapes, Tokenizer
    from rnnlm.storage.manifest import Manifest
    from rnnlm.training.task import AnyTask

LANGUAGE_MODEL = "language-model"
USUAL_MODEL = "lstm"  # the kind that is trained where none is named, whatever the task


def resolve_name(place: str) -> Any:
    """Import what "module:name" names, without searching for cycles meanwhile: among the objects of
    torch that takes a tenth of the time, and finds none."""
    _pause_search(+1)
    try:
        return pkgutil.resolve_name(place)
    finally:
        _pause_search(-1)


_pauses, _was_on = 0, False
_pausing = threading.Lock()


def _pause_search(change: int) -> None:
    """Count one thread more or less that pauses the search for cycles: the last one ends it."""
    global _pauses, _was_on
    with _pausing:
        if not _pauses:
            _was_on = gc.isenabled()
            gc.disable()
        _pauses += change
        if not _pauses and _was_on:
            gc.enable()


@dataclass(frozen=True)
class Kind:
    """One kind of model for one task. `settings` and the functions are given as "module:name" and
    imported when asked for."""

    name: str
    family: str
    about: str
    settings: tuple[str, ...]
    # Module with fit(resolved, data, stop, initial, save), and check(resolved, has_valid) unless
    # that is in `checking`; None: see made_with.
    fitting: str | None
    # Module with from_arrays(...), and array_shapes(settings, tokenizer, stored) unless that is in
    # `shapes`
    loading: str
    # Modules that need no torch, where those above do
    checking: str | None = None
    shapes: str | None = None
    # Gradients change its weights step by step: a run can be stopped in order, resumed and timed.
    trains_in_steps: bool = False
    takes_parts: bool = False  # `from_arrays` takes the models that a model is made of
    mapped: bool = False  # its arrays stay in the file, mapped into memory
    # The command that makes a kind that is not fitted to a text, but made of models that were.
    made_with: str = "rnnlm train"
    task: str = LANGUAGE_MODEL
    cell: str | None = None  # settings of the cells of recurrent layers
    # What commands and inspections may ask of its models: a command of `rnnlm inspect`, or
    # "text": probabilities of a text alone;  "sources": those of a line given its source;
    # "n-grams";  "layers": outputs of layers, and word vectors.
    has: frozenset[str] = frozenset()
    # Function(resolved, data) that deletes what a run has left outside its folder to resume from.
    cleaning: str | None = None
    # Module with check_counts(folder) and open_counts(folder, resolved), which opens counts in
    # place of a text. Return them (rnnlm.training.request.CountsData), and the settings with those
    # that they bring.
    counted: str | None = None
    # Function(resolved, data) that returns sizes, by name, that depend on the texts.
    foresight: str | None = None
    # The :class:`Library` that stores such models; None: rnnlm does.
    stored_by: str | None = None

    @property
    def is_counted(self) -> bool:
        """Whether it is made of counts, which are not learned step by step."""
        return self.family == "ngram"

    @property
    def has_ngrams(self) -> bool:
        """Whether it holds n-grams of several orders, which can be left out one by one."""
        return "n-grams" in self.has

    @property
    def library(self) -> "Library | None":
        """The library that stores models of this kind; None: rnnlm does."""
        if self.stored_by is None:
            return None
        library: Library = resolve_name(self.stored_by)
        return library

    def settings_classes(self) -> tuple[type, ...]:
        """Return the classes of its settings: of the model, then of its training."""
        return (*self.model_settings(), *map(resolve_name, self.settings[1:]))

    def model_settings(self) -> tuple[type, ...]:
        """Return the classes of the settings of the model itself."""
        names = [self.settings[0]]
        if self.cell:
            names.append(self.cell)
        return tuple(map(resolve_name, names))

    def check(self, resolved: Any, has_valid: bool) -> None:
        """Check that these settings can be trained here: the device, the precision, validation text
        where it is needed.

        Raises:
            UsageError: a kind that is made of counts has several processes.
        """
        if not self.trains_in_steps and current_rank().count > 1:
            raise UsageError(
                f"a model of kind {self.name} is trained in a single process",
                f"there are {current_rank().count} processes",
                "start it without torchrun",
            )
        resolve_name(f"{self.checking or self.fitting}:check")(resolved, has_valid)

    def check_packages(self) -> None:
        """Import what trains such a model, so that a package that is missing is missed before texts
        are read."""
        resolve_name(f"{self.fitting}:fit")

    def fit(self, *arguments: Any) -> Any:
        """Train a model; return the events of the run."""
        return resolve_name(f"{self.fitting}:fit")(*arguments)

    def open_counts(self, folder: str, resolved: Any) -> Any:
        """Open the counts in `folder`, which a model is estimated from."""
        return resolve_name(f"{self.counted}:open_counts")(folder, resolved)

    def check_counts(self, folder: str) -> None:
        """Make sure that there are counts in `folder`; read no more than needed.

        Raises:
            UsageError: this kind is not made of counts.
        """
        if self.counted is None:
            raise UsageError(
                f"`counts` cannot be used with models of kind {self.name}",
                "they need the text itself",
                'add `model="ngram"`',
            )
        resolve_name(f"{self.counted}:check_counts")(folder)

    def clean_up(self, resolved: object, data: object) -> None:
        """Delete what a run has left outside of its folder, now that its model is saved; only for
        kinds that leave anything."""
        resolve_name(f"{self.cleaning}")(resolved, data)

    def foresee(self, resolved: object, data: object) -> dict[str, int]:
        """Return the sizes of the work that are known in advance, by name."""
        if self.foresight is None:
            return {}
        estimates: dict[str, int] = resolve_name(self.foresight)(resolved, data)
        return estimates

    @property
    def all_settings(self) -> tuple[type, ...]:
        """The classes of all settings of a run: of the model, its training and its data."""
        return (*self.settings_classes(), *task(self.task).text_settings)

    @property
    def array_shapes(self) -> Callable[..., Any]:
        """The function that returns which arrays a stored model has."""
        return resolve_name(f"{self.shapes or self.loading}:array_shapes")

    @property
    def from_arrays(self) -> Callable[..., Any]:
        """The function that makes a model of its arrays."""
        return resolve_name(f"{self.loading}:from_arrays")


# The tables, which `rnnlm/__init__.py` hands down from rnnlm/kinds.py.
TASKS: dict[str, str] = {}
KINDS: dict[str, Kind] = {}  # of language models
TASK_KINDS: list[Kind] = []  # of all other tasks
ADAPTATIONS: dict[str, str] = {}
TOKENIZERS: dict[str, str] = {}  # of other programs
LIBRARIES: dict[str, str] = {}  # of other models


def fill(
    tasks: Mapping[str, str],
    language_models: Iterable[Kind],
    task_kinds: Iterable[Kind],
    adaptations: Mapping[str, str],
    tokenizers: Mapping[str, str],
    libraries: Mapping[str, str],
) -> None:
    """Take the tables of names. Objects and functions are given as "module:name".

    tasks: the object of each task. adaptations: by the KIND of NAME+KIND, the function(model, kind,
    folder) that returns the model of a folder adapting itself. tokenizers: the class of each.
    libraries: by the prefix of names, the :class:`Library`.
    """
    TASKS.update(tasks)
    KINDS.update({kind.name: kind for kind in language_models})
    TASK_KINDS.extend(task_kinds)
    ADAPTATIONS.update(adaptations)
    TOKENIZERS.update(tokenizers)
    LIBRARIES.update(libraries)


def is_task(name: str) -> bool:
    """Return whether there is a task of that name."""
    return name in TASKS


def task(name: str) -> "AnyTask":
    """Return the task of that name."""
    if not is_task(name):
        raise SettingsError(f"unknown task {name!r}", hint=nearest(str(name), TASKS))
    loaded_task: AnyTask = resolve_name(TASKS[name])
    return loaded_task


def all_tasks() -> "list[AnyTask]":
    """Return the tasks, language modelling first, without those whose package was removed."""
    tasks = map(resolve_unless_removed, TASKS.values())
    return [task for task in tasks if task is not None]


def resolve_unless_removed(place: str) -> Any:
    """Return what "module:name" names; None where a package that holds it was removed."""
    try:
        return resolve_name(place)
    except ModuleNotFoundError as error:
        if not place.startswith(f"{error.name}."):
            raise
        return None


def kinds_of(task: str) -> dict[str, Kind]:
    """Return the kinds of models of a task, by name."""
    kinds = (*KINDS.values(), *TASK_KINDS)
    return {kind.name: kind for kind in kinds if kind.task == task}


def kinds_with(need: str, of_task: str) -> list[str]:
    """Return the names of the kinds of models of a task that have what is needed (`Kind.has`)."""
    return [name for name, kind in kinds_of(of_task).items() if need in kind.has]


def kind_of(name: str, of_task: str = LANGUAGE_MODEL) -> Kind:
    """Return the kind of model called `name`, for a task."""
    task(of_task)  # which there has to be
    kinds = kinds_of(of_task)
    if name in kinds:
        return kinds[name]
    others = [kind.task for kind in (*KINDS.values(), *TASK_KINDS) if kind.name == name]
    if not others:
        raise SettingsError(f"unknown model {name!r}", hint=nearest(name, kinds))
    why = f"it is for {' and '.join(others)}"
    if of_task == LANGUAGE_MODEL:
        why = (
            "it reads a whole text at once, but a language model must not see the words it predicts"
        )
    trained = [kind.name for kind in kinds.values() if kind.fitting]
    hint = f'use `model` {", ".join(trained)}; or `task="{others[0]}"`'
    raise SettingsError(f"`model` {name} is not for {of_task}", why, hint)


def trained_kind(name: str, of_task: str = LANGUAGE_MODEL) -> Kind:
    """Return the kind of model called `name`, which has to be one that is fitted to a text."""
    kind = kind_of(name, of_task)
    if kind.fitting is None:
        raise SettingsError(
            f"a model of kind {name} cannot be trained",
            "another library trains it" if kind.stored_by else "it combines trained models",
            f"make one with {kind.made_with}",
        )
    return kind


def adapted(model: Any, kind: str, folder: Path) -> Any:
    """Return the model of a folder adapting itself to what it reads."""
    return resolve_name(ADAPTATIONS[kind])(model, kind, folder)


# ---- Models of other libraries, which are named PREFIX:NAME.


class Library(Protocol):
    """Another library whose models are read where it stores them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        """Return the folder of the model called PREFIX:NAME. needs_model: false where its tokenizer
        is enough."""

    def manifest(self, folder: Path) -> "Manifest | None":
        """Describe the model in a folder as a model folder of rnnlm describes its own; None if the
        folder is not one of this library."""

    def tokenizer(self, folder: Path) -> "Tokenizer":
        """Load the tokenizer in a folder, which need not hold a model."""

    def shapes(self, folder: Path, manifest: "Manifest") -> "Shapes":
        """Return the type and shape of each array of a model, by name."""

    def model(self, folder: Path, manifest: "Manifest", device: str) -> "LanguageModel":
        """Load the model in a folder."""


def library_of(name: str) -> Library | None:
    """Return the library of a model called PREFIX:NAME; None for other names, and where the
    package that reads the library's models was removed."""
    prefix, colon, _ = name.partition(":")
    if not colon or prefix not in LIBRARIES:
        return None
    library: Library | None = resolve_unless_removed(LIBRARIES[prefix])
    return library


def libraries() -> list[Library]:
    """Return all libraries whose models can be read."""
    found = map(resolve_unless_removed, LIBRARIES.values())
    return [library for library in found if library is not None]


# ---- Commands that do nothing with the models of a task.


class LabelModel(Protocol):
    """A model of another task than language modelling, which labels words or texts, or writes a
    line for each line that it reads."""

    @property
    def task(self) -> str:
        """What the model was trained for: "tagging", "classification" or "seq2seq"."""

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of weights and codec, once saved."""

    @property
    def tokenizer(self) -> Any:
        """The codec, where a language model has its tokenizer."""


def check_use(command: str, of_task: str, name: str | None) -> None:
    """Refuse a command that does nothing with the models of a task. name: of the model; None of one
    in memory."""
    learned = task(of_task)
    if command in learned.commands:
        return
    takers = [
        learned_task.singular for learned_task in all_tasks() if command in learned_task.commands
    ]
    if takers:
        raise UsageError(
            f"{name or 'this model'} is {learned.singular}",
            f"rnnlm {command} needs {' or '.join(takers)}",
            learned.usage[0].format(name=shlex.quote(name or "MODEL")),
        )


def can_use(command: str, of_task: str, kind: str, need: str = "") -> bool:
    """Return whether a command does anything with the models of a kind. need: what they have to
    have (`Kind.has`). A command that no task mentions takes all models."""
    learned = task(of_task)
    if need and kind not in kinds_with(need, of_task):
        return False
    return command in learned.commands or not any(
        command in learned_task.commands for learned_task in all_tasks()
    )


def check_is_language_model(of_task: str, name: str | None) -> None:
    """Refuse models of other tasks. name: of the model; None of one in memory."""
    if of_task != LANGUAGE_MODEL:
        learned = task(of_task)
        raise UsageError(
            f"{name or 'this model'} is not a language model",
            f"it is {learned.singular}",
            learned.usage[0].format(name=shlex.quote(name or "MODEL")),
        )


def check_same_task(tasks: Mapping[str, str]) -> None:
    """Refuse models of several tasks. tasks: of each model, by its name."""
    if len(set(tasks.values())) > 1:
        why = ", ".join(
            f"{name} is {task(task_name).singular}" for name, task_name in tasks.items()
        )
        raise ComparisonError(
            "models of different tasks cannot be compared", why, "name models of one task"
        )
