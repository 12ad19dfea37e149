import math

import pytest

from rnnlm.errors import TextError
from rnnlm.scoring.pairs.suites import Reference, parse

BITS = {
    Reference(1, "a"): 2.0,
    Reference(2, "a"): 5.0,
    Reference(1, "b"): 3.0,
    Reference(None, "a"): 7.0,
    Reference(2, "b-c_d"): 3.0,
}


@pytest.mark.parametrize("text, truth", [
    ("(1;%b%) > (1;%a%)", 1), ("(1;%b%) < (1;%a%)", 0), ("(1;%b%)>(2;%b-c_d%)", 0.5),
    ("(2;%a%) - (1;%a%) > 2.9", 1),
    ("(2;%a%) - (1;%a%) - (1;%a%) > 2", 0), ("(*;%a%) = (1;%a%) + (2;%a%)", 1),
    ("(1;%a%) + 0.0005 = 2", 1), ("(1;%a%) + 0.01 = 2", 0),
    ("-(1;%a%) < 0", 1), ("(1;%a%) == 2", 1), ("(1;%a%) < (2;%a%) & (1;%a%) > (2;%a%)", 0),
    ("(1;%a%) < (2;%a%) | (1;%a%) > (2;%a%)", 1),
    ("[(1;%a%) < (2;%a%)] & [(1;%b%) > (2;%b-c_d%)]", 0.5),
    ("((1;%a%) > 9 | (1;%a%) < 9) & (1;%b%) > 0", 1),
    ("( 1 ; %a% ) < ((2;%a%) - ((1;%b%) - 1))", 1),
])  # fmt: skip
def test_formulas_hold_or_not(text, truth):
    assert parse(text).truth_of(BITS) == truth


def test_what_is_spoken_of_is_known():
    assert parse("(1;%a%) > (*;%x y%) + (1;%a%)").references == (
        Reference(1, "a"),
        Reference(None, "x y"),
        Reference(1, "a"),
    )
    assert str(Reference(None, "x")) == "(*;%x%)" and str(Reference(3, "x")) == "(3;%x%)"


@pytest.mark.parametrize("text", [
    "", "(1;%a%)", "1 2", "(1;%a%) >", "(1;%a%) > (1;%b%) > 2", "(1;%a%) & (1;%b%)",
    "((1;%a%) > 1) + 1 > 0", "(1;%a%) * 2 > 1",
    "r0 > 1", "__import__('os').system('true') > (1;%a%)", "(1;%a%) > 9**9**9", "(1;a) > 1",
    "(1;%a%) <= 2", "(1;%a%)(2) > 1",
    "(" * 1500 + "1" + ")" * 1500 + " > 0", "-" * 1900 + "1 > 0", "1" * 5000 + "> 0", "[1, 2] > 0",
    "(1;%a%) > 1e400", "not 1 > 2",
    "()",
], ids=lambda text: text[:30])  # fmt: skip
def test_anything_else_is_an_error(text):
    with pytest.raises(TextError, match="not a formula"):
        parse(text)


def test_infinite_surprisals_compare_but_do_not_cancel():
    infinite = {**BITS, Reference(1, "a"): math.inf, Reference(2, "a"): math.inf}
    assert parse("(1;%a%) > (1;%b%)").truth_of(infinite) == 1
    assert parse("(1;%a%) > (2;%a%)").truth_of(infinite) == 0.5
    with pytest.raises(ArithmeticError, match="probability zero"):
        parse("(1;%a%) - (2;%a%) > 0").truth_of(infinite)
