"""Spans in label sequences, and how many of the gold spans were predicted.

There are two conventions. `conlleval` (Tjong Kim Sang & Buchholz 2000, the script of the CoNLL shared tasks) finds spans in any sequence:
a span begins wherever two neighbouring labels imply it, so an I that follows O or a span of another type begins one. BIO (IOB2) and IOB1
are read alike; BIOES is converted to BIO first (S to B, E to I). On labels of BIO and IOB1 this is the rule by which training data are read
(:func:`rnnlm.text.labelled.schemes.spans`); other labels are read as the script reads them, except for its brackets. `strict` (the strict
mode of seqeval, Nakayama 2018) accepts only spans that begin and end as the scheme demands.

A span is correct if its type, its beginning and its end are.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rnnlm.errors import UsageError, nearest, shown
from rnnlm.evaluation.counts import Counts
from rnnlm.evaluation.labels.class_counts import Labels, check_lengths

Mode = Literal["conlleval", "strict"]
Scheme = Literal["iob1", "bio", "bioes"]
PREFIXES = {"iob1": "BIO", "bio": "BIO", "bioes": "BIOES"}
_AS_BIO = {"S": "B", "E": "I"}
_STARTS = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}  # E: of schemes that mark ends
_OUTSIDE = ("O", ".")  # the dot is conlleval's
_ENDS = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}


class Span(NamedTuple):
    """Words `start` to `end`, the latter not included."""

    type: str
    start: int
    end: int


def spans(labels: Sequence[str], scheme: str, mode: str = "conlleval") -> list[Span]:
    """The spans of a sentence, in their order. scheme: iob1, bio or bioes; mode: conlleval or strict.

    Raises:
        UsageError: there is no such scheme or mode; in strict mode, a label is not of the scheme.
    """
    if scheme not in PREFIXES:
        raise UsageError(f"labels of scheme {scheme} do not stand for spans", hint=nearest(scheme, PREFIXES))
    if mode not in ("conlleval", "strict"):
        raise UsageError(f"spans cannot be counted as {mode}", hint=nearest(mode, ("conlleval", "strict")))
    parts = [_split(label) for label in labels]
    if mode == "strict":
        _check(labels, parts, scheme)
        return list(_strict_iob1(parts) if scheme == "iob1" else _strict(parts, scheme))
    return list(_conlleval([(_AS_BIO.get(prefix, prefix), type_) for prefix, type_ in parts] if scheme == "bioes" else parts))


def span_counts(gold: Labels, predicted: Labels, scheme: str, mode: str = "conlleval") -> Counts:
    """How many spans of each type were right, predicted and there, by sentence.

    Raises:
        UsageError: the labels are not of the same words; or as :func:`spans`.
    """
    check_lengths(gold, predicted)
    right, found, there = [], [], []
    for number, (expected, guessed) in enumerate(zip(gold, predicted, strict=True)):
        gold_spans, predicted_spans = spans(expected, scheme, mode), spans(guessed, scheme, mode)
        there += [(number, span.type) for span in gold_spans]
        found += [(number, span.type) for span in predicted_spans]
        right += [(number, span.type) for span in set(gold_spans) & set(predicted_spans)]
    return Counts.of_events(len(gold), [right, found, there])


def _split(label: str) -> tuple[str, str]:
    """Prefix and type: "B-LOC" is ("B", "LOC"), "O" is ("O", "")."""
    prefix, _, type_ = label.partition("-")
    return prefix, type_


def _conlleval(parts: Sequence[tuple[str, str]]) -> Iterator[Span]:
    start = None
    before, type_before = "O", ""
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        changed = type_ != type_before
        if start is not None and ((before, prefix) in _ENDS or (changed and before not in _OUTSIDE)):
            yield Span(type_before, start, place)
            start = None
        if (before, prefix) in _STARTS or (changed and prefix not in _OUTSIDE):
            start = place
        before, type_before = prefix, type_


def _strict(parts: Sequence[tuple[str, str]], scheme: str) -> Iterator[Span]:
    """Of BIO: B and all I of its type that follow. Of BIOES: S; or B, any number of I, and E, of one type."""
    start = None
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        continues = start is not None and prefix in "IE" and type_ == parts[start][1]
        if start is not None and not continues:
            if scheme == "bio":
                yield Span(parts[start][1], start, place)
            start = None
        if prefix == "S":
            yield Span(type_, place, place + 1)
        elif prefix == "E" and start is not None:
            yield Span(type_, start, place + 1)
            start = None
        elif prefix == "B":
            start = place


def _strict_iob1(parts: Sequence[tuple[str, str]]) -> Iterator[Span]:
    """An I begins a span wherever it does not continue one; a B only right after a label of its type, which is what it is for. A lone B
    is no span where a B of another type follows: seqeval does not list that as an end."""
    start = None
    before, type_before = "O", ""
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        same = type_ == type_before
        if start is not None and not (prefix == "I" and same):
            if not (before == prefix == "B" and not same):
                yield Span(type_before, start, place)
            start = None
        if start is None and (prefix == "I" or (prefix == "B" and before != "O" and same)):
            start = place
        before, type_before = prefix, type_


def _check(labels: Sequence[str], parts: Sequence[tuple[str, str]], scheme: str) -> None:
    for label, (prefix, _) in zip(labels, parts, strict=True):
        if len(prefix) != 1 or prefix not in PREFIXES[scheme]:
            why = f"its labels begin with {', '.join(PREFIXES[scheme])}"
            raise UsageError(f"{shown(label)} is not a label of scheme {scheme}", why, "name the scheme that the labels are of")
