"""What a task needs to know of a request to train, and what it makes of it: the data, read and
encoded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rnnlm.config import Resolved

if TYPE_CHECKING:
    from rnnlm.tasks.line_texts import Overlap


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
    def labels(self) -> tuple[str, ...]:
        """Files of labels beside the training data."""

    @property
    def valid_labels(self) -> tuple[str, ...]:
        """Files of labels beside the validation data."""

    @property
    def test_labels(self) -> tuple[str, ...]:
        """Files of labels beside the test data."""

    @property
    def target(self) -> tuple[str, ...]:
        """For each file of the training data one with what is to be written."""

    @property
    def valid_target(self) -> tuple[str, ...]:
        """Files that each hold one reference of the validation data."""

    @property
    def test_target(self) -> tuple[str, ...]:
        """Files that each hold one reference of the test data."""

    @property
    def tokenizer_from(self) -> str | None:
        """The model whose tokenizer is taken over."""

    @property
    def init_from(self) -> str | None:
        """The language model whose layers the network begins with."""

    @property
    def init_from_reversed(self) -> str | None:
        """One that reads lines from their end."""

    @property
    def init_encoder_from(self) -> str | None:
        """The language model that the encoder begins with."""

    @property
    def init_decoder_from(self) -> str | None:
        """The language model that the decoder begins with."""

    @property
    def contextual(self) -> tuple[str, ...]:
        """Language models that are read beside the words."""

    @property
    def output(self) -> Path | None:
        """The folder of the run."""

    @property
    def resume(self) -> bool | Literal["auto"]:
        """Whether the run in that folder goes on."""


class CountedText(Protocol):
    """A text that a model is trained or evaluated on, whatever the task."""

    @property
    def lines_hash(self) -> str:
        """By which a run knows its text again."""
        ...

    @property
    def tokens(self) -> int:
        """How many a network reads."""
        ...

    @property
    def words(self) -> int:
        """How many."""
        ...

    @property
    def sentences(self) -> int:
        """How many lines or examples."""
        ...


class Data(Protocol):
    """What a model is fitted on, whatever the task: a tokenizer (of a task with the labels), the
    training text, what is held out."""

    @property
    def tokenizer(self) -> Any:
        """What makes words into ids."""
        ...

    @property
    def train(self) -> CountedText:
        """What the weights are learned from."""
        ...

    @property
    def valid(self) -> CountedText | None:
        """What chooses the best weights."""
        ...


@dataclass(frozen=True)
class Texts:
    """What is trained on and evaluated on.

    resolved: the settings with what the texts brought. valid_is: the validation text in words.
    overlaps: how much of the text called valid or test is in the training text.
    """

    resolved: Resolved
    data: Data
    valid_is: str
    test: CountedText | None
    overlaps: dict[str, "Overlap"] = field(default_factory=dict)
