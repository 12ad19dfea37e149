"""Answers: label sequences as people read them. Those that are written alike are one answer, whose
probability is the sum over all of them.

Written alike are edit scripts that give the same lemmas, a word's sounds divided among its letters
in several ways, and labels of spans that break their scheme.

Shapes: T words of the longest text, K symbols, A answers; N nodes of an automaton and D arcs into
each (:class:`PathSets`).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.tasks.labelling.data import EDIT, SOUNDS, LabelColumn
from rnnlm.tasks.labelling.formats import edit_scripts, schemes
from rnnlm.tasks.labelling.formats.alignment import join
from rnnlm.tasks.labelling.networks.heads import CELLS_AT_ONCE, PathSets

# Paths that are searched for n answers: so many of each, and at least LEAST_PATHS in all.
ALIGNMENTS, SPELLINGS, LEAST_PATHS = 8, 2, 16


# The number of a text among those that are read together, and a label sequence of the answer.
Answer = tuple[int, tuple[str, ...]]


def are_ambiguous(column: LabelColumn, constrained: bool) -> bool:
    """Return whether several label sequences of a column of words may be written alike."""
    is_span = column.inner != schemes.NONE
    return column.form in (EDIT, SOUNDS) or (is_span and not constrained)


def paths_for(column: LabelColumn, nbest: int) -> int:
    """Return how many paths are searched for the `nbest` answers of an ambiguous column."""
    return max(LEAST_PATHS, nbest * (ALIGNMENTS if column.form == SOUNDS else SPELLINGS))


def written(column: LabelColumn, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels as they are written: the sounds of a word, or the labels themselves."""
    return tuple(join(labels)) if column.form == SOUNDS else labels


def path_sets(
    column: LabelColumn, answers: Sequence[Answer], texts: Sequence[Sequence[str]], T: int
) -> Iterator[PathSets]:
    """Yield for each answer all label sequences that are written like it, some answers at a
    time."""
    size = max(1, CELLS_AT_ONCE // (T * len(column.symbols)))
    for first in range(0, len(answers), size):
        some = answers[first : first + size]
        row_A = torch.tensor([row for row, _ in some])
        if column.form == EDIT:
            yield PathSets(row_A, allowed_TAK=_allowed_scripts(column, some, texts, T))
        else:
            yield PathSets(row_A, arcs_TAND2=_arcs(column, some, T))


def _allowed_scripts(
    column: LabelColumn, answers: Sequence[Answer], texts: Sequence[Sequence[str]], T: int
) -> Tensor:
    allowed_TAK = np.zeros((T, len(answers), len(column.symbols)), dtype=bool)
    for place, (row, lemmas) in enumerate(answers):
        for t, (word, lemma) in enumerate(zip(texts[row], lemmas, strict=True)):
            allowed_TAK[t, place, _numbers_by(column.symbols, word)[lemma]] = True
    return torch.from_numpy(allowed_TAK)


@lru_cache(maxsize=1 << 12)
def _numbers_by(symbols: tuple[str, ...], word: str | None) -> dict[Any, list[int]]:
    """Return the numbers of the edit scripts that give each lemma of a word; without a word, of the
    symbols that hold each sequence of sounds."""
    numbers: dict[Any, list[int]] = {}
    for number, symbol in enumerate(symbols):
        key = tuple(join([symbol])) if word is None else edit_scripts.apply(symbol, word)
        numbers.setdefault(key, []).append(number)
    return numbers


def _arcs(column: LabelColumn, answers: Sequence[Answer], T: int) -> Tensor:
    arcs_of = _arcs_of_sounds if column.form == SOUNDS else _arcs_of_spans
    arcs_A = [arcs_of(column, labels) for _, labels in answers]
    shapes = [arcs_ND2.shape for arcs_ND2 in chain.from_iterable(arcs_A)]
    arcs_TAND2 = np.full((T, len(answers), *np.max(shapes, axis=0)), -1)
    for place, answer_arcs in enumerate(arcs_A):
        for t, arcs_ND2 in enumerate(answer_arcs):
            arcs_TAND2[t, place, : len(arcs_ND2), : arcs_ND2.shape[1]] = arcs_ND2
    return torch.from_numpy(arcs_TAND2)


def _padded(into: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """Return the arcs into each node as an array, (N, D, 2)."""
    most = max(map(len, into))
    return np.array([[*arcs, *[(-1, -1)] * (most - len(arcs))] for arcs in into])


def _arcs_of_sounds(column: LabelColumn, labels: tuple[str, ...]) -> list[np.ndarray]:
    """Return the ways to divide the sounds of a word among its letters. A node is the number of
    sounds so far."""
    sounds = written(column, labels)
    by_sounds = _numbers_by(column.symbols, None)
    most = max(map(len, by_sounds))
    into: list[list[tuple[int, int]]] = [[] for _ in range(len(sounds) + 1)]
    for node, arcs in enumerate(into):
        for before in range(max(0, node - most), node + 1):
            arcs += [(before, number) for number in by_sounds.get(sounds[before:node], ())]
    arcs_ND2 = _padded(into)
    last_ND2 = np.full_like(arcs_ND2, -1)
    last_ND2[-1] = arcs_ND2[-1]
    return [*[arcs_ND2] * (len(labels) - 1), last_ND2]


def _arcs_of_spans(column: LabelColumn, labels: tuple[str, ...]) -> list[np.ndarray]:
    """Return the symbols that write the same spans as `labels`."""
    form = column.symbols, column.inner
    arcs = [_arcs_of_kind(*form, None, False, False)] * len(labels)
    before = schemes.Span(-1, -1, "")
    for span in schemes.spans(labels, column.scheme):
        is_same = span.start == before.end and span.type == before.type
        inside = _arcs_of_kind(*form, span.type, True, True)
        arcs[span.start : span.end] = [inside] * (span.end - span.start)
        arcs[span.start] = _arcs_of_kind(*form, span.type, is_same, False)
        before = span
    return arcs


@lru_cache(maxsize=1 << 12)
def _arcs_of_kind(
    symbols: tuple[str, ...], scheme: str, kind: str | None, is_same: bool, continues: bool
) -> np.ndarray:
    """Return the arcs of a word in a span of a type, or None. is_same: whether the word before it
    is in one of that type, too; continues: in the same span. Node 1 is behind a label that leaves
    its span open, node 0 behind the others."""
    begins, ends = schemes.letters_at_bounds(scheme)
    into: list[list[tuple[int, int]]] = [[], []]
    for number, symbol in enumerate(symbols):
        letter, own_kind = schemes.parse(symbol)
        is_outside = letter == schemes.OUTSIDE
        if kind == (None if is_outside else own_kind):
            may_continue = is_same and letter not in begins
            node = int(not is_outside and letter not in ends)
            into[node] += [
                (before, number) for before in (0, 1) if (before == 1 and may_continue) == continues
            ]
    return _padded(into)
