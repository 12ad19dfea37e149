"""Normalise messy text: quotes and dashes in ASCII, single plain spaces, characters for HTML
entities, NFC.

The order is fixed: soft hyphens go, then NFC, entities, NFC again, quotes, dashes and spaces. An
entity is decoded until nothing is left to decode; the characters it gives are in NFC, without soft
hyphens. No step makes work for a step before it, so a normalised text stays as it is when it is
normalised again.

The form ccnet stands alone. It does what the program of CCNet does to a line before scoring (Wenzek
et al. 2020; cc_net/text_normalizer.py of facebookresearch/cc_net): lower case, NFD without accents,
digits 0, the marks of IN_CCNET in ASCII, no control characters. White space at both ends goes after
that, not before, so that nothing is left for a second time.
"""

import functools
import itertools
import re
import string
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rnnlm.errors import ArgumentTypeError, given
from rnnlm.interface import UNKNOWN
from rnnlm.text.lines import WORD_SPACE, split_words
from rnnlm.text.tokenizer_settings import ALL, CCNET, parse_forms

if TYPE_CHECKING:
    import numpy as np

QUOTES = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'") | dict.fromkeys(
    "\u201c\u201d\u201e\u201f\u2033", '"'
)
DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
_EN_QUAD_TO_ZERO_WIDTH = "".join(map(chr, range(0x2000, 0x200C)))
WIDE_SPACES = (
    "\u0085\u00a0\u1680" + _EN_QUAD_TO_ZERO_WIDTH + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
SOFT_HYPHEN = "\u00ad"  # where a word may be divided; readers do not see it
_ASCII_SPACES = "\t\r\0\v\f"
CHARACTERS = {
    "quotes": QUOTES,
    "dashes": DASHES,
    "spaces": dict.fromkeys(_ASCII_SPACES + WIDE_SPACES, " "),
}
IN_CCNET = {
    **dict(zip("\u3002\u3001\uff0c\u2236\uff1a\uff1b\uff1f\uff01", ".,,::;?!", strict=True)),
    **dict(zip("\uff08\uff09\u3008\u3009\u3010\u3011\uff5e\uff05", "()<>[]~%", strict=True)),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u300a\u300b\u300c\u300d", '"'),
    **dict.fromkeys("\u00b4\u2019", "'"),
    **dict.fromkeys("\u2013\u2501\u25ba", "-"),
    "\u2014": " - ", "\uff0e": ". ", "\u2026": "...",
}  # fmt: skip
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LONGEST_ENTITY = 34
_SPECIAL = re.compile(r"<(?:/?s|unk)>", re.IGNORECASE)
_SPACES = re.compile("  +")
_NO_CHARACTER = str.maketrans(dict.fromkeys("\n\r\0", " "))
_APOSTROPHES = "'\u2019"
_LAST_PLAIN = "\uffff"
_WORD_ENDS = f"{WORD_SPACE}\n"  # the empty text is part of it, too

# (character, start, end): the span of the original text that it comes from
Traced = list[tuple[str, int, int]]


def normalise(text: str, forms: str | Iterable[str] | None = ALL) -> str:
    """Normalise the characters of a text; lines stay lines.

    The forms are:

    * quotes: curly and low quotation marks, primes and the acute accent as a separate character
      become ' and "; guillemets stay.
    * dashes: hyphens, en and em dashes and the minus sign become -.
    * spaces: tabs, no-break, zero-width and all other spaces become a space, runs of spaces become
      one, and soft hyphens are removed; joiners (U+200C, U+200D), which belong to spelling, stay.
    * entities: named and numbered HTML entities with their semicolon become their characters, but
      no line ends, NUL, `<s>`, `</s>` or `<unk>`.
    * nfc: letters with accents are single characters.
    * ccnet, alone: lower case without accents, digits 0, marks as CCNet has them, no control
      characters.

    Args:
        text: The text.
        forms: Names of forms, as "quotes,dashes" or as a list, or "all".

    Returns:
        The normalised text.

    Raises:
        SettingsError: A form is unknown.
        ArgumentTypeError: `text` is not a str, or forms are not names.
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(f"a text must be a str, not {given(text)}")
    wanted_forms = parse_forms(forms)
    return _normalised(text, wanted_forms) if wanted_forms else text


def trace(line: str, forms: str | None) -> Traced:
    """Return the characters of a line normalised in `forms` (of :func:`parse_forms`), each with its
    origin. Origins ascend and cover the line; characters that were made together share one."""
    if forms == CCNET:
        return _covering(_trace_ccnet(line), len(line))
    form_names = (forms or "").split(",")
    drops_soft_hyphens = "spaces" in form_names
    traced = _trace_soft_hyphens(line) if drops_soft_hyphens else _untouched(line)
    if "nfc" in form_names:
        traced = _trace_nfc(traced)

    # Entities are decoded in the rest of the line, whose characters know their origins.
    if "entities" in form_names:
        decoded = _trace_entities(_text_of(traced), drops_soft_hyphens)
        traced = [(part, traced[start][1], traced[end - 1][2]) for part, start, end in decoded]
        if "nfc" in form_names:
            traced = _trace_nfc(traced)

    _, replacements = _translation(forms or "")
    traced = [(replacements.get(old, old), start, end) for old, start, end in traced]
    if "spaces" in form_names:
        traced = _covering(_trace_spaces(traced), len(line))
    return traced


def _text_of(traced: Traced) -> str:
    return "".join([character for character, _, _ in traced])


def _untouched(line: str) -> Traced:
    return [(character, index, index + 1) for index, character in enumerate(line)]


def untraced(traced: Traced) -> "tuple[str, np.ndarray, np.ndarray]":
    """Return the N characters of `traced`, and where in the original their origins begin and end:
    two arrays (N,), int64."""
    import numpy as np  # settings, which name forms, do not wait for it

    starts = np.array([start for _, start, _ in traced], dtype=np.int64)
    ends = np.array([end for _, _, end in traced], dtype=np.int64)
    return _text_of(traced), starts, ends


@functools.cache
def _translation(forms: str) -> tuple[re.Pattern[str] | None, dict[str, str]]:
    """Return a pattern for the characters that are replaced, and their replacements."""
    replacements: dict[str, str] = {}
    for form in forms.split(","):
        replacements |= CHARACTERS.get(form, {})
    if not replacements:
        return None, {}
    return re.compile(f"[{re.escape(''.join(replacements))}]"), replacements


def _normalised(text: str, forms: str) -> str:
    if forms == CCNET:
        return "\n".join(map(str.strip, _in_ccnet(text).split("\n")))
    is_ascii = text.isascii()
    drops_soft_hyphens = "spaces" in forms
    if drops_soft_hyphens and SOFT_HYPHEN in text:
        text = _in_lines_with(SOFT_HYPHEN, text, lambda line: _text_of(_trace_soft_hyphens(line)))
    if "nfc" in forms and not is_ascii:
        text = _composed(text)
    if "entities" in forms and "&" in text:
        text = _in_lines_with("&", text, lambda line: _without_entities(line, drops_soft_hyphens))
        is_ascii = text.isascii()
        if "nfc" in forms and not is_ascii:
            text = _composed(text)

    # To search for spaces is faster than the pattern.
    pattern, replacements = _translation(forms)
    if pattern and (not is_ascii or any(space in text for space in _ASCII_SPACES)):
        text = pattern.sub(lambda match: replacements[match[0]], text)
    if drops_soft_hyphens and "  " in text:
        text = _SPACES.sub(" ", text)
    return text


def _in_ccnet(text: str) -> str:
    """Return a text in the form ccnet, but for white space at the ends of its lines."""
    return "".join(map(_character_in_ccnet, unicodedata.normalize("NFD", text.lower())))


@functools.cache
def _character_in_ccnet(character: str) -> str:
    """Return what stands for a decomposed character in lower case; lines stay lines."""
    by_class = {"Mn": "", "Cc": "\n" if character == "\n" else "", "Nd": "0"}
    return by_class.get(unicodedata.category(character), IN_CCNET.get(character, character))


def _in_lines_with(character: str, text: str, function: Callable[[str], str]) -> str:
    """Return `text` with the lines that hold `character` passed through `function`."""
    return "\n".join([function(line) if character in line else line for line in text.split("\n")])


def _composed(text: str) -> str:
    """Return `text` in NFC."""
    # Most lines are ASCII, and those would take longest.
    return "\n".join(
        [
            line if line.isascii() else unicodedata.normalize("NFC", line)
            for line in text.split("\n")
        ]
    )


@functools.lru_cache(1 << 12)
def meaning(entity: str) -> str:
    """Return the characters of an entity (of ENTITY); "" where there is no such entity, or where it
    has none."""
    import html.entities  # few texts have any

    if entity[1] != "#" and entity[1:] not in html.entities.html5:
        return ""
    return unicodedata.normalize("NFC", html.unescape(entity)).translate(_NO_CHARACTER)


def _decoded(line: str) -> str:
    return ENTITY.sub(lambda match: meaning(match[0]) or match[0], line)


def _trace_soft_hyphens(line: str) -> Traced:
    """Return the line without its soft hyphens. A special symbol that results gets an entity: it
    was text."""
    return _with_special_symbols_as_text(
        [piece for piece in _untouched(line) if piece[0] != SOFT_HYPHEN]
    )


def _without_entities(line: str, drops_soft_hyphens: bool) -> str:
    once = _decoded(line)
    if once == line:
        return once
    # Only entities that decode into more to decode, or into forbidden characters, need care.
    is_done = _decoded(once) == once and not _SPECIAL.search(once)
    if is_done and not (drops_soft_hyphens and SOFT_HYPHEN in once):
        return once
    return _text_of(_trace_entities(line, drops_soft_hyphens))


def _trace_entities(line: str, drops_soft_hyphens: bool) -> Traced:
    """Decode all entities, those that result from decoding too, from left to right: `&amp;lt;` is
    `<`.

    A special symbol that results keeps an entity: it was text. Of `&shy;` nothing is left where
    soft hyphens go.
    """
    done: Traced = []
    ampersands: list[int] = []  # their places in `done`
    for piece in _untouched(line):
        pending = [piece]
        while pending:
            character, start, end = pending.pop()
            if character == "&":
                ampersands.append(len(done))
            done.append((character, start, end))
            if character != ";" or not ampersands:
                continue

            # A semicolon may end an entity, which its characters replace, to be read in turn.
            first = ampersands[-1]
            if len(done) - first > _LONGEST_ENTITY:
                continue
            entity = _text_of(done[first:])
            decoded = meaning(entity) if ENTITY.fullmatch(entity) else ""
            if decoded:
                start = done[first][1]
                ampersands.pop()
                del done[first:]
                for part in reversed(decoded):
                    if part != SOFT_HYPHEN or not drops_soft_hyphens:
                        pending.append((part, start, end))
    return _with_special_symbols_as_text(done)


def _with_special_symbols_as_text(traced: Traced) -> Traced:
    """Write an entity for the first character of special symbols that the original does not have,
    so that they stay text."""
    done: Traced = []
    at = 0
    for match in _SPECIAL.finditer(_text_of(traced)):
        first, last = match.start(), match.end() - 1
        _, start, end = traced[first]
        if traced[last][2] - start > len(match[0]):
            done += traced[at:first]
            done += [(part, start, end) for part in "&lt;"]
            at = first + 1
    return [*done, *traced[at:]]


def _trace_nfc(traced: Traced) -> Traced:
    """Return the characters in NFC. Those that are composed have a common origin."""
    done: Traced = []
    group: Traced = []  # characters that may be composed with each other
    for piece in [*traced, ("", 0, 0)]:
        if group and not _is_joined(piece[0]):
            text = _text_of(group)
            composed = unicodedata.normalize("NFC", text)
            if composed != text:
                start, end = group[0][1], group[-1][2]
                group = [(character, start, end) for character in composed]
            done += group
            group = []
        group.append(piece)
    return done


def _is_joined(character: str) -> bool:
    """Return whether NFC may join a character with the one before it: a mark, or a vowel or final
    consonant of Hangul."""
    return character >= "\u0300" and (
        unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"
    )


def _trace_spaces(traced: Traced) -> Traced:
    done: Traced = []
    for character, start, end in traced:
        if character == " " and done and done[-1][0] == " ":
            done[-1] = (" ", done[-1][1], end)
        else:
            done.append((character, start, end))
    return done


def _trace_ccnet(line: str) -> Traced:
    # What a sigma becomes depends on the word around it, but not how many characters it becomes.
    read = _in_ccnet(line)
    sizes = [len(_in_ccnet(character)) for character in line]
    origins = itertools.chain.from_iterable(map(itertools.repeat, range(len(line)), sizes))
    traced = [(new, at, at + 1) for new, at in zip(read, origins, strict=True)]
    return traced[len(read) - len(read.lstrip()) : len(read.rstrip())]


def _covering(traced: Traced, length: int) -> Traced:
    """Return `traced` with origins that cover a line of that many characters: removed characters
    belong to the character before them, else to the first."""
    covering = []
    for place, (character, start, end) in enumerate(traced):
        next_start = traced[place + 1][1] if place + 1 < len(traced) else length
        covering.append((character, start if place else 0, max(end, next_start)))
    return covering


def without_punctuation(text: str) -> str:
    """Return `text` with a space in the place of each character of Unicode's classes P and S, but
    for `<unk>` as a word and apostrophes inside words, which become straight."""
    return _punctuation(text.isascii()).sub(_spaced, text)


def remove_punctuation(line: str) -> str:
    """Return `line` :func:`without_punctuation`, its words one space apart. It begins and ends with
    white space only where it did before."""
    spaced = without_punctuation(line)
    if spaced == line:
        return line
    first = " " if line[0] in WORD_SPACE else ""
    last = " " if line[-1] in WORD_SPACE else ""
    words = " ".join(split_words(spaced))
    return f"{first}{words}{last}" if words else first


def trace_without_punctuation(traced: Traced) -> Traced:
    """Return the traced characters that :func:`remove_punctuation` leaves. Removed ones belong to
    none."""
    line = _text_of(traced)
    spaced = without_punctuation(line)
    if spaced == line:
        return traced

    # White space is one space between words, and at the beginning only where it was there before.
    done: Traced = []
    if line[0] in WORD_SPACE:
        done.append((" ", *traced[0][1:]))
    for new, (_, start, end) in zip(spaced, traced, strict=True):
        if new not in WORD_SPACE:
            done.append((new, start, end))
        elif done and done[-1][0] != " ":
            done.append((" ", start, end))

    # Nor does the line end with a space that it did not have.
    if len(done) > 1 and done[-1][0] == " " and line[-1] not in WORD_SPACE:
        done.pop()
    return done


def _spaced(match: re.Match[str]) -> str:
    """Return the replacement of a character that may be punctuation: mostly a space."""
    mark = match[0]
    text = match.string
    at = match.start()

    # An apostrophe inside a word belongs to it.
    if mark in _APOSTROPHES:
        return "'" if _is_in_word(text[at - 1 : at]) and _is_in_word(text[at + 1 : at + 2]) else " "

    # So does the word <unk>.
    if mark in "<>":
        start = at if mark == "<" else at - len(UNKNOWN) + 1
        end = start + len(UNKNOWN)
        begins_word = text[start - 1 : start] in _WORD_ENDS
        ends_word = text[end : end + 1] in _WORD_ENDS
        return mark if text[start:end] == UNKNOWN and begins_word and ends_word else " "

    # Beyond the first plane, the pattern matches characters of any class.
    return mark if mark > _LAST_PLAIN and unicodedata.category(mark)[0] not in "PS" else " "


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@functools.cache
def _punctuation(ascii_only: bool) -> re.Pattern[str]:
    """Return a pattern for the characters of classes P and S. Beyond the first plane it matches any
    other too, as a class of many ranges is slow."""
    if ascii_only:
        return re.compile(f"[{re.escape(string.punctuation)}]")
    plain = map(chr, range(ord(_LAST_PLAIN) + 1))
    marks = "".join(character for character in plain if unicodedata.category(character)[0] in "PS")
    return re.compile(f"[{re.escape(marks)}{chr(ord(_LAST_PLAIN) + 1)}-{chr(sys.maxunicode)}]")
