"""Put sentences together in tables with a row a word, as experiments on reading have them.

A sentence is a run of rows in which the columns that tell sentences apart stay equal. If one of
these numbers the words, a sentence ends where it falls. The same sentence may come again, as other
subjects read it.
"""

import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rnnlm.errors import TextError, keyword, notice, shown
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import shown_name
from rnnlm.text.named_columns import (
    LEFT_OUT,
    USUAL_WORDS,
    InputTable,
    column_named,
    text_column,
    text_or_reason,
)

LEAST_ROWS, MOST_SINGLE = 20, 0.9  # rows that may be words; share of them that is a single word
MOST_DIFFERENT = 0.9  # different words in running text; in a list of words, nearly all differ
MOST_CHANGES = 0.3  # share of neighbouring rows between which a sentence ends, at most
LEAST_NUMBERED = 3  # neighbouring rows that show the numbers of words, or a sentence read again
MOST_OWN = 0.9  # first numbers that differ, for each sentence, where numbers go on or are codes
LEAST_SEVERAL = 0.2  # share of sentences that seem to be several
LEAST_REPEATED = 6  # rows that show that those of several subjects are mixed
_SPACE = " \t\r\n\0"
_SPACES = re.compile(f"[{_SPACE}]+")


class WordRows(NamedTuple):
    """A sentence of a table with a row a word: its rows (none if all are left out), the word of
    each, and whether the same sentence came before, under the same columns."""

    rows: list[tables.Row]
    words: list[str]
    is_repeated: bool


def word_column(table: InputTable, requested: str | None, sentence_columns: Sequence[str]) -> str:
    """Return the column of the words: the one asked for, or found as columns of texts are."""
    usual = (*USUAL_WORDS, *tables.USUAL_TEXT)
    others = [column_named(name, table.names, table.where) for name in sentence_columns]
    return text_column(
        table.names, table.sample, table.where, requested, usual, "the words", others
    )


def sentences_of(
    table: InputTable, column: str, sentence_columns: Sequence[str]
) -> Iterator[WordRows]:
    """Yield the sentences of a table whose rows have a word each in `column`. Notices say where
    sentences end, if one of `sentence_columns` numbers the words, how many sentences other subjects
    read, and whether words are missing.

    Raises:
        TextError: A cell is empty or holds several words, or rows are out of order.
    """
    # One of the columns may number the words, in all rows or in those that are read; the others are
    # equal in all rows of a sentence.
    named = [column_named(name, table.names, table.where) for name in sentence_columns]
    first = list(itertools.islice(table.rows, tables.SAMPLE_ROWS))
    table = replace(table, rows=itertools.chain(first, table.rows))
    for sample in (first, table.sample):
        looked_at = replace(table, sample=sample)
        numbering = [name for name in named if _share_rising(sample, name) > 0.5]
        keys = [name for name in named if name not in numbering]
        number = numbering[0] if numbering else _unnamed_number(looked_at, keys)
        if number is not None:
            break

    sentences = repeated = 0
    several: list[str] = []
    gaps: list[str] = []
    spans: list[Span] = []
    words_of: dict[tuple[str, ...], int] = {}  # their hash, by the columns
    partly: list[str] = []  # first rows of sentences that lack some of their words
    runs = _runs(table, column, keys, number, bool(numbering))
    if column not in table.conditions:
        whole = (_whole(column, number, run, partly) for run in runs)
    else:  # who chooses words wants no others
        whole = ([row for row in run if row.reason != LEFT_OUT] for run in runs)
    readings = map(functools.partial(_readings, column), whole)
    for run in itertools.chain.from_iterable(readings):
        if not run:
            yield WordRows(run, [], False)
            continue
        words = [_word(row, column) for row in run]
        key, hashed = _key(run[0], keys), hash(tuple(words))
        is_repeated = not numbering and key in words_of
        if is_repeated and words_of[key] != hashed:
            raise TextError(
                f"{run[0].where}: {', '.join(keys)} = {', '.join(key)} had other words before",
                "rows are out of order or missing, or these columns do not tell sentences apart",
                "sort the rows, or name more columns with " + keyword("sentence_columns"),
            )
        words_of[key] = hashed
        sentences += 1
        repeated += is_repeated
        numbers = [_number(row, number) for row in run]
        pairs = zip(numbers, numbers[1:], run[1:], strict=False)
        gaps += [row.where for before, now, row in pairs if now > before + 1]
        if not is_repeated:
            spans.append(Span(key, numbers[0], numbers[-1], run[0].where))
            parts = split_sentences(" ".join(words))
            several += [f"{run[0].where}, {seam(parts)}"] if len(parts) > 1 else []
        yield WordRows(run, words, is_repeated)

    tell_of_left_out(partly)
    tell_of_gaps([*gaps, *without_beginning(spans)], number)
    of_table = f"{shown_name(table.source)}: {sentences:,} sentences"
    if numbering:
        notice(f"{of_table}, which end where {number} falls")
    if repeated:
        notice(f"{of_table}, of which {repeated:,} repeat others that other subjects read")
    if several and len(several) >= LEAST_SEVERAL * (sentences - repeated):
        notice(
            f"{of_table}, of which {len(several):,} seem to be several, first {several[0]}; a "
            "column that tells these apart is missing in " + keyword("sentence_columns")
        )


def _runs(
    table: InputTable, column: str, keys: Sequence[str], number: str | None, is_named: bool
) -> Iterator[list[tables.Row]]:
    """Yield the rows of each sentence. number: the column that numbers words, if there is one;
    is_named: as one that tells sentences apart."""
    run: list[tables.Row] = []
    before = kept_before = math.nan
    for row in table.rows:
        is_new = bool(run) and _key(row, keys) != _key(run[0], keys)
        now, is_read = _number(row, number), row.reason != LEFT_OUT
        if is_read and is_named and math.isnan(now):
            raise TextError(f"{row.where}: column {number!r} holds no number")
        if run and not is_new:
            # The number of the first word begins a sentence, perhaps as another subject reads it.
            first = _number(run[0], number)
            is_first = now == first or (is_named and now in (0, 1))
            may_begin = is_named or row.values.get(column) == run[0].values.get(column)
            falls = now < before or (is_read and now == kept_before and may_begin)
            if is_read and falls and not is_first:
                raise TextError(
                    f"{row.where}: {number} is {now:g} after {before:g}",
                    "the words of a sentence must be in their order",
                    f"sort the rows by {', '.join([*keys, str(number)])}",
                )
            is_new = falls and may_begin
        if is_new:
            yield run
            run = []
            kept_before = math.nan
        kept_before = now if is_read else kept_before
        if is_read or not run or not math.isnan(now):
            before = now
        run.append(row)
    if run:
        yield run


class Span(NamedTuple):
    """The numbers of the first and last word of a sentence under these columns, and its first
    row."""

    key: tuple[str, ...]
    first: float
    last: float
    where: str


def without_beginning(spans: Sequence[Span]) -> list[str]:
    """Return the first rows of sentences whose first words are missing: the first number is above
    1, and no sentence under the same columns but one ended just before, in any order of rows. Where
    nearly every sentence begins at a number of its own, numbers are of the table, or codes."""
    begins = {span.first for span in spans}
    by_column = zip(*(span.key for span in spans), strict=True)
    different = max((len(set(cells)) for cells in by_column), default=len(spans))
    if len(begins) > 1 and len(begins) >= MOST_OWN * different:
        return []

    def neighbours(span: Span, number: float) -> Iterator[object]:
        for place in range(len(span.key)):
            yield place, span.key[:place], span.key[place + 1 :], number

    ended = {end for span in spans for end in neighbours(span, span.last)}
    return [
        span.where
        for span in spans
        if span.first > 1 and ended.isdisjoint(neighbours(span, span.first - 1))
    ]


def tell_of_gaps(gaps: Sequence[str], number: str | None) -> None:
    """Send a notice of the rows before which words are missing, by the column of their numbers."""
    if gaps:
        notice(f"{gaps[0]}: words before this row are missing, by {number} ({len(gaps):,} times)")


def tell_of_left_out(partly: Sequence[str]) -> None:
    """Send a notice of the sentences of which some rows are left out, by their first rows, where no
    column numbers the words."""
    if partly:
        notice(
            f"{partly[0]}: "
            + keyword("where")
            + f" leaves out other words of this sentence ({len(partly):,} times), which are no "
            "context of the others: no column numbers the words"
        )


def _whole(
    column: str, number: str | None, run: list[tables.Row], partly: list[str]
) -> list[tables.Row]:
    """Return the rows of a sentence that are read, and of those that are left out the ones that are
    its words: they have a number that no other row has. Of a sentence that is left out, there are
    none."""
    kept = [row for row in run if row.reason != LEFT_OUT]
    if not kept or len(kept) == len(run):
        return kept
    if number is None:
        partly.append(kept[0].where)
        return kept
    taken = {_number(row, number) for row in kept}
    whole = []
    for row in run:
        now = _number(row, number)
        if row.reason == LEFT_OUT:
            word = str(row.values.get(column) or "").strip(_SPACE)
            if math.isnan(now) or now in taken or not word or _SPACES.search(word):
                continue
            taken.add(now)
        whole.append(row)
    return whole


def _readings(column: str, run: list[tables.Row]) -> Iterator[list[tables.Row]]:
    """Yield the rows of each subject, where several have read a sentence one after the other and no
    column numbers the words."""
    words = [row.values.get(column) for row in run]
    again = sum(before == after for before, after in itertools.pairwise(words))
    if len(run) >= LEAST_REPEATED and 2 * again >= len(run):
        raise TextError(
            f"{run[0].where}: from this row on, most words are those of the row before",
            "the rows of several subjects are mixed",
            "sort the rows by subject, sentence and word",
        )
    lengths = [
        length
        for length in range(LEAST_NUMBERED, len(run) // 2 + 1)
        if len(run) % length == 0 and words == words[:length] * (len(run) // length)
    ]
    length = min(lengths, default=len(run))
    for start in range(0, len(run) or 1, length or 1):
        yield run[start : start + length]


def _word(row: tables.Row, column: str) -> str:
    """Return the word of a row."""
    lent = row._replace(reason=None) if row.reason == LEFT_OUT else row
    text, reason = text_or_reason(lent, column)
    word = text.strip(_SPACE)
    if not reason and _SPACES.search(word):
        reason = f"column {column!r} holds several words: {shown(word)}"
    if reason:
        why = "with " + keyword("sentence_columns") + ", each row is a word"
        raise TextError(f"{row.where}: {reason}", why)
    return word


def _key(row: tables.Row, keys: Sequence[str]) -> tuple[str, ...]:
    """Return what tells the sentence of a row apart."""
    for name in keys:
        if row.reason != LEFT_OUT and not tables.has_text(row.values.get(name)):
            raise TextError(f"{row.where}: column {name!r} is empty", "it tells sentences apart")
    return tuple(str(row.values.get(name)) for name in keys)


def _number(row: tables.Row, column: str | None) -> float:
    """Return the number in a cell; NaN where there is none, or no column."""
    try:
        return float(str(row.values.get(column)).replace(",", "."))
    except ValueError:
        return math.nan


def _unnamed_number(table: InputTable, keys: Sequence[str]) -> str | None:
    """Return the column that numbers the words of sentences, by its content: it begins with the
    same number in each, and rises by one. Of several, the one that does so in most rows."""
    pairs = itertools.pairwise(table.sample)
    begins = [_key(row, keys) != _key(after, keys) for row, after in pairs]
    if all(begins):  # no sentence has two words that could be numbered
        return None
    fits = {name: _share_rising(table.sample, name, begins) for name in table.names}
    best = max(fits, key=fits.__getitem__)
    return best if fits[best] > 0.5 else None


def _share_rising(
    sample: Sequence[tables.Row], column: str, begins: Iterable[bool] = itertools.repeat(False)
) -> float:
    """Return the share of neighbouring rows between which a column rises by one, or has the number
    of the first row, where a sentence begins."""
    numbers = [_number(row, column) for row in sample]
    pairs = zip(numbers, numbers[1:], begins, strict=False)
    right = [after == (numbers[0] if is_new else before + 1) for before, after, is_new in pairs]
    return sum(right) / max(LEAST_NUMBERED, len(right))


def tell_of_word_rows(table: InputTable, column: str) -> None:
    """Send a notice if the rows of a table look like the words of sentences: nearly all are single
    words, of which some recur, and another column stays equal over neighbouring rows, or counts
    them."""
    cells = [str(row.values.get(column)).strip(_SPACE).casefold() for row in table.sample]
    words = [cell for cell in cells if cell and not _SPACES.search(cell)]
    if len(cells) < LEAST_ROWS or len(words) <= MOST_SINGLE * len(cells):
        return

    # In lists of words none recurs, and their numbers do not begin again.
    equal, counting = [], {}
    for name in table.names:
        values = [str(row.values.get(name)) for row in table.sample]
        changes = sum(before != after for before, after in itertools.pairwise(values))
        if 0 < changes <= MOST_CHANGES * len(values):
            equal.append(name)
        elif _share_rising(table.sample, name) >= 1 - MOST_CHANGES:
            counting[name] = values
    recur = len(set(words)) <= MOST_DIFFERENT * len(words)
    begin_again = any(values.count(values[0]) > 1 for values in counting.values())
    if (recur or begin_again) and (equal or counting):
        notice(
            f"{shown_name(table.source)}: the rows seem to be the words of sentences, but each is "
            "read as a sentence; "
            + keyword("sentence_columns", ",".join(equal or counting))
            + " puts sentences together, by the columns that tell them apart"
        )


# ---- Several sentences that stand in one text.

_SENTENCE_END = re.compile(r"""[.!?]["'\u201d\u2019)\]\u00bb*_]* (?=([^ .!?]))""")
# A single letter, or an abbreviation of at most three; no part of a longer word.
_ABBREVIATED = re.compile(
    r"(?<![^\W\d_]['\u2019])(?<![^\W_])(?:[^\W\d_]|(?i:"
    "al|apr|aug|ave|bd|bzw|ca|cf|co|col|cpl|dec|dhr|dr|dra|etc|feb|fig|fr|ft|gen|hon|hr|inc|jan|jr|"
    "lt|ltd|maj|mm|mme|mr|mrs|ms|mt|nov|nr|oct|pp|pvt|rd|rev|sep|sgt|sr|sra|st|usw|vgl|vol|vs"
    "))$"
)


def split_sentences(paragraph: str) -> list[str]:
    """Divide a paragraph with single blanks into its sentences. One ends at . ! or ? and closing
    quotes before a blank that no lower-case letter follows, but not after a single letter or a
    short abbreviation."""
    sentences = []
    start = 0
    for end in _SENTENCE_END.finditer(paragraph):
        mark = end.start()
        is_abbreviated = paragraph[mark] == "." and _ABBREVIATED.search(
            paragraph[max(0, mark - 6) : mark]
        )
        if not is_abbreviated and not end[1].islower():
            sentences.append(paragraph[start : end.end() - 1])
            start = end.end()
    return [*sentences, paragraph[start:]]


def seam(sentences: Sequence[str]) -> str:
    """Show where the first of several sentences ends, for messages."""
    first, second = sentences[0].split(), sentences[1].split()
    return shown(" ".join([*first[-2:], "|", *second[:2]]))
