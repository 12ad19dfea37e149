"""What the rows of every table of pairs may hold beside the sentences: an id, and what results are grouped by."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm.errors import shown
from rnnlm.scoring.pairs.pair import Pair
from rnnlm.text.lines import is_blank

Values = Mapping[str, Any]
KIND = ("kind", "paradigm", "UID")
ID = ("id", "pair_id", "pairID", "qID", "sentid")
PHENOMENON = ("phenomenon", "linguistics_term")
DISTANCE = ("distance",)
FIELD = ("field",)
ATTRACTORS = ("attractors", "n_attractors", "n_attr", "n_diff_intervening")


class RowProblem(Exception):
    """Why a row gives no pair."""


@dataclass(frozen=True)
class RowFormat:
    """A kind of table. fits: whether a table with such columns is meant to be one. needed: columns that it must have, each by any
    of its names. sentences_of: good and bad sentence of a row."""

    name: str
    scoring: str
    fits: Callable[[set[str]], bool]
    needed: tuple[tuple[str, ...], ...]
    sentences_of: Callable[[Values], tuple[str, str]]


def pair_of(values: Values, format: RowFormat, kind: str, where: str) -> Pair:
    """The pair of a row; `kind`: where the row names none. What a row lacks is the pair's `problem`."""
    kind, id = _label(values, KIND) or kind, _label(values, ID)
    try:
        if None in values:
            raise RowProblem("it has more cells than columns")
        good, bad = format.sentences_of(values)
        return Pair(
            kind, good, bad, id, _label(values, PHENOMENON), _field(values), _label(values, ("number",)),
            whole_number(values, DISTANCE), whole_number(values, ATTRACTORS), format.scoring, where,
        )  # fmt: skip
    except RowProblem as problem:
        return Pair(kind, "", "", id, scoring=format.scoring, where=where, problem=str(problem))


def text(values: Values, names: Sequence[str]) -> str:
    """The text in the first of these columns that the row has.

    Raises:
        RowProblem: it has none, or one without words.
    """
    name = named(values, names)
    value = values.get(name)
    if value is None:
        raise RowProblem(f"{name} is missing")
    if not isinstance(value, str):
        raise RowProblem(f"{name} is not text")
    if is_blank(value.replace("\n", " ")):
        raise RowProblem(f"{name} is missing")
    return value


def as_text(value: Any) -> str:
    """What a cell holds, as text; of a list or an object, however deeply nested, no more than is needed to know it."""
    return shown(value) if isinstance(value, (list, dict)) else str(value)


def named(columns: Any, names: Sequence[str]) -> str:
    """The first of `names` that is a column; where none is, the first."""
    return next((name for name in names if name in columns), names[0])


def has(columns: set[str], names: Sequence[str]) -> bool:
    return not columns.isdisjoint(names)


def _label(values: Values, names: Sequence[str]) -> str | None:
    value = next((values[name] for name in names if values.get(name) not in (None, "")), None)
    return None if value is None else as_text(value)


def _field(values: Values) -> str | None:
    """BLiMP writes one of its fields in two ways."""
    field = _label(values, FIELD)
    return "syntax/semantics" if field == "syntax_semantics" else field


def whole_number(values: Values, names: Sequence[str]) -> int | None:
    """The number in the first of these columns that holds anything.

    Raises:
        RowProblem: it is no whole number.
    """
    value = _label(values, names)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.0*)?", value.strip()):  # 3.0, as columns with gaps are written
        raise RowProblem(f"{named(values, names)} is not a whole number")
    return int(float(value))
