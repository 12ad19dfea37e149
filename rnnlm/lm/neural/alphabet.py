"""Words as rows of character numbers, for networks that read words by their characters.

The vocabulary's words give the characters, so the shapes of a network's weights follow from
settings and tokenizer alone; any other is the unknown character. `</s>` and `<unk>` are each a
separate character. A word is read between a mark for its beginning and one for its end, at most 65
with these (the bound of Kim et al. 2016): the rest of a longer word is not read. Shapes: W words, L
characters.
"""

import numpy as np

from rnnlm.interface import Tokenizer

LONGEST = 65
PADDING = -1
BEGIN, END, UNKNOWN_CHARACTER, BOUNDARY_SYMBOL, UNKNOWN_SYMBOL, FIRST_CHARACTER = range(6)


class Alphabet:
    """The characters of a tokenizer's words by number: the five special ones, then the others in
    the order of Unicode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.symbols = {tokenizer.boundary_id: BOUNDARY_SYMBOL}
        if tokenizer.unk_id is not None:
            self.symbols[tokenizer.unk_id] = UNKNOWN_SYMBOL
        words = [word for id, word in enumerate(tokenizer.symbols()) if id not in self.symbols]
        self.code_points = np.unique(_code_points("".join(words)))

    @property
    def size(self) -> int:
        """How many characters there are, with the special ones."""
        return FIRST_CHARACTER + len(self.code_points)

    def spell(self, words: list[str], first_id: int) -> np.ndarray:
        """Return rows (W, L) int32, padded with -1, for words whose ids begin with `first_id`; L is
        the length of the longest."""
        # A special symbol is one character, for which a space holds the place.
        symbols = {
            id - first_id: symbol
            for id, symbol in self.symbols.items()
            if first_id <= id < first_id + len(words)
        }
        read = [word[: LONGEST - 2] for word in words]
        for at in symbols:
            read[at] = " "

        # All characters of all words, one after the other: their numbers, and where they go.
        length_W = np.fromiter(map(len, read), dtype=np.int64, count=len(read))
        points = _code_points("".join(read))
        numbers = FIRST_CHARACTER + np.searchsorted(self.code_points, points)
        numbers = np.where(np.isin(points, self.code_points), numbers, UNKNOWN_CHARACTER)
        row = np.repeat(np.arange(len(read)), length_W)
        begins_W = np.cumsum(length_W) - length_W
        column = np.arange(len(points)) - np.repeat(begins_W, length_W)

        width = int(length_W.max(initial=0)) + 2
        characters_WL = np.full((len(read), width), PADDING, dtype=np.int32)
        characters_WL[:, 0] = BEGIN
        characters_WL[row, column + 1] = numbers
        characters_WL[np.arange(len(read)), length_W + 1] = END
        for at, symbol in symbols.items():
            characters_WL[at, 1] = symbol
        return characters_WL


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
