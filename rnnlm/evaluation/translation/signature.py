"""The signature of a figure of decoded text: what sacrebleu's does not know, namely the data, the search and the model."""

from dataclasses import dataclass
from typing import ClassVar, Self

from rnnlm.evaluation.figure_signature import FigureSignature
from rnnlm.evaluation.translation.translations import TranslationSettings


@dataclass(frozen=True)
class TranslationSignature(FigureSignature):
    """The parts of a signature, in the order they are printed; empty ones are left out.

    figure: bleu, word_error_rate, ... data: the hash of sources and references. beam, length_power, max_length, copy_unknown: how texts
    were decoded; by these, as by the model, figures that compare may differ.
    """

    of_what: ClassVar[str] = "translations"
    may_differ: ClassVar[frozenset[str]] = frozenset({"beam", "length_power", "max_length", "copy_unknown", "model"})

    case: str = ""  # kept | lower
    units: str = ""  # of error rates: plain | spelled
    tok: str = ""  # of BLEU: 13a, ...
    data: str = ""
    beam: str = ""  # 1: greedy
    length_power: str = ""
    max_length: str = ""  # of the source
    copy_unknown: str = ""  # yes | no
    model: str = ""  # its fingerprint

    @classmethod
    def of(cls, figure: str, settings: TranslationSettings, **parts: str) -> Self:
        """That of a figure measured with these settings; parts: data, model, and how texts were decoded."""
        tok = settings.bleu_tokenizer if figure == "bleu" else ""
        units = ("spelled" if settings.spelled else "plain") if figure.endswith("_error_rate") else ""
        return cls(figure, case="lower" if settings.lowercase else "kept", units=units, tok=tok, **parts)
