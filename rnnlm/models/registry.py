"""Every kind of model by name: where its settings, its fitting and its loading live. Nothing is
imported before use."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol

from rnnlm.errors import ComparisonError, SettingsError, UsageError, nearest
from rnnlm.system import current_rank

if TYPE_CHECKING:
    from rnnlm.evaluation.metrics import Evaluation, Table

LANGUAGE_MODEL = "language-model"
# what networks are trained for, beside language models
TASKS = ("tagging", "classification", "seq2seq")
_ROOMS = {"seq2seq": "rnnlm.tasks.seq2seq"}  # of tasks that have one of their own


@dataclass(frozen=True)
class Kind:
    """One kind of model for one task. `settings` and the functions are given as "module:name" and
    imported when asked for."""

    name: str
    family: str
    about: str
    settings: tuple[str, ...]
    # module with check(resolved, has_valid) and fit(resolved, data, stop, initial); None: see
    # made_with
    fitting: str | None
    loading: str  # module with array_shapes(settings, tokenizer, stored) and from_arrays(...)
    holds_out: bool  # without validation text, part of the training text is held out
    # gradients change its weights step by step: a run can be stopped in order, resumed and timed
    trains_in_steps: bool = False
    mapped: bool = False  # its arrays stay in the file, mapped into memory
    # what makes a kind that is not fitted to a text, but made of models that were
    made_with: str = "rnnlm train"
    task: str = LANGUAGE_MODEL
    # module with open_texts, which reads what it is trained on, and measure, which evaluates it
    texts: str = "rnnlm.training.texts"
    # the class of what is measured of it
    evaluation: str = "rnnlm.evaluation.perplexity:TextEvaluation"
    # module with codec(tokenizer, files), which adds what a model writes to the tokenizer of what
    # it reads
    labels: str | None = None
    cell: str | None = None  # settings of the cells of recurrent layers

    @property
    def is_counted(self) -> bool:
        """Whether it is made of counts, which are not learned step by step."""
        return self.family == "ngram"

    @property
    def takes_parts(self) -> bool:
        """Whether `from_arrays` takes the models that one of it is made of."""
        return self.family == "combination" or self.labels is not None

    @property
    def has_ngrams(self) -> bool:
        """Whether it holds n-grams of several orders, which can be left out one by one."""
        return self.name == "ngram"

    def settings_classes(self) -> tuple[type[Any], ...]:
        """The classes of its settings: of the model, then of its training."""
        return (*self.model_settings(), *map(resolve_name, self.settings[1:]))

    def model_settings(self) -> tuple[type[Any], ...]:
        """The classes of the settings of the model itself."""
        own = (self.settings[0], self.cell) if self.cell else self.settings[:1]
        return tuple(map(resolve_name, own))

    def check(self, resolved: Any, has_valid: bool) -> None:
        """Whether these settings can be trained here: the device, the precision, validation text
        where it is needed.

        Raises:
            UsageError: a kind that is counted was to be so by several processes.
        """
        if not self.trains_in_steps and current_rank().count > 1:
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
    def all_settings(self) -> tuple[type[Any], ...]:
        """The classes of all settings of a run: of the model, its training and its data."""
        return (*self.settings_classes(), *self.text_settings)

    @property
    def open_texts(self) -> Callable[..., Any]:
        """The function that reads and encodes what is asked for, as
        :func:`rnnlm.training.texts.open_texts` does."""
        return resolve_name(f"{self.texts}:open_texts")

    @property
    def measure(self) -> "Callable[..., Evaluation]":
        """The function that evaluates a trained model on an encoded text, as
        :func:`rnnlm.training.texts.measure` does."""
        return resolve_name(f"{self.texts}:measure")

    def evaluations(self, results: Mapping[str, Mapping[str, Any]]) -> "dict[str, Evaluation]":
        """Read the results that a manifest holds, by the names of their texts."""
        cls: type[Evaluation] = resolve_name(self.evaluation)
        return {name: cls.from_dict(stored) for name, stored in results.items()}

    def codec(self, tokenizer: Any, files: dict[str, bytes]) -> Any:
        """The tokenizer of a model and, for a task, the labels that its folder's `files` hold."""
        return (
            tokenizer
            if self.labels is None
            else resolve_name(f"{self.labels}:codec")(tokenizer, files)
        )

    def initial_weights(self, *arguments: Any) -> Any:
        """The weights that a task's network starts from, by name; None where all are random."""
        return resolve_name(f"{self.fitting}:initial_weights")(*arguments)

    def initial_settings(self, *arguments: Any) -> list[tuple[str, str, dict[str, Any]]]:
        """The settings that a task's network has of the language models that it starts from:
        (option, name of the model, settings)."""
        found: list[tuple[str, str, dict[str, Any]]] = resolve_name(
            f"{self.fitting}:initial_settings"
        )(*arguments)
        return found

    @property
    def array_shapes(self) -> Callable[..., Any]:
        """The function that says which arrays a stored model has."""
        return resolve_name(f"{self.loading}:array_shapes")

    @property
    def from_arrays(self) -> Callable[..., Any]:
        """The function that makes a model of its arrays."""
        return resolve_name(f"{self.loading}:from_arrays")


_FITTING_SETTINGS = tuple(
    f"rnnlm.neural.fitting.settings:{name}" for name in ("FittingSettings", "RunSettings")
)


_CELLS = {
    name: f"rnnlm.neural.settings:{cell}"
    for name, cell in (
        ("rnn", "ElmanCell"),
        ("gru", "GruCell"),
        ("lstm", "LstmCell"),
        ("qrnn", "QrnnCell"),
    )
}


def _neural(name: str, about: str, settings: str = "RecurrentModelSettings") -> Kind:
    classes = (f"rnnlm.neural.settings:{settings}", *_FITTING_SETTINGS)
    return Kind(
        name,
        "neural",
        about,
        classes,
        "rnnlm.neural.fitting.fitting",
        "rnnlm.neural.language_model",
        holds_out=True,
        trains_in_steps=True,
        cell=_CELLS.get(name),
    )


KINDS = {
    kind.name: kind
    for kind in (
        _neural("rnn", "Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)"),
        _neural("gru", "gated recurrent unit"),
        _neural("ffnn", "feed-forward network over a window of words", "FeedForwardSettings"),
        _neural("jordan", "recurrent network that reads its own last output", "JordanSettings"),
        _neural("lstm", "long short-term memory"),
        _neural("qrnn", "quasi-recurrent network: convolutions, pooled over time"),
        Kind(
            "unigram", "ngram", "smoothed word frequencies",
            ("rnnlm.ngram.settings:UnigramSettings",),
            "rnnlm.ngram.unigram", "rnnlm.ngram.unigram", holds_out=False,
        ),
        Kind(
            "ngram", "ngram", "n-grams with backoff: Kneser-Ney and the other classical estimators",
            ("rnnlm.ngram.settings:NgramSettings",), "rnnlm.ngram.fitting", "rnnlm.ngram.model",
            holds_out=False, mapped=True,
        ),
        Kind(
            "mixture", "combination", "several models as one, each with a weight",
            ("rnnlm.combinations.mixture:MixtureSettings",),
            None, "rnnlm.combinations.mixture", holds_out=False,
            made_with="rnnlm mix A B --on TEXT",
        ),
    )
}  # fmt: skip


def _of_task(task: str, name: str, about: str, settings: str) -> Kind:
    classes = tuple(
        f"rnnlm.tasks.labels.settings:{each}" for each in (settings, "TaskFittingSettings")
    )
    return Kind(
        name, "neural", about, (*classes, _FITTING_SETTINGS[1]), "rnnlm.tasks.labels.fitting",
        "rnnlm.tasks.labels.model", holds_out=True, trains_in_steps=True,
        task=task, texts="rnnlm.tasks.labels.texts", labels="rnnlm.tasks.labels.data",
        evaluation="rnnlm.evaluation.label_evaluation:LabelEvaluation",
        cell=_CELLS.get(name),
    )  # fmt: skip


def _encoder_decoder(name: str) -> Kind:
    classes = ("Seq2SeqSettings", "Seq2SeqFittingSettings")
    settings = (*(f"rnnlm.tasks.seq2seq.settings:{each}" for each in classes), _FITTING_SETTINGS[1])
    return Kind(
        name, "neural", f"{ABOUT['seq2seq']}: {KINDS[name].about}", settings,
        "rnnlm.tasks.seq2seq.fitting",
        "rnnlm.tasks.seq2seq.model", holds_out=True, trains_in_steps=True, task="seq2seq",
        texts="rnnlm.tasks.seq2seq.texts", labels="rnnlm.tasks.seq2seq.data",
        evaluation="rnnlm.evaluation.pair_evaluation:PairEvaluation",
        cell=_CELLS[name],
    )  # fmt: skip


ABOUT = {
    "tagging": "tags words",
    "classification": "classifies texts",
    "seq2seq": "reads a line and writes another",
}
_SETTINGS = {"tagging": "TaggingSettings", "classification": "RecurrentClassifier"}
TASK_KINDS = (
    *(
        _of_task(task, name, f"{ABOUT[task]}: {KINDS[name].about}", settings)
        for task, settings in _SETTINGS.items()
        for name in _CELLS
    ),
    _of_task(
        "classification", "bag", "classifies texts: the mean of their word vectors", "BagClassifier"
    ),
    _of_task(
        "classification", "cnn", "classifies texts: convolutions over their words", "CnnClassifier"
    ),
    *map(_encoder_decoder, _CELLS),
)


def kind_of(name: str, task: str = LANGUAGE_MODEL) -> Kind:
    """The kind of model called `name`, for a task."""
    if task not in (LANGUAGE_MODEL, *TASKS):
        raise SettingsError(f"unknown task {task!r}", hint=nearest(str(task), TASKS))
    kinds = (
        KINDS
        if task == LANGUAGE_MODEL
        else {kind.name: kind for kind in TASK_KINDS if kind.task == task}
    )
    if name in kinds:
        return kinds[name]
    if name in KINDS or any(kind.name == name for kind in TASK_KINDS):
        raise SettingsError(*resolve_name("rnnlm.tasks.refusals:refusal")(task, name))
    raise SettingsError(f"unknown model {name!r}", hint=nearest(name, kinds))


def trained_kind(name: str, task: str = LANGUAGE_MODEL) -> Kind:
    """The kind of model called `name`, which is fitted to a text."""
    kind = kind_of(name, task)
    if kind.fitting is None:
        raise SettingsError(
            f"a model of kind {name} is not trained",
            "it is made of models that are",
            f"{kind.made_with} makes one",
        )
    return kind


# ways in which a model adapts itself to what it reads
ADAPTATIONS = ("dynamic", "cache", "unigram")


def adapter(kind: str, given: Mapping[str, Any] | None = None) -> Callable[[Any, Path], Any]:
    """What makes a model of a folder adapt itself: see
    :func:`rnnlm.combinations.adaptation.adapter`."""
    return resolve_name("rnnlm.combinations.adaptation:adapter")(kind, given)


def task_function(task: str, path: str) -> Callable[..., Any]:
    """A function of the room of a task, given as "module:name", for those that do with its models
    what they do with language models."""
    return resolve_name(f"{_ROOMS.get(task, 'rnnlm.tasks.labels')}.{path}")


def summary_table(evaluations: "Mapping[str, Evaluation]") -> "Table":
    """What was measured of a model, in one table: see
    :func:`rnnlm.evaluation.metrics.summary_table`."""
    found: Table = resolve_name("rnnlm.evaluation.metrics:summary_table")(evaluations)
    return found


def check_companions(folder: Path) -> list[str]:
    """The files in `folder` that are kept for adapting its model, checked: see
    :func:`rnnlm.combinations.companions.check`."""
    return resolve_name("rnnlm.combinations.companions:check")(folder)


# ---- What each command does with the models of each task, and why it does nothing with others.


class LabelModel(Protocol):
    """A model of another task than language modelling, which labels words or texts, or writes a
    line for each that it reads."""

    @property
    def task(self) -> str:
        """What it was trained for: "tagging", "classification" or "seq2seq"."""

    @property
    def fingerprint(self) -> str | None:
        """Of weights and codec, once saved."""


TAGGING, CLASSIFICATION, SEQ2SEQ = "tagging", "classification", "seq2seq"
ANY = (LANGUAGE_MODEL, TAGGING, CLASSIFICATION, SEQ2SEQ)
_LABELS = "accuracy, F1 of spans and by type, error rates of sounds, confusions"
_CLASSES = "accuracy, macro F1 and by label, calibration error, confusions"

# command -> task -> what it does with models of that task; tasks that are not named are refused
USES: Mapping[str, Mapping[str, str]] = {
    "eval": {
        LANGUAGE_MODEL: "perplexity, bits per character",
        TAGGING: _LABELS,
        CLASSIFICATION: _CLASSES,
        SEQ2SEQ: "perplexity, BLEU, chrF, exact match, error rates, by length",
    },
    "tag": {TAGGING: "labels of words"},
    "classify": {CLASSIFICATION: "labels of texts"},
    "translate": {SEQ2SEQ: "what it writes, n best, attention"},
    "score": {
        LANGUAGE_MODEL: "log-probabilities, surprisals",
        SEQ2SEQ: "log-probabilities of targets",
    },
    "generate": {LANGUAGE_MODEL: "text"},
    "embed": {
        LANGUAGE_MODEL: "vectors of lines and words, of networks",
        TAGGING: "vectors of lines and words",
        CLASSIFICATION: "vectors of texts and words",
        SEQ2SEQ: "vectors of sources and their words",
    },
    "rescore": {
        LANGUAGE_MODEL: "n-best lists in a new order",
        SEQ2SEQ: "n-best lists of translations",
    },
    "compare": dict.fromkeys(ANY, "differences with intervals and p-values"),
    "plot": {
        LANGUAGE_MODEL: "curves of perplexity",
        TAGGING: "curves of the validation figure",
        CLASSIFICATION: "curves of the validation figure",
        SEQ2SEQ: "curves of the validation figure",
    },
    "info": dict.fromkeys(ANY, "kind, size, texts, settings, figures")
    | {
        TAGGING: "kind, size, labels, texts, settings, figures",
        CLASSIFICATION: "kind, size, labels, texts, settings, figures",
        SEQ2SEQ: "kind, size, both tokenizers, texts, settings, figures",
    },
    "doctor": {
        LANGUAGE_MODEL: "files, arrays, sums of probabilities",
        TAGGING: "files, arrays, sums of probabilities, padding",
        CLASSIFICATION: "files, arrays, sums of probabilities, padding",
        SEQ2SEQ: "files, arrays, sums of probabilities, padding, greedy search",
    },
    "export": {LANGUAGE_MODEL: "ARPA file of n-grams, compact form and word vectors of networks"}
    | dict.fromkeys((TAGGING, CLASSIFICATION, SEQ2SEQ), "compact form, word vectors"),
    "inspect": {
        LANGUAGE_MODEL: (
            "gradients, spectrum, gates, memory, cloze, word vectors, probes, a check of gradients"
        ),
        TAGGING: "spectrum, gates, word vectors, probes, a check of gradients",
        CLASSIFICATION: "spectrum, gates, word vectors, a check of gradients",
        SEQ2SEQ: "spectrum, gates, word vectors, a check of gradients",
    },
    "mix": {LANGUAGE_MODEL: "one model of several"},
    "tune": {LANGUAGE_MODEL: "settings of adaptation"},
    "prune": {LANGUAGE_MODEL: "a smaller n-gram model"},
    "bench": {LANGUAGE_MODEL: "speed", SEQ2SEQ: "speed of translating"},
    "count": dict.fromkeys(ANY, "n-grams of its tokenizer's tokens"),
}
WHAT = {LANGUAGE_MODEL: "a language model", TAGGING: "a tagger of words",
        CLASSIFICATION: "a classifier of texts",
        SEQ2SEQ: "an encoder-decoder"}  # fmt: skip
INSTEAD = {  # what is done with a model of each task
    LANGUAGE_MODEL: "score", TAGGING: "tag", CLASSIFICATION: "classify", SEQ2SEQ: "translate",
}  # fmt: skip
_LEARNED = {  # what a model has not learned that a command needs
    "tag": "it has learned no labels of words",
    "classify": "it has learned no labels of whole texts",
    "translate": "it has not learned to write a line for another",
}  # fmt: skip
_NO_TEXT = "gives no probabilities of text"
_ONLY_GIVEN = "gives probabilities of a text only for a source that it reads"
_WHY = {  # what a model of another task does not do that a command for language models needs
    "generate": "writes labels, not text",
    "prune": "has no n-grams",
    "tune": "does not adapt itself to what it reads",
}


def check_use(command: str, task: str, name: str | None) -> None:
    """Refuse a command that does nothing with the models of a task. name: what the model is called;
    None of one in memory."""
    if command in USES and task not in USES[command]:
        raise refusal(command, task, name)


def check_is_language_model(task: str, name: str | None) -> None:
    """Refuse what is no language model. name: what it is called; None of one in memory."""
    if task != LANGUAGE_MODEL:
        raise refusal("mix", task, name)


def refusal(command: str, task: str, name: str | None) -> UsageError:
    """Why a command does nothing with the model called `name`, which is of another task than it
    needs, and which one does."""
    called, hint = (
        name or "this model",
        f"rnnlm {INSTEAD[task]}" + ("" if name is None else f" -m {shlex.quote(name)}"),
    )
    if command in _LEARNED:
        return UsageError(f"{called} is {WHAT[task]}", _LEARNED[command], hint)
    reason = _WHY.get(command, _NO_TEXT)
    if task == SEQ2SEQ and command not in ("prune", "tune"):
        reason = _ONLY_GIVEN
    why = f"it is {WHAT[task]}, and {reason}"
    return UsageError(f"{called} is not a language model", why, f"{hint}, or rnnlm eval")


def check_same_task(tasks: Mapping[str, str]) -> None:
    """Refuse models of several tasks. tasks: of each model, by its name."""
    if len(set(tasks.values())) > 1:
        why = ", ".join(f"{name} is {WHAT[task]}" for name, task in tasks.items())
        raise ComparisonError(
            "models of different tasks do not compare", why, "name models of one task"
        )
