"""Edit scripts that turn a word into its lemma: labels that generalise over words (Chrupala 2006;
with rules of casing, Straka 2018).

A script is a rule of casing, `lower`, `keep`, `title` or `upper`, and then edits of the word so
cased, each after a semicolon:

* `$-3+y`: at the end, cut three characters and put `y` (tries -> try); `$2-1+i`: the same two
  characters before the end (drank -> drink);
* `^-2`: at the start, cut two characters (gemacht -> macht); `^2-2`: the same two characters after
  the start (umgebaut -> umbaut).

`=be` alone is the lemma itself, for any word. Text is ASCII: other characters, white space, `;` and
`|` are escaped as in Python's strings (`\\xe4`), so that any script can be a label.
"""

import re
from collections.abc import Callable
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from rnnlm.errors import TextError

# Where several need the same number of edits, the first is taken
_CASINGS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "keep": str,
    "title": lambda form: form[:1].upper() + form[1:].lower(),
    "upper": str.upper,
}
_EDIT = re.compile(r"([\^$])(\d{0,9})(?:-(\d{1,9}))?(?:\+(.+))?", re.DOTALL)
_RESERVED = re.compile("[ ;|]")
# Characters: of longer words only the beginning and the end that they share with the lemma are kept
_LONGEST = 100
_CACHED = 1 << 16  # words, or scripts


class _Edit(NamedTuple):
    """Cut the characters from `start` to `end` of a word and put `text` there; both count from the
    word's end where `from_end`."""

    start: int
    end: int
    text: str
    from_end: bool = False

    @property
    def cost(self) -> int:
        return self.end - self.start + len(self.text)


@lru_cache(_CACHED)
def script(form: str, lemma: str) -> str:
    """Return the script with the fewest edits that turn `form` into `lemma`, which :func:`apply`
    gives exactly."""
    words = {casing: cased(form) for casing, cased in _CASINGS.items()}
    scripts = [(casing, word, _edits(word, lemma)) for casing, word in words.items()]
    casing, word, edits = min(scripts, key=lambda script: sum(edit.cost for edit in script[2]))

    # Edits that keep little of the word say nothing about other words.
    kept = len(word) - sum(edit.end - edit.start for edit in edits)
    if kept < max(len(lemma) / 2, min(len(lemma), 2)) or not lemma:
        return f"={_escaped(lemma)}"
    return ";".join([casing, *(_written(edit, len(word)) for edit in edits)])


def apply(script: str, form: str) -> str:
    """Return `form` edited by `script`. A word that is too short for the edits, or that they would
    delete, is only cased."""
    cased, edits = _parsed(script)
    if cased is None:
        return edits[0].text
    word = cased(form)
    # Edits are in order, so the text between them is kept as it is.
    parts = []
    done = 0
    for start, end, text, from_end in edits:
        if from_end:
            start += len(word)
            end += len(word)
        if not done <= start <= end <= len(word):
            return word
        parts += [word[done:start], text]
        done = end
    return "".join([*parts, word[done:]]) or word


def _edits(word: str, lemma: str) -> list[_Edit]:
    """Return the script that turns `word` into `lemma`: the longest part that both share is kept,
    and likewise on either side of it."""
    if word == lemma:
        return []
    if max(len(word), len(lemma)) <= _LONGEST:
        changes = SequenceMatcher(None, word, lemma, autojunk=False).get_opcodes()
        return [
            _Edit(start, end, lemma[first:last])
            for kind, start, end, first, last in changes
            if kind != "equal"
        ]

    # The search takes time in square of the length, so very long words keep only both ends.
    from rapidfuzz.distance import Postfix, Prefix

    before = Prefix.similarity(word, lemma)
    after = Postfix.similarity(word[before:], lemma[before:])
    return [_Edit(before, len(word) - after, lemma[before : len(lemma) - after])]


def _written(edit: _Edit, length: int) -> str:
    """Return an edit of a word of `length` characters, its place counted from the nearer end."""
    after = length - edit.end
    side, place = ("^", edit.start) if edit.start < after else ("$", after)
    cut = f"-{edit.end - edit.start}" if edit.end > edit.start else ""
    inserted = f"+{_escaped(edit.text)}" if edit.text else ""
    return f"{side}{place or ''}{cut}{inserted}"


@lru_cache(_CACHED)
def _parsed(script: str) -> tuple[Callable[[str], str] | None, tuple[_Edit, ...]]:
    """Return the casing and the edits; no casing where the text of the only edit is the lemma."""
    try:
        if script.startswith("="):
            return None, (_Edit(0, 0, _unescaped(script[1:])),)
        casing, *edits = script.split(";")
        return _CASINGS[casing], tuple(map(_read, edits))
    except (KeyError, ValueError):
        raise TextError(
            f"{script!r} is not an edit script", hint="edit scripts look like lower;$-3+y or =be"
        ) from None


def _read(edit: str) -> _Edit:
    match = _EDIT.fullmatch(edit)
    if match is None:
        raise ValueError(edit)
    side, place, removed, text = match.groups()
    offset, length, inserted = int(place or 0), int(removed or 0), _unescaped(text or "")
    if side == "^":
        return _Edit(offset, offset + length, inserted)
    return _Edit(-offset - length, -offset, inserted, from_end=True)


def _escaped(text: str) -> str:
    ascii_only = text.encode("unicode_escape").decode("ascii")
    return _RESERVED.sub(lambda match: f"\\x{ord(match[0]):02x}", ascii_only)


def _unescaped(text: str) -> str:
    """Return the text that was escaped. Raise ValueError where it holds halves of characters, which
    no file can hold, or is not escaped."""
    unescaped = text.encode("ascii").decode("unicode_escape")
    unescaped.encode()
    return unescaped
