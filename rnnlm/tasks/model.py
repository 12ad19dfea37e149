"""A trained network of a task, as it is loaded, saved, and read with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.events import never
from rnnlm.interface import Shapes
from rnnlm.neural.device import resolve_device
from rnnlm.neural.trace import LineTrace
from rnnlm.neural.word_rows import WordRows, input_rows
from rnnlm.tasks import settings as task_settings
from rnnlm.tasks.codec import Codec
from rnnlm.tasks.data import EncodedWords, encode_texts
from rnnlm.tasks.encoders.contextual import loaded
from rnnlm.tasks.fitting.batches import batch_tensors
from rnnlm.tasks.layer_outputs import TaskLayers
from rnnlm.tasks.network import Features, TaskNetwork
from rnnlm.tasks.saved_model import SavedModel
from rnnlm.tasks.settings import TaggingSettings
from rnnlm.tasks.splitting import splitter_of
from rnnlm.text.batches import by_length

TOKENS = 1 << 12  # read in one call, about
_TYPES = {torch.float32: "F32", torch.int32: "I32"}


@dataclass(frozen=True)
class Reading:
    """The features of one batch of texts. chosen: the numbers of these texts among all that are read."""

    chosen: np.ndarray
    inputs: tuple[Tensor, ...]
    features: Features


class TaskModel(SavedModel[TaskNetwork, Codec]):
    """A tagger or classifier. codec: its tokenizer and labels."""

    @property
    def task(self) -> str:  # type: ignore[override]  # it follows from the settings
        """What it was trained for: "tagging" or "classification"."""
        return self.network.settings.task

    @property
    def is_constrained(self) -> bool:
        """Whether the labels of spans keep to their scheme, unless something else is asked for."""
        settings = self.network.settings
        return isinstance(settings, TaggingSettings) and settings.constrained

    def layer_reader(self) -> TaskLayers:
        """What reads lines and gives what its layers give."""
        return TaskLayers(self)

    def word_vectors(self, which: str) -> WordRows:
        """The vectors of the words that it reads ("input").

        Raises:
            UsageError: others are asked for: it predicts labels, not words.
        """
        if which == "output":
            raise UsageError(
                "this model has no output vectors", "it predicts labels, not words", "take its input vectors, which are the default"
            )
        return input_rows(self.network.encoder.input, self.codec.tokenizer)

    def read(self, texts: Sequence[Sequence[str]] | EncodedWords, stop: Callable[[], bool] = never) -> Iterator[Reading]:
        """The features of texts, each a list of words, batch by batch, those of about the same length together. Ends early where `stop`,
        asked before each batch, says so."""
        encoded = texts if isinstance(texts, EncodedWords) else encode_texts(self.codec, texts)
        for chosen in by_length(encoded.token_lengths, TOKENS):
            if stop():
                return
            inputs = batch_tensors(encoded, chosen, self.device)
            with self.reading():
                features = self.network(inputs)
            yield Reading(chosen, inputs, features)

    def trace_line(self, line: str) -> LineTrace:
        """What each recurrent layer did at each token of a text, split into words as the model splits text; no layers where it has none.

        Raises:
            TextError: the text has no words.
        """
        words = splitter_of(self.codec)(line).words
        if not words:
            raise TextError("there is nothing to read", "the text has no words")
        encoded = encode_texts(self.codec, [words])
        with self.reading():
            layers = self.network.trace(batch_tensors(encoded, np.zeros(1, dtype=np.int64), self.device))
        symbols = self.codec.tokenizer.symbols()
        tokens = words if encoded.is_by_word else tuple(symbols[id] for id in encoded.ids)
        if len(layers) and len(layers[0].layer.steps) > len(tokens):
            boundary = symbols[self.codec.tokenizer.boundary_id]
            tokens = (boundary, *tokens, boundary)
        return LineTrace(tokens, layers)


def array_shapes(settings: dict[str, Any], codec: Codec, stored: Shapes | None = None) -> Shapes:
    """Name to (safetensors type, shape) of the arrays a model of these settings has; allocates nothing.

    Raises:
        ModelError: the settings are not valid, or the labels of another task.
    """
    shape = task_settings.stored(settings["task"], settings)
    if bool(codec.word_columns) != (shape.task == "tagging"):
        why = "taggers have labels of words, and classifiers have none"
        raise ModelError(f"the labels are not those of a model for {shape.task}", why)
    with torch.device("meta"):
        network = TaskNetwork(shape, codec)
    return {name: (_TYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in network.state_dict().items()}


def from_arrays(
    settings: dict[str, Any], codec: Codec, arrays: dict[str, np.ndarray], device: str, fingerprint: str | None, parts: Sequence[Any] = ()
) -> TaskModel:
    """The model whose `to_arrays()` gave `arrays`, on `device`. parts: the language models that it reads beside the words.

    Raises:
        DeviceError: the device is not available. ModelError: the parts are other ones.
    """
    target = resolve_device(device)
    shape = task_settings.stored(settings["task"], settings)
    codec = codec.spelling() if shape.characters else codec
    codec.beside = loaded(shape, parts)
    with torch.device("meta"):
        network = TaskNetwork(shape, codec)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True)
    return TaskModel(network.to(target).eval(), codec, fingerprint=fingerprint)
