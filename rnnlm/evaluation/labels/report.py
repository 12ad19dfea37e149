"""The figures of a column of labels: all that applies to it, as `rnnlm eval` prints them, and the measures they come from."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rnnlm.errors import UsageError
from rnnlm.evaluation import error_rates
from rnnlm.evaluation.counts import Counts, Measure, ratio
from rnnlm.evaluation.labels import calibration, class_counts
from rnnlm.evaluation.labels.accuracy import accuracy_counts, label_counts
from rnnlm.evaluation.labels.class_counts import ClassFigures, Labels
from rnnlm.evaluation.labels.exact_match import exact_match_counts
from rnnlm.evaluation.labels.label_sets import label_set_counts, set_match_counts
from rnnlm.evaluation.labels.spans import Mode, span_counts

Task = Literal["tagging", "classification"]


@dataclass(frozen=True)
class Predictions:
    """A column of labels as the data and a model have it, and what else is known of it.

    gold, predicted: of each sentence the labels of its words; of each text its label, as a list of one, or its labels (`multi_label`).
    column: its name. scheme: none, or that of spans: iob1, bio or bioes. mode: how spans are counted. known: of each word, whether training
    knew it. training_labels: those that training saw. probabilities: of each predicted label; not of several labels of a text.
    references, symbols: of letters to sounds, the references of each word and the symbols that were predicted for it; `gold` and
    `predicted` are then the labels of letters, or empty where the data does not say which letter bears which symbol.
    """

    task: Task
    gold: Labels
    predicted: Labels
    column: str = ""
    scheme: str = "none"
    mode: Mode = "conlleval"
    multi_label: bool = False
    known: Sequence[Sequence[bool]] | None = None
    training_labels: Collection[str] | None = None
    probabilities: Sequence[Sequence[float]] | None = None
    references: error_rates.References | None = None
    symbols: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        if self.task not in ("tagging", "classification"):
            raise UsageError(f"task {self.task} has no figures of labels", hint="tagging or classification")
        if self.multi_label and self.task == "tagging":
            raise UsageError("a word has one label in each column", "several labels are of texts", "classification, or another column")
        if (self.references is None) != (self.symbols is None):
            raise UsageError("error rates need the references of each word and the symbols predicted for it", "one of them is missing")


@dataclass(frozen=True)
class LabelFigures:
    """The figures of a column of labels, fractions of 1; None where a figure does not apply or nothing was counted for it.

    sentences: or texts, where these are classified. words: those that have labels; words_unknown: those that training did not know.
    accuracy: None where a text bears several labels. precision, recall, f1: of spans, or of the labels of texts that bear several (micro
    averages). macro_f1: the mean over types of spans, or over labels where there are no spans; by_type: the figures of each.
    exact_match: sentences, or texts of several labels, of which every label is right. ece: expected calibration error. unseen_labels: gold
    labels that training never saw, which count as wrong, and how often each occurs; unseen_count: all of these together. word_error_rate,
    symbol_error_rate: of letters to sounds; the latter can be above 1.
    """

    task: str
    column: str
    scheme: str
    mode: str | None
    sentences: int
    words: int | None
    words_unknown: int | None
    accuracy: float | None
    accuracy_known: float | None
    accuracy_unknown: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    macro_f1: float | None
    by_type: dict[str, ClassFigures]
    exact_match: float | None
    ece: float | None
    word_error_rate: float | None
    symbol_error_rate: float | None
    unseen_labels: dict[str, int] | None
    unseen_count: int | None

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return dataclasses.asdict(self)


def measures(predictions: Predictions) -> dict[str, Measure]:
    """The measures that apply, by the names of figures in :class:`LabelFigures`, to be resampled
    (:mod:`rnnlm.evaluation.significance`).

    Raises:
        UsageError: the labels are not of the same words, or not of their scheme.
    """
    found: dict[str, Measure] = {}
    if predictions.gold or predictions.predicted or predictions.references is None:
        found |= _of_sets(predictions) if predictions.multi_label else _of_words(predictions)
    if predictions.references is not None and predictions.symbols is not None:
        its = error_rates.error_counts(predictions.references, predictions.symbols)
        found["word_error_rate"] = Measure(its, error_rates.word_error_rate, higher_is_better=False)
        found["symbol_error_rate"] = Measure(its, error_rates.symbol_error_rate, higher_is_better=False)
    return found


def report(predictions: Predictions) -> LabelFigures:
    """The figures of a column of labels.

    Raises:
        UsageError: the labels are not of the same words, or not of their scheme.
    """
    found = measures(predictions)
    is_tagging, known = predictions.task == "tagging", predictions.known
    names = {field.name for field in dataclasses.fields(LabelFigures)}
    figures: dict[str, Any] = dict.fromkeys(names) | {name: measure.value for name, measure in found.items()}
    unseen = _unseen(predictions)
    return LabelFigures(**figures | {
        "task": predictions.task, "column": predictions.column, "scheme": predictions.scheme,
        "mode": predictions.mode if _has_spans(predictions) else None,
        "sentences": len(predictions.gold) or len(predictions.references or ()),
        "words": sum(map(len, predictions.gold)) if is_tagging else None,
        "words_unknown": None if known is None else sum(not each for row in known for each in row),
        "by_type": class_counts.by_class(found["macro_f1"].counts) if "macro_f1" in found else {},
        "unseen_labels": unseen, "unseen_count": None if unseen is None else sum(unseen.values()),
    })  # fmt: skip


def joint_exact_match(columns: Sequence[Predictions]) -> Measure:
    """Sentences of which every column of labels is right, as slots and intent.

    Raises:
        UsageError: there is no column, or they are not of the same sentences.
    """
    return Measure(exact_match_counts([(each.gold, each.predicted) for each in columns]), ratio)


def _has_spans(predictions: Predictions) -> bool:
    return predictions.task == "tagging" and predictions.scheme != "none"


def _of_words(predictions: Predictions) -> dict[str, Measure]:
    """Of columns with one label for each word, or for the text."""
    gold, predicted, known = predictions.gold, predictions.predicted, predictions.known
    found = {"accuracy": Measure(accuracy_counts(gold, predicted), ratio)}
    if known is not None:
        unknown = [[not each for each in row] for row in known]
        found["accuracy_known"] = Measure(accuracy_counts(gold, predicted, known), ratio)
        found["accuracy_unknown"] = Measure(accuracy_counts(gold, predicted, unknown), ratio)
    if _has_spans(predictions):
        found |= _by_class(span_counts(gold, predicted, predictions.scheme, predictions.mode))
    else:
        found["macro_f1"] = Measure(label_counts(gold, predicted), class_counts.macro_f1)
    if predictions.task == "tagging":
        found["exact_match"] = joint_exact_match([predictions])
    if predictions.probabilities is not None:
        its = calibration.calibration_counts(gold, predicted, predictions.probabilities)
        found["ece"] = Measure(its, calibration.expected_error, higher_is_better=False)
    return found


def _of_sets(predictions: Predictions) -> dict[str, Measure]:
    """Of texts that bear several labels."""
    matches = set_match_counts(predictions.gold, predictions.predicted)
    return _by_class(label_set_counts(predictions.gold, predictions.predicted)) | {"exact_match": Measure(matches, ratio)}


def _by_class(its: Counts) -> dict[str, Measure]:
    figures = {"precision": class_counts.precision, "recall": class_counts.recall, "f1": class_counts.f1, "macro_f1": class_counts.macro_f1}
    return {name: Measure(its, figure) for name, figure in figures.items()}


def _unseen(predictions: Predictions) -> dict[str, int] | None:
    """Gold labels that training never saw, the most frequent first; None where it is not known what training saw."""
    if predictions.training_labels is None:
        return None
    seen = set(predictions.training_labels)
    return dict(Counter(label for labels in predictions.gold for label in labels if label not in seen).most_common())
