"""Blocks of lines between blank ones, and the errors for sentences whose words have no labels."""

from collections.abc import Callable, Iterable, Iterator

from rnnlm.errors import TextError
from rnnlm.text.file_lines import Line, without_end
from rnnlm.text.lines import is_blank


def blocks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Consecutive lines that are not blank, each block to its blank line."""
    block: list[Line] = []
    for number, line in lines:
        if not is_blank(without_end(line)):
            block.append((number, without_end(line)))
        elif block:
            yield block
            block = []
    if block:
        yield block


def chunks(lines: Iterable[Line], is_word: Callable[[str], bool]) -> Iterator[list[Line]]:
    """All lines with their ends, a sentence at a time, each with the blank lines behind it. Lines of which `is_word` says no go with the
    sentence that follows, the last ones with the one before; where no line has a word, there are no sentences."""
    before: list[Line] = []
    chunk: list[Line] = []
    has_words = is_over = False
    for line in lines:
        blank = is_blank(without_end(line[1]))
        if is_over and not blank:
            if before:
                yield before
            before, chunk, has_words, is_over = chunk, [], False, False
        chunk.append(line)
        has_words = has_words or (not blank and is_word(line[1]))
        is_over = blank and has_words
    if before and has_words:
        yield before
        before = []
    if before or has_words:
        yield before + chunk


def unequal(where: str, labels: int, words: int, column: str) -> TextError:
    """The error for a sentence that has more or fewer labels than words."""
    hint = "with --align letters have any number of sounds; labels of whole texts are for --task classification"
    return TextError(f"{where}: {_counted(words, 'word')} and {_counted(labels, 'label')} in {column!r}", "each word needs one label", hint)


def no_words(where: str) -> TextError:
    """The error for a sentence or a text without words."""
    return TextError(f"{where}: no words", "a sentence needs at least one", "remove it")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
