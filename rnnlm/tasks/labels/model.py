"""A trained network of a task, as it is loaded, saved, and read with."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.events import never
from rnnlm.inference.layer_outputs import (
    FEATURES,
    INPUT,
    EncodedLines,
    LayerOutputs,
    LayerReader,
    LineWords,
    Part,
)
from rnnlm.inference.words import Span
from rnnlm.interface import LanguageModel, Shapes, keeps
from rnnlm.neural.device import resolve_device
from rnnlm.neural.trace import LineTrace
from rnnlm.neural.words import WordRows, input_rows
from rnnlm.tasks.batches import batch_tensors
from rnnlm.tasks.labels import settings as task_settings
from rnnlm.tasks.labels.contextual import loaded
from rnnlm.tasks.labels.data import MULTI, Codec, EncodedWords, LabelColumn, encode_texts
from rnnlm.tasks.labels.encoders import Parts, parts_of
from rnnlm.tasks.labels.heads import TaggingHead, TextHead
from rnnlm.tasks.labels.network import Features, TaskNetwork
from rnnlm.tasks.labels.settings import RecurrentTaskSettings, TaggingSettings
from rnnlm.tasks.labels.splitting import splitter_of
from rnnlm.tasks.saved_model import SavedModel
from rnnlm.text.batches import by_length
from rnnlm.text.labelled.example import joined_labels
from rnnlm.text.labelled.splitting import SplitText

# ---- What the layers of a tagger or classifier give for texts.


@keeps(LayerReader)
class TaskLayers:
    """The :class:`rnnlm.inference.layer_outputs.LayerReader` of a tagger or classifier. Lines are
    split into words as the training data are; one without words is read as the one word `</s>`. The
    features of a classifier are those of the whole text."""

    def __init__(self, model: "TaskModel") -> None:
        self.model = model
        settings = model.network.settings
        self.text_layers = () if model.codec.word_columns else (FEATURES,)
        self._parts = (
            parts_of(settings)
            if isinstance(settings, RecurrentTaskSettings)
            else {INPUT: [(settings.input_width, False)]}
        )
        self.layers = tuple(self._parts | {FEATURES: []})

    def encode(self, lines: Sequence[str], with_words: bool = False) -> EncodedLines:
        split = splitter_of(self.model.codec)
        found = [split(line) for line in lines]
        spans = (
            [places_of(line, its) for line, its in zip(lines, found, strict=True)]
            if with_words
            else None
        )
        return self._encoded([each.words for each in found], spans)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> EncodedLines:
        """Texts that are split into words already; their places are those in a line with a space
        between two words."""
        return self._encoded(
            texts, [places_of(" ".join(words), SplitText(tuple(words))) for words in texts]
        )

    def _encoded(
        self, texts: Sequence[Sequence[str]], spans: Sequence[tuple[Span, ...]] | None
    ) -> EncodedLines:
        """spans: the places of the words of each text; None where nobody asks for the words."""
        encoded = with_boundaries(
            encode_texts(self.model.codec, texts), self.model.codec.tokenizer.boundary_id
        )
        if encoded.beside is not None:
            models = zip(encoded.beside.encoded, encoded.beside.models.tokenizers, strict=True)
            beside = tuple(
                with_boundaries(each, tokenizer.boundary_id) for each, tokenizer in models
            )
            encoded = replace(encoded, beside=replace(encoded.beside, encoded=beside))
        found = []
        bounds = itertools.pairwise(encoded.word_offsets.tolist())
        for words, places, (first, end) in (
            zip(texts, spans, bounds, strict=True) if spans is not None else ()
        ):
            offsets_W = encoded.token_offsets[first : end + 1] - encoded.token_offsets[first]
            tokens_W2 = np.stack([offsets_W[:-1], offsets_W[1:]], axis=1)[: len(words)]
            found.append(LineWords(tuple(words), places, tokens_W2))
        return EncodedLines(encoded.token_lengths, tuple(found), encoded)

    def read(
        self, encoded: EncodedLines, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        inputs = batch_tensors(encoded.data, chosen_B, self.model.device)
        lengths_B = encoded.lengths_L[chosen_B]
        found: dict[str, LayerOutputs] = {}
        with self.model.reading():
            if set(layers) - set(self.text_layers):
                names = [name for name in self.layers if name not in self.text_layers]
                for name, values in zip(names, self.model.network.layers(inputs), strict=False):
                    found[name] = side_by_side(values, self._parts[name], lengths_B)
            if set(layers) & set(self.text_layers):
                text_BH = self.model.network(inputs).text_BH
                found[FEATURES] = side_by_side(
                    text_BH.unsqueeze(0), [(text_BH.shape[1], False)], np.ones_like(lengths_B)
                )
        return [found[layer] for layer in layers]


def side_by_side(values_TBH: Tensor, parts: Parts, lengths_B: np.ndarray) -> LayerOutputs:
    """A layer of these parts, which reads rows of these lengths."""
    first_B = np.zeros_like(lengths_B)
    pieces = zip(values_TBH.split([width for width, _ in parts], dim=2), parts, strict=True)
    of = tuple(
        Part(piece, is_backward, first_B if is_backward else lengths_B - 1)
        for piece, (_, is_backward) in pieces
    )
    return LayerOutputs(of, first_B, lengths_B)


def with_boundaries(encoded: EncodedWords, boundary_id: int) -> EncodedWords:
    """The same texts, those without words of one word, `</s>`."""
    words_E = np.diff(encoded.word_offsets)
    at_W = encoded.word_offsets[:-1][words_E == 0]
    if not len(at_W):
        return encoded
    lengths_W = np.insert(np.diff(encoded.token_offsets), at_W, 1)
    return EncodedWords(
        np.insert(encoded.ids, encoded.token_offsets[at_W], boundary_id),
        np.concatenate(([0], np.cumsum(lengths_W))),
        np.concatenate(([0], np.cumsum(np.maximum(words_E, 1)))),
        np.insert(encoded.is_known, at_W, True), encoded.beside,
    )  # fmt: skip


def places_of(line: str, split: SplitText) -> tuple[Span, ...]:
    """Where the words of a line stand. A word that is not written in it, a part of a multiword
    form, stands where the form does."""
    forms = {first: (end, form) for first, end, form in split.ranges}
    lowered = line.lower() if len(line.lower()) == len(line) else line
    found: list[Span] = []
    at = 0
    while len(found) < len(split.words):
        end, form = forms.get(len(found), (len(found) + 1, split.words[len(found)]))
        start = max(at, _find(line, lowered, form, at))
        behind = start + len(form)
        for word in split.words[len(found) : end]:
            place = line.find(word, at, behind)
            at = place + len(word) if place >= 0 else at
            found.append((place, at) if place >= 0 else (start, behind))
        at = behind
    return tuple(found)


def _find(line: str, lowered: str, form: str, at: int) -> int:
    place = line.find(form, at)
    return place if place >= 0 else lowered.find(form.lower(), at)


# ---- model

TOKENS = 1 << 12  # read in one call, about
_TYPES = {torch.float32: "F32", torch.int32: "I32"}


@dataclass(frozen=True)
class Reading:
    """The features of one batch of texts. chosen: the numbers of these texts among all that are
    read."""

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
    def model_kind(self) -> str:
        return self.network.settings.model

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
                "this model has no output vectors",
                "it predicts labels, not words",
                "take its input vectors, which are the default",
            )
        return input_rows(self.network.encoder.input, self.codec.tokenizer)

    def read(
        self, texts: Sequence[Sequence[str]] | EncodedWords, stop: Callable[[], bool] = never
    ) -> Iterator[Reading]:
        """The features of texts, each a list of words, batch by batch, those of about the same
        length together. Ends early where `stop`, asked before each batch, says so."""
        encoded = texts if isinstance(texts, EncodedWords) else encode_texts(self.codec, texts)
        for chosen in by_length(encoded.token_lengths, TOKENS):
            if stop():
                return
            inputs = batch_tensors(encoded, chosen, self.device)
            with self.reading():
                features = self.network(inputs)
            yield Reading(chosen, inputs, features)

    def trace_line(self, line: str) -> LineTrace:
        """What each recurrent layer did at each token of a text, split into words as the model
        splits text; no layers where it has none.

        Raises:
            TextError: the text has no words.
        """
        words = splitter_of(self.codec)(line).words
        if not words:
            raise TextError("there is nothing to read", "the text has no words")
        encoded = encode_texts(self.codec, [words])
        with self.reading():
            layers = self.network.trace(
                batch_tensors(encoded, np.zeros(1, dtype=np.int64), self.device)
            )
        symbols = self.codec.tokenizer.symbols()
        tokens = words if encoded.is_by_word else tuple(symbols[id] for id in encoded.ids)
        if len(layers) and len(layers[0].layer.steps) > len(tokens):
            boundary = symbols[self.codec.tokenizer.boundary_id]
            tokens = (boundary, *tokens, boundary)
        return LineTrace(tokens, layers)


def array_shapes(settings: Mapping[str, Any], codec: Codec, stored: Shapes | None = None) -> Shapes:
    """Name to (safetensors type, shape) of the arrays a model of these settings has; allocates
    nothing.

    Raises:
        ModelError: the settings are not valid, or the labels of another task.
    """
    shape = task_settings.stored(settings["task"], settings)
    if bool(codec.word_columns) != (shape.task == "tagging"):
        why = "taggers have labels of words, and classifiers have none"
        raise ModelError(f"the labels are not those of a model for {shape.task}", why)
    with torch.device("meta"):
        network = TaskNetwork(shape, codec)
    return {
        name: (_TYPES[tensor.dtype], tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def from_arrays(
    settings: dict[str, Any],
    codec: Codec,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
    parts: Sequence[LanguageModel] = (),
) -> TaskModel:
    """The model whose `to_arrays()` gave `arrays`, on `device`. parts: the language models that it
    reads beside the words.

    Raises:
        DeviceError: the device is not available. ModelError: the parts are other ones.
    """
    target = resolve_device(device)
    shape = task_settings.stored(settings["task"], settings)
    codec = codec.spelling() if shape.characters else codec
    codec.beside = loaded(shape, parts)
    with torch.device("meta"):
        network = TaskNetwork(shape, codec)
    network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True
    )
    return TaskModel(network.to(target).eval(), codec, fingerprint=fingerprint)


# ---- Predictions of a model: labels of words and of whole texts, with probabilities, and the n
# best label sequences.

THRESHOLD = 0.5  # of the probability of a label, where a text has several


@dataclass(frozen=True)
class WordLabels:
    """A label of each word of a sentence, as the training data write them, and the log-probability
    (natural) of all of them together."""

    labels: tuple[str, ...]
    logprob_nats: float


@dataclass(frozen=True)
class ColumnPrediction:
    """The prediction for one label column.

    best: the best label sequences of a column of words, best first. label: the label in a column of
    texts. p_TK: the probability of each symbol for each word, (T, K), if asked for (marginals of a
    CRF); (1, K) for texts. symbols: the K symbols.
    """

    column: str
    symbols: tuple[str, ...]
    best: tuple[WordLabels, ...] = ()
    label: str = ""
    p_TK: np.ndarray | None = None


Prediction = tuple[ColumnPrediction, ...]  # of a text, in the order of the codec's columns


@dataclass(frozen=True)
class Search:
    """How labels are searched for. constrained: spans keep to their scheme; None: as the model was
    trained. beam: its width, with label feedback. nbest: how many label sequences are wanted.
    probabilities: whether those of each word's symbols are wanted."""

    constrained: bool | None = None
    beam: int = 1
    nbest: int = 1
    probabilities: bool = False


def predict(
    model: TaskModel, texts: Sequence[Sequence[str]], search: Search | None = None
) -> list[Prediction]:
    """The prediction for each text, a list of words, in order. It does not depend on the other
    texts.

    Raises:
        UsageError: more label sequences are asked for than the beam of label feedback holds.
    """
    found: list[Prediction | None] = [None] * len(texts)
    encoded = encode_texts(model.codec, texts)
    for place, prediction in predictions(model, texts, encoded, search or Search()):
        found[place] = prediction
    return [each for each in found if each is not None]


def predictions(
    model: TaskModel,
    texts: Sequence[Sequence[str]],
    encoded: EncodedWords,
    search: Search,
    stop: Callable[[], bool] = never,
) -> Iterator[tuple[int, Prediction]]:
    """(place of the text, its prediction), those of about the same length together; `encoded` are
    the words of `texts`."""
    for reading in model.read(encoded, stop):
        yield from of_reading(model, reading, texts, search)


def of_reading(
    model: TaskModel, reading: Reading, texts: Sequence[Sequence[str]], search: Search
) -> Iterator[tuple[int, Prediction]]:
    """The predictions of the texts that were read together."""
    columns = []
    for column, head in zip(model.codec.columns, model.network.heads, strict=True):
        with model.reading():
            if isinstance(head, TextHead):
                assert reading.features.text_BH is not None
                columns.append(
                    _of_texts(column, head.label_probabilities(reading.features.text_BH))
                )
            else:
                assert isinstance(head, TaggingHead)
                constrained = (
                    model.is_constrained if search.constrained is None else search.constrained
                )
                columns.append(
                    _of_words(
                        column,
                        head,
                        reading,
                        [texts[each] for each in reading.chosen],
                        search,
                        constrained,
                    )
                )
    for number, place in enumerate(reading.chosen.tolist()):
        yield place, tuple(column[number] for column in columns)


def _of_words(
    column: LabelColumn,
    head: TaggingHead,
    reading: Reading,
    texts: Sequence[Sequence[str]],
    search: Search,
    constrained: bool,
) -> list[ColumnPrediction]:
    features_TBH, _, lengths_B = reading.features
    assert features_TBH is not None
    paths = head.predict(
        features_TBH,
        lengths_B,
        column.constraints if constrained else None,
        search.beam,
        search.nbest,
    )
    labels_nBT, logprob_nB = (
        paths.labels_nTB.transpose(1, 2).cpu().numpy(),
        paths.logprob_nB.double().cpu().numpy(),
    )
    p_BTK = (
        _numpy(head.label_probabilities(features_TBH, lengths_B).transpose(0, 1))
        if search.probabilities
        else None
    )
    found = []
    for row, words in enumerate(texts):
        best = tuple(
            WordLabels(
                column.decode_words(labels_nBT[rank, row, : len(words)].tolist(), words),
                float(logprob_nB[rank, row]),
            )
            for rank in range(len(labels_nBT))
            # of weights that are no numbers there is one, too
            if rank == 0 or np.isfinite(logprob_nB[rank, row])
        )
        found.append(
            ColumnPrediction(
                column.name,
                column.symbols,
                best,
                p_TK=None if p_BTK is None else p_BTK[row, : len(words)],
            )
        )
    return found


def _of_texts(column: LabelColumn, p_BK: Tensor) -> list[ColumnPrediction]:
    found = []
    for p_K in _numpy(p_BK):
        if column.form == MULTI:
            label = joined_labels(
                column.symbols[each] for each in np.flatnonzero(p_K >= THRESHOLD).tolist()
            )
        else:
            label = column.symbols[int(p_K.argmax())]
        found.append(ColumnPrediction(column.name, column.symbols, label=label, p_TK=p_K[None]))
    return found


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
