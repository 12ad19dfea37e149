"""The contracts of the library: what a tokenizer, a language model and its state promise.

Shapes are suffixes: B rows, T time, V vocabulary, H hidden. Log-probabilities are natural
logarithms. One boundary symbol `</s>` ends each line and is the first input of every text; input t
is the target of t-1. A target of -1 is padding and scores 0.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:  # what settings import must not wait for it
    import numpy as np

Array = Any  # numpy.ndarray or torch.Tensor: a model's own array type (see rnnlm.arrays)
Shapes = dict[str, tuple[str, tuple[int, ...]]]  # of arrays by name: safetensors type, shape

C = TypeVar("C", bound=type)
S = TypeVar("S", bound="State")
PADDING = -1
BOUNDARY = "</s>"
SENTENCE_START = "<s>"  # a context, never predicted
UNKNOWN = "<unk>"


def keeps(*protocols: type) -> Callable[[C], C]:
    """Says of a class that it keeps these protocols: methods and properties without docstrings of
    their own have those of the protocols."""

    def documented(cls: C) -> C:
        for name, part in vars(cls).items():
            found = (
                inspect.getdoc(getattr(protocol, name))
                for protocol in protocols
                if hasattr(protocol, name)
            )
            if (
                (callable(part) or isinstance(part, property))
                and not part.__doc__
                and (text := next(filter(None, found), None))
            ):
                part.__doc__ = text
        return cls

    return documented


@dataclass(frozen=True)
class Encoded:
    """Lines as token ids; each line ends in the boundary id.

    ids: (N,) int32. offsets: (lines + 1,) int64, line i is `ids[offsets[i]:offsets[i + 1]]`. oov:
    (K,) int64, ascending positions in `ids` of tokens that are unknown (a literal `<unk>` is not);
    `ids` has unk_id there, or, from a tokenizer that spells, an id from V on.
    """

    ids: "np.ndarray"
    offsets: "np.ndarray"
    oov: "np.ndarray"


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back. Loading and training are functions of :mod:`rnnlm.text.tokenizers`."""

    @property
    def name(self) -> str:
        """Its kind: "word", "char", "byte" or "sentencepiece"."""

    @property
    def size(self) -> int:
        """V, the number of tokens that a model predicts, the boundary included."""

    @property
    def input_size(self) -> int:
        """The number of ids that a model may read: V, and the unseen words that a spelling
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
        """The id of `<unk>`; None where nothing is unknown."""

    @property
    def counts_V(self) -> "np.ndarray | None":
        """How often each token was in the training text, (V,) int64; None where that is not
        known."""

    @property
    def starts_word_V(self) -> "np.ndarray":
        """Whether a new word begins with each token, (V,) bool."""

    @property
    def keeps_text(self) -> bool:
        """Whether `decode` gives the text back, up to white space between words: it is not changed
        before it is cut."""

    @property
    def keeps_case(self) -> bool:
        """Whether upper and lower case are told apart."""

    @property
    def is_reversed(self) -> bool:
        """Whether each line is read from its end: `encode` gives its tokens from the last to the
        first, then the boundary."""

    def in_direction(self, is_reversed: bool) -> "Tokenizer":
        """This tokenizer, reading lines from their end or, if not `is_reversed`, from their
        beginning; itself where it does so."""

    @property
    def literal_unk(self) -> str:
        """What `<unk>` in a text is: "symbol", the unknown symbol; "spell", ordinary text."""

    @property
    def fingerprint(self) -> str:
        """A hash of symbols and settings, not of counts: tokenizers of one fingerprint give the
        same ids, in the same order."""

    @property
    def seen_text(self) -> tuple[str, bytes]:
        """The symbols that occur in the training text, one a line, and its single bytes among
        them."""

    @property
    def rewriting(self) -> str:
        """What it does to a line besides its case, as a signature says it: "normalise=quotes"; "":
        nothing."""

    def normalise(self, lines: Sequence[str]) -> Sequence[str]:
        """The lines as they are read, but for the case: as they are where `rewriting` is empty.
        Done twice, it is as done once."""

    def normalise_with_offsets(self, line: str) -> "tuple[str, np.ndarray, np.ndarray]":
        """The N characters of the normalised line, and where in `line` what each was made of begins
        and ends, two arrays (N,)."""

    def encode(self, lines: Sequence[str]) -> Encoded:
        """The ids of lines, each followed by the boundary's.

        Raises:
            ArgumentTypeError (a TypeError): `lines` is a single str, or one of them is not a str.
                TextError: a line holds a newline.
        """

    def decode(self, ids: "Sequence[int] | np.ndarray") -> str:
        """The text of `ids`, in the order of reading; a boundary becomes a newline, one at the end
        is dropped.

        Raises:
            ArgumentTypeError (a TypeError): they are not whole numbers in one row.
        """

    def surface(self, line: str) -> list[str]:
        """What each token of `encode([line])` reads as in the line itself, unknown ones too; `</s>`
        last."""

    def surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        """:meth:`surface` of each of many lines, faster than one by one."""

    def symbols(self) -> list[str]:
        """What a person is shown for each id of V."""

    def token_bytes(self) -> list[bytes]:
        """What each id of V adds to a text, as UTF-8: white space before a word belongs to it; the
        boundary is a newline."""

    def spellings(self, start: int = 0) -> list[str]:
        """The text of the ids from `start` to `input_size`, for a model that reads characters."""

    def spelling(self) -> "Tokenizer":
        """This tokenizer as a model that reads characters needs it: same ids, files and
        fingerprint, but it `spells`.

        Raises:
            SettingsError: its tokens are not made of characters.
        """

    def to_files(self) -> dict[str, bytes]:
        """File name to content, for the model folder."""

    def to_settings(self) -> dict[str, Any]:
        """Settings in JSON's types; with the files they make the same tokenizer again."""


class State(Protocol):
    """What a model remembers of the text so far, for B rows. A value: using it twice gives the same
    answer. `select` and `concat_states` of a model may pad or trim what rows remember to a common
    length (a decoder's encoded source, a cache); that changes no score.
    """

    def select(self, rows: "Sequence[int] | np.ndarray") -> Self:
        """The state of `rows`, in that order, repeats allowed."""

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """Its arrays by name, the rows in the first axis but for networks (the second);
        `state_from_arrays` of the model takes them."""


class Device(Protocol):
    """A torch.device, which may be given instead of its name."""

    @property
    def type(self) -> str:
        """The kind of device: cpu, cuda or mps."""

    @property
    def index(self) -> int | None:
        """The number of the device, where it is named."""


class LanguageModel(Protocol[S]):
    """A distribution over the next token given the tokens so far. State depends on inputs only: a
    model takes its own kind of state.

    Arrays of token ids are numpy's, of any integer type; networks take torch's, too. What comes
    back is the model's own array type on its own device: numpy of n-gram models, torch of networks,
    and of a mixture numpy where those of all its parts are, else torch on the network's device; a
    model that adapts itself has the type of the model that it adapts. `rnnlm.as_numpy` makes any of
    them numpy's.
    """

    fingerprint: str | None  # of weights and tokenizer, once saved

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes text into the ids that it reads, and ids into text."""

    @property
    def normalised(self) -> bool:
        """Whether the probabilities of all next tokens sum to 1."""

    @property
    def max_rows(self) -> int | None:
        """How many rows it reads at once; None: any number."""

    @property
    def call_tokens(self) -> int:
        """How many tokens, over all rows, are best scored in one call."""

    @property
    def forgets_at_boundary(self) -> bool:
        """Whether, after the boundary as input, what came before makes no difference."""

    @property
    def precision(self) -> str:
        """The precision of the scores: "fp32", "bf16" or "fp64"."""

    @property
    def adaptation(self) -> str:
        """How it adapts itself to what it reads, as a signature says it, or "none"."""

    def initial_state(self, rows: int) -> S:
        """The state of B = `rows` texts of which nothing is read yet; the boundary is their first
        input."""

    def score(self, inputs_BT: Array, targets_BT: Array, state: S) -> tuple[Array, S]:
        """Log-probability (nats) of each target given the inputs up to its place, shape (B, T), and
        the state after the last input. The array is of the model's own type, on its own device (see
        the class). A target of -1 is padding and scores 0.

        Raises:
            ArgumentTypeError (a TypeError): ids are not whole numbers of shape (B, T), or the state
                is another model's.
        """

    def predict(self, inputs_BT: Array, state: S) -> tuple[Array, S]:
        """Log-probabilities (nats) of every next token after each input, shape (B, T, V), and the
        state after the last input. The array is of the model's own type, on its own device (see the
        class). It has B * T * V numbers: the caller bounds T. Errors as of `score`.
        """

    def concat_states(self, states: Sequence[S]) -> S:
        """The states one below the other: the rows of the first, then those of the second, and so
        on."""

    def state_from_arrays(self, arrays: "dict[str, np.ndarray]") -> S:
        """The state whose `to_arrays()` gave `arrays`."""

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """The weights, by name, as the model folder stores them."""


class OptionalMethods(Protocol):
    """What a model may offer beside, where its family can answer; a caller looks whether it
    does."""

    description: str  # what it is, in a message: "an n-gram model"
    order: int  # the number of words of its longest n-grams

    def incremental(self) -> Any:
        """Steps of its own, one word at a time, which are quicker than `predict`."""

    def check_tables(self) -> tuple[str, str]:
        """What is wrong with its tables, or nothing; and what they hold."""

    def contexts(
        self, most: int, generator: "np.random.Generator"
    ) -> "tuple[list[np.ndarray], bool]":
        """At most so many of the contexts after which its predictions differ, at random: ids (S, T)
        by length, and whether that is all."""

    def longest_matches(self, ids_N: "np.ndarray") -> "np.ndarray":
        """(N,): how many words the longest of its n-grams has that ends at each token of a text."""


@runtime_checkable
class HiddenStateModel(LanguageModel[S], Protocol[S]):
    """A language model with hidden states, arrays of torch: what caches and probes need."""

    @property
    def hidden_size(self) -> int:
        """H, the width of `hidden`."""

    @property
    def device(self) -> Any:
        """The torch.device that its numbers are on."""

    def hidden(self, inputs_BT: Array, state: S) -> tuple[Array, S]:
        """The vectors that the output layer multiplies, shape (B, T, H), H their width; and the
        state."""

    def score_hidden(self, hidden_BTH: Array, targets_BT: Array) -> Array:
        """What `score` gives where `hidden` gave these vectors: log-probabilities (nats), (B,
        T)."""

    def predict_hidden(self, hidden_BTH: Array) -> Array:
        """What `predict` gives where `hidden` gave these vectors: log-probabilities (nats), (B, T,
        V)."""

    def exact_products(self) -> AbstractContextManager[None]:
        """While it lasts, products of hidden states are IEEE fp32, and no gradients are kept."""
