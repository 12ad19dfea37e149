"""Winograd schemas (Levesque, Davis & Morgenstern 2012): a sentence with a blank or a pronoun, what it may stand for, the answer.

As WinoGrande has them (sentence with `_`, option1, option2, answer) and as the WSC data set (text, pronoun, pronoun_loc, options,
label). Scored by what follows the option (Trinh & Le 2018, arXiv 1806.02847).
"""

import re
from typing import Any

from rnnlm.errors import shown
from rnnlm.scoring.pairs.formats import RowFormat, RowProblem, Values, as_text, has, text
from rnnlm.scoring.pairs.pair import PARTIAL

SCHEMA_COLUMNS = ("sentence", "text")
OPTION_1, OPTION_2 = ("option1", "option_1", "option_a"), ("option2", "option_2", "option_b")
OPTIONS, ANSWER = ("options",), ("answer", "label")
_NEEDED = (SCHEMA_COLUMNS, OPTION_1 + OPTIONS, OPTION_2 + OPTIONS, ANSWER)
_BLANK = re.compile(r"(?<!\w)_+(?!\w)")
_ANSWERS = {"1": 0, "2": 1, "a": 0, "b": 1}
_ARTICLES = {"The", "A", "An"}


def fits(columns: set[str]) -> bool:
    return has(columns, SCHEMA_COLUMNS) and has(columns, OPTIONS + OPTION_1 + OPTION_2)


def sentences_of(values: Values) -> tuple[str, str]:
    """The sentence with the right option, and with the wrong one.

    Raises:
        RowProblem: a part is missing, or it is not clear where the options go.
    """
    sentence, options = text(values, SCHEMA_COLUMNS), _options(values)
    right = _answer(values, options)
    start, stop = _place(values, sentence)
    good, bad = options[right], options[1 - right]
    return _filled(sentence, start, stop, good), _filled(sentence, start, stop, bad)


def _options(values: Values) -> tuple[str, str]:
    if "options" not in values:
        return text(values, OPTION_1), text(values, OPTION_2)
    options = values["options"]
    if not isinstance(options, list) or len(options) != 2 or not all(isinstance(option, str) and option.strip() for option in options):
        raise RowProblem("options are not two texts")
    return options[0], options[1]


def _answer(values: Values, options: tuple[str, str]) -> int:
    """Which option is right: 0 or 1."""
    label: Any = values.get("label")
    if values.get("answer") in (None, ""):
        if as_text(label) not in ("0", "1"):
            raise RowProblem("answer is missing" if label in (None, "") else f"label is {shown(label)}, neither 0 nor 1")
        return int(label)
    answer = as_text(values["answer"]).strip()
    if answer in options and options[0] != options[1]:
        return options.index(answer)
    if answer.lower().rstrip(".") not in _ANSWERS:
        raise RowProblem(f"answer is {answer!r}, neither 1 nor 2, nor an option")
    return _ANSWERS[answer.lower().rstrip(".")]


def _place(values: Values, sentence: str) -> tuple[int, int]:
    """Where the blank or the pronoun stands in the sentence."""
    pronoun = values.get("pronoun")
    if pronoun in (None, ""):
        places, what = [match.span() for match in _BLANK.finditer(sentence)], "a blank (_)"
    else:
        places, what = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(as_text(pronoun))}(?!\w)", sentence)], "the pronoun"
        at = values.get("pronoun_loc")
        if at not in (None, ""):
            places = [place for place in places if str(place[0]) == as_text(at)]
    if len(places) != 1:
        raise RowProblem(f"{what} stands in the sentence {len(places)} times, not once")
    return places[0]


def _filled(sentence: str, start: int, stop: int, option: str) -> str:
    """The sentence with `option` from `start` to `stop`; its article is capitalised as its place has it."""
    first, space, rest = option.strip().partition(" ")
    if start == 0:
        first = first[:1].upper() + first[1:]
    elif first in _ARTICLES:
        first = first.lower()
    return f"{sentence[:start]}{first}{space}{rest}{sentence[stop:]}"


WINOGRAD = RowFormat("Winograd schemas", PARTIAL, fits, _NEEDED, sentences_of)
