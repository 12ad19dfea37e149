"""Read files of texts for a task's model, a number of texts at a time; pronouncing dictionaries."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from rnnlm.errors import TextError, keyword
from rnnlm.storage.files.tables import LineFormat
from rnnlm.text.named_columns import detect_format
from rnnlm.text.sources import in_lists

T = TypeVar("T")
TEXT_LINES = "text"

# Sentences that are read before the first of them is written; sentences of about the same length
# are tagged together.
WINDOW = 1024
LARGEST_WINDOW = 1 << 17  # words


@dataclass(frozen=True)
class TextFileSettings:
    """Settings for reading texts. format: "text", lines of text; "tsv", "csv", "jsonl", "parquet";
    "auto": inferred from suffix and content. column: of the text in a table."""

    format: str = "auto"
    column: str | None = None
    encoding_errors: Literal["strict", "replace"] = "strict"


def detect_text_format(source: str, settings: TextFileSettings) -> str:
    """Return the format of a file: the one that is set, else as inferred from its name or its first
    line."""

    def by_lines(lines: Iterator[str]) -> str:
        if settings.column:
            raise no_table(source)
        return TEXT_LINES

    return detect_format(source, settings.encoding_errors, by_lines, said=settings.format)


def no_table(source: str) -> TextError:
    """Return the error for a file of lines of which a column is asked for."""
    return TextError(
        f"{source} does not have a table suffix",
        "a column is named",
        "name its format with " + keyword("format"),
    )


def windows(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Return the items, WINDOW of them at a time, or fewer with LARGEST_WINDOW words together.
    size: words of an item."""
    return in_lists(items, WINDOW, LARGEST_WINDOW, size)


# ---- Pronouncing dictionaries such as CMUdict: a word, two blanks and its sounds on a line.

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
