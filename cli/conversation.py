"""Lines as somebody types them, each of which is answered before the next one is read."""

import contextlib
import sys
from collections.abc import Iterator

from rnnlm.errors import TextError

from . import terminal

PROMPT = "> "


def lines(errors: str) -> Iterator[str]:
    """What is typed at a terminal, after a prompt, with editing keys and a history, until Ctrl-D; else the lines of standard input, each as
    soon as it is there. errors: "strict" or "replace", of bad UTF-8.

    Raises:
        TextError: a line is not UTF-8, or standard input is closed.
    """
    from rnnlm.files.reading import text_lines
    from rnnlm.text.file_lines import without_end

    if sys.stdin is None:
        raise TextError("cannot read standard input", "it is closed")
    if not sys.stdin.isatty():
        yield from map(without_end, text_lines("-", sys.stdin.buffer, errors))
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 (input() then has a history)
    while True:
        try:
            line = _typed()
        except EOFError:
            terminal.say("")
            return
        if line.strip():
            yield line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _typed() -> str:
    """The next line. The prompt never gets into a file that the answers go to.

    Raises:
        EOFError: Ctrl-D.
    """
    if sys.stdout.isatty():
        return input(PROMPT)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return input()
