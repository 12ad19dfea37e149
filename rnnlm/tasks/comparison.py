"""Compare models of a task whose metrics are counted line by line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from rnnlm.evaluation.comparison.pairing import Comparable, Comparing, Side
from rnnlm.evaluation.metrics import Evaluation
from rnnlm.tasks.request import CountedText

if TYPE_CHECKING:
    from rnnlm.tasks.task import Given, Task

M = TypeVar("M")
D = TypeVar("D", bound=CountedText)
C = TypeVar("C")
K = TypeVar("K")


class ComparingByTask(Comparing[M, D, Evaluation]):
    """Models of a task on the same data, which compare by all of its metrics."""

    def __init__(self, task: "Task[M, D, C, K]", data: "Given | D", options: K | None) -> None:
        self.learned, self.data, self.options = task, data, options
        self.task = task.name
        self.models: dict[str, M] = {}

    def read(self, model: M, called: str) -> D:
        # What models have learned is compared before what they have not learned is noticed.
        self.models[called] = model
        self.learned.check_alike(self.models)
        return self.learned.read(model, self.data, self.options, called)

    def comparable(self, sides: Sequence[Side[M, D]]) -> Comparable:
        return Comparable(self.learned.compared, "", differing=self.learned.compared)

    def measure(self, side: Side[M, D]) -> Evaluation:
        return self.learned.evaluate_encoded(side.model, side.data, self.options)
