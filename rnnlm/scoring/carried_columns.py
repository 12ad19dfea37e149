"""Columns of a table of sentences that go with them into the table of their scores, such as an item and its condition."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rnnlm.errors import TextError, nearest, notice
from rnnlm.files.tables import Row

OWN = frozenset({
    "id", "text", "logprob_nats", "tokens", "words", "oov", "ppl_word", "reason", "surprisals", "word_surprisals", "regions", "position",
    "token", "word", "word_index", "start", "end", "surprisal_bits", "next_surprisal_bits", "entropy_bits", "log10_frequency", "region",
    "region_index", "next", "rank", "next_word", "probability", "models",
})  # fmt: skip
PREFIX = "input_"  # of a carried column that has the name of one of ours
SURROGATE = re.compile("[\ud800-\udfff]")


class CarriedColumns:
    """The columns that are carried through: those of the first table, so that all rows have the same.

    keep: their names; None: all but those that :meth:`begin_table` is told to leave out.
    """

    def __init__(self, keep: Sequence[str] | None) -> None:
        self._keep = keep
        self._shown: dict[str, str] | None = None  # name -> name in the result
        self._known: set[str] = set()
        self._source = ""

    def begin_table(self, source: str, names: Sequence[str], left_out: set[str], always: Sequence[str] = ()) -> None:
        """The next rows come from a table with columns of these names. always: those that are carried whatever is to be kept.

        Raises:
            TextError: one of those to keep is not among them.
        """
        for name in self._keep or ():
            if name not in names:
                raise TextError(f"{source}: no column {name!r}", "it is to be kept", nearest(name, names))
        self._source, self._known = source, {*names, *left_out}
        if self._shown is None:
            kept = [name for name in names if name not in left_out] if self._keep is None else dict.fromkeys([*always, *self._keep])
            self._shown = _renamed(list(kept))
            return
        if missing := [name for name in self._shown if name not in names]:
            notice(f"{source} does not have the columns {', '.join(missing)} of the first table: their cells are empty")
        if self._keep is None and (others := self._known - self._shown.keys() - left_out):
            notice(f"{source} has columns that the first table does not have; they are left out: {', '.join(sorted(others))}")

    def of(self, row: Row) -> dict[str, Any]:
        """What a row carries, by the names in the result."""
        if self._keep is None and (others := row.values.keys() - self._known - {None}):  # a JSON object may have any
            self._known |= {str(name) for name in others}
            names = ", ".join(sorted(map(str, others)))
            notice(f"{row.where} has columns that the first row does not have; they are left out: {names}")
        return {shown: clean(row.values.get(name)) for name, shown in (self._shown or {}).items()}


def _renamed(names: Sequence[str]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name in names:
        its = clean(name)
        while its in OWN or (its != name and its in names) or its in shown.values():
            its = PREFIX + its
        shown[name] = its
    if changed := [f"{name} is {its}" for name, its in shown.items() if name != its]:
        notice(f"columns with the names of those of scores are renamed in the result: {', '.join(changed)}")
    return shown


def clean(value: Any) -> Any:
    """`value` as it is shown, with U+FFFD for what is not UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(name): clean(its) for name, its in value.items()}
    return [clean(its) for its in value] if isinstance(value, list) else value


def in_json(value: Any) -> Any:
    """`value`, which a table may hold, in JSON's types: what is not a number is null; dates and the like are texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [in_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): in_json(each) for name, each in value.items()}
    return value if value is None or isinstance(value, (str, int)) else str(value)
