"""One token per byte of UTF-8: nothing is unknown, and every text comes back as it was, or as it was normalised."""

from collections.abc import Iterable, Sequence

import numpy as np

from rnnlm.interface import BOUNDARY, Encoded, Tokenizer, keeps
from rnnlm.text.tokenizers.base import VocabularyTokenizer, cut_into_lines, rewritten, stored_vocabulary
from rnnlm.text.tokenizers.settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary

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
        """The tokenizer whose vocabulary comes from these lines, a block after the other."""
        counts_V = np.zeros(len(_SYMBOLS), dtype=np.int64)
        for lines in blocks:
            counts_V += np.bincount(_ids(rewritten(lines, settings)), minlength=len(_SYMBOLS))
        return cls(settings, Vocabulary(_SYMBOLS, counts_V))

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "ByteTokenizer":
        """The tokenizer whose settings and `to_files()` these are.

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

    def _encode(self, lines: Sequence[str]) -> Encoded:
        return cut_into_lines(_ids(self.normalise(lines)), np.zeros(0, dtype=np.int64), self.boundary_id, lines)

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        data = bytes(_NEWLINE if id == self.boundary_id else int(id) - 1 for id in ids)
        return data.decode("utf-8", "replace").removesuffix("\n")


def _ids(lines: Sequence[str]) -> np.ndarray:
    """Byte plus one, and the boundary for the newline after each line."""
    data = np.frombuffer("".join(f"{line}\n" for line in lines).encode("utf-8"), dtype=np.uint8)
    return np.where(data == _NEWLINE, 0, data.astype(np.int32) + 1).astype(np.int32)
