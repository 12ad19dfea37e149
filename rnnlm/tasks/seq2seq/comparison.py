"""Compare encoder-decoders on the same pairs: perplexities and metrics of what they write with
intervals, and paired differences.

Sources are resampled, each with all its references. Perplexities compare as those of language
models do (:mod:`rnnlm.evaluation.comparison.comparison`); metrics of what is written compare
between any models.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from rnnlm.errors import ComparisonError
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.comparison.comparison import (
    PARTS,
    Difference,
    Subject,
    difference,
    differing_by,
    find_comparable,
    measured_cells,
    measured_rows,
)
from rnnlm.evaluation.comparison.pairing import (
    Comparable,
    ComparedModel,
    Key,
    ModelComparison,
    Outcome,
    Refused,
    Side,
    compare_models,
    difference_row,
    shown_interval,
)
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.evaluation.comparison.verdict import Contrast
from rnnlm.evaluation.metrics import Table
from rnnlm.evaluation.pair_evaluation import PairEvaluation
from rnnlm.evaluation.perplexity import TEXT_METRICS, tell_single_block
from rnnlm.evaluation.resampling import Interval, MetricDifference, PairedDifference, Resampling
from rnnlm.evaluation.translation import WRITTEN_METRICS, TranslationSignature
from rnnlm.interface import UNKNOWN, Device
from rnnlm.models import loading
from rnnlm.models.loading import warn_if_trained_on
from rnnlm.tabular import Row
from rnnlm.tasks.seq2seq import evaluation
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, lines_of
from rnnlm.tasks.seq2seq.evaluation import Pairs, read_pairs_for, references_of
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import PairOptions


class ComparedTranslator(ComparedModel[PairEvaluation]):
    """One of the models."""

    @property
    def intervals(self) -> dict[str, Interval]:
        """The intervals of the perplexities that compare and of what the model writes, by name."""
        return self.by_name


@dataclass(frozen=True)
class TranslatorDifference:
    """The differences of the second model from the first. perplexity: None where perplexities do
    not compare. figures: differences of what they write, by name."""

    first: str
    second: str
    perplexity: Difference | None
    figures: dict[str, PairedDifference]


@dataclass(frozen=True, repr=False)
class PairComparison(ModelComparison):
    """Models on the same pairs, and the differences of each two of them. per: the unit of
    perplexities: "token", "word" or "character"; None where these do not compare. refused: metrics
    that do not compare, and why not."""

    sources: int
    models: tuple[ComparedTranslator, ...]
    differences: tuple[TranslatorDifference, ...]
    per: str | None
    refused: tuple[Refused, ...]
    seconds: float
    task: str = "seq2seq"

    @property
    def compared(self) -> tuple[ComparedTranslator, ...]:
        return self.models

    @property
    def remarks(self) -> Sequence[str]:
        return [f"{each.figure} is not compared: {each.why}" for each in self.refused]

    def difference_table(self) -> Table:
        rows = []
        for each in self.differences:
            name = f"{each.second} - {each.first}"
            if each.perplexity is not None:
                bits, ratio, p = measured_cells(each.perplexity)
                rows.append([name, f"bits per {self.per}", bits, p])
                rows.append([name, "perplexity", ratio, p])
            for metric, its in each.figures.items():
                scale = 100 if WRITTEN_METRICS[metric].unit == "share" else 1
                by = shown_interval(its.interval, "+.2f", scale=scale)
                rows.append([name, metric, by, f"{its.p:.4f}"])
        return Table(["difference", "measure", "by", "p"], rows, left=2)

    def difference_rows(self) -> list[Row]:
        rows = []
        figures: dict[str, str] = {}
        for name, definition in TEXT_METRICS.items():
            figures.setdefault(definition.per, name)
        for each in self.differences:
            if each.perplexity is not None and self.per is not None:
                rows += measured_rows(each.perplexity, figures[self.per], self.per)
            for metric, its in each.figures.items():
                names = (each.first, each.second)
                rows.append(difference_row(names, WRITTEN_METRICS[metric], its.interval, its.p))
        # Only perplexities have a ratio.
        columns = dict.fromkeys(itertools.chain.from_iterable(rows))
        return [{name: row.get(name) for name in columns} for row in rows]

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
        """Return the comparison in JSON's types."""
        models = []
        for each in self.models:
            shown = {
                "name": each.name,
                "folder": each.folder,
                "evaluation": each.evaluation.to_dict(),
                "intervals": {name: asdict(its) for name, its in each.intervals.items()},
            }
            models.append(shown)
        return {
            "task": self.task,
            "sources": self.sources,
            "models": models,
            "differences": list(map(asdict, self.differences)),
            "per": self.per,
            "refused": list(map(asdict, self.refused)),
            "seconds": self.seconds,
        }


def compare(
    models: Sequence[Seq2SeqModel | str | Path],
    data: Pairs,
    options: PairOptions,
    settings: ComparisonSettings | None = None,
    names: Sequence[str] | None = None,
    device: str | Device = "auto",
) -> PairComparison:
    """Compare models, themselves or by their names, on pairs. Of `settings` it uses `resamples` and
    `seed`. names: what models are called in the result."""
    settings = settings or ComparisonSettings()
    comparing = _Comparing(data, options)
    resampling = Resampling(settings.resamples, settings.seed)
    return compare_models(models, comparing, names=names, resampling=resampling, device=device)


def comparable_stored(models: Sequence[StoredModel]) -> Comparable:
    """Return which of the metrics compare that were stored when the models were trained."""
    subjects = []
    for each in models:
        evaluation = cast(PairEvaluation, each.evaluation)
        target = cast(PairCodec, each.codec).target
        subjects.append(Subject.of_stored(each.name, evaluation.references, target))
    return _with_written(_comparable_perplexities(subjects))


def _comparable_perplexities(subjects: Sequence[Subject], holds_unk: bool = True) -> Comparable:
    """Return which perplexities compare, if any do: the metrics of what is written always do."""
    try:
        return find_comparable(subjects, holds_unk)
    except ComparisonError as error:
        return Comparable((), "", (Refused("perplexity", None, error.why),))


def _with_written(perplexities: Comparable) -> Comparable:
    """Add the metrics of what is written, which compare between any models."""
    return replace(
        perplexities,
        figures=(*perplexities.figures, *WRITTEN_METRICS),
        may_differ=PARTS - {"data", "case"} | TranslationSignature.may_differ,
    )


_Side = Side[Seq2SeqModel, PairedData]


class _Comparing:
    """Encoder-decoders on the same pairs."""

    def __init__(self, data: Pairs, options: PairOptions) -> None:
        self.began = time.perf_counter()
        self.data, self.options, self.lowercase = data, options, False

    def read(self, model: Seq2SeqModel, called: str) -> PairedData:
        return read_pairs_for(model, self.data, self.options.target, self.options.reading, called)

    def comparable(self, sides: Sequence[_Side]) -> Comparable:
        if len({each.data.lines_hash for each in sides}) > 1:
            raise ComparisonError(
                "the models do not read the same pairs",
                "they read other columns, or what is read is changed",
                "name the columns with `column` and `target_column`",
            )
        called = {each.name: loading.name_if_saved(each.given) for each in sides}
        stored = {name: loading.find(folder) for name, folder in called.items() if folder}
        warn_if_trained_on(sides[0].data.lines_hash, stored, "figures")

        # Of models that know no upper case, what is written is compared without it.
        self.lowercase = not all(each.model.codec.target.keeps_case for each in sides)
        found = self._perplexities(sides)
        unknown = len(references_of(sides[0].data, sides[0].model.codec.target).oov)
        sources = len(sides[0].data.groups)
        tell_single_block(sources, 1)
        differing = (*differing_by(found.main, unknown), *WRITTEN_METRICS)
        return replace(_with_written(found), differing=differing, block_lines=1)

    def _perplexities(self, sides: Sequence[_Side]) -> Comparable:
        """Return which perplexities compare."""
        subjects = []
        for each in sides:
            encoded = references_of(each.data, each.model.codec.target)
            signature = perplexity.sign(each.model.decoder, encoded, "reset")
            subjects.append(Subject.of(each.name, signature, each.model.codec.target, encoded))
        _, references = lines_of(sides[0].data.text)
        has_unknown = any(UNKNOWN in each.lower() for each in references)
        return _comparable_perplexities(subjects, has_unknown)

    def measure(self, side: _Side) -> PairEvaluation:
        return evaluation.measure(side.model, side.data, self.options.search, self.lowercase)

    def result(self, sides: Sequence[_Side], outcome: Outcome[PairEvaluation]) -> PairComparison:
        models = []
        for side, its, found in zip(sides, outcome.evaluations, outcome.intervals, strict=True):
            models.append(
                ComparedTranslator(side.name, loading.name_if_saved(side.given), its, found)
            )
        main = outcome.comparable.main
        differences = []
        for (i, j), by in outcome.differences.items():
            differences.append(_difference(models[i], models[j], by, main))
        return PairComparison(
            outcome.evaluations[0].sources,
            tuple(models),
            tuple(differences),
            TEXT_METRICS[main].per if main else None,
            outcome.comparable.refused,
            time.perf_counter() - self.began,
        )


def _difference(
    first: ComparedTranslator,
    second: ComparedTranslator,
    found: Mapping[Key, MetricDifference],
    main: str,
) -> TranslatorDifference:
    """Make the difference of two models. main: the perplexity that compares; "" where none does."""
    names, unknown = (first.name, second.name), 0
    if first.evaluation.references.lines is not None:
        unknown = int(first.evaluation.references.lines.oov_S.sum())
    written = {}
    for (_, name), its in found.items():
        if name in WRITTEN_METRICS and isinstance(its, PairedDifference):
            written[name] = its
    of_perplexity = difference(names, found, main, unknown) if main else None
    return TranslatorDifference(*names, of_perplexity, written)
