"""Compare taggers or classifiers by all metrics of labels, with sentences resampled."""

from collections.abc import Sequence

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.pairing import Comparable, Comparing, Side
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.evaluation.label_evaluation import LabelEvaluation
from rnnlm.evaluation.labels import LABEL_METRICS
from rnnlm.tasks.labels.data import LabelledData
from rnnlm.tasks.labels.evaluation import Labelled, measure, read
from rnnlm.tasks.labels.model import TaskModel
from rnnlm.tasks.labels.options import LabelOptions

_ALL_METRICS = Comparable(tuple(LABEL_METRICS), "", differing=tuple(LABEL_METRICS))


def comparable_stored(models: Sequence[StoredModel]) -> Comparable:
    """Return which of the metrics compare that were stored when the models were trained."""
    return _ALL_METRICS


class ComparingLabels(Comparing[TaskModel, LabelledData, LabelEvaluation]):
    """Models of the same labels on the same data."""

    def __init__(self, task: str, data: Labelled, options: LabelOptions) -> None:
        self.task, self.data, self.options = task, data, options
        self.models: dict[str, TaskModel] = {}

    def read(self, model: TaskModel, called: str) -> LabelledData:
        # What models have learned is compared before what they have not learned is noticed.
        self.models[called] = model
        self._check_alike()
        return read(model, self.data, self.options, called)

    def _check_alike(self) -> None:
        columns = set()
        learned = []
        for name, model in self.models.items():
            columns.add(tuple((each.name, each.level, each.form) for each in model.codec.columns))
            names = ", ".join(each.name for each in model.codec.columns)
            learned.append(f"{name} has learned {names}")
        if len(columns) > 1:
            raise ComparisonError(
                "models of different labels cannot be compared",
                ", ".join(learned),
                "name models that have learned the same columns",
            )

    def comparable(self, sides: Sequence[Side[TaskModel, LabelledData]]) -> Comparable:
        return _ALL_METRICS

    def measure(self, side: Side[TaskModel, LabelledData]) -> LabelEvaluation:
        return measure(side.model, side.data)
