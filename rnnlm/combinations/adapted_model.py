"""What all models have in common that adapt another one to what it reads, and how their states are
stored."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rnnlm.combinations.settings import describe, joined
from rnnlm.errors import UsageError
from rnnlm.interface import LanguageModel, keeps
from rnnlm.models.model_folder import is_weights_only

PART = "model."  # prefix of the inner model's arrays in a state's


@keeps(LanguageModel)
class AdaptedModel:
    """A language model around another: weights, tokenizer and fingerprint are those of `model`."""

    kind: ClassVar[str]
    description = "a model that adapts itself already"
    forgets_at_boundary = False

    def __init__(self, model: LanguageModel, settings: Any) -> None:
        self.model = model
        self.settings = settings
        self.tokenizer = model.tokenizer
        self.normalised = model.normalised
        self.max_rows = model.max_rows
        self.call_tokens = model.call_tokens
        self.precision = model.precision
        self.fingerprint = model.fingerprint
        self.is_weights_only = is_weights_only(model)
        # what results depend on beside model and settings, for signatures
        self.also: dict[str, str] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """The model within, as that pickles, and how it adapts."""
        return type(self), (self.model, self.settings)

    @property
    def adaptation(self) -> str:
        return joined([self.model.adaptation, describe(self.kind, self.settings, self.also)])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.model.to_arrays()


def check_hidden(model: LanguageModel, wanted: type) -> Any:
    """`model` itself, which is `wanted`.

    Raises:
        UsageError: it has no hidden states or no weights that gradients could change.
    """
    if not isinstance(model, wanted):
        what = f"{getattr(model, 'description', 'this model')} cannot be adapted so"
        hint = "use the cache of words, which works for every model: --adapt unigram"
        raise UsageError(
            what, "that takes a neural network, with hidden states and gradients", hint
        )
    return model


def one_row(rows: Sequence[int] | np.ndarray | int) -> None:
    """Make sure that what is asked for is one row.

    Raises:
        UsageError: it is more, or none.
    """
    count = rows if isinstance(rows, int) else len(rows)
    if count != 1:
        raise UsageError(
            f"{count} rows cannot be read at once",
            "the weights follow one text",
            "read the texts one by one",
        )
