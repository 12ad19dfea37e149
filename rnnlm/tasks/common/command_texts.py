"""The texts that `tag`, `classify` and `translate` read: arguments, or the lines of a file."""

import sys

from rnnlm.cli import options, terminal
from rnnlm.errors import TextError

_OF_INPUT = ("form", "column", "sentence_column", "encoding_errors")


def texts_or_file(
    texts: tuple[str, ...], source: str | None, noun: str
) -> tuple[tuple[str, ...], str | None]:
    """Return the arguments and the file of --input, of which only one may be given."""
    return options.texts_or_input(texts, source, noun, of_input=_OF_INPUT, standard_input="-")


def check_arguments(texts: tuple[str, ...], noun: str, read_as: str, otherwise: str) -> None:
    """Refuse arguments without words, and give a notice of one that names a file, too."""
    for number, text in enumerate(texts, start=1):
        if not options.checked_utf8(text, f"{noun} {number}").split():
            raise TextError(f"{noun} {number} has no words", "it is empty")
    options.notice_file(texts, read_as, otherwise)


def file_or_terminal(source: str | None, read: str) -> str:
    """Return the file of --input, or else standard input; say what is `read` if it is typed."""
    if source is None and sys.stdin is not None and sys.stdin.isatty():
        terminal.say(f"reading {read}; press Ctrl-D to end")
    return "-" if source is None else source
