"""One form of what messy text writes in several: quotes and dashes in ASCII, single plain spaces,
characters for HTML entities, NFC.

The order is fixed: soft hyphens go, then NFC, entities, NFC again, quotes, dashes and spaces. An
entity is decoded until nothing is left to decode, and what it stands for is in NFC, a soft hyphen
nothing. No step makes work for a step before it, so a text that is normalised stays as it is when
it is normalised again.
"""

import functools
import html
import html.entities
import re
import string
import sys
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rnnlm.errors import ArgumentTypeError, SettingsError, given, nearest
from rnnlm.interface import UNKNOWN
from rnnlm.text.lines import WORD_SPACE, split_words

if TYPE_CHECKING:
    import numpy as np

ALL = "all"
QUOTES = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'") | dict.fromkeys(
    "\u201c\u201d\u201e\u201f\u2033", '"'
)
DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
WIDE_SPACES = "".join(
    map(
        chr,
        [
            0x85,
            0xA0,
            0x1680,
            *range(0x2000, 0x200C),
            0x2028,
            0x2029,
            0x202F,
            0x205F,
            0x2060,
            0x3000,
            0xFEFF,
        ],
    )
)
SOFT_HYPHEN = "\u00ad"  # where a word may be divided; readers do not see it
_ASCII_SPACES = "\t\r\0\v\f"
_CHARACTERS = {
    "quotes": QUOTES,
    "dashes": DASHES,
    "spaces": dict.fromkeys(_ASCII_SPACES + WIDE_SPACES, " "),
}
FORMS = ("dashes", "entities", "nfc", "quotes", "spaces")
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LONGEST_ENTITY = 34
_SPECIAL = re.compile(r"<(?:/?s|unk)>", re.IGNORECASE)
_SPACES = re.compile("  +")
_NO_CHARACTER = str.maketrans(dict.fromkeys("\n\r\0", " "))
_APOSTROPHES = "'\u2019"
_LAST_PLAIN = "\uffff"
_WORD_ENDS = f"{WORD_SPACE}\n"  # of which the empty text is a part, too

# characters, each with where what it was made of begins and ends in the original
Traced = list[tuple[str, int, int]]


def parse_forms(forms: str | Iterable[str] | None) -> str | None:
    """The FORMS that `forms` name, in their order, with commas between them; None: none. "all"
    stands for each of them.

    Raises:
        SettingsError: there is no such form. ArgumentTypeError: they are no names.
    """
    names: list[Any] = (
        forms.split(",")
        if isinstance(forms, str)
        else [*forms]
        if isinstance(forms, Iterable)
        else [forms or ""]
    )
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise ArgumentTypeError(f"the name of a form must be a str, not {given(wrong[0])}")
    asked = {name.strip() for name in names} - {"", "none"}
    if unknown := sorted(asked - {*FORMS, ALL}):
        raise SettingsError(
            f"normalise has no form {unknown[0]!r}", hint=nearest(unknown[0], [*FORMS, ALL])
        )
    return ",".join(form for form in FORMS if form in asked or ALL in asked) or None


def normalise(text: str, forms: str | Iterable[str] | None = ALL) -> str:
    """`text` in one form; its lines stay lines. forms: of FORMS, as "quotes,dashes" or a list of
    names; or "all".

    quotes: curly and low quotation marks, primes and the acute accent as a character of its own
    become ' and "; guillemets stay. dashes: hyphens, en and em dashes and the minus sign become -.
    spaces: tabs, no-break, zero-width and all other spaces become a space, and a run of spaces one,
    and soft hyphens go; joiners (U+200C, U+200D), which belong to spelling, stay. entities: named
    and numbered HTML entities with their semicolon become what they stand for, but no line ends,
    NUL, `<s>`, `</s>` or `<unk>`. nfc: letters with accents are single characters.

    Raises:
        SettingsError: there is no such form. ArgumentTypeError: `text` is no str, or forms are no
            names.
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(f"a text must be a str, not {given(text)}")
    asked = parse_forms(forms)
    return _normalised(text, asked) if asked else text


def trace(line: str, forms: str | None) -> Traced:
    """The characters of a line normalised in `forms` (of :func:`parse_forms`), each with its
    origin. These ascend and cover the line; characters that were made together have the same
    one."""
    asked = (forms or "").split(",")
    traced = _untouched(line) if "spaces" not in asked else _trace_soft_hyphens(line)
    if "nfc" in asked:
        traced = _trace_nfc(traced)
    if "entities" in asked:
        decoded = _trace_entities(
            "".join(character for character, _, _ in traced), "spaces" in asked
        )
        traced = [
            (character, traced[start][1], traced[end - 1][2]) for character, start, end in decoded
        ]
        traced = _trace_nfc(traced) if "nfc" in asked else traced
    _, replacements = _translation(forms or "")
    traced = [
        (replacements.get(character, character), start, end) for character, start, end in traced
    ]
    return _covering(_trace_spaces(traced), len(line)) if "spaces" in asked else traced


def _untouched(line: str) -> Traced:
    return [(character, index, index + 1) for index, character in enumerate(line)]


def untraced(traced: Traced) -> "tuple[str, np.ndarray, np.ndarray]":
    """The N characters of `traced`, and of each where what it was made of begins and ends in the
    original: two arrays (N,), int64."""
    import numpy as np  # which settings, that name forms, do not wait for

    starts, ends = (np.array([each[part] for each in traced], dtype=np.int64) for part in (1, 2))
    return "".join(character for character, _, _ in traced), starts, ends


@functools.cache
def _translation(forms: str) -> tuple[re.Pattern[str] | None, dict[str, str]]:
    """What finds the characters that are replaced, and by what they are."""
    replacements = {
        old: new for form in forms.split(",") for old, new in _CHARACTERS.get(form, {}).items()
    }
    return re.compile(
        f"[{re.escape(''.join(replacements))}]"
    ) if replacements else None, replacements


def _normalised(text: str, forms: str) -> str:
    is_ascii = text.isascii()
    drops = "spaces" in forms
    if drops and SOFT_HYPHEN in text:
        text = "\n".join(
            _without_soft_hyphens(line) if SOFT_HYPHEN in line else line
            for line in text.split("\n")
        )
    if "nfc" in forms and not is_ascii:
        text = _composed(text)
    if "entities" in forms and "&" in text:
        text = "\n".join(
            _without_entities(line, drops) if "&" in line else line for line in text.split("\n")
        )
        is_ascii = text.isascii()
        text = _composed(text) if "nfc" in forms and not is_ascii else text
    pattern, replacements = _translation(forms)
    # which is quicker than the pattern
    if pattern and (not is_ascii or any(space in text for space in _ASCII_SPACES)):
        text = pattern.sub(lambda match: replacements[match[0]], text)
    return _SPACES.sub(" ", text) if drops and "  " in text else text


def _composed(text: str) -> str:
    """`text` in NFC; looking at lines in ASCII would take longest."""
    return "\n".join(
        line if line.isascii() else unicodedata.normalize("NFC", line) for line in text.split("\n")
    )


@functools.lru_cache(1 << 12)
def meaning(entity: str) -> str:
    """What an entity (of ENTITY) stands for; nothing where there is no such entity, or where it
    stands for nothing."""
    if entity[1] != "#" and entity[1:] not in html.entities.html5:
        return ""
    return unicodedata.normalize("NFC", html.unescape(entity)).translate(_NO_CHARACTER)


def _decoded(line: str) -> str:
    return ENTITY.sub(lambda match: meaning(match[0]) or match[0], line)


def _without_soft_hyphens(line: str) -> str:
    return "".join(character for character, _, _ in _trace_soft_hyphens(line))


def _trace_soft_hyphens(line: str) -> Traced:
    """The line without its soft hyphens. A special symbol that comes of it gets an entity: it was
    text."""
    return _with_special_symbols_as_text(
        [each for each in _untouched(line) if each[0] != SOFT_HYPHEN]
    )


def _without_entities(line: str, drops_soft_hyphens: bool) -> str:
    once = _decoded(line)
    is_done = (
        _decoded(once) == once
        and not _SPECIAL.search(once)
        and not (drops_soft_hyphens and SOFT_HYPHEN in once)
    )
    if once == line or is_done:
        return once
    return "".join(character for character, _, _ in _trace_entities(line, drops_soft_hyphens))


def _trace_entities(line: str, drops_soft_hyphens: bool) -> Traced:
    """All entities decoded, those that come of decoding too, from left to right: `&amp;lt;` is `<`.
    A special symbol that comes of it keeps an entity: it was text. Of `&shy;` nothing is left where
    soft hyphens go."""
    done: Traced = []
    ampersands: list[int] = []  # where they are
    for each in _untouched(line):
        pending = [each]
        while pending:
            character, start, end = pending.pop()
            if character == "&":
                ampersands.append(len(done))
            done.append((character, start, end))
            if character == ";" and ampersands and len(done) - ampersands[-1] <= _LONGEST_ENTITY:
                entity = "".join(part for part, _, _ in done[ampersands[-1] :])
                if ENTITY.fullmatch(entity) and (decoded := meaning(entity)):
                    start = done[ampersands[-1]][1]
                    del done[ampersands.pop() :]
                    pending += [
                        (part, start, end)
                        for part in reversed(decoded)
                        if not (drops_soft_hyphens and part == SOFT_HYPHEN)
                    ]
    return _with_special_symbols_as_text(done)


def _with_special_symbols_as_text(traced: Traced) -> Traced:
    text = "".join(character for character, _, _ in traced)
    done, at = [], 0
    for match in _SPECIAL.finditer(text):
        _, start, end = traced[match.start()]
        # it does not stand there in the original
        if traced[match.end() - 1][2] - start > len(match[0]):
            done += [*traced[at : match.start()], *((part, start, end) for part in "&lt;")]
            at = match.start() + 1
    return [*done, *traced[at:]]


def _trace_nfc(traced: Traced) -> Traced:
    done: Traced = []
    group: Traced = []  # characters that may be composed with each other
    for each in [*traced, ("", 0, 0)]:
        if group and not (each[0] and _is_joined(each[0])):
            text = "".join(character for character, _, _ in group)
            composed = unicodedata.normalize("NFC", text)
            done += (
                group
                if composed == text
                else [(character, group[0][1], group[-1][2]) for character in composed]
            )
            group = []
        group.append(each)
    return done


def _is_joined(character: str) -> bool:
    """Whether NFC may put a character together with the one before it: a mark, or a vowel or final
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


def _covering(traced: Traced, length: int) -> Traced:
    """`traced`, whose spans cover a line of that many characters: what is gone belongs to the
    character before it, else to the first."""
    starts = [0, *(start for _, start, _ in traced[1:])]
    ends = (
        [
            max(end, behind)
            for (_, _, end), behind in zip(traced, [*starts[1:], length], strict=True)
        ]
        if traced
        else []
    )
    return [
        (character, start, end)
        for (character, _, _), start, end in zip(traced, starts, ends, strict=False)
    ]


def without_punctuation(text: str) -> str:
    """`text` with a space in the place of each character of Unicode's classes P and S, but for
    `<unk>` as a word and apostrophes inside words, which become straight."""
    return _punctuation(text.isascii()).sub(_spaced, text)


def remove_punctuation(line: str) -> str:
    """`line` :func:`without_punctuation`, its words one space apart; it begins and ends with white
    space only where it did before."""
    if (spaced := without_punctuation(line)) == line:
        return line
    first, last = (" " if line[at] in WORD_SPACE else "" for at in (0, -1))
    words = " ".join(split_words(spaced))
    return f"{first}{words}{last}" if words else first


def trace_without_punctuation(traced: Traced) -> Traced:
    """:func:`remove_punctuation` of characters that are traced; what is removed belongs to none."""
    line = "".join(character for character, _, _ in traced)
    if (spaced := without_punctuation(line)) == line:
        return traced
    done: Traced = [(" ", *traced[0][1:])] if line[0] in WORD_SPACE else []
    for new, (_, start, end) in zip(spaced, traced, strict=True):
        if new not in WORD_SPACE:
            done.append((new, start, end))
        elif not done or done[-1][0] != " ":
            done += [(" ", start, end)] if done else []
    if done and done[-1][0] == " " and len(done) > 1 and line[-1] not in WORD_SPACE:
        done.pop()
    return done


def _spaced(match: re.Match[str]) -> str:
    mark, text, at = match[0], match.string, match.start()
    if mark in _APOSTROPHES:
        return "'" if _is_in_word(text[at - 1 : at]) and _is_in_word(text[at + 1 : at + 2]) else " "
    if mark in "<>":
        start = at if mark == "<" else at - len(UNKNOWN) + 1
        end = start + len(UNKNOWN)
        is_unknown = (
            text[start:end] == UNKNOWN
            and text[start - 1 : start] in _WORD_ENDS
            and text[end : end + 1] in _WORD_ENDS
        )
        return mark if is_unknown else " "
    return mark if mark > _LAST_PLAIN and unicodedata.category(mark)[0] not in "PS" else " "


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@functools.cache
def _punctuation(ascii_only: bool) -> re.Pattern[str]:
    """Matches the characters of classes P and S; beyond the first plane any other too, as a class
    of many ranges is slow."""
    if ascii_only:
        return re.compile(f"[{re.escape(string.punctuation)}]")
    marks = "".join(
        character
        for character in map(chr, range(ord(_LAST_PLAIN) + 1))
        if unicodedata.category(character)[0] in "PS"
    )
    return re.compile(f"[{re.escape(marks)}{chr(ord(_LAST_PLAIN) + 1)}-{chr(sys.maxunicode)}]")
