"""Schemes that encode spans as one label per word: detection, conversion, and which labels may
follow each other.

IOB1 (Ramshaw & Marcus 1995): I-X inside a span, B-X only where one begins right behind another of
type X. BIO (IOB2; Tjong Kim Sang & Veenstra 1999): each span begins with B-X. BIOES: its last word
has E-X, a span of one word S-X; BILOU, BMEWO and BMES are the same in other letters. In all of them
O stands outside of spans; a label without type (B alone) belongs to spans of one nameless type.

Labels that break their scheme are read as conlleval reads them: a word goes on with the span of the
word before it if both have the same type, the one before does not end its span (E, S) and it does
not begin one itself (B, S). So an I-X after O begins a span.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnnlm.errors import TextError, notice

OUTSIDE = "O"
NONE, IOB1, BIO, BIOES = "none", "iob1", "bio", "bioes"
# begin, inside, end, single
LETTERS = {
    IOB1: "IIII",
    BIO: "BIIB",
    BIOES: "BIES",
    "bilou": "BILU",
    "bmewo": "BMEW",
    "bmes": "BMES",
}
_BEGIN, _INSIDE, _END, _SINGLE = range(4)
_ALL_LETTERS = {OUTSIDE, *"".join(LETTERS.values())}
Span = tuple[int, int, str]  # its first word, the one behind its last, and its type


def parse(label: str) -> tuple[str, str]:
    """The letter and the type of a label: ("B", "LOC") of B-LOC, ("O", "") of O."""
    letter, _, kind = label.partition("-")
    return letter, kind


def spans(labels: Sequence[str], scheme: str) -> list[Span]:
    """The spans that `labels` of a sentence write, in order, by the rule above."""
    if scheme == NONE:
        return []
    letters = LETTERS[scheme]
    begins, ends = {"B", letters[_SINGLE]} - {"I"}, ({letters[_END], letters[_SINGLE]} - {"B", "I"})
    found: list[Span] = []
    before, kind_before = OUTSIDE, ""
    for place, (letter, kind) in enumerate(map(parse, labels)):
        if letter != OUTSIDE:
            goes_on = (
                before != OUTSIDE
                and kind == kind_before
                and before not in ends
                and letter not in begins
            )
            start = found.pop()[0] if goes_on else place
            found.append((start, place + 1, kind))
        before, kind_before = letter, kind
    return found


def written(found: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The labels by which a scheme writes spans that do not overlap, in order, for a sentence of
    `length` words."""
    labels = [OUTSIDE] * length
    letters = LETTERS[scheme]
    end_before, kind_before = 0, None
    for start, end, kind in found:
        suffix = f"-{kind}" if kind else ""
        labels[start:end] = [letters[_INSIDE] + suffix] * (end - start)
        labels[end - 1] = letters[_END] + suffix
        labels[start] = letters[_SINGLE if end - start == 1 else _BEGIN] + suffix
        if scheme == IOB1 and start == end_before and kind == kind_before:
            labels[start] = "B" + suffix
        end_before, kind_before = end, kind
    return labels


def convert(labels: Sequence[str], from_: str, to: str) -> list[str]:
    """The `labels` of a sentence in another scheme, with the same spans. Labels that are no spans
    ("none") stay as they are."""
    if NONE in (from_, to):
        return list(labels)
    return written(spans(labels, from_), len(labels), to)


def detect_scheme(rows: Iterable[Sequence[str]]) -> str:
    """The scheme of the labels of some sentences: one of LETTERS, or "none" where they do not write
    spans.

    Where some spans begin as in IOB1 and others as in BIO, it is what most of them say, and a
    notice tells of the others.
    """
    pairs = Counter(
        (before, label) for row in rows for before, label in zip([OUTSIDE, *row], row, strict=False)
    )
    symbols = {label for _, label in pairs}
    letters = {_letter(label) for label in symbols}
    inside = {letter for letter in letters if letter and letter != OUTSIDE}
    has_bare = any(len(label) == 1 and label != OUTSIDE for label in symbols)
    if None in letters or not inside or len(symbols) < 2 or (has_bare and not inside & {"B", "I"}):
        return NONE
    if not inside <= {"B", "I"}:
        return next(
            (name for name in (BIOES, "bilou", "bmewo", "bmes") if inside <= {*LETTERS[name]}), NONE
        )
    by_i = sum(
        count
        for (before, label), count in pairs.items()
        if label[0] == "I" and not _continues(before, label)
    )
    by_b = sum(
        count
        for (before, label), count in pairs.items()
        if label[0] == "B" and not _continues(before, label)
    )
    if by_i and by_b:
        rarer, name = (by_i, "BIO: I- begins") if by_b >= by_i else (by_b, "IOB1: B- begins")
        notice(
            f"{rarer:,} of {by_i + by_b:,} spans are not as in {name} them; they are read as "
            "spans all the same, as conlleval does"
        )
    return IOB1 if by_i > by_b else BIO


def check_scheme(labels: Iterable[str], scheme: str, where: str) -> None:
    """Whether all `labels` are such as the scheme has.

    Raises:
        TextError: one is not.
    """
    letters = {OUTSIDE, *LETTERS.get(scheme, ""), *("B" if scheme == IOB1 else "")}
    for label in labels:
        if scheme != NONE and _letter(label) not in letters:
            hint = "--label-column names another column; --scheme none takes labels as they are"
            raise TextError(f"{where}: {label!r} is not a label of {scheme}", hint=hint)


def allowed(symbols: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of K labels keep to a scheme as the first of a sentence (K,), as the last (K,), and
    behind each other (K, K), from the row's label to the column's: bool. Symbols that are no labels
    of the scheme are treated as O; without a scheme all is allowed."""
    count = len(symbols)
    if scheme == NONE:
        return np.ones(count, bool), np.ones(count, bool), np.ones((count, count), bool)
    # the first: around a sentence
    parsed = [
        (OUTSIDE, ""),
        *(parse(symbol) if _letter(symbol) else (OUTSIDE, "") for symbol in symbols),
    ]
    letters, letter_S = np.unique([letter for letter, _ in parsed], return_inverse=True)
    kind_S = np.unique([kind for _, kind in parsed], return_inverse=True)[1]
    # of two letters, and whether both labels are of one type: few cases, where labels may be
    # thousands
    may_follow = np.array(
        [
            [
                [_may_follow(before, letter, same, scheme) for same in (False, True)]
                for letter in letters
            ]
            for before in letters
        ]
    )
    is_allowed_SS = may_follow[letter_S[:, None], letter_S, (kind_S[:, None] == kind_S).astype(int)]
    return is_allowed_SS[0, 1:], is_allowed_SS[1:, 0], is_allowed_SS[1:, 1:]


def _may_follow(letter_before: str, letter: str, is_same_type: bool, scheme: str) -> bool:
    is_same_span = letter_before != OUTSIDE and letter != OUTSIDE and is_same_type
    if scheme == IOB1:
        return letter != "B" or is_same_span
    if scheme == BIO:
        return letter != "I" or is_same_span
    begins_or_goes_on, goes_on_or_ends = LETTERS[scheme][:_END], LETTERS[scheme][_INSIDE:_SINGLE]
    is_open = letter_before in begins_or_goes_on
    return is_open == (letter in goes_on_or_ends) and (not is_open or is_same_span)


def _letter(label: str) -> str | None:
    """The letter of a label as a scheme writes it, None of any other label."""
    is_one = len(label) == 1 or (len(label) > 2 and label[1] == "-" and label[0] != OUTSIDE)
    return label[0] if is_one and label[0] in _ALL_LETTERS else None


def _continues(before: str, label: str) -> bool:
    """Whether a span of the type of `label` stands right before it."""
    return before != OUTSIDE and parse(before)[1] == parse(label)[1]
