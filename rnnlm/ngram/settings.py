"""What can be asked of a count-based model."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Positive


@dataclass(frozen=True)
class UnigramSettings:
    """A unigram with additive smoothing."""

    model: Annotated[Literal["unigram"], Meta(description="word frequencies alone")] = "unigram"
    additive_k: Annotated[Positive, Meta(description="added to every count (Lidstone; 1 is Laplace)")] = 0.5
