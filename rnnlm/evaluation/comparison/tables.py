"""Where models differ: lines, words, frequency bands, positions in the line, n-grams seen and
unseen.

Every group table has one row a group; the units and log-probabilities of its rows add up to those
of the text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rnnlm.inference.span_scoring import perplexity
from rnnlm.inference.words import WordFinder
from rnnlm.interface import BOUNDARY, Encoded, LanguageModel, Tokenizer, answers_of
from rnnlm.ngram.checks import longest_matches
from rnnlm.ngram.counting.counts import count
from rnnlm.text import encoding, tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText, known_ids
from rnnlm.text.tokenizer_settings import TokenizerSettings

# ---- The places of a text at which models are compared: tokens, or words where the models'
# tokenizers differ.
#
# A word's log-probability is the sum of its pieces', white space counted with the word behind it;
# the end of the line is a word of its own. Words are cut by a reference: the tokenizer of the
# models, one of them that has words for tokens, or one made of the text.


@dataclass(frozen=True)
class Units:
    """The U units of a text and what K models gave them. ids_U: of `tokenizer`, the reference.
    logprob_KU: nats.

    line_U counts from 0, position_U (in the line) from 1. unaligned_lines: so many lines are one
    unit each, with the id of unknown words, as the models' tokenizers see different numbers of
    words there. counts_V: how often the reference's symbols occurred in training, None where no
    model knows.
    """

    name: Literal["token", "word"]
    tokenizer: Tokenizer
    counts_V: np.ndarray | None
    ids_U: np.ndarray
    is_unknown_U: np.ndarray
    line_U: np.ndarray
    position_U: np.ndarray
    logprob_KU: np.ndarray
    unaligned_lines: int = 0


def units_of(
    text: Text,
    used: Sequence[Tokenizer],
    encoded: Sequence[EncodedText],
    scores: Sequence[np.ndarray],
) -> Units:
    """The units of `text`, in the order of reading. used, encoded, scores: of each model its
    tokenizer, the text as that cuts it, and nats of each token."""
    read = [_in_reading_order(*each) for each in zip(used, encoded, scores, strict=True)]
    used, encoded, scores = zip(*read, strict=True)
    if len({tokenizer.fingerprint for tokenizer in used}) == 1:
        counts_V = next(
            (tokenizer.counts_V for tokenizer in used if tokenizer.counts_V is not None), None
        )
        starts = [np.ones(encoded[0].tokens, dtype=bool)] * len(used)
        return _units("token", used[0], counts_V, encoded[0], encoded, starts, scores)
    words = next((k for k, tokenizer in enumerate(used) if tokenizer.name == "word"), None)
    if words is None:
        asked = used[0].to_settings()  # all read the text alike
        settings = TokenizerSettings(
            lowercase=not used[0].keeps_case,
            normalise=asked["normalise"],
            remove_punctuation=asked["remove_punctuation"],
        )
        reference = tokenizers.train(settings, text.blocks())
        reading, counts_V = text.encode(reference), None
    else:
        reference, reading, counts_V = used[words], encoded[words], used[words].counts_V
    starts = [_word_starts(each, tokenizer) for each, tokenizer in zip(encoded, used, strict=True)]
    return _units("word", reference, counts_V, reading, encoded, starts, scores)


def _in_reading_order(
    tokenizer: Tokenizer, encoded: EncodedText, logprob_N: np.ndarray
) -> tuple[Tokenizer, EncodedText, np.ndarray]:
    if not tokenizer.is_reversed:
        return tokenizer, encoded, logprob_N
    at_N = encoding.mirror(encoded.line_offsets)
    encoded = replace(encoded, ids=np.asarray(encoded.ids)[at_N], oov=np.sort(at_N[encoded.oov]))
    return tokenizer.in_direction(False), encoded, logprob_N[at_N]


def _units(
    name: Literal["token", "word"], tokenizer: Tokenizer, counts_V: np.ndarray | None,
    reading: EncodedText, encoded: Sequence[EncodedText],
    starts: Sequence[np.ndarray], scores: Sequence[np.ndarray],
) -> Units:  # fmt: skip
    """Units by the tokens of `reading`; `starts` say for each model where in its own tokens they
    begin."""
    units_S = np.diff(reading.line_offsets)
    begun = [
        np.add.reduceat(is_start_N, each.line_offsets[:-1], dtype=np.int64)
        for is_start_N, each in zip(starts, encoded, strict=True)
    ]
    is_aligned_S = np.all([begun_S == units_S for begun_S in begun], axis=0)
    logprob_KU = np.stack([
        np.add.reduceat(logprob_N,
                        np.flatnonzero(_whole_lines(is_start_N, each.line_offsets, is_aligned_S)))
        for is_start_N, each, logprob_N in zip(starts, encoded, scores, strict=True)
    ])  # fmt: skip
    kept = np.flatnonzero(
        _whole_lines(np.ones(reading.tokens, dtype=bool), reading.line_offsets, is_aligned_S)
    )
    line_U = np.repeat(np.arange(reading.sentences), np.where(is_aligned_S, units_S, 1))
    is_unknown_U = np.isin(kept, reading.oov) | ~is_aligned_S[line_U]
    ids_U = known_ids(reading.ids, tokenizer).astype(np.int64)[kept]
    ids_U[~is_aligned_S[line_U]] = (
        tokenizer.unk_id if tokenizer.unk_id is not None else tokenizer.boundary_id
    )
    position_U = kept - reading.line_offsets[line_U] + 1
    return Units(
        name,
        tokenizer,
        counts_V,
        ids_U,
        is_unknown_U,
        line_U,
        position_U,
        logprob_KU,
        int((~is_aligned_S).sum()),
    )


def _whole_lines(
    is_start_N: np.ndarray, line_offsets: np.ndarray, is_aligned_S: np.ndarray
) -> np.ndarray:
    """Where units begin, lines that are not aligned being one unit each."""
    is_start_N = is_start_N & np.repeat(is_aligned_S, np.diff(line_offsets))
    is_start_N[line_offsets[:-1]] = True
    return is_start_N


def _word_starts(encoded: EncodedText, tokenizer: Tokenizer) -> np.ndarray:
    """(N,) bool: the first token of each word, of the white space before it where that is a token,
    and the ends of lines."""
    as_known = Encoded(known_ids(encoded.ids, tokenizer), encoded.line_offsets, encoded.oov)
    is_start_N = np.zeros(encoded.tokens, dtype=bool)
    is_start_N[WordFinder(tokenizer).find(as_known, encoded.line_offsets[:-1]).starts] = True
    return is_start_N


# ---- tables

POSITIONS = (1, 2, 3, 4, 5, 6, 11, 21, 51, 101)  # where each group of positions begins
ORDER_SEEN = 3  # the longest n-grams looked up in a training text
UNKNOWN_GROUP = "unknown"


@dataclass(frozen=True)
class GroupRow:
    """A group of units, and what each of K models makes of it: log-probability (nats), and
    perplexity per unit. None where a unit has probability zero."""

    group: str
    units: int
    logprob_nats: tuple[float | None, ...]
    ppl: tuple[float | None, ...]


@dataclass(frozen=True)
class DifferingItem:
    """A line or word on which two models differ. number: of the line among those that are read,
    from 1, or how often the word occurs. bits: its surprisal under each of the two;
    difference_bits: the second less the first."""

    text: str
    number: int
    bits: tuple[float, float]
    difference_bits: float


@dataclass(frozen=True)
class LargestDifferences:
    """The lines or words on which two models differ most: those that are likelier under `first`,
    and those likelier under `second`."""

    first: str
    second: str
    for_first: tuple[DifferingItem, ...]
    for_second: tuple[DifferingItem, ...]


def by_frequency(units: Units, counts_V: np.ndarray) -> tuple[GroupRow, ...]:
    """By how often the unit occurred in training (`counts_V`), in decades; `</s>` and unknown words
    apart."""
    counts_U = counts_V[units.ids_U]
    decade_U = np.where(
        counts_U > 0, 1 + np.floor(np.log10(np.maximum(counts_U, 1))).astype(np.int64), 0
    )
    top = int(decade_U.max(initial=0))
    groups_U = np.where(
        units.is_unknown_U,
        top + 2,
        np.where(units.ids_U == units.tokenizer.boundary_id, top + 1, decade_U),
    )
    labels = [
        "0",
        *(f"{10**n:,} to {10 ** (n + 1) - 1:,}" for n in range(top)),
        BOUNDARY,
        UNKNOWN_GROUP,
    ]
    return _rows(labels, groups_U, units.logprob_KU)


def by_position(units: Units) -> tuple[GroupRow, ...]:
    """By position in the line, from 1."""
    groups_U = np.searchsorted(POSITIONS, units.position_U, side="right") - 1
    ends = [begin - 1 for begin in POSITIONS[1:]]
    labels = [
        str(begin) if begin == end else f"{begin} to {end}"
        for begin, end in zip(POSITIONS, ends, strict=False)
    ]
    return _rows([*labels, f"{POSITIONS[-1]} and on"], groups_U, units.logprob_KU)


def by_ngram_of(units: Units, model: LanguageModel) -> tuple[GroupRow, ...] | None:
    """By the longest n-gram of `model` that ends at the unit; None where it has no n-grams."""
    matches = answers_of(model).longest_matches(units.ids_U)
    if matches is None:
        return None
    matched_U, order = matches
    return _by_match(units, matched_U, order, np.ones(units.tokenizer.size, dtype=bool))


def by_ngram_in(units: Units, train: EncodedText) -> tuple[GroupRow, ...]:
    """By the longest n-gram, up to a trigram, that ends at the unit and occurs in the text `train`,
    which the reference has encoded."""
    tokenizer = units.tokenizer
    ids_N = known_ids(train.ids, tokenizer)
    levels = list(count(ids_N, tokenizer.boundary_id, tokenizer.size, ORDER_SEEN))
    matched_U = longest_matches(
        units.ids_U, [level.keys_M for level in levels[1:]], tokenizer.size, tokenizer.boundary_id
    )
    return _by_match(units, matched_U, len(levels), levels[0].counts_M[: tokenizer.size] > 0)


def counts_in(units: Units, train: EncodedText) -> np.ndarray:
    """(V,): how often each symbol of the reference occurs in the text `train`, which it has
    encoded."""
    return np.bincount(
        np.delete(known_ids(train.ids, units.tokenizer), train.oov), minlength=units.tokenizer.size
    )


def _by_match(
    units: Units, matched_U: np.ndarray, order: int, is_seen_V: np.ndarray
) -> tuple[GroupRow, ...]:
    """matched_U: how many words the longest n-gram has that ends at the unit; at most `order`."""
    matched_U[units.is_unknown_U | ~is_seen_V[units.ids_U]] = 0
    labels = ["unseen word", "word alone", *(f"{n}-gram" for n in range(2, order + 1))]
    return _rows(labels, matched_U, units.logprob_KU)


def _rows(
    labels: Sequence[str], groups_U: np.ndarray, logprob_KU: np.ndarray
) -> tuple[GroupRow, ...]:
    """A row for each group that has units, in the order of `labels`."""
    units_G = np.bincount(groups_U, minlength=len(labels)).tolist()
    logprob_GK = np.stack(
        [np.bincount(groups_U, logprob_U, minlength=len(labels)) for logprob_U in logprob_KU],
        axis=1,
    ).tolist()
    return tuple(
        GroupRow(
            label,
            units,
            tuple(map(_finite, logprobs)),
            tuple(perplexity(each, units) for each in logprobs),
        )
        for label, units, logprobs in zip(labels, units_G, logprob_GK, strict=True)
        if units
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def lines_apart(
    names: tuple[str, str], lines: Sequence[str], bits_2S: np.ndarray, top: int
) -> LargestDifferences:
    """The `top` lines likelier under each of two models by most bits; those with a probability of
    zero are left out."""
    return _apart(names, lines, np.arange(1, len(lines) + 1), bits_2S, top)


def words_apart(
    names: tuple[str, str], units: Units, pair: tuple[int, int], top: int
) -> LargestDifferences:
    """The `top` words (or tokens) of which all occurrences together are likelier under each of the
    models `pair` by most bits."""
    used, types_U, counts_W = np.unique(units.ids_U, return_inverse=True, return_counts=True)
    bits_2W = np.stack([np.bincount(types_U, units.logprob_KU[k]) for k in pair]) / -math.log(2)
    symbols = units.tokenizer.symbols()
    return _apart(names, [symbols[id] for id in used.tolist()], counts_W, bits_2W, top)


def _apart(
    names: tuple[str, str],
    texts: Sequence[str],
    numbers_I: np.ndarray,
    bits_2I: np.ndarray,
    top: int,
) -> LargestDifferences:
    with np.errstate(invalid="ignore"):
        difference_I = bits_2I[1] - bits_2I[0]
    possible = np.flatnonzero(np.isfinite(difference_I))
    order = possible[np.argsort(difference_I[possible], kind="stable")]

    def items(chosen: np.ndarray) -> tuple[DifferingItem, ...]:
        return tuple(
            DifferingItem(
                texts[at],
                int(numbers_I[at]),
                (float(bits_2I[0, at]), float(bits_2I[1, at])),
                float(difference_I[at]),
            )
            for at in chosen.tolist()
        )

    for_first = order[::-1][:top]
    for_second = order[:top]
    return LargestDifferences(
        *names,
        items(for_first[difference_I[for_first] > 0]),
        items(for_second[difference_I[for_second] < 0]),
    )
