"""Figures by the length of the source: where an encoder that hands on one vector falls off, and attention does not (Bahdanau et al. 2015,
figure 2)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Measure

BOUNDS = (5, 10, 15, 20, 30, 40, 50)  # the longest sources of each bucket but the last, which has no end


@dataclass(frozen=True)
class LengthFigures:
    """The figures of the sentences whose sources have from `shortest` to `longest` words or tokens (None: any number); figures as in
    :class:`rnnlm.evaluation.translation.figures.TranslationFigures`."""

    shortest: int
    longest: int | None
    sentences: int
    bleu: float
    chrf: float
    exact_match: float
    word_error_rate: float | None
    symbol_error_rate: float | None

    @property
    def name(self) -> str:
        """What a table calls the bucket: 6-10, 51+."""
        return f"{self.shortest}+" if self.longest is None else f"{self.shortest}-{self.longest}"

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return dataclasses.asdict(self)


def by_length(
    measures: Mapping[str, Measure], lengths_N: Sequence[int] | np.ndarray, bounds: Sequence[int] = BOUNDS
) -> list[LengthFigures]:
    """The figures of short sources, of longer ones, and so on; buckets without a sentence are left out.

    measures: of :func:`rnnlm.evaluation.translation.figures.measures`. lengths_N: the length of each sentence's source, without `</s>`.
    bounds: the longest source of each bucket but the last.

    Raises:
        UsageError: there are not as many lengths as sentences, a length is negative, or the bounds do not rise from 0 or more.
    """
    lengths_N, sentences = np.asarray(lengths_N), next(iter(measures.values())).counts.sentences
    if lengths_N.shape != (sentences,) or (lengths_N < 0).any():
        raise UsageError(f"{sentences:,} sentences need as many lengths of sources, none of them negative")
    if not bounds or bounds[0] < 0 or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise UsageError(f"{', '.join(map(str, bounds)) or 'nothing'} cannot bound lengths", hint="rising whole numbers, such as 5, 10, 20")
    bucket_N = np.searchsorted(bounds, lengths_N)
    buckets, size_R = np.unique(bucket_N, return_counts=True)
    is_in_RN = (bucket_N == buckets[:, None]).astype(np.float64)
    figures = {name: its.figure(its.counts.sums(is_in_RN)).tolist() for name, its in measures.items()}
    found = []
    for row, (bucket, size) in enumerate(zip(buckets.tolist(), size_R.tolist(), strict=True)):
        values: dict[str, Any] = {name: each[row] if np.isfinite(each[row]) else None for name, each in figures.items()}
        shortest = bounds[bucket - 1] + 1 if bucket else int(lengths_N.min() > 0)
        found.append(LengthFigures(shortest, bounds[bucket] if bucket < len(bounds) else None, size, **values))
    return found
