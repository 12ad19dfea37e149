"""Start a tagger or classifier from language models: its shape, the vectors of words and
characters, and the layers of each direction.

The forward layers, and the words, are those of one language model; the backward ones begin at
random, or are those of a second model, which reads lines from their end. In a language model each
layer reads one direction alone: the weights by which a layer reads the other one start at zero, so
that at first both directions have the very states of their language models.
"""

from typing import Any

import numpy as np

from rnnlm.config import Resolved
from rnnlm.errors import UsageError
from rnnlm.models import registry
from rnnlm.tasks.labels.data import TaskData
from rnnlm.tasks.labels.model import array_shapes
from rnnlm.tasks.labels.settings import KINDS, RecurrentTaskSettings
from rnnlm.tasks.language_model_layers import (
    FORWARD,
    REVERSED,
    TakenLayers,
    arrays_of,
    check_same_layers,
    recurrent_settings_of,
    settings_of,
    stack_settings,
)  # fmt: skip
from rnnlm.tasks.request import TrainingRequest

_OF_INPUT = ("embedding_size", "characters")
_OF_CHARACTERS = {
    "cnn": (
        "characters_beside",
        "character_size",
        "character_filters",
        "character_highways",
        "character_overhang",
    ),
    "lstm": ("characters_beside", "character_size", "character_hidden_size"),
}


def settings(
    request: TrainingRequest, kind: registry.Kind
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the settings that the network takes from the language model of `--init-from`, with
    that option and the model's name: they give the shapes of its weights, and what its layers
    compute. Nothing without that option."""
    if request.init_from is None:
        return []
    own = settings_of(request.init_from, FORWARD)
    names = (*_OF_INPUT, *_OF_CHARACTERS.get(str(own.characters), ()))
    found: dict[str, Any] = {name: getattr(own, name) for name in names}
    # The language model has a vector for each way to write a word.
    found["lowercase_vectors"] = False
    if not own.has_word_vectors:
        del found["embedding_size"]
    if issubclass(KINDS[kind.task, kind.name], RecurrentTaskSettings):
        found |= stack_settings(recurrent_settings_of(request.init_from, FORWARD, kind.name))
        found["reads_boundary"] = True
    return [(FORWARD, request.init_from, found)]


def weights(
    request: TrainingRequest, resolved: Resolved, data: TaskData
) -> dict[str, np.ndarray] | None:
    """Return the weights that a network starts from, by name, of `--init-from` and
    `--init-from-reversed`; None without them."""
    if request.init_from is None:
        if request.init_from_reversed is not None:
            why = "the words' vectors come from a language model that reads them from the beginning"
            raise UsageError("`init_from_reversed` needs `init_from`", why, "name both")
        return None

    # The words and the forward layers.
    shape = resolved.make(KINDS[resolved.values["task"], resolved.values["model"]])
    tokenizer = data.tokenizer.tokenizer
    arrays = arrays_of(request.init_from, FORWARD, tokenizer, is_reversed=False)
    found = {}
    for name, array in arrays.items():
        if name.startswith("input."):
            found[f"encoder.{name}"] = array
    if isinstance(shape, RecurrentTaskSettings):
        own = recurrent_settings_of(request.init_from, FORWARD)
        taken = TakenLayers("encoder", shape, own, array_shapes(resolved.values, data.tokenizer))
        found |= taken.arrays(arrays, 0, {})

    # The backward layers.
    other = request.init_from_reversed
    if other is not None:
        if not isinstance(shape, RecurrentTaskSettings) or not shape.bidirectional:
            hint = 'use `bidirectional=True` with `model="lstm"`'
            raise UsageError(f"{REVERSED} {other}: this network has no backward layers", hint=hint)
        check_same_layers(request.init_from, other)
        backward_arrays = arrays_of(other, REVERSED, tokenizer, is_reversed=True)
        found |= taken.arrays(backward_arrays, 1, found)
    return found
