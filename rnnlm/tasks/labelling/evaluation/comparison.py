"""Compare taggers or classifiers by all metrics of labels, with sentences resampled."""

from collections.abc import Mapping, Sequence
from typing import cast

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.pairing import ComparableMetrics, Comparer, Side
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.tasks.labelling.data import Codec, LabelledData
from rnnlm.tasks.labelling.evaluation.evaluation import Labelled, measure, read
from rnnlm.tasks.labelling.evaluation.label_evaluation import LabelEvaluation
from rnnlm.tasks.labelling.evaluation.label_metrics import LABEL_METRICS
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.options import LabelOptions

_ALL_METRICS = ComparableMetrics(tuple(LABEL_METRICS), "", differing=tuple(LABEL_METRICS))


def comparable_stored(models: Sequence[StoredModel]) -> ComparableMetrics:
    """Return which of the metrics compare that were stored when the models were trained."""
    check_alike({model.name: cast(Codec, model.codec) for model in models})
    return _ALL_METRICS


def check_alike(codecs: Mapping[str, Codec]) -> None:
    """Refuse models, by their names, that have not learned the same columns of labels."""
    columns, learned = set(), []
    for name, codec in codecs.items():
        columns.add(tuple((column.name, column.level, column.form) for column in codec.columns))
        learned.append(f"{name} predicts {', '.join(column.name for column in codec.columns)}")
    if len(columns) > 1:
        raise ComparisonError(
            "models of different labels cannot be compared",
            ", ".join(learned),
            "name models that predict the same columns",
        )


class LabelComparer(Comparer[TaskModel, LabelledData, LabelEvaluation]):
    """Models of the same labels on the same data."""

    def __init__(self, task: str, data: Labelled, options: LabelOptions) -> None:
        self.task, self.data, self.options = task, data, options
        self.codecs: dict[str, Codec] = {}

    def read(self, model: TaskModel, called: str) -> LabelledData:
        # Learned labels are compared before labels that were not learned are noticed.
        self.codecs[called] = model.codec
        check_alike(self.codecs)
        return read(model, self.data, self.options, called)

    def comparable(self, sides: Sequence[Side[TaskModel, LabelledData]]) -> ComparableMetrics:
        return _ALL_METRICS

    def measure(self, side: Side[TaskModel, LabelledData]) -> LabelEvaluation:
        return measure(side.model, side.data)
