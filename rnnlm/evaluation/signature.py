"""The signature: one line saying what a number was measured on and how, so that numbers can be compared or not."""

from dataclasses import dataclass, fields

from rnnlm.errors import UsageError

VERSION = "0.1"


@dataclass(frozen=True)
class Signature:
    """The parts of a signature, in the order they are printed."""

    data: str  # hash over the scored lines
    tok: str  # tokenizer kind, fingerprint (of no direction) and size
    case: str  # kept | lower
    ctx: str  # carry | reset
    blank: str  # skip | keep | documents
    unk: str  # literal | spell
    eos: str  # yes | no
    prec: str
    adapt: str
    model: str
    dir: str = ""  # reversed, of a model that reads each line from its end; else there is no such part

    def __str__(self) -> str:
        parts = "|".join(f"{field.name}:{value}" for field in fields(self) if (value := getattr(self, field.name)) or field.name != "dir")
        return f"rnnlm:{VERSION}|{parts}"

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """The inverse of str().

        Raises:
            UsageError: `text` is not a signature.
        """
        parts = dict(part.partition(":")[::2] for part in text.split("|"))
        parts.pop("rnnlm", None)
        try:
            return cls(**parts)
        except TypeError:
            raise UsageError(f"not a signature: {text!r}") from None
