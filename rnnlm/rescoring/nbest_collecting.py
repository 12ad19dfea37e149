"""N-best lists as they are read, line by line: what is said twice, or not at all, is an error that names the line; of ranks that are
missing a notice tells."""

import itertools
from dataclasses import dataclass, field

from rnnlm.errors import TextError, notice
from rnnlm.rescoring.nbest import Hypothesis, ListSettings, Utterance


@dataclass
class _Draft:
    where: str
    reference: str | None = None
    ranked: dict[int, Hypothesis] = field(default_factory=dict)


class Collector:
    """Gathers hypotheses and references, in any order, into utterances in the order in which they were first spoken of."""

    def __init__(self, source: str, settings: ListSettings) -> None:
        self.source = source
        self.settings = settings
        self._drafts: dict[str, _Draft] = {}

    def add(self, utt: str, rank: int, hypothesis: Hypothesis) -> None:
        """Take in the hypothesis of this rank (1: the best).

        Raises:
            TextError: there is one of that rank.
        """
        ranked = self._draft(utt, hypothesis.where).ranked
        if rank in ranked:
            raise TextError(f"{hypothesis.where}: utterance {utt!r} has a hypothesis {rank} already", f"see {ranked[rank].where}")
        ranked[rank] = hypothesis

    def add_reference(self, utt: str, text: str, where: str) -> None:
        """Take in a reference.

        Raises:
            TextError: there is another for that utterance.
        """
        draft = self._draft(utt, where)
        if draft.reference is not None:
            raise TextError(f"{where}: utterance {utt!r} has a reference already", "each utterance stands once in a list")
        draft.reference = text

    def add_empty(self, utt: str, where: str) -> None:
        """Take in an utterance of which nothing more is said."""
        self._draft(utt, where)

    def knows(self, utt: str) -> bool:
        return utt in self._drafts

    def finished(self) -> list[Utterance]:
        """The utterances.

        Raises:
            TextError: there is none, or one has no hypothesis and is not to be left out.
        """
        drafts = self._with_hypotheses()
        _tell_missing_best(self.source, drafts)
        _tell_gaps(drafts)
        by_rank = {utt: [draft.ranked[rank] for rank in sorted(draft.ranked)] for utt, draft in drafts.items()}
        _tell_disorder(self.source, list(by_rank.values()))
        return [Utterance(utt, tuple(by_rank[utt]), draft.reference, draft.where) for utt, draft in drafts.items()]

    def _with_hypotheses(self) -> dict[str, _Draft]:
        empty = {utt: draft for utt, draft in self._drafts.items() if not draft.ranked}
        if len(empty) == len(self._drafts):
            raise TextError(f"{self.source} holds no hypotheses", hint="see rnnlm rescore --help for the formats of n-best lists")
        if empty:
            first, draft = next(iter(empty.items()))
            if not self.settings.skip_incomplete:
                why = "where the first pass found nothing, an empty hypothesis counts every word as deleted"
                raise TextError(
                    f"{draft.where}: utterance {first!r} has no hypotheses", why, "add one, or leave such out: --skip-incomplete"
                )
            notice(f"{len(empty):,} utterances without hypotheses are left out, the first is {first!r}")
        return {utt: draft for utt, draft in self._drafts.items() if draft.ranked}

    def _draft(self, utt: str, where: str) -> _Draft:
        return self._drafts.setdefault(utt, _Draft(where))


def _tell_missing_best(source: str, drafts: dict[str, _Draft]) -> None:
    """Where the best is missing, the figures of the first pass are of the next one."""
    without = [utt for utt, draft in drafts.items() if min(draft.ranked) > 1]
    if without:
        notice(
            f"{source}: {len(without):,} utterances lack the hypothesis of rank 1, the first is {without[0]!r}; the best of the others stands in"
        )


def _tell_gaps(drafts: dict[str, _Draft]) -> None:
    """Where a line was lost, the best of all may be what is missing."""
    gaps = [(utt, draft, *gap) for utt, draft in drafts.items() if (gap := _first_gap(sorted(draft.ranked)))]
    if gaps:
        utt, draft, before, rank = gaps[0]
        why = f"utterance {utt!r} has a hypothesis of rank {rank}, but none of rank {before + 1}"
        notice(f"{draft.ranked[rank].where}: {why}; {len(gaps):,} of {len(drafts):,} utterances lack such ranks")


def _first_gap(ranks: list[int]) -> tuple[int, int] | None:
    """The first two that do not follow each other."""
    return next(((before, rank) for before, rank in itertools.pairwise(ranks) if rank != before + 1), None)


def _tell_disorder(source: str, by_rank: list[list[Hypothesis]]) -> None:
    """Scores that rise where they should fall are costs, or of another first pass than the ranks."""
    lists = [[hypothesis.score for hypothesis in ranked] for ranked in by_rank]
    not_best = sum(scores[0] < max(scores) for scores in lists)
    worst = sum(scores[0] == min(scores) < max(scores) for scores in lists)
    if 2 * worst > len(lists):
        count = f"{worst:,} of {len(lists):,} utterances"
        notice(f"{source}: the first hypothesis has the lowest score in {count}: where lower is better, --costs is needed, else not")
    elif not_best:
        notice(
            f"{source}: the first hypothesis has not the highest score in {not_best:,} of {len(lists):,} utterances; the 1-best is the first"
        )
