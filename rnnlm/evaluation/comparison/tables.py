"""Find where models differ: lines, words, frequency bands, positions in the line, n-grams seen and
unseen.

A table of groups has a row for each group; the units and log-probabilities of its rows add up to
the totals of the text.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rnnlm.amounts import amount
from rnnlm.interface import BOUNDARY, Encoded, LanguageModel, Tokenizer
from rnnlm.lm.base.span_scoring import perplexity
from rnnlm.lm.base.words import WordFinder
from rnnlm.lm.ngram.counting.count_trie import count
from rnnlm.lm.ngram.tables import longest_matches
from rnnlm.tabular import Table
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText, known_ids
from rnnlm.text.lines import Progress, silent
from rnnlm.text.tokenizer_settings import TokenizerSettings

# ---- The units of a text at which models are compared: tokens, or words where the models'
# tokenizers differ.
#
# A word's log-probability is the sum of its pieces', and white space counts with the word behind
# it; the end of the line is a word, too. A reference tokenizer defines the words: the tokenizer of
# the models, one of theirs whose tokens are words, or one made from the text.

LINES_AT_ONCE = 1 << 14  # units of more lines would take more memory than the text


@dataclass(frozen=True)
class Reference:
    """What defines the units of a text: a tokenizer, and the text as it cuts it. counts_V: how
    often its symbols occurred in training, None where no model knows."""

    name: Literal["token", "word"]
    tokenizer: Tokenizer
    reading: EncodedText
    counts_V: np.ndarray | None


@dataclass(frozen=True)
class ScoredUnits:
    """The U units of some lines and their log-probabilities under K models. ids_U: ids of the
    reference. logprob_KU: nats.

    line_U counts from 0, position_U (in the line) from 1. unaligned_lines: how many lines the
    models' tokenizers cut into different numbers of words; each such line is one unit with the id
    of unknown words.
    """

    ids_U: np.ndarray
    is_unknown_U: np.ndarray
    line_U: np.ndarray
    position_U: np.ndarray
    logprob_KU: np.ndarray
    unaligned_lines: int = 0


def reference_of(
    text: Text, used: Sequence[Tokenizer], encoded: Sequence[EncodedText]
) -> Reference:
    """Return what defines the units of `text`. used, encoded: for each model its tokenizer, and the
    text as that tokenizer cuts it."""
    # One tokenizer: the units are its tokens. Several: words, of a model whose tokens are words if
    # there is one.
    if len({known.fingerprint for known in used}) == 1:
        counts_V = next((known.counts_V for known in used if known.counts_V is not None), None)
        return Reference("token", used[0], encoded[0], counts_V)
    words = next((k for k, known in enumerate(used) if known.name == "word"), None)
    if words is not None:
        return Reference("word", used[words], encoded[words], used[words].counts_V)
    tokenizer_settings = used[0].to_settings()  # all read the text alike
    settings = TokenizerSettings(
        lowercase=not used[0].keeps_case,
        normalise=tokenizer_settings["normalise"],
        remove_punctuation=tokenizer_settings["remove_punctuation"],
    )
    tokenizer = tokenizers.train(settings, text.blocks())
    return Reference("word", tokenizer, text.encode(tokenizer), None)


def units_in_parts(
    reference: Reference,
    used: Sequence[Tokenizer],
    encoded: Sequence[EncodedText],
    scores: Sequence[np.ndarray],
    costs: Sequence[float],
    report: Progress = silent,
) -> Iterator[ScoredUnits]:
    """Yield the units of a text, in reading order, LINES_AT_ONCE at a time. scores, costs: for each
    model the nats of each token, and what each unknown token costs besides."""
    sentences = reference.reading.sentences
    for first in range(0, sentences, LINES_AT_ONCE):
        lines = np.arange(first, min(first + LINES_AT_ONCE, sentences))
        _, reading = reference.reading.of_lines(lines)
        parts, scores_of_parts = [], []
        for read, logprob_N, cost in zip(encoded, scores, costs, strict=True):
            places, part = read.of_lines(lines)
            logprob_P = logprob_N[places]
            logprob_P[part.oov] -= cost
            parts.append(part)
            scores_of_parts.append(logprob_P)
        yield units_of(replace(reference, reading=reading), used, parts, scores_of_parts)
        report(f"{lines[-1] + 1:,} of {sentences:,} lines compared")


def units_of(
    reference: Reference,
    used: Sequence[Tokenizer],
    encoded: Sequence[EncodedText],
    scores: Sequence[np.ndarray],
) -> ScoredUnits:
    """Return the units of a text, in reading order. used, encoded, scores: for each model its
    tokenizer, the text as that tokenizer cuts it, and the nats of each token."""
    # For each model, where units begin among its own tokens.
    tokenizer, reading = reference.tokenizer, reference.reading
    if reference.name == "token":
        starts = [np.ones(reading.tokens, dtype=bool)] * len(used)
    else:
        starts = list(map(_word_starts, encoded, used))

    # A line is aligned if every model's tokenizer begins as many units in it as the reference does.
    units_S = np.diff(reading.line_offsets)
    is_aligned_S = np.ones(len(units_S), dtype=bool)
    for is_start_N, read in zip(starts, encoded, strict=True):
        begun_S = np.add.reduceat(is_start_N, read.line_offsets[:-1], dtype=np.int64)
        is_aligned_S &= begun_S == units_S

    # Add up the tokens of each model from one unit to the next.
    logprobs = []
    for is_start_N, read, logprob_N in zip(starts, encoded, scores, strict=True):
        begins_N = _whole_lines(is_start_N, read.line_offsets, is_aligned_S)
        logprobs.append(np.add.reduceat(logprob_N, np.flatnonzero(begins_N)))

    # The units: tokens of the reference, or lines if that is not possible.
    every_N = np.ones(reading.tokens, dtype=bool)
    kept_U = np.flatnonzero(_whole_lines(every_N, reading.line_offsets, is_aligned_S))
    line_U = np.repeat(np.arange(reading.sentences), np.where(is_aligned_S, units_S, 1))
    is_line_U = ~is_aligned_S[line_U]
    ids_U = known_ids(reading.ids, tokenizer).astype(np.int64)[kept_U]
    unknown_id = tokenizer.unk_id
    ids_U[is_line_U] = tokenizer.boundary_id if unknown_id is None else unknown_id
    return ScoredUnits(
        ids_U,
        is_unknown_U=np.isin(kept_U, reading.oov) | is_line_U,
        line_U=line_U,
        position_U=kept_U - reading.line_offsets[line_U] + 1,
        logprob_KU=np.stack(logprobs),
        unaligned_lines=int((~is_aligned_S).sum()),
    )


def _whole_lines(
    is_start_N: np.ndarray, line_offsets: np.ndarray, is_aligned_S: np.ndarray
) -> np.ndarray:
    """Mark where units begin; a line that is not aligned is one unit."""
    is_start_N = is_start_N & np.repeat(is_aligned_S, np.diff(line_offsets))
    is_start_N[line_offsets[:-1]] = True
    return is_start_N


def _word_starts(encoded: EncodedText, tokenizer: Tokenizer) -> np.ndarray:
    """Mark, (N,) bool, the first token of each word, the white space before it where that is a
    token, and the ends of lines."""
    as_known = Encoded(known_ids(encoded.ids, tokenizer), encoded.line_offsets, encoded.oov)
    is_start_N = np.zeros(encoded.tokens, dtype=bool)
    is_start_N[WordFinder(tokenizer).find(as_known, encoded.line_offsets[:-1]).starts] = True
    return is_start_N


# ---- tables

POSITIONS = (1, 2, 3, 4, 5, 6, 11, 21, 51, 101)  # where each group of positions begins
ORDER_SEEN = 3  # the longest n-grams looked up in a training text
UNKNOWN_GROUP, UNSEEN_GROUP = "unknown", "unseen word"


@dataclass(frozen=True)
class GroupRow:
    """A group of units under each of K models. Numbers are None if a unit has probability zero.

    Attributes:
        group: Name of the group.
        units: Number of units.
        logprob_nats: Log-probability under each model, in nats.
        ppl: Perplexity per unit under each model.
    """

    group: str
    units: int
    logprob_nats: tuple[float | None, ...]
    ppl: tuple[float | None, ...]


@dataclass(frozen=True)
class DifferingItem:
    """A line or word on which two models differ.

    Attributes:
        text: The line or word.
        number: Number of the line among the lines read, from 1, or how often the word occurs.
        bits: Surprisal under each of the two models, in bits.
        difference_bits: The second surprisal minus the first, in bits.
    """

    text: str
    number: int
    bits: tuple[float, float]
    difference_bits: float


@dataclass(frozen=True)
class LargestDifferences:
    """The lines or words on which two models differ most.

    Attributes:
        first: Name of the first model.
        second: Name of the second model.
        for_first: Items that are likelier under the first model.
        for_second: Items that are likelier under the second model.
    """

    first: str
    second: str
    for_first: tuple[DifferingItem, ...]
    for_second: tuple[DifferingItem, ...]


@dataclass(frozen=True)
class TextDetails:
    """Details of where language models differ on a text.

    Attributes:
        context: How the text was read: "carry" or "reset".
        unit: Counted unit of the tables, "token" or "word".
        units: Number of units.
        unaligned_lines: See :class:`ScoredUnits`.
        bands: Groups by training frequency; empty if it is not known.
        positions: Groups by place in the line.
        ngrams: Groups by the longest n-gram that is in `ngram_source`.
        ngram_source: Source of the n-grams; None if none are known.
        lines_apart: Lines where models differ most from the first one.
        words_apart: Words where models differ most from the first one.
    """

    context: str
    unit: Literal["token", "word"]
    units: int
    unaligned_lines: int
    bands: tuple[GroupRow, ...]
    positions: tuple[GroupRow, ...]
    ngrams: tuple[GroupRow, ...]
    ngram_source: str | None
    lines_apart: tuple[LargestDifferences, ...]
    words_apart: tuple[LargestDifferences, ...]

    def tables(self, names: Sequence[str], top: int) -> Iterator[Table]:
        """Yield tables of where models differ: groups of tokens, lines, words.

        Args:
            names: Names of the models.
            top: Number of lines and words for each model of a pair.
        """
        # Groups of tokens or words: the perplexity of each model.
        heads = [f"ppl {name}" for name in names]
        groups = {
            "training frequency": self.bands,
            "position in line": self.positions,
            "longest n-gram seen": self.ngrams,
        }
        for title, group_rows in groups.items():
            if group_rows:
                rows = [[row.group, f"{row.units:,}", *map(amount, row.ppl)] for row in group_rows]
                yield Table([title, f"{self.unit}s", *heads], rows, right=[f"{self.unit}s", *heads])

        # Single lines, then words, by how much the surprisal of two models differs.
        for what, number, pairs in (
            ("line", "number", self.lines_apart),
            (self.unit, "count", self.words_apart),
        ):
            columns = ["likelier under", number, "difference in bits", what]
            for apart in pairs:
                rows = []
                for name, items in (
                    (apart.first, apart.for_first),
                    (apart.second, apart.for_second),
                ):
                    for item in items[:top]:
                        bits = f"{item.difference_bits:+z,.2f}"
                        rows.append([name, f"{item.number:,}", bits, item.text])
                if rows:
                    yield Table(columns, rows, right=columns[1:3])


class GroupSums:
    """The units and log-probabilities of G groups, under K models. They are added in reading order,
    so that sums are the same however the text is cut into parts. group_of: the groups of units."""

    def __init__(
        self, labels: Sequence[str], models: int, group_of: Callable[[ScoredUnits], np.ndarray]
    ) -> None:
        self.labels = labels
        self.group_of = group_of
        self.units_G = np.zeros(len(labels), dtype=np.int64)
        self.logprob_KG = np.zeros((models, len(labels)))

    def add(self, units: ScoredUnits) -> None:
        """Add the units of some lines."""
        groups_U = self.group_of(units)
        self.units_G += np.bincount(groups_U, minlength=len(self.labels))
        for logprob_G, logprob_U in zip(self.logprob_KG, units.logprob_KU, strict=True):
            np.add.at(logprob_G, groups_U, logprob_U)

    def rows(self) -> tuple[GroupRow, ...]:
        """Return a row for each group that has units, in the order of the labels."""
        rows = []
        for group in np.flatnonzero(self.units_G).tolist():
            size, logprobs = int(self.units_G[group]), self.logprob_KG[:, group].tolist()
            nats = tuple(logprob if math.isfinite(logprob) else None for logprob in logprobs)
            ppl = tuple(perplexity(logprob, size) for logprob in logprobs)
            rows.append(GroupRow(self.labels[group], size, nats, ppl))
        return tuple(rows)


def by_frequency(tokenizer: Tokenizer, models: int, counts_V: np.ndarray) -> GroupSums:
    """Group units by how often they occurred in training (`counts_V`), in decades, with groups
    for `</s>` and for unknown words."""
    digits_V = 1 + np.floor(np.log10(np.maximum(counts_V, 1))).astype(np.int64)
    group_V = np.where(counts_V > 0, digits_V, 0)
    top = int(group_V.max(initial=0))
    group_V[tokenizer.boundary_id] = top + 1
    decades = [f"{10**n:,} to {10 ** (n + 1) - 1:,}" for n in range(top)]

    def group_of(units: ScoredUnits) -> np.ndarray:
        return np.where(units.is_unknown_U, top + 2, group_V[units.ids_U])

    return GroupSums(["0", *decades, BOUNDARY, UNKNOWN_GROUP], models, group_of)


def by_position(models: int) -> GroupSums:
    """Group units by position in the line, from 1."""
    labels = []
    for begin, following in itertools.pairwise(POSITIONS):
        end = following - 1
        labels.append(str(begin) if begin == end else f"{begin} to {end}")

    def group_of(units: ScoredUnits) -> np.ndarray:
        return np.searchsorted(POSITIONS, units.position_U, side="right") - 1

    return GroupSums([*labels, f"{POSITIONS[-1]} and on"], models, group_of)


def by_ngram_of(tokenizer: Tokenizer, models: int, known: LanguageModel) -> GroupSums | None:
    """Group units by the longest n-gram of the model `known` that ends at them; None where it has
    no n-grams."""
    if not hasattr(known, "longest_matches"):
        return None
    _, order = known.longest_matches(np.array([tokenizer.boundary_id]))
    is_seen_V = np.ones(tokenizer.size, dtype=bool)
    return _by_match(models, order, is_seen_V, lambda ids_U: known.longest_matches(ids_U)[0])


def by_ngram_in(tokenizer: Tokenizer, models: int, train: EncodedText) -> GroupSums:
    """Group units by the longest n-gram, up to a trigram, that ends at them and occurs in the
    text `train`, which the reference has encoded."""
    size, boundary_id = tokenizer.size, tokenizer.boundary_id
    levels = list(count(known_ids(train.ids, tokenizer), boundary_id, size, ORDER_SEEN))
    longer = [np.asarray(level.keys_M) for level in levels[1:]]
    is_seen_V = np.asarray(levels[0].counts_M)[:size] > 0
    return _by_match(
        models, len(levels), is_seen_V,
        lambda ids_U: longest_matches(ids_U, longer, size, boundary_id),
    )  # fmt: skip


def counts_in(tokenizer: Tokenizer, train: EncodedText) -> np.ndarray:
    """Count, (V,), how often each symbol of the reference occurs in the text `train`, which it
    has encoded."""
    ids_N = np.delete(known_ids(train.ids, tokenizer), train.oov)
    return np.bincount(ids_N, minlength=tokenizer.size)


def _by_match(
    models: int, order: int, is_seen_V: np.ndarray, matches: Callable[[np.ndarray], np.ndarray]
) -> GroupSums:
    """Group units by the length of the longest known n-gram that ends at them. matches: returns
    these lengths in words, at most `order`."""

    def group_of(units: ScoredUnits) -> np.ndarray:
        matched_U = matches(units.ids_U)
        matched_U[units.is_unknown_U | ~is_seen_V[units.ids_U]] = 0
        return matched_U

    labels = [UNSEEN_GROUP, "word alone", *(f"{n}-gram" for n in range(2, order + 1))]
    return GroupSums(labels, models, group_of)


def lines_apart(
    names: tuple[str, str], text: Text, bits_2S: np.ndarray, top: int
) -> LargestDifferences:
    """Return the `top` lines that are likelier under each of two models by most bits. Lines with
    a probability of zero are left out."""
    blocks = [block.lines for block in text.blocks()]
    starts = np.cumsum([0, *map(len, blocks)])

    def line_at(place: int) -> str:
        # A slice makes no strings of the lines around it.
        block = int(np.searchsorted(starts, place, side="right")) - 1
        at = place - int(starts[block])
        return blocks[block][at : at + 1][0]

    return _apart(names, line_at, np.arange(1, starts[-1] + 1), bits_2S, top)


def words_apart(
    names: tuple[str, str], sums: GroupSums, pair: tuple[int, int], top: int
) -> LargestDifferences:
    """Return the `top` words (or tokens) whose occurrences together are likelier under each of
    the models `pair` by most bits."""
    used = np.flatnonzero(sums.units_G)
    nats_2W = np.stack([sums.logprob_KG[k, used] for k in pair])
    return _apart(
        names, lambda at: sums.labels[used[at]], sums.units_G[used], nats_2W / -math.log(2), top
    )


def _apart(
    names: tuple[str, str],
    text_at: Callable[[int], str],
    numbers_I: np.ndarray,
    bits_2I: np.ndarray,
    top: int,
) -> LargestDifferences:
    """Return the items with the largest differences in bits, `top` for each of the two models."""
    with np.errstate(invalid="ignore"):  # both infinite
        difference_I = bits_2I[1] - bits_2I[0]
    possible = np.flatnonzero(np.isfinite(difference_I))
    order = possible[np.argsort(difference_I[possible], kind="stable")]

    def items(chosen: np.ndarray) -> tuple[DifferingItem, ...]:
        return tuple(
            DifferingItem(
                text_at(at),
                int(numbers_I[at]),
                (float(bits_2I[0, at]), float(bits_2I[1, at])),
                float(difference_I[at]),
            )
            for at in chosen.tolist()
        )

    # Positive differences lie at the end, negative ones at the beginning, if there are any.
    for_first = order[::-1][:top]
    for_second = order[:top]
    return LargestDifferences(
        *names,
        items(for_first[difference_I[for_first] > 0]),
        items(for_second[difference_I[for_second] < 0]),
    )
