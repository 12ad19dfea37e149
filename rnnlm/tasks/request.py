"""The part of a request to train that a task reads, and what the task makes of it: the data, read
and encoded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rnnlm.config import Resolved
from rnnlm.interface import Tokenizer

if TYPE_CHECKING:
    from rnnlm.tasks.line_texts import Overlap
    from rnnlm.text.encoding import EncodedText
    from rnnlm.text.lines import TextSettings


class TrainingRequest(Protocol):
    """The part of :class:`rnnlm.training.request.Request` that tasks read: the data, and the models
    to begin with."""

    @property
    def text(self) -> tuple[str, ...]:
        """Training data; none: the bundled corpus of the task."""

    @property
    def valid(self) -> tuple[str, ...]:
        """Validation data."""

    @property
    def test(self) -> tuple[str, ...]:
        """Test data."""

    @property
    def counts(self) -> str | None:
        """A folder of n-gram counts, in place of the training data."""

    @property
    def target(self) -> tuple[str, ...]:
        """For each file of the training data one with its targets."""

    @property
    def valid_target(self) -> tuple[str, ...]:
        """Files that each hold one reference of the validation data."""

    @property
    def test_target(self) -> tuple[str, ...]:
        """Files that each hold one reference of the test data."""

    @property
    def tokenizer_from(self) -> str | None:
        """The model whose tokenizer is used."""

    @property
    def init_from(self) -> str | None:
        """The language model whose layers the network starts from."""

    @property
    def init_encoder_from(self) -> str | None:
        """The language model that the encoder starts from."""

    @property
    def init_decoder_from(self) -> str | None:
        """The language model that the decoder starts from."""

    @property
    def contextual(self) -> tuple[str, ...]:
        """Language models that are read beside the words."""


class CountedText(Protocol):
    """A text that a model is trained or evaluated on, whatever the task."""

    @property
    def lines_hash(self) -> str:
        """The hash by which a run that goes on recognises its text."""

    @property
    def tokens(self) -> int:
        """How many tokens a network reads."""

    @property
    def words(self) -> int:
        """How many words there are."""

    @property
    def sentences(self) -> int:
        """How many lines or examples there are."""


class Data(Protocol):
    """What a model is fitted to, whatever the task: a tokenizer (of some tasks also labels), the
    training text, and the text for validation."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or the codec that holds it."""

    @property
    def train(self) -> CountedText:
        """The text that the weights are learned from."""

    @property
    def valid(self) -> CountedText | None:
        """The text that chooses the best weights."""


class CountedData(Protocol):
    """Counts in place of a training text, and how their text was read."""

    @property
    def folder(self) -> Path:
        """Where they are."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text."""

    @property
    def text_settings(self) -> "TextSettings":
        """How its lines were read."""

    def with_valid(self, valid: "EncodedText | None") -> Data:
        """Return the data that a model is fitted to."""


@dataclass(frozen=True)
class Texts:
    """The texts that a model is trained and evaluated on.

    resolved: the settings, with those that the texts bring. valid_is: the validation text in words.
    holds_out: it was held out of the training text. overlaps: how much of the text called valid or
    test is in the training text.
    """

    resolved: Resolved
    data: Data
    valid_is: str
    test: CountedText | None
    holds_out: bool = False
    overlaps: dict[str, "Overlap"] = field(default_factory=dict)
