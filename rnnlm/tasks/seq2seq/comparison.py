"""Encoder-decoders on the same pairs: perplexities and figures of what they write with intervals,
and paired differences.

Sources are resampled, each with all its references. Perplexities compare as those of language
models do (:mod:`rnnlm.evaluation.comparison.comparison`); figures of what is written compare
between any models.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rnnlm.errors import ComparisonError, UsageError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.comparison import (
    UNITS,
    Comparable,
    Difference,
    Refused,
    Subject,
    difference,
    find_comparable,
    lines_per_block,
    names_of,
)
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import (
    PERMUTATIONS,
    RESAMPLES,
    FigureDifference,
    Interval,
    Measure,
    Trials,
    figure_differences,
    intervals_of,
)
from rnnlm.evaluation.pair_evaluation import WRITTEN, PairEvaluation
from rnnlm.interface import UNKNOWN, Device
from rnnlm.models import loading
from rnnlm.models.loading import warn_if_trained_on
from rnnlm.models.registry import check_same_task
from rnnlm.tasks.seq2seq import evaluation
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.evaluation import GREEDY, Pairs, Pathname, opened, references_of
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.results import DecodingSettings


@dataclass(frozen=True)
class ComparedTranslator:
    """One of the models. folder: None of a model in memory. intervals: of the perplexities that
    compare and of what it writes, by name."""

    name: str
    folder: str | None
    evaluation: PairEvaluation
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class TranslatorDifference:
    """By how much the second model differs from the first. perplexity: None where perplexities do
    not compare. figures: of what they write, by name."""

    first: str
    second: str
    perplexity: Difference | None
    figures: dict[str, FigureDifference]


@dataclass(frozen=True)
class PairComparison:
    """Models on the same pairs, and the differences of each two of them. per: what the differences
    of perplexities are taken per: "token", "word" or "character"; None where these do not compare.
    refused: figures that do not compare, and why not."""

    sources: int
    models: tuple[ComparedTranslator, ...]
    differences: tuple[TranslatorDifference, ...]
    per: str | None
    refused: tuple[Refused, ...]
    seconds: float
    task: str = "seq2seq"

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The differences of all pairs by BLEU; by perplexities where nothing was decoded."""
        return tuple(self._contrast(each) for each in self.differences)

    def _contrast(self, each: TranslatorDifference) -> Contrast:
        if each.figures:
            bleu = each.figures.get("bleu")
            points = None if bleu is None else bleu.interval
            return Contrast(each.first, each.second, "BLEU", points, higher_is_better=True)
        bits = None if each.perplexity is None else each.perplexity.difference_bits
        return Contrast(each.first, each.second, f"bits a {self.per or 'token'}", bits)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        shown = [
            {
                "name": each.name, "folder": each.folder, "evaluation": each.evaluation.to_dict(),
                "intervals": {name: asdict(its) for name, its in each.intervals.items()},
            }
            for each in self.models
        ]  # fmt: skip
        return {
            "task": self.task, "sources": self.sources, "models": shown,
            "differences": [asdict(each) for each in self.differences],
            "per": self.per, "refused": [asdict(each) for each in self.refused],
            "seconds": self.seconds,
        }  # fmt: skip


def compare(
    models: Sequence[Seq2SeqModel | str | Path], data: Pairs, *, names: Sequence[str] | None = None,
    target: Sequence[Pathname] = (),
    decode: bool = True, decoding: DecodingSettings | None = None,
    reading: Mapping[str, Any] | None = None, resamples: int | None = None,
    seed: int = 1, device: str | Device = "auto",
) -> PairComparison:  # fmt: skip
    """Compare models, themselves or by their names, on pairs; what is given is as for
    :func:`rnnlm.tasks.seq2seq.evaluation.evaluate`.

    names: what models are called in the result. resamples: of bootstrap and randomisation test
    (None: RESAMPLES and PERMUTATIONS).

    Raises:
        UsageError: there are fewer than two models. ComparisonError: they are of different tasks,
            do not read the same pairs, or nothing of them compares. TextError, ModelError,
            DeviceError: as for :func:`rnnlm.tasks.seq2seq.evaluation.evaluate`.
    """
    began = time.perf_counter()
    called = names_of(cast(Sequence[str], models), names)
    if len(called) < 2:
        raise UsageError(
            "a comparison needs at least two models", f"there is {len(called)}", "name another one"
        )
    check_same_task(
        {name: loading.task_of(model) for name, model in zip(called, models, strict=True)}
    )
    used = [
        cast(
            Seq2SeqModel, model if isinstance(model, Seq2SeqModel) else loading.load(model, device)
        )
        for model in models
    ]
    texts = [
        opened(model, data, target, reading, name) for name, model in zip(called, used, strict=True)
    ]
    if len({text.lines_hash for text in texts}) > 1:
        why = "they read other columns, or what is read is changed"
        raise ComparisonError(
            "the models do not read the same pairs",
            why,
            "name the columns with --column and --target-column",
        )
    stored = {
        name: loading.find(folder)
        for name, model in zip(called, models, strict=True)
        if (folder := loading.called(model))
    }
    warn_if_trained_on(texts[0].lines_hash, stored, "figures")
    that_compare = _perplexities(called, used, texts[0], decode)
    lowercase = not all(model.codec.target.keeps_case for model in used)
    how = (decoding or GREEDY) if decode else None
    found = [
        evaluation.measure(model, text, how, lowercase)
        for model, text in zip(used, texts, strict=True)
    ]
    compared = tuple(
        ComparedTranslator(
            name, loading.called(model), its, _intervals(its, that_compare, resamples, seed)
        )
        for name, model, its in zip(called, models, found, strict=True)
    )
    differences = tuple(
        _difference(*pair, that_compare, resamples, seed)
        for pair in itertools.combinations(compared, 2)
    )
    unit, seconds = UNITS.get(that_compare.main), time.perf_counter() - began
    return PairComparison(
        len(texts[0].groups), compared, differences, unit, that_compare.refused, seconds
    )


def _perplexities(
    names: Sequence[str], models: Sequence[Seq2SeqModel], data: PairedData, decode: bool
) -> Comparable:
    """Which perplexities compare.

    Raises:
        ComparisonError: none does, and nothing is decoded.
    """
    subjects = []
    for name, model in zip(names, models, strict=True):
        encoded = references_of(data, model.codec.target)
        subjects.append(
            Subject.of(
                name, perplexity.sign(model.decoder, encoded, "reset"), model.codec.target, encoded
            )
        )
    holds_unk = any(
        UNKNOWN in reference.lower() for pair in data.text.pairs for reference in pair.references
    )
    try:
        return find_comparable(subjects, holds_unk)
    except ComparisonError as error:
        if not decode:
            raise
        return Comparable((), "", (Refused("perplexity", None, error.why),))


def _measures(found: PairEvaluation) -> Mapping[str, Measure]:
    if found.written is None:
        return {}
    return {name: found.written.measures[name] for name in found.written.names}


def _intervals(
    found: PairEvaluation, that_compare: Comparable, resamples: int | None, seed: int
) -> dict[str, Interval]:
    names = (*that_compare.figures, *WRITTEN)
    compared = [each for each in found.metrics if each.name in names]
    return intervals_of(compared, Trials(resamples, seed))


def _difference(
    first: ComparedTranslator,
    second: ComparedTranslator,
    that_compare: Comparable,
    resamples: int | None,
    seed: int,
) -> TranslatorDifference:
    ours, theirs, names = first.evaluation, second.evaluation, (first.name, second.name)
    trials = {
        "resamples": resamples or RESAMPLES,
        "permutations": resamples or PERMUTATIONS,
        "seed": seed,
    }
    figure, sums = that_compare.main, (ours.references.lines, theirs.references.lines)
    of_perplexity = None
    if figure and sums[0] is not None and sums[1] is not None:
        block_lines = lines_per_block(ours.sources, 1)
        of_perplexity = difference(names, (sums[0], sums[1]), figure, block_lines, resamples, seed)
    return TranslatorDifference(
        *names, of_perplexity, figure_differences(_measures(ours), _measures(theirs), **trials)
    )
