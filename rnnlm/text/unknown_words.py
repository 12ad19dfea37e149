"""Name or count the words of texts that a model does not know."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import first_of, notice
from rnnlm.interface import Encoded, Tokenizer

MOST_UNKNOWN = 1000  # different unknown words that are looked at
MOST_TEXTS = 10  # whose unknown words are named
MOST_NAMES = 20


def unknown_words(lines: Sequence[str], encoded: Encoded, tokenizer: Tokenizer) -> list[str]:
    """Return the unknown words of the first MOST_UNKNOWN lines that have any."""
    line_of = np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1
    # numpy's own unique() would import numpy.ma first, which takes as long as scoring a line.
    is_first = np.diff(line_of, prepend=-1) > 0
    touched = line_of[is_first][:MOST_UNKNOWN].tolist()
    surfaces = tokenizer.surfaces([lines[line] for line in touched])
    surface_of = dict(zip(touched, surfaces, strict=True))
    places = zip(line_of.tolist(), encoded.oov.tolist(), strict=True)
    return [
        surface_of[line][at - encoded.offsets[line]] for line, at in places if line in surface_of
    ]


@dataclass
class UnknownWords:
    """The words of some texts that a model reads as `<unk>`, for one notice after all of them.

    A model that reads characters or pieces, be it of unknown words alone, has none.
    """

    texts: int = 0
    words: int = 0
    unknown: int = 0
    names: dict[str, None] = field(default_factory=dict)

    def add(self, lines: Sequence[str], tokenizer: Tokenizer) -> None:
        """Add texts, as the tokenizer of the model reads them."""
        if not lines or tokenizer.name != "word" or tokenizer.spells:
            return
        encoded = tokenizer.encode(lines)
        names: dict[str, None] = {}
        if self.texts + len(lines) <= MOST_TEXTS:
            names = dict.fromkeys(unknown_words(lines, encoded, tokenizer))
        words = len(encoded.ids) - len(lines)
        self.join(UnknownWords(len(lines), words, len(encoded.oov), names))

    def join(self, others: "UnknownWords") -> None:
        """Add the words of other texts."""
        self.texts += others.texts
        self.words += others.words
        self.unknown += others.unknown
        self.names |= others.names

    def tell(self, model: str = "the model") -> None:
        """Send the notice, if there are such words. model: what it is called."""
        if not self.unknown:
            return
        shown = f"{self.unknown:,} of {self.words:,}"
        if self.texts <= MOST_TEXTS:
            shown = f"{first_of(list(self.names), MOST_NAMES)} ({shown})"
        notice(f"words {model} does not know, read as <unk>: {shown}")


def tell_unknown(lines: Sequence[str], tokenizer: Tokenizer) -> None:
    """Send a notice of the words of texts that a model does not know, if there are any."""
    unknown = UnknownWords()
    unknown.add(lines, tokenizer)
    unknown.tell()
