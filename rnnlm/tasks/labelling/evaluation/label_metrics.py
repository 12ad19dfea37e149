"""Measure labels: accuracy, spans, confusions, error rates and calibration, with the signatures
of these metrics."""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError, keyword, nearest
from rnnlm.evaluation import metrics, plotting
from rnnlm.tabular import Result
from rnnlm.tasks.common.counted_metrics import (
    CountedMetric,
    References,
    SentenceCounts,
    Statistic,
    error_counts,
    ratio,
    share,
    symbol_error_rate,
    word_error_rate,
)
from rnnlm.tasks.labelling.formats.example import Level
from rnnlm.tasks.labelling.formats.schemes import Span, parse

# ---- Precision, recall and F1 of classes from the counts of right, predicted and gold instances.
# Shapes as in :mod:`rnnlm.tasks.common.counted_metrics`.

Labels = Sequence[Sequence[str]]  # of sentences: one label for each word, or the labels of a text
RIGHT, PREDICTED, GOLD = range(3)  # the kinds of counts by class


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of one class of spans or labels; 0 where the denominator is 0.

    Attributes:
        precision: Precision, 0 to 1.
        recall: Recall, 0 to 1.
        f1: F1, 0 to 1.
        right: Number of correct predictions.
        predicted: Number of predictions.
        gold: Number of gold instances.
    """

    precision: float
    recall: float
    f1: float
    right: int
    predicted: int
    gold: int


def precision(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide right by predicted, all classes together (micro average)."""
    return share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[PREDICTED].sum(axis=-1))


def recall(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide right by gold, all classes together (micro average)."""
    return share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[GOLD].sum(axis=-1))


def f1(sums_KRC: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of precision and recall, all classes together (micro average)."""
    either_R = (sums_KRC[PREDICTED] + sums_KRC[GOLD]).sum(axis=-1)
    return share(2 * sums_KRC[RIGHT].sum(axis=-1), either_R)


def macro_f1(sums_KRC: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that occur among the gold or the predicted labels."""
    either_RC = sums_KRC[PREDICTED] + sums_KRC[GOLD]
    f1_RC = share(2 * sums_KRC[RIGHT], either_RC)
    return share(f1_RC.sum(axis=-1), (either_RC > 0).sum(axis=-1))


def by_class(counts: SentenceCounts) -> dict[str, ClassMetrics]:
    """Return the metrics of each class, in the order of the counts' classes."""
    sums_3C = right_C, predicted_C, gold_C = counts.sums()[:, 0]
    shares_3C = (
        share(right_C, predicted_C),
        share(right_C, gold_C),
        share(2 * right_C, predicted_C + gold_C),
    )
    shares_C3, sums_C3 = np.transpose(shares_3C).tolist(), sums_3C.T.astype(np.int64).tolist()
    return {
        name: ClassMetrics(*shares, *sums)
        for name, shares, sums in zip(counts.classes, shares_C3, sums_C3, strict=True)
    }


def check_lengths(gold: Labels, predicted: Labels, of_words: bool = True) -> None:
    """Refuse labels that are not of the same sentences or, with `of_words`, not as many in each
    sentence."""
    if len(gold) != len(predicted):
        raise UsageError(
            f"there are {len(gold):,} gold sentences and {len(predicted):,} predicted ones",
            hint="label the same sentences",
        )
    if not of_words:
        return
    for number, (expected, guessed) in enumerate(zip(gold, predicted, strict=True), start=1):
        if len(expected) != len(guessed):
            raise UsageError(
                (
                    f"sentence {number:,} has {len(expected):,} gold labels and "
                    f"{len(guessed):,} predicted ones"
                ),
                hint="each word needs one gold and one predicted label",
            )


# ---- Accuracy over all words or a subset, and for each label how often it was right, predicted and
# gold.


def accuracy_counts(
    gold: Labels, predicted: Labels, among: Sequence[Sequence[bool]] | None = None
) -> SentenceCounts:
    """Count right labels and all labels of each sentence: accuracy is the `ratio` of the two.

    among: count only words for which this is true, such as those seen in training.
    """
    check_lengths(gold, predicted)
    if among is not None and list(map(len, among)) != list(map(len, gold)):
        raise UsageError(
            keyword("among") + " and the labels have different lengths",
            hint="give one value for each word",
        )
    right, words = [], []
    for number, (expected, guessed) in enumerate(zip(gold, predicted, strict=True)):
        is_right = list(map(operator.eq, expected, guessed))
        chosen = [True] * len(expected) if among is None else among[number]
        right.append(sum(itertools.compress(is_right, chosen)))
        words.append(sum(map(bool, chosen)))
    return SentenceCounts.of_numbers(right, words)


def label_counts(gold: Labels, predicted: Labels) -> SentenceCounts:
    """Count by sentence how often each label was right, predicted and gold."""
    check_lengths(gold, predicted)
    of_gold, of_predicted = list(_events(gold)), list(_events(predicted))
    right = [event for event, guess in zip(of_gold, of_predicted, strict=True) if event == guess]
    return SentenceCounts.of_events(len(gold), [right, of_predicted, of_gold])


# ---- Expected calibration error of labels: whether a label predicted with probability 0.8 is right
# in 80 of 100 cases.
#
# Guo et al. (2017, eq. 3): the probabilities of the predicted labels are put into 15 bins of equal
# width, (0, 1/15], (1/15, 2/15], ...; the error is the sum over bins of n_b / n |accuracy_b - mean
# probability_b|.

BINS = 15
ROUNDING = 1e-3  # by how much a probability may exceed 1 in the precision of a network


def calibration_counts(
    gold: Labels, predicted: Labels, probabilities: Sequence[Sequence[float]]
) -> SentenceCounts:
    """Count labels, the sum of their probabilities, and right labels, by sentence and bin.
    probabilities: probabilities of the predicted labels."""
    check_lengths(gold, predicted)
    lengths = list(map(len, gold))
    if list(map(len, probabilities)) != lengths:
        raise UsageError(
            "the numbers of probabilities and labels differ",
            hint="give one for each predicted label",
        )
    probability_E = np.array(list(itertools.chain(*probabilities)), dtype=np.float64)
    if not ((probability_E >= 0) & (probability_E <= 1 + ROUNDING)).all():
        raise UsageError("a probability of a label is not between 0 and 1")

    # One entry for each label: its sentence, its bin, and whether it is right.
    right_E = list(map(operator.eq, itertools.chain(*gold), itertools.chain(*predicted)))
    bin_E = np.clip(np.ceil(probability_E * BINS).astype(np.int64) - 1, 0, BINS - 1)
    sentence_E = np.repeat(np.arange(len(gold)), lengths)
    names = [f"{(b + 1) / BINS:.4f}" for b in range(BINS)]
    kinds_E = (np.ones(len(bin_E)), probability_E, right_E)
    return SentenceCounts.of_places(len(gold), names, sentence_E, bin_E, *kinds_E)


def expected_error(sums_KRC: np.ndarray) -> np.ndarray:
    """Return the expected calibration error, 0 to 1; NaN where there are no labels."""
    labels_RC, probability_RC, right_RC = sums_KRC
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(right_RC - probability_RC).sum(axis=-1) / labels_RC.sum(axis=-1)


# ---- The confusion matrix of labels, its largest entries, and its plot.

MOST_LABELS = 30  # of a plot; rarer ones share a row and a column
BESIDE = 2.2  # inches beside the matrix: names of labels, and the colour bar
OTHERS = "(others)"


@dataclass(frozen=True)
class Confusion:
    """Counts of how often each gold label (row) was predicted as each label (column). labels: most
    frequent first. counts_KK: int64."""

    labels: tuple[str, ...]
    counts_KK: np.ndarray

    def most_frequent(self, most: int = 10) -> list[tuple[str, str, int]]:
        """Return the most frequent confusions, in falling order: gold label, predicted label,
        how often."""
        wrong_KK = self.counts_KK * (1 - np.eye(len(self.labels), dtype=np.int64))
        order = np.argsort(-wrong_KK, axis=None, kind="stable")[:most]
        places = zip(*np.unravel_index(order, wrong_KK.shape), strict=True)
        return [
            (self.labels[gold], self.labels[predicted], int(wrong_KK[gold, predicted]))
            for gold, predicted in places
            if wrong_KK[gold, predicted]
        ]

    def joined(self, most: int) -> "Confusion":
        """Return the matrix with at most `most` labels: the rarest are joined into one,
        "(others)"."""
        if len(self.labels) <= most:
            return self
        to_K = np.minimum(np.arange(len(self.labels)), most - 1)
        counts_KK = np.zeros((most, most), dtype=np.int64)
        np.add.at(counts_KK, (to_K[:, None], to_K[None, :]), self.counts_KK)
        return Confusion((*self.labels[: most - 1], OTHERS), counts_KK)


def confusion(gold: Labels, predicted: Labels) -> Confusion:
    """Return the confusion matrix of labels."""
    check_lengths(gold, predicted)
    pairs = Counter(zip(itertools.chain(*gold), itertools.chain(*predicted), strict=True))

    # Order labels by how often they are gold. Labels that were only predicted have a place, too.
    times: Counter[str] = Counter()
    for (expected, guessed), number in pairs.items():
        times[expected] += number
        times[guessed] += 0
    labels = tuple(sorted(times, key=lambda label: (-times[label], label)))

    number_of = {label: number for number, label in enumerate(labels)}
    counts_KK = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (expected, guessed), number in pairs.items():
        counts_KK[number_of[expected], number_of[guessed]] = number
    return Confusion(labels, counts_KK)


def plot(matrix: Confusion, title: str = "") -> "plotting.Figure":
    """Draw the matrix, for :func:`rnnlm.evaluation.plotting.save`: colours are shares of the
    gold label, numbers are counts."""
    matrix = matrix.joined(MOST_LABELS)
    size = len(matrix.labels)
    legend = "correct labels on the diagonal, confusions off it"
    title = f"{title}: {legend}" if title else legend.capitalize()
    inches = min(plotting.WIDEST - BESIDE, max(2.4, 0.4 * size))
    width, height = inches + BESIDE, min(inches + 1.6, plotting.TALLEST)
    figure, axes = plotting.new_figure(title, "predicted label", "gold label", width, height)

    # Colours are shares of rows, so that rare labels show as well as frequent ones. Numbers are
    # written where the cells are large enough.
    share_KK = matrix.counts_KK / np.maximum(matrix.counts_KK.sum(axis=1, keepdims=True), 1)
    digits = len(f"{matrix.counts_KK.max(initial=0)}")
    cell_width = 72 * (inches - 0.5) / size  # points
    has_room = digits * plotting.LETTER * plotting.SMALL < cell_width
    plotting.draw_heat_map(
        axes, share_KK, matrix.labels, matrix.labels, "Blues", highest=1.0,
        label="share of the gold label", numbers_YX=matrix.counts_KK if has_room else None,
    )  # fmt: skip
    return figure


# ---- Exact match: sentences whose labels are all right, in one column or in several together, such
# as slots and intent.


def exact_match_counts(columns: Sequence[tuple[Labels, Labels]]) -> SentenceCounts:
    """Count sentences whose labels are all right, and all sentences: exact match is the `ratio` of
    the two.

    columns: the gold and the predicted labels of each column.
    """
    if not columns:
        raise UsageError("exact match needs a column of labels", "there is none")
    for gold, predicted in columns:
        check_lengths(gold, predicted, of_words=False)
    sentences = sorted({len(gold) for gold, _ in columns})
    if len(sentences) > 1:
        numbers = ", ".join(map("{:,}".format, sentences))
        raise UsageError(
            "the label columns have different sentences", f"they have {numbers} sentences"
        )

    right_CN = [
        list(map(operator.eq, map(list, gold), map(list, predicted))) for gold, predicted in columns
    ]
    right = np.all(right_CN, axis=0)
    return SentenceCounts.of_numbers(right, [1] * len(right))


# ---- Sets of labels, for texts that may have several: how often each label was right, predicted
# and gold, and how often the whole set was right.


def label_set_counts(gold: Labels, predicted: Labels) -> SentenceCounts:
    """Count by text how often each label was right, predicted and gold. The order of a text's
    labels makes no difference."""
    check_lengths(gold, predicted, of_words=False)
    gold_sets, predicted_sets = list(map(set, gold)), list(map(set, predicted))
    kinds = map(set.intersection, gold_sets, predicted_sets), predicted_sets, gold_sets
    return SentenceCounts.of_events(len(gold), list(map(_events, kinds)))


def _events(classes_of: Iterable[Iterable[str]]) -> Iterator[tuple[int, str]]:
    """Yield each class with the number of its sentence or text."""
    for number, classes in enumerate(classes_of):
        yield from ((number, name) for name in classes)


def set_match_counts(gold: Labels, predicted: Labels) -> SentenceCounts:
    """Count texts whose set of labels is right, and all texts: exact match (subset accuracy) is
    the `ratio` of the two."""
    check_lengths(gold, predicted, of_words=False)
    right = list(map(operator.eq, map(set, gold), map(set, predicted)))
    return SentenceCounts.of_numbers(right, [1] * len(right))


# ---- The signature of a metric of labels.


@dataclass(frozen=True)
class LabelSignature(metrics.MetricSignature):
    """The parts of a signature, in the order in which they are printed; empty ones are left out.
    metric: f1, accuracy, ...; column: the column of labels, where the data has several; mode and
    scheme: of spans; data: the hash of words and labels; model: its fingerprint."""

    column: str = ""
    mode: str = ""  # of spans: conlleval
    scheme: str = ""  # iob1 | bio | bioes
    data: str = ""
    model: str = ""


# ---- Spans in label sequences, and how many of the gold spans were predicted.
#
# conlleval (Tjong Kim Sang & Buchholz 2000, the script of the CoNLL shared tasks) finds spans in
# any sequence: a span begins wherever two neighbouring labels imply it, so an I that follows O or a
# span of another type begins one. BIO (IOB2) and IOB1 are read alike; BIOES is converted to BIO
# first (S to B, E to I). On labels of BIO and IOB1 this is the rule by which training data are read
# (:func:`rnnlm.tasks.labelling.formats.schemes.spans`); other labels are read as the script reads
# them, except for its brackets.
#
# A span is correct if its type, its beginning and its end are.

MODE = "conlleval"  # in signatures
SCHEMES = ("iob1", "bio", "bioes")
_AS_BIO = {"S": "B", "E": "I"}
# Prefixes of neighbouring labels between which a span starts or ends, as in conlleval. An E here is
# of schemes other than BIOES.
_STARTS = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}
_ENDS = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}
_OUTSIDE = ("O", ".")  # the dot is conlleval's
_type_of = operator.attrgetter("type")


def spans(labels: Sequence[str], scheme: str) -> list[Span]:
    """Return the spans of a sentence, in their order. scheme: iob1, bio or bioes."""
    if scheme not in SCHEMES:
        raise UsageError(f"labels of scheme {scheme} are not spans", hint=nearest(scheme, SCHEMES))
    parts = list(map(parse, labels))
    if scheme == "bioes":
        parts = [(_AS_BIO.get(prefix, prefix), type_) for prefix, type_ in parts]
    return list(_conlleval(parts))


def span_counts(gold: Labels, predicted: Labels, scheme: str) -> SentenceCounts:
    """Count by sentence how many spans of each type were right, predicted and gold."""
    check_lengths(gold, predicted)
    right, predicted_types, gold_types = [], [], []
    for expected, guessed in zip(gold, predicted, strict=True):
        gold_spans = set(spans(expected, scheme))
        predicted_spans = set(spans(guessed, scheme))
        gold_types.append(map(_type_of, gold_spans))
        predicted_types.append(map(_type_of, predicted_spans))
        right.append(map(_type_of, gold_spans & predicted_spans))
    return SentenceCounts.of_events(
        len(gold), [_events(right), _events(predicted_types), _events(gold_types)]
    )


def _conlleval(parts: Sequence[tuple[str, str]]) -> Iterator[Span]:
    """Yield the spans that conlleval finds: two neighbouring labels decide whether one starts or
    ends between them."""
    start = None
    before, type_before = "O", ""
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):  # the O ends a last span
        changed = type_ != type_before
        ends = (before, prefix) in _ENDS or (changed and before not in _OUTSIDE)
        if start is not None and ends:
            yield Span(start, place, type_before)
            start = None
        if (before, prefix) in _STARTS or (changed and prefix not in _OUTSIDE):
            start = place
        before, type_before = prefix, type_


# ---- All metrics that apply to a column of labels, as `rnnlm eval` prints them, and the counts
# that they are computed from.

_LEARNED: Mapping[Level, str] = {"word": "tagging", "text": "classification"}


@dataclass(frozen=True)
class Predictions:
    """A column of labels, both gold and predicted, and further facts about it.

    level: whether words or texts are labelled. gold, predicted: for each sentence the labels of its
    words; for each text a list of its one label, or of its labels (`multi_label`). column: its
    name. scheme: "none", or the scheme of spans: iob1, bio or bioes. known:
    for each word, whether it occurs in the training data. training_labels: those of the
    training data. probabilities: of each predicted label; not for texts with several labels.
    references, symbols: for letters to sounds, the references of each word and the symbols
    predicted for it; `gold` and `predicted` are then the labels of letters, or empty where the data
    does not say which letter has which symbol. nodes: gold ("" where a node has none) and predicted
    labels of the nodes of each tree.
    """

    level: Level
    gold: Labels
    predicted: Labels
    column: str = ""
    scheme: str = "none"
    multi_label: bool = False
    known: Sequence[Sequence[bool]] | None = None
    training_labels: Collection[str] | None = None
    probabilities: Sequence[Sequence[float]] | None = None
    references: References | None = None
    symbols: Sequence[Sequence[str]] | None = None
    nodes: Sequence[tuple[Sequence[str], Sequence[str]]] = ()

    def __post_init__(self) -> None:
        if self.level not in _LEARNED:
            raise UsageError(f"labels of a {self.level} have no metrics", hint="use word or text")
        if self.multi_label and self.level == "word":
            raise UsageError(
                "a word has one label in each column",
                "only texts can have several labels",
                "use classification, or another column",
            )
        if (self.references is None) != (self.symbols is None):
            raise UsageError(
                "error rates need the references of each word and the symbols predicted for it",
                "one of them is missing",
            )

    @property
    def has_spans(self) -> bool:
        """Whether the labels of words encode spans."""
        return self.level == "word" and self.scheme != "none"


@dataclass(frozen=True)
class LabelMetric(metrics.MetricDefinition):
    """A metric of labels.

    Attributes:
        counts: Name of its counts in the result of :func:`counts_of`.
        statistic: Function from the sums of these counts to the value.
        most: The largest value.
    """

    counts: str = ""
    statistic: Statistic = ratio
    most: float = 1.0


# In the order in which they are printed. LabelMetrics has a field for each.
LABEL_METRICS = metrics.named(
    LabelMetric("f1", counts="sets", statistic=f1),
    LabelMetric("precision", counts="sets", statistic=precision),
    LabelMetric("recall", counts="sets", statistic=recall),
    LabelMetric("accuracy", counts="right"),
    LabelMetric("accuracy_nodes", counts="right_nodes"),
    LabelMetric("accuracy_known", counts="right_known"),
    LabelMetric("accuracy_unknown", counts="right_unknown"),
    LabelMetric("macro_f1", counts="classes", statistic=macro_f1),
    LabelMetric("exact_match", counts="matches"),
    LabelMetric("ece", higher_is_better=False, counts="bins", statistic=expected_error),
    LabelMetric(
        "word_error_rate", higher_is_better=False, counts="errors", statistic=word_error_rate
    ),
    LabelMetric(
        "symbol_error_rate",
        higher_is_better=False,
        counts="errors",
        statistic=symbol_error_rate,
        most=math.inf,
    ),
)


@dataclass(frozen=True)
class LabelMetrics(Result):
    """The metrics of a column of labels as fractions of 1. A metric is None if it does not apply or
    nothing was counted for it.

    Attributes:
        task: "tagging" or "classification".
        column: Name of the column.
        scheme: Scheme in which labels encode spans.
        mode: Mode of matching spans; None if there are no spans.
        sentences: Number of sentences, or of texts if texts are classified.
        words: Number of words with labels.
        words_unknown: Number of words that do not occur in the training data.
        accuracy: Share of correct labels; None if texts have several labels.
        accuracy_nodes: Of trees, accuracy on all nodes with labels.
        accuracy_known: Accuracy on words of the training data.
        accuracy_unknown: Accuracy on unknown words.
        precision: Precision of spans, or of the labels of texts with several labels (micro
            average).
        recall: Recall of the same.
        f1: F1 of the same.
        macro_f1: Mean F1 over types of spans, or over labels if there are no spans.
        by_type: Metrics of each type of spans or each label.
        exact_match: Share of sentences, or of texts with several labels, in which every label is
            correct.
        ece: Expected calibration error.
        word_error_rate: For letters to sounds, the share of words that are wrong.
        symbol_error_rate: For letters to sounds, the edits per reference symbol; it can be above 1.
        unseen_labels: Gold labels that do not occur in the training data, which count as wrong, and
            how often each occurs.
        unseen_count: Total of these occurrences.
    """

    task: str
    column: str
    scheme: str
    mode: str | None
    sentences: int
    words: int | None
    words_unknown: int | None
    accuracy: float | None
    accuracy_nodes: float | None
    accuracy_known: float | None
    accuracy_unknown: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    macro_f1: float | None
    by_type: dict[str, ClassMetrics]
    exact_match: float | None
    ece: float | None
    word_error_rate: float | None
    symbol_error_rate: float | None
    unseen_labels: dict[str, int] | None
    unseen_count: int | None


def measures(predictions: Predictions) -> dict[str, CountedMetric]:
    """Return the metrics that apply, ready to be resampled (:mod:`rnnlm.evaluation.resampling`),
    by name."""
    counts = counts_of(predictions)
    return {
        name: CountedMetric(counts[definition.counts], definition.statistic, definition.most)
        for name, definition in LABEL_METRICS.items()
        if definition.counts in counts
    }


def counts_of(predictions: Predictions) -> dict[str, SentenceCounts]:
    """Count the basis of the metrics, sentence by sentence: all that applies, by the names in
    LABEL_METRICS."""
    gold, predicted, known = predictions.gold, predictions.predicted, predictions.known
    counts: dict[str, SentenceCounts] = {}
    if predictions.references is not None and predictions.symbols is not None:
        counts["errors"] = error_counts(predictions.references, predictions.symbols)
        if not gold and not predicted:
            return counts

    # Texts with several labels each.
    if predictions.multi_label:
        counts["sets"] = counts["classes"] = label_set_counts(gold, predicted)
        counts["matches"] = set_match_counts(gold, predicted)
        return counts

    # One label for each word, or for the text.
    counts["right"] = accuracy_counts(gold, predicted)
    if predictions.nodes:
        gold_nodes, predicted_nodes = zip(*predictions.nodes, strict=True)
        counts["right_nodes"] = accuracy_counts(
            gold_nodes, predicted_nodes, [list(map(bool, labels)) for labels in gold_nodes]
        )
    if known is not None:
        unknown = [list(map(operator.not_, row)) for row in known]
        counts["right_known"] = accuracy_counts(gold, predicted, known)
        counts["right_unknown"] = accuracy_counts(gold, predicted, unknown)

    # Spans are counted where there are any, otherwise the labels themselves.
    if predictions.has_spans:
        counts["sets"] = counts["classes"] = span_counts(gold, predicted, predictions.scheme)
    else:
        counts["classes"] = label_counts(gold, predicted)
    if predictions.level == "word":
        counts["matches"] = exact_match_counts([(gold, predicted)])
    if predictions.probabilities is not None:
        counts["bins"] = calibration_counts(gold, predicted, predictions.probabilities)
    return counts


def report(
    predictions: Predictions, measured: Mapping[str, CountedMetric] | None = None
) -> LabelMetrics:
    """Compute the metrics of a column of labels. measured: the result of :func:`measures`, if it
    is known already."""
    counted = measures(predictions) if measured is None else measured
    is_of_words, known = predictions.level == "word", predictions.known
    unseen = _unseen(predictions)
    values: dict[str, Any] = {
        # The metrics that apply; the others are None.
        **dict.fromkeys(LABEL_METRICS),
        **{name: measure.value for name, measure in counted.items()},
        "by_type": by_class(counted["macro_f1"].counts) if "macro_f1" in counted else {},
        # The labelled units.
        "task": _LEARNED[predictions.level],
        "column": predictions.column,
        "scheme": predictions.scheme,
        "mode": MODE if predictions.has_spans else None,
        "sentences": len(predictions.gold) or len(predictions.references or ()),
        "words": sum(map(len, predictions.gold)) if is_of_words else None,
        # Words and labels that training did not see.
        "words_unknown": None if known is None else [*itertools.chain(*known)].count(False),
        "unseen_labels": unseen,
        "unseen_count": None if unseen is None else sum(unseen.values()),
    }
    return LabelMetrics(**values)


def joint_exact_match(columns: Sequence[Predictions]) -> CountedMetric:
    """Return the share of sentences in which every column of labels is right, such as slots and
    intent."""
    return CountedMetric(
        exact_match_counts([(column.gold, column.predicted) for column in columns]), ratio
    )


def _unseen(predictions: Predictions) -> dict[str, int] | None:
    """Return the gold labels that do not occur in the training data, the most frequent first;
    None where the training labels are unknown."""
    if predictions.training_labels is None:
        return None
    known = predictions.training_labels
    times = Counter(label for label in itertools.chain(*predictions.gold) if label not in known)
    return dict(times.most_common())
