"""What the layers of a tagger or classifier give for texts."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from rnnlm.inference.layer_outputs import FEATURES, INPUT, EncodedLines, LayerOutputs, LayerReader, LineWords, Part
from rnnlm.inference.token_spans import Span
from rnnlm.interface import keeps
from rnnlm.tasks.data import EncodedWords, encode_texts
from rnnlm.tasks.encoders.pooling import Parts, parts_of
from rnnlm.tasks.fitting.batches import batch_tensors
from rnnlm.tasks.settings import RecurrentTaskSettings
from rnnlm.tasks.splitting import splitter_of
from rnnlm.text.labelled.splitting.split_text import SplitText

if TYPE_CHECKING:
    from rnnlm.tasks.model import TaskModel


@keeps(LayerReader)
class TaskLayers:
    """The :class:`rnnlm.inference.layer_outputs.LayerReader` of a tagger or classifier. Lines are split into words as the training data
    are; one without words is read as the one word `</s>`. The features of a classifier are those of the whole text."""

    def __init__(self, model: "TaskModel") -> None:
        self.model = model
        settings = model.network.settings
        self.text_layers = () if model.codec.word_columns else (FEATURES,)
        self._parts = parts_of(settings) if isinstance(settings, RecurrentTaskSettings) else {INPUT: [(settings.input_width, False)]}
        self.layers = tuple(self._parts | {FEATURES: []})

    def encode(self, lines: Sequence[str], with_words: bool = False) -> EncodedLines:
        split = splitter_of(self.model.codec)
        found = [split(line) for line in lines]
        spans = [places_of(line, its) for line, its in zip(lines, found, strict=True)] if with_words else None
        return self._encoded([each.words for each in found], spans)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> EncodedLines:
        """Texts that are split into words already; their places are those in a line with a space between two words."""
        return self._encoded(texts, [places_of(" ".join(words), SplitText(tuple(words))) for words in texts])

    def _encoded(self, texts: Sequence[Sequence[str]], spans: Sequence[tuple[Span, ...]] | None) -> EncodedLines:
        """spans: the places of the words of each text; None where nobody asks for the words."""
        encoded = with_boundaries(encode_texts(self.model.codec, texts), self.model.codec.tokenizer.boundary_id)
        if encoded.beside is not None:
            models = zip(encoded.beside.encoded, encoded.beside.models.tokenizers, strict=True)
            beside = tuple(with_boundaries(each, tokenizer.boundary_id) for each, tokenizer in models)
            encoded = replace(encoded, beside=replace(encoded.beside, encoded=beside))
        found = []
        bounds = itertools.pairwise(encoded.word_offsets.tolist())
        for words, places, (first, end) in zip(texts, spans, bounds, strict=True) if spans is not None else ():
            offsets_W = encoded.token_offsets[first : end + 1] - encoded.token_offsets[first]
            tokens_W2 = np.stack([offsets_W[:-1], offsets_W[1:]], axis=1)[: len(words)]
            found.append(LineWords(tuple(words), places, tokens_W2))
        return EncodedLines(encoded.token_lengths, tuple(found), encoded)

    def read(self, encoded: EncodedLines, chosen_B: np.ndarray, layers: Sequence[str]) -> list[LayerOutputs]:
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
                found[FEATURES] = side_by_side(text_BH.unsqueeze(0), [(text_BH.shape[1], False)], np.ones_like(lengths_B))
        return [found[layer] for layer in layers]


def side_by_side(values_TBH: Tensor, parts: Parts, lengths_B: np.ndarray) -> LayerOutputs:
    """A layer of these parts, which reads rows of these lengths."""
    first_B = np.zeros_like(lengths_B)
    pieces = zip(values_TBH.split([width for width, _ in parts], dim=2), parts, strict=True)
    of = tuple(Part(piece, is_backward, first_B if is_backward else lengths_B - 1) for piece, (_, is_backward) in pieces)
    return LayerOutputs(of, first_B, lengths_B)


def with_boundaries(encoded: EncodedWords, boundary_id: int) -> EncodedWords:
    """The same texts, those without words of one word, `</s>`."""
    words_E = np.diff(encoded.word_offsets)
    at_W = encoded.word_offsets[:-1][words_E == 0]
    if not len(at_W):
        return encoded
    lengths_W = np.insert(np.diff(encoded.token_offsets), at_W, 1)
    return EncodedWords(
        np.insert(encoded.ids, encoded.token_offsets[at_W], boundary_id), np.concatenate(([0], np.cumsum(lengths_W))),
        np.concatenate(([0], np.cumsum(np.maximum(words_E, 1)))), np.insert(encoded.is_known, at_W, True), encoded.beside,
    )  # fmt: skip


def places_of(line: str, split: SplitText) -> tuple[Span, ...]:
    """Where the words of a line stand. A word that is not written in it, a part of a multiword form, stands where the form does."""
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
