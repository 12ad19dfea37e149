"""Pairs of sentences, one good and one bad, with what their results are grouped by."""

from dataclasses import dataclass

FULL, PARTIAL, WORD = "full", "partial", "word"
SCORINGS = (FULL, PARTIAL, WORD)


@dataclass(frozen=True)
class Pair:
    """Two sentences of which `good` should be the likelier.

    kind: the paradigm. phenomenon, field: what kinds are gathered under, as in BLiMP. For agreement, number: of the subject;
    distance: words between its head and the verb; attractors: nouns of the other number there. scoring: how the pair is scored
    where nothing else is asked for (see :func:`rnnlm.score_pairs`). where: its place, for messages. problem: why it cannot be
    scored, if it was read like that.
    """

    kind: str
    good: str
    bad: str
    id: str | None = None
    phenomenon: str | None = None
    field: str | None = None
    number: str | None = None
    distance: int | None = None
    attractors: int | None = None
    scoring: str = FULL
    where: str = ""
    problem: str | None = None
