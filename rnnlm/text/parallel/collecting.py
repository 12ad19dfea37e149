"""What is read becomes pairs: special symbols are treated as asked for, and sides without words are an error or left out."""

from collections.abc import Sequence

from rnnlm.errors import TextError, notice
from rnnlm.text.lines import check_reserved, is_blank
from rnnlm.text.parallel.pair import Pair
from rnnlm.text.parallel.settings import ParallelSettings

Placed = tuple[str, str]  # a text, and where it stands


class PairCollector:
    """Collects pairs, and counts what is left out as it is empty."""

    def __init__(self, settings: ParallelSettings) -> None:
        self.settings = settings
        self.pairs: list[Pair] = []
        self.pairs_left_out = 0
        self.references_left_out = 0  # of pairs that have others

    def add(self, source: Placed, targets: Sequence[Placed], line: int, file: str) -> None:
        """Add the pair that stands in that line of a file.

        Raises:
            TextError: a side has no words or holds a reserved symbol, and that is to be an error.
        """
        text = self._text(source, "source")
        references = [self._text(target, "target") for target in targets]
        filled = tuple(filter(None, references))
        if text and filled:
            self.pairs.append(Pair(text, filled, line, file))
            self.references_left_out += len(references) - len(filled)
        elif not targets and not self.settings.skip_empty:
            raise _empty(source[1], "target")
        else:
            self.pairs_left_out += 1

    def tell_of_empty(self) -> None:
        """A notice of what was left out, if anything was."""
        if self.pairs_left_out:
            read = len(self.pairs) + self.pairs_left_out
            notice(f"{self.pairs_left_out:,} of {read:,} pairs are left out: their source or target is empty")
        if self.references_left_out:
            notice(f"{self.references_left_out:,} empty references are left out of pairs that have others")

    def _text(self, placed: Placed, side: str) -> str:
        """A side as one line; "" where it has no words."""
        text, where = placed
        if "s>" in text:
            text = check_reserved(text, where, self.settings.special_symbols)
        if "\n" in text:  # in a cell
            text = text.strip("\r\n").replace("\r\n", " ").replace("\n", " ")
        if not is_blank(text):
            return text
        if not self.settings.skip_empty:
            raise _empty(where, side)
        return ""


def _empty(where: str, side: str) -> TextError:
    return TextError(f"{where}: the {side} is empty", "a pair needs words on both sides", "--skip-empty leaves out such pairs")
