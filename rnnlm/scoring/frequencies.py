"""How often words occur, as a covariate of reading times: in the training text of a model, or as
another text or table says.

log10_frequency = log10(count of the word / all words of the text): 0.001 is -3. Add 6 for
occurrences per million words, 9 for the Zipf scale (van Heuven et al. 2014).
"""

import functools
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnnlm.checks import check_path
from rnnlm.errors import ModelError, TextError, UsageError, keyword, notice, shown
from rnnlm.interface import BOUNDARY, Encoded, Tokenizer
from rnnlm.lm.base.loading import load_tokenizer
from rnnlm.lm.base.words import ShownWords
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import file_of, opened, text_lines
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import split_words
from rnnlm.text.named_columns import usual_among

PER_MILLION = "subtlwf"
COUNTS = ("freqcount", "count", "counts", "frequency", "freq")
LOG_COUNTS = "lg10wf"  # log10(count + 1)
WORDS = ("word", "words", "token", "type")
LOOKED_AT = 20  # lines that show whether a file without a name of a table is one


class TrainingFrequencies:
    """The frequencies of the words of a tokenizer. They are not known where tokens are pieces of
    words, or were not counted."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        counts_V = tokenizer.counts_V
        self.are_known = counts_words(tokenizer)
        if counts_V is None or not self.are_known:
            return
        # `</s>` is no word of the text; unknown words are, but have no frequency.
        counts_V = np.where(np.arange(len(counts_V)) == tokenizer.boundary_id, 0.0, counts_V)
        with np.errstate(divide="ignore", invalid="ignore"):
            log10_V = np.log10(counts_V / counts_V.sum())
        special = [id for id in (tokenizer.boundary_id, tokenizer.unk_id) if id is not None]
        log10_V[special] = np.nan
        self._log10_V = np.where(np.isfinite(log10_V), log10_V, np.nan)
        is_mark = [not any(map(str.isalnum, symbol)) for symbol in tokenizer.symbols()]
        self._is_mark_V = np.array(is_mark)

    def of(self, shown: ShownWords, encoded: Encoded, texts: Sequence[str]) -> np.ndarray:
        """Return the log10_frequency of each of the words, (W,), NaN where it has none.

        A written word has the frequency of the one token in it that holds a letter or digit: "dog."
        counts as "dog" where the mark is a separate token. Unknown words have none, nor have words
        of several such tokens, nor `</s>`.
        """
        words = shown.items
        if not self.are_known:
            return np.full(len(words.starts), np.nan)
        ids_N = known_ids(encoded.ids, self._tokenizer)
        # A word has one token that is not a mark, or is a mark itself.
        parts_N = np.flatnonzero(~self._is_mark_V[ids_N])
        first_W = np.searchsorted(parts_N, words.starts)
        last_W = np.searchsorted(parts_N, words.ends)
        is_mark_W = (first_W == last_W) & (words.ends == words.starts + 1)
        at_W = np.where(is_mark_W, words.starts, np.append(parts_N, 0)[first_W])
        is_one_W = is_mark_W | (last_W == first_W + 1)
        return np.where(is_one_W, self._log10_V[ids_N[at_W]], np.nan)


class WrittenFrequencies:
    """The frequencies of words as they are written, whatever a model's tokens are: in any case, and
    without the marks around them.

    Attributes:
        log10: By word.
    """

    are_known = True

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.log10 = {word: math.log10(share) for word, share in shares.items() if share > 0}

    def of(self, shown: ShownWords, encoded: Encoded, texts: Sequence[str]) -> np.ndarray:
        """Return the log10_frequency of each of the words, (W,), NaN where it has none."""
        values = []
        for text, places in zip(texts, shown.places, strict=True):
            values += [self.log10.get(bare(text[start:end]), math.nan) for start, end in places]
            values.append(math.nan)  # </s>
        return np.array(values)


Frequencies = TrainingFrequencies | WrittenFrequencies


def word_frequencies(source: str | None, tokenizer: Tokenizer, name: str) -> Frequencies:
    """Return where the frequencies of words come from: `source`, or the training text of a model
    called `name`. A notice says if that has none."""
    if source is not None:
        return frequencies_from(source)
    frequencies = TrainingFrequencies(tokenizer)
    if not frequencies.are_known:
        notice(
            f"{name}'s tokens are not words, or it has no word counts: its words have no "
            "frequencies; " + keyword("frequency_from", "MODEL or FILE") + " has some"
        )
    return frequencies


def frequencies_from(source: str) -> WrittenFrequencies:
    """Return the frequencies that a table of counts, a text or a model has; a notice says what was
    read.

    Raises:
        TextError: The table has no counts, or the text no words.
        UsageError: The model has no word counts.
        ModelError: There is neither a file nor a model of this name.
    """
    check_path(source, keyword("frequency_from"))
    # A file or a folder may change between two calls in one process.
    file = file_of(source)
    stamp = os.stat(file).st_mtime_ns if os.path.exists(file) else None
    return _frequencies_from(source, stamp)


@functools.lru_cache(maxsize=2)
def _frequencies_from(source: str, stamp: int | None) -> WrittenFrequencies:
    """Return the frequencies of a source, which were read before if it has the same stamp."""
    if not os.path.isfile(file_of(source)):
        shares, what = _shares_of_model(source), "the words of its training text"
    else:
        kind = _kind_of_table(source)
        if kind is None:
            shares, what = _shares_of_text(source), "counted in a text"
        else:
            shares, what = _shares_of_table(source, kind)
    frequencies = WrittenFrequencies(shares)
    if not frequencies.log10:
        raise TextError(f"{source} has no words with counts", "no word would have a frequency")
    notice(f"frequencies from {source}: {len(frequencies.log10):,} words, {what}")
    return frequencies


def bare(word: str) -> str:
    """Return a word in lower case, without the marks around it; marks alone stay."""
    first, last = 0, len(word)
    while first < last and not word[first].isalnum():
        first += 1
    while last > first and not word[last - 1].isalnum():
        last -= 1
    return (word[first:last] or word).casefold()


def _shares(counts: Mapping[str, float], total: float = 0.0) -> dict[str, float]:
    """Return the share of each word, those of several spellings together. total: of all words;
    0: the sum of the counts."""
    total = total or math.fsum(counts.values()) or 1.0
    shares: dict[str, float] = {}
    for word, count in counts.items():
        shares[bare(word)] = shares.get(bare(word), 0.0) + count / total
    return shares


def _shares_of_model(name: str) -> dict[str, float]:
    try:
        tokenizer = load_tokenizer(name)
    except ModelError as error:
        if os.path.exists(name):
            raise
        raise ModelError(
            f"no frequencies from {name}",
            f"there is no such file, and {error.what}",
            "name a model, a table of counts or a text",
        ) from None
    if not counts_words(tokenizer):
        raise UsageError(
            f"no frequencies from {name}",
            "its tokens are not words, or it has no word counts",
            "name a model of words, a table of counts or a text",
        )
    return shares_of_tokenizer(tokenizer)


def counts_words(tokenizer: Tokenizer) -> bool:
    """Return whether the tokens of a tokenizer are words, and were counted in training."""
    return tokenizer.name == "word" and tokenizer.counts_V is not None


def shares_of_tokenizer(tokenizer: Tokenizer) -> dict[str, float]:
    """Return the share of each word in the training text, for a tokenizer that counts words."""
    assert tokenizer.counts_V is not None
    symbols = tokenizer.symbols()
    counts = dict(zip(symbols, tokenizer.counts_V.tolist(), strict=True))
    counts.pop(BOUNDARY, None)
    total = math.fsum(counts.values())
    if tokenizer.unk_id is not None:
        counts.pop(symbols[tokenizer.unk_id], None)
    return _shares(counts, total)


def _shares_of_text(source: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    with opened(source, errors="strict") as stream:
        for line in text_lines(source, stream, "strict"):
            counts.update(split_words(line))
    return _shares(counts)


def _kind_of_table(source: str) -> str | None:
    """Return the kind of table that a file is: by its name, or by its first lines, as SUBTLEX and
    `rnnlm count` write it into files of any name; None: it is a text."""
    kind = tables.kind_of(source)
    if kind is not None:
        return kind
    with opened(source, errors="replace") as stream:
        lines = [
            line.rstrip("\r\n").split("\t")
            for line in itertools.islice(text_lines(source, stream, "replace"), LOOKED_AT)
        ]
    has_header = bool(lines) and bool(usual_among(lines[0], (PER_MILLION, *COUNTS, LOG_COUNTS)))
    are_counts = bool(lines) and all(len(line) == 2 and line[1].isdecimal() for line in lines)
    return tables.TSV if (has_header and len(lines[0]) > 1) or are_counts else None


def _shares_of_table(source: str, kind: str) -> tuple[dict[str, float], str]:
    """Return the share of each word, and which columns say so."""

    # A table of `rnnlm count` has no header: n-grams and their counts.
    def has_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
        return not (len(first) == 2 and first[1].strip().isdecimal())

    rows: Iterator[tables.Row] = tables.rows(source, kind, has_header=has_header)
    first = next(rows, None)
    if first is None:
        raise TextError(f"{source} is empty")
    names = list(map(str, first.values))
    words = (usual_among(names, WORDS) or names)[0]
    found = usual_among(names, (PER_MILLION, *COUNTS, LOG_COUNTS))
    if names == ["1", "2"]:
        found = ["2"]
    if not found:
        raise TextError(
            f"{source}: which column holds the counts of words?",
            f"it has {', '.join(names)}",
            "call them Word and SUBTLWF (per million), FREQcount (or count) or Lg10WF",
        )

    # Counts of n-grams of several words are none of words.
    column, name = found[0], tables.folded(found[0])
    counts: dict[str, float] = {}
    for row in itertools.chain([first], rows):
        word = str(row.values.get(words) or "").strip()
        if not word or " " in word or word in ("<s>", BOUNDARY):
            continue
        value = _number(row, column)
        counts[word] = counts.get(word, 0.0) + (10**value - 1 if name == LOG_COUNTS else value)
    counts.pop("<unk>", None)
    is_per_million = name == PER_MILLION
    return _shares(counts, 1e6 if is_per_million else 0.0), f"columns {words} and {column}"


def _number(row: tables.Row, column: str) -> float:
    cell = row.values.get(column)
    try:
        value = float(str(cell).strip())
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        hint = "write a point instead of the comma" if "," in str(cell) else ""
        why = f"column {column!r} holds {shown(str(cell))}"
        raise TextError(f"{row.where}: {why}", "it must be a number, 0 or more", hint)
    return value
