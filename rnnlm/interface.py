"""The contracts of the library: the promises of a tokenizer, a language model and its state.

Shapes are suffixes: B rows, T time, V vocabulary, H hidden. Log-probabilities are natural
logarithms. One boundary symbol `</s>` ends each line and is the first input of every text; input t
is the target of t-1. A target of -1 is padding and scores 0.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, cast, runtime_checkable

from rnnlm.errors import ArgumentTypeError, given

if TYPE_CHECKING:  # modules that settings import must not wait for it
    import numpy as np

    from rnnlm.config import ResolvedSettings

Array = Any  # numpy.ndarray or torch.Tensor: a model's own array type (see rnnlm.arrays)
Shapes = dict[str, tuple[str, tuple[int, ...]]]  # of arrays by name: safetensors type, shape

C = TypeVar("C", bound=type)
M = TypeVar("M")
if TYPE_CHECKING:  # so that `LanguageModel` alone is a complete type, which Python 3.13 can say
    from typing_extensions import TypeVar as TypeVarWithDefault

    S = TypeVarWithDefault("S", bound="State", default=Any)
else:
    S = TypeVar("S", bound="State")
PADDING = -1
BOUNDARY = "</s>"
SENTENCE_START = "<s>"  # a context, never predicted
UNKNOWN = "<unk>"


def keeps(*protocols: type) -> Callable[[C], C]:
    """Decorate a class: copy missing docstrings of its methods and properties from `protocols`."""

    def documented(cls: C) -> C:
        for name, part in vars(cls).items():
            # Attributes that are plain values have no docstring.
            can_be_documented = callable(part) or isinstance(part, property)
            if can_be_documented and not part.__doc__:
                text = first_docstring(name)
                if text:
                    part.__doc__ = text
        return cls

    def first_docstring(name: str) -> str | None:
        for protocol in protocols:
            text = inspect.getdoc(getattr(protocol, name)) if hasattr(protocol, name) else None
            if text:
                return text
        return None

    return documented


@dataclass(frozen=True)
class Encoded:
    """Lines as token ids; each line ends in the boundary id.

    Attributes:
        ids: Token ids of all lines, (N,) int32.
        offsets: Where lines begin, (lines + 1,) int64: line i is `ids[offsets[i]:offsets[i + 1]]`.
        oov: Positions in `ids` of unknown tokens, (K,) int64, ascending; a literal `<unk>` is not
            unknown. `ids` has unk_id there, or, from a tokenizer that spells, an id from V on.
        unseen: Hashes of the different unknown words, (W,) int64, the same in one process. None if
            tokens are not words.
        unknown_words: Returns the tokens at `oov` as the lines spell them. None if the tokenizer
            would have to split the lines again.
    """

    ids: "np.ndarray"
    offsets: "np.ndarray"
    oov: "np.ndarray"
    unseen: "np.ndarray | None" = None
    unknown_words: "Callable[[], list[str]] | None" = None


@runtime_checkable
class Tokenizer(Protocol):
    """Convert text to ids and back. The functions of :mod:`rnnlm.text.tokenizers` load and train
    tokenizers."""

    @property
    def name(self) -> str:
        """Its kind, such as "word", "char" or "sentencepiece"."""

    @property
    def size(self) -> int:
        """V, the number of tokens that a model predicts, the boundary included."""

    @property
    def input_size(self) -> int:
        """The number of ids that a model may read: V, plus the unseen words that a spelling
        tokenizer has met so far."""

    @property
    def spells(self) -> bool:
        """Whether unseen words get ids from V on, as they are read, and are spelled as inputs; as
        targets they are unk_id."""

    @property
    def boundary_id(self) -> int:
        """The id of `</s>`, which ends each line and is the first input of every text."""

    @property
    def unk_id(self) -> int | None:
        """The id of `<unk>`; None if nothing is unknown to it."""

    @property
    def counts_V(self) -> "np.ndarray | None":
        """How often each token occurred in the training text, (V,) int64; None if unknown."""

    @property
    def starts_word_V(self) -> "np.ndarray":
        """Whether a new word begins with each token, (V,) bool."""

    @property
    def keeps_text(self) -> bool:
        """Whether `decode` restores the text, up to white space between words: the text is not
        changed before it is split into tokens."""

    @property
    def keeps_case(self) -> bool:
        """Whether upper and lower case are distinguished."""

    @property
    def literal_unk(self) -> str:
        """The meaning of `<unk>` in a text: "symbol", the unknown symbol; "spell", ordinary
        text."""

    @property
    def fingerprint(self) -> str:
        """Hash of symbols and settings, not of counts: tokenizers with the same fingerprint give
        the same ids, in the same order."""

    @property
    def seen_text(self) -> tuple[str, bytes]:
        """The symbols that occur in the training text, one per line, and the single bytes among
        them."""

    @property
    def rewriting(self) -> str:
        """The changes that it makes to a line besides its case, as a signature names them:
        "normalise=quotes"; "" if it makes none."""

    def normalise(self, lines: Sequence[str]) -> Sequence[str]:
        """Return the lines as they are read, except for case: unchanged if `rewriting` is empty.

        Normalising twice gives the same as normalising once.

        Args:
            lines: The lines, without newlines.
        """

    def normalise_with_offsets(self, line: str) -> "tuple[str, np.ndarray, np.ndarray]":
        """Normalise a line, and return the span of the line that each character comes from.

        Args:
            line: The line, without its newline.

        Returns:
            The N characters of the normalised line, and the start and the end of their spans in
            `line`, two arrays (N,).
        """

    def encode(self, lines: Sequence[str]) -> Encoded:
        """Convert lines to ids. Each line is followed by the boundary id.

        Args:
            lines: The lines, without newlines.

        Returns:
            The ids of all lines, (N,) int32, with the offset of each line.

        Raises:
            ArgumentTypeError: `lines` is a single str, or one of them is not a str.
            TextError: A line holds a newline.
        """

    def decode(self, ids: "Sequence[int] | np.ndarray") -> str:
        """Convert ids to text.

        Args:
            ids: Token ids in the order of reading, (N,). A boundary becomes a newline; a boundary
                at the end is dropped.

        Returns:
            The text.

        Raises:
            ArgumentTypeError: `ids` are not whole numbers in one dimension.
        """

    def surface(self, line: str) -> list[str]:
        """Return how each token of `encode([line])` is written in the line itself, including
        unknown ones; `</s>` is the last.

        Args:
            line: The line, without its newline.
        """

    def surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        """Return :meth:`surface` of many lines, faster than one by one.

        Args:
            lines: The lines, without newlines.
        """

    def symbols(self) -> list[str]:
        """Return the form of each of the V tokens that people are shown."""

    def token_bytes(self) -> list[bytes]:
        """Return the bytes that each of the V tokens adds to a text, in UTF-8. White space before a
        word belongs to the word; the boundary is a newline."""

    def spellings(self, start: int = 0) -> list[str]:
        """Return the text of ids up to `input_size`, for a model that reads characters.

        Args:
            start: The first id.
        """

    def spelling(self) -> "Tokenizer":
        """Return this tokenizer in the form for a model that reads characters: the same ids, files
        and fingerprint, but it `spells`.

        Raises:
            SettingsError: Its tokens are not made of characters.
        """

    def to_files(self) -> dict[str, bytes]:
        """Return the content of its files in the model folder, by name."""

    def to_settings(self) -> dict[str, Any]:
        """Return its settings in JSON types; together with the files they restore the tokenizer."""


class State(Protocol):
    """A model's memory of the text so far, for B rows.

    It is a value: using it twice gives the same answer. `select` and `concat_states` of a model may
    pad or trim the memory of rows to a common length (a decoder's encoded source, a cache); that
    changes no score.
    """

    def select(self, rows: "Sequence[int] | np.ndarray") -> Self:
        """Return the state of some rows.

        Args:
            rows: Numbers of the rows, from 0, in the order of the result; a number may occur
                several times.
        """

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """Return its arrays by name, in the form that `state_from_arrays` of the model takes. Rows
        are the first axis; in the states of networks, the second."""


class Device(Protocol):
    """A torch.device, which may be given instead of its name."""

    @property
    def type(self) -> str:
        """The kind of device: cpu, cuda or mps."""

    @property
    def index(self) -> int | None:
        """The number of the device, where it is named."""


class LanguageModel(Protocol[S]):
    """A distribution over the next token given the tokens so far. The state depends only on inputs;
    each model has its own kind of state.

    Token ids are NumPy arrays of any integer type; networks also take torch tensors. Results have
    the model's own array type, on its own device: NumPy for n-gram models, torch for networks. A
    mixture returns NumPy arrays if all its parts do, else torch tensors on the network's device; an
    adaptive model returns the type of the model that it adapts. `rnnlm.as_numpy` converts any of
    them to NumPy.

    A model may offer more, which is used if present. Optional attributes are `task`, `model_kind`,
    `origin` (see :mod:`rnnlm.lm.base.loading`) and `description`, which messages show; `window`,
    the largest number of tokens that it reads at once, and `rereads`: continuing from a state costs
    as much as reading all tokens of the state again. Optional methods are `incremental`,
    `check_tables`, `contexts` and `longest_matches` (n-gram models), `layer_reader` and
    `word_vectors` (networks), those of a :class:`ConditionalLanguageModel`, and `stepping`, which
    returns the same model for one caller that reads token by token.

    Attributes:
        fingerprint: Hash of weights and tokenizer; None for a model that was never saved.
    """

    fingerprint: str | None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids the model reads and predicts."""

    @property
    def normalised(self) -> bool:
        """Whether the probabilities of all next tokens sum to 1."""

    @property
    def max_rows(self) -> int | None:
        """The largest number of rows that it reads at once; None for any number."""

    @property
    def call_tokens(self) -> int:
        """The best number of tokens to score in one call, over all rows."""

    @property
    def boundary_resets_state(self) -> bool:
        """Whether the model forgets all earlier input when it reads the boundary."""

    @property
    def precision(self) -> str:
        """The precision of the scores, which is "fp32", "bf16" or "fp64"."""

    @property
    def adaptation(self) -> str:
        """The kind of adaptation to the text read, as in signatures, or "none"."""

    def initial_state(self, rows: int) -> S:
        """Return the state of texts before any input. Their first input is the boundary.

        Args:
            rows: Number of texts, B.
        """

    def score(self, inputs_BT: Array, targets_BT: Array, state: S) -> tuple[Array, S]:
        """Score each target given the inputs up to its place.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            targets_BT: Token ids to score, (B, T); -1 is padding and scores 0.
            state: State before the first input.

        Returns:
            Log-probabilities of the targets in nats, (B, T), in an array of the model's type on its
            device (see the class), and the state after the last input.

        Raises:
            ArgumentTypeError: Ids are not whole numbers of shape (B, T), or the state is another
                model's.
        """

    def predict(self, inputs_BT: Array, state: S) -> tuple[Array, S]:
        """Predict every next token after each input.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            state: State before the first input.

        Returns:
            Log-probabilities of all V tokens in nats, (B, T, V), in an array of the model's type on
            its device (see the class), and the state after the last input. The array has B * T * V
            numbers: the caller bounds T.

        Raises:
            ArgumentTypeError: Ids are not whole numbers of shape (B, T), or the state is another
                model's.
        """

    def concat_states(self, states: Sequence[S]) -> S:
        """Concatenate states: the rows of the first, then the rows of the second, and so on.

        Args:
            states: The states, with B1, B2, ... rows.

        Returns:
            The state of B1 + B2 + ... rows.
        """

    def state_from_arrays(self, arrays: "dict[str, np.ndarray]") -> S:
        """Restore a state from its arrays.

        Args:
            arrays: The result of the state's `to_arrays()`.
        """

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """Return the weights, by name, as the model folder stores them."""


@runtime_checkable
class HiddenStateModel(LanguageModel[S], Protocol[S]):
    """A language model with hidden states, torch tensors, which caches and probes need."""

    @property
    def hidden_size(self) -> int:
        """H, the width of `hidden`."""

    @property
    def device(self) -> Any:
        """The torch.device that its numbers are on."""

    def hidden(self, inputs_BT: Array, state: S) -> tuple[Array, S]:
        """Return the vectors that the output layer multiplies, shape (B, T, H), H their width; and
        the state."""

    def score_hidden(self, hidden_BTH: Array, targets_BT: Array) -> Array:
        """Return the result of `score` if `hidden` gave these vectors: log-probabilities (nats),
        (B, T)."""

    def predict_hidden(self, hidden_BTH: Array) -> Array:
        """Return the result of `predict` if `hidden` gave these vectors: log-probabilities (nats),
        (B, T, V)."""

    def exact_products(self) -> AbstractContextManager[None]:
        """Compute products of hidden states in IEEE fp32 in this context, and keep no gradients."""


class ConditionalLanguageModel(LanguageModel[S], Protocol[S]):
    """A language model that begins each line in the state of its condition, which only the model
    understands. The conditions of sentences are in their `source`."""

    @property
    def condition_tokenizer(self) -> Tokenizer:
        """The tokenizer of conditions."""

    def states(self, conditions: Sequence[Any]) -> S:
        """Return the states in which lines of these conditions begin, a row for each."""

    def conditions(self, count: int, **named: Any) -> Any:
        """Return the conditions of `count` texts from the keywords of
        :meth:`rnnlm.Model.score_sentences`: one for all, or one for each."""

    def check_conditions(
        self, sentences: Sequence[Any], reasons: list[str | None], nulls: bool
    ) -> list[str | None]:
        """Return why each sentence has no score: its reason, or that of its condition. Refuse
        those without a condition, and where there are to be no `nulls`, what cannot be read."""

    def check_context(self, context: str) -> None:
        """Make sure that lines are read in this context."""


class TextData(Protocol):
    """A text that a model is trained or evaluated on, for any task."""

    @property
    def lines_hash(self) -> str:
        """The hash by which a resumed run recognises its text."""

    @property
    def tokens(self) -> int:
        """How many tokens a network reads."""

    @property
    def words(self) -> int:
        """How many words there are."""

    @property
    def sentences(self) -> int:
        """How many lines or examples there are."""


class FittingData(Protocol):
    """The data that a model of any task is fitted to: a tokenizer (of some tasks also labels), the
    training text, and the text for validation."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or the codec that holds it."""

    @property
    def train(self) -> TextData:
        """The text that the weights are learned from."""

    @property
    def valid(self) -> TextData | None:
        """The text that chooses the best weights."""


@runtime_checkable
class SourcedData(FittingData, Protocol):
    """The same data as a source brings them, which keeps them outside of memory for a while."""

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the work that are known in advance, in bytes, by name."""

    def release(self) -> None:
        """Delete the files that the run has left outside of its folder to resume from, now that its
        model is saved."""


class Task(Protocol):
    """A task of machine learning: it reads data, fits models to them, loads, evaluates and
    describes models. The attributes name its models, and the commands and settings that they have.

    Requests, data and evaluations are defined in :mod:`rnnlm.training`, and by the task.

    Attributes:
        name: Name in config.json and after --task: "tagging".
        singular: "m is ...": "a tagger of words".
        example: An item of its data, in the singular.
        own_command: The use of its models: "tag".
        commands: Commands that can use its models; others refuse them.
        usage: Command lines that use a model called {name}, the first one for a model just trained.
        usual_corpus: Corpus that is read if no text is named.
        request_fields: Fields of a request that this task has, but not all tasks.
        text_settings: Classes of settings by which a training text is read.
        settings_of_data: Names of settings of the network and of its training on which the data
            depend. The seed is one of them if it draws the examples that are held out for
            validation.
        options: Keywords of `model.evaluate` and `rnnlm.compare`, as a settings class.
        option_parts: Classes of the fields of `options` that hold further settings, by name.
        file_options: Those of the `options` that name further files.
        reading: Classes of settings by which its data are read.
        reads_lines: Whether its data are just lines of text.
        offers: Further options of `rnnlm eval` and `rnnlm compare`: "confusions", ...
        compares_by: Settings of comparisons that have an effect.
        extended_settings: Settings in which a network may differ from the model that it starts
            from, as its further layers are new.
    """

    # ---- The names of its models and their uses.

    name: ClassVar[str]
    singular: ClassVar[str]
    example: ClassVar[str] = "line"
    own_command: ClassVar[str]
    commands: ClassVar[frozenset[str]] = frozenset(
        {"eval", "compare", "report", "info", "doctor", "count"}
    )
    usage: ClassVar[tuple[str, ...]]

    @property
    def option(self) -> str:
        """The option that asks for the task on the command line; "" if none is needed."""
        return f"--task {self.name}"

    # ---- The fields of a training request.

    usual_corpus: ClassVar[str]
    request_fields: ClassVar[frozenset[str]] = frozenset()

    def usual_recipe(self, model: str | None, has_text: bool) -> str | None:
        """Return the default recipe; None if there is none.

        Args:
            model: Kind of model that the user named, or of the model to start from; None: neither.
            has_text: Whether the user named a text.
        """
        return None

    # ---- The texts that it is trained on.

    text_settings: ClassVar[tuple[type, ...]]
    settings_of_data: ClassVar[frozenset[str]] = frozenset()

    def open_texts(
        self, request: Any, resolved: "ResolvedSettings", kind: Any, progress: Callable[[str], None]
    ) -> Any:
        """Read and encode the texts of a training request.

        Args:
            request: The request.
            resolved: Its settings.
            kind: Kind of model.
            progress: Callback for the progress of reading.

        Returns:
            A :class:`rnnlm.training.request.Texts`.
        """

    # ---- Initial settings and weights of its models, and their parts besides weights.

    extended_settings: ClassVar[frozenset[str]] = frozenset()

    def initial_settings(self, request: Any, kind: Any) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the settings that a network takes from the models that it starts from: (option,
        name of the model, settings).

        Args:
            request: The training request.
            kind: Kind of model.
        """
        return []

    def initial_weights(
        self, request: Any, kind: Any, resolved: "ResolvedSettings", data: Any
    ) -> "dict[str, np.ndarray] | None":
        """Return the weights that a network starts from, by name; None if all are random.

        Args:
            request: The training request.
            kind: Kind of model.
            resolved: Settings of the request.
            data: Its texts.
        """

    def codec(self, tokenizer: Tokenizer, files: dict[str, bytes]) -> Any:
        """Return the codec of a model's data: its tokenizer and, for some tasks, its labels.

        Args:
            tokenizer: Tokenizer of the model.
            files: Content of the files in its folder, by name.
        """

    def describe(self, codec: Any) -> Any:
        """Describe the codec of a model.

        Args:
            codec: The codec.

        Returns:
            A :class:`rnnlm.training.task.Description`.
        """

    # ---- Evaluating. Commands and Python call `evaluate`, training calls `evaluate_encoded`, which
    # measures.

    @property
    def evaluation_class(self) -> Any:
        """The class of the results of :meth:`evaluate`."""

    options: ClassVar[type]
    option_parts: ClassVar[Mapping[str, type]] = {}
    file_options: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[tuple[type, ...]]
    reads_lines: ClassVar[bool] = False
    offers: ClassVar[frozenset[str]] = frozenset()
    compares_by: ClassVar[frozenset[str]] = frozenset({"resamples", "seed"})

    def evaluate(self, model: Any, data: Any, options: Any, device: "str | Device" = "auto") -> Any:
        """Evaluate a model on data.

        Args:
            model: The model, or its name.
            data: The data, or their paths. None: the test split of the bundled corpus that the
                model was trained on.
            options: Options of the task. None: the defaults.
            device: Where a network computes.
        """

    def compare(
        self,
        models: Sequence[Any],
        data: Any,
        options: Any,
        settings: Any,
        names: Sequence[str] | None = None,
        device: "str | Device" = "auto",
    ) -> Any:
        """Compare models.

        Args:
            models: The models, or their names.
            data: The data, or their paths.
            options: Options of the task. None: the defaults.
            settings: Settings of the comparison. None: the defaults.
            names: Names of the models in the result. None: their own.
            device: Where networks compute.
        """

    def comparable_stored(self, models: Sequence[Any]) -> Any:
        """Return the comparable ones of the metrics that were stored in training.

        Args:
            models: The stored models.

        Raises:
            ComparisonError: No metric is comparable.
        """

    def read(self, model: Any, data: Any, options: Any = None, called: str = "") -> Any:
        """Read and encode data for a model.

        Args:
            model: The model.
            data: The data, or their paths.
            options: Options of the task. None: the defaults.
            called: Name of the model in notices, if there are several.

        Returns:
            The data, as `evaluate_encoded` takes them.
        """

    def evaluate_encoded(
        self, model: Any, data: Any, options: Any = None, progress: Callable[[str], None] = ...
    ) -> Any:
        """Evaluate a loaded model on encoded data.

        Args:
            model: The model.
            data: Result of :meth:`read`.
            options: Options of the task. None: the defaults.
            progress: Callback for the progress of scoring.

        Returns:
            An evaluation of the class `evaluation_class`.
        """

    def checks(self, model: Any, sample: int | None, seed: int) -> Iterator[Any]:
        """Yield the results of `rnnlm doctor` for a model whose arrays are intact.

        Args:
            model: The model.
            sample: Number of examples to make up. None: the default.
            seed: Random seed of the examples.
        """


class SentencePart:
    """The part of :class:`rnnlm.SentenceSettings` about conditions of sentences. A satellite brings
    it in a class derived from this one, whose fields become those of the settings.

    Attributes:
        beside: By the name of a field that names further files: what these hold.
    """

    beside: ClassVar[Mapping[str, str]] = {}

    @property
    def condition(self) -> Any:
        """The condition of all sentences."""
        return None

    @property
    def need(self) -> str:
        """The ability (`Kind.has`) of the models that score the sentences."""
        return "text"

    @property
    def typed(self) -> tuple[str, str]:
        """What a person types, and how."""
        return "sentences", "one per line"

    def for_models(self, models: Mapping[str, LanguageModel]) -> Self:
        """Return the settings by which sentences are read for these models, by name; refuse those
        of no use to any of them.

        Args:
            models: Models by name.
        """
        return self

    def records(self, names: tuple[str, ...]) -> Iterator[Any] | None:
        """Return the sentences of some files, where these are read in a way of their own; refuse
        settings that contradict each other.

        Args:
            names: Names of the files.
        """
        return None


class ModelHandle:
    """An object around a model, which functions take in the place of the model: `rnnlm.Model`.

    A satellite brings methods for it in a class derived from this one.
    """

    core: Any  # a LanguageModel, or a model of another task
    # By the name of a method that not all models have: the command that does the same
    _commands: ClassVar[Mapping[str, str]] = {}

    @property
    def name(self) -> str | None:
        """The name of its folder; None for a model that is only in memory."""
        raise NotImplementedError

    def __init__(self, core: Any) -> None:
        raise NotImplementedError

    def _stored(self, lack: str) -> Path:
        """Return the folder that it was loaded from.

        Args:
            lack: What a model in memory lacks, for the message.

        Raises:
            UsageError: It was not loaded from a folder.
        """
        raise NotImplementedError

    def _core_for(self, method: str) -> Any:
        """Return the model itself.

        Args:
            method: Name of the method that needs it.

        Raises:
            UsageError: Models of its task do not have this method.
        """
        raise NotImplementedError


def core_of(model: M) -> M:
    """Return the model itself: the one that an `rnnlm.Model` holds, else `model`.

    Raises:
        ArgumentTypeError: it is no model.
    """
    if isinstance(model, ModelHandle):
        return cast(M, model.core)
    if isinstance(model, (str, os.PathLike)):
        raise ArgumentTypeError("a model is needed here, not its name", hint="call rnnlm.load")
    # A language model has states; a model of another task names its task.
    is_model = hasattr(model, "initial_state") or hasattr(model, "task")
    if isinstance(model, type) or not is_model:
        raise ArgumentTypeError(f"a model must be a language model or its name, not {given(model)}")
    return model
