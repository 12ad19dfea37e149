"""Compare encoder-decoders on the same pairs: by perplexities, and by metrics of their outputs.

Sources are resampled, each with all its references. Perplexities compare under the same conditions
as for language models (:mod:`rnnlm.evaluation.comparison.comparison`); metrics of outputs compare
between any models.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from rnnlm.errors import ComparisonError, keyword
from rnnlm.evaluation.comparison.comparison import (
    PARTS,
    EvaluatedModel,
    differing_by,
    disagreements,
    find_comparable,
)
from rnnlm.evaluation.comparison.pairing import (
    ComparableMetrics,
    Comparer,
    Difference,
    RefusedMetric,
    Side,
)
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.evaluation.perplexity import notice_single_block
from rnnlm.interface import UNKNOWN
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, lines_of
from rnnlm.tasks.seq2seq.evaluation import evaluation
from rnnlm.tasks.seq2seq.evaluation.evaluation import Pairs, read, references_of
from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import PairEvaluation
from rnnlm.tasks.seq2seq.evaluation.translation import TRANSLATION_METRICS, TranslationSignature
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import PairOptions


def comparable_stored(models: Sequence[StoredModel]) -> ComparableMetrics:
    """Return which of the metrics compare that were stored when the models were trained."""
    subjects = []
    for model in models:
        evaluation = cast(PairEvaluation, model.evaluation)
        target = cast(PairCodec, model.codec).target
        subjects.append(EvaluatedModel.of_stored(model.name, evaluation.references, target))
    return _with_written(_comparable_perplexities(subjects))


def _comparable_perplexities(
    subjects: Sequence[EvaluatedModel], holds_unk: bool = True
) -> ComparableMetrics:
    """Return which perplexities compare, if any do: the metrics of outputs always do."""
    try:
        return find_comparable(subjects, holds_unk)
    except ComparisonError as error:
        return ComparableMetrics((), "", (RefusedMetric("perplexity", None, error.why),))


def _with_written(perplexities: ComparableMetrics) -> ComparableMetrics:
    """Add the metrics of outputs, which compare between any models, and which models are compared
    by."""
    return replace(
        perplexities,
        names=(*perplexities.names, *TRANSLATION_METRICS),
        main="",
        may_differ=PARTS - {"data", "case"} | TranslationSignature.may_differ,
    )


_Side = Side[Seq2SeqModel, PairedData]


class PairComparer(Comparer[Seq2SeqModel, PairedData, PairEvaluation]):
    """Encoder-decoders on the same pairs."""

    task = "seq2seq"

    def __init__(self, data: Pairs, options: PairOptions) -> None:
        self.data, self.options, self.lowercase = data, options, False

    def read(self, model: Seq2SeqModel, called: str) -> PairedData:
        return read(model, self.data, self.options, called)

    def comparable(self, sides: Sequence[_Side]) -> ComparableMetrics:
        if len({side.data.lines_hash for side in sides}) > 1:
            raise ComparisonError(
                "the models do not read the same pairs",
                "they read different columns, or one of them rewrites the text",
                "name the columns with " + keyword("column") + " and " + keyword("target_column"),
            )

        # For models that know no upper case, outputs are compared without it.
        self.lowercase = not all(side.model.codec.target.keeps_case for side in sides)
        comparable = self._perplexities(sides)
        unknown = len(references_of(sides[0].data, sides[0].model.codec.target).oov)
        notice_single_block(len(sides[0].data.groups), 1)
        differing = (*differing_by(comparable.main, unknown), *TRANSLATION_METRICS)
        return replace(_with_written(comparable), differing=differing, block_lines=1)

    def _perplexities(self, sides: Sequence[_Side]) -> ComparableMetrics:
        """Return which perplexities compare."""
        read = [references_of(side.data, side.model.codec.target) for side in sides]
        subjects = [
            EvaluatedModel.of(side.name, side.model.decoder, encoded, "reset")
            for side, encoded in zip(sides, read, strict=True)
        ]
        _, references = lines_of(sides[0].data.text)
        has_unknown = any(UNKNOWN in reference.lower() for reference in references)
        return _comparable_perplexities(subjects, has_unknown)

    def measure(self, side: _Side) -> PairEvaluation:
        return evaluation.measure(side.model, side.data, self.options.search, self.lowercase)

    def notes(
        self, evaluations: Sequence[PairEvaluation], differences: Sequence[Difference]
    ) -> list[str]:
        return disagreements([evaluation.references for evaluation in evaluations], differences)
