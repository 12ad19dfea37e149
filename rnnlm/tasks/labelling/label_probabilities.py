"""Probabilities of a network's symbols as probabilities of the labels that people read."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rnnlm.tasks.codec import EDIT, LabelColumn
from rnnlm.text.labelled import edit_scripts, schemes

LEAST = 1e-3  # less probable labels are left out


def of_words(column: LabelColumn, p_TK: np.ndarray, words: Sequence[str], labels: Sequence[str]) -> tuple[Mapping[str, float], ...]:
    """The probabilities of each word's labels, highest first. labels: those that were found, one a word, by which IOB1 writes the next."""
    before = [schemes.OUTSIDE, *labels]
    rows = zip(p_TK, words, labels, before, strict=False)
    return tuple(_of_word(column, p_K, word, label, label_before) for p_K, word, label, label_before in rows)


def highest_first(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """A table of labels and probabilities, those of the same label added up."""
    found: dict[str, float] = {}
    for label, p in pairs:
        found[label] = found.get(label, 0.0) + p
    return dict(sorted(((label, round(p, 6)) for label, p in found.items()), key=lambda pair: -pair[1]))


def _of_word(column: LabelColumn, p_K: np.ndarray, word: str, label: str, before: str) -> Mapping[str, float]:
    likely = np.flatnonzero(p_K >= LEAST).tolist()
    found = highest_first((_written(column, column.symbols[each], word, before), float(p_K[each])) for each in likely)
    return found if label in found else {**found, label: 0.0}


def _written(column: LabelColumn, symbol: str, word: str, before: str) -> str:
    """A symbol as the label of a word, the label before it being that."""
    if column.form == EDIT:
        return edit_scripts.apply(symbol, word)
    if column.inner == column.scheme or symbol == schemes.OUTSIDE:
        return symbol
    letter, kind = schemes.parse(symbol)
    inner = schemes.LETTERS[column.inner]
    begins = letter in (inner[0], inner[3])
    letter = schemes.LETTERS[column.scheme][inner.index(letter)]
    if column.scheme == schemes.IOB1 and begins and before != schemes.OUTSIDE and schemes.parse(before)[1] == kind:
        letter = "B"
    return letter + (f"-{kind}" if kind else "")
