"""What a task needs to know of a request to train: the data, and the models to begin with."""

from pathlib import Path
from typing import Literal, Protocol


class TrainingRequest(Protocol):
    """The part of :class:`rnnlm.training.request.Request` that tasks read."""

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
