"""Characters of which messy text writes several forms, counted in a text; and what is worth saying
about them, before training and after.

A mark is a curly quotation mark, a dash, a space that is not plain, a soft hyphen, an HTML entity,
or a letter with its accent beside it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import notice
from rnnlm.interface import Tokenizer
from rnnlm.text.lines import Block
from rnnlm.text.normalisation import DASHES, ENTITY, QUOTES, SOFT_HYPHEN, WIDE_SPACES, meaning

if TYPE_CHECKING:
    from rnnlm.text.tokenizer_settings import TokenizerSettings

# so often, and in such a share of both, the rarer form must occur to be told of
LEAST, LEAST_SHARE = 3, 0.001
MOST_SHOWN = 4
_CHARACTERS = {
    **dict.fromkeys(QUOTES, "quotes"),
    **dict.fromkeys(DASHES, "dashes"),
    **dict.fromkeys(WIDE_SPACES + SOFT_HYPHEN, "spaces"),
}
_MARKS = re.compile(f"[{re.escape(''.join(_CHARACTERS))}]")
_ACCENT = re.compile("[\u0300-\u036f]")
# how the plain form of a mark is written where it is no hyphen
_PLAIN = {"'": ("'",), '"': ('"',), "-": (" - ", "--")}


def count_marks(lines: Iterable[str]) -> Counter[str]:
    """How often each mark occurs in `lines`."""
    text = "\n".join([line for line in lines if not line.isascii() or "&" in line])
    counts = Counter(_MARKS.findall(text))
    if _ACCENT.search(text):
        counts.update(_accented(text))
    if "&" in text:
        counts.update(entity for entity in ENTITY.findall(text) if meaning(entity))
    return counts


def _accented(text: str) -> dict[str, int]:
    """How often each character stands before an accent with which NFC makes it another one. Texts
    may be full of them: so no loop."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    places = np.flatnonzero((points[1:] >= 0x0300) & (points[1:] <= 0x036F))
    found, counts = np.unique(
        points[places].astype(np.int64) << 32 | points[places + 1], return_counts=True
    )
    pairs = {
        chr(pair >> 32) + chr(pair & 0xFFFFFFFF): count
        for pair, count in zip(found.tolist(), counts.tolist(), strict=True)
    }
    return {
        pair: count for pair, count in pairs.items() if not unicodedata.is_normalized("NFC", pair)
    }


def form_of(mark: str) -> str:
    """Which of the forms of :mod:`rnnlm.text.normalisation` reads a mark as its plain form."""
    return _CHARACTERS.get(mark) or ("entities" if mark[0] == "&" else "nfc")


def tell_unseen(marks: Mapping[str, int], tokenizers: Mapping[str, Tokenizer]) -> None:
    """A notice of those `marks` of a text that a model never saw, if there are any. tokenizers: by
    what their models are called."""
    unseen: Counter[str] = Counter()
    models = []
    for name, tokenizer in tokenizers.items() if marks else ():
        found = {
            mark: count
            for mark, count in marks.items()
            if not _is_read(mark, tokenizer) and not _is_known(mark, tokenizer)
        }
        unseen |= Counter(found)
        models += [name] if found else []
    if unseen:
        forms = ",".join(sorted({form_of(mark) for mark in unseen}))
        others = f"{', '.join(models[:-1])} and " if models[1:] else ""
        notice(
            f"{_listed(unseen)}: unknown to {others}{models[-1]}. A model trained with "
            f"--normalise {forms} reads their plain forms; "
            f"for {'these' if others else 'this one'}, normalise the text first (rnnlm.normalise)"
        )


def _is_read(mark: str, tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer reads the mark as another character."""
    settings = tokenizer.to_settings()
    is_removed = settings.get("remove_punctuation") and form_of(mark) in ("quotes", "dashes")
    return bool(is_removed) or form_of(mark) in (settings.get("normalise") or "").split(",")


def _is_known(mark: str, tokenizer: Tokenizer) -> bool:
    """Whether the mark, as the tokenizer reads it, stands in a symbol that occurs in the training
    text; of pieces that it could be put together of, each does."""
    text, data = tokenizer.seen_text
    mark = tokenizer.normalise([mark])[0].strip(" ")
    mark = mark if tokenizer.keeps_case else mark.lower()
    if mark in text:
        return True
    return tokenizer.name != "word" and all(
        part in text or all(byte in data for byte in part.encode("utf-8")) for part in mark
    )


def watch_forms(blocks: Iterable[Block], settings: "TokenizerSettings") -> Iterator[Block]:
    """The blocks of a training text; at its end a notice tells of characters that it writes in two
    forms, which `settings` leave apart."""
    marks: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for block in blocks:
        yield block
        text = "\n".join(block.lines)
        marks.update(count_marks(block.lines))
        plain.update({character: sum(map(text.count, ways)) for character, ways in _PLAIN.items()})
    _tell_mixed(marks, plain, settings)


def _tell_mixed(marks: Counter[str], plain: Counter[str], settings: "TokenizerSettings") -> None:
    apart = {"dashes", "entities", "nfc", "quotes", "spaces"} - {
        *(settings.normalise or "").split(",")
    }
    apart -= {"dashes", "quotes"} if settings.remove_punctuation else set()
    mixed, forms = [], set()
    for character, others in _by_plain_form(marks).items():
        counts = Counter({mark: marks[mark] for mark in others if form_of(mark) in apart})
        rarer, total = counts.total(), counts.total()
        if character in _PLAIN:
            rarer, total = min(rarer, plain[character]), total + plain[character]
        if rarer >= LEAST and rarer >= LEAST_SHARE * total:
            mixed.append(
                (f"{character} {plain[character]:,} times and " if character in _PLAIN else "")
                + _listed(counts)
            )
            forms |= {form_of(mark) for mark in counts}
    if mixed:
        notice(
            "the training text writes characters in two forms, which are different ones to the "
            f"model: {'; '.join(mixed)}. "
            f"--normalise {','.join(sorted(forms))} makes them one"
        )


def _by_plain_form(marks: Iterable[str]) -> dict[str, list[str]]:
    """The marks by ', " and -, which they are other forms of; spaces, entities and letters each by
    their own kind."""
    by: dict[str, list[str]] = {}
    for mark in marks:
        by.setdefault(QUOTES.get(mark) or DASHES.get(mark) or form_of(mark), []).append(mark)
    return by


def _listed(counts: Counter[str]) -> str:
    """The most frequent marks with how often they occur."""
    shown = [
        f"{_shown(mark)} {count:,} {'time' if count == 1 else 'times'}"
        for mark, count in counts.most_common(MOST_SHOWN)
    ]
    others = len(counts) - len(shown)
    return ", ".join(shown) + (
        f" and {others} {'other' if others == 1 else 'others'}" if others else ""
    )


def _shown(mark: str) -> str:
    if form_of(mark) == "spaces":
        return f"U+{ord(mark):04X} ({unicodedata.name(mark, 'a control character').lower()})"
    return f"{mark[0]} + U+{ord(mark[1]):04X}" if form_of(mark) == "nfc" else mark
