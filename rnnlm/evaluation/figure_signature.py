"""The signature of a figure of a task: what was counted, by which convention, on which data, for which model."""

from dataclasses import dataclass, fields
from typing import ClassVar, Self

from rnnlm.errors import UsageError


@dataclass(frozen=True)
class FigureSignature:
    """What signatures of figures have in common: the figure, and parts with names, of which empty ones are left out."""

    figure: str
    of_what: ClassVar[str]  # labels, translations
    may_differ: ClassVar[frozenset[str]] = frozenset({"model"})  # parts by which figures that compare may differ

    def __str__(self) -> str:
        parts = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        return "|".join([_escaped(self.figure), *(f"{name}:{_escaped(value)}" for name, value in parts if value)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature of this kind.
        """
        figure, *parts = text.split("|")
        values = dict(part.partition(":")[::2] for part in parts)
        if not figure or ":" in figure or not set(values) <= {field.name for field in fields(cls)[1:]}:
            raise UsageError(f"not a signature of {cls.of_what}: {text!r}")
        return cls(_read(figure), **{name: _read(value) for name, value in values.items()})

    def differing(self, other: Self) -> list[str]:
        """The names of parts by which the two figures are not of the same thing: none where they compare."""
        names = [field.name for field in fields(self) if field.name not in self.may_differ]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def _escaped(value: str) -> str:
    """Columns are named by people; what divides the parts is written as URLs do."""
    return value.replace("%", "%25").replace("|", "%7C").replace(":", "%3A")


def _read(value: str) -> str:
    return value.replace("%3A", ":").replace("%7C", "|").replace("%25", "%")
