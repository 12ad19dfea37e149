"""What every look at a model gives: tables, a sentence that says what they mean, all of it as JSON, a picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table of rows, each with a cell for every column: text, numbers, truth values, or None where there is nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: str = ""


class Inspection(Protocol):
    """What the functions `rnnlm.inspect_...` return."""

    @property
    def verdict(self) -> str:
        """What the figures mean: a sentence, or one for each model, between newlines."""

    def tables(self) -> Sequence[Table]:
        """The figures as people read them."""

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON can hold them."""

    def figure(self) -> "Figure":
        """The picture."""


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays and tensors become lists, numbers that are not finite None, keys text."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
