"""One token per Unicode character, white space included; unseen characters are `<unk>`."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.text.tokenizers.base import VocabularyTokenizer, cut_into_lines, rewritten, stored_vocabulary
from rnnlm.text.tokenizers.settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary

_LITERAL_UNK = "\ud800"  # a lone surrogate: no text holds it
_CODE_POINTS = 0x110000


@keeps(Tokenizer)
class CharTokenizer(VocabularyTokenizer):
    """Ids: `</s>` 0, `<unk>` 1, then characters by descending count."""

    name = "char"
    unk_id: int = 1
    relevant = ("literal_unk",)

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary) -> None:
        super().__init__(settings, vocabulary)
        self._ids = np.full(_CODE_POINTS, -1, dtype=np.int32)
        for id, symbol in enumerate(vocabulary.symbols):
            if id > 1:
                self._ids[ord(symbol)] = id
        self._ids[ord("\n")] = self.boundary_id
        self._ids[ord(_LITERAL_UNK)] = self.unk_id

    @classmethod
    def train(cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]) -> "CharTokenizer":
        """The tokenizer whose vocabulary comes from these lines, a block after the other."""
        counts_by_point = np.zeros(_CODE_POINTS, dtype=np.int64)
        for lines in blocks:
            points = _code_points(lines, settings)
            counts = np.bincount(points)
            counts_by_point[: len(counts)] += counts
        specials = {BOUNDARY: int(counts_by_point[ord("\n")]), UNKNOWN: int(counts_by_point[ord(_LITERAL_UNK)])}
        counts_by_point[[ord("\n"), ord(_LITERAL_UNK)]] = 0
        seen = Counter({chr(point): int(counts_by_point[point]) for point in np.flatnonzero(counts_by_point)})
        return cls(settings, Vocabulary.from_counts(seen, specials, settings.min_count, settings.max_vocab))

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "CharTokenizer":
        """The tokenizer whose settings and `to_files()` these are.

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

    def _encode(self, lines: Sequence[str]) -> Encoded:
        ids = self._ids[_code_points(lines, self.settings)]
        oov = np.flatnonzero(ids < 0)
        ids[oov] = self.unk_id
        return cut_into_lines(ids, oov, self.boundary_id, lines)

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        points = (_code_points([line], self.settings)[:-1] for line in lines)
        return [[*(UNKNOWN if point == ord(_LITERAL_UNK) else chr(point) for point in its), BOUNDARY] for its in points]

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        text = "".join("\n" if id == self.boundary_id else self.vocabulary.symbols[id] for id in ids)
        return text.removesuffix("\n")


def _code_points(lines: Sequence[str], settings: TokenizerSettings) -> np.ndarray:
    """The code points of `lines`, a newline after each."""
    text = "".join(f"{line}\n" for line in rewritten(lines, settings))
    if settings.lowercase:
        text = text.lower()
    if settings.literal_unk == "symbol":
        text = text.replace(UNKNOWN, _LITERAL_UNK)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
