"""Words split on ASCII space, tab, CR and NUL; optionally lower-cased, with punctuation split off.

Encoding runs at C speed over a whole block of lines: numpy finds where words end, Arrow numbers the
different words of the block, and only those are looked up one by one. A byte that UTF-8 never uses
stands for the line end.
"""

import functools
import itertools
import re
import string
import threading
import unicodedata
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import (
    Vocabulary,
    VocabularyTokenizer,
    cut_into_lines,
    rewritten,
    stored_vocabulary,
)

# ---- Words outside a vocabulary, numbered as they come, for models that read words by their
# characters.


class UnseenWords:
    """words[number]: the words met so far. A word keeps its number; threads may ask side by
    side."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def numbers(self, words: Sequence[bytes]) -> np.ndarray:
        """The numbers (int32) of `words`; those not met before get the next ones."""
        with self._lock:
            for word in words:
                if word not in self._numbers:
                    self._numbers[word] = len(self.words)
                    self.words.append(word.decode("utf-8"))
            return np.fromiter(
                map(self._numbers.__getitem__, words), dtype=np.int32, count=len(words)
            )

    def __deepcopy__(self, memo: object) -> "UnseenWords":
        """Itself: a copied network reads the same ids."""
        return self


_by_vocabulary: weakref.WeakValueDictionary[str, UnseenWords] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def unseen_words(fingerprint: str) -> UnseenWords:
    """Those of the vocabulary with that fingerprint, the same for all who hold them."""
    with _lock:
        return _by_vocabulary.setdefault(fingerprint, UnseenWords())


# ---- word

_LINE_END = b"\xfd"
_RESERVED = (b"<s>", b"</s>")
_TO_SPACE = bytes.maketrans(b"\t\r\0", b"   ")
_SPACE = ord(" ")
_APOSTROPHES = "'\u2019"


@keeps(Tokenizer)
class WordTokenizer(VocabularyTokenizer):
    """Ids: `</s>` 0, `<unk>` 1, then words by descending count."""

    name = "word"
    unk_id: int = 1
    relevant = ("split_punctuation",)

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        super().__init__(settings, vocabulary)
        self._ids = {symbol.encode("utf-8"): id for id, symbol in enumerate(vocabulary.symbols)}
        self._ids[_LINE_END] = self._ids.pop(BOUNDARY.encode())

    @classmethod
    def train(cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]) -> "WordTokenizer":
        """The tokenizer whose vocabulary comes from these lines, a block after the other."""
        counts: Counter[bytes] = Counter()
        for lines in blocks:
            words, numbers = _split(lines, settings)
            for word, count in zip(words, np.bincount(numbers).tolist(), strict=True):
                counts[word] += count
        for reserved in _RESERVED:  # from <S> in lower-cased text: an unknown word
            counts[UNKNOWN.encode()] += counts.pop(reserved, 0)
        line_ends = counts.pop(_LINE_END, 0)
        literal = counts.pop(UNKNOWN.encode(), 0)
        decoded = Counter({word.decode("utf-8"): count for word, count in counts.items()})
        specials = {BOUNDARY: line_ends, UNKNOWN: literal}
        return cls(
            settings,
            Vocabulary.from_counts(decoded, specials, settings.min_count, settings.max_vocab),
        )

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "WordTokenizer":
        """The tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        return cls(settings, stored_vocabulary(files, (BOUNDARY, UNKNOWN)))

    @property
    def starts_word_V(self) -> np.ndarray:
        return np.ones(self.size, dtype=bool)

    def token_bytes(self) -> list[bytes]:
        return [text if text == b"\n" else b" " + text for text in super().token_bytes()]

    def _encode(self, lines: Sequence[str]) -> Encoded:
        words, numbers = _split(lines, self.settings)
        ids_W = np.fromiter(map(self._ids.get, words, repeat(-1)), dtype=np.int32, count=len(words))
        is_unseen_W = ids_W < 0
        ids_W[is_unseen_W] = self._unseen_ids(list(itertools.compress(words, is_unseen_W)))
        return cut_into_lines(
            ids_W[numbers], np.flatnonzero(is_unseen_W[numbers]), self.boundary_id, lines
        )

    def _unseen_ids(self, words: list[bytes]) -> np.ndarray | int:
        return self.unk_id

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        words, numbers = _split(lines, self.settings)
        if not words:
            return []
        shown = [BOUNDARY if word == _LINE_END else word.decode("utf-8") for word in words]
        tokens = [shown[number] for number in numbers.tolist()]
        ends = (np.flatnonzero(numbers == words.index(_LINE_END)) + 1).tolist()
        return [tokens[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        words = ["\n" if id == self.boundary_id else self._word(id) for id in ids]
        if words and words[-1] == "\n":
            words.pop()
        text = " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")
        return _join_punctuation(text) if self.settings.split_punctuation else text

    def _word(self, id: int) -> str:
        return self.vocabulary.symbols[id]

    def spelling(self) -> "SpellingWordTokenizer":
        return SpellingWordTokenizer(
            self.settings, self.vocabulary, unseen_words(self.in_direction(False).fingerprint)
        )


class SpellingWordTokenizer(WordTokenizer):
    """The word tokenizer of models that read characters: an unseen word gets an id from V on, in
    the order of reading.

    All spelling tokenizers of one vocabulary share these ids (the parts of a mixture read the same
    ones). They stay, and take memory, as long as one of them lives.
    """

    spells = True

    def __init__(
        self, settings: TokenizerSettings, vocabulary: Vocabulary, unseen: UnseenWords
    ) -> None:
        super().__init__(settings, vocabulary)
        self._unseen = unseen

    @property
    def input_size(self) -> int:
        return self.size + len(self._unseen.words)

    def spellings(self, start: int = 0) -> list[str]:
        return [*self.vocabulary.symbols[start:], *self._unseen.words[max(0, start - self.size) :]]

    def spelling(self) -> "SpellingWordTokenizer":
        return self

    def _unseen_ids(self, words: list[bytes]) -> np.ndarray:
        return self.size + self._unseen.numbers(words)

    def _word(self, id: int) -> str:
        return super()._word(id) if id < self.size else self._unseen.words[id - self.size]


def _split(lines: Sequence[str], settings: TokenizerSettings) -> tuple[list[bytes], np.ndarray]:
    """The different words of `lines`, and the number among them of each word, the line-end byte
    after each line."""
    lines = rewritten(lines, settings)
    if not lines:
        return [], np.zeros(0, dtype=np.int32)
    text = "\n".join(lines) + "\n"
    if settings.lowercase:
        text = text.lower()
    if settings.split_punctuation:
        text = split_punctuation(text)
    return _numbered(
        text.encode("utf-8").replace(b"\n", b" " + _LINE_END + b" ").translate(_TO_SPACE)
    )


def _numbered(data: bytes) -> tuple[list[bytes], np.ndarray]:
    """The different words of `data`, which ends in a space, and the number of each word among
    them."""
    import pyarrow

    bytes_N = np.frombuffer(data, dtype=np.uint8)
    is_space_N = bytes_N == _SPACE
    is_more_N = is_space_N.copy()  # spaces after a space, or at the start
    is_more_N[1:] &= is_space_N[:-1]
    if is_more_N.any():
        bytes_N = bytes_N[~is_more_N]
        is_space_N = bytes_N == _SPACE
    ends = np.flatnonzero(is_space_N)
    offsets = np.zeros(len(ends) + 1, dtype=np.int64)
    offsets[1:] = ends + 1  # each word with the space behind it: nothing lies between them
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(bytes_N)]
    words = pyarrow.Array.from_buffers(
        pyarrow.large_binary(), len(ends), buffers
    ).dictionary_encode()
    # to_numpy() would import pandas
    numbers = np.frombuffer(words.indices.buffers()[1], dtype=np.int32, count=len(ends))
    return [word[:-1] for word in words.dictionary.to_pylist()], numbers


def split_punctuation(text: str) -> str:
    """`text` with spaces around its marks."""
    marks = (
        ""
        if text.isascii()
        else "".join(
            c for c in sorted(set(text)) if c > "\x7f" and unicodedata.category(c)[0] in "PS"
        )
    )
    return _punctuation(marks).sub(_spaced, text)


def _spaced(match: re.Match[str]) -> str:
    return f" {match[0]} "


@functools.lru_cache(maxsize=256)
def _punctuation(marks: str) -> re.Pattern[str]:
    """Matches what is split off: `<unk>` whole, and marks (Unicode P and S) but apostrophes inside
    a word. marks: those beyond ASCII that occur, as a class of all that there are is slow."""
    others = "".join(mark for mark in string.punctuation + marks if mark not in _APOSTROPHES)
    return re.compile(
        rf"<unk>|[{re.escape(others)}]|(?<!\w)[{_APOSTROPHES}]|[{_APOSTROPHES}](?!\w)"
    )


def _join_punctuation(text: str) -> str:
    """Words and marks as a person would print them: closing marks to the left, opening ones to the
    right."""
    text = re.sub(
        r' "((?: ?[^"\n])*?) ?(?="|$|\n)"?',
        lambda m: f' "{m[1].strip()}"',
        " " + text.replace("\n", "\n "),
    )
    text = re.sub(r"([(\[{\u201c\u2018]) ", r"\1", text)
    text = re.sub(r" ([.,;:!?%)\]}\u201d\u2026]+)", r"\1", text)
    return re.sub(r"^ | ?\n ", lambda m: "\n" if "\n" in m[0] else "", text)
