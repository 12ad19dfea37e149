"""The signature of a figure of labels: what was counted, by which convention, on which data, for which model."""

from dataclasses import dataclass, fields

from rnnlm.errors import UsageError


@dataclass(frozen=True)
class LabelSignature:
    """The parts of a signature, in the order they are printed; empty ones are left out. figure: f1, accuracy, ...; column: which labels,
    where the data has several; mode and scheme: of spans; data: the hash of words and labels; model: its fingerprint."""

    figure: str
    column: str = ""
    mode: str = ""  # conlleval | strict
    scheme: str = ""  # iob1 | bio | bioes
    data: str = ""
    model: str = ""

    def __str__(self) -> str:
        parts = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        return "|".join([_escaped(self.figure), *(f"{name}:{_escaped(value)}" for name, value in parts if value)])

    @classmethod
    def parse(cls, text: str) -> "LabelSignature":
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature of labels.
        """
        figure, *parts = text.split("|")
        values = dict(part.partition(":")[::2] for part in parts)
        if not figure or ":" in figure or not set(values) <= {field.name for field in fields(cls)[1:]}:
            raise UsageError(f"not a signature of labels: {text!r}")
        return cls(_read(figure), **{name: _read(value) for name, value in values.items()})

    def differing(self, other: "LabelSignature") -> list[str]:
        """The names of parts by which the two figures are not of the same thing: none where they compare. Models may differ."""
        return [field.name for field in fields(self) if field.name != "model" and getattr(self, field.name) != getattr(other, field.name)]


def _escaped(value: str) -> str:
    """Columns are named by people; what divides the parts is written as URLs do."""
    return value.replace("%", "%25").replace("|", "%7C").replace(":", "%3A")


def _read(value: str) -> str:
    return value.replace("%3A", ":").replace("%7C", "|").replace("%25", "%")
