"""Settings for reading and tokenizing labelled data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from rnnlm.config import Count, ValidatedSettings, about
from rnnlm.text.tokenizer_settings import TokenizerSettings


@dataclass(frozen=True)
class TaskTokenizerSettings(TokenizerSettings):
    """Settings for turning words into tokens. Words seen once are unknown ones, so that a network
    learns to use those."""

    min_count: Annotated[
        Count, about("words or characters that occur fewer times become <unk>")
    ] = 2

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return that no word of a list is rare."""
        return {"min_count": 1} if values["vocab"] else {}


@dataclass(frozen=True)
class LabelOptions(ValidatedSettings):
    """Settings for reading labelled data.

    reading: settings of :class:`~rnnlm.tasks.labelling.formats.example.LabelledSettings` that
    differ from the settings of the training data.
    """

    reading: Mapping[str, Any] | None = None
