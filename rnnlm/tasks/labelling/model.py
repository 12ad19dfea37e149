"""Load, save and use a trained tagger or classifier: read texts, predict labels."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from rnnlm.errors import TextError, UsageError
from rnnlm.events import never
from rnnlm.interface import LanguageModel, keeps
from rnnlm.lm.base.layer_outputs import (
    FEATURES,
    INPUT,
    LayerInputs,
    LayerOutputs,
    LayerReader,
    LineWords,
)
from rnnlm.lm.base.words import Span
from rnnlm.lm.neural.device import resolve_device
from rnnlm.lm.neural.trace import LineTrace
from rnnlm.lm.neural.trained_network import Parts, SavedModel, filled, parts_of, side_by_side
from rnnlm.lm.neural.words import WordRows, input_rows
from rnnlm.parallel import interruptible_pieces
from rnnlm.tasks.labelling import answers, settings as task_settings
from rnnlm.tasks.labelling.batches import batch_tensors
from rnnlm.tasks.labelling.data import (
    MULTI,
    Codec,
    EncodedWords,
    LabelColumn,
    encode_texts,
    lines_of,
)
from rnnlm.tasks.labelling.formats.example import joined_labels
from rnnlm.tasks.labelling.networks.contextual import loaded
from rnnlm.tasks.labelling.networks.heads import TaggingHead, TextHead
from rnnlm.tasks.labelling.networks.network import Features, TaskNetwork, make_network
from rnnlm.tasks.labelling.splitting import split_text
from rnnlm.text.batches import by_length

# ---- The outputs of a tagger's or classifier's layers for texts.


@keeps(LayerReader)
class TaskLayers:
    """The :class:`rnnlm.lm.base.layer_outputs.LayerReader` of a tagger or classifier. It reads a
    line without words as the one word `</s>`. The features of a classifier concern the whole
    text."""

    def __init__(self, model: "TaskModel") -> None:
        self.model = model
        settings = model.network.settings
        self.text_layers = () if model.codec.word_columns else (FEATURES,)
        self.tokenizer = model.codec.tokenizer
        self._parts: dict[str, Parts] = {INPUT: [(settings.input_width, False)]}
        if isinstance(settings, task_settings.RecurrentTaskSettings):
            self._parts = parts_of(settings)
        self.layers = tuple(self._parts | {FEATURES: []})

    def lines_read(self, lines: Sequence[str]) -> Sequence[str]:
        return lines_of([split_text(self.model.codec, line) for line in lines])

    def encode(self, lines: Sequence[str], with_words: bool = False) -> LayerInputs:
        texts = [split_text(self.model.codec, line) for line in lines]
        pairs = zip(lines, texts, strict=True)
        spans = [places_of(line, words) for line, words in pairs] if with_words else None
        return self._encoded(texts, spans)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> LayerInputs:
        """Encode texts that are split into words already; the words' places are those in a line
        with a space between two words."""
        return self._encoded(texts, [places_of(" ".join(words), words) for words in texts])

    def _encoded(
        self, texts: Sequence[Sequence[str]], spans: Sequence[tuple[Span, ...]] | None
    ) -> LayerInputs:
        """Encode texts of which each has a word, `</s>` where there is none. spans: the places of
        the words of each text; None if the words are not needed."""
        codec = self.model.codec
        encoded = with_boundaries(encode_texts(codec, texts), codec.tokenizer.boundary_id)
        if encoded.beside is not None:
            pairs = zip(encoded.beside.encoded, encoded.beside.models.models, strict=True)
            beside = tuple(
                with_boundaries(seen, model.tokenizer.boundary_id) for seen, model in pairs
            )
            encoded = replace(encoded, beside=replace(encoded.beside, encoded=beside))
        if spans is None:
            return LayerInputs(encoded.token_lengths, (), encoded)

        # Which tokens each word has, counted from the text's first.
        line_words = []
        bounds = itertools.pairwise(encoded.word_offsets.tolist())
        for words, places, (first, end) in zip(texts, spans, bounds, strict=True):
            offsets_W = encoded.token_offsets[first : end + 1] - encoded.token_offsets[first]
            tokens_W2 = np.stack([offsets_W[:-1], offsets_W[1:]], axis=1)[: len(words)]
            line_words.append(LineWords(tuple(words), places, tokens_W2))
        return LayerInputs(encoded.token_lengths, tuple(line_words), encoded)

    def read(
        self, encoded: LayerInputs, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        inputs = batch_tensors(encoded.data, chosen_B, self.model.device)
        lengths_B = encoded.lengths_L[chosen_B]
        outputs: dict[str, LayerOutputs] = {}
        with self.model.reading():
            # Layers that give a vector of each token.
            if set(layers) - set(self.text_layers):
                names = [name for name in self.layers if name not in self.text_layers]
                for name, values in zip(names, self.model.network.layers(inputs), strict=False):
                    outputs[name] = side_by_side(values, self._parts[name], lengths_B)
            # A classifier's features are one vector of each text.
            if set(layers) & set(self.text_layers):
                text_BH = self.model.network(inputs).text_BH
                outputs[FEATURES] = side_by_side(
                    text_BH.unsqueeze(0), [(text_BH.shape[1], False)], np.ones_like(lengths_B)
                )
        return [outputs[layer] for layer in layers]


def with_boundaries(encoded: EncodedWords, boundary_id: int) -> EncodedWords:
    """Return the texts with the word `</s>` in each that has no words."""
    words_E = np.diff(encoded.word_offsets)
    at_W = encoded.word_offsets[:-1][words_E == 0]
    if not len(at_W):
        return encoded
    lengths_W = np.insert(np.diff(encoded.token_offsets), at_W, 1)
    words_E = np.maximum(words_E, 1)
    return replace(
        encoded,
        ids=np.insert(encoded.ids, encoded.token_offsets[at_W], boundary_id),
        token_offsets=np.concatenate(([0], np.cumsum(lengths_W))),
        word_offsets=np.concatenate(([0], np.cumsum(words_E))),
        is_known=np.insert(encoded.is_known, at_W, True),
    )


def places_of(line: str, words: Sequence[str]) -> tuple[Span, ...]:
    """Find the words, or the letters of a word in either case, in their line."""
    lowered = line.lower()
    if len(lowered) != len(line):
        lowered = line  # places in it would be others
    places: list[Span] = []
    at = 0
    for word in words:
        place = line.find(word, at)
        if place < 0:
            place = lowered.find(word.lower(), at)
        start = max(at, place)
        at = start + len(word)
        places.append((start, at))
    return tuple(places)


# ---- model

TOKENS = 1 << 12  # read in one call, about


@dataclass(frozen=True)
class BatchFeatures:
    """The features of one batch of texts. chosen: the numbers of these texts among all that are
    read."""

    chosen: np.ndarray
    inputs: tuple[Tensor, ...]
    features: Features


class TaskModel(SavedModel[TaskNetwork, Codec]):
    """A tagger or classifier. codec: its tokenizer and labels."""

    @property
    def task(self) -> str:  # type: ignore[override]  # it follows from the settings
        """The task of the model: "tagging" or "classification"."""
        return self.network.settings.task

    @property
    def is_constrained(self) -> bool:
        """Whether the labels of spans keep to their scheme."""
        settings = self.network.settings
        return getattr(settings, "constrained", False)

    def new_network(self) -> TaskNetwork:
        """Return a network of its settings, with random weights."""
        return make_network(self.network.settings, self.codec)

    def layer_reader(self) -> TaskLayers:
        """Return the reader of lines that gives the outputs of the layers."""
        return TaskLayers(self)

    def word_vectors(self, which: str) -> WordRows:
        """Return the vectors of the words that the model reads ("input"); it has no others."""
        if which == "output":
            raise UsageError(
                "this model has no output vectors",
                "it predicts labels, not words",
                "use its input vectors, which are the default",
            )
        return input_rows(self.network.encoder.input, self.codec.tokenizer)

    def read(
        self, texts: Sequence[Sequence[str]] | EncodedWords, stop: Callable[[], bool] = never
    ) -> Iterator[BatchFeatures]:
        """Yield the features of texts, each a list of words, batch by batch, texts of about the
        same length together. End early if `stop`, called before each batch, returns True."""
        encoded = texts if isinstance(texts, EncodedWords) else encode_texts(self.codec, texts)
        for chosen in interruptible_pieces(by_length(encoded.token_lengths, TOKENS)):
            if stop():
                return
            inputs = batch_tensors(encoded, chosen, self.device)
            with self.reading():
                features = self.network(inputs)
            yield BatchFeatures(chosen, inputs, features)

    def trace_line(self, line: str) -> LineTrace:
        """Trace each layer at each token of a text; those without recurrence at each place."""
        words = split_text(self.codec, line)
        if not words:
            raise TextError("there is nothing to read", "the text has no words")
        encoded = encode_texts(self.codec, [words])
        with self.reading():
            inputs = batch_tensors(encoded, np.zeros(1, dtype=np.int64), self.device)
            layers = self.network.trace(inputs)
        symbols = self.codec.tokenizer.symbols()
        tokens = words if encoded.is_by_word else tuple(symbols[id] for id in encoded.ids)
        # A network that reads boundaries has a step for each.
        if len(layers) and len(layers[0].layer.steps) > len(tokens):
            boundary = symbols[self.codec.tokenizer.boundary_id]
            tokens = (boundary, *tokens, boundary)
        return LineTrace(tokens, layers)


def from_arrays(
    settings: dict[str, Any],
    codec: Codec,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
    parts: Sequence[LanguageModel] = (),
) -> TaskModel:
    """Restore the model whose `to_arrays()` gave `arrays`, on `device`. parts: the language models
    that it reads beside the words."""
    target = resolve_device(device)
    shape = task_settings.stored(settings["task"], settings)
    codec = codec.spelling() if shape.characters else codec
    codec.beside = loaded(shape, parts)
    codec.node_loss = getattr(shape, "node_loss", None)
    network = filled(lambda: TaskNetwork(shape, codec), arrays)
    return TaskModel(network.to(target).eval(), codec, fingerprint=fingerprint)


# ---- Predictions of a model: labels of words and of whole texts, with probabilities, and the n
# best label sequences.

THRESHOLD = 0.5  # of the probability of a label, where a text has several


@dataclass(frozen=True)
class WordLabels:
    """A label of each word of a sentence, as the training data write them, and the log-probability
    (natural) of all of them together, or of all label sequences that are written alike."""

    labels: tuple[str, ...]
    logprob_nats: float


@dataclass(frozen=True)
class ColumnPrediction:
    """The prediction for one label column.

    best: the best label sequences of a column of words, best first. label: the label in a column of
    texts. p_TK: the probability of each symbol for each word, (T, K), if asked for (marginals of a
    CRF); (1, K) for texts. p_NK: those of each node of a tree, where the network reads them.
    symbols: the K symbols.
    """

    column: str
    symbols: tuple[str, ...]
    best: tuple[WordLabels, ...] = ()
    label: str = ""
    p_TK: np.ndarray | None = None
    p_NK: np.ndarray | None = None


Prediction = tuple[ColumnPrediction, ...]  # of a text, in the order of the codec's columns


@dataclass(frozen=True)
class LabelSearch:
    """Settings for the search for labels. nbest: how many answers to return: one is the most
    probable label sequence; several are ranked by their whole probability. probabilities: whether
    to return the probabilities of each word's symbols, and of one answer the whole one."""

    nbest: int = 1
    probabilities: bool = False


def predict(
    model: TaskModel, texts: Sequence[Sequence[str]], search: LabelSearch | None = None
) -> list[Prediction]:
    """Return the prediction for each text, a list of words, in order. It does not depend on the
    other texts."""
    by_place: dict[int, Prediction] = {}
    for reading in model.read(texts):
        by_place |= of_reading(model, reading, texts, search or LabelSearch())
    return [by_place[place] for place in range(len(texts))]


def of_reading(
    model: TaskModel, reading: BatchFeatures, texts: Sequence[Sequence[str]], search: LabelSearch
) -> dict[int, Prediction]:
    """Return the predictions of the texts that were read together, by the place of the text."""
    read_texts = [texts[text] for text in reading.chosen]
    constrained = model.is_constrained
    # Each column has a head, which predicts for all texts at once.
    columns = []
    for column, head in zip(model.codec.columns, model.network.heads, strict=True):
        with model.reading():
            if isinstance(head, TextHead):
                assert reading.features.text_BH is not None
                p_BK = head.label_probabilities(reading.features.text_BH)
                p_BNK: Sequence[np.ndarray | None] = [None] * len(p_BK)
                if reading.features.nodes_NBH is not None:
                    p_NBK = head.label_probabilities(reading.features.nodes_NBH)
                    rows = zip(_numpy(p_NBK.transpose(0, 1)), read_texts, strict=True)
                    p_BNK = [p_NK[: 2 * len(words) - 1] for p_NK, words in rows]
                columns.append(_of_texts(column, p_BK, p_BNK))
            else:
                assert isinstance(head, TaggingHead)
                columns.append(_of_words(column, head, reading, read_texts, search, constrained))
    return dict(zip(reading.chosen.tolist(), zip(*columns, strict=True), strict=True))


def _of_words(
    column: LabelColumn,
    head: TaggingHead,
    reading: BatchFeatures,
    texts: Sequence[Sequence[str]],
    search: LabelSearch,
    constrained: bool,
) -> list[ColumnPrediction]:
    # Sequences that are written alike are one answer, for which more of them are searched.
    features_TBH, lengths_B = reading.features.words_TBH, reading.features.lengths_B
    assert features_TBH is not None
    is_ambiguous = answers.are_ambiguous(column, constrained)
    nbest = search.nbest
    if is_ambiguous and nbest > 1:
        nbest = answers.paths_for(column, nbest)

    # The n best label sequences of all texts at once, and the probabilities of each label.
    constraints = column.constraints if constrained else None
    paths = head.predict(features_TBH, lengths_B, constraints, nbest)
    labels_nBT = _numpy(paths.labels_nTB.transpose(1, 2))
    logprob_nB = _numpy(paths.logprob_nB.double())
    p_BTK = None
    if search.probabilities:
        p_BTK = _numpy(head.label_probabilities(features_TBH, lengths_B).transpose(0, 1))

    # The different answers for each text, without padding.
    found: dict[tuple[int, tuple[str, ...]], WordLabels] = {}
    for row, words in enumerate(texts):
        for rank in range(len(labels_nBT)):
            # A text has a best one even if weights are no numbers, but perhaps fewer than n.
            if rank == 0 or np.isfinite(logprob_nB[rank, row]):
                labels = column.decode_words(labels_nBT[rank, row, : len(words)].tolist(), words)
                path = WordLabels(labels, float(logprob_nB[rank, row]))
                found.setdefault((row, answers.written(column, labels)), path)

    # Each has the probability of all that is written like it, and is ranked by it.
    if is_ambiguous and (search.nbest > 1 or search.probabilities):
        paths_A = [(row, path.labels) for (row, _), path in found.items()]
        sets = answers.path_sets(column, paths_A, texts, len(features_TBH))
        logprob_A = head.total_logprobs(features_TBH, lengths_B, sets).tolist()
        pairs = zip(found.items(), logprob_A, strict=True)
        found = {key: replace(path, logprob_nats=logprob) for (key, path), logprob in pairs}
    best_B: list[list[WordLabels]] = [[] for _ in texts]
    for (row, _), answer in found.items():
        best_B[row].append(answer)

    predictions_of_column = []
    for row, (words, best) in enumerate(zip(texts, best_B, strict=True)):
        p_TK = None if p_BTK is None else p_BTK[row, : len(words)]
        ranked = sorted(best, key=lambda answer: -answer.logprob_nats)[: search.nbest]
        predictions_of_column.append(
            ColumnPrediction(column.name, column.symbols, tuple(ranked), p_TK=p_TK)
        )
    return predictions_of_column


def _of_texts(
    column: LabelColumn, p_BK: Tensor, p_BNK: Sequence[np.ndarray | None]
) -> list[ColumnPrediction]:
    predictions_of_column = []
    for p_K, p_NK in zip(_numpy(p_BK), p_BNK, strict=True):
        if column.form == MULTI:
            likely = np.flatnonzero(p_K >= THRESHOLD).tolist()
            label = joined_labels(column.symbols[symbol] for symbol in likely)
        else:
            label = column.symbols[int(p_K.argmax())]
        predictions_of_column.append(
            ColumnPrediction(column.name, column.symbols, label=label, p_TK=p_K[None], p_NK=p_NK)
        )
    return predictions_of_column


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
