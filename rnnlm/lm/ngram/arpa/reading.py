"""Read the ARPA format: accept the variants that programs write, and report damage with its line.

Accepted are tabs or spaces, CRLF, blank lines, text before `\\data\\`, missing backoff weights,
entries in any order, -inf, and contexts that were pruned away. -99 is the number it is, as for
KenLM. Where `<unk>` (or `<UNK>`) or `</s>` is missing, its log10 probability is -100; where `<s>`
is, its backoff weight is 1. n-grams that no sentence can hold, with `<s>` not first or `</s>` not
last, are left out. Where `<s>` or `</s>` is listed twice, the first counts, as for KenLM.

Programs that prune may leave out the context of an n-gram that they keep. It is put in with the
probability that backing off gives it and backoff weight 1, which changes no score.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm.amounts import plural
from rnnlm.errors import ModelError, NoticeCollector, first_of, keyword, notice
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN
from rnnlm.lm.ngram.counting.workspace import UNLIMITED, GrowingArray, Workspace
from rnnlm.lm.ngram.tables import (
    IMPORTING,
    NOWHERE,
    BackoffLevel,
    LinkedOrders,
    check_memory,
    find_many,
    make_keys,
    split_keys,
)
from rnnlm.storage.files.reading import LONGEST_LINE, not_utf8, opened, shown_name
from rnnlm.text.lines import Progress, silent

# ---- The lines of an ARPA file: numbered, read a block at a time, and their fields, checked.
#
# No more than a block is held, however long a line claims to be.

BLOCK_BYTES = 1 << 24
_NEWLINE = ord("\n")
_BLANK = b"\0\t\r "
_BLANK_LINES = re.compile(rb"(?:[\0\t\r ]*\n)+")
# as KenLM splits; U+00A0 is part of a word
_IS_SEPARATOR = np.isin(np.arange(256), [*_BLANK, _NEWLINE])


class ArpaLines:
    """The lines of an open ARPA file. `number`: how many were read so far; report: called with
    that. allow_positive: log-probabilities above 0 are read as 0."""

    def __init__(
        self, stream: IO[bytes], name: str, report: Progress = silent, allow_positive: bool = False
    ) -> None:
        self.name = name
        self.report = report
        self.allow_positive = allow_positive
        self.number = 0
        self.notices = NoticeCollector()
        self._stream = stream
        self._data = b""
        self._at = 0

    def next(self) -> bytes | None:
        """Return the next line, without white space around it; None at the end."""
        if not self._fill():
            return None
        end = self._data.index(b"\n", self._at)
        line, self._at = self._data[self._at : end], end + 1
        self.number += 1
        if len(line) > LONGEST_LINE:
            raise self._too_long(self.number)
        return line.strip(_BLANK)

    def marker(self) -> bytes | None:
        """Look at the next line that is not blank without taking it. Return the line if it begins
        with a backslash, b"" at the end, None for any other line."""
        while self._fill():
            blank = _BLANK_LINES.match(self._data, self._at)
            if blank is None:
                end = self._data.index(b"\n", self._at)
                is_marker = self._data.startswith(b"\\", self._at)
                return self._data[self._at : end].strip(_BLANK) if is_marker else None
            self.number += self._data.count(b"\n", self._at, blank.end())
            self._at = blank.end()
        return b""

    def entries(self) -> "Fields | None":
        """Return the fields of the lines up to the next that begins with a backslash, or of as many
        as a block holds; None: no more."""
        if self.marker() is not None:
            return None

        # Take whole lines; the rest of the block is kept for the next call.
        newline = self._data.find(b"\n\\", self._at)
        if newline < 0:
            newline = self._data.rindex(b"\n")
        block = self._data[self._at : newline + 1]
        self._at = newline + 1
        first_line = self.number + 1
        try:
            block.isascii() or block.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(block, error, self.name, first_line, kind=ModelError) from None
        newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
        self.number += len(newlines)
        self.report(f"{plural(self.number, 'line')} read")
        lengths = np.diff(newlines, prepend=-1)
        if lengths.max() > LONGEST_LINE:
            raise self._too_long(first_line + int(lengths.argmax()))
        return Fields(block, newlines, first_line)

    def error(self, line: int, what: str, why: str = "", hint: str = "") -> ModelError:
        return ModelError(f"{self.name}, line {line}: " + what, why, hint)

    def _fill(self) -> bool:
        """Read on until a whole line is at hand. Return whether there is one."""
        while self._data.find(b"\n", self._at) < 0:
            rest = self._data[self._at :]
            if len(rest) > LONGEST_LINE:
                raise self._too_long(self.number + 1)
            more = self._stream.read(BLOCK_BYTES)
            if rest and not more:
                more = b"\n"  # the last line may end without one
            self._data, self._at = rest + more, 0
            if not self._data:
                return False
        return True

    def _too_long(self, line: int) -> ModelError:
        return self.error(line, f"longer than {LONGEST_LINE:,} bytes", "a line must fit in memory")


class Fields:
    """Fields separated by white space: the text of each, and for L lines that are not blank their
    numbers, the first field of each, and how many there are."""

    def __init__(self, block: bytes, newlines: np.ndarray, first_line: int) -> None:
        data = np.frombuffer(block, np.uint8)
        is_text = ~_IS_SEPARATOR[data]
        edges = np.flatnonzero(np.diff(is_text, prepend=False))  # a block ends in a newline
        starts, ends = edges[::2], edges[1::2]
        offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data[is_text])]
        self.text = pa.Array.from_buffers(pa.string(), len(starts), buffers)
        after_line = np.searchsorted(starts, newlines)
        counts = np.diff(after_line, prepend=0)
        is_filled = counts > 0
        self.lines_L = first_line + np.flatnonzero(is_filled)
        self.counts_L = counts[is_filled]
        self.first_L = (after_line - counts)[is_filled]

    def take(self, fields: np.ndarray) -> pa.Array:
        """Return the text of the fields of these numbers."""
        return self.text.take(pa.array(fields))


@dataclass(frozen=True)
class Entries:
    """L n-grams as the file has them: their lines, L * n words; log p(w|h) and log backoff in
    nats, float32."""

    lines_L: np.ndarray
    words: pa.Array
    values_L2: np.ndarray


def read_entries(lines: ArpaLines, n: int, promised: int, is_highest: bool) -> Iterator[Entries]:
    """Yield the section of n-grams of order n, a block at a time; an empty section may be missing.
    ModelError: a line is not understood, or the section does not hold as many n-grams as
    promised."""
    # A section begins with its marker.
    marker, wanted = lines.marker(), b"\\%d-grams:" % n
    if marker == wanted:
        lines.next()
    elif promised or not marker:
        raise lines.error(
            lines.number + 1,
            f"no {wanted.decode()} here",
            start_of_line(marker) if marker else "the file is truncated",
        )

    # Count along, so that a file that promises too little is refused before all of it is read.
    count = 0
    for fields in iter(lines.entries, None):
        count += len(fields.lines_L)
        if count > promised:
            raise lines.error(
                int(fields.lines_L[promised - count]),
                f"more {n}-grams than the {promised} that \\data\\ promises",
            )
        yield _read_fields(lines, fields, n, is_highest)
    if not lines.marker():
        raise lines.error(
            lines.number, f"the file is truncated within the {n}-grams", "\\end\\ is missing"
        )
    if count != promised:
        raise lines.error(
            lines.number,
            f"the {n}-grams end here",
            f"there are {count}, \\data\\ promises {promised}",
        )


def _read_fields(lines: ArpaLines, fields: Fields, n: int, is_highest: bool) -> Entries:
    """Turn the fields of lines into n-grams; refuse lines that are none."""
    # A log-probability, n words, and maybe a backoff weight.
    lines_L = fields.lines_L
    has_backoff_L = fields.counts_L == n + 2
    is_odd_L = (fields.counts_L != n + 1) & ~has_backoff_L
    expected = (
        f"a line holds a log-probability, {plural(n, 'word')} and, optionally, a backoff weight"
    )
    refuse(lines, lines_L, is_odd_L, f"not a {n}-gram", expected)

    logprob_L = _numbers(lines, lines_L, fields.take(fields.first_L), "log-probability")
    if lines.allow_positive:
        logprob_L = np.minimum(logprob_L, 0)
    refuse(
        lines,
        lines_L,
        logprob_L > 0,
        "a positive log-probability; "
        + keyword("allow_positive", True)
        + " reads it as 0, as KenLM's -i does",
    )
    at = np.flatnonzero(has_backoff_L)
    weights = fields.take(fields.first_L[at] + n + 1)
    logbackoff_L = np.zeros(len(lines_L))
    logbackoff_L[at] = _numbers(lines, lines_L[at], weights, "backoff weight")
    values_L2 = nats(np.stack([logprob_L, logbackoff_L], axis=1))
    refuse(lines, lines_L, np.isposinf(values_L2[:, 1]), "an infinite backoff weight")
    if is_highest:
        refuse(
            lines,
            lines_L,
            logbackoff_L != 0,
            f"a backoff weight after a {n}-gram",
            f"{n} is the highest order",
        )

    words = fields.take((fields.first_L[:, None] + np.arange(1, n + 1)).ravel())
    return Entries(lines_L, words, values_L2)


def _numbers(lines: ArpaLines, lines_L: np.ndarray, text: pa.Array, what: str) -> np.ndarray:
    """Return the numbers in `text`, float64."""
    try:
        numbers_L = pc.cast(text, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        if len(text) == 1:
            raise lines.error(
                int(lines_L[0]), f"not a {what}", f"{text[0].as_py()!r:.80} is not a number"
            ) from None
        # Halve the text until the one that is not a number is found.
        half = len(text) // 2
        first_L = _numbers(lines, lines_L[:half], text[:half], what)
        return np.concatenate([first_L, _numbers(lines, lines_L[half:], text[half:], what)])
    refuse(lines, lines_L, np.isnan(numbers_L), f"not a {what}", "it is NaN")
    return numbers_L


def refuse(
    lines: ArpaLines, lines_L: np.ndarray, is_wrong_L: np.ndarray, what: str, why: str = ""
) -> None:
    """Raise an error for the first line in which something is wrong, if there is one."""
    if is_wrong_L.any():
        raise lines.error(int(lines_L[is_wrong_L].min()), what, why)


def start_of_line(line: bytes) -> str:
    """Return the beginning of a line, to be shown."""
    return repr(line[:60].decode("utf-8", "backslashreplace"))


# ---- Vocabulary, counts and tables.

HIGHEST_ORDER = 64
BOUNDARY_ID, UNKNOWN_ID = 0, 1
_COUNT = re.compile(rb"ngram\s+(\d{1,3})\s*=\s*(\d{1,20})")
_IRSTLM = re.compile(rb"([iq]ARPA)(\s.*)?", re.DOTALL)  # intermediate and quantized files


class ArpaTables:
    """The orders read so far, in which each context is an n-gram itself; `levels[n - 1]` is order
    n. The first is made of the values of V words and `<s>`."""

    def __init__(self, unigram_values_M2: np.ndarray) -> None:
        self.size = len(unigram_values_M2) - 1
        keys_M = np.arange(self.size + 1, dtype=np.uint64)
        self.levels = [BackoffLevel(self.size, keys_M, unigram_values_M2)]

    def numbers(self, ids_MK: np.ndarray) -> np.ndarray:
        """Return the number of each K-gram, NOWHERE where it is not there."""
        numbers_M = ids_MK[:, 0].astype(np.int64)
        for at in range(1, ids_MK.shape[1]):
            keys_M = make_keys(numbers_M, ids_MK[:, at], self.size)
            numbers_M = find_many(self.levels[at].keys_M, keys_M)
        return numbers_M

    def insert(self, ids_QK: np.ndarray) -> np.ndarray:
        """Put in the K-grams that are not there, with all that they begin with. Return the numbers
        of the K-grams before which they went."""
        places = np.zeros(0, dtype=np.int64)
        linked = LinkedOrders(self.size)
        for n in range(2, ids_QK.shape[1] + 1):
            contexts_Q = self.numbers(ids_QK[:, : n - 1])
            keys_Q = make_keys(contexts_Q, ids_QK[:, n - 1], self.size)
            is_absent_Q = find_many(self.levels[n - 1].keys_M, keys_Q) == NOWHERE
            keys_A = np.unique(keys_Q[is_absent_Q])

            # Backing off gives them their probabilities.
            contexts = self.levels[n - 2]
            linked.add(contexts)
            contexts_A, words_A = split_keys(keys_A, self.size)
            logprob_A = linked.lower(contexts_A, words_A).logprob_RJ[:, 0]
            places = self._put_in(n, keys_A, contexts.logbackoff_M[contexts_A] + logprob_A)
        return places

    def _put_in(self, n: int, keys_A: np.ndarray, logprob_A: np.ndarray) -> np.ndarray:
        """Insert n-grams of order n and renumber the n-grams after them. Return the numbers before
        which they went."""
        level = self.levels[n - 1]
        places = np.searchsorted(level.keys_M, keys_A)
        values_A2 = np.stack([logprob_A, np.zeros(len(keys_A))], axis=1)
        keys_M = np.insert(level.keys_M, places, keys_A)
        values_M2 = np.insert(level.values_MK, places, values_A2, axis=0)
        self.levels[n - 1] = BackoffLevel(self.size, keys_M, values_M2)
        if n < len(self.levels):
            after = self.levels[n]
            keys_M = make_keys(shift_numbers(after.contexts_M, places), after.words_M, self.size)
            self.levels[n] = BackoffLevel(self.size, keys_M, after.values_MK)
        return places


def read_arpa(
    path: str, report: Progress = silent, *, lowercase: bool = False, allow_positive: bool = False
) -> tuple[list[str], list[BackoffLevel]]:
    """Read the symbols of a vocabulary (`</s>`, `<unk>`, then in the order of the file), and the
    tables of the model. report: called with the progress of reading. lowercase: the symbols are the
    words of the file in lower case.

    ModelError: the file cannot be read, or is damaged: where, and how; or two of its words are one
    in lower case.
    """
    with opened(path, error=ModelError, wanted="an ARPA file", is_kept=False) as stream:
        lines = ArpaLines(stream, shown_name(path), report, allow_positive)
        promised = _header(lines)
        # A damaged file may promise anything; compressed, too, an n-gram takes a byte or more.
        most = os.path.getsize(path) if os.path.isfile(path) else sum(promised)
        check_memory("importing", IMPORTING, min(sum(promised), most))
        is_only = len(promised) == 1
        symbols, spellings, tables = _unigrams(lines, promised[0], is_only, lowercase)
        # As for KenLM, n-grams may spell <unk> in the other way, unless that is another word.
        other_unknown = UNKNOWN if spellings[UNKNOWN_ID] == CAPITAL_UNKNOWN else CAPITAL_UNKNOWN
        vocabulary = pa.array([*spellings, other_unknown])
        for n, count in enumerate(promised[1:], start=2):
            _add_order(lines, n, count, n == len(promised), vocabulary, tables)
        _end(lines)
        lines.notices.send()
    return symbols, tables.levels


def _header(lines: ArpaLines) -> list[int]:
    """Return how many n-grams of each order are promised."""
    for line in iter(lines.next, None):
        line = line.removeprefix(b"\xef\xbb\xbf")
        if line == b"\\data\\":
            break
        irstlm = _IRSTLM.fullmatch(line)
        if irstlm:
            raise ModelError(
                f"{lines.name} is not an ARPA file",
                f"{irstlm[1].decode()} is a format of IRSTLM",
                "convert it: compile-lm --text yes FILE FILE.arpa",
            )
    else:
        raise ModelError(f"{lines.name} is not an ARPA file", "it has no line \\data\\")

    # One line for each order, in order, up to the first marker.
    promised: list[int] = []
    while lines.marker() is None:
        line = lines.next() or b""
        match = _COUNT.fullmatch(line)
        if line and not match:
            raise lines.error(
                lines.number,
                "not understood",
                start_of_line(line),
                "\\data\\ is followed by lines such as: ngram 1=5000",
            )
        if match:
            n = len(promised) + 1
            if int(match[1]) != n:
                raise lines.error(lines.number, f"the count of {n}-grams is missing")
            promised.append(int(match[2]))
    has_unigrams = bool(promised and promised[0])
    if not has_unigrams or len(promised) > HIGHEST_ORDER:
        what = f"a model of order {len(promised)}" if has_unigrams else "there are no unigrams"
        raise lines.error(lines.number, what, f"orders 1 to {HIGHEST_ORDER} can be read")
    return promised


def _unigrams(
    lines: ArpaLines, promised: int, is_highest: bool, lowercase: bool
) -> tuple[list[str], list[str], ArpaTables]:
    """Read the unigrams. Return the symbols by id, how the file spells them and, last, `<s>`, and
    the first tables."""
    spelled, lines_of_words, values = [], [], []
    for section in read_entries(lines, 1, promised, is_highest):
        spelled.extend(section.words.to_pylist())
        lines_of_words.append(section.lines_L)
        values.append(section.values_L2)
    words = [word.lower() for word in spelled] if lowercase else spelled
    number_of = _first_places(lines, np.concatenate(lines_of_words), spelled, words)

    # The special symbols; some programs spell <unk> in capitals.
    is_capital = UNKNOWN not in number_of and CAPITAL_UNKNOWN in number_of
    unknown = CAPITAL_UNKNOWN if is_capital else UNKNOWN
    specials = (BOUNDARY, unknown, SENTENCE_START)
    _tell_missing(lines, [special for special in specials if special not in number_of])
    if unknown == UNKNOWN and CAPITAL_UNKNOWN in number_of:
        notice(f"{lines.name} holds {CAPITAL_UNKNOWN}, too; {TWO_UNKNOWNS}")

    # Order the values by id; `<s>` is only a context, even if the file gives it a probability.
    ordinary = [word for word in words if word not in specials]
    by_id = [BOUNDARY, unknown, *ordinary, SENTENCE_START]
    at = np.array([number_of.get(word, NOWHERE) for word in by_id])
    spellings = [spelled[number_of[word]] if word in number_of else word for word in by_id]
    values_M2 = np.concatenate(values)[at]
    values_M2[at == NOWHERE] = nats(MISSING_LOG10), 0
    values_M2[-1, 0] = 0
    return [BOUNDARY, UNKNOWN, *ordinary], spellings, ArpaTables(values_M2)


def _first_places(
    lines: ArpaLines, lines_L: np.ndarray, spelled: list[str], words: list[str]
) -> dict[str, int]:
    """Return the place of each word among the L unigrams. ModelError: a word but `<s>` and `</s>`,
    of which the first counts, is listed twice. spelled: the words as the file has them."""
    # The first place of a word replaces later ones. Most files list each word once.
    place_of = dict(zip(reversed(words), reversed(range(len(words))), strict=True))
    if len(place_of) == len(words):
        return place_of

    # Repeated markers are harmless: the first entry counts. Any other repeated word is an error.
    first_L = np.array([place_of[word] for word in words])
    is_again_L = first_L != np.arange(len(words))
    is_marker_L = np.array([word in (SENTENCE_START, BOUNDARY) for word in spelled])
    for place in np.flatnonzero(is_again_L & is_marker_L).tolist():
        where = f"{lines.name}, line {lines_L[place]}"
        lines.notices.add(where, f"{words[place]} is repeated; the first entry is used")
    repeated = np.flatnonzero(is_again_L & ~is_marker_L)
    if len(repeated):
        place = int(repeated[0])
        raise _repeated(lines, int(lines_L[place]), spelled[first_L[place]], spelled[place])
    return place_of


def _tell_missing(lines: ArpaLines, missing: list[str]) -> None:
    """Send a notice of the special symbols that a file lacks, and of their replacements."""
    log10_of = dict.fromkeys(missing, f"probability is {MISSING_LOG10:.0f}")
    log10_of[SENTENCE_START] = "backoff weight is 0"
    if missing:
        descriptions = (f"{special} (its log10 {log10_of[special]})" for special in missing)
        notice(f"{lines.name} lacks {', '.join(descriptions)}")


def _repeated(lines: ArpaLines, line: int, first: str, word: str) -> ModelError:
    """Return the error for a word that is listed again, where it is spelled like `first` or becomes
    the same in lower case."""
    if word == first:
        return lines.error(line, "a duplicate word", f"{word!r:.80} is listed twice")
    return lines.error(
        line,
        "two words become one in lower case",
        f"{first!r:.80} and {word!r:.80}",
        "import the file without " + keyword("lowercase"),
    )


def _add_order(
    lines: ArpaLines,
    n: int,
    promised: int,
    is_highest: bool,
    vocabulary: pa.Array,
    tables: ArpaTables,
) -> None:
    """Read the n-grams of order n into the tables, and put in the contexts that are not there."""
    # Of each n-gram its line, the number of its context (or NOWHERE), its last word, log p(w|h) and
    # log backoff, on disk; then the words of the contexts that are nowhere.
    types = (np.int64, np.int64, np.int32, np.float32)
    growing = [GrowingArray(Workspace(UNLIMITED), dtype) for dtype in types]
    lost = [np.zeros((0, n - 1), np.int32)]
    for entries in read_entries(lines, n, promised, is_highest):
        ids = pc.fill_null(pc.index_in(entries.words, vocabulary), NOWHERE)
        ids_LN = ids.to_numpy().reshape(-1, n)
        ids_LN = np.where(ids_LN > tables.size, UNKNOWN_ID, ids_LN)
        if (ids_LN == NOWHERE).any():
            at = int((ids_LN == NOWHERE).argmax())
            word = entries.words[at].as_py()
            line = int(entries.lines_L[at // n])
            raise lines.error(line, "an unknown word", f"{word!r:.80} is not among the unigrams")

        # n-grams that no sentence can hold.
        is_start_L = (ids_LN[:, 1:] == tables.size).any(axis=1)
        is_end_L = (ids_LN[:, :-1] == BOUNDARY_ID).any(axis=1)
        occurs_L = ~is_start_L & ~is_end_L
        if not occurs_L.all():
            left_out = first_of(list(map(str, entries.lines_L[~occurs_L].tolist())), 1)
            lines.notices.add(
                f"{lines.name}, line {left_out}",
                f"{SENTENCE_START} is not first or {BOUNDARY} not last, which no sentence "
                "contains, so it is left out",
            )
        ids_LN = ids_LN[occurs_L]
        lines_L, values_L2 = entries.lines_L[occurs_L], entries.values_L2[occurs_L]

        contexts_L = tables.numbers(ids_LN[:, :-1])
        lost.append(ids_LN[contexts_L == NOWHERE, :-1])
        columns = (lines_L, contexts_L, ids_LN[:, -1], values_L2)
        for array, values in zip(growing, columns, strict=True):
            array.append(values)
    lines_M, contexts_M, words_M, values_N = (array.whole() for array in growing)
    values_M2 = values_N.reshape(-1, 2)

    # N-grams that are put into the order below shift the numbers of the others there.
    lost_QN = np.concatenate(lost)
    if len(lost_QN):
        contexts_M = contexts_M.copy()
        is_lost_M = contexts_M == NOWHERE
        places = tables.insert(lost_QN)
        contexts_M[~is_lost_M] = shift_numbers(contexts_M[~is_lost_M], places)
        contexts_M[is_lost_M] = tables.numbers(lost_QN)

    # Entries may come in any order.
    keys_M = make_keys(contexts_M, words_M, tables.size)
    if (keys_M[1:] <= keys_M[:-1]).any():
        by_key = np.argsort(keys_M, kind="stable")
        keys_M, lines_M, values_M2 = keys_M[by_key], lines_M[by_key], values_M2[by_key]
        refuse(lines, lines_M[1:], keys_M[1:] == keys_M[:-1], f"a duplicate {n}-gram")
    tables.levels.append(BackoffLevel(tables.size, keys_M, values_M2))


def _end(lines: ArpaLines) -> None:
    """Read `\\end\\`; refuse anything after it."""
    marker = lines.marker()
    if marker != b"\\end\\":
        why = start_of_line(marker) if marker else "the file is truncated"
        raise lines.error(lines.number + 1, "no \\end\\ here", why)
    lines.next()
    for line in iter(lines.next, None):
        if line:
            raise lines.error(lines.number, "text after \\end\\", start_of_line(line))


def shift_numbers(numbers_M: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the numbers that `numbers_M` become if n-grams were inserted before the numbers
    `places`."""
    return numbers_M + np.searchsorted(places, numbers_M, side="right")


# ---- The ARPA format, in which n-gram programs exchange models (SRILM's ngram-format(5)): parts
# that reading and writing share.
#
# \data\
# ngram 1=5                                   so many n-grams of each order
# \1-grams:
# -0.6754889 TAB the TAB -0.30103
#     log10 p(w|h) TAB words TAB log10 of the backoff weight, where that is not 1
# \end\

ZERO_LOG10 = -99.0  # the number that programs write for log10 of zero
MISSING_LOG10 = -100.0  # the value that KenLM takes for <unk> if a file has none
CAPITAL_UNKNOWN = "<UNK>"  # how some programs spell <unk>
TWO_UNKNOWNS = (
    f"{CAPITAL_UNKNOWN} is a separate word here, but KenLM treats it as {UNKNOWN}: its scores of "
    "both, and of unknown words, differ"
)


def nats(log10: np.ndarray | float) -> np.ndarray:
    """Return log10 numbers as natural logarithms, float32."""
    with np.errstate(over="ignore"):
        return (np.asarray(log10) * np.log(10)).astype(np.float32)
