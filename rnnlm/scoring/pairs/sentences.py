"""Tables of good and bad sentences: BLiMP's JSON-lines (Warstadt et al. 2020, arXiv 1912.00582), or columns good and bad."""

from rnnlm.scoring.pairs.formats import RowFormat, Values, has, text
from rnnlm.scoring.pairs.pair import FULL

GOOD, BAD = ("good", "sentence_good"), ("bad", "sentence_bad")


def fits(columns: set[str]) -> bool:
    return has(columns, GOOD) or has(columns, BAD)


def sentences_of(values: Values) -> tuple[str, str]:
    return text(values, GOOD), text(values, BAD)


SENTENCES = RowFormat("good and bad sentences", FULL, fits, (GOOD, BAD), sentences_of)
