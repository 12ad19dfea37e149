"""Read a table of reading times: a row for each word and subject. Its sentences are put together
from the rows of all subjects, so that rows may be missing, and in any order."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import corpora
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA, said
from rnnlm.config import Choice
from rnnlm.errors import ArgumentTypeError, TextError, given, keyword, notice, shown
from rnnlm.scoring.sentences import Sentence
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import shown_name
from rnnlm.text.named_columns import (
    LEFT_OUT,
    InputTable,
    RowFilter,
    column_named,
    open_table,
    table_of,
    unclear,
)
from rnnlm.text.sources import expand
from rnnlm.text.word_rows import (
    Span,
    seam,
    split_sentences,
    tell_of_gaps,
    tell_of_left_out,
    without_beginning,
)
from rnnlm.tools.reading.settings import ReadingSettings

# Usual names of columns, without case, blanks and units; the first that is there is taken.
USUAL = {
    "word": ("word", "words", "token", "ialabel", "wordform"),
    "time": (
        "rt", "time", "readingtime", "rtms", "rtime", "duration", "readingtimems", "timems",
        "gazeduration", "rtfirstpass", "iafirstrundwelltime", "iadwelltime", "fdur", "wdur",
        "latency", "responsetime", "reactiontime", "keyresprt",
    ),
    "subject": (
        "subject", "subjectid", "subj", "subjnr", "subjectnr", "subjectnumber", "subjectcode",
        "sub", "subid", "participant", "participantid", "participantnr", "participantnumber",
        "participantcode", "participantname", "participantprivateid", "participantpublicid", "ppt",
        "pptid", "pp", "ppn", "ppnr", "ppid", "pid", "prolificpid", "prolificid", "workerid",
        "reader", "readerid", "person", "anonid", "anonymousid", "proband", "probandid",
        "versuchsperson", "vp", "vpn", "vpnr", "vpcode", "recordingsessionlabel",
        "md5hashofparticipantsipaddress",
    ),
    "item": ("item", "itemid", "itemnr", "text", "textid", "story", "passage", "sentnr", "itemnum"),
    "condition": ("condition", "cond", "conditionid"),
    "sentence": ("sentence", "sentenceid", "sentencenumber", "sentnr", "sentid", "sentencenr"),
    "number": (
        "wordindex", "wordnumber", "wordnr", "wordpos", "sentpos", "zone", "position", "wordnum",
        "wordid", "wnum", "wordinsentencenumber", "iaid",
    ),
    "region": ("region", "regionindex", "regionid", "roi"),
}  # fmt: skip
# Names that subjects may have, too, where the values begin the same texts again.
PERHAPS_SUBJECT = ("id", "runid", "sessionid", "userid", "code")
NEEDED = ("word", "time")
MISSING = {"", "na", "<na>", "nan", "nat", "null", "none", ".", "n/a"}
MARKED = "mark missing times with NA, a point or an empty cell"
THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
BEGUN = 5  # words that no running text begins with again
Key = tuple[str, str, str]  # item, condition and sentence
LONGEST = 80  # characters of a text in a message
SECONDS = 10.0  # a median below this is no time in ms


@dataclass(frozen=True)
class Times:
    """A table of reading times: R rows, and the P different words of all sentences, once each,
    however many subjects read them.

    columns: those of the table, by what they hold. place_R: the word of each row. time_R: NaN where
    there is none. cells_of: the cells of all columns, by name.
    """

    source: str
    columns: dict[str, str]
    place_R: np.ndarray
    time_R: np.ndarray
    subject_R: np.ndarray
    subjects: list[str]
    cells_of: dict[str, list[Any]]
    sentences: list[Sentence]
    items: list[str]  # of each sentence
    conditions: list[str]
    sentence_P: np.ndarray  # number of its sentence
    position_P: np.ndarray  # in its sentence, from 1
    is_last_P: np.ndarray

    def texts(self) -> list[str]:
        """Return the P words."""
        return [text for sentence in self.sentences for text in sentence.text.split(" ")]

    def numbers(self, name: str) -> np.ndarray:
        """Return the numbers in a column; NaN, which excludes rows, where there are none."""
        return np.array([_number(cell) for cell in self.cells_of[name]])


def read_times(table: Any, settings: ReadingSettings) -> Times:
    """Read a table, from a file or from rows in memory.

    Raises:
        TextError: A column is missing or unclear, a time is no number of ms, a word has two times
            of one subject, or a place two words.
    """
    opened = _opened(table, settings)
    where = shown_name(opened.source)
    if not opened.sample:
        raise TextError(f"{where} has no rows", "it is empty, or only has a header")
    opened = RowFilter(settings.where).marked(opened)
    rows = list(opened.rows)
    columns = _columns(opened.names, rows, settings, where)

    # The words of all texts, and the times of all subjects.
    found = _WordsAndTimes(columns)
    for row in rows:
        found.add(row)
    if not found.words:
        raise TextError(
            f"{where}: no row is left to analyse", "all are left out by " + keyword("where")
        )

    # Words that are left out are context of the others, if a column numbers them.
    words, lends = found.words, columns["word"] not in opened.conditions
    if "number" in columns:
        words = found.with_left_out() if lends else words
        tell_of_gaps(_gaps(words, found.first_rows), columns["number"])
    else:
        _check_order(words.values(), where)
        tell_of_left_out(found.partly() if lends else [])
    time_R = np.array(list(found.times.values()))
    _clean_times(time_R, columns["time"], where, settings)

    # Sentences, and what each row is about.
    subjects = list(dict.fromkeys(subject for subject, _, _ in found.times))
    number_of = {subject: number for number, subject in enumerate(subjects)}
    place_of, assembled = _assembled(words, found.every_word, columns, where)
    read = [row.values for row in rows if row.reason != LEFT_OUT]
    return Times(
        source=where,
        columns=columns,
        place_R=np.array([place_of[key, number] for _, key, number in found.times]),
        time_R=time_R,
        subject_R=np.array([number_of[subject] for subject, _, _ in found.times]),
        subjects=subjects,
        cells_of={name: [values.get(name) for values in read] for name in opened.names},
        **assembled,
    )


def _opened(table: Any, settings: ReadingSettings) -> InputTable:
    """Open a table: a file, or rows in memory."""
    if isinstance(table, (str, Path)):
        source = str(corpora.list_named(str(table)))
        expand((source,))
        # The first row is a header unless columns are named by number.
        named = [getattr(settings, f"{role}_column") for role in USUAL]
        requested = list(filter(None, named)) or NEEDED
        return open_table(source, tables.kind_of(source) or tables.CSV, None, requested)
    numbered = enumerate(_records(table), start=1)
    return table_of("the table", (tables.Row(f"row {place}", row) for place, row in numbered))


class _WordsAndTimes:
    """The words of texts by their numbers, and the time that each subject read each, from the rows
    of a table.

    words: of the rows that are read; every_word: also of those that are left out. first_rows: where
    each word is first. times: NaN where one is missing.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = columns
        self.words: dict[Key, dict[float, str]] = {}
        self.every_word: dict[Key, dict[float, str]] = {}
        self.first_rows: dict[tuple[Key, float], str] = {}
        self.times: dict[tuple[str, Key, float], float] = {}
        self._counts = Counter[tuple[str | None, str, Key]]()

    def add(self, row: tables.Row) -> None:
        """Add the word and the time of a row."""
        subject, key = self._key_of(row)
        word = _label(row, self.columns["word"])
        number = self._number_of(row, subject, key)
        self.every_word.setdefault(key, {}).setdefault(number, word)
        self.first_rows.setdefault((key, number), row.where)
        if row.reason == LEFT_OUT:
            return

        self.words.setdefault(key, {}).setdefault(number, word)
        self._check(row, subject, key, number, word)
        time = row.values.get(self.columns["time"])
        self.times[subject, key, number] = (
            _needed_number(row, self.columns["time"], MARKED) if name_in(time) else math.nan
        )

    def with_left_out(self) -> dict[Key, dict[float, str]]:
        """Return the words of texts that are read, with those that are left out, if they have a
        number that no word has which is read, and are one word."""
        whole = {}
        for key, numbered in self.words.items():
            lent = {
                number: word
                for number, word in self.every_word[key].items()
                if math.isfinite(number) and len(word.split()) == 1
            }
            whole[key] = lent | numbered
        return whole

    def partly(self) -> list[str]:
        """Return the first rows of texts of which a subject's rows are left out in part."""
        return [
            self.first_rows[key, 1]
            for reason, subject, key in self._counts
            if reason != LEFT_OUT and (LEFT_OUT, subject, key) in self._counts
        ]

    def _key_of(self, row: tables.Row) -> tuple[str, Key]:
        """Return the subject of a row, and the text of its word."""
        item, condition, sentence, subject = (
            _label(row, self.columns.get(name))
            for name in ("item", "condition", "sentence", "subject")
        )
        return subject, (item, condition, sentence)

    def _number_of(self, row: tables.Row, subject: str, key: Key) -> float:
        """Return the number of a word in its text: of its column, else in the order of the rows."""
        self._counts[row.reason, subject, key] += 1
        if "number" in self.columns:
            return _needed_number(row, self.columns["number"])
        return self._counts[row.reason, subject, key]

    def _check(self, row: tables.Row, subject: str, key: Key, number: float, word: str) -> None:
        """Make sure that a row holds one word, that of the other rows, and a first time for it."""
        called = f"{row.where}: word {number:g} of {' '.join(filter(None, key)) or 'the text'}"
        if len(word.split()) > 1:
            raise TextError(f"{called} is several words: {shown(word)}", "each row is a word")
        before = self.words[key][number]
        if before != word:
            raise TextError(
                f"{called} is {shown(word)}, but was {shown(before)}",
                "the words do not match those of other rows",
                "name the columns that tell words apart: " + keyword("number_column", "NAME"),
            )
        if (subject, key, number) in self.times:
            raise TextError(
                f"{called} has two times" + (f" by {subject}" if subject else ""),
                hint="leave out what is there twice, or name the column of subjects: "
                + keyword("subject_column", "NAME"),
            )


def _records(table: Any) -> Iterator[dict[str | None, Any]]:
    """Yield the rows of a data frame of pandas or of a library with Arrow's interface, or rows."""
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        # What `groupby` and `set_index` made an index is a column again.
        lost = [name for name in table.index.names if name is not None and name not in table]
        table = (
            table.reset_index(level=lost).to_dict("records") if lost else table.to_dict("records")
        )
    try:
        if hasattr(table, "__arrow_c_stream__"):
            import pyarrow

            # An error where this is one column, such as a Series.
            table = pyarrow.RecordBatchReader.from_stream(table).read_all().to_pylist()
        for row in table:
            yield {str(name): value for name, value in dict(row).items()}
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"a table of reading times is a file, a data frame or rows as dicts, not {given(table)}"
        ) from error


def _columns(
    names: Sequence[str], rows: Sequence[tables.Row], settings: ReadingSettings, where: str
) -> dict[str, str]:
    """Return the columns by what they hold: those that are named, the others by their usual names,
    in one notice."""
    columns: dict[str, str] = {}
    for role in USUAL:
        requested = getattr(settings, f"{role}_column")
        if requested is not None:
            columns[role] = column_named(requested, names, where)
    by_name = {_plain(name): name for name in reversed(names) if name not in columns.values()}
    choices = []
    for role, usual in USUAL.items():
        column = next((by_name[name] for name in usual if name in by_name), None)
        if role not in columns and column is not None and column not in columns.values():
            columns[role] = column
            choices.append(Choice(f"{role}_column", column, None, THE_DATA, "names of columns"))
        if role in NEEDED and role not in columns:
            what = f"the {role}s" + (" in ms" if role == "time" else "")
            raise unclear(where, names, what, [keyword(f"{role}_column", "NAME")])
    # A name that may be anything's is the subjects' by its content.
    for name in PERHAPS_SUBJECT:
        column = by_name.get(name)
        is_free = "subject" not in columns and column not in columns.values()
        if column is not None and is_free and _begins_texts_again(column, rows, columns):
            columns["subject"] = column
            why = "its values begin the same texts again"
            choices.append(Choice("subject_column", column, None, THE_DATA, why))
    for line in said(choices, is_whole=True):
        notice(f"{where}: {line}")
    return columns


def _begins_texts_again(
    column: str, rows: Sequence[tables.Row], columns: Mapping[str, str]
) -> bool:
    """Return whether most texts that a value of the column has begin as those of another value."""
    texts: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    keys = [
        column,
        *(columns[name] for name in ("item", "condition", "sentence") if name in columns),
    ]
    for row in rows:
        if row.reason == LEFT_OUT:
            continue
        key = tuple(str(row.values.get(name)) for name in keys)
        number = _number(row.values.get(columns["number"])) if "number" in columns else 0.0
        texts.setdefault(key, []).append((number, str(row.values.get(columns["word"]))))
    begun = [
        (key[1:], tuple(word for _, word in sorted(text, key=lambda word: word[0])[:BEGUN]))
        for key, text in texts.items()
        if len(text) > 1
    ]
    counts = Counter(begun)
    return 2 * sum(counts[text] > 1 for text in begun) > len(texts)


def _check_order(texts_of: Iterable[Mapping[float, str]], where: str) -> None:
    """Check the texts of a table without numbers, and say that its rows are taken in their order.
    Texts of several subjects who are not told apart begin again, or have each word several times.
    """
    texts = [list(numbered.values()) for numbered in texts_of]
    again = []
    for text in texts:
        begins = (
            text[at : at + min(at, BEGUN)] == text[: min(at, BEGUN)]
            for at in range(2, len(text) - 1)
        )
        doubled = sum(before == after for before, after in itertools.pairwise(text))
        if any(begins) or (2 * doubled >= len(text) > BEGUN):
            again.append(" ".join(text))
    if 2 * len(again) >= len(texts):
        raise TextError(
            f"{where}: {len(again):,} of {len(texts):,} texts begin again within themselves",
            f"several subjects, or readings, are taken for one: {shown(again[0][:LONGEST])}",
            "name the column that tells them apart: " + keyword("subject_column", "NAME"),
        )
    notice(
        f"{where}: no column numbers the words: rows are taken in their order; "
        + keyword("number_column", "NAME")
        + " names one"
    )


def _plain(name: str) -> str:
    """Return the name of a column without case, marks and a unit in brackets."""
    return re.sub(r"\(.*?\)|\[.*?\]|[\W_]", "", name).casefold()


def _label(row: tables.Row, column: str | None) -> str:
    """Return the cell of a column that every row has, but those that are left out; "" without a
    column."""
    if column is None:
        return ""
    value = row.values.get(column)
    if tables.has_text(value):
        return str(value).strip()
    if row.reason == LEFT_OUT:
        return ""
    raise TextError(f"{row.where}: column {column!r} is empty", "it tells rows apart")


def name_in(cell: Any) -> str:
    """Return what a cell names; "" where it is missing."""
    name = str(cell).strip()
    return "" if name.casefold() in MISSING else name


def _needed_number(row: tables.Row, column: str, hint: str = "") -> float:
    """Return the number in a cell; a comma is refused. hint: what to do about what is no number."""
    cell = str(row.values.get(column)).strip()
    value = _number(cell)
    if math.isfinite(value) or row.reason == LEFT_OUT:
        return value
    why = "it is no number"
    if "," in cell:
        why, hint = "it has a decimal comma", f"write a point: {cell.replace(',', '.')}"
    if THOUSANDS.fullmatch(cell):
        why, hint = "it has a comma", f"write {cell.replace(',', '')}"
        hint += f", or {cell.replace(',', '.')} if the comma is decimal" * (cell.count(",") == 1)
    raise TextError(f"{row.where}: column {column!r} holds {shown(cell)}", why, hint)


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def _gaps(
    words: Mapping[Key, Mapping[float, str]], first_rows: Mapping[tuple[Key, float], str]
) -> list[str]:
    """Return the rows before which words of a sentence are missing, by their numbers."""
    gaps, spans = [], []
    for key, numbered in words.items():
        numbers = sorted(numbered)
        spans.append(Span(key, numbers[0], numbers[-1], first_rows[key, numbers[0]]))
        pairs = itertools.pairwise(numbers)
        gaps += [first_rows[key, after] for before, after in pairs if after > before + 1]
    return [*gaps, *without_beginning(spans)]


def _clean_times(time_R: np.ndarray, column: str, where: str, settings: ReadingSettings) -> None:
    """Make times below 0 missing in place, and refuse times that are no ms."""
    below = time_R[time_R < 0]
    if len(below):
        notice(
            f"{where}: column {column!r}: times below 0 are read as missing: "
            f"{below[0]:g} and the like, {plural(len(below), 'row')}; {MARKED}"
        )
        time_R[time_R < 0] = math.nan
    known = time_R[time_R > 0]
    if not len(known):
        raise TextError(f"{where}: column {column!r} holds no times", "all are missing or zero")
    median = float(np.median(known))
    if median < min(SECONDS, settings.min_time):
        raise TextError(
            f"{where}: column {column!r} seems to hold seconds: the median is {median:.3g}",
            "times are read as ms",
            "multiply them by 1,000, or lower " + keyword("min_time"),
        )


def _assembled(
    words: Mapping[Key, Mapping[float, str]],
    every_word: Mapping[Key, Mapping[float, str]],
    columns: Mapping[str, str],
    where: str,
) -> tuple[dict[tuple[Key, float], int], dict[str, Any]]:
    """Put sentences together, numbered as those of the whole table. Return the place of each word
    by its key, and the fields of :class:`Times` about words and sentences."""
    # Items without a column of sentences are cut as paragraphs of any text are.
    place_of: dict[tuple[Key, float], int] = {}
    parts: list[tuple[Key, Sentence]] = []
    several: list[list[str]] = []
    count = 0
    for key, of_whole in every_word.items():
        numbered = words.get(key, of_whole)
        numbers = sorted(numbered)
        text = " ".join(numbered[number] for number in numbers)
        sentences = [text] if "sentence" in columns else split_sentences(text)
        first, count = count + 1, count + len(sentences)
        if key in words:
            place_of |= {(key, number): len(place_of) + at for at, number in enumerate(numbers)}
            parts += [(key, Sentence(part, at)) for at, part in enumerate(sentences, first)]
            several += [sentences] if len(sentences) > 1 else []
    if several:
        item = columns.get("item")
        notice(
            f"{where}: no column tells sentences apart, and {len(several):,} of {len(words):,} "
            f"{'items' if item else 'texts'} have several, which end at . ! or ?, first at "
            f"{seam(several[0])}; "
            + keyword("sentence_column", item or "NAME")
            + (" leaves items whole" if item else " names one")
        )
    lengths = [part.text.count(" ") + 1 for _, part in parts]
    position_P = np.concatenate([np.arange(1, length + 1) for length in lengths])
    return place_of, {
        "sentences": [part for _, part in parts],
        "items": [key[0] or key[2] or part.text for key, part in parts],
        "conditions": [key[1] for key, _ in parts],
        "sentence_P": np.repeat(np.arange(len(parts)), lengths),
        "position_P": position_P,
        "is_last_P": position_P == np.repeat(lengths, lengths),
    }
