"""A task as one object: how its data are read, and its models fitted, loaded, evaluated and
described.

Language modelling is a task like the others. A model's config.json holds the name of its task;
:func:`rnnlm.registry.task` returns the object. Other code asks the object, and never which
task it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, cast

from rnnlm.config import ResolvedSettings
from rnnlm.errors import UsageError
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import TextSettings, silent
from rnnlm.text.sources import SourceSettings
from rnnlm.training.request import FittingData, TextData, Texts, TrainingRequest

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.evaluation.comparison.pairing import ComparableMetrics, Comparer, Comparison
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.metrics import Evaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import Device, Tokenizer
    from rnnlm.lm.base.loading import ScoringModel
    from rnnlm.registry import Kind
    from rnnlm.text.lines import Progress


class Examples(Protocol):
    """Data of a task as they were read: lines with something beside them."""

    @property
    def content_hash(self) -> str:
        """The hash of what they hold, whatever file or format they came in."""


# Data that a model is evaluated on: by their names, or as they were read.
Given = str | Path | Sequence[str | Path] | Text | EncodedText | Examples
M = TypeVar("M")  # a model of the task
D = TypeVar("D", bound=TextData)  # data that it is trained or evaluated on, as it reads them
C = TypeVar("C")  # what encodes its data: its tokenizer and, of some tasks, the labels
K = TypeVar("K")  # the keywords of its evaluation, as a settings class


@dataclass(frozen=True)
class Description:
    """A description of a model's codec.

    tokenizers: by name. facts: further rows of the card, by name. fields: what `rnnlm info --json`
    adds.
    """

    tokenizers: "Mapping[str, Tokenizer]"
    facts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


class Task(ABC, Generic[M, D, C, K]):
    """A task of machine learning. It reads data, fits models to them, loads, evaluates and
    describes models; all else gives the names of its models, and which commands and settings they
    have.

    A new task gives the attributes without a value, the abstract methods, and :attr:`commands`,
    with its own command.
    """

    # ---- What its models are called and do.

    name: ClassVar[str]  # in config.json and after --task: "tagging"
    singular: ClassVar[str]  # "m is ...": "a tagger of words"
    example: ClassVar[str] = "line"  # what its data consist of, in the singular
    own_command: ClassVar[str]  # what its models are made for: "tag"
    # The commands that do something with its models; others refuse them.
    commands: ClassVar[frozenset[str]] = frozenset(
        {"eval", "compare", "report", "info", "doctor", "serve", "count"}
    )
    # Command lines that use a model called {name}, the first one for a model just trained.
    usage: ClassVar[tuple[str, ...]]

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
    def option(self) -> str:
        """The option that asks for the task on the command line; "" where none is needed."""
        return f"--task {self.name}"

    # ---- What a request to train may ask for.

    usual_corpus: ClassVar[str]  # which is read where no text is named
    # Fields of a request that only some tasks have: those that this one has.
    request_fields: ClassVar[frozenset[str]] = frozenset()

    def usual_recipe(self, model: str | None, has_text: bool) -> str | None:
        """Return the recipe that is taken where none is named; None: none is."""
        return None

    # ---- The texts that it is trained on.

    # The classes of settings by which a training text is read.
    text_settings: ClassVar[tuple[type, ...]]
    # Names of settings of the network and of its training on which the data depend. The seed is
    # one of them where it draws the examples that are held out for validation.
    settings_of_data: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def open_texts(
        self,
        request: TrainingRequest,
        resolved: ResolvedSettings,
        kind: "Kind",
        progress: "Progress",
    ) -> Texts:
        """Read and encode what a request asks for."""

    # ---- What its models begin with, and hold beside weights.

    def initial_settings(
        self, request: TrainingRequest, kind: "Kind"
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the settings that a network has of the models that it starts from: (option, name
        of the model, settings)."""
        return []

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: ResolvedSettings, data: FittingData
    ) -> "dict[str, np.ndarray] | None":
        """Return the weights that a network starts from, by name; None where all are random."""
        return None

    @abstractmethod
    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> C:
        """Return what encodes a model's data: its tokenizer and, of some tasks, the labels that its
        folder's `files` hold."""

    @abstractmethod
    def describe(self, codec: C) -> Description:
        """Describe the codec of a model."""

    # ---- Evaluating. Commands and Python call `evaluate`, training calls `evaluate_encoded`, which
    # measures.

    @property
    @abstractmethod
    def evaluation_class(self) -> "type[Evaluation]":
        """The class of the results of :meth:`evaluate`."""

    options: ClassVar[type]  # the keywords of `model.evaluate` and `rnnlm.compare`
    # The settings by which its data are read.
    reading: ClassVar[tuple[type, ...]] = (TextSettings, SourceSettings)
    # Further options of `rnnlm eval` and `rnnlm compare`: "confusions", ...
    offers: ClassVar[frozenset[str]] = frozenset()
    # The settings of comparisons that have an effect.
    compares_by: ClassVar[frozenset[str]] = frozenset({"resamples", "seed"})

    @property
    def reads_lines(self) -> bool:
        """Whether its data are lines of text, with nothing beside them."""
        return TextSettings in self.reading

    def evaluate(
        self,
        model: M | str | Path,
        data: Given | D | None,
        options: K | None = None,
        device: "str | Device" = "auto",
    ) -> "Evaluation":
        """Evaluate a model on data; open both if they are given by name. data: None: the test split
        of the bundled corpus that the model was trained on."""
        from rnnlm.lm.base import loading

        named = cast("ScoringModel", model)
        if data is None:
            data = trained_corpus(named)
        opened = cast(M, loading.load_if_named(named, device))
        return self.evaluate_encoded(opened, self.read(opened, data, options), options)

    def compare(
        self,
        models: Sequence[M | str | Path],
        data: Given | D,
        options: K | None = None,
        settings: "ComparisonSettings | None" = None,
        names: Sequence[str] | None = None,
        device: "str | Device" = "auto",
    ) -> "Comparison":
        """Compare models, themselves or by their names. names: what they are called in the
        result."""
        from rnnlm.evaluation.comparison.pairing import compare_models
        from rnnlm.evaluation.comparison.settings import ComparisonSettings
        from rnnlm.evaluation.resampling import Resampling

        settings = settings or ComparisonSettings()
        comparing = self.comparing(data, options, settings)
        resampling = Resampling(settings.resamples, settings.seed)
        return compare_models(models, comparing, names, resampling, device)

    @abstractmethod
    def comparing(
        self, data: Given | D, options: K | None, settings: "ComparisonSettings"
    ) -> "Comparer[Any, Any, Any]":
        """Return what compares models on these data."""

    @abstractmethod
    def comparable_stored(self, models: "Sequence[StoredModel]") -> "ComparableMetrics":
        """Return which of the metrics compare that were stored when models were trained; raise
        ComparisonError if none does."""

    @abstractmethod
    def read(self, model: M, data: Given | D, options: K | None = None, called: str = "") -> D:
        """Return data, as they are named or opened, as a model reads them. called: the model, in
        notices, where there are several."""

    @abstractmethod
    def evaluate_encoded(
        self, model: M, data: D, options: K | None = None, progress: "Progress" = silent
    ) -> "Evaluation":
        """Evaluate a loaded model on data that :meth:`read` has encoded for it."""

    @abstractmethod
    def checks(self, model: M, sample: int | None, seed: int) -> "Iterator[Check]":
        """Yield what `rnnlm doctor` finds of a model whose arrays are whole. sample: how many
        examples are made up."""


class ExampleTask(Task[M, D, C, K]):
    """A task of examples: of lines with something beside them. Its modules are imported when they
    are asked for, as most of them need torch."""

    # The folder of its modules: `texts` reads training data, `transfer` takes settings and weights
    # of language models, `data` restores codecs, `evaluation` and `comparison` do what they say.
    package: ClassVar[str]
    commands = Task.commands | {"embed", "export", "inspect"}

    def _call(self, function: str, *arguments: object) -> Any:
        """Call a function of the task's modules, given as "module:function"."""
        return resolve_name(f"{self.package}.{function}")(*arguments)

    def open_texts(
        self,
        request: TrainingRequest,
        resolved: ResolvedSettings,
        kind: "Kind",
        progress: "Progress",
    ) -> Texts:
        return self._call("texts:open_texts", request, resolved, kind, progress)

    def initial_settings(
        self, request: TrainingRequest, kind: "Kind"
    ) -> list[tuple[str, str, dict[str, Any]]]:
        return self._call("transfer:settings", request, kind)

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: ResolvedSettings, data: FittingData
    ) -> "dict[str, np.ndarray] | None":
        return self._call("transfer:weights", request, resolved, data)

    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> C:
        return self._call("data:codec", tokenizer, files)

    def comparable_stored(self, models: "Sequence[StoredModel]") -> "ComparableMetrics":
        return self._call("evaluation.comparison:comparable_stored", models)

    def read(self, model: M, data: Given | D, options: K | None = None, called: str = "") -> D:
        return self._call("evaluation.evaluation:read", model, data, options, called)

    def checks(self, model: M, sample: int | None, seed: int) -> "Iterator[Check]":
        yield from self._call("evaluation.evaluation:checks", model, sample, seed)


def trained_corpus(model: "ScoringModel | str | Path") -> str:
    """Return the name of the bundled corpus that a model, itself or by its name, was trained on."""
    import rnnlm.corpora as corpora
    from rnnlm.lm.base import loading
    from rnnlm.storage.manifest import read_manifest

    folder = loading.name_if_saved(model)
    trained_on = None
    if folder is not None:
        trained_on = read_manifest(loading.base_folder(folder)).training.get("text")
    for name in corpora.names():
        if trained_on in ([name], [corpora.named(name)]):
            return name
    raise UsageError("no data to evaluate on", hint="name a file: evaluate(model, FILE)")


AnyTask: TypeAlias = Task[Any, Any, Any, Any]
