"""Split text into one token per Unicode character, or per byte of UTF-8, white space included."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from rnnlm.errors import ModelError, TextError, shown
from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.text.lines import as_bytes
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import (
    Vocabulary,
    VocabularyTokenizer,
    cut_into_lines,
    rewritten,
    stored_vocabulary,
)
from rnnlm.text.word_lists import WordList

# ---- One token per Unicode character, white space included; unseen characters are `<unk>`.

_LITERAL_UNK = "\ud800"  # a lone surrogate: no text holds it
_CODE_POINTS = 0x110000


def _listed(vocab: WordList) -> list[int]:
    """Return the code points of a file of characters. TextError: a line holds several."""
    characters = [word.decode("utf-8") for word in vocab.words]
    longer = [word for word in characters if len(word) > 1]
    if longer:
        raise TextError(
            f"{vocab.source}: {shown(longer[0])} is several characters",
            "the vocabulary of the char tokenizer has one a line",
        )
    return list(map(ord, characters))


@keeps(Tokenizer)
class CharTokenizer(VocabularyTokenizer):
    """Ids: `</s>` 0, `<unk>` 1, then characters by descending count."""

    name = "char"
    unk_id: int = 1
    relevant = ("literal_unk",)

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        super().__init__(settings, vocabulary)
        self._ids = np.full(_CODE_POINTS, -1, dtype=np.int32)
        for id, symbol in enumerate(vocabulary.symbols[2:], start=2):
            self._ids[ord(symbol)] = id
        self._ids[ord("\n")] = self.boundary_id
        self._ids[ord(_LITERAL_UNK)] = self.unk_id

    @classmethod
    def train(cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]) -> "CharTokenizer":
        """Return the tokenizer whose vocabulary comes from these lines, block after block, or from
        the file `vocab`."""
        settings = settings.with_files_read()
        counts_by_point = np.zeros(_CODE_POINTS, dtype=np.int64)
        for lines in blocks:
            counts = np.bincount(_code_points(lines, settings))
            counts_by_point[: len(counts)] += counts

        # The two special symbols were counted by the characters that stand in for them.
        specials = {
            BOUNDARY: int(counts_by_point[ord("\n")]),
            UNKNOWN: int(counts_by_point[ord(_LITERAL_UNK)]),
        }
        counts_by_point[[ord("\n"), ord(_LITERAL_UNK)]] = 0

        # A list of characters has no line of a blank, which is one of them.
        points = np.flatnonzero(counts_by_point).tolist()
        least = settings.min_count
        if isinstance(settings.vocab, WordList):
            points, least = [ord(" "), *_listed(settings.vocab)], 0
            unlisted = counts_by_point.sum() - counts_by_point[points].sum()
            specials[UNKNOWN] += int(unlisted)
            settings = replace(settings, vocab=str(settings.vocab))
        seen = Counter({chr(point): int(counts_by_point[point]) for point in points})
        vocabulary = Vocabulary.from_counts(seen, specials, least, settings.max_vocab)
        return cls(settings, vocabulary)

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "CharTokenizer":
        """Return the tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        vocabulary = stored_vocabulary(files, (BOUNDARY, UNKNOWN))
        if any(len(symbol) != 1 for symbol in vocabulary.symbols[2:]):
            raise ModelError("the vocabulary is damaged", "a symbol is not one character")
        return cls(settings, vocabulary)

    @property
    def starts_word_V(self) -> np.ndarray:
        starts = np.array([symbol in " \t\r\0" for symbol in self.vocabulary.symbols])
        starts[self.boundary_id] = True
        return starts

    def encode(self, lines: Sequence[str]) -> Encoded:
        ids = self._ids[_code_points(lines, self.settings)]
        oov = np.flatnonzero(ids < 0)
        ids[oov] = self.unk_id
        return cut_into_lines(ids, self.boundary_id, lines, oov)

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        surfaces = []
        for line in lines:
            points = _code_points([line], self.settings)[:-1]
            tokens = [UNKNOWN if point == ord(_LITERAL_UNK) else chr(point) for point in points]
            surfaces.append([*tokens, BOUNDARY])
        return surfaces

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        symbols = self.vocabulary.symbols
        text = "".join("\n" if id == self.boundary_id else symbols[id] for id in ids)
        return text.removesuffix("\n")


def _code_points(lines: Sequence[str], settings: TokenizerSettings) -> np.ndarray:
    """Return the code points of `lines`, a newline after each."""
    text = "".join(f"{line}\n" for line in rewritten(lines, settings))
    if settings.lowercase:
        text = text.lower()
    if settings.literal_unk == "symbol":
        text = text.replace(UNKNOWN, _LITERAL_UNK)
    data = text.encode("utf-32-le", "surrogatepass")
    return np.frombuffer(data, dtype=np.uint32).astype(np.int64)


# ---- One token per byte of UTF-8. Nothing is unknown, and every text comes back as it was, or as
# it was normalised.

_NEWLINE = 0x0A
_SYMBOLS = (BOUNDARY, *(f"<0x{byte:02X}>" for byte in range(256)))


@keeps(Tokenizer)
class ByteTokenizer(VocabularyTokenizer):
    """Ids: `</s>` 0, then byte b is b + 1."""

    name = "byte"
    unk_id = None
    literal_unk = "spell"

    @classmethod
    def train(cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]) -> "ByteTokenizer":
        """Return the tokenizer whose counts come from these lines, block after block."""
        counts_V = np.zeros(len(_SYMBOLS), dtype=np.int64)
        for lines in blocks:
            counts_V += np.bincount(_ids(rewritten(lines, settings)), minlength=len(_SYMBOLS))
        return cls(settings, Vocabulary(_SYMBOLS, counts_V))

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "ByteTokenizer":
        """Return the tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        return cls(settings, stored_vocabulary(files, _SYMBOLS))

    @property
    def starts_word_V(self) -> np.ndarray:
        starts = np.zeros(self.size, dtype=bool)
        starts[[self.boundary_id, *(byte + 1 for byte in b" \t\r\0")]] = True
        return starts

    def token_bytes(self) -> list[bytes]:
        return [b"\n", *(bytes([byte]) for byte in range(256))]

    def encode(self, lines: Sequence[str]) -> Encoded:
        return cut_into_lines(_ids(self.normalise(lines)), self.boundary_id, lines)

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        data = bytes(_NEWLINE if id == self.boundary_id else int(id) - 1 for id in ids)
        return data.decode("utf-8", "replace").removesuffix("\n")


def _ids(lines: Sequence[str]) -> np.ndarray:
    """Return each byte plus one, and the boundary for the newline after each line."""
    bytes_N = np.frombuffer(as_bytes(lines), dtype=np.uint8)
    return np.where(bytes_N == _NEWLINE, 0, bytes_N.astype(np.int32) + 1).astype(np.int32)
