"""What is read becomes pairs: special symbols are treated as asked for, and sides without words are an error or left out."""

from collections.abc import Sequence

from rnnlm.errors import TextError, notice
from rnnlm.text.lines import WORD_SPACE, check_reserved, is_blank
from rnnlm.text.parallel.pair import Pair
from rnnlm.text.parallel.settings import ParallelSettings


class PairCollector:
    """Collects pairs, and counts what is left out as it is empty."""

    def __init__(self, settings: ParallelSettings) -> None:
        self.settings = settings
        self.pairs: list[Pair] = []
        self.pairs_left_out = 0
        self.references_left_out = 0  # of pairs that have others

    def add(self, texts: Sequence[str], places: Sequence[str], line: int, file: str) -> None:
        """Add the pair that stands in that line of a file. texts: its source and its references; places: where each of them stands.

        Raises:
            TextError: one has no words or holds a reserved symbol, or there is no reference, and that is to be an error.
        """
        for text in texts:
            if "s>" in text or "\n" in text or not text.strip(WORD_SPACE):
                texts = list(map(self._as_line, texts, places))
                break
        if not (all(texts) and texts[1:]):
            texts = self._filled(texts, places)
        if texts:
            self.pairs.append(Pair(texts[0], tuple(texts[1:]), line, file))

    def tell_of_empty(self) -> None:
        """A notice of what was left out, if anything was."""
        if self.pairs_left_out:
            read = len(self.pairs) + self.pairs_left_out
            notice(f"pairs left out because their source or target is empty: {self.pairs_left_out:,} of {read:,}")
        if self.references_left_out:
            notice(f"empty references left out of pairs that have others: {self.references_left_out:,}")

    def _as_line(self, text: str, place: str) -> str:
        """A text as one line, also where a cell holds several; "" where it has no words."""
        text = check_reserved(text, place, self.settings.special_symbols)
        if "\n" in text:
            text = text.strip("\r\n").replace("\r\n", " ").replace("\n", " ")
        return "" if is_blank(text) else text

    def _filled(self, texts: Sequence[str], places: Sequence[str]) -> Sequence[str]:
        """The source and those references that are not empty; nothing where there is not one of each."""
        source, *references = texts
        if not self.settings.skip_empty:
            place, side = (places[texts.index("")] if "" in texts else places[0]), "target" if source else "source"
            raise TextError(f"{place}: the {side} is empty", "a pair needs words on both sides", "--skip-empty leaves such pairs out")
        references = [reference for reference in references if reference]
        if not (source and references):
            self.pairs_left_out += 1
            return ()
        self.references_left_out += len(texts) - 1 - len(references)
        return (source, *references)
