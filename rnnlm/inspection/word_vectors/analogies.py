"""A test set of analogies, a is to b as c is to d: how often d is the word nearest to b - a + c, by type (Mikolov et al. 2013; Levy &
Goldberg 2014, equation 3: 3CosAdd)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import TextError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.inspection.result import Table
from rnnlm.inspection.subjects import Model
from rnnlm.inspection.word_vectors.vocabulary import described, lower_cases, vectors_of
from rnnlm.inspection.word_vectors.word_tables import Question, read_analogies
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all"
_NUMBERS = 1 << 25  # cosines in memory at a time


@dataclass(frozen=True)
class TypeAccuracy:
    """Of one type of analogy, or "all": how many questions, those whose four words have vectors, how many of these are answered right, and
    the share with its 95 % interval (bootstrap over questions); None where none is known."""

    type: str
    questions: int
    known: int
    right: int
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Analogies:
    """Accuracy by type, all types together last. file: what holds the questions. source: what the vectors are. words: how many could be the
    answer."""

    file: str
    source: str
    words: int
    types: tuple[TypeAccuracy, ...]

    @property
    def verdict(self) -> str:
        """The accuracy over all types, beside chance."""
        total = self.types[-1]
        share = f"{total.known:,} of {total.questions:,} questions ({total.known / total.questions:.1%}) have vectors for all four words"
        right = f"{total.accuracy:.1%} [{total.low:.1%}, {total.high:.1%}]"
        known = [each for each in self.types[:-1] if each.accuracy is not None]
        ends = ""
        if len({each.accuracy for each in known}) > 1:
            best, worst = (end(known, key=lambda each: each.accuracy or 0.0) for end in (max, min))
            ends = f" Best: {best.type} ({best.accuracy:.1%}); worst: {worst.type} ({worst.accuracy:.1%})."
        return f"{right} of the analogies come out; guesses would be right in {1 / self.words:.3%}. {share}.{ends}"

    def tables(self) -> Sequence[Table]:
        """A row a type, all types together last."""
        columns = tuple(field.name for field in dataclasses.fields(TypeAccuracy))
        return [Table(columns, tuple(tuple(getattr(each, name) for name in columns) for each in self.types), self.source)]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return dataclasses.asdict(self)

    def figure(self) -> "Figure":
        """Accuracies with their intervals, one line a type."""
        shown = [each for each in self.types if each.accuracy is not None]
        figure, axes = plotting.new_figure("", "accuracy", "", height=1 + 0.25 * len(shown))
        values = np.array([(each.accuracy, each.low, each.high) for each in shown], dtype=np.float64)
        bars = np.stack([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]])
        axes.errorbar(values[:, 0], range(len(shown)), xerr=bars, fmt="o", capsize=3)
        axes.set_yticks(range(len(shown)), [each.type for each in shown], parse_math=False)
        axes.set_xlim(-0.02, 1.02)
        axes.invert_yaxis()
        return figure


def inspect_analogies(
    model: Model | WordVectors = SHIPPED, file: str | Path = "-", *, which: Which = "input",
    columns: str | None = None,
) -> Analogies:  # fmt: skip
    """How many analogies of a `file` come out, by type: its lines are `A B C D`, those of a type below a line `: TYPE`, or it is a table.
    model and which as for :func:`rnnlm.inspect_neighbours`. columns: of a table: "TYPE,A,B,C,D" or "A,B,C,D" by name or number; None: its
    last five or four columns of words. The three words of a question are no answers. Where no word that has a vector has capital letters,
    the file's words are lower-cased, and a notice says so.

    Raises:
        TextError: the file cannot be read, lacks a column, or no question has vectors for its four words. UsageError: the model has no such
            vectors. ModelError: there is no such model.
    """
    known = vectors_of("analogies", model, which)
    questions = read_analogies(str(file), columns)
    if lower_cases(known, (word for question in questions for word in question.words), str(file)):
        questions = [Question(each.kind, *(word.lower() for word in each.words)) for each in questions]
    is_known_Q = np.array([all(word in known.numbers for word in each.words) for each in questions])
    if not is_known_Q.any():
        why = f"no question of {len(questions):,} has vectors for its four words"
        raise TextError(f"no analogy of {file} is known", why, "they may be written in another case")
    rows_Q4 = np.array([[known.numbers[word] for word in each.words] for each, asks in zip(questions, is_known_Q, strict=True) if asks])
    is_right_Q = np.zeros(len(questions), dtype=bool)
    is_right_Q[is_known_Q] = _answers(known, rows_Q4) == rows_Q4[:, 3]
    kinds = np.array([each.kind for each in questions])
    names = list(dict.fromkeys(kinds.tolist()))
    chosen = [(name, kinds == name) for name in names] if names != [""] else []
    types = [_accuracy(name, is_it_Q, is_known_Q, is_right_Q) for name, is_it_Q in (*chosen, (ALL, np.ones(len(questions), dtype=bool)))]
    return Analogies(str(file), described(known), int(known.is_word_V.sum()), tuple(types))


def _answers(known: WordVectors, rows_Q4: np.ndarray) -> np.ndarray:
    """The row of the word nearest to b - a + c, for each question; a, b and c are no answers."""
    unit_VE, batch = known.unit_VE, max(1, _NUMBERS // len(known.words))
    found = []
    for start in range(0, len(rows_Q4), batch):
        a, b, c, _ = rows_Q4[start : start + batch].T
        score_QV = (unit_VE[b] - unit_VE[a] + unit_VE[c]) @ unit_VE.T
        score_QV[:, ~known.is_word_V] = -np.inf
        for each in (a, b, c):
            score_QV[np.arange(len(each)), each] = -np.inf
        found.append(score_QV.argmax(axis=1))
    return np.concatenate(found)


def _accuracy(name: str, is_it_Q: np.ndarray, is_known_Q: np.ndarray, is_right_Q: np.ndarray) -> TypeAccuracy:
    right = is_right_Q[is_it_Q & is_known_Q]
    counts = int(is_it_Q.sum()), len(right), int(right.sum())
    if not len(right):
        return TypeAccuracy(name, *counts, None, None, None)
    interval = ratio_interval(right)
    return TypeAccuracy(name, *counts, interval.estimate, interval.low, interval.high)
