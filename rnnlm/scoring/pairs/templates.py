"""Agreement templates in the style of Linzen, Dupoux & Goldberg (2016, arXiv 1611.01368): a sentence, the place of its verb, and
the verb's right and wrong form. What is compared is the verb, given what stands before it.
"""

import re

from rnnlm.scoring.pairs.formats import RowFormat, RowProblem, Values, has, named, text, whole_number
from rnnlm.scoring.pairs.pair import WORD
from rnnlm.text.lines import split_words

SENTENCE = ("sentence", "orig_sentence", "masked")
RIGHT = ("right", "right_form", "good_verb", "verb_good", "correct", "verb")
WRONG = ("wrong", "wrong_form", "bad_verb", "verb_bad", "incorrect", "wrong_verb")
POSITION = ("verb_index", "position", "verb_position")
_MASK = re.compile(r"\*\*\*mask\*\*\*|\[MASK\]|<mask>|(?<!\w)_+(?!\w)")


def fits(columns: set[str]) -> bool:
    return has(columns, SENTENCE) and (has(columns, RIGHT) or has(columns, WRONG))


def sentences_of(values: Values) -> tuple[str, str]:
    """Both sentences of a row; the verb's place is a mark in the sentence, or the number of a word, from 1.

    Raises:
        RowProblem: it has no such place, or a form is missing.
    """
    sentence, right, wrong = text(values, SENTENCE), text(values, RIGHT), text(values, WRONG)
    marks = list(_MASK.finditer(sentence))
    if len(marks) == 1:
        before, after = sentence[: marks[0].start()], sentence[marks[0].end() :]
        return f"{before}{right}{after}", f"{before}{wrong}{after}"
    if marks:
        raise RowProblem("several places of the verb are marked")
    words = split_words(sentence)
    place = _place(values, len(words))
    if words[place].lower() not in (right.lower(), wrong.lower()):
        raise RowProblem(f"word {place + 1} is {words[place]!r}, neither {right!r} nor {wrong!r}")
    good, bad = ([*words[:place], form, *words[place + 1 :]] for form in (right, wrong))
    return " ".join(good), " ".join(bad)


def _place(values: Values, words: int) -> int:
    """The place of the verb among the words, from 0."""
    if not has(set(values), POSITION):
        raise RowProblem("the verb's place is neither marked in the sentence nor given as verb_index")
    column, place = named(values, POSITION), whole_number(values, POSITION)
    if place is None:
        raise RowProblem(f"{column} is missing")
    if not 1 <= place <= words:
        raise RowProblem(f"{column} is {place}, but the sentence has {words} words")
    return place - 1


TEMPLATES = RowFormat("agreement templates", WORD, fits, (SENTENCE, RIGHT, WRONG), sentences_of)
