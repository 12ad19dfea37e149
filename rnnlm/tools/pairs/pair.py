"""Define minimal pairs, and read the files that hold them."""

import itertools
import os
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.checks import check_path
from rnnlm.errors import TextError, shown
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.reading import decode, opened
from rnnlm.text import sources
from rnnlm.text.lines import is_blank, single_spaced, split_words
from rnnlm.text.named_columns import columns_in_words

# ---- Pairs of sentences, one good and one bad, with the labels that group their results.

FULL, PARTIAL, WORD = "full", "partial", "word"
SCORINGS = (FULL, PARTIAL, WORD)


@dataclass(frozen=True)
class Pair:
    """Two sentences, of which `good` should be the likelier one.

    Attributes:
        kind: The paradigm.
        good: The correct sentence.
        bad: The other sentence.
        id: Id of the pair.
        phenomenon: Group of kinds, as in BLiMP.
        field: Group of phenomena, as in BLiMP.
        number: For agreement, the number of the subject.
        distance: For agreement, the number of words between the subject's head and the verb.
        attractors: For agreement, the number of nouns between them with the other number.
        scoring: Default scoring of the pair (see :meth:`rnnlm.Model.score_pairs`).
        where: Its place, for messages.
        problem: Reason why the row cannot be scored, if there is one.
    """

    kind: str
    good: str
    bad: str
    id: str | None = None
    phenomenon: str | None = None
    field: str | None = None
    number: str | None = None
    distance: int | None = None
    attractors: int | None = None
    scoring: str = FULL
    where: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class TestSet:
    """The minimal pairs of files.

    Attributes:
        format: Name of the files' format, in words.
        pairs: The pairs.
    """

    __test__ = False  # not a test class, though its name looks like one to pytest

    format: str
    pairs: tuple[Pair, ...] = ()


# ---- Tables of pairs: further columns of a row (an id, and labels that group results), and two
# kinds of table.
#
# Good and bad sentences: BLiMP's JSON-lines (Warstadt et al. 2020, arXiv 1912.00582), or columns
# good and bad. Agreement templates in the style of Linzen, Dupoux & Goldberg (2016, arXiv
# 1611.01368): a sentence, the place of its verb, and the verb's right and wrong form; the verb is
# compared, given the words before it.

Values = Mapping[Any, Any]  # by column; None: cells beyond the columns
KIND = ("kind", "paradigm", "UID")
ID = ("id", "pair_id", "pairID", "qID", "sentid")
_FOR_KIND = dict.fromkeys(("cond", "condition", "type", "category"), "did you mean 'kind'?")
PHENOMENON = ("phenomenon", "linguistics_term")
DISTANCE = ("distance",)
FIELD = ("field",)
ATTRACTORS = ("attractors", "n_attractors", "n_attr", "n_diff_intervening")

GOOD, BAD = ("good", "sentence_good"), ("bad", "sentence_bad")

SENTENCE_COLUMNS = ("sentence", "orig_sentence", "masked")
RIGHT = ("right", "right_form", "good_verb", "verb_good", "correct", "verb")
WRONG = ("wrong", "wrong_form", "bad_verb", "verb_bad", "incorrect", "wrong_verb")
POSITION = ("verb_index", "position", "verb_position")
_MASK = re.compile(r"\*\*\*mask\*\*\*|\[MASK\]|<mask>|(?<!\w)_+(?!\w)")


class RowProblem(Exception):
    """The reason why a row gives no pair."""


@dataclass(frozen=True)
class RowFormat:
    """A kind of table.

    Attributes:
        name: Name of the format.
        scoring: How its pairs are scored, unless the caller chooses otherwise.
        fits: Function of a table's columns that returns whether the table is meant to be of this
            kind.
        needed: Required columns, each with all of its possible names.
        sentences_of: Function from a row to its good and its bad sentence.
    """

    name: str
    scoring: str
    fits: Callable[[set[str]], bool]
    needed: tuple[tuple[str, ...], ...]
    sentences_of: Callable[[Values], tuple[str, str]]

    def is_complete(self, columns: set[str]) -> bool:
        """Return whether a table has all the required columns.

        Args:
            columns: Columns of the table.
        """
        return all(has_any(columns, names) for names in self.needed)


def pair_of(values: Values, row_format: RowFormat, kind: str, where: str) -> Pair:
    """Return the pair of a row, which is of `kind` if the row names none. Missing fields of a row
    are the pair's `problem`."""
    kind, id = _label(values, KIND) or kind, _label(values, ID)
    try:
        if None in values:
            raise RowProblem("it has more cells than columns")
        good, bad = row_format.sentences_of(values)
        return Pair(
            kind=kind,
            good=good,
            bad=bad,
            id=id,
            phenomenon=_label(values, PHENOMENON),
            field=_field(values),
            number=_label(values, ("number",)),
            distance=whole_number(values, DISTANCE),
            attractors=whole_number(values, ATTRACTORS),
            scoring=row_format.scoring,
            where=where,
        )
    except RowProblem as problem:
        return Pair(kind, "", "", id, scoring=row_format.scoring, where=where, problem=str(problem))


def text_in(values: Values, names: Sequence[str]) -> str:
    """Return the text in the first of these columns that the row has. RowProblem: it has none, or
    one without words."""
    name = first_column(values, names)
    value = values.get(name)
    if value is None:
        raise RowProblem(f"{name} is missing")
    if not isinstance(value, str):
        raise RowProblem(f"{name} is not text")
    if is_blank(value.replace("\n", " ")):
        raise RowProblem(f"{name} is missing")
    return value


def as_text(value: object) -> str:
    """Return the content of a cell as text; of a list or an object, however deeply nested, no more
    than is needed to recognise it."""
    return shown(value) if isinstance(value, (list, dict)) else str(value)


def first_column(columns: Container[str], names: Sequence[str]) -> str:
    """Return the first of `names` that is a column; where none is, the first."""
    return next((name for name in names if name in columns), names[0])


def has_any(columns: set[str], names: Sequence[str]) -> bool:
    return not columns.isdisjoint(names)


def _label(values: Values, names: Sequence[str]) -> str | None:
    cells = (values.get(name) for name in names)
    return next((as_text(cell) for cell in cells if cell not in (None, "")), None)


def _field(values: Values) -> str | None:
    """Return the field; BLiMP writes one of its fields in two ways."""
    field = _label(values, FIELD)
    return "syntax/semantics" if field == "syntax_semantics" else field


def whole_number(values: Values, names: Sequence[str]) -> int | None:
    """Return the number in the first of these columns that holds anything. RowProblem: it is not a
    whole number."""
    value = _label(values, names)
    if value is None:
        return None
    # Columns of whole numbers with gaps are often written as 3.0.
    if not re.fullmatch(r"[0-9]{1,9}(\.0*)?", value.strip()):
        raise RowProblem(f"{first_column(values, names)} is not a whole number")
    return int(float(value))


def _template_sentences(values: Values) -> tuple[str, str]:
    """Return both sentences of a row; the verb's place is a mark in the sentence, or the number of
    a word, from 1. RowProblem: it has no such place, or a form is missing."""
    sentence = text_in(values, SENTENCE_COLUMNS)
    right, wrong = text_in(values, RIGHT), text_in(values, WRONG)
    # A mark in the sentence.
    marks = list(_MASK.finditer(sentence))
    if len(marks) == 1:
        before, after = sentence[: marks[0].start()], sentence[marks[0].end() :]
        return f"{before}{right}{after}", f"{before}{wrong}{after}"
    if marks:
        raise RowProblem("the verb is marked in several places")

    # Or the number of a word, which must be one of the two forms.
    words = split_words(sentence)
    place = _verb_place(values, len(words))
    if words[place].lower() not in (right.lower(), wrong.lower()):
        raise RowProblem(f"word {place + 1} is {words[place]!r}, neither {right!r} nor {wrong!r}")
    good, bad = [*words], [*words]
    good[place], bad[place] = right, wrong
    return " ".join(good), " ".join(bad)


def _verb_place(values: Values, words: int) -> int:
    """Return the place of the verb among the words, from 0."""
    if not has_any(set(values), POSITION):
        raise RowProblem(
            "the verb's place is neither marked in the sentence nor given as verb_index"
        )
    column, place = first_column(values, POSITION), whole_number(values, POSITION)
    if place is None:
        raise RowProblem(f"{column} is missing")
    if not 1 <= place <= words:
        raise RowProblem(f"{column} is {place}, but the sentence has {words} words")
    return place - 1


SENTENCES = RowFormat(
    "good and bad sentences",
    FULL,
    fits=lambda columns: has_any(columns, GOOD + BAD),
    needed=(GOOD, BAD),
    sentences_of=lambda values: (text_in(values, GOOD), text_in(values, BAD)),
)
TEMPLATES = RowFormat(
    "agreement templates",
    WORD,
    fits=lambda columns: has_any(columns, SENTENCE_COLUMNS) and has_any(columns, RIGHT + WRONG),
    needed=(SENTENCE_COLUMNS, RIGHT, WRONG),
    sentences_of=_template_sentences,
)


# ---- Winograd schemas (Levesque, Davis & Morgenstern 2012): a sentence with a blank or a pronoun,
# its possible meanings, the answer.
#
# Columns are the columns of WinoGrande (sentence with `_`, option1, option2, answer) or of the WSC
# data set (text, pronoun, pronoun_loc, options, label). Scored by the text after the option (Trinh
# & Le 2018, arXiv 1806.02847).

SCHEMA_COLUMNS = ("sentence", "text")
OPTION_1, OPTION_2 = ("option1", "option_1", "option_a"), ("option2", "option_2", "option_b")
OPTIONS, ANSWER = ("options",), ("answer", "label")
_NEEDED = (SCHEMA_COLUMNS, OPTION_1 + OPTIONS, OPTION_2 + OPTIONS, ANSWER)
_BLANK = re.compile(r"(?<!\w)_+(?!\w)")
_ANSWERS = {"1": 0, "2": 1, "a": 0, "b": 1}
_ARTICLES = {"The", "A", "An"}


def _schema_sentences(values: Values) -> tuple[str, str]:
    """Return the sentence with the right option, and with the wrong one. RowProblem: a part is
    missing, or it is not clear where the options go."""
    sentence, options = text_in(values, SCHEMA_COLUMNS), _options(values)
    right = _answer(values, options)
    start, stop = _place(values, sentence)
    good, bad = options[right], options[1 - right]
    return _filled(sentence, start, stop, good), _filled(sentence, start, stop, bad)


def _options(values: Values) -> tuple[str, str]:
    if "options" not in values:
        return text_in(values, OPTION_1), text_in(values, OPTION_2)
    options = values["options"]
    are_two = isinstance(options, list) and len(options) == 2
    if not are_two or not all(isinstance(option, str) and option.strip() for option in options):
        raise RowProblem("options are not two texts")
    return options[0], options[1]


def _answer(values: Values, options: tuple[str, str]) -> int:
    """Return which option is right: 0 or 1."""
    label: Any = values.get("label")
    # The WSC data set has labels from 0.
    if values.get("answer") in (None, ""):
        if label in (None, ""):
            raise RowProblem("answer is missing")
        if as_text(label) not in ("0", "1"):
            raise RowProblem(f"label is {shown(label)}, neither 0 nor 1")
        return int(label)

    # Others give the option itself, or its number or letter.
    answer = as_text(values["answer"]).strip()
    if answer in options and options[0] != options[1]:
        return options.index(answer)
    if answer.lower().rstrip(".") not in _ANSWERS:
        raise RowProblem(f"answer is {answer!r}, neither 1 nor 2, nor an option")
    return _ANSWERS[answer.lower().rstrip(".")]


def _place(values: Values, sentence: str) -> tuple[int, int]:
    """Return where the blank or the pronoun is in the sentence."""
    pattern, gap = _BLANK, "a blank (_)"
    pronoun, at = values.get("pronoun"), None
    if pronoun not in (None, ""):
        pattern = re.compile(rf"(?<!\w){re.escape(as_text(pronoun))}(?!\w)")
        gap, at = "the pronoun", values.get("pronoun_loc")
    places = [match.span() for match in pattern.finditer(sentence)]
    # A pronoun may occur several times; pronoun_loc says which one is meant.
    if at not in (None, ""):
        places = [place for place in places if str(place[0]) == as_text(at)]
    if len(places) != 1:
        raise RowProblem(f"{gap} occurs {len(places)} times in the sentence, not once")
    return places[0]


def _filled(sentence: str, start: int, stop: int, option: str) -> str:
    """Return the sentence with `option` from `start` to `stop`; its article is capitalised as its
    place requires."""
    first, space, rest = option.strip().partition(" ")
    if start == 0:
        first = first[:1].upper() + first[1:]
    elif first in _ARTICLES:
        first = first.lower()
    return f"{sentence[:start]}{first}{space}{rest}{sentence[stop:]}"


WINOGRAD = RowFormat(
    "Winograd schemas",
    PARTIAL,
    fits=lambda columns: (
        has_any(columns, SCHEMA_COLUMNS) and has_any(columns, OPTIONS + OPTION_1 + OPTION_2)
    ),
    needed=_NEEDED,
    sentences_of=_schema_sentences,
)


# ---- Files: tables of each form, recognised by content, not by name.

# Columns that are read, and those of the bundled lists, WSC and BLiMP that are not needed.
_COLUMNS = (
    *KIND, *ID, *PHENOMENON, *FIELD, *DISTANCE, *ATTRACTORS, *GOOD, *BAD, *SENTENCE_COLUMNS,
    *RIGHT, *WRONG, *POSITION, *SCHEMA_COLUMNS, *OPTION_1, *OPTION_2, *OPTIONS, *ANSWER,
    "number", "pronoun", "pronoun_loc", "quote", "quote_loc", "source", "nouns",
)  # fmt: skip
_OF_BLIMP = re.compile(
    "(simple_LM|(one|two)_prefix)_.*|lexically_identical|crucial_item|dependency_length"
)
FORMATS = (SENTENCES, WINOGRAD, TEMPLATES)
DEFAULT_KIND = "pairs"
SHOWN_COLUMNS = 12  # in a message
_HINT = (
    "pairs need the columns good and bad (or BLiMP's sentence_good, sentence_bad); Winograd "
    "schemas sentence, option1, option2, answer; "
    "agreement templates sentence, verb_index, right, wrong"
)


def read_pairs(source: str | Path, encoding_errors: str = "strict", strip: bool = False) -> TestSet:
    """Read minimal pairs. A row that cannot be read becomes a pair whose `problem` holds the
    reason.

    Args:
        source: A file, a glob, a folder, whose tables and JSON files are read, or a bundled list:
            agreement, homophones or recency.
        encoding_errors: Invalid UTF-8 is an error ("strict"), or becomes U+FFFD ("replace").
        strip: Reduce white space to one space between words, and none at the ends of a sentence.

    Returns:
        The pairs, in the order of the files.

    Raises:
        TextError: A file does not exist, cannot be read or is not in the format that it claims, or
            files of different formats are mixed.
    """
    check_path(source, "read_pairs: the source")
    names = files_of(os.fspath(source))
    pairs: list[Pair] = []
    first_format = ""
    for name in names:
        kind = Path(without_suffix(name)).stem if len(names) > 1 else DEFAULT_KIND
        read = _read(name, kind, encoding_errors, strip)
        first_format = first_format or read.format
        if read.format != first_format:
            raise TextError(
                f"{source} mixes formats",
                f"{names[0]} holds {first_format}, {name} {read.format}",
                "name them one by one",
            )
        pairs.extend(read.pairs)
    return TestSet(first_format, tuple(pairs))


def files_of(source: str) -> list[str]:
    """Return the files that :func:`read_pairs` reads: one that is named, a bundled list, or those
    of a folder. TextError: there are none."""
    if source.startswith(sources.HUB):
        raise TextError(
            "pairs are read from files",
            f"{source} is a data set of the hub",
            "download it, and name its files",
        )
    if not os.path.isdir(source):  # unlike Path.is_dir, also of a name that is too long
        return sources.expand((str(corpora.list_named(source)),))
    files = [path for path in Path(source).iterdir() if path.is_file()]
    # Any other file in the folder, such as a README, is no list.
    paths = sorted(str(path) for path in files if tables.kind_of(path.name))
    if not paths:
        raise TextError(
            f"{source} holds no pairs",
            "it is a folder without tables or JSON files",
            "the names of tables end in " + ", ".join(tables.SUFFIXES),
        )
    return paths


def _read(source: str, kind: str, errors: str, strip: bool) -> TestSet:
    # A file may be one JSON object as a whole.
    table = tables.kind_of(source) or _sniffed(source, errors)
    value = _json_value(source, errors) if table == tables.JSON_LINES else None
    if isinstance(value, dict):
        rows = [tables.Row(source, value)]
    else:
        rows = list(tables.rows(source, table, errors))
    if strip:
        rows = [row._replace(values=_spaced(row.values)) for row in rows]
    if not rows:
        raise TextError(f"{source} holds no pairs")
    format = _format(source, rows)
    all_names = itertools.chain.from_iterable(row.values for row in rows)
    names = itertools.filterfalse(_OF_BLIMP.fullmatch, filter(None, all_names))
    tables.tell_unread(source, names, _COLUMNS, _FOR_KIND)
    return TestSet(format.name, tuple(pair_of(row.values, format, kind, row.where) for row in rows))


def _spaced(value: Any) -> Any:
    """Return the content of JSON or a table with its texts single-spaced."""
    if isinstance(value, str):
        return single_spaced(value)
    if isinstance(value, dict):
        return {name: _spaced(element) for name, element in value.items()}
    return list(map(_spaced, value)) if isinstance(value, list) else value


def _sniffed(source: str, errors: str) -> str:
    """Return the kind of table that the file begins like."""
    with opened(source, errors=errors) as stream:
        begins = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return tables.JSON_LINES if begins[:1] in (b"{", b"[") else tables.TSV


def _json_value(source: str, errors: str) -> object:
    """Return the file's value if it is one JSON value as a whole, else None."""
    import msgspec

    with opened(source, errors=errors) as stream:
        data = stream.read(tables.LARGEST_VALUE + 1)
    if len(data) > tables.LARGEST_VALUE:  # JSON-lines, perhaps
        return None
    try:
        return msgspec.json.decode(decode(data, source, 1, errors).removeprefix("\ufeff"))
    except (msgspec.DecodeError, RecursionError):
        return None


def _format(source: str, rows: Sequence[tables.Row]) -> RowFormat:
    in_order: dict[str, None] = {}
    for row in rows:
        in_order.update(dict.fromkeys(name for name in row.values if name is not None))
    columns = set(in_order)
    why = columns_in_words(list(in_order)[:SHOWN_COLUMNS])
    # A table may have a column that another format would need. So the first format all of whose
    # columns are there is taken, or else the first that fits; its missing columns are named.
    fitting = [format for format in FORMATS if format.fits(columns)]
    complete = [format for format in fitting if format.is_complete(columns)]
    format = next(iter(complete or fitting), None)
    if format is None:
        raise TextError(f"{source} does not have the columns of a list of pairs", why, _HINT)
    for names in format.needed:
        if columns.isdisjoint(names):
            raise TextError(f"{source} has no column {names[0]!r}", why, _HINT)
    return format
