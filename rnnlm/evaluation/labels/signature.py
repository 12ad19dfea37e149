"""The signature of a figure of labels."""

from dataclasses import dataclass
from typing import ClassVar

from rnnlm.evaluation.figure_signature import FigureSignature


@dataclass(frozen=True)
class LabelSignature(FigureSignature):
    """The parts of a signature, in the order they are printed; empty ones are left out. figure: f1, accuracy, ...; column: which labels,
    where the data has several; mode and scheme: of spans; data: the hash of words and labels; model: its fingerprint."""

    of_what: ClassVar[str] = "labels"

    column: str = ""
    mode: str = ""  # conlleval | strict
    scheme: str = ""  # iob1 | bio | bioes
    data: str = ""
    model: str = ""
