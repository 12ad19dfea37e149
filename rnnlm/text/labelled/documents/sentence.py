"""A sentence of a file into which labels are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rnnlm.errors import UsageError
from rnnlm.text.file_lines import without_end

WordLabels = Mapping[str, Sequence[str]]  # of each label column, a label of each word
TextLabels = Mapping[str, str]  # of each column of labels of the text, its label
_BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Sentence:
    """A sentence of a document, of at least one word.

    line: where it begins, from 1 (the row of a table that is not made of lines). text: as it stands there, where that is known. ranges: of
    each multiword form its first word (from 0), the one behind its last, and its form.
    """

    words: tuple[str, ...]
    line: int
    write: Callable[[WordLabels, TextLabels], str]
    text: str | None = None
    ranges: tuple[tuple[int, int, str], ...] = ()

    def with_labels(self, word_labels: WordLabels, text_labels: TextLabels | None = None) -> str:
        """The sentence as its document holds it, with its line ends, and with these labels instead of those it has.

        Raises:
            ValueError: there are more or fewer labels than words. UsageError: the format has no place for them.
        """
        for name, labels in word_labels.items():
            if len(labels) != len(self.words):
                raise ValueError(f"{len(labels)} labels in {name!r} for {len(self.words)} words")
        return self.write(word_labels, text_labels or {})


def on_one_line(label: str) -> str:
    """A label with tabs and line ends written out, so that it stays in its cell."""
    return label.translate(_BREAKS)


def end_of(line: str) -> str:
    """The line end of a line."""
    return line[len(without_end(line)) :]


def refuse(text_labels: TextLabels, format: str) -> None:
    """Whether there are labels of the whole sentence, for which a format has no place.

    Raises:
        UsageError: there are.
    """
    if text_labels:
        raise UsageError(f"format {format} has no place for labels of the whole sentence", ", ".join(text_labels), "use jsonl or tsv")


def only_labels(word_labels: WordLabels) -> Sequence[str]:
    """The labels of the one column.

    Raises:
        UsageError: there are several columns, or none.
    """
    if len(word_labels) != 1:
        raise UsageError("a word has room for one label behind its slash", f"there are {len(word_labels)}", "another --format has room")
    return next(iter(word_labels.values()))
