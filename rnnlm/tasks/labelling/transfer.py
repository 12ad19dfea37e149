"""Start a tagger or classifier from a language model: its shape, the vectors of words and
characters, and the forward layers.

The backward layers begin at random. In a language model each layer reads one direction alone: the
weights by which a forward layer reads the other one start at zero, so that at first the forward
layers have the very states of the language model.
"""

from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.config import ResolvedSettings
from rnnlm.lm.neural.settings import structure
from rnnlm.tasks.common.language_model_layers import (  # fmt: skip
    TakenLayers,
    recurrent_settings_of,
    stack_settings,
)
from rnnlm.tasks.labelling.data import TaskData
from rnnlm.tasks.labelling.settings import KINDS, RecurrentTaskSettings
from rnnlm.tasks.labelling.shapes import array_shapes
from rnnlm.training.request import TrainingRequest
from rnnlm.training.start_models import arrays_of, settings_of

INIT = "init_from"
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
    that option and the model's name: they determine the shapes of its weights, and the computation
    of its layers. Nothing without that option."""
    if request.init_from is None:
        return []
    model_settings = settings_of(request.init_from, INIT)
    names = {*_OF_INPUT, *_OF_CHARACTERS.get(str(model_settings.characters), ())}
    values = structure(model_settings)
    taken_over = {name: value for name, value in values.items() if name in names}
    # The language model has a vector for each way to write a word.
    taken_over["lowercase_vectors"] = False
    if issubclass(KINDS[kind.task, kind.name], RecurrentTaskSettings):
        taken_over |= stack_settings(recurrent_settings_of(request.init_from, INIT, kind.name))
        taken_over["reads_boundary"] = True
    return [(INIT, request.init_from, taken_over)]


def weights(
    request: TrainingRequest, resolved: ResolvedSettings, data: TaskData
) -> dict[str, np.ndarray] | None:
    """Return the weights that a network starts from, by name, of `--init-from`; None without it."""
    if request.init_from is None:
        return None

    # The words and the forward layers.
    shape = resolved.make(KINDS[resolved.values["task"], resolved.values["model"]])
    arrays = arrays_of(request.init_from, INIT, data.tokenizer.tokenizer)
    start_weights = {
        f"encoder.{name}": array for name, array in arrays.items() if name.startswith("input.")
    }
    if isinstance(shape, RecurrentTaskSettings):
        model_settings = recurrent_settings_of(request.init_from, INIT)
        taken = TakenLayers(
            "encoder", shape, model_settings, array_shapes(resolved.values, data.tokenizer)
        )
        start_weights |= taken.arrays(arrays)
    return start_weights
