"""Lines that are conditional on others: a model that offers `states` begins each line in the state of its source."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rnnlm.inference.span_scoring import Initial
from rnnlm.interface import LanguageModel, State


class Decoder(LanguageModel[Any], Protocol):
    """A language model of targets that are conditional on sources."""

    def states(self, sources: Sequence[str]) -> State:
        """The states in which targets of these sources begin, a row for each; the boundary is the first input."""


def reads_sources(model: LanguageModel) -> bool:
    """Whether the model gives probabilities of a line given its source, as the decoder of an encoder-decoder does."""
    return hasattr(model, "states")


def initial_states(model: LanguageModel, sources: Sequence[Any]) -> Initial | None:
    """What lines of these sources begin with, as :func:`rnnlm.inference.span_scoring.score_spans` takes it; None: the model reads no
    sources. A source that several lines of a batch have is read once."""
    if not reads_sources(model):
        return None
    decoder: Any = model

    def initial(lines: np.ndarray) -> State:
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(sources[line], len(numbers)) for line in lines.tolist()]
        state: State = decoder.states(list(numbers))
        return state if len(rows) == len(numbers) else state.select(rows)

    return initial
