"""N-best lists: the hypotheses of a first pass (a recogniser, a translator) for each utterance, and
the reference.

A list is built line by line: a part that is given twice, or not at all, is an error that names the
line; missing ranks are a notice. Scores are like a log-probability: the higher, the better.
Hypotheses are in the order of the first pass (their ranks): its 1-best is the first of them, with
any score.
"""

import itertools
import math
import numbers
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rnnlm.checks import check_class, items_of
from rnnlm.config import plain
from rnnlm.errors import ArgumentTypeError, TextError, UsageError, given, keyword, notice
from rnnlm.tools.rescoring.settings import ListSettings

Line = Literal["reference", "source", "group"]  # parts of an utterance besides hypotheses
SCORE = "score:"  # before the name of a further score of the first pass
# First passes write -1e10, the lowest number of float32 or the like for the log of zero. A score so
# far below the best of its utterance excludes the hypothesis.
FARTHEST_BELOW_BEST = 1e6
_NO_SCORES: Mapping[str, float] = {}  # one for all, as lists are long


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One hypothesis of the first pass.

    Attributes:
        text: The recognised or translated text.
        score: Score of the first pass, whose weight is 1; higher is better. -inf, the log of zero,
            becomes the lowest finite number. None if all scores are in `scores`.
        where: Its place, for messages, such as "FILE, line 3".
        scores: Further scores of the first pass, by name, each with a tuned weight.

    Raises:
        ArgumentTypeError: The text is not a str, or a score is not a number.
        TextError: A score is nan or inf.
    """

    text: str
    score: float | None = None
    where: str = "a hypothesis"
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ArgumentTypeError(f"Hypothesis: text must be a str, not {given(self.text)}")
        check_class(self.scores, Mapping, "Hypothesis: scores")
        scores = {name: self._number(value) for name, value in self.scores.items()} or _NO_SCORES
        object.__setattr__(self, "scores", scores)
        if self.score is not None or not scores:
            object.__setattr__(self, "score", self._number(self.score))

    def _number(self, score: Any) -> float:
        score = plain(score)
        is_number = isinstance(score, numbers.Real)
        if not is_number:
            raise ArgumentTypeError(f"Hypothesis: score must be a number, not {given(score)}")
        check_score(score, self.where)
        # JSON has no infinity, and sums with one have no order.
        return max(score, -sys.float_info.max)

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of its scores: `score`, and `score:NAME` of each further one."""
        further = (SCORE + name for name in self.scores)
        return (*further,) if self.score is None else ("score", *further)


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance or a translated sentence.

    Attributes:
        utt: Its id.
        hypotheses: At least one hypothesis, best first.
        reference: The correct text; None if unknown.
        where: Its place, for messages.
        source: For translations, the source text, which encoder-decoders read.
        group: Its group, such as its speaker; None if unknown.

    Raises:
        ArgumentTypeError: An argument has the wrong type.
        TextError: There are no hypotheses.
    """

    utt: str
    hypotheses: tuple[Hypothesis, ...]
    reference: str | None = None
    where: str = "the list"
    source: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for name in ("utt", "where"):
            check_class(getattr(self, name), str, f"Utterance: {name}")
        for name in ("reference", "source", "group"):
            if getattr(self, name) is not None:
                check_class(getattr(self, name), str, f"Utterance: {name}")
        list(items_of(self.hypotheses, Hypothesis, "Utterance: hypotheses"))
        if not self.hypotheses:
            raise TextError(f"utterance {self.utt!r} has no hypotheses", hint="leave it out")


def parse_score(text: str, where: str, costs: bool) -> float:
    """Return the score that `text` writes, the higher the better; ESPnet's "tensor(-4.06)" too.
    TextError: it is missing, no number, or one that is no score."""
    # ESPnet writes tensors as Python shows them.
    number = text.strip()
    if number.startswith("tensor(") and number.endswith(")"):
        number = number[len("tensor(") : -1].partition(",")[0]
    if not number:
        raise TextError(f"{where}: the score is missing", "every hypothesis needs one")
    try:
        value = float(number.replace("_", "?"))  # Python would read 1_000 as a number
    except ValueError:
        raise TextError(f"{where}: {text!r} is not a number", "a score must be a number") from None
    score = -value if costs else value
    check_score(score, where)
    return score


def check_score(value: float, where: str) -> None:
    """Check that a score is a finite number or -inf."""
    if math.isnan(value) or value == math.inf:
        raise TextError(
            f"{where}: the score is {value}",
            "scores, their sums and their products must be finite numbers or -inf",
            "leave the hypothesis out",
        )


def score_names(utterances: Sequence[Utterance], expected: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the scores that all hypotheses have. TextError: one lacks a score that
    others have, or they are not the `expected` ones."""
    names = tuple(expected) or utterances[0].hypotheses[0].score_names
    for hypothesis in itertools.chain.from_iterable(one.hypotheses for one in utterances):
        if hypothesis.score_names == names:  # nearly always
            continue
        for name in sorted({*hypothesis.score_names} ^ {*names}):
            whose = "that the weights are for" if expected else "of the other hypotheses"
            raise TextError(
                f"{hypothesis.where}: its scores are not those {whose}",
                f"it {'lacks' if name in names else 'has'} {name!r}",
                f"a hypothesis needs {', '.join(names)}",
            )
    return names


def parse_rank(text: str) -> int | None:
    """Return the rank that `text` writes; None where it is not one."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def with_references(utterances: Sequence[Utterance], skip_incomplete: bool) -> list[Utterance]:
    """Return the `utterances` that have a reference, for work that cannot do without. TextError:
    one has none, and `skip_incomplete` does not say to leave it out; or none has."""
    complete = [utterance for utterance in utterances if utterance.reference is not None]
    if not complete:
        raise TextError(
            "no utterance has a reference",
            "weights are tuned to lower the WER",
            "name a file of references: " + keyword("references"),
        )
    if len(complete) < len(utterances):
        first = next(utterance for utterance in utterances if utterance.reference is None)
        if not skip_incomplete:
            raise TextError(
                f"{first.where}: utterance {first.utt!r} has no reference",
                "nemo lists count utterances from 1, those of Moses from 0" * first.utt.isdecimal(),
                "add it, or leave out such utterances: " + keyword("skip_incomplete", True),
            )
        notice(
            f"{len(utterances) - len(complete):,} utterances without a reference are left out; "
            f"the first is {first.utt!r}"
        )
    return complete


def even_and_odd(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Return the utterances at even places, counted from 0, and the utterances at odd ones.
    UsageError: there are fewer than two."""
    if len(utterances) < 2:
        raise UsageError(
            "one utterance cannot be split",
            hint="name two lists: " + keyword("tune_on") + " and " + keyword("apply_to"),
        )
    return list(utterances[::2]), list(utterances[1::2])


@dataclass
class _UtteranceDraft:
    where: str
    reference: str | None = None
    source: str | None = None
    group: str | None = None
    ranked: dict[int, Hypothesis] = field(default_factory=dict)


class ListBuilder:
    """Builds utterances of hypotheses and references in any order; the utterances keep the order in
    which they were first named."""

    def __init__(self, source: str, settings: ListSettings) -> None:
        self.source = source
        self.settings = settings
        self._drafts: dict[str, _UtteranceDraft] = {}

    def add(self, utt: str, rank: int, hypothesis: Hypothesis) -> None:
        """Add the hypothesis of this rank (1: the best). TextError: there is one already."""
        ranked = self.draft(utt, hypothesis.where).ranked
        if rank in ranked:
            raise TextError(
                f"{hypothesis.where}: utterance {utt!r} already has a hypothesis {rank}",
                f"see {ranked[rank].where}",
            )
        ranked[rank] = hypothesis

    def add_line(self, utt: str, what: Line, text: str, where: str) -> None:
        """Add the reference or the source of an utterance. TextError: it has one already."""
        draft = self.draft(utt, where)
        if getattr(draft, what) is not None:
            raise TextError(
                f"{where}: utterance {utt!r} already has a {what}",
                "an utterance can appear only once in a list",
            )
        setattr(draft, what, text)

    def draft(self, utt: str, where: str) -> _UtteranceDraft:
        """Return the draft of an utterance; add an empty one if there is none."""
        return self._drafts.setdefault(utt, _UtteranceDraft(where))

    def knows(self, utt: str) -> bool:
        return utt in self._drafts

    def finished(self) -> list[Utterance]:
        """Return the utterances. TextError: there is none, or one has no hypothesis and is not to
        be left out."""
        # Leave out utterances without hypotheses, if the settings say so.
        empty = {utt: draft for utt, draft in self._drafts.items() if not draft.ranked}
        if len(empty) == len(self._drafts):
            raise TextError(
                f"{self.source} holds no hypotheses",
                hint="see rnnlm rescore --help for the formats of n-best lists",
            )
        if empty:
            first, draft = next(iter(empty.items()))
            if not self.settings.skip_incomplete:
                raise TextError(
                    f"{draft.where}: utterance {first!r} has no hypotheses",
                    "where the first pass found nothing, an empty hypothesis counts every "
                    "word as deleted",
                    "add one, or leave out such utterances: " + keyword("skip_incomplete", True),
                )
            notice(
                f"{len(empty):,} utterances without hypotheses are left out; the first is {first!r}"
            )
        drafts = {utt: draft for utt, draft in self._drafts.items() if draft.ranked}

        # Order the hypotheses by rank.
        _warn_of_missing_best(self.source, drafts)
        _warn_of_gaps(drafts)
        utterances = []
        for utt, draft in drafts.items():
            ranked = tuple(draft.ranked[rank] for rank in sorted(draft.ranked))
            texts = (draft.reference, draft.where, draft.source, draft.group)
            utterances.append(Utterance(utt, ranked, *texts))
        _warn_of_disorder(self.source, utterances)
        return utterances


def _warn_of_missing_best(source: str, drafts: dict[str, _UtteranceDraft]) -> None:
    """Give notice where the best is missing: the first pass is judged by the next one."""
    without = [utt for utt, draft in drafts.items() if min(draft.ranked) > 1]
    if without:
        notice(
            f"{source}: {len(without):,} utterances lack the hypothesis of rank 1, the first "
            f"being {without[0]!r}; the best of the others takes its place"
        )


def _warn_of_gaps(drafts: dict[str, _UtteranceDraft]) -> None:
    """Give notice of missing ranks: if a line was lost, it may be the best of all."""
    gaps = []
    for utt, draft in drafts.items():
        ranks = itertools.pairwise(sorted(draft.ranked))
        gaps += [(utt, draft, *pair) for pair in ranks if pair[1] != pair[0] + 1][:1]
    if gaps:
        utt, draft, before, rank = gaps[0]
        notice(
            f"{draft.ranked[rank].where}: utterance {utt!r} has a hypothesis of rank {rank}, but "
            f"none of rank {before + 1}; {len(gaps):,} of {len(drafts):,} utterances lack such "
            "ranks"
        )


def _warn_of_disorder(source: str, lists: list[Utterance]) -> None:
    """Give notice of scores that rise where they should fall: they are costs, or of another first
    pass than the ranks."""
    not_best = worst = 0
    for utterance in lists:
        scores = [hypothesis.score or 0.0 for hypothesis in utterance.hypotheses]
        least = max(scores) - FARTHEST_BELOW_BEST
        scores = [score for score in scores if score >= least]
        not_best += scores[0] < max(scores)
        worst += scores[0] == min(scores) < max(scores)
    if 2 * worst > len(lists):
        notice(
            f"{source}: the first hypothesis has the lowest score in {worst:,} of {len(lists):,} "
            "utterances: if lower scores are better, add " + keyword("costs")
        )
    elif not_best:
        notice(
            f"{source}: the first hypothesis does not have the highest score in {not_best:,} of "
            f"{len(lists):,} utterances; "
            "the 1-best is the first"
        )
