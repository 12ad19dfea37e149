"""Define the outputs of a network's layers for lines of text, which every neural model provides.

A model's `layer_reader()` returns a :class:`LayerReader`. It encodes lines, or lists of words, and
reads batches of them, each line alone from the initial state. Positions run in the order of the
text, in whatever direction a layer reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnnlm.interface import Array, Tokenizer
from rnnlm.lm.base.words import Span, token_spans, word_spans

INPUT, FEATURES = "input", "features"


class DirectionOutput(NamedTuple):
    """The outputs of one direction of a layer for B lines, (T, B, W). is_backward: it reads from
    the end of the line, so a word is read whole at its first token. last_B: the position at which
    the direction has read all of each line."""

    values_TBH: Array
    is_backward: bool
    last_B: np.ndarray


@dataclass(frozen=True)
class LayerOutputs:
    """The outputs of one layer for B lines, its parts side by side. begins_B, ends_B: the positions
    of each line's tokens, one at least."""

    parts: tuple[DirectionOutput, ...]
    begins_B: np.ndarray
    ends_B: np.ndarray


@dataclass(frozen=True)
class LineWords:
    """The W words of a line. spans: the characters of each, first and one past the last. tokens_W2:
    its first token and the one past its last, among the tokens of the line."""

    words: tuple[str, ...]
    spans: tuple[Span, ...]
    tokens_W2: np.ndarray


@dataclass(frozen=True)
class LayerInputs:
    """L lines as a model reads them. lengths_L: how many tokens of each are read. words: of each
    line; () if they were not requested. data: the lines in the reader's own form."""

    lengths_L: np.ndarray
    words: tuple[LineWords, ...]
    data: Any


class LayerReader(Protocol):
    """Reads lines and returns the outputs of the layers of one network."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the words that it reads."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers: "input", the vectors that the network reads for each token; "1" and
        so on, from the lowest; "features", the input of its output layer."""

    @property
    def text_layers(self) -> tuple[str, ...]:
        """The layers that have one vector for each line, and none for each token."""

    def lines_read(self, lines: Sequence[str]) -> Sequence[str]:
        """Return lines as the tokenizer reads them."""

    def encode(self, lines: Sequence[str], with_words: bool = False) -> LayerInputs:
        """Encode lines of text. Their words are split at white space, or as the model's training
        data split a text into words."""

    def encode_words(self, texts: Sequence[Sequence[str]]) -> LayerInputs:
        """Encode texts that are already split into words, with their words."""

    def read(
        self, encoded: LayerInputs, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        """Return the outputs of each of `layers` for the lines `chosen_B`, read side by side."""


def encoded_lines(lines: Sequence[str], tokenizer: Tokenizer, with_words: bool) -> LayerInputs:
    """Return lines as a tokenizer encodes them, each read with its `</s>`; their words are split at
    white space."""
    encoded = tokenizer.encode(lines)
    lengths_L = np.diff(encoded.offsets)
    if not with_words:
        return LayerInputs(lengths_L, (), encoded)
    spans = [word_spans(line) for line in lines]
    words = [
        [line[start:end] for start, end in spans_of_line]
        for line, spans_of_line in zip(lines, spans, strict=True)
    ]
    words_of_lines = line_words(lines, words, spans, lengths_L - 1, tokenizer)
    return LayerInputs(lengths_L, words_of_lines, encoded)


def line_words(
    lines: Sequence[str],
    words: Sequence[Sequence[str]],
    spans: Sequence[Sequence[Span]],
    lengths: np.ndarray,
    tokenizer: Tokenizer,
) -> tuple[LineWords, ...]:
    """Return the words of each line, with their tokens.

    lines: as they are given to the tokenizer, which normalises them itself. spans: the characters
    of each word. lengths: the tokens of each line, without `</s>`. A word of which no token is
    left, such as a mark that the tokenizer removes, gets the token before it.
    """
    # Where each token is one of the words, the tokens are numbered as the words are.
    normalised = tokenizer.normalise(lines)
    tokens_are_words = tokenizer.name == "word"
    tokens_of_lines: list[np.ndarray | None] = []
    for number, length in enumerate(lengths.tolist()):
        is_unchanged = normalised[number] == lines[number]
        if tokens_are_words and is_unchanged and length == len(words[number]):
            first_W = np.arange(length)
            tokens_of_lines.append(np.stack([first_W, first_W + 1], axis=1))
        else:
            tokens_of_lines.append(None)

    # In other lines, the tokens of a word are those that share a character with it.
    others = [number for number, tokens in enumerate(tokens_of_lines) if tokens is None]
    spans_of_tokens = token_spans([lines[number] for number in others], tokenizer)
    for number, spans_T2 in zip(others, spans_of_tokens, strict=True):
        tokens_of_lines[number] = _tokens_of(spans[number], spans_T2)

    all_words = []
    for words_W, spans_W, tokens_W2 in zip(words, spans, tokens_of_lines, strict=True):
        assert tokens_W2 is not None
        all_words.append(LineWords(tuple(words_W), tuple(spans_W), tokens_W2))
    return tuple(all_words)


def _tokens_of(spans: Sequence[Span], spans_T2: np.ndarray) -> np.ndarray:
    """Return the first token of each word and the one past its last, (W, 2), by the characters that
    both hold."""
    bounds_W2 = np.array(spans, dtype=np.int64).reshape(-1, 2)
    first_W = np.searchsorted(spans_T2[:, 1], bounds_W2[:, 0], side="right")
    end_W = np.searchsorted(spans_T2[:, 0], bounds_W2[:, 1], side="left")

    # A word without a token gets the one before it; at the start of a line, the first one. In a
    # line without tokens, all words get the place of `</s>`, 0.
    end_W = np.maximum(end_W, 1)
    first_W = np.minimum(first_W, end_W - 1)
    return np.stack([first_W, end_W], axis=1)
