"""The weights of taggers and classifiers: their names and shapes, and those that come from a
language model."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rnnlm import registry
from rnnlm.config import ResolvedSettings
from rnnlm.errors import ModelError, SettingsError, UsageError, keyword
from rnnlm.interface import Shapes
from rnnlm.lm.neural.settings import Size, structure
from rnnlm.lm.neural.shapes import batch_norm, linear, stack, typed, within, words
from rnnlm.tasks.common.language_model_layers import (  # fmt: skip
    TakenLayers,
    recurrent_settings_of,
    stack_settings,
)
from rnnlm.tasks.labelling import settings as task_settings
from rnnlm.tasks.labelling.data import MULTI, WORD, Codec, LabelColumn, TaskData
from rnnlm.tasks.labelling.settings import (
    BagClassifier,
    CnnClassifier,
    RecurrentTaskSettings,
    RecursiveClassifier,
    TaggingSettings,
    TaskSettings,
    kinds,
)
from rnnlm.training.language_model import settings_to_start_from, weights_to_start_from
from rnnlm.training.request import TrainingRequest

# ---- The arrays by name and shape, from settings and codec alone; see rnnlm.lm.neural.shapes.


def array_shapes(settings: Mapping[str, Any], codec: Codec, stored: Shapes | None = None) -> Shapes:
    """Return the (safetensors type, shape) by name of the arrays that a model of these settings
    has."""
    shape = task_settings.stored(settings["task"], settings)
    if bool(codec.word_columns) != (shape.task == "tagging"):
        raise ModelError(
            f"the labels are not those of a model for {shape.task}",
            "taggers have labels of words, and classifiers have none",
        )
    arrays = within("encoder.input", words(shape, codec.tokenizer)) | within(
        "encoder", _encoder_shapes(shape)
    )
    pooling = shape.sentence_pooling if isinstance(shape, RecurrentTaskSettings) else None
    if pooling == "attention" and codec.text_columns:
        arrays["pooling.query"] = (shape.output_width,)
    for number, column in enumerate(codec.columns):
        arrays |= within(f"heads.{number}", _head_shapes(shape, column))
    return typed(arrays | within("context", _context_shapes(shape)))


def _encoder_shapes(settings: TaskSettings) -> dict[str, Size]:
    """Return the arrays of the layers above the words."""
    arrays: dict[str, Size] = {}
    if isinstance(settings, RecurrentTaskSettings):
        return within("body", stack(settings))

    # Hidden layers over the mean of the word vectors.
    if isinstance(settings, BagClassifier):
        widths = [settings.input_width] + settings.layers * [settings.hidden_size]
        for number, (below, width) in enumerate(pairwise(widths)):
            arrays |= linear(f"layers.{number}", below, width)
            if settings.batch_norm:
                arrays |= batch_norm(f"norms.{number}", width)
        return arrays

    # The functions of a leaf, and of two children.
    if isinstance(settings, RecursiveClassifier):
        width = settings.hidden_size
        if settings.maps_leaves:
            arrays |= linear("leaf", settings.input_width, width)
        arrays |= linear("compose", 2 * width, width)
        if settings.composition == "tensor":
            arrays |= linear("tensor", 2 * width, 2 * width * width, bias=False)
        return arrays | (batch_norm("norm", width) if settings.batch_norm else {})

    # A convolution for each number of words.
    assert isinstance(settings, CnnClassifier)
    for number, width in enumerate(settings.words_read):
        arrays |= linear(f"filters.{number}", width * settings.input_width, settings.hidden_size)
    return arrays | (batch_norm("norm", settings.output_width) if settings.batch_norm else {})


def _head_shapes(settings: TaskSettings, column: LabelColumn) -> dict[str, Size]:
    check_loss(settings, column)
    labels = len(column.symbols)
    arrays = linear("output", settings.output_width, labels)
    if column.level != WORD:
        return arrays
    assert isinstance(settings, TaggingSettings)
    if settings.output_layer != "softmax":
        arrays |= within("chain", chain_shapes(labels))
    return arrays


def chain_shapes(labels: int) -> dict[str, Size]:
    """Return the arrays of a chain of labels."""
    return {"start_K": (labels,), "end_K": (labels,), "transitions_KK": (labels, labels)}


def _context_shapes(settings: TaskSettings) -> dict[str, Size]:
    """Return the arrays of the mixture of the layers of language models."""
    arrays: dict[str, Size] = {}
    for model, widths in enumerate(settings.context_widths):
        arrays[f"scores.{model}"] = (len(widths),)
        for layer, width in enumerate(widths):
            arrays |= linear(
                f"projections.{model}.{layer}", width, settings.context_size, bias=False
            )
    if arrays:
        arrays["gammas"] = (len(settings.context_widths),)
    return arrays


def check_loss(settings: TaskSettings, column: LabelColumn) -> None:
    """Refuse a loss that labels of this form cannot have."""
    if settings.loss == "margin" and column.form == MULTI:
        raise SettingsError(
            "loss = margin compares one right label with the others",
            "texts have several labels",
            "set loss=cross-entropy",
        )


# ---- The start from a language model: its shape, the vectors of words and characters, and the
# forward layers.
#
# The backward layers begin at random. In a language model each layer reads one direction alone: the
# weights by which a forward layer reads the other one start at zero, so that at first the forward
# layers have the very states of the language model.

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
    check_has_layers(INIT, kind)
    model_settings = settings_to_start_from(request.init_from, INIT)
    names = {*_OF_INPUT, *_OF_CHARACTERS.get(str(model_settings.characters), ())}
    taken_over = {name: value for name, value in structure(model_settings).items() if name in names}
    # The language model has a vector for each way to write a word.
    taken_over["lowercase_vectors"] = False
    if issubclass(kinds()[kind.task, kind.name], RecurrentTaskSettings):
        taken_over |= stack_settings(recurrent_settings_of(request.init_from, INIT, kind.name))
        taken_over["reads_boundary"] = True
    return [(INIT, request.init_from, taken_over)]


def check_has_layers(option: str, kind: registry.Kind) -> None:
    """Refuse an option by which the layers of language models are read or taken over, for a kind
    that is counted."""
    if kind.is_counted:
        raise UsageError(
            keyword(option) + f" is not for models of kind {kind.name}",
            "they have no layers",
            "use " + keyword("model", registry.USUAL_MODEL),
        )


def weights(
    request: TrainingRequest, resolved: ResolvedSettings, data: TaskData
) -> dict[str, np.ndarray] | None:
    """Return the weights that a network starts from, by name, of `--init-from`; None without it."""
    if request.init_from is None:
        return None

    # The words and the forward layers.
    shape = resolved.make(kinds()[resolved.values["task"], resolved.values["model"]])
    arrays = weights_to_start_from(request.init_from, INIT, data.tokenizer.tokenizer)
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
