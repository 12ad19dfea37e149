"""Edit scripts lead from any word to its lemma, alike for words that inflect alike."""

import re

import pytest
from hypothesis import example, given, strategies

from rnnlm.errors import TextError
from rnnlm.tasks.labelling.formats.edit_scripts import apply, script

ANY = strategies.text(strategies.characters(), max_size=12)  # surrogates, too
# words that share letters, and the characters of scripts
ALIKE = strategies.text("abAB ;|=+-$^\\ßİ", max_size=8)


@given(ANY | ALIKE, ANY | ALIKE)
@example("", "")
@example("a", "")
@example("", "a|b;\t c")
@example("\\x41", "\\x41b")
@example("x" * 5000 + "s", "X" * 5000)
def test_a_script_turns_a_word_into_its_lemma(form, lemma):
    found = script(form, lemma)
    assert apply(found, form) == lemma
    assert found and found.isascii() and not re.search(r"[\s|]", found)


@pytest.mark.parametrize(("pairs", "same"), [
    ("the the  The the  , ,  1990 1990", "lower"), ("Rome Rome  iPhone iPhone  NATO NATO", "keep"),
    ("ROME Rome  PAris Paris", "title"), ("forces force  Forces force  CARS car", "lower;$-1"),
    ("Americans American", "keep;$-1"), ("tries try  Flies fly", "lower;$-3+y"),
    ("drank drink  sprang spring", "lower;$2-1+i"),
    ("gemacht machen  gelegt legen", "lower;^-2;$-1+en"), ("is be  was be  Are be", "=be"),
    ("5s 5  As a", "lower;$-1"), ("wo will", "=will"), ("Häuser Haus", "keep;^1-1+a;$-2"),
    ("Bäume Baum  Räume Raum", "keep;^1-1+a;$-1"), ("дома домы", "lower;$-1+\\u044b"),
])  # fmt: skip
def test_words_that_inflect_alike_have_one_script(pairs, same):
    assert {script(*pair.split()) for pair in pairs.split("  ")} == {same}


@pytest.mark.parametrize(("form", "edits", "becomes"), [
    ("Is", "lower;$-3+y", "is"), ("Is", "keep;$-2", "Is"), ("Abc", "keep;^-2;$-2", "Abc"),
    ("abc", "upper;^9+x", "ABC"),
])  # fmt: skip
def test_a_word_too_short_is_only_cased(form, edits, becomes):
    assert apply(edits, form) == becomes


@pytest.mark.parametrize(
    "label", "|NOUN|lower;|lower;-3|lower;$-x|=\\x4|=é|lower;$-3+\\".split("|")
)
def test_a_label_that_is_no_script_is_told(label):
    with pytest.raises(TextError, match="is not an edit script"):
        apply(label, "word")
