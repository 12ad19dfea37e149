"""The formulas of SyntaxGym's predictions, such as "(2;%mismatch%) > (2;%match%)": relations of surprisals of regions.

Numbers, + and -, the comparisons <, > and =, joined by & and |, in parentheses or brackets. Python's own parser reads the
formula; only what is named here is then accepted, and nothing is ever evaluated as Python.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rnnlm.errors import TextError

LONGEST = 2000  # characters
MOST_PARTS = 500  # nodes of the tree: who follows it needs a call for each level
TIE_BITS = 2e-4
CLOSE, RELATIVELY_CLOSE = 1e-3, 1e-5  # how near surprisals are that = takes for equal, as in syntaxgym-core
_REFERENCE = re.compile(r"\(\s*(\d{1,6}|\*)\s*;\s*%([^%]+)%\s*\)")
_REST = re.compile(r"[\d\s.+\-<>=&|()\[\]]*")
_TO_PYTHON = str.maketrans({"[": "(", "]": ")", "&": " and ", "|": " or "})


@dataclass(frozen=True)
class Reference:
    """The surprisal of a region of a condition; region None: of all its regions."""

    region: int | None
    condition: str

    def __str__(self) -> str:
        return f"({'*' if self.region is None else self.region};%{self.condition}%)"


Surprisals = Mapping[Reference, float]
_Value = Callable[[Surprisals], float]


@dataclass(frozen=True)
class Formula:
    """A relation that is to hold. truth_of: 1 where it holds for such surprisals (bits), 0 where not, 0.5 where that hangs on a < or >
    between equal ones (within TIE_BITS); & is the least, | the greatest of its sides. It raises ArithmeticError where infinite ones cancel.
    """

    text: str
    references: tuple[Reference, ...]
    truth_of: _Value


def parse(text: str) -> Formula:
    """The formula written as `text`.

    Raises:
        TextError: it is none.
    """
    if len(text) > LONGEST:
        raise _no_formula(text, f"it is longer than {LONGEST} characters")
    if not _REST.fullmatch(_REFERENCE.sub(" ", text)):
        raise _no_formula(text, "it holds more than regions, numbers, + - < > = & | and parentheses")
    references: dict[str, Reference] = {}

    def named(match: re.Match[str]) -> str:
        name = f"r{len(references)}"
        references[name] = Reference(None if match[1] == "*" else int(match[1]), match[2])
        return f" {name} "

    python = re.sub("=+", "==", _REFERENCE.sub(named, text).translate(_TO_PYTHON)).strip()
    try:
        tree = ast.parse(f"({python})", mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
            raise _no_formula(text, f"it has more than {MOST_PARTS} parts")
        return Formula(text, tuple(references.values()), _truth(tree, references))
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        raise _no_formula(text, "it is not a relation of surprisals, as (2;%mismatch%) > (2;%match%)") from None


def _no_formula(text: str, why: str) -> TextError:
    shown = text if len(text) <= 80 else f"{text[:80]}..."
    return TextError(f"not a formula: {shown}", why)


def _truth(node: ast.expr, references: Mapping[str, Reference]) -> _Value:
    """A comparison, or several joined by & or |.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(node, ast.BoolOp):
        sides = [_truth(side, references) for side in node.values]
        chosen = min if isinstance(node.op, ast.And) else max
        return lambda values: chosen(side(values) for side in sides)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _value(node.left, references), _value(node.comparators[0], references)
        if isinstance(node.ops[0], ast.Gt):
            return lambda values: _greater(left(values), right(values))
        if isinstance(node.ops[0], ast.Lt):
            return lambda values: _greater(right(values), left(values))
        if isinstance(node.ops[0], ast.Eq):
            return lambda values: _close(left(values), right(values))
    raise ValueError("no relation")


def _value(node: ast.expr, references: Mapping[str, Reference]) -> _Value:
    """A surprisal, a number, or sums and differences of them.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(node, ast.Name):
        reference = references[node.id]
        return lambda values: values[reference]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        number = float(node.value)
        return lambda values: number
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _value(node.operand, references)
        return lambda values: -operand(values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = 1 if isinstance(node.op, ast.Add) else -1
        left, right = _value(node.left, references), _value(node.right, references)
        return lambda values: _sum(left(values), sign * right(values))
    raise ValueError("no value")


def _sum(left: float, right: float) -> float:
    if math.isinf(left) and left == -right:
        raise ArithmeticError("surprisals of probability zero cancel each other")
    return left + right


def _greater(left: float, right: float) -> float:
    if left == right or abs(left - right) <= TIE_BITS:
        return 0.5
    return float(left > right)


def _close(left: float, right: float) -> float:
    return float(left == right or abs(left - right) <= CLOSE + RELATIVELY_CLOSE * abs(right))
