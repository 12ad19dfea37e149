"""Split text into words on ASCII space, tab, CR and NUL; optionally lower-cased, with punctuation
split off.

Encoding runs at C speed over a whole block of lines: numpy finds where words end, Arrow numbers the
different words of the block, and only those are looked up one by one. A byte that UTF-8 never uses
marks the line end.
"""

import functools
import itertools
import re
import string
import threading
import unicodedata
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnnlm.errors import ModelError, SettingsError, first_of, notice
from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.parallel import in_threads
from rnnlm.system import processors
from rnnlm.text.encoding import (
    MOST_THREADS,
    EncodedText,
    LinesHash,
    ReadText,
    compact_type,
    counted_block,
    joined_parts,
    smallest,
    total_marks,
)
from rnnlm.text.lines import Block, as_bytes, no_text
from rnnlm.text.marks import count_plain, tell_mixed
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import (
    MemoryLimit,
    StoredSymbols,
    Vocabulary,
    VocabularyTokenizer,
    cut_into_lines,
    joined_symbols,
    rewritten,
    stored_vocabulary,
)
from rnnlm.text.tokenizers.word_runs import Counted, Runs
from rnnlm.text.word_lists import WordList, word_list

# ---- Words outside a vocabulary, numbered as they are met, for models that read words by their
# characters.


def _values(numbers: Mapping[bytes, int], words: Sequence[bytes]) -> np.ndarray:
    """Return the number of each word, int32."""
    return np.fromiter(map(numbers.__getitem__, words), dtype=np.int32, count=len(words))


class UnseenWords:
    """The words met so far: words[number]. A word keeps its number; threads may ask at the same
    time."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.times_forgotten = 0
        self._numbers: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def numbers(self, words: Sequence[bytes]) -> np.ndarray:
        """Return the numbers (int32) of `words`; those not met before get the next ones."""
        with self._lock:
            for word in words:
                if word not in self._numbers:
                    self._numbers[word] = len(self.words)
                    self.words.append(word.decode("utf-8"))
            return _values(self._numbers, words)

    def forget(self) -> None:
        """Forget all words. The caller makes sure that no text is computed from their ids."""
        with self._lock:
            self.words.clear()
            self._numbers.clear()
            self.times_forgotten += 1

    def __deepcopy__(self, memo: object) -> "UnseenWords":
        """Return itself: a copied network reads the same ids."""
        return self


_by_vocabulary: weakref.WeakValueDictionary[str, UnseenWords] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def unseen_words(fingerprint: str) -> UnseenWords:
    """Return the unseen words of the vocabulary with that fingerprint, the same for all who hold
    them."""
    with _lock:
        return _by_vocabulary.setdefault(fingerprint, UnseenWords())


def count_unseen_words() -> int:
    """Return how many unseen words this process keeps."""
    with _lock:
        return sum(len(unseen.words) for unseen in _by_vocabulary.values())


def forget_unseen_words() -> None:
    """Forget all unseen words of this process, as :meth:`UnseenWords.forget` does."""
    with _lock:
        for unseen in _by_vocabulary.values():
            unseen.forget()


LEAST_FOR_ARROW = 1 << 16  # bytes
_LINE_END = b"\xfd"
# Words that have their own places in the vocabulary. <S> in lower-cased text becomes a reserved
# symbol: it counts as an unknown word.
_SPECIALS = {
    _LINE_END: BOUNDARY,
    UNKNOWN.encode(): UNKNOWN,
    b"<s>": UNKNOWN,
    BOUNDARY.encode(): UNKNOWN,
}
# The line end is the boundary, and </s> in a text is an unknown word.
_FIXED_IDS = {BOUNDARY.encode(): -1, _LINE_END: 0}
MOST_MET = 256  # words of a large vocabulary that are looked up without a dictionary of all
_TO_SPACE = bytes.maketrans(b"\t\r\0", b"   ")
_SPACE = ord(" ")
_ASCII = bytes(range(128))
# Each apostrophe, and the pattern of those that are not inside a word.
_APOSTROPHES = {mark: re.compile(rf"{mark}(?:(?<!\w{mark})|(?!\w))") for mark in "'\u2019"}


# ---- The words of a text, counted exactly in bounded memory.

# The table's memory for a word of n bytes: n + WORD_BYTES. An object of bytes, rounded up; the
# number of the word; its count; its place in the dictionary, with the former one while that grows,
# and in sorted lists
WORD_BYTES = 33 + 15 + 32 + 16 + 100


class WordCounts:
    """Words, numbered as they are first met, and how often each occurs.

    They are counted in a table. When it takes as much memory as it may, its words go to disk in
    ascending order, a run, and the table is empty again; in the end all runs are merged. Without a
    limit no run is written, and the table is all there is to merge. Runs go with this object, or
    with the process, however that ends.

    The numbers hold until a run is written. listed: all words of the vocabulary, ascending; None:
    those that are counted.
    """

    def __init__(
        self, limit: MemoryLimit | None = None, listed: Sequence[bytes] | None = None
    ) -> None:
        self.limit = limit
        self.listed = listed
        self.specials = {BOUNDARY: 0, UNKNOWN: 0}  # how often they occurred, once taken
        self._runs: Runs | None = None
        self._numbers: defaultdict[bytes, int] = defaultdict(itertools.count().__next__)
        self._counts = np.zeros(0, dtype=np.int64)
        self._text_bytes = 0  # of the words in the table
        self.tokens = 0  # counted so far, with the ends of lines

    def add(self, words: Sequence[bytes], counts_W: np.ndarray) -> np.ndarray:
        """Count different `words`, each as often as `counts_W` says. Return their numbers,
        int32."""
        # Allocate for the case that all of them are new.
        if self.limit:
            all_words = len(self._numbers) + len(words)
            held_bytes = all_words * WORD_BYTES + self._text_bytes + sum(map(len, words))
            if self._numbers and held_bytes > self.limit.counting:
                self._runs = self._runs or Runs(self.limit.folder)
                self._runs.add(self._taken())
        before = len(self._numbers)
        number_W = _values(self._numbers, words)
        size = len(self._numbers)
        if size > len(self._counts):
            grown = np.zeros(max(size, 2 * len(self._counts)), dtype=np.int64)
            grown[:before] = self._counts[:before]
            self._counts = grown
        self._counts[number_W] += counts_W
        self.tokens += int(counts_W.sum())
        if self.limit:
            self._text_bytes += sum(map(len, itertools.compress(words, number_W >= before)))
        return number_W

    def words(self) -> list[bytes]:
        """Return the words by their numbers."""
        return list(self._numbers)

    def least_size(self, min_count: int = 1, max_size: int | None = None) -> int:
        """Return the least number of symbols that the vocabulary will have: the words in the table
        that are frequent enough already, or those listed."""
        if self.listed is not None:
            return len(self.listed) + len(self.specials)
        words = len(self._numbers)
        if min_count > 1:
            words = int(np.count_nonzero(self._counts[:words] >= min_count))
        # The table may also hold the special words.
        size = max(0, words - len(_SPECIALS)) + len(self.specials)
        return size if max_size is None else min(size, max_size)

    def _taken(self) -> Counted:
        """Empty the table. Return its words in ascending order, but the special ones, and their
        counts."""
        for word, special in _SPECIALS.items():
            number = self._numbers.pop(word, None)
            if number is not None:
                self.specials[special] += int(self._counts[number])
        words = sorted(self._numbers)
        counts_W = self._counts[_values(self._numbers, words)]
        self._numbers = defaultdict(itertools.count().__next__)
        self._counts = np.zeros(0, dtype=np.int64)
        self._text_bytes = 0
        return words, counts_W

    def vocabulary(self, min_count: int = 1, max_size: int | None = None) -> Vocabulary:
        """Return the vocabulary of `</s>`, `<unk>`, and the words by descending count, ties by
        spelling; afterwards nothing is counted any more.

        Words that are not listed, rarer than `min_count`, or beyond `max_size` symbols in all,
        count for `<unk>`.

        Raises:
            SettingsError: it takes more memory than it may.
        """
        parts: Iterable[Counted] = [self._taken()]
        if self._runs:
            self._runs.add(*parts)
            parts = self._runs.merged()
        if self.listed is not None:
            parts, min_count = [self._of_listed(parts)], 0
        room = self.limit.vocabulary if self.limit else None
        return Vocabulary.from_sorted(parts, self.specials, min_count, max_size, room)

    def _of_listed(self, parts: Iterable[Counted]) -> Counted:
        """Return the listed words with their counts. All other words count for `<unk>`."""
        count_of = dict.fromkeys(self.listed or (), 0)
        for words, counts_W in parts:
            for word, count in zip(words, counts_W.tolist(), strict=True):
                if word in count_of:
                    count_of[word] = count
                else:
                    self.specials[UNKNOWN] += count
        return list(count_of), np.array([*count_of.values()], dtype=np.int64)


# ---- word


@keeps(Tokenizer)
class WordTokenizer(VocabularyTokenizer):
    """Ids: `</s>` 0, `<unk>` 1, then words by descending count."""

    name = "word"
    unk_id: int = 1
    relevant = ("split_punctuation",)

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        # Of a list of words, the hash is enough from now on.
        vocab = settings.vocab and str(settings.vocab)
        super().__init__(replace(settings, vocab=vocab), vocabulary)
        # The ids of all words; of a large stored vocabulary, of those met, while they are few.
        symbols = vocabulary.symbols
        self._stored = symbols if isinstance(symbols, StoredSymbols) else None
        self._ids = self._all_ids() if self._stored is None else dict(_FIXED_IDS)

    def _all_ids(self) -> dict[bytes, int]:
        """Return the id of each word."""
        # All at once is faster, if no symbol holds a newline.
        symbols = self.vocabulary.symbols
        words = joined_symbols(symbols).split(b"\n")
        if len(words) != len(symbols):
            words = [symbol.encode("utf-8") for symbol in symbols]
        ids = dict(zip(words, range(len(words)), strict=True))
        if len(ids) != len(words):
            raise ModelError("the vocabulary is damaged", "duplicate symbol")
        ids.update(_FIXED_IDS)
        return ids

    @classmethod
    def train(
        cls,
        settings: TokenizerSettings,
        blocks: Iterable[Sequence[str]],
        limit: MemoryLimit | None = None,
    ) -> "WordTokenizer":
        """Return the tokenizer whose vocabulary comes from these lines, block after block.

        Raises:
            SettingsError: it takes more memory than `limit` allows.
        """
        settings = settings.with_files_read()
        counts = WordCounts(limit, _listed(settings))
        threads = limit.threads if limit else min(processors(), MOST_THREADS)
        split = functools.partial(_split, settings=settings)
        for words, numbers in in_threads(split, blocks, threads):
            counts.add(words, np.bincount(numbers, minlength=len(words)))
            if limit:
                size = counts.least_size(settings.min_count, settings.max_vocab)
                limit.check(size, counts.tokens, limit.share())
        return cls(settings, counts.vocabulary(settings.min_count, settings.max_vocab))

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "WordTokenizer":
        """Return the tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        return cls(settings, stored_vocabulary(files, (BOUNDARY, UNKNOWN)))

    @property
    def starts_word_V(self) -> np.ndarray:
        return np.ones(self.size, dtype=bool)

    def token_bytes(self) -> list[bytes]:
        texts = [b" " + text for text in super().token_bytes()]
        texts[self.boundary_id] = b"\n"
        return texts

    def encode(self, lines: Sequence[str]) -> Encoded:
        words, numbers = _split(lines, self.settings)
        # W: the different words of these lines
        ids_W = self.ids_of(words)
        is_unseen_W = ids_W < 0
        unseen = list(itertools.compress(words, is_unseen_W))
        ids_W[is_unseen_W] = self._unseen_ids(unseen)
        [oov] = is_unseen_W[numbers].nonzero()
        encoded = cut_into_lines(ids_W[numbers], self.boundary_id, lines, oov)

        def unknown_words() -> list[str]:
            return [words[number].decode("utf-8") for number in numbers[oov].tolist()]

        return Encoded(encoded.ids, encoded.offsets, oov, hashes_of(unseen), unknown_words)

    def ids_of(self, words: Sequence[bytes]) -> np.ndarray:
        """Return the ids of words, int32; -1 for those that are not in the vocabulary."""
        stored = self._stored
        if stored is not None:
            new = [word for word in words if word not in self._ids]
            if len(self._ids) + len(new) > MOST_MET:
                ids_W = stored.ids_of(words)
                for number, word in enumerate(words):
                    if word in _FIXED_IDS:
                        ids_W[number] = _FIXED_IDS[word]
                return ids_W
            self._ids.update(zip(new, stored.ids_of_few(new), strict=True))
        ids = map(self._ids.get, words, itertools.repeat(-1))
        return np.fromiter(ids, dtype=np.int32, count=len(words))

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
        text = " ".join(words)
        # An empty line has a space on one side of its newline only.
        text = text.replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")
        return _join_punctuation(text) if self.settings.split_punctuation else text

    def _word(self, id: int) -> str:
        return self.vocabulary.symbols[id]

    def spelling(self) -> "SpellingWordTokenizer":
        return SpellingWordTokenizer(self.settings, self.vocabulary, unseen_words(self.fingerprint))


def hashes_of(words: Sequence[bytes]) -> np.ndarray:
    """Return the hash of each word, int64, as :class:`rnnlm.interface.Encoded` has them."""
    return np.fromiter(map(hash, words), dtype=np.int64, count=len(words))


class SpellingWordTokenizer(WordTokenizer):
    """The word tokenizer of models that read characters: an unseen word gets an id from V on, in
    the order of reading.

    All spelling tokenizers of one vocabulary share these ids (the parts of a mixture read the same
    ones). The words take memory as long as one of the tokenizers lives.
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

    @property
    def times_forgotten(self) -> int:
        """How often the unseen words were forgotten: tables of them are then made again."""
        return self._unseen.times_forgotten

    def spellings(self, start: int = 0) -> list[str]:
        return super().spellings(start) + self._unseen.words[max(0, start - self.size) :]

    def spelling(self) -> "SpellingWordTokenizer":
        return self

    def _unseen_ids(self, words: list[bytes]) -> np.ndarray:
        return self.size + self._unseen.numbers(words)

    def _word(self, id: int) -> str:
        return super()._word(id) if id < self.size else self._unseen.words[id - self.size]


def _split(lines: Sequence[str], settings: TokenizerSettings) -> tuple[list[bytes], np.ndarray]:
    """Return the different words of `lines`, and the number among them of each word. The line-end
    byte follows each line, as a word."""
    lines = rewritten(lines, settings)
    if not lines:
        return [], np.zeros(0, dtype=np.int32)
    # The whole block at once: functions of bytes and strings are faster than a loop over lines.
    data = as_bytes(lines)
    if settings.lowercase or settings.split_punctuation:
        text = data.decode("utf-8")
        if settings.lowercase:
            text = text.lower()
        data = split_punctuation(text) if settings.split_punctuation else text.encode("utf-8")
    data = data.replace(b"\n", b" " + _LINE_END + b" ").translate(_TO_SPACE)

    # Numbering the words of a short text takes less time than importing Arrow does.
    if len(data) < LEAST_FOR_ARROW:
        number_of: dict[bytes, int] = {}
        word_numbers = [
            number_of.setdefault(word, len(number_of)) for word in data.split(b" ") if word
        ]
        return list(number_of), np.array(word_numbers, dtype=np.int32)
    import pyarrow

    # Drop spaces after a space, or at the start: then each word ends in one space.
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    is_space_N = bytes_N == _SPACE
    is_more_N = is_space_N.copy()
    is_more_N[1:] &= is_space_N[:-1]
    if is_more_N.any():
        bytes_N = bytes_N[~is_more_N]
        is_space_N = bytes_N == _SPACE

    # Take each word with the space behind it, as nothing may lie between Arrow's values.
    ends = np.flatnonzero(is_space_N)
    offsets = np.zeros(len(ends) + 1, dtype=np.int64)
    offsets[1:] = ends + 1
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(bytes_N)]
    array = pyarrow.Array.from_buffers(pyarrow.large_binary(), len(ends), buffers)
    words = array.dictionary_encode()

    # to_numpy() would import pandas; no word but for its end holds a space
    numbers = np.frombuffer(words.indices.buffers()[1], dtype=np.int32, count=len(ends))
    different = words.dictionary.buffers()[2].to_pybytes()
    return different.split(b" ")[: len(words.dictionary)], numbers


def _listed(settings: TokenizerSettings) -> list[bytes] | None:
    """Return the words of the file `vocab` that the tokenizer can produce; a notice names others.
    None: there is no such file."""
    if settings.vocab is None:
        return None
    # There is no file of a mere hash.
    listed = settings.vocab if isinstance(settings.vocab, WordList) else word_list(settings.vocab)
    # What another word becomes can be produced, too.
    produced = set(_split([word.decode("utf-8") for word in listed.words], settings)[0])
    never = [word.decode("utf-8") for word in listed.words if word not in produced]
    what = (
        f"{len(never):,} of the {len(listed.words):,} words of {listed.source}, as no text has "
        f"them once it is split into words: {first_of(never)}"
    )
    if len(never) == len(listed.words):
        raise SettingsError(f"no vocabulary is left without {what}")
    if never:
        notice(f"left out: {what}")
    return [word for word in listed.words if word in produced]


def split_punctuation(text: str) -> bytes:
    """Return `text`, in UTF-8, with spaces around its punctuation marks and symbols (Unicode P and
    S), but not around apostrophes inside a word. `<unk>` stays whole. A NUL, which separates words
    as a space does, becomes a space.
    """
    # A NUL holds the place of <unk> while < and > are split off.
    text = text.replace("\0", " ").replace(UNKNOWN, " \0 ")

    # Apostrophes come first: an underscore is a letter to them, and then a mark.
    for apostrophe, outside_words in _APOSTROPHES.items():
        if apostrophe in text:
            text = outside_words.sub(f" {apostrophe} ", text)

    # Each mark that occurs is replaced in turn, in bytes: one pattern for all of them takes several
    # times as long.
    data = text.encode("utf-8")
    beyond_ascii = data.translate(None, delete=_ASCII).decode("utf-8")
    others = [mark for mark in set(beyond_ascii) if unicodedata.category(mark)[0] in "PS"]
    for mark in [*string.punctuation, *others]:
        encoded = mark.encode("utf-8")
        if mark not in _APOSTROPHES and encoded in data:
            data = data.replace(encoded, b" " + encoded + b" ")
    return data.replace(b"\0", UNKNOWN.encode())


def _join_punctuation(text: str) -> str:
    """Return words and marks as a person would print them: closing marks next to the word before
    them, opening ones next to the word after them."""
    # Every line begins with a space for now.
    text = " " + text.replace("\n", "\n ")
    # Quotation marks look alike, so they are taken in pairs, of which the last may lack its end.
    # Only a space parts words: a character that is white space elsewhere stays.
    text = re.sub(
        r' "((?: ?[^"\n])*?) ?("|(?=\n)|$)',
        lambda match: f' "{match[1].strip(" ")}{match[2]}',
        text,
    )
    text = re.sub(r"([(\[{\u201c\u2018]) ", r"\1", text)
    text = re.sub(r" ([.,;:!?%)\]}\u201d\u2026]+)", r"\1", text)
    return re.sub(r"^ | ?\n ", lambda match: "\n" if "\n" in match[0] else "", text)


# ---- A tokenizer that is made while its text is encoded, in one reading.


def encode_once(
    text: ReadText, parts: Iterable[tuple[Block, bool]], settings: TokenizerSettings
) -> tuple[WordTokenizer, EncodedText, EncodedText | None]:
    """Make a tokenizer of the parts for training while all are read, and return it with the result
    of :func:`rnnlm.text.encoding.encode_parts`. Each word is a token.

    Words have provisional ids, by the order in which they are met, until all are counted.
    """

    def read(
        part: tuple[Block, bool],
    ) -> tuple[Block, bool, bytes, list[bytes], EncodedText, dict[str, int]]:
        block, is_held_out = part
        data = as_bytes(block.lines)
        words, numbers = _split(block.lines, settings)
        # A copy, as Arrow's memory is larger
        numbered = cut_into_lines(numbers.copy(), words.index(_LINE_END), block.lines)
        words_L = np.diff(numbered.offsets) - 1
        counted = counted_block(block, data, numbered, words_L, np.zeros_like(words_L))
        return block, is_held_out, data, words, counted, count_plain(data)

    encoded: tuple[list[EncodedText], list[EncodedText]] = [], []
    provisional: tuple[list[np.ndarray], list[np.ndarray]] = [], []  # ids of each block's words
    word_hashes: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    hashes = LinesHash(), LinesHash()
    counts = WordCounts(listed=_listed(settings))
    plain: Counter[str] = Counter()
    threads = min(processors(), MOST_THREADS)
    for block, is_held_out, data, words, counted, plain_of_block in in_threads(
        read, parts, threads
    ):
        counts_W = np.bincount(counted.ids, minlength=len(words))
        # The held-out part is not in the vocabulary.
        if is_held_out:
            counts_W[:] = 0
        else:
            plain.update(plain_of_block)
        provisional[is_held_out].append(counts.add(words, counts_W))
        word_hashes[is_held_out].append(hashes_of(words))
        hashes[is_held_out].update_block(block, data)
        encoded[is_held_out].append(counted)
    if not encoded[0]:
        raise no_text(text.sources)
    tell_mixed(total_marks(encoded[0]), plain, settings)

    # All words are counted: replace their ids, block by block.
    all_words = counts.words()
    vocabulary = counts.vocabulary(settings.min_count, settings.max_vocab)
    tokenizer = WordTokenizer(settings, vocabulary)
    id_of = tokenizer.ids_of(all_words)
    for blocks, words_of, hashes_by_block in zip(encoded, provisional, word_hashes, strict=True):
        for number, counted in enumerate(blocks):
            id_W = id_of[words_of[number]]
            ids = id_W[counted.ids]
            oov = np.flatnonzero(ids < 0)
            ids[oov] = tokenizer.unk_id
            line_of_oov = np.searchsorted(counted.line_offsets, oov, side="right") - 1
            oov_words_L = np.bincount(line_of_oov, minlength=counted.sentences)
            blocks[number] = replace(
                counted,
                ids=ids.astype(compact_type(tokenizer), copy=False),
                oov=oov,
                oov_words_L=smallest(oov_words_L),
                unseen=hashes_by_block[number][id_W < 0],
            )
    return tokenizer, *joined_parts(text, encoded, hashes)
