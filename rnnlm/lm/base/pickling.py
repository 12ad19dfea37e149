"""Pickle models for other processes and machines: as a folder and a fingerprint, without weights.

Unpickling loads the model from there, on the device that was asked for when it was loaded ("auto"
is decided again), and gives the model that was pickled or an error. On disk nothing is ever a
pickle.
"""

import copy
from pathlib import Path
from typing import Any, Self

from rnnlm import registry
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import LanguageModel
from rnnlm.lm.base import stored_model


class PickledByOrigin:
    """A model that pickles as the place it was loaded from: its `origin`, which
    :func:`rnnlm.lm.base.stored_model.load` sets. One that was made in memory has none."""

    task = registry.LANGUAGE_MODEL
    fingerprint: str | None
    # The folder that it was loaded from, and the device that was asked for.
    origin: tuple[str, str] | None = None
    # Whether the hashes of its arrays were left to `rnnlm doctor`.
    is_unchecked = False

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to load the model; refuse one that was not loaded from a folder."""
        if self.origin is None:
            raise UsageError(
                "this model cannot be pickled",
                "it was not loaded from a folder, and a pickle holds no weights",
                "save it first, and load it with rnnlm.load",
            )
        return _unpickled, (*self.origin, self.fingerprint)

    def __copy__(self) -> Self:
        return self._copied(vars(self))

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Copy the model as it is in memory, which may differ from its files."""
        return self._copied(copy.deepcopy(vars(self), memo))

    def _copied(self, attributes: dict[str, Any]) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(attributes)
        return copied


def _unpickled(folder: str, device: str, fingerprint: str) -> LanguageModel:
    """Load the model that was pickled, unless it is another one now."""
    model, manifest = stored_model.load(Path(folder), device)
    if manifest.fingerprint != fingerprint:
        raise ModelError(
            f"the model at {folder} has changed since it was pickled",
            f"its fingerprint was {fingerprint} and is now {manifest.fingerprint}",
            "load it with rnnlm.load and pickle it again",
        )
    return model
