"""Every kind of model by name: where its settings, its fitting and its loading live. Nothing is imported before use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from rnnlm.errors import SettingsError, UsageError, nearest
from rnnlm.system import current_rank

LANGUAGE_MODEL = "language-model"
TASKS = ("tagging", "classification", "seq2seq")  # what networks are trained for, beside language models
_ROOMS = {"seq2seq": "rnnlm.tasks.seq2seq"}  # of tasks that have one of their own


@dataclass(frozen=True)
class Kind:
    """One kind of model for one task. `settings` and the functions are given as "module:name" and imported when asked for."""

    name: str
    family: str
    about: str
    settings: tuple[str, ...]
    fitting: str | None  # module with check(resolved, has_valid) and fit(resolved, data, stop, initial); None: see made_with
    loading: str  # module with array_shapes(settings, tokenizer, stored) and from_arrays(...)
    holds_out: bool  # without validation text, part of the training text is held out
    mapped: bool = False  # its arrays stay in the file, mapped into memory
    made_with: str = "rnnlm train"  # what makes a kind that is not fitted to a text, but made of models that were
    task: str = LANGUAGE_MODEL
    texts: str = "rnnlm.training.texts"  # module with open_texts, which reads what it is trained on, and results, its figures
    labels: str | None = None  # module with codec(tokenizer, files), which adds what a model writes to the tokenizer of what it reads

    def settings_classes(self) -> tuple[type[Any], ...]:
        """The classes of its settings."""
        return tuple(resolve_name(path) for path in self.settings)

    def check(self, resolved: Any, has_valid: bool) -> None:
        """Whether these settings can be trained here: the device, the precision, validation text where it is needed.

        Raises:
            UsageError: a kind that is counted was to be so by several processes.
        """
        if self.family != "neural" and current_rank().count > 1:
            raise UsageError(
                f"a model of kind {self.name} is trained by one process",
                f"there are {current_rank().count}",
                "leave out torchrun, or --processes",
            )
        resolve_name(f"{self.fitting}:check")(resolved, has_valid)

    def fit(self, *arguments: Any) -> Any:
        """Train a model; the events of the run."""
        return resolve_name(f"{self.fitting}:fit")(*arguments)

    @property
    def text_settings(self) -> tuple[type[Any], ...]:
        """The classes of settings that say how what it is trained on is read."""
        return tuple(resolve_name(f"{self.texts}:TEXT_SETTINGS"))

    @property
    def open_texts(self) -> Callable[..., Any]:
        """The function that reads and encodes what is asked for, as :func:`rnnlm.training.texts.open_texts` does."""
        return resolve_name(f"{self.texts}:open_texts")

    @property
    def results(self) -> Callable[..., dict[str, dict[str, Any]]]:
        """The function that gives the figures of a trained model on its validation and test texts."""
        return resolve_name(f"{self.texts}:results")

    def codec(self, tokenizer: Any, files: dict[str, bytes]) -> Any:
        """The tokenizer of a model and, for a task, the labels that its folder's `files` hold."""
        return tokenizer if self.labels is None else resolve_name(f"{self.labels}:codec")(tokenizer, files)

    def initial_weights(self, *arguments: Any) -> Any:
        """The weights that a task's network starts from, by name; None where all are random."""
        return resolve_name(f"{self.fitting}:initial_weights")(*arguments)

    def initial_settings(self, *arguments: Any) -> list[tuple[str, str, dict[str, Any]]]:
        """The settings that a task's network has of the language models that it starts from: (option, name of the model, settings)."""
        found: list[tuple[str, str, dict[str, Any]]] = resolve_name(f"{self.fitting}:initial_settings")(*arguments)
        return found

    @property
    def array_shapes(self) -> Callable[..., Any]:
        """The function that says which arrays a stored model has."""
        return resolve_name(f"{self.loading}:array_shapes")

    @property
    def from_arrays(self) -> Callable[..., Any]:
        """The function that makes a model of its arrays."""
        return resolve_name(f"{self.loading}:from_arrays")


_FITTING_SETTINGS = tuple(f"rnnlm.neural.fitting.settings:{name}" for name in ("FittingSettings", "RunSettings"))


def _neural(name: str, about: str, settings: str) -> Kind:
    classes = (f"rnnlm.neural.settings:{settings}", *_FITTING_SETTINGS)
    return Kind(name, "neural", about, classes, "rnnlm.neural.fitting.fitting", "rnnlm.neural.language_model", holds_out=True)


KINDS = {
    kind.name: kind
    for kind in (
        _neural("rnn", "Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)", "ElmanSettings"),
        _neural("gru", "gated recurrent unit", "GruSettings"),
        _neural("ffnn", "feed-forward network over a window of words", "FeedForwardSettings"),
        _neural("jordan", "recurrent network that reads its own last output", "JordanSettings"),
        _neural("lstm", "long short-term memory", "LstmSettings"),
        _neural("qrnn", "quasi-recurrent network: convolutions, pooled over time", "QrnnSettings"),
        Kind(
            "unigram", "ngram", "smoothed word frequencies", ("rnnlm.ngram.settings:UnigramSettings",),
            "rnnlm.ngram.unigram", "rnnlm.ngram.unigram", holds_out=False,
        ),
        Kind(
            "ngram", "ngram", "n-grams with backoff: Kneser-Ney and the other classical estimators",
            ("rnnlm.ngram.settings:NgramSettings",), "rnnlm.ngram.fitting", "rnnlm.ngram.model", holds_out=False, mapped=True,
        ),
        Kind(
            "mixture", "combination", "several models as one, each with a weight", ("rnnlm.combinations.mixture:MixtureSettings",),
            None, "rnnlm.combinations.mixture", holds_out=False, made_with="rnnlm mix A B --on TEXT",
        ),
    )
}  # fmt: skip


def _of_task(task: str, name: str, about: str, settings: str) -> Kind:
    classes = tuple(f"rnnlm.tasks.{each}" for each in (f"settings:{settings}", "fitting.fitting_settings:TaskFittingSettings"))
    return Kind(
        name, "neural", about, (*classes, _FITTING_SETTINGS[1]), "rnnlm.tasks.fitting.fitting", "rnnlm.tasks.model", holds_out=True,
        task=task, texts="rnnlm.tasks.texts", labels="rnnlm.tasks.codec",
    )  # fmt: skip


def _encoder_decoder(name: str, cell: str) -> Kind:
    classes = ("settings:" + cell + "Seq2Seq", "fitting.fitting_settings:Seq2SeqFittingSettings")
    settings = (*(f"rnnlm.tasks.seq2seq.{each}" for each in classes), _FITTING_SETTINGS[1])
    return Kind(
        name, "neural", f"{ABOUT['seq2seq']}: {KINDS[name].about}", settings, "rnnlm.tasks.seq2seq.fitting.fitting",
        "rnnlm.tasks.seq2seq.model", holds_out=True, task="seq2seq", texts="rnnlm.tasks.seq2seq.texts", labels="rnnlm.tasks.seq2seq.codec",
    )  # fmt: skip


ABOUT = {"tagging": "tags words", "classification": "classifies texts", "seq2seq": "reads a line and writes another"}
_RECURRENT = {"rnn": "Elman", "gru": "Gru", "lstm": "Lstm", "qrnn": "Qrnn"}
TASK_KINDS = (
    *(
        _of_task(task, name, f"{ABOUT[task]}: {KINDS[name].about}", f"{cell}{what}")
        for task, what in (("tagging", "Tagger"), ("classification", "Classifier"))
        for name, cell in _RECURRENT.items()
    ),
    _of_task("classification", "bag", "classifies texts: the mean of their word vectors", "BagClassifier"),
    _of_task("classification", "cnn", "classifies texts: convolutions over their words", "CnnClassifier"),
    *(_encoder_decoder(name, cell) for name, cell in _RECURRENT.items()),
)


def kind_of(name: str, task: str = LANGUAGE_MODEL) -> Kind:
    """The kind of model called `name`, for a task.

    Raises:
        SettingsError: there is none of that name, or none of that task.
    """
    if task not in (LANGUAGE_MODEL, *TASKS):
        raise SettingsError(f"unknown task {task!r}", hint=nearest(str(task), TASKS))
    kinds = KINDS if task == LANGUAGE_MODEL else {kind.name: kind for kind in TASK_KINDS if kind.task == task}
    if name in kinds:
        return kinds[name]
    if name in KINDS or any(kind.name == name for kind in TASK_KINDS):
        raise SettingsError(*resolve_name("rnnlm.tasks.refusals:refusal")(task, name))
    raise SettingsError(f"unknown model {name!r}", hint=nearest(name, kinds))


def trained_kind(name: str, task: str = LANGUAGE_MODEL) -> Kind:
    """The kind of model called `name`, which is fitted to a text.

    Raises:
        SettingsError: there is none of that name, none of that task, or it is made of other models.
    """
    kind = kind_of(name, task)
    if kind.fitting is None:
        raise SettingsError(f"a model of kind {name} is not trained", "it is made of models that are", f"{kind.made_with} makes one")
    return kind


ADAPTATIONS = ("dynamic", "cache", "unigram")  # ways in which a model adapts itself to what it reads


def adapter(kind: str, given: Mapping[str, Any] | None = None) -> Callable[[Any, Path], Any]:
    """What makes a model of a folder adapt itself: see :func:`rnnlm.combinations.adaptation.adapter`."""
    return resolve_name("rnnlm.combinations.adaptation:adapter")(kind, given)


def task_function(task: str, path: str) -> Callable[..., Any]:
    """A function of the room of a task, given as "module:name", for those that do with its models what they do with language models."""
    return resolve_name(f"{_ROOMS.get(task, 'rnnlm.tasks')}.{path}")


def check_companions(folder: Path) -> list[str]:
    """The files in `folder` that are kept for adapting its model, checked: see :func:`rnnlm.combinations.companions.check`."""
    return resolve_name("rnnlm.combinations.companions:check")(folder)
