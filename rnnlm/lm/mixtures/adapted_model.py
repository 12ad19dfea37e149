"""The base of models that adapt another model to the text they read."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.interface import HiddenStateModel, LanguageModel, core_of, keeps
from rnnlm.lm.base import loading
from rnnlm.lm.base.adaptation_settings import AdaptationSettings, describe, joined

PART = "model."  # prefix of the inner model's arrays in a state's


@keeps(LanguageModel)
class AdaptedModel:
    """A language model around another one, `model`, which has the weights, the tokenizer and the
    fingerprint."""

    kind: ClassVar[str]
    description = "a model that adapts itself already"
    boundary_resets_state = False

    def __init__(self, model: LanguageModel, settings: AdaptationSettings) -> None:
        self.model = model
        self.settings = settings
        self.tokenizer = model.tokenizer
        self.normalised = model.normalised
        self.max_rows = model.max_rows
        self.call_tokens = model.call_tokens
        self.precision = model.precision
        self.fingerprint = model.fingerprint
        self.is_unchecked = getattr(model, "is_unchecked", False)
        self.window = loading.window_of(model)
        # Digests, by name, of data that results depend on besides model and settings. Signatures
        # show them.
        self.digests: dict[str, str] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the model within, in its own way, and how it adapts."""
        return type(self), (self.model, self.settings)

    @property
    def adaptation(self) -> str:
        """The part of a signature that names the adaptations."""
        return joined([self.model.adaptation, describe(self.kind, self.settings, self.digests)])

    @property
    def model_kind(self) -> str:
        """The kind of the model within."""
        return loading.kind_of(self.model)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.model.to_arrays()


def with_hidden_states(model: LanguageModel) -> HiddenStateModel:
    """Return `model` itself if it has hidden states; refuse it otherwise."""
    model = core_of(model)
    if not isinstance(model, HiddenStateModel):
        raise cannot_adapt(model)
    return model


def cannot_adapt(model: LanguageModel) -> UsageError:
    """Return the error that a model has no hidden states, or no gradients."""
    return UsageError(
        f"{getattr(model, 'description', 'this model')} cannot be adapted in this way",
        "this needs a neural network, with hidden states and gradients",
        "use the cache of words, which works for every model: NAME+unigram",
    )


def one_row(rows: Sequence[int] | np.ndarray | int) -> None:
    """Refuse more rows than one, or none."""
    count = rows if isinstance(rows, int) else len(rows)
    if count != 1:
        raise UsageError(
            f"{count} texts cannot be read at once",
            "the weights adapt to a single text",
            "read the texts one at a time",
        )
