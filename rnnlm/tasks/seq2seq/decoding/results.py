"""The results of translating a line."""

from dataclasses import dataclass
from typing import Any

import numpy as np

DIGITS = 4  # of weights that are printed


@dataclass(frozen=True)
class Attention:
    """What each token of a line looked at. Tokens are as the tokenizers write them, `</s>` the last; those of a source in the order of its
    text, in whatever direction it was read.

    weights: (T, S), float32; each row sums to 1.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: np.ndarray

    @property
    def most_attended(self) -> tuple[int, ...]:
        """For each token of the line the number of the source's token with the largest weight, from 0."""
        return tuple(self.weights.argmax(axis=1).tolist())

    def to_dict(self) -> dict[str, Any]:
        """What `rnnlm translate --json --attention` prints of it."""
        weights = [[round(weight, DIGITS) for weight in row] for row in self.weights.tolist()]
        return {"source_tokens": list(self.source_tokens), "target_tokens": list(self.target_tokens),
                "most_attended": list(self.most_attended), "weights": weights}  # fmt: skip


@dataclass(frozen=True)
class Translation:
    """One line that a model writes for a source.

    tokens: how many, `</s>` counted where it is written. logprob_nats: log p(line | source). score: what lines are ranked by,
    log p / ((5 + tokens) / 6)^length_power. complete: it ended by itself; False: it was cut off at its limit.
    attention: where it was asked for.
    """

    text: str
    tokens: int
    logprob_nats: float
    score: float
    complete: bool
    attention: Attention | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `rnnlm translate --json` prints of it."""
        found: dict[str, Any] = {"text": self.text, "logprob_nats": self.logprob_nats, "score": self.score, "tokens": self.tokens,
                                 "complete": self.complete}  # fmt: skip
        return found if self.attention is None else found | {"attention": self.attention.to_dict()}


@dataclass(frozen=True)
class TranslatedLine:
    """A source and what a model writes for it.

    number: of the source, from 1. hypotheses: the best first, or samples as they were drawn; none where the source has no words.
    """

    source: str
    number: int
    hypotheses: tuple[Translation, ...]

    @property
    def text(self) -> str:
        """The first of them; "" where there is none."""
        return self.hypotheses[0].text if self.hypotheses else ""

    def to_dict(self) -> dict[str, Any]:
        """What `rnnlm translate --json` prints of it, as `rnnlm rescore` reads it."""
        return {"utt": self.number, "source": self.source, "text": self.text, "hypotheses": [each.to_dict() for each in self.hypotheses]}
