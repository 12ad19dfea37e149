"""Examples as numbers: the tokens of each word, the label of each word or text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from rnnlm.interface import Tokenizer
from rnnlm.tasks.codec import WORD, Codec
from rnnlm.text.labelled.example import Example, LabelledText


@dataclass(frozen=True)
class EncodedWords:
    """The words of E texts as tokens, each word encoded alone.

    ids: (N,) tokens. token_offsets: (W + 1,), word w is `ids[token_offsets[w]:token_offsets[w + 1]]`. word_offsets: (E + 1,), text e has
    the words from `word_offsets[e]` on. is_known: (W,), whether the vocabulary has the word, all its tokens. beside: the same words as the
    language models of `--contextual` read them (:class:`rnnlm.tasks.encoders.contextual.WordStates`), where there are some.
    """

    ids: np.ndarray
    token_offsets: np.ndarray
    word_offsets: np.ndarray
    is_known: np.ndarray
    beside: Any = None

    @property
    def texts(self) -> int:
        """How many."""
        return len(self.word_offsets) - 1

    @cached_property
    def is_by_word(self) -> bool:
        """Whether each word is one token."""
        return len(self.ids) == len(self.token_offsets) - 1

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """Tokens of each text, (E,)."""
        return np.diff(self.token_offsets[self.word_offsets])


@dataclass(frozen=True)
class LabelledData:
    """Examples and what a network reads of them.

    labels: for each column of the codec numbers of labels, -1 where training never saw one: (W,) of a column of words, (E, 1) of a
    column of texts, (E, K) zeros and ones where a text has several. content_hash: of words and labels.
    """

    examples: tuple[Example, ...]
    words_encoded: EncodedWords
    labels: tuple[np.ndarray, ...]
    content_hash: str

    @property
    def lines_hash(self) -> str:
        """Identifies the data when a run is resumed."""
        return self.content_hash

    @property
    def tokens(self) -> int:
        return len(self.words_encoded.ids)

    @property
    def words(self) -> int:
        return len(self.words_encoded.token_offsets) - 1

    @property
    def sentences(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class TaskData:
    """What a task's network is trained on; tokenizer: the codec. valid: None where nothing is held out."""

    tokenizer: Codec
    train: LabelledData
    valid: LabelledData | None


def encode_texts(codec: Codec, texts: Sequence[Sequence[str]]) -> EncodedWords:
    """The words of texts as a task's network reads them."""
    encoded = encode_words(codec.tokenizer, texts)
    return encoded if codec.beside is None else replace(encoded, beside=codec.beside.encode(texts))


def encode_words(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> EncodedWords:
    """The words of texts as tokens. A word that the tokenizer reduces to nothing becomes the unknown token."""
    different = list(dict.fromkeys(word for words in texts for word in words))
    encoded = tokenizer.encode([one_token(word) for word in different])
    unknown = tokenizer.boundary_id if tokenizer.unk_id is None else tokenizer.unk_id
    pieces = [encoded.ids[start : end - 1] for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)]
    pieces = [piece if len(piece) else np.array([unknown], dtype=np.int32) for piece in pieces]
    is_known_D = np.ones(len(different), dtype=bool)
    is_known_D[np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1] = False
    numbers = {word: number for number, word in enumerate(different)}
    order = np.fromiter((numbers[word] for words in texts for word in words), dtype=np.int64)
    lengths_W = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))[order]
    ids = np.concatenate([pieces[number] for number in order.tolist()]) if len(order) else np.zeros(0, dtype=np.int32)
    words_E = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return EncodedWords(ids, _offsets(lengths_W), _offsets(words_E), is_known_D[order])


def one_token(word: str) -> str:
    """The word without white space at which a tokenizer would split it, as in 10 000."""
    parts = [] if word.isalnum() else word.split()
    return "\u00a0".join(parts) if len(parts) > 1 else word.strip("\n")


def encode_examples(codec: Codec, gold: LabelledText, learned: LabelledText) -> LabelledData:
    """Examples whose label columns are those of the codec, in its order. learned: the same examples with one label per word; differs from
    `gold` only where letters and sounds were aligned."""
    encoded = encode_texts(codec, [example.words for example in gold.examples])
    return LabelledData(gold.examples, encoded, encode_labels(codec, learned.examples), gold.content_hash)


def encode_labels(codec: Codec, examples: Sequence[Example]) -> tuple[np.ndarray, ...]:
    """The labels of each column as :class:`LabelledData` has them."""
    found: list[np.ndarray] = []
    for column, place in zip(codec.columns, codec.places, strict=True):
        if column.level == WORD:
            rows: Any = [column.encode_words(each.word_labels[place], each.words) for each in examples]
            found.append(np.fromiter((id for row in rows for id in row), dtype=np.int64))
        else:
            found.append(np.stack([column.encode_text(each.text_labels[place]) for each in examples]))
    return tuple(found)


def padded(rows: Sequence[np.ndarray], padding: int) -> np.ndarray:
    """Rows of different lengths side by side, (T, B) int64, T being the length of the longest one."""
    padded_TB = np.full((max(map(len, rows)), len(rows)), padding, dtype=np.int64)
    for number, row in enumerate(rows):
        padded_TB[: len(row), number] = row
    return padded_TB


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths)))
