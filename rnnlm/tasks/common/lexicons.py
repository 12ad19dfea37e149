"""Read pronouncing dictionaries such as CMUdict: a word, two blanks and its sounds on a line."""

import re
from collections.abc import Sequence

from rnnlm.storage.files.tables import LineFormat

# A word, two blanks, and its sounds; or a comment.
_PRONOUNCED = re.compile(r";;;.*|\S+ {2,}\S+(?: \S+)*\s*")
_VARIANT = re.compile(r"\(\d+\)$")  # behind a word that has another pronunciation, too


def are_pronounced(lines: Sequence[str]) -> bool:
    """Return whether most of the first lines of a file are of a pronouncing dictionary."""
    return sum(bool(_PRONOUNCED.fullmatch(line)) for line in lines) > len(lines) / 2


def _as_tsv(line: str) -> str:
    """Return a line of a pronouncing dictionary as TSV, a comment as an empty line."""
    if line.startswith(";;;") or not line.strip():
        return "\n"
    word, *sounds = line.split()
    return f"{_VARIANT.sub('', word)}\t{' '.join(sounds)}\n"


LEXICON = LineFormat(["word", "sounds"], fits=are_pronounced, as_tsv=_as_tsv)
