"""Every kind of model and every task by name, those of satellites among them. Nothing is imported
before use."""

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, cast, runtime_checkable

from rnnlm import satellites
from rnnlm.config import ResolvedSettings
from rnnlm.errors import ComparisonError, RnnlmError, SettingsError, UsageError, keyword, nearest
from rnnlm.interface import LanguageModel, Shapes, SourcedData, Task, Tokenizer
from rnnlm.system import current_rank, quoted

Function: TypeAlias = Callable[..., Any]

# Of these sets of abilities (`Kind.has`), a model must have all of one.
Needs: TypeAlias = Sequence[Set[str]]
ANYTHING: Needs = [set()]

LANGUAGE_MODEL = "language-model"
USUAL_MODEL = "lstm"  # the default kind, for any task


@dataclass(frozen=True)
class RunFacts:
    """Facts about a run by which a kind of model chooses settings.

    Attributes:
        rate_steps: Steps that the learning rate of the recipe is for; None: it suits any.
        one_pass_rate: Its learning rate for so many steps over new text.
        is_bundled: Whether the text is a bundled corpus, of which pages quote results.
        is_alone: Whether it is neither one of a grid nor shared by several processes.
        is_new: Whether it does not resume: what a resumed run has chosen stays.
    """

    rate_steps: int | None
    one_pass_rate: float | None
    is_bundled: bool
    is_alone: bool
    is_new: bool


@dataclass(frozen=True)
class Kind:
    """One kind of model for one task. A property that returns a function imports its module when it
    is read.

    Attributes:
        name: Name of the kind, such as "lstm".
        about: Description, in a few words.
        has: What commands and inspections may ask for: "text": probabilities of a text alone;
            "conditions": probabilities of a line given its condition; "n-grams"; "layers": outputs
            of layers, word vectors, weights trained by gradients; "word layers": outputs for each
            word alone; "states": recurrent layers; "state matrices", which take state to state.
        task: Name of the task.
        family: Family of models, such as "ngram".
        trains_in_steps: Whether gradients change its weights step by step: a run can be stopped in
            order, resumed and timed.
        takes_parts: Whether `from_arrays` takes the models that a model is made of.
        is_mapped: Whether its arrays stay in the file, mapped into memory.
        made_with: Command that makes a kind that is not fitted to a text, but made of models that
            were; None for the others.
    """

    name: str
    about: str
    has: frozenset[str] = frozenset()
    task: str = LANGUAGE_MODEL

    family: ClassVar[str]
    trains_in_steps: ClassVar[bool] = False
    takes_parts: ClassVar[bool] = False
    is_mapped: ClassVar[bool] = False
    made_with: ClassVar[str | None] = None

    @property
    def is_trained(self) -> bool:
        """Whether it is fitted to a text."""
        return self.made_with is None

    @property
    def is_counted(self) -> bool:
        """Whether it is made of counts, which are not learned step by step."""
        return self.family == "ngram"

    def has_what(self, needs: Needs) -> bool:
        """Return whether it has what is needed.

        Args:
            needs: Sets of abilities; it must have all of one.
        """
        return any(need <= self.has for need in needs)

    @property
    def has_ngrams(self) -> bool:
        """Whether it holds n-grams of several orders, which can be left out one by one."""
        return "n-grams" in self.has

    @property
    def library(self) -> "Library | None":
        """The library that stores models of this kind; None: rnnlm does."""
        return None

    @property
    def settings(self) -> tuple[type, ...]:
        """The classes of its settings: of the model, then of its training."""
        raise NotImplementedError

    @property
    def all_settings(self) -> tuple[type, ...]:
        """The classes of all settings of a run: of the model, its training and its data."""
        return (*self.settings, *task(self.task).text_settings)

    def check(self, resolved: ResolvedSettings, has_valid: bool) -> None:
        """Check that these settings can be trained here: the device, the precision, validation text
        where it is needed.

        Args:
            resolved: Settings of the run.
            has_valid: Whether there is a validation text.

        Raises:
            UsageError: A kind that is made of counts has several processes.
        """
        if not self.trains_in_steps and current_rank().count > 1:
            raise UsageError(
                f"a model of kind {self.name} is trained in a single process",
                f"there are {current_rank().count} processes",
                "start it without torchrun",
            )

    @property
    def fit(self) -> Any:
        """The function(resolved, data, stop, initial, save) that trains a model and yields the
        events of the run."""

    def choose(
        self, resolved: ResolvedSettings, data: Any, run: RunFacts
    ) -> tuple[ResolvedSettings, Any]:
        """Choose the settings that nobody set by the data, the time of the run and the machine.

        Args:
            resolved: Settings of the run.
            data: Training data of the run.
            run: Facts about the run.

        Returns:
            The settings; and the forecast of what the run reads in its time, a
            :class:`rnnlm.lm.neural.training.choosing.Forecast`, None if its budget is no time.
        """
        return resolved, None

    def words_read(self, codec: Any) -> int:
        """Return how many words, or pieces of words, a network has input vectors of.

        Args:
            codec: Tokenizer of the model, or the codec that holds it.
        """
        return int(codec.size)

    @property
    def array_shapes(self) -> Any:
        """The function(settings, tokenizer, stored) that returns the shapes of a stored model's
        arrays."""

    @property
    def from_arrays(self) -> Any:
        """The function that makes a model of its arrays."""


def imported(package: str, place: str) -> Any:
    """Return a property of kinds or tasks: an object that is imported when it is read.

    Args:
        package: Package of the class, `__package__`.
        place: Module in that package, and name of the object there: "fitting:fit".
    """
    load = satellites.on_use(package, place)
    return property(lambda owner: load())


def _tasks(name: str = "") -> dict[str, satellites.Named]:
    return satellites.by_name("tasks", name)


def is_task(name: str) -> bool:
    """Return whether there is a task of that name."""
    return name in _tasks(name)


@functools.cache
def task(name: str) -> Task:
    """Return the task of that name."""
    tasks = _tasks(name)
    if name not in tasks:
        gone = satellites.removed("tasks", name, f"the task {name}")
        raise gone or SettingsError(f"unknown task {name!r}", hint=nearest(str(name), tasks))
    return cast(Task, tasks[name].load())


def all_tasks() -> list[Task]:
    """Return the tasks, language modelling first."""
    return satellites.all_of(task.load for task in _tasks().values())


def all_kinds() -> list[Kind]:
    """Return the kinds of models of all tasks, those of language models first."""
    return satellites.entries("kinds")


def kinds_of(task: str = LANGUAGE_MODEL, name: str = "") -> dict[str, Kind]:
    """Return the kinds of models of a task, by name. If none is called `name`, look for those of
    packages of others, too."""
    found = {kind.name: kind for kind in all_kinds() if kind.task == task}
    if name and name not in found:
        satellites.look_for_others()
        return kinds_of(task)
    return found


def kinds_with(needs: Needs, of_task: str, name: str = "") -> list[str]:
    """Return the names of the kinds of models of a task that have what is needed; look for one
    called `name` as :func:`kinds_of` does."""
    return [known for known, kind in kinds_of(of_task, name).items() if kind.has_what(needs)]


def kind_of(name: str, of_task: str = LANGUAGE_MODEL) -> Kind:
    """Return the kind of model called `name`, for a task."""
    task(of_task)  # it has to exist
    kinds = kinds_of(of_task, name)
    if name in kinds:
        return kinds[name]
    others = [kind.task for kind in all_kinds() if kind.name == name]
    if not others:
        gone = satellites.removed("kinds", name, f"a model of kind {name}")
        raise gone or SettingsError(f"unknown model {name!r}", hint=nearest(name, kinds))
    if of_task == LANGUAGE_MODEL:
        why = (
            "it reads a whole text at once, but a language model must not see the words it predicts"
        )
    else:
        why = f"it is for {' and '.join(others)}"
    trained = [kind.name for kind in kinds.values() if kind.is_trained]
    hint = "use " + keyword("model") + f" {', '.join(trained)}; or " + keyword("task", others[0])
    raise SettingsError(keyword("model") + f" {name} is not for {of_task}", why, hint)


def trained_kind(name: str, of_task: str = LANGUAGE_MODEL) -> Kind:
    """Return the kind of model called `name`, which has to be one that is fitted to a text."""
    kind = kind_of(name, of_task)
    if not kind.is_trained:
        raise SettingsError(
            f"a model of kind {name} cannot be trained",
            "another library trains it" if kind.library else "it combines trained models",
            f"make one with {kind.made_with}",
        )
    return kind


# ---- Models of other libraries, which are named PREFIX:NAME.


@runtime_checkable
class Library(Protocol):
    """Another library whose models are read where it stores them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        """Return the folder of a model.

        Args:
            name: Name of the model, PREFIX:NAME.
            needs_model: False if its tokenizer is enough.
        """

    def manifest(self, folder: Path) -> Any:
        """Describe the model in a folder as a model folder of rnnlm describes its own.

        Args:
            folder: The folder.

        Returns:
            A :class:`rnnlm.storage.manifest.Manifest`; None if the folder is not one of this
            library.
        """

    def tokenizer(self, folder: Path) -> Tokenizer:
        """Load the tokenizer in a folder.

        Args:
            folder: The folder, which need not hold a model.
        """

    def shapes(self, folder: Path, manifest: Any) -> Shapes:
        """Return the type and shape of each array of a model, by name.

        Args:
            folder: Folder of the model.
            manifest: Its description.
        """

    def model(self, folder: Path, manifest: Any, device: str) -> LanguageModel:
        """Load the model in a folder.

        Args:
            folder: The folder.
            manifest: Its description.
            device: Where it computes.
        """


def library_of(name: str) -> Library | None:
    """Return the library of a model called PREFIX:NAME; None for other names."""
    prefix, colon, _ = name.partition(":")
    if not colon:
        return None
    known = satellites.by_name("libraries", prefix)
    if prefix in known:
        return cast(Library, known[prefix].load())
    gone = satellites.removed("libraries", prefix, name)
    if gone:
        raise gone
    return None


def libraries() -> list[Library]:
    """Return all libraries whose models can be read."""
    return satellites.all_of(library.load for library in satellites.entries("libraries"))


def scorer_of(name: str) -> Function | None:
    """Return the function(name, takes, path) that opens the scorer of that name, such as an
    address; None if it is the name of a model."""
    if Path(name).exists() or library_of(name):
        return None
    fitting = (
        scorer for scorer in satellites.entries("scorers") if re.fullmatch(scorer.name, name)
    )
    scorer = next(fitting, None)
    return scorer and cast(Function, scorer.load())


# ---- Folders that hold texts, and ways to bring texts to a fit. Satellites have them.


class TextFolder:
    """A form in which folders hold what was read of a text: its token ids, or its counts. A
    property that returns a function imports its module when it is read.

    Attributes:
        name: Pattern of the names of its files: "shard-*.safetensors".
        noun: What messages call such a folder: "a prepared text".
        made: How it was made, in a word: "prepared".
        command: The command that makes it.
        indexes: Names of files of which a folder of this form has one, finished or not.
        is_text: Whether it holds lines: it is opened as a text, described and checked.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    made: ClassVar[str]
    command: ClassVar[str]
    indexes: ClassVar[tuple[str, ...]]
    is_text: ClassVar[bool] = False

    def is_in(self, folder: str | Path) -> bool:
        """Return whether a folder has this form.

        Args:
            folder: The folder, which need not exist.
        """
        return any(os.path.isfile(os.path.join(folder, name)) for name in self.indexes)

    def signature(self, folder: Path) -> str:
        """Return the fact that must be the same for a run with this tokenizer to resume.

        Args:
            folder: A folder of this form.
        """
        return str(self.tokenizer(folder).fingerprint)

    def refusal(self, name: str) -> RnnlmError:
        """Return the error where the text itself is needed.

        Args:
            name: The folder as it was named.
        """
        raise NotImplementedError

    @property
    def tokenizer(self) -> Any:
        """The function(folder) that loads the tokenizer of the text."""

    @property
    def open(self) -> Any:
        """The function(folder) that opens a :class:`rnnlm.text.corpus.Text`."""

    @property
    def describe(self) -> Any:
        """The function(folder) that returns all that is known of the text, by name."""

    @property
    def summary(self) -> Any:
        """The function(folder) that returns the lines of it that matter, as (name, text)."""

    @property
    def problems(self) -> Any:
        """The function(folder) that checks the text, and yields (the checked part, its fault or "",
        the findings)."""


@runtime_checkable
class DataSource(Protocol):
    """A way to bring a text to a fit other than in memory, such as on disk, or as counts.

    Attributes:
        less_memory: How it helps where memory runs out, for the command line.
    """

    less_memory: str

    def takes(self, resolved: ResolvedSettings) -> bool:
        """Return whether it brings the data of runs with these settings.

        Args:
            resolved: Settings of a run.
        """

    def check(self, resolved: ResolvedSettings) -> None:
        """Refuse settings of it that cannot work.

        Args:
            resolved: Settings of a run.
        """

    def text(
        self, text: Any, tokenizer: Any, share: float, resolved: ResolvedSettings, progress: Any
    ) -> Any:
        """Return a training text as it is to be read, such as on disk.

        Args:
            text: Text of the run.
            tokenizer: Its tokenizer; None: one will be made of the text.
            share: Share of its lines that is held out.
            resolved: Settings of the run.
            progress: Function that is called with the progress.
        """

    def check_counts(self, folder: str) -> None:
        """Make sure that there are counts in a folder; read no more than needed.

        Args:
            folder: The folder.
        """

    def open_counts(self, folder: str, resolved: ResolvedSettings) -> tuple[Any, ResolvedSettings]:
        """Open counts in place of a text. Return them, and the settings with those that they bring.
        They have `folder`, `tokenizer`, `text_settings` and `with_valid(text)`, which makes data.

        Args:
            folder: Folder of the counts.
            resolved: Settings of the run.
        """

    def data(self, data: Any, resolved: ResolvedSettings) -> SourcedData:
        """Return the data of a run so that the fit gets them from here.

        Args:
            data: Training and validation data of the run.
            resolved: Settings of the run.
        """


def text_folder(name: str | Path) -> TextFolder | None:
    """Return the form of the folder of that name; None: it has none. Refuse one whose satellite was
    removed."""
    if not os.path.isdir(name):
        return None
    folder = Path(name)
    for form in text_folders():
        if form.is_in(folder):
            return form
    gone = satellites.removed_folder(folder)
    if gone:
        raise gone
    return None


def text_folders() -> list[TextFolder]:
    """Return the forms of folders that hold texts."""
    return satellites.entries("folders")


def data_sources() -> list[DataSource]:
    """Return the sources of training data other than texts in memory."""
    return list(dict.fromkeys(source.load() for source in satellites.entries("sources")))


def data_source(resolved: ResolvedSettings) -> DataSource | None:
    """Return the source of the data of a run; None: texts are read into memory. Refuse settings
    that ask for a source that was removed."""
    for source in data_sources():
        if source.takes(resolved):
            return source
    for name, value in resolved.values.items():
        gone = value is not None and satellites.removed("sources", name, keyword(name, value))
        if gone:
            raise gone
    return None


def source_of_counts(kind: Kind, resolved: ResolvedSettings) -> DataSource:
    """Return the source that reads counts in place of a text; refuse a kind that needs the text."""
    source = data_source(resolved)
    if source is None:
        gone = satellites.removed("sources", "counts", keyword("counts"))
        raise gone or UsageError(
            keyword("counts") + f" cannot be used with models of kind {kind.name}",
            "they need the text itself",
            "add " + keyword("model", "ngram"),
        )
    return source


# ---- Commands that do nothing with the models of a task.


class LabelModel(Protocol):
    """A model of another task than language modelling, which labels words or texts, or writes a
    line for each line that it reads."""

    @property
    def task(self) -> str:
        """The name of the task of the model."""

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of weights and codec, once saved."""

    @property
    def tokenizer(self) -> Any:
        """The codec, where a language model has its tokenizer."""


def commands_of(task: Task) -> frozenset[str]:
    """Return the commands that can use the models of a task."""
    taking = {
        command.name
        for command in satellites.entries("commands")
        if task.name in command.takes or satellites.EVERY_TASK in command.takes
    }
    return task.commands | taking


def is_for(command: str, of_task: Task) -> bool:
    """Return whether a command can use the models of a task. Those that the task itself names are
    not looked for among all commands."""
    return command in of_task.commands or command in commands_of(of_task)


def check_use(command: str, of_task: str, name: str | None) -> None:
    """Refuse a command that does nothing with the models of a task. A model in memory has no
    `name`."""
    learned = task(of_task)
    if is_for(command, learned):
        return
    takers = [
        learned_task.singular for learned_task in all_tasks() if is_for(command, learned_task)
    ]
    if takers:
        raise UsageError(
            f"{name or 'this model'} is {learned.singular}",
            f"rnnlm {command} needs {' or '.join(takers)}",
            learned.usage[0].format(name=quoted(name or "MODEL")),
        )


def can_use(command: str, of_task: str, kind: str, needs: Needs = ANYTHING) -> bool:
    """Return whether a command does anything with the models of a kind, which must have what is
    needed. A command that no task mentions takes all models."""
    learned = task(of_task)
    if kind not in kinds_with(needs, of_task, kind):
        return False
    return is_for(command, learned) or not any(
        is_for(command, learned_task) for learned_task in all_tasks()
    )


def check_is_language_model(of_task: str, name: str | None) -> None:
    """Refuse models of other tasks. A model in memory has no `name`."""
    if of_task != LANGUAGE_MODEL:
        learned = task(of_task)
        raise UsageError(
            f"{name or 'this model'} is not a language model",
            f"it is {learned.singular}",
            learned.usage[0].format(name=quoted(name or "MODEL")),
        )


def check_same_task(tasks: Mapping[str, str]) -> None:
    """Refuse models of several tasks; `tasks` holds the task of each model by its name."""
    if len(set(tasks.values())) > 1:
        why = ", ".join(
            f"{name} is {task(task_name).singular}" for name, task_name in tasks.items()
        )
        raise ComparisonError(
            "models of different tasks cannot be compared", why, "name models of one task"
        )
