"""The arrays of networks that label words or texts, by name and shape, from settings and codec
alone; see :mod:`rnnlm.lm.neural.shapes`."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rnnlm.errors import ModelError, SettingsError
from rnnlm.interface import Shapes
from rnnlm.lm.neural.settings import Size
from rnnlm.lm.neural.shapes import batch_norm, linear, stack, typed, within, words
from rnnlm.tasks.labelling import settings as task_settings
from rnnlm.tasks.labelling.data import MULTI, WORD, Codec, LabelColumn
from rnnlm.tasks.labelling.settings import (
    BagClassifier,
    CnnClassifier,
    RecurrentTaskSettings,
    RecursiveClassifier,
    TaggingSettings,
    TaskSettings,
)


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
        "encoder", _encoder(shape)
    )
    pooling = shape.sentence_pooling if isinstance(shape, RecurrentTaskSettings) else None
    if pooling == "attention" and codec.text_columns:
        arrays["pooling.query"] = (shape.output_width,)
    for number, column in enumerate(codec.columns):
        arrays |= within(f"heads.{number}", _head(shape, column))
    return typed(arrays | within("context", _context(shape)))


def _encoder(settings: TaskSettings) -> dict[str, Size]:
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
        if settings.input_width != width:
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


def _head(settings: TaskSettings, column: LabelColumn) -> dict[str, Size]:
    check_loss(settings, column)
    labels = len(column.symbols)
    arrays = linear("output", settings.output_width, labels)
    if column.level != WORD:
        return arrays
    assert isinstance(settings, TaggingSettings)
    if settings.output_layer != "softmax":
        arrays |= {"chain.start_K": (labels,), "chain.end_K": (labels,)}
        arrays["chain.transitions_KK"] = (labels, labels)
    return arrays


def _context(settings: TaskSettings) -> dict[str, Size]:
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
