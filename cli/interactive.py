"""Typing with a model: below the text that is typed appear the likeliest next words and
continuations, redrawn at each key."""

import codecs
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from rnnlm.errors import RnnlmWarning, TextError

from . import terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rnnlm.generation.settings import SamplingSettings
    from rnnlm.inference.next_word import NextWord
    from rnnlm.interface import LanguageModel

WORDS, CONTINUATIONS, CONTINUATION_TOKENS = 10, 3, 12
OTHER_LINES = 5  # besides words and continuations
KEYS = "Tab: take the first word   Enter: draw again   Ctrl-U: clear   Ctrl-D: end"
_BACKSPACE, _TAB, _ENTER, _CLEAR, _LAST_WORD, _END = "\x7f\b", "\t", "\r\n", "\x15", "\x17", "\x04"

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|O.|.)?")  # arrows and the like, which do nothing

# Waits seconds for a key (None: until there is one); returns the keys pressed, "" if none.
ReadKeys = Callable[[float | None], str]


def run_interactive(model: "LanguageModel", prompt: str, settings: "SamplingSettings") -> None:
    """Show what may follow the text that is typed, until Ctrl-D; then print the text on stdout."""
    from rich.console import Console

    console = Console()
    has_keyboard = sys.stdin and sys.stdin.isatty()
    if not has_keyboard or not sys.stdout.isatty() or console.is_dumb_terminal:
        raise click.UsageError(
            "--interactive needs a terminal to type in; without one, name a beginning."
        )
    desk = Desk(model, settings, prompt)
    with _raw_keys() as read_keys:
        work(desk, console, read_keys)
    click.echo(terminal.visible(desk.text))


@dataclass
class Desk:
    """The text that is typed, and what the model makes of it."""

    model: "LanguageModel"
    settings: "SamplingSettings"
    text: str = ""
    is_ended: bool = False
    words: "list[NextWord] | None" = None  # None: still to be found, as are continuations
    continuations: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def press(self, keys: str) -> None:
        """Edit the text as keys say. What appears below it is worked out later."""
        for key in keys:
            if key == _END:
                self.is_ended = True
            elif key in _ENTER:
                self.settings = replace(self.settings, seed=(self.settings.seed + 1) % (1 << 64))
                self.continuations = None
            else:
                self.text = self._edited(key)
                self.words = self.continuations = None

    def think(self) -> bool:
        """Work out one thing that is missing, the words first. Return whether anything was."""
        from rnnlm.generation.autocomplete import continuations, next_words

        if self.continuations is not None:
            return False
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RnnlmWarning)
            try:
                if self.words is None:
                    self.words = next_words(self.model, self.text, WORDS)
                else:
                    short = replace(self.settings, max_tokens=CONTINUATION_TOKENS)
                    self.continuations = continuations(self.model, self.text, CONTINUATIONS, short)
            except TextError as error:
                # The text cannot be read as it is now: the next key may change that.
                self.words, self.continuations, self.notes = [], [], [str(error)]
                return True
        self.notes = list(dict.fromkeys(str(each.message) for each in caught))
        return True

    def _edited(self, key: str) -> str:
        """Return the text as it is after this key."""
        if key in _BACKSPACE:
            return self.text[:-1]
        if key == _CLEAR:
            return ""
        if key == _LAST_WORD:
            return self.text.rstrip(" ").rpartition(" ")[0]
        if key == _TAB:
            from rnnlm.generation.autocomplete import with_word

            # Tab may come before the words are found.
            if self.words is None:
                self.think()
            taken = ""
            if self.words:
                taken = with_word(self.model, self.text, self.words[0].word)
            return f"{taken} " if taken else self.text
        return self.text + key if key.isprintable() else self.text


def work(desk: Desk, console: "Console", read_keys: ReadKeys) -> None:
    """Draw the desk and read keys until the text is ended. Keys that wait are read before more is
    worked out."""
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not desk.is_ended:
            live.update(screen_of(desk, console.width, console.height), refresh=True)
            keys = read_keys(0)
            if keys:
                desk.press(keys)
            elif not desk.think():
                desk.press(read_keys(None))


def screen_of(desk: Desk, width: int, height: int) -> "RenderableType":
    """Return the text, the words with their probabilities and the continuations, cut to the
    terminal's width and height."""
    from rich.table import Table
    from rich.text import Text

    # Of a long text, the end is shown.
    typed = terminal.visible(desk.text)
    room = max(2, width - 4)
    if len(typed) > room:
        typed = "…" + typed[1 - room :]
    lines = [Text(f"> {typed}█", style="bold")]

    # Continuations have their places below the words, whatever the height.
    shown = max(1, height - OTHER_LINES - CONTINUATIONS)
    for word in (desk.words or [])[:shown]:
        lines.append(Text(f"{word.probability:7.1%}  {terminal.visible(word.word)}"))
    if desk.words == []:
        lines.append(Text("  no word begins like this"))
    lines.append(Text("  ..." if desk.continuations is None else "  "))
    for continuation in desk.continuations or []:
        lines.append(Text(terminal.visible(continuation), style="italic"))
    for note in desk.notes[:1]:
        lines.append(Text(terminal.visible(note)))
    lines.append(Text(KEYS, style="dim"))

    panel = Table.grid()
    for line in lines[: max(1, height - 1)]:
        line.no_wrap, line.overflow = True, "ellipsis"
        panel.add_row(line)
    return panel


@contextmanager
def _raw_keys() -> Iterator[ReadKeys]:
    """Read keys as they are pressed, without echo; Ctrl-C still interrupts. The terminal is
    restored afterwards, whatever happens."""
    try:
        import select
        import termios
        import tty
    except ImportError:
        raise click.UsageError(
            "--interactive needs a terminal of a Unix system; without one, name a beginning."
        ) from None
    keyboard = sys.stdin.fileno()
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def read_keys(seconds: float | None) -> str:
        if not select.select([keyboard], [], [], seconds)[0]:
            return ""
        data = os.read(keyboard, 1024)
        # A terminal that is gone can be read, but gives nothing.
        return _ESCAPE.sub("", decoder.decode(data)) if data else _END

    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield read_keys
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
