"""A task as one object: all that commands, training and model folders ask about what is learned.

Language modelling is a task like the others. A model's config.json holds the name of its task;
:func:`rnnlm.models.registry.task` returns the object. Other code asks the object, and never which
task it is.
"""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from rnnlm.config import Checked, Resolved, within
from rnnlm.errors import SettingsError, UsageError, nearest
from rnnlm.tasks.request import CountedText, Data, Texts, TrainingRequest
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.labelled.example import LabelledText
from rnnlm.text.lines import TextSettings
from rnnlm.text.pairs import ParallelText
from rnnlm.text.sources import SourceSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from rnnlm.evaluation.comparison.pairing import Comparable, Comparing, Comparison
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.metrics import Evaluation, Table
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import Device, LanguageModel, Tokenizer
    from rnnlm.models.loading import ScoringModel
    from rnnlm.models.registry import Kind, LabelModel
    from rnnlm.tasks.fixed_loss import FirstLoss
    from rnnlm.text.lines import Progress

# Data that a model is evaluated on: by their names, or as they were read.
Given = str | Path | Sequence[str | Path] | Text | EncodedText | LabelledText | ParallelText
M = TypeVar("M")  # a model of the task
D = TypeVar("D", bound=CountedText)  # data that it is trained or evaluated on, as it reads them
C = TypeVar("C")  # what encodes its data: its tokenizer and, of some tasks, the labels
K = TypeVar("K")  # the keywords of its evaluation, as a settings class


@dataclass(frozen=True)
class LineOptions(Checked):
    """How lines that a model is evaluated on are read."""

    text_settings: TextSettings | None = None


class Task(ABC, Generic[M, D, C, K]):
    """What is learned: its models in words, what each command does with them, how they are trained,
    evaluated and inspected.

    A new task must give four attributes and one method: :attr:`name`, :attr:`singular`,
    :attr:`plural`, :attr:`predicate` and :meth:`evaluate_encoded`. All else has a default: nothing
    that only some tasks have, and lines as texts, like those of language models.

    Most tasks also give: :attr:`usual_model`, if they have no kind "lstm"; :attr:`commands`, with a
    command of their own; :attr:`compared`, if `rnnlm compare` is to work; :meth:`open_texts`,
    :meth:`read` and :meth:`codec_of`, if their data are not lines of text.
    """

    # ---- What its models are called and do.

    name: ClassVar[str]  # in config.json and after --task: "tagging"
    singular: ClassVar[str]  # "m is ...": "a tagger of words"
    plural: ClassVar[str]  # "--option is for ...": "taggers"
    predicate: ClassVar[str]  # "a tagger ...": "tags words"
    examples: ClassVar[str] = "lines"  # what its data consist of
    own_command: ClassVar[str] = "eval"  # what its models are made for
    # Why its own command refuses models of other tasks: "it has learned no labels of words".
    others_lack: ClassVar[str] = ""
    # Why commands for language models refuse its models: a reason for some commands, by their
    # names, and `has_no_text` for all others.
    why_not: ClassVar[Mapping[str, str]] = {
        "generate": "writes no text",
        "prune": "has no n-grams",
        "tune": "does not adapt itself to what it reads",
    }
    has_no_text: ClassVar[str] = "gives no probabilities of text"
    # What each command does with its models; others refuse them.
    commands: ClassVar[Mapping[str, str]] = {
        "eval": "its metrics",
        "compare": "differences with intervals and p-values",
        "report": "runs with the curves of their validation metric",
        "info": "kind, size, texts, settings, metrics",
        "doctor": "files, arrays",
        "serve": "answers over HTTP",
        "count": "n-grams of its tokenizer's tokens",
    }
    # Command lines that use a model called {name}, for its card.
    usage: ClassVar[tuple[str, ...]] = ("rnnlm eval -m {name} DATA",)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
    def first_use(self) -> str:
        """The command line to type after a model called {name} was trained."""
        return self.usage[0]

    @property
    def usage_in_brief(self) -> tuple[str, ...]:
        """The command lines that `rnnlm info` shows."""
        return (*self.usage, "rnnlm compare {name} OTHER --on DATA")

    @property
    def option(self) -> str:
        """The option that asks for the task on the command line; "" where none is needed."""
        return f"--task {self.name}"

    # What some commands need of a model, and the kinds that have it:
    #
    # * "text": probabilities of a text alone;  "sources": those of a line given its source;
    # * "n-grams";  "layers": outputs of layers, and word vectors.
    kinds_with: ClassVar[Mapping[str, Sequence[str]]] = {}

    def does(self, command: str) -> bool:
        """Return whether a command does anything with its models."""
        return command in self.commands

    def has(self, kind: str, need: str) -> bool:
        """Return whether its models of a kind have what a command needs: of `kinds_with`, or of
        `looks`; "" is nothing."""
        return not need or kind in {**self.kinds_with, **self.looks}.get(need, ())

    def refusal(self, command: str, name: str | None, lack: str = "") -> UsageError:
        """Say why a command does nothing with the model called `name` (None: one in memory).

        lack: what it has not learned; "" where the command is for language models.
        """
        called = name or "this model"
        hint = f"rnnlm {self.own_command}"
        if name is not None:
            hint += f" -m {shlex.quote(name)}"
        if lack:
            return UsageError(f"{called} is {self.singular}", lack, hint)
        why = f"it is {self.singular}, and {self.why_not.get(command, self.has_no_text)}"
        if self.own_command != "eval":
            hint += ", or rnnlm eval"
        return UsageError(f"{called} is not a language model", why, hint)

    # ---- What a request to train may ask for.

    usual_model: ClassVar[str] = "lstm"
    usual_corpus: ClassVar[str] = "english"  # which is read where no text is named
    # Fields of a request that only some tasks have: those that this one has.
    request_fields: ClassVar[frozenset[str]] = frozenset()
    why_no_field: ClassVar[str] = "it learns from lines alone"
    # What to ask for instead of a field that it lacks.
    instead_of_field: ClassVar[Mapping[str, str]] = {}
    # Why kinds of models that other tasks have are not for this one, and what to ask for instead.
    why_no_kind: ClassVar[Mapping[str, str]] = {}
    instead_of_kind: ClassVar[Mapping[str, str]] = {}

    def usual_recipe(self, model: str | None, has_text: bool) -> str | None:
        """Return the recipe that is taken where none is named; None: none is."""
        return None

    def corpus_settings(self, text: Sequence[str]) -> dict[str, Any]:
        """Return the settings that a bundled corpus recommends; {} for other texts. text: as it is
        named; nothing is the usual corpus."""
        return {}

    def refusal_of_field(self, name: str, others: Sequence[str]) -> UsageError:
        """Say why nothing may be asked for in a field of a request. others: tasks that have it."""
        hint = f"leave it out; it is for `task` {' or '.join(others)}"
        hint = self.instead_of_field.get(name, hint)
        return UsageError(f"`{name}` is not for {self.name}", self.why_no_field, hint)

    def refusal_of_kind(self, model: str, kinds: Sequence[str]) -> SettingsError:
        """Say why a kind of model that other tasks have is not for this one. kinds: its own."""
        if model not in self.why_no_kind:
            what = f"unknown model {model!r} for {self.name}"
            return SettingsError(what, f"there are {', '.join(kinds)}", nearest(model, kinds))
        hint = self.instead_of_kind.get(model, f"use `model` {_alternatives(kinds)}")
        return SettingsError(
            f"`model` {model} is not for {self.name}", self.why_no_kind[model], hint
        )

    def refusal_of_setting(
        self, name: str, origin: str, others: "Sequence[AnyTask]"
    ) -> SettingsError:
        """Say why models of this task have no setting of that name. others: tasks that have it."""
        what = f"a model for {self.name} has no setting {name!r}{within(origin)}"
        return SettingsError(what, *whose_setting(others))

    # ---- The texts that it is trained on.

    # Names of settings of the network and of its training on which the data depend.
    settings_of_data: ClassVar[frozenset[str]] = frozenset()
    # Those by which examples are drawn that are held out for validation.
    settings_of_holdout: ClassVar[frozenset[str]] = frozenset()

    @property
    def text_settings(self) -> tuple[type, ...]:
        """The classes of settings by which a training text is read."""
        from rnnlm.tasks.line_texts import TEXT_SETTINGS

        return TEXT_SETTINGS

    def open_texts(
        self, request: TrainingRequest, resolved: Resolved, kind: "Kind", progress: "Progress"
    ) -> Texts:
        """Read and encode what a request asks for."""
        from rnnlm.tasks.line_texts import open_texts

        return open_texts(request, resolved, kind, progress)

    # ---- What its models begin with, and hold beside weights.

    holds_models: ClassVar[bool] = False  # whether other models may be parts of one of its models

    def initial_settings(
        self, request: TrainingRequest, kind: "Kind"
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the settings that a network has of the models that it starts from: (option, name
        of the model, settings)."""
        return []

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: Resolved, data: Data
    ) -> "dict[str, np.ndarray] | None":
        """Return the weights that a network starts from, by name; None where all are random."""
        return None

    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> C:
        """Return what encodes a model's data: its tokenizer and, of some tasks, the labels that its
        folder's `files` hold."""
        return cast(C, tokenizer)

    # ---- What its models are made of.

    def codec_of(self, model: M) -> C:
        """Return what encodes the data of a model: its tokenizer, unless the task has more."""
        return cast(C, cast("LanguageModel", model).tokenizer)

    def line_model(self, model: M) -> "LanguageModel":
        """Return what gives the probabilities of lines: a language model itself."""
        return cast("LanguageModel", model)

    def tokenizers(self, codec: C) -> "dict[str, Tokenizer]":
        """Return the tokenizers of a model by what they are called."""
        return {"tokenizer": cast("Tokenizer", codec)}

    def facts(self, codec: C) -> Iterator[tuple[str, str]]:
        """Yield what else the codec of a model holds, for its card, as (name, text)."""
        yield from ()

    def described(self, codec: C) -> dict[str, Any]:
        """Return what `rnnlm info --json` prints of the task and of the codec of a model."""
        return {"task": self.name}

    def about_kind(self, kind: "Kind") -> str:
        """Return what a kind of its models is and does, in words."""
        return f"{self.predicate}: {kind.about}"

    # ---- Evaluating. Commands and Python call `evaluate`, training calls `evaluate_trained`; both
    # reach `evaluate_encoded`, which measures.

    @property
    @abstractmethod
    def evaluation_class(self) -> "type[Evaluation]":
        """The class of the results of :meth:`evaluate`."""

    def summary_table(self, evaluations: "Mapping[str, Evaluation]") -> "Table":
        """Return what was measured of a model, in one table."""
        from rnnlm.evaluation.metrics import summary_table

        return summary_table(evaluations)

    # The keywords of `model.evaluate`, and those of `rnnlm.compare` where they differ.
    options: ClassVar[type] = LineOptions
    options_of_comparison: ClassVar[type | None] = None
    # The settings by which its data are read.
    reading: ClassVar[tuple[type, ...]] = (TextSettings, SourceSettings)
    # Further options of `rnnlm eval` and `rnnlm compare`: "confusions", ...
    offers: ClassVar[frozenset[str]] = frozenset()
    # The settings of comparisons that have an effect.
    compares_by: ClassVar[frozenset[str]] = frozenset({"resamples", "seed"})
    example_file: ClassVar[str] = "test.txt"  # that data could be in

    @property
    def compared(self) -> tuple[str, ...]:
        """The metrics by which models compare, which are counted line by line."""
        return ()

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
        from rnnlm.models import loading

        named = cast("ScoringModel", model)
        if data is None:
            data = self._bundled_corpus_of(named)
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

    def comparing(
        self, data: Given | D, options: K | None, settings: "ComparisonSettings"
    ) -> "Comparing[Any, Any, Any]":
        """Return what compares models on these data."""
        from rnnlm.tasks.comparison import ComparingByTask

        return ComparingByTask(self, data, options)

    def comparable_stored(self, models: "Sequence[StoredModel]") -> "Comparable":
        """Return which of the metrics compare that were stored when models were trained; raise
        ComparisonError if none does."""
        from rnnlm.evaluation.comparison.pairing import Comparable

        return Comparable(self.compared, "")

    def check_alike(self, models: Mapping[str, M]) -> None:
        """Raise ComparisonError unless models, by their names, have learned the same."""

    def read(self, model: M, data: Given | D, options: K | None = None, called: str = "") -> D:
        """Return data, as they are named or opened, as a model reads them. called: the model, in
        notices, where there are several."""
        from rnnlm.evaluation.perplexity import as_text

        if isinstance(data, EncodedText):
            return cast(D, data)
        text = as_text(cast("Text", data), getattr(options, "text_settings", None))
        return cast(D, text.encode(cast("LanguageModel", model).tokenizer))

    def _bundled_corpus_of(self, model: "ScoringModel | str | Path") -> str:
        """Return the name of the bundled corpus that a model, itself or by its name, was trained
        on."""
        import rnnlm.corpora as corpora
        from rnnlm.models import loading
        from rnnlm.models.manifest import read_manifest

        folder = loading.name_if_saved(model)
        trained_on = None
        if folder is not None:
            trained_on = read_manifest(loading.find(folder)).training.get("text")
        for name in corpora.names():
            if trained_on in ([name], [corpora.named(name)]):
                return name
        hint = f"name a file: evaluate(model, {self.example_file!r})"
        raise UsageError("no data to evaluate on", hint=hint)

    @abstractmethod
    def evaluate_encoded(self, model: M, data: D, options: K | None = None) -> "Evaluation":
        """Evaluate a loaded model on data that :meth:`read` has encoded for it."""

    def evaluate_trained(
        self, model: M, data: D, has_intervals: bool, name: str, progress: "Progress"
    ) -> "Evaluation":
        """Evaluate a model at the end of its training. has_intervals: add 95 % intervals of its
        main metrics. name: what the data are called in the progress."""
        from rnnlm.evaluation.metrics import with_intervals

        progress(f"{name}: evaluating {data.sentences:,} lines")
        found = self.evaluate_encoded(model, data)
        return with_intervals(found) if has_intervals else found

    def stored_evaluations(
        self, results: Mapping[str, Mapping[str, Any]]
    ) -> "dict[str, Evaluation]":
        """Read the results that a manifest holds, by the names of their texts."""
        return {name: self.evaluation_class.from_dict(stored) for name, stored in results.items()}

    def checks(self, model: M, sample: int | None, seed: int) -> "Iterator[Check]":
        """Yield what `rnnlm doctor` finds of a model whose arrays are whole. sample: how many
        examples are made up."""
        yield from ()

    # ---- Looking at its networks.

    # The kinds of its models that each look of `rnnlm inspect` applies to.
    looks: ClassVar[Mapping[str, Sequence[str]]] = {}
    # Whether the exponential of the loss in training is a perplexity.
    loss_is_of_text: ClassVar[bool] = False

    def usual_test(self, model: M) -> str | Path:
        """Return the data that a model is looked at with where none are named."""
        return self._bundled_corpus_of(cast("LabelModel", model))

    def new_network(self, model: M) -> "nn.Module":
        """Return a network of a model's settings, with random weights."""
        raise NotImplementedError(self.singular)

    def loss_of_first(self, model: M, network: "nn.Module", data: D, tokens: int) -> "FirstLoss":
        """Return a function that computes the mean loss of the first examples, which have `tokens`
        tokens or more, and the number of targets of this mean. network: like the model's."""
        raise NotImplementedError(self.singular)


RECURRENT = ("rnn", "gru", "lstm", "qrnn")
_OF_WORD_VECTORS = ("neighbours",)


def looks_at_networks(
    with_vectors: Sequence[str], recurrent: Sequence[str] = RECURRENT
) -> dict[str, Sequence[str]]:
    """Return the looks that apply to networks of any task. with_vectors: the kinds that have word
    vectors; recurrent: those that have gates or hidden states."""
    return {
        # A QRNN has no matrix from state to state, so there are no eigenvalues to look at.
        "spectrum": [name for name in recurrent if name != "qrnn"],
        "gates": recurrent,
        **dict.fromkeys((*_OF_WORD_VECTORS, "gradcheck"), with_vectors),
    }


AnyTask: TypeAlias = Task[Any, Any, Any, Any]


def whose_setting(tasks: "Sequence[AnyTask]") -> tuple[str, str]:
    """Say that a setting belongs to models for these tasks, and what to ask for to have it."""
    asked_for = [each for each in tasks if each.option]
    if not asked_for:
        return "it belongs to language models", "leave it out"
    names = " and ".join(each.name for each in asked_for)
    return f"it belongs to models for {names}", f'add `task="{asked_for[0].name}"`'


def _alternatives(names: Sequence[str]) -> str:
    """Return the names as "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
