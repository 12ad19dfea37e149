"""Count characters that messy text writes in several forms, and white space that a person does not
see, and send notices: in training, if the text mixes forms; in evaluation, if the model has never
seen a form.

A mark is a curly quotation mark, a dash, a space that is not plain, a soft hyphen, an HTML entity,
or a letter with a separate accent behind it. White space other than single spaces between words is
reported, too.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.text.lines import WORD_SPACE, Block, Lines, as_bytes
from rnnlm.text.normalisation import DASHES, ENTITY, QUOTES, SOFT_HYPHEN, WIDE_SPACES, meaning
from rnnlm.text.tokenizer_settings import FORMS, TokenizerSettings

# A notice is sent only if the rarer form occurs LEAST_COUNT times or more, and makes up LEAST_SHARE
# of both forms or more.
LEAST_COUNT, LEAST_SHARE = 3, 0.001
MOST_SHOWN = 4
_CHARACTERS = {
    **dict.fromkeys(QUOTES, "quotes"),
    **dict.fromkeys(DASHES, "dashes"),
    **dict.fromkeys(WIDE_SPACES + SOFT_HYPHEN, "spaces"),
}
_MARKS = re.compile(f"[{re.escape(''.join(_CHARACTERS))}]")
_ACCENT = re.compile("[\u0300-\u036f]")
# How texts write the plain form of a mark. A hyphen inside a word is no dash.
_PLAIN = {"'": (b"'",), '"': (b'"',), "-": (b" - ", b"--")}


def count_marks(lines: Iterable[str]) -> Counter[str]:
    """Return how often each mark occurs in `lines`."""
    # Most lines are plain ASCII, which is cheap to check: search only the others.
    if isinstance(lines, Lines):
        bytes_N = np.frombuffer(lines.data, dtype=np.uint8)
        places = np.flatnonzero((bytes_N >= 0x80) | (bytes_N == ord("&")))
        line_of_place = np.searchsorted(lines.ends, places, side="right")
        others = line_of_place[np.diff(line_of_place, prepend=-1) > 0]
        starts = np.append(0, lines.ends)[others].tolist()
        stops = lines.ends[others].tolist()
        form_bytes = [lines.data[start:stop] for start, stop in zip(starts, stops, strict=True)]
        text = b"".join(form_bytes).decode("utf-8")
    else:
        text = "\n".join([line for line in lines if not line.isascii() or "&" in line])
    counts = Counter(_MARKS.findall(text))
    if _ACCENT.search(text):
        counts.update(_accented(text))
    if "&" in text:
        counts.update(filter(meaning, ENTITY.findall(text)))
    return counts


def _accented(text: str) -> dict[str, int]:
    """Return how often each character comes before an accent that NFC joins it with."""
    # Texts may be full of accents, so pairs are counted in numpy: as one number of two code points.
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    places = np.flatnonzero((points[1:] >= 0x0300) & (points[1:] <= 0x036F))
    codes = points[places].astype(np.int64) << 32 | points[places + 1]
    different, counts = np.unique(codes, return_counts=True)

    pairs = [chr(code >> 32) + chr(code & 0xFFFFFFFF) for code in different.tolist()]
    counted = zip(pairs, counts.tolist(), strict=True)
    return {pair: count for pair, count in counted if not unicodedata.is_normalized("NFC", pair)}


def form_of(mark: str) -> str:
    """Return the form of :mod:`rnnlm.text.normalisation` that reads a mark as its plain form."""
    return _CHARACTERS.get(mark) or ("entities" if mark[0] == "&" else "nfc")


def tell_unseen(marks: Mapping[str, int], tokenizers: Mapping[str, Tokenizer]) -> None:
    """Send a notice of those `marks` of a text that a model never saw, if there are any.
    tokenizers: by the names of their models."""
    if not marks:
        return
    # Collect the marks that at least one model does not know, and these models.
    unseen: Counter[str] = Counter()
    models = []
    for name, tokenizer in tokenizers.items():
        unseen_marks = {mark: count for mark, count in marks.items() if _is_unseen(mark, tokenizer)}
        unseen |= Counter(unseen_marks)
        if unseen_marks:
            models.append(name)
    if not unseen:
        return

    forms = ",".join(sorted({form_of(mark) for mark in unseen}))
    *others, last = models
    unknown_to = f"{', '.join(others)} and {last}" if others else last
    which = "these" if others else "this one"
    notice(
        f"{_counts_in_words(unseen)}: unknown to {unknown_to}. A model trained with "
        + keyword("normalise", forms)
        + f" reads their plain forms; for {which}, normalise the text first "
        "(rnnlm.normalise)"
    )


def _is_unseen(mark: str, tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer reads the mark as it is, and it is neither part of a symbol that
    occurs in the training text, nor made of pieces that do."""
    settings = tokenizer.to_settings()
    form = form_of(mark)
    is_removed = settings.get("remove_punctuation") and form in ("quotes", "dashes")
    if is_removed or form in (settings.get("normalise") or "").split(","):
        return False
    text, data = tokenizer.seen_text
    mark = tokenizer.normalise([mark])[0].strip(" ")
    if not tokenizer.keeps_case:
        mark = mark.lower()
    if tokenizer.name == "word":
        return mark not in text
    return any(part not in text and not set(part.encode("utf-8")) <= set(data) for part in mark)


def watch_forms(blocks: Iterable[Block], settings: "TokenizerSettings") -> Iterator[Block]:
    """Yield the blocks of a training text. At its end, a notice names characters that it writes in
    two forms, which `settings` keep apart."""
    marks: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for block in blocks:
        yield block
        marks.update(count_marks(block.lines))
        plain.update(count_plain(as_bytes(block.lines)))
    tell_mixed(marks, plain, settings)


def count_plain(data: bytes) -> dict[str, int]:
    """Return how often lines hold the plain form of a mark, by its character."""
    return {character: sum(map(data.count, ways)) for character, ways in _PLAIN.items()}


def tell_mixed(
    marks: Mapping[str, int], plain: Mapping[str, int], settings: "TokenizerSettings"
) -> None:
    """Send a notice of characters that a training text writes in two forms, if there are any.
    marks, plain: results of :func:`count_marks` and :func:`count_plain`."""
    # The forms that the tokenizer's settings leave as they are: it would learn both.
    apart = {*FORMS} - {*(settings.normalise or "").split(",")}
    if settings.remove_punctuation:
        apart -= {"dashes", "quotes"}

    mixed = []
    forms: set[str] = set()
    for character, others in _by_plain_form(marks).items():
        counts = Counter({mark: marks[mark] for mark in others if form_of(mark) in apart})
        text = _counts_in_words(counts)
        # A space, an entity or an accent has no plain form that is worth counting.
        rarer = total = counts.total()
        if character in _PLAIN:
            rarer = min(rarer, plain[character])
            total += plain[character]
            text = f"{character} {plain[character]:,} times and {text}"
        if rarer >= LEAST_COUNT and rarer >= LEAST_SHARE * total:
            mixed.append(text)
            forms.update(map(form_of, counts))
    if mixed:
        notice(
            "the training text writes characters in two forms, which the model treats as "
            f"different: {'; '.join(mixed)}. "
            + keyword("normalise", ",".join(sorted(forms)))
            + " turns both into the plain form"
        )


def _by_plain_form(marks: Iterable[str]) -> dict[str, list[str]]:
    """Return the marks by ', " and -, which they are other forms of; spaces, entities and letters
    by their kind."""
    by: dict[str, list[str]] = {}
    for mark in marks:
        by.setdefault(QUOTES.get(mark) or DASHES.get(mark) or form_of(mark), []).append(mark)
    return by


def _counts_in_words(counts: Counter[str]) -> str:
    """Return the most frequent marks with how often they occur."""
    most_common = counts.most_common(MOST_SHOWN)
    shown = [f"{_mark_in_words(mark)} {plural(count, 'time')}" for mark, count in most_common]
    others = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {plural(others, 'other')}" if others else "")


def _mark_in_words(mark: str) -> str:
    form = form_of(mark)
    if form == "spaces":
        return f"U+{ord(mark):04X} ({unicodedata.name(mark, 'a control character').lower()})"
    return f"{mark[0]} + U+{ord(mark[1]):04X}" if form == "nfc" else mark


# ---- White space that a person does not see.

_ODD_SPACE = re.compile(rf"(?m)^[{WORD_SPACE}]|[{WORD_SPACE}]$|[{WORD_SPACE}]{{2}}|[\t\r]")


def count_odd_spaces(lines: Sequence[str]) -> int:
    """Return how many lines hold white space other than one space between words."""
    # Most lines have none, which is found much faster without the pattern.
    text = "\n".join(["", *lines, ""])
    if not any(space in text for space in ("  ", "\n ", " \n", *WORD_SPACE[1:])):
        return 0
    suspects = [
        line
        for line in lines
        if "  " in line or not line.isprintable() or line != line.strip(WORD_SPACE)
    ]
    return sum(_ODD_SPACE.search(line) is not None for line in suspects)


def tell_odd_spaces(
    count: int,
    tokenizers: Mapping[str, Tokenizer],
    hint: str = ": " + keyword("strip", True) + " reads one space",
) -> None:
    """Send a notice of `count` sentences with such white space, if a model reads it. tokenizers: by
    the names of their models. hint: the way out."""
    models = [name for name, tokenizer in tokenizers.items() if count and _keeps_space(tokenizer)]
    if not models:
        return
    which = "1 sentence holds" if count == 1 else f"{count:,} sentences hold"
    notice(
        f"{which} irregular white space (leading, trailing or doubled), which changes the scores "
        f"of {' and '.join(models)}" + hint
    )


def _keeps_space(tokenizer: Tokenizer) -> bool:
    encoded = tokenizer.encode(["a b", "a  b", " a b", "a b "])
    once, *others = np.split(encoded.ids, encoded.offsets[1:-1])
    return any(not np.array_equal(once, other) for other in others)
