"""N-best lists: what a first pass (a recogniser, a translator) offers for each utterance, and what was really said.

Scores are as a log-probability is: the higher, the better. Hypotheses stand in the order of the first pass (their ranks): what is
called its 1-best is the first of them, whatever the scores say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rnnlm.errors import TextError, UsageError, notice

LONGEST_RANK = 9  # digits


@dataclass(frozen=True)
class Hypothesis:
    """One text that the first pass offers. where: "FILE, line 3", for messages."""

    text: str
    score: float
    where: str = ""


@dataclass(frozen=True)
class Utterance:
    """What was said once. hypotheses: at least one, best first; reference: None where it is not known."""

    utt: str
    hypotheses: tuple[Hypothesis, ...]
    reference: str | None = None
    where: str = ""


@dataclass(frozen=True)
class ListSettings:
    """How a list is read. costs: its scores are costs, the lower the better. skip_incomplete: utterances without hypotheses
    are left out with a notice instead of being an error, and so are, where references are needed, those without."""

    format: str | None = None  # one of nbest_files.FORMATS; None: told by content
    costs: bool = False
    skip_incomplete: bool = False
    encoding_errors: str = "strict"


def parse_score(text: str, where: str, costs: bool) -> float:
    """The score that `text` writes, the higher the better; ESPnet's "tensor(-4.06)" too.

    Raises:
        TextError: it is missing, or no finite number.
    """
    number = text.strip()
    if number.startswith("tensor(") and number.endswith(")"):
        number = number[len("tensor(") : -1].partition(",")[0]
    if not number:
        raise TextError(f"{where}: the score is missing", "every hypothesis needs one")
    try:
        value = float(number.replace("_", "?"))  # Python would read 1_000 as a number
    except ValueError:
        raise TextError(f"{where}: {text!r} is no score", "a score is a number") from None
    if not math.isfinite(value):
        raise TextError(f"{where}: the score is {value}", "scores are finite numbers", "leave the hypothesis out")
    return -value if costs else value


def parse_rank(text: str) -> int | None:
    """The rank that `text` writes; None where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_RANK else None


def with_references(utterances: Sequence[Utterance], skip_incomplete: bool) -> list[Utterance]:
    """Those of `utterances` that have a reference, for what can't do without.

    Raises:
        TextError: one has none, and `skip_incomplete` does not say to leave it out; or none has.
    """
    complete = [utterance for utterance in utterances if utterance.reference is not None]
    if not complete:
        raise TextError("no utterance has a reference", "weights are tuned on word errors", "name a file of references: --ref")
    if len(complete) < len(utterances):
        first = next(utterance for utterance in utterances if utterance.reference is None)
        if not skip_incomplete:
            raise TextError(f"{first.where}: utterance {first.utt!r} has no reference", hint="add it, or leave such out: --skip-incomplete")
        notice(f"{len(utterances) - len(complete):,} utterances without reference are left out, the first is {first.utt!r}")
    return complete


def even_and_odd(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """The utterances at even places, counted from 0, and those at odd ones.

    Raises:
        UsageError: there are fewer than two.
    """
    if len(utterances) < 2:
        raise UsageError("one utterance cannot be split", hint="name two lists: --tune and --apply")
    return list(utterances[::2]), list(utterances[1::2])
