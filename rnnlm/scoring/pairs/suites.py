"""SyntaxGym's test suites: items in several conditions, cut into regions, and predictions about the
regions' surprisals.

Format: Gauthier, Hu, Wilcox, Qian & Levy (2020), SyntaxGym; suites: Hu et al. (2020), arXiv
2005.03692. A region's surprisal is the sum over its tokens, each given all that comes before it.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from rnnlm.errors import TextError
from rnnlm.interface import LanguageModel
from rnnlm.scoring.pairs.scoring import ReadLines, Unscorable, checked_line, read_lines

# ---- The formulas of SyntaxGym's predictions, such as "(2;%mismatch%) > (2;%match%)": relations of
# surprisals of regions.
#
# Numbers, + and -, the comparisons <, > and =, joined by & and |, in parentheses or brackets.
# Python's own parser reads the formula; only what is named here is then accepted, and nothing is
# ever evaluated as Python.

LONGEST = 2000  # characters
MOST_PARTS = 500  # nodes of the tree: following it takes a call for each level
TIE_BITS = 2e-4
# How near surprisals are that = takes for equal, as in syntaxgym-core
CLOSE, RELATIVELY_CLOSE = 1e-3, 1e-5
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
    """A relation that is to hold. truth_of: 1 where it holds for such surprisals (bits), 0 where
    not, 0.5 where that hangs on a < or > between equal ones (within TIE_BITS); & is the least, |
    the greatest of its sides. It raises ArithmeticError where infinite ones cancel.
    """

    text: str
    references: tuple[Reference, ...]
    truth_of: _Value


def parse(text: str) -> Formula:
    """Return the formula written as `text`. TextError: it is none."""
    # Nothing but what a formula may hold.
    if len(text) > LONGEST:
        raise _no_formula(text, f"it is longer than {LONGEST} characters")
    if not _REST.fullmatch(_REFERENCE.sub(" ", text)):
        raise _no_formula(
            text, "it holds more than regions, numbers, + - < > = & | and parentheses"
        )

    # The regions become names of Python, and the signs its operators.
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
        raise _no_formula(
            text, "it is not a relation of surprisals, as (2;%mismatch%) > (2;%match%)"
        ) from None


def _no_formula(text: str, why: str) -> TextError:
    shown = text
    if len(text) > 80:
        shown = f"{text[:80]}..."
    return TextError(f"not a formula: {shown}", why)


def _truth(node: ast.expr, references: Mapping[str, Reference]) -> _Value:
    """Return the truth of a comparison, or of several joined by & or |. ValueError: it is
    neither."""
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
    """Return the value of a surprisal, of a number, or of sums and differences of them. ValueError:
    it is none of these."""
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


# ---- Suites as files hold them, and as they are scored.

METRIC = "sum"


class _Region(msgspec.Struct):
    region_number: int
    content: str = ""


class _Condition(msgspec.Struct):
    condition_name: str
    regions: list[_Region]


class _Item(msgspec.Struct):
    item_number: int | str
    conditions: list[_Condition]


class _Prediction(msgspec.Struct):
    formula: str
    type: str = "formula"


class _Meta(msgspec.Struct):
    name: str = ""
    metric: str = METRIC
    string_predictions: list[str] = []


class _Suite(msgspec.Struct):
    items: list[_Item]
    predictions: list[_Prediction] = []
    meta: _Meta = msgspec.field(default_factory=_Meta)


@dataclass(frozen=True)
class Item:
    """One item: the contents of its regions by number, by condition."""

    number: str
    conditions: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Suite:
    """A test suite."""

    name: str
    formulas: tuple[Formula, ...]
    items: tuple[Item, ...]
    where: str = ""


@dataclass(frozen=True)
class PredictionLabels:
    """Labels that predictions are grouped by: the suite, with the prediction's number where it has
    several."""

    kind: str


@dataclass(frozen=True)
class PredictionScore:
    """A prediction about an item, scored. point: 1 where it holds, 0 where not, nor where it hangs
    on a tie (< and > are strict in SyntaxGym); None, with the reason, where that is not known.

    surprisal_bits: those of the regions that it names; None where infinite.
    """

    suite: str
    item: str
    formula: Formula
    labels: PredictionLabels
    point: float | None
    is_tie: bool = False
    has_oov: bool = False
    surprisal_bits: Mapping[Reference, float | None] | None = None
    reason: str | None = None
    where: str = ""

    @property
    def is_identical(self) -> bool:
        """Never: regions are compared, not sentences."""
        return False


def is_suite(value: object) -> bool:
    """Return whether what a JSON file holds is meant to be a suite."""
    if not isinstance(value, dict) or "items" not in value:
        return False
    return "predictions" in value or "region_meta" in value


def suite_of(value: object, where: str, name: str) -> Suite:
    """Make a suite of what JSON holds; `name`: where it has none. TextError: it is not one: a field
    is missing, a formula cannot be read or names a region that no item has."""
    try:
        stored = msgspec.convert(value, _Suite, strict=False)
    except msgspec.ValidationError as error:
        raise TextError(f"{where} is not a test suite", str(error)) from None
    if stored.meta.metric != METRIC:
        raise TextError(
            f"{where}: the metric {stored.meta.metric!r} is not known",
            f"regions are measured by the {METRIC} of surprisals",
        )
    for prediction in stored.predictions:
        if prediction.type != "formula":
            raise TextError(
                f"{where}: a prediction of type {prediction.type!r} is not known",
                hint="write it as a formula",
            )

    # Older suites have their predictions among the facts about the suite.
    texts = [prediction.formula for prediction in stored.predictions]
    if not texts:
        texts = stored.meta.string_predictions
    if not texts or not stored.items:
        raise TextError(f"{where} holds no {'items' if texts else 'predictions'}")
    formulas = tuple(_formula(text, where) for text in texts)
    items = tuple(_item(item, where) for item in stored.items)
    for formula in formulas:
        _check_references(formula, items, where)
    return Suite(stored.meta.name or name, formulas, items, where)


def _formula(text: str, where: str) -> Formula:
    try:
        return parse(text)
    except TextError as error:
        raise TextError(f"{where}: {error.what}", error.why) from None


def _item(stored: _Item, where: str) -> Item:
    conditions: dict[str, dict[int, str]] = {}
    for condition in stored.conditions:
        regions = {region.region_number: region.content for region in condition.regions}
        if len(regions) < len(condition.regions) or condition.condition_name in conditions:
            raise TextError(
                f"{where}, item {stored.item_number}, condition {condition.condition_name!r}: "
                "duplicate number or name"
            )
        conditions[condition.condition_name] = regions
    return Item(str(stored.item_number), conditions)


def _check_references(formula: Formula, items: Sequence[Item], where: str) -> None:
    for reference in formula.references:
        if not any(_has(item, reference) for item in items):
            raise TextError(
                f"{where}: no item has the region {reference}", f"the prediction {formula.text}"
            )


def _has(item: Item, reference: Reference) -> bool:
    regions = item.conditions.get(reference.condition)
    return regions is not None and (reference.region is None or reference.region in regions)


def score_suite(
    model: LanguageModel, suite: Suite, special_symbols: str = "error"
) -> list[PredictionScore]:
    """Score each prediction of a suite on each of its items."""
    # Each item is read once, whatever predictions there are.
    several = len(suite.formulas) > 1
    scores = []
    surprisals = [_surprisals(model, item, special_symbols) for item in suite.items]
    for number, formula in enumerate(suite.formulas, start=1):
        kind = f"{suite.name}, prediction {number}" if several else suite.name
        labels = PredictionLabels(kind)
        for item, found in zip(suite.items, surprisals, strict=True):
            scores.append(_prediction_score(suite, item, formula, labels, found))
    return scores


def _prediction_score(
    suite: Suite,
    item: Item,
    formula: Formula,
    labels: PredictionLabels,
    found: "dict[Reference, _Surprisal] | str",
) -> PredictionScore:
    score = PredictionScore(
        suite.name, item.number, formula, labels, None, where=f"{suite.where}, item {item.number}"
    )
    if isinstance(found, str):
        return replace(score, reason=found)
    for reference in formula.references:
        if reference not in found:
            return replace(score, reason=f"it has no region {reference}")

    # What is known of it, whether it can be judged or not.
    bits, finite, has_oov = {}, {}, False
    for reference in formula.references:
        each = found[reference]
        bits[reference] = each.bits
        finite[reference] = each.bits if math.isfinite(each.bits) else None
        has_oov = has_oov or each.has_oov
    score = replace(score, has_oov=has_oov, surprisal_bits=finite)
    try:
        truth = formula.truth_of(bits)
    except ArithmeticError as problem:
        return replace(score, reason=str(problem))
    return replace(score, point=float(truth == 1), is_tie=truth == 0.5)


@dataclass(frozen=True)
class _Surprisal:
    bits: float
    has_oov: bool  # in the sentence up to the region's end


def _surprisals(
    model: LanguageModel, item: Item, special_symbols: str
) -> dict[Reference, _Surprisal] | str:
    """Return the surprisals of all regions of an item, and of all regions of a condition; or why
    there are none."""
    # A line for each condition, and what it is up to the end of each region.
    heads: list[list[str]] = []
    try:
        for regions in item.conditions.values():
            head, heads_here = "", []
            for number in sorted(regions):
                content = checked_line(regions[number].strip(), special_symbols)
                head = f"{head} {content}" if head and content else head or content
                heads_here.append(head)
            heads.append(heads_here)
        read = read_lines(model, [parts[-1] if parts else "" for parts in heads])
        found: dict[Reference, _Surprisal] = {}
        for line, (name, regions) in enumerate(item.conditions.items()):
            borders = _borders(read, line, heads[line])
            for number, start, stop in zip(sorted(regions), borders, borders[1:], strict=False):
                found[Reference(number, name)] = _surprisal(read, line, start, stop)
            found[Reference(None, name)] = _surprisal(read, line, 0, borders[-1])
        return found
    except Unscorable as problem:
        return str(problem)


def _surprisal(read: ReadLines, line: int, start: int, stop: int) -> _Surprisal:
    nats = read.logprob_nats(line, start, stop)
    return _Surprisal(max(0.0, -nats / math.log(2)), bool(read.oov(line, stop)))


def _borders(read: ReadLines, line: int, heads: list[str]) -> list[int]:
    """Return at which tokens of a line the regions that add up to it begin and end; `heads`: the
    line up to each region's end. Unscorable: a token reaches over the border of two regions."""
    if not heads:
        return [0]
    whole = read.encoded.ids[read.encoded.offsets[line] :]
    parts = read.tokenizer.encode(heads)
    # Each head must be the first tokens of the line.
    borders = [0]
    for number in range(len(heads)):
        ids = parts.ids[parts.offsets[number] : parts.offsets[number + 1] - 1]
        if not np.array_equal(whole[: len(ids)], ids):
            raise Unscorable("a token reaches over the border of two regions")
        borders.append(len(ids))
    return borders
