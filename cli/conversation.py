"""Lines as somebody types them, each of which is answered before the next one is read."""

import contextlib
import sys
from collections.abc import Iterator

from . import terminal

PROMPT = "> "


def lines(errors: str) -> Iterator[str]:
    """What is typed at a terminal, after a prompt, with editing keys and a history, until Ctrl-D; else the lines of standard input, each as
    soon as it is there. errors: "strict" or "replace", of bad UTF-8.

    Raises:
        TextError: a line is not UTF-8.
    """
    from rnnlm.text.file_lines import numbered_lines, without_end

    if sys.stdin is None or not sys.stdin.isatty():
        yield from (without_end(line) for _, line in numbered_lines("-", errors))
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
