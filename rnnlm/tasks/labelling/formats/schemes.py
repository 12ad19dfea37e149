"""Schemes that encode spans as one label per word: detection, conversion, and which labels may
follow each other.

IOB1 (Ramshaw & Marcus 1995): I-X inside a span, B-X only where one begins right behind another of
type X. BIO (IOB2; Tjong Kim Sang & Veenstra 1999): each span begins with B-X. BIOES: its last word
has E-X, a span of one word S-X; BILOU and BMES are the same in other letters. In all of them
O marks words outside of spans; a label without type (B alone) belongs to spans of one nameless
type.

Labels that break their scheme are read as conlleval reads them: a word continues the span of the
word before it if both have the same type, the one before does not end its span (E, S) and it does
not begin one itself (B, S). So an I-X after O begins a span.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnnlm.errors import TextError, keyword, notice

OUTSIDE = "O"
NONE, IOB1, BIO, BIOES = "none", "iob1", "bio", "bioes"
# Begin, inside, end, single
LETTERS = {IOB1: "IIII", BIO: "BIIB", BIOES: "BIES", "bilou": "BILU", "bmes": "BMES"}
_OTHER_NOTATION = re.compile(r"[BIESLUMbieslum][-_:./].+|.+[-_:./][BIESLUM]")
_BEGIN, _INSIDE, _END, _SINGLE = range(4)
_ALL_LETTERS = {OUTSIDE, *"".join(LETTERS.values())}


class Span(NamedTuple):
    """Words from `start` up to, but not including, `end`."""

    start: int
    end: int
    type: str


def parse(label: str) -> tuple[str, str]:
    """Return the letter and the type of a label: ("B", "LOC") for B-LOC, ("O", "") for O."""
    letter, _, kind = label.partition("-")
    return letter, kind


def spans(labels: Sequence[str], scheme: str) -> list[Span]:
    """Return the spans that `labels` of a sentence write, in order, by the rule above."""
    if scheme == NONE:
        return []
    begins, ends = letters_at_bounds(scheme)
    all_spans: list[Span] = []
    before, kind_before = OUTSIDE, ""
    for place, label in enumerate(labels):
        letter, kind = parse(label)
        if letter != OUTSIDE:
            is_open = before != OUTSIDE and before not in ends
            continues = is_open and kind == kind_before and letter not in begins
            start = all_spans.pop().start if continues else place
            all_spans.append(Span(start, place + 1, kind))
        before, kind_before = letter, kind
    return all_spans


def letters_at_bounds(scheme: str) -> tuple[set[str], set[str]]:
    """Return the letters that begin a span even inside another one, and those that end one."""
    letters = LETTERS[scheme]
    # I and B continue and begin spans in IOB1, too, whose letters are all I.
    begins = {"B", letters[_SINGLE]} - {"I"}
    ends = {letters[_END], letters[_SINGLE]} - {"B", "I"}
    return begins, ends


def written(spans_of_text: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Return the labels by which a scheme writes spans that do not overlap, in order, for a
    sentence of `length` words."""
    labels, letters = [OUTSIDE] * length, LETTERS[scheme]
    end_before, kind_before = -1, ""
    for start, end, kind in spans_of_text:
        # The letter of the first word is written last: a span may have one word only.
        suffix = f"-{kind}" if kind else ""
        labels[start:end] = [letters[_INSIDE] + suffix] * (end - start)
        labels[end - 1] = letters[_END] + suffix
        labels[start] = letters[_SINGLE if end - start == 1 else _BEGIN] + suffix
        # In IOB1, B parts two spans of one type that touch.
        if scheme == IOB1 and start == end_before and kind == kind_before:
            labels[start] = "B" + suffix
        end_before, kind_before = end, kind
    return labels


def convert(labels: Sequence[str], from_: str, to: str) -> list[str]:
    """Return the `labels` of a sentence in another scheme, with the same spans. Labels that are no
    spans ("none") stay as they are."""
    is_kept = NONE in (from_, to)
    return list(labels) if is_kept else written(spans(labels, from_), len(labels), to)


def detect_scheme(rows: Iterable[Sequence[str]]) -> str:
    """Return the scheme of the labels of some sentences: one of LETTERS, or "none" where they do
    not write spans.

    Where some spans begin as in IOB1 and others as in BIO, the majority decides, and a notice
    mentions the others.
    """
    # Few different labels follow each other, however many sentences there are.
    pairs: Counter[tuple[str, str]] = Counter()
    for row in rows:
        pairs.update(zip([OUTSIDE, *row], row, strict=False))

    # Labels that no scheme could write are no spans; nor is a single letter.
    symbols = {label for _, label in pairs}
    letters = set(map(_letter, symbols))
    if None in letters or len(symbols) < 2:
        # If all labels seem to write spans in a way that is not read, say so.
        types = sorted(label for label in symbols if label.upper() not in (OUTSIDE, "0", "_"))
        if len(types) > 1 and all(map(_OTHER_NOTATION.fullmatch, types)):
            notice(
                f"labels such as {types[0]} are learned as they are, without spans: span labels "
                "look like B-LOC, I-LOC and O"
            )
        return NONE
    inside = {letter for letter in letters if letter and letter != OUTSIDE}
    has_bare = any(len(label) == 1 and label != OUTSIDE for label in symbols)
    if not inside or (has_bare and inside.isdisjoint({"B", "I"})):
        return NONE

    # Letters beside B and I identify the scheme.
    if not inside <= {"B", "I"}:
        fitting = (name for name, all_letters in LETTERS.items() if inside <= set(all_letters))
        return next(fitting, NONE)

    # IOB1 or BIO: see how spans begin that do not touch another of their type.
    begun: Counter[str] = Counter()
    for (before, label), count in pairs.items():
        if not _continues(before, label):
            begun[label[0]] += count
    by_b, by_i = begun["B"], begun["I"]
    if by_i and by_b:
        rarer, name = (by_b, "IOB1") if by_b < by_i else (by_i, "BIO")
        notice(
            f"{rarer:,} of {by_i + by_b:,} spans do not begin as in {name}; they are still read "
            "as spans, as conlleval does"
        )
    return IOB1 if by_i > by_b else BIO


def strays(counts: Mapping[str, int], scheme: str) -> tuple[set[str], bool]:
    """Return the labels that write no spans, where most do, and whether they are few enough to be
    mistakes.

    counts: how often each label occurs. scheme: "auto" if it is not named. O proves nothing, but
    labels such as B-LOC are seldom there by chance.
    """
    letters = _ALL_LETTERS if scheme == "auto" else _letters(scheme)
    odd = {label for label in counts if _letter(label) not in letters}
    inside = [label for label in counts if label not in odd and len(label) > 1]
    proper, wrong = (sum(counts[label] for label in labels) for labels in (inside, odd))
    if proper <= wrong:
        return set(), False
    return odd, wrong <= proper / 10 or wrong <= min(3, proper / 3)


def check_label(label: str, scheme: str, where: str) -> None:
    """Make sure that a label belongs to the scheme. A TextError names it if it does not."""
    if scheme != NONE and _letter(label) not in _letters(scheme):
        raise TextError(
            f"{where}: {label!r} is not a label of {scheme}",
            hint="name another column with "
            + keyword("label_column")
            + ", or take labels as they are: "
            + keyword("scheme", "none"),
        )


def _letters(scheme: str) -> set[str]:
    """Return the letters of a scheme."""
    return {OUTSIDE, *LETTERS[scheme], *("B" if scheme == IOB1 else "")}


def allowed(symbols: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which of K labels keep to a scheme as the first of a sentence (K,), as the last (K,),
    and behind each other (K, K), from the row's label to the column's: bool.

    Symbols that are no labels of the scheme are treated as O; without a scheme all is allowed.
    """
    K = len(symbols)
    if scheme == NONE:
        return np.ones(K, bool), np.ones(K, bool), np.ones((K, K), bool)

    # S: the labels, and before them the O that surrounds a sentence.
    parsed = [parse(symbol if _letter(symbol) else OUTSIDE) for symbol in (OUTSIDE, *symbols)]
    letters, letter_S = np.unique([letter for letter, _ in parsed], return_inverse=True)
    _, kind_S = np.unique([kind for _, kind in parsed], return_inverse=True)
    is_same_type_SS = kind_S[:, None] == kind_S

    # The labels that may follow depend on two letters, and on whether both labels are of one type:
    # these are few cases, where labels may be thousands.
    may_follow = np.empty((len(letters), len(letters), 2), bool)
    for before, letter_before in enumerate(letters):
        for after, letter in enumerate(letters):
            for is_same_type in (False, True):
                follows = _may_follow(letter_before, letter, is_same_type, scheme)
                may_follow[before, after, int(is_same_type)] = follows
    is_allowed_SS = may_follow[letter_S[:, None], letter_S, is_same_type_SS.astype(int)]
    return is_allowed_SS[0, 1:], is_allowed_SS[1:, 0], is_allowed_SS[1:, 1:]


def _may_follow(letter_before: str, letter: str, is_same_type: bool, scheme: str) -> bool:
    is_same_span = letter_before != OUTSIDE and letter != OUTSIDE and is_same_type
    if scheme == IOB1:
        return letter != "B" or is_same_span
    if scheme == BIO:
        return letter != "I" or is_same_span

    # A span that is open must be continued, and only an open one can be.
    is_open = letter_before in LETTERS[scheme][:_END]
    continues = letter in LETTERS[scheme][_INSIDE:_SINGLE]
    return (continues and is_same_span) if is_open else not continues


def _letter(label: str) -> str | None:
    """Return the letter of a label as a scheme writes it, None for any other label."""
    has_type = len(label) > 2 and label[1] == "-" and label[0] != OUTSIDE
    is_letter = (len(label) == 1 or has_type) and label[0] in _ALL_LETTERS
    return label[0] if is_letter else None


def _continues(before: str, label: str) -> bool:
    """Return whether a span of the type of `label` ends right before it, or continues there."""
    return before != OUTSIDE and parse(before)[1] == parse(label)[1]
