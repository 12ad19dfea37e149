"""Words as rows of character numbers, for networks that read words by their characters.

The characters are those of the vocabulary's words, so what a network's weights look like follows from settings and tokenizer
alone; any other is the unknown character. `</s>` and `<unk>` are each one character of their own. A word is read between a
mark for its beginning and one for its end, at most 65 with these (the bound of Kim et al. 2016): the rest of a longer word is not
read.
"""

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.interface import Tokenizer

LONGEST = 65
PADDING = -1
BEGIN, END, UNKNOWN_CHARACTER, BOUNDARY_SYMBOL, UNKNOWN_SYMBOL, FIRST_CHARACTER = range(6)


class Alphabet:
    """The characters of a tokenizer's words by number: the five special ones, then the others in the order of Unicode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.symbols = {tokenizer.boundary_id: BOUNDARY_SYMBOL}
        if tokenizer.unk_id is not None:
            self.symbols[tokenizer.unk_id] = UNKNOWN_SYMBOL
        words = [word for id, word in enumerate(tokenizer.symbols()) if id not in self.symbols]
        self.code_points = np.unique(_code_points("".join(words)))

    @property
    def size(self) -> int:
        return FIRST_CHARACTER + len(self.code_points)

    def spell(self, words: list[str], first_id: int) -> np.ndarray:
        """Rows (W, L) int32, padded with -1, for words whose ids begin with `first_id`; L is the longest's length."""
        symbols = {id - first_id: symbol for id, symbol in self.symbols.items() if first_id <= id < first_id + len(words)}
        read = [" " if at in symbols else word[: LONGEST - 2] for at, word in enumerate(words)]
        length_W = np.fromiter(map(len, read), dtype=np.int64, count=len(read))
        points = _code_points("".join(read))
        numbers = FIRST_CHARACTER + np.searchsorted(self.code_points, points)
        row = np.repeat(np.arange(len(read)), length_W)
        column = np.arange(len(points)) - np.repeat(np.cumsum(length_W) - length_W, length_W)
        characters_WL = np.full((len(read), int(length_W.max(initial=0)) + 2), PADDING, dtype=np.int32)
        characters_WL[:, 0] = BEGIN
        characters_WL[row, column + 1] = np.where(np.isin(points, self.code_points), numbers, UNKNOWN_CHARACTER)
        characters_WL[np.arange(len(read)), length_W + 1] = END
        for at, symbol in symbols.items():
            characters_WL[at, 1] = symbol
        return characters_WL


class SpelledWords(nn.Module):
    """The characters of every word that has an id, looked up on the network's device.

    The table is not a weight, and is not stored. It is made when it is first needed and grows with the tokenizer's unseen words;
    new words are spelled on the host, and nothing waits for the device. Threads that need new words at the same time make a longer
    table each, and read from their own: which of them stays makes no difference, as a word keeps its id.
    """

    characters_WL: Tensor

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.alphabet = Alphabet(tokenizer)
        nothing = np.zeros((0, 1), dtype=np.int32)  # from numpy: a real array even where modules are made on the meta device
        self.register_buffer("characters_WL", torch.from_numpy(nothing), persistent=False)

    def forward(self, ids_N: Tensor) -> Tensor:
        """Characters (N, L) int32 of the words, -1 after their ends."""
        return self._grown().index_select(0, ids_N)

    def _grown(self) -> Tensor:
        """The table with rows for all words that have an id now."""
        characters_WL = self.characters_WL
        known, longest = characters_WL.shape
        if known >= self.tokenizer.input_size:
            return characters_WL
        new = torch.from_numpy(self.alphabet.spell(self.tokenizer.spellings(known), known))
        new_WL = new.to(characters_WL.device, non_blocking=True)
        width = max(longest, new_WL.shape[1])
        grown_WL = torch.cat([_widened(part_WL, width) for part_WL in (characters_WL, new_WL)])
        self.characters_WL = grown_WL
        return grown_WL


def _widened(characters_WL: Tensor, width: int) -> Tensor:
    return nn.functional.pad(characters_WL, (0, width - characters_WL.shape[1]), value=PADDING)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
