"""Measures of labels: accuracy, spans, confusions, error rates, calibration, their signature,
intervals and tests."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from rnnlm.errors import UsageError, nearest, shown
from rnnlm.evaluation import plotting, translation
from rnnlm.evaluation.metrics import FigureSignature
from rnnlm.evaluation.resampling import Counts, Measure, ratio
from rnnlm.text.labelled.example import Level

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- Precision, recall and F1 of classes from the counts of what was right, predicted and there.
# Shapes: those of :mod:`rnnlm.evaluation.resampling`.

Labels = Sequence[Sequence[str]]  # of sentences: one label for each word, or those of a text
RIGHT, PREDICTED, GOLD = range(3)  # the kinds of counts by class


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one class of spans or labels (0 where the denominator is 0), and
    how many were right, predicted and there."""

    precision: float
    recall: float
    f1: float
    right: int
    predicted: int
    gold: int


def precision(sums_KRC: np.ndarray) -> np.ndarray:
    """Right over predicted, all classes together (micro average)."""
    return _share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[PREDICTED].sum(axis=-1))


def recall(sums_KRC: np.ndarray) -> np.ndarray:
    """Right over gold, all classes together (micro average)."""
    return _share(sums_KRC[RIGHT].sum(axis=-1), sums_KRC[GOLD].sum(axis=-1))


def f1(sums_KRC: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall, all classes together (micro average)."""
    return _share(
        2 * sums_KRC[RIGHT].sum(axis=-1), (sums_KRC[PREDICTED] + sums_KRC[GOLD]).sum(axis=-1)
    )


def macro_f1(sums_KRC: np.ndarray) -> np.ndarray:
    """The mean F1 of the classes that occur, in the gold labels or in those predicted."""
    either_RC = sums_KRC[PREDICTED] + sums_KRC[GOLD]
    return _share(_share(2 * sums_KRC[RIGHT], either_RC).sum(axis=-1), (either_RC > 0).sum(axis=-1))


def by_class(counts: Counts) -> dict[str, ClassFigures]:
    """The figures of each class, in the order of the counts' classes."""
    sums_KC = counts.sums()[:, 0]
    right, predicted, gold = sums_KC
    shares = [_share(right, predicted), _share(right, gold), _share(2 * right, predicted + gold)]
    columns = zip(
        *(each.tolist() for each in shares),
        *(each.astype(int).tolist() for each in sums_KC),
        strict=True,
    )
    return {
        name: ClassFigures(*values) for name, values in zip(counts.classes, columns, strict=True)
    }


def check_lengths(gold: Labels, predicted: Labels, of_words: bool = True) -> None:
    """Whether the two are of the same sentences; `of_words`: and have as many labels in each.

    Raises:
        UsageError: they are not.
    """
    if len(gold) != len(predicted):
        raise UsageError(
            f"there are {len(gold):,} gold sentences and {len(predicted):,} predicted ones",
            hint="label the same sentences",
        )
    if of_words:
        for number, (expected, found) in enumerate(zip(gold, predicted, strict=True), start=1):
            if len(expected) != len(found):
                raise UsageError(
                    (
                        f"sentence {number:,} has {len(expected):,} gold labels and "
                        f"{len(found):,} predicted ones"
                    ),
                    hint="each word needs one label of either kind",
                )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where nothing is there: as conlleval and seqeval have it."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


# ---- Accuracy over all words or some of them, and for each label how often it was right, predicted
# and gold.


def accuracy_counts(
    gold: Labels, predicted: Labels, among: Sequence[Sequence[bool]] | None = None
) -> Counts:
    """Right labels and labels, of each sentence: accuracy is the `ratio` of the two.

    among: only words for which this is true count, as those that training knew.

    Raises:
        UsageError: the three are not of the same words.
    """
    check_lengths(gold, predicted)
    if among is not None and [len(each) for each in among] != [len(each) for each in gold]:
        raise UsageError(
            "which words are known is not said of the same words as the labels",
            hint="one value for each word",
        )
    right, words = [], []
    for number, (expected, found) in enumerate(zip(gold, predicted, strict=True)):
        chosen = [True] * len(expected) if among is None else among[number]
        right.append(
            sum(a == b for a, b, counts in zip(expected, found, chosen, strict=True) if counts)
        )
        words.append(sum(map(bool, chosen)))
    return Counts.of_numbers(right, words)


def label_counts(gold: Labels, predicted: Labels) -> Counts:
    """How often each label was right, predicted and there, by sentence.

    Raises:
        UsageError: the two are not of the same words.
    """
    check_lengths(gold, predicted)
    pairs = [
        (number, a, b)
        for number, both in enumerate(zip(gold, predicted, strict=True))
        for a, b in zip(*both, strict=True)
    ]
    return Counts.of_events(
        len(gold),
        [
            [(n, a) for n, a, b in pairs if a == b],
            [(n, b) for n, _, b in pairs],
            [(n, a) for n, a, _ in pairs],
        ],
    )


# ---- Expected calibration error of labels: whether a label predicted with probability 0.8 is right
# in 80 of 100 cases.
#
# Guo et al. (2017, eq. 3): the probabilities of the predicted labels are put into 15 bins of equal
# width, (0, 1/15], (1/15, 2/15], ...; the error is the sum over bins of n_b / n |accuracy_b - mean
# probability_b|. (What language models are measured by, in :mod:`rnnlm.evaluation.calibration`, has
# 10 bins and keeps them for its plot.)

BINS = 15
ROUNDING = 1e-3  # by how much a probability may exceed 1 in the precision of a network


def calibration_counts(
    gold: Labels, predicted: Labels, probabilities: Sequence[Sequence[float]]
) -> Counts:
    """Labels, the sum of their probabilities, and right labels, by sentence and bin. probabilities:
    of each predicted label.

    Raises:
        UsageError: the three are not of the same words, or a probability is not between 0 and 1.
    """
    check_lengths(gold, predicted)
    if [len(each) for each in probabilities] != [len(each) for each in gold]:
        raise UsageError(
            "there are not as many probabilities as labels",
            hint="give one for each predicted label",
        )
    probability_E = np.array([p for each in probabilities for p in each], dtype=np.float64)
    if not ((probability_E >= 0) & (probability_E <= 1 + ROUNDING)).all():
        raise UsageError("a probability of a label is not between 0 and 1")
    right_E = [
        a == b for both in zip(gold, predicted, strict=True) for a, b in zip(*both, strict=True)
    ]
    bin_E = np.clip(np.ceil(probability_E * BINS).astype(np.int64) - 1, 0, BINS - 1)
    sentence_E = np.repeat(np.arange(len(gold)), [len(each) for each in gold])
    names = [f"{(b + 1) / BINS:.4f}" for b in range(BINS)]
    return Counts.of_places(
        len(gold), names, sentence_E, bin_E, np.ones(len(bin_E)), probability_E, right_E
    )


def expected_error(sums_KRC: np.ndarray) -> np.ndarray:
    """The expected calibration error, 0 to 1; not a number where there are no labels."""
    labels_RC, probability_RC, right_RC = sums_KRC
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(right_RC - probability_RC).sum(axis=-1) / labels_RC.sum(axis=-1)


# ---- Which labels are mistaken for which others: the confusion matrix, its largest entries, and
# its plot.

MOST_LABELS = 30  # of a plot; rarer ones share a row and a column
WITH_NUMBERS = 20  # labels of a plot whose cells have room for a number
OTHERS = "(others)"


@dataclass(frozen=True)
class Confusion:
    """How often each gold label (row) was predicted as each label (column). labels: the frequent
    ones first; counts_KK: int64."""

    labels: tuple[str, ...]
    counts_KK: np.ndarray

    def most_frequent(self, most: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions: gold label, predicted label, how often; the most frequent
        first."""
        wrong_KK = self.counts_KK * (1 - np.eye(len(self.labels), dtype=np.int64))
        order = np.argsort(-wrong_KK, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(order, wrong_KK.shape), strict=True)
        return [
            (self.labels[g], self.labels[p], int(wrong_KK[g, p]))
            for g, p in pairs
            if wrong_KK[g, p]
        ]

    def joined(self, most: int) -> "Confusion":
        """The same with `most` labels at most: the rarest are one, called "(others)"."""
        if len(self.labels) <= most:
            return self
        to_K = np.minimum(np.arange(len(self.labels)), most - 1)
        counts_KK = np.zeros((most, most), dtype=np.int64)
        np.add.at(counts_KK, (to_K[:, None], to_K[None, :]), self.counts_KK)
        return Confusion((*self.labels[: most - 1], OTHERS), counts_KK)


def confusion(gold: Labels, predicted: Labels) -> Confusion:
    """The confusion matrix of labels.

    Raises:
        UsageError: the two are not of the same words.
    """
    check_lengths(gold, predicted)
    pairs = Counter(
        pair for both in zip(gold, predicted, strict=True) for pair in zip(*both, strict=True)
    )
    times: Counter[str] = Counter()
    for (expected, found), number in pairs.items():
        times[expected] += number
        times[found] += 0
    labels = tuple(sorted(times, key=lambda label: (-times[label], label)))
    number_of = {label: number for number, label in enumerate(labels)}
    counts_KK = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (expected, found), number in pairs.items():
        counts_KK[number_of[expected], number_of[found]] = number
    return Confusion(labels, counts_KK)


def plot(matrix: Confusion, title: str = "") -> "Figure":
    """The matrix as a figure, for :func:`rnnlm.evaluation.plotting.save`: colours are shares of the
    gold label, numbers are counts."""
    matrix = matrix.joined(MOST_LABELS)
    size = len(matrix.labels)
    inches = max(4.0, 0.32 * size + 2.0)
    figure, axes = plotting.new_figure(title, "predicted label", "gold label", inches + 0.8, inches)
    share_KK = matrix.counts_KK / np.maximum(matrix.counts_KK.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    cells = axes.pcolormesh(
        share_KK, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5
    )
    names = [plotting.short_name(label, 16) for label in matrix.labels]
    axes.set_xticks(np.arange(size) + 0.5, names, rotation=90)
    axes.set_yticks(np.arange(size) + 0.5, names)
    axes.set_ylim(size, 0)
    if size <= WITH_NUMBERS:
        for row, column in np.argwhere(matrix.counts_KK):
            colour = "white" if share_KK[row, column] > 0.6 else "black"
            count = f"{matrix.counts_KK[row, column]}"
            axes.text(
                column + 0.5, row + 0.5, count, ha="center", va="center", fontsize=7, color=colour
            )
    figure.colorbar(cells, ax=axes, label="share of the gold label")
    return figure


# ---- Exact match: sentences whose labels are all right, in one label column or in several at once,
# such as slots and intent.


def exact_match_counts(columns: Sequence[tuple[Labels, Labels]]) -> Counts:
    """Sentences whose labels are all right, and sentences: exact match is the `ratio` of the two.

    columns: the gold and the predicted labels of each column.

    Raises:
        UsageError: there is no column, or they are not of the same sentences.
    """
    if not columns:
        raise UsageError("exact match needs a column of labels", "there is none")
    for gold, predicted in columns:
        check_lengths(gold, predicted, of_words=False)
    sentences = {len(gold) for gold, _ in columns}
    if len(sentences) > 1:
        numbers = ", ".join(f"{each:,}" for each in sorted(sentences))
        raise UsageError(
            "the columns of labels are not of the same sentences",
            f"they are of {numbers} sentences",
        )
    right = [
        all(list(gold[number]) == list(predicted[number]) for gold, predicted in columns)
        for number in range(sentences.pop())
    ]
    return Counts.of_numbers(right, [1] * len(right))


# ---- Sets of labels, for texts that may have several: how often each label was right, predicted
# and gold, and how often the whole set.


def label_set_counts(gold: Labels, predicted: Labels) -> Counts:
    """How often each label was right, predicted and there, by text. The order of a text's labels
    makes no difference.

    Raises:
        UsageError: the two are not of the same texts.
    """
    check_lengths(gold, predicted, of_words=False)
    there = [(number, label) for number, labels in enumerate(gold) for label in set(labels)]
    found = [(number, label) for number, labels in enumerate(predicted) for label in set(labels)]
    return Counts.of_events(len(gold), [set(there) & set(found), found, there])


def set_match_counts(gold: Labels, predicted: Labels) -> Counts:
    """Texts whose set of labels is right, and texts: exact match (subset accuracy) is the `ratio`
    of the two.

    Raises:
        UsageError: the two are not of the same texts.
    """
    check_lengths(gold, predicted, of_words=False)
    right = [set(expected) == set(found) for expected, found in zip(gold, predicted, strict=True)]
    return Counts.of_numbers(right, [1] * len(right))


# ---- The signature of a figure of labels.


@dataclass(frozen=True)
class LabelSignature(FigureSignature):
    """The parts of a signature, in the order they are printed; empty ones are left out. figure: f1,
    accuracy, ...; column: which labels, where the data has several; mode and scheme: of spans;
    data: the hash of words and labels; model: its fingerprint."""

    of_what: ClassVar[str] = "labels"

    column: str = ""
    mode: str = ""  # conlleval | strict
    scheme: str = ""  # iob1 | bio | bioes
    data: str = ""
    model: str = ""


# ---- Spans in label sequences, and how many of the gold spans were predicted.
#
# There are two conventions. `conlleval` (Tjong Kim Sang & Buchholz 2000, the script of the CoNLL
# shared tasks) finds spans in any sequence: a span begins wherever two neighbouring labels imply
# it, so an I that follows O or a span of another type begins one. BIO (IOB2) and IOB1 are read
# alike; BIOES is converted to BIO first (S to B, E to I). On labels of BIO and IOB1 this is the
# rule by which training data are read (:func:`rnnlm.text.labelled.schemes.spans`); other labels are
# read as the script reads them, except for its brackets. `strict` (the strict mode of seqeval,
# Nakayama 2018) accepts only spans that begin and end as the scheme demands.
#
# A span is correct if its type, its beginning and its end are.

Mode = Literal["conlleval", "strict"]
Scheme = Literal["iob1", "bio", "bioes"]
PREFIXES = {"iob1": "BIO", "bio": "BIO", "bioes": "BIOES"}
_AS_BIO = {"S": "B", "E": "I"}
# E: of schemes that mark ends
_STARTS = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}
_OUTSIDE = ("O", ".")  # the dot is conlleval's
_ENDS = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}


class Span(NamedTuple):
    """Words `start` to `end`, the latter not included."""

    type: str
    start: int
    end: int


def spans(labels: Sequence[str], scheme: str, mode: str = "conlleval") -> list[Span]:
    """The spans of a sentence, in their order. scheme: iob1, bio or bioes; mode: conlleval or
    strict.

    Raises:
        UsageError: there is no such scheme or mode; in strict mode, a label is not of the scheme.
    """
    if scheme not in PREFIXES:
        raise UsageError(
            f"labels of scheme {scheme} do not stand for spans", hint=nearest(scheme, PREFIXES)
        )
    if mode not in ("conlleval", "strict"):
        raise UsageError(
            f"spans cannot be counted as {mode}", hint=nearest(mode, ("conlleval", "strict"))
        )
    parts = [_split(label) for label in labels]
    if mode == "strict":
        _check(labels, parts, scheme)
        return list(_strict_iob1(parts) if scheme == "iob1" else _strict(parts, scheme))
    return list(
        _conlleval(
            [(_AS_BIO.get(prefix, prefix), type_) for prefix, type_ in parts]
            if scheme == "bioes"
            else parts
        )
    )


def span_counts(gold: Labels, predicted: Labels, scheme: str, mode: str = "conlleval") -> Counts:
    """How many spans of each type were right, predicted and there, by sentence.

    Raises:
        UsageError: the labels are not of the same words; or as :func:`spans`.
    """
    check_lengths(gold, predicted)
    right, found, there = [], [], []
    for number, (expected, guessed) in enumerate(zip(gold, predicted, strict=True)):
        gold_spans, predicted_spans = spans(expected, scheme, mode), spans(guessed, scheme, mode)
        there += [(number, span.type) for span in gold_spans]
        found += [(number, span.type) for span in predicted_spans]
        right += [(number, span.type) for span in set(gold_spans) & set(predicted_spans)]
    return Counts.of_events(len(gold), [right, found, there])


def _split(label: str) -> tuple[str, str]:
    """Prefix and type: "B-LOC" is ("B", "LOC"), "O" is ("O", "")."""
    prefix, _, type_ = label.partition("-")
    return prefix, type_


def _conlleval(parts: Sequence[tuple[str, str]]) -> Iterator[Span]:
    start = None
    before, type_before = "O", ""
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        changed = type_ != type_before
        if start is not None and (
            (before, prefix) in _ENDS or (changed and before not in _OUTSIDE)
        ):
            yield Span(type_before, start, place)
            start = None
        if (before, prefix) in _STARTS or (changed and prefix not in _OUTSIDE):
            start = place
        before, type_before = prefix, type_


def _strict(parts: Sequence[tuple[str, str]], scheme: str) -> Iterator[Span]:
    """Of BIO: B and all I of its type that follow. Of BIOES: S; or B, any number of I, and E, of
    one type."""
    start = None
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        continues = start is not None and prefix in "IE" and type_ == parts[start][1]
        if start is not None and not continues:
            if scheme == "bio":
                yield Span(parts[start][1], start, place)
            start = None
        if prefix == "S":
            yield Span(type_, place, place + 1)
        elif prefix == "E" and start is not None:
            yield Span(type_, start, place + 1)
            start = None
        elif prefix == "B":
            start = place


def _strict_iob1(parts: Sequence[tuple[str, str]]) -> Iterator[Span]:
    """An I begins a span wherever it does not continue one; a B only right after a label of its
    type, which is what it is for. A lone B is no span where a B of another type follows: seqeval
    does not list that as an end."""
    start = None
    before, type_before = "O", ""
    for place, (prefix, type_) in enumerate([*parts, ("O", "")]):
        same = type_ == type_before
        if start is not None and not (prefix == "I" and same):
            if not (before == prefix == "B" and not same):
                yield Span(type_before, start, place)
            start = None
        if start is None and (prefix == "I" or (prefix == "B" and before != "O" and same)):
            start = place
        before, type_before = prefix, type_


def _check(labels: Sequence[str], parts: Sequence[tuple[str, str]], scheme: str) -> None:
    for label, (prefix, _) in zip(labels, parts, strict=True):
        if len(prefix) != 1 or prefix not in PREFIXES[scheme]:
            why = f"its labels begin with {', '.join(PREFIXES[scheme])}"
            raise UsageError(
                f"{shown(label)} is not a label of scheme {scheme}",
                why,
                "name the scheme that the labels are of",
            )


# ---- The figures of a column of labels: all that applies to it, as `rnnlm eval` prints them, and
# the measures they come from.

_LEARNED: Mapping[Level, str] = {"word": "tagging", "text": "classification"}


@dataclass(frozen=True)
class Predictions:
    """A column of labels as the data and a model have it, and what else is known of it.

    level: what the labels are of. gold, predicted: of each sentence the labels of its words; of
    each text its label, as a list of one, or its labels (`multi_label`). column: its name. scheme:
    none, or that of spans: iob1, bio or bioes. mode: how spans are counted. known: of each word,
    whether training knew it.
    training_labels: those that training saw. probabilities: of each predicted label; not of several
    labels of a text. references, symbols: of letters to sounds, the references of each word and the
    symbols that were predicted for it; `gold` and `predicted` are then the labels of letters, or
    empty where the data does not say which letter bears which symbol.
    """

    level: Level
    gold: Labels
    predicted: Labels
    column: str = ""
    scheme: str = "none"
    mode: Mode = "conlleval"
    multi_label: bool = False
    known: Sequence[Sequence[bool]] | None = None
    training_labels: Collection[str] | None = None
    probabilities: Sequence[Sequence[float]] | None = None
    references: translation.References | None = None
    symbols: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        if self.level not in _LEARNED:
            raise UsageError(f"labels of a {self.level} have no figures", hint="word or text")
        if self.multi_label and self.level == "word":
            raise UsageError(
                "a word has one label in each column",
                "several labels are of texts",
                "classification, or another column",
            )
        if (self.references is None) != (self.symbols is None):
            raise UsageError(
                "error rates need the references of each word and the symbols predicted for it",
                "one of them is missing",
            )


@dataclass(frozen=True)
class LabelFigures:
    """The figures of a column of labels, fractions of 1; None where a figure does not apply or
    nothing was counted for it.

    sentences: or texts, where these are classified. words: those that have labels; words_unknown:
    those that training did not know. accuracy: None where a text bears several labels. precision,
    recall, f1: of spans, or of the labels of texts that bear several (micro averages). macro_f1:
    the mean over types of spans, or over labels where there are no spans; by_type: the figures of
    each. exact_match: sentences, or texts of several labels, of which every label is right. ece:
    expected calibration error. unseen_labels: gold labels that training never saw, which count as
    wrong, and how often each occurs; unseen_count: all of these together. word_error_rate,
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
    (:mod:`rnnlm.evaluation.resampling`).

    Raises:
        UsageError: the labels are not of the same words, or not of their scheme.
    """
    found: dict[str, Measure] = {}
    if predictions.gold or predictions.predicted or predictions.references is None:
        found |= _of_sets(predictions) if predictions.multi_label else _of_words(predictions)
    if predictions.references is not None and predictions.symbols is not None:
        its = translation.error_counts(predictions.references, predictions.symbols)
        found["word_error_rate"] = Measure(its, translation.word_error_rate)
        found["symbol_error_rate"] = Measure(its, translation.symbol_error_rate)
    return found


def report(predictions: Predictions, measured: Mapping[str, Measure] | None = None) -> LabelFigures:
    """The figures of a column of labels. measured: what :func:`measures` found, where it is known.

    Raises:
        UsageError: the labels are not of the same words, or not of their scheme.
    """
    found = measures(predictions) if measured is None else measured
    is_tagging, known = predictions.level == "word", predictions.known
    names = {field.name for field in dataclasses.fields(LabelFigures)}
    figures: dict[str, Any] = dict.fromkeys(names) | {
        name: measure.value for name, measure in found.items()
    }
    unseen = _unseen(predictions)
    return LabelFigures(**figures | {
        "task": _LEARNED[predictions.level], "column": predictions.column,
        "scheme": predictions.scheme,
        "mode": predictions.mode if _has_spans(predictions) else None,
        "sentences": len(predictions.gold) or len(predictions.references or ()),
        "words": sum(map(len, predictions.gold)) if is_tagging else None,
        "words_unknown": None if known is None else sum(not each for row in known for each in row),
        "by_type": by_class(found["macro_f1"].counts) if "macro_f1" in found else {},
        "unseen_labels": unseen, "unseen_count": None if unseen is None else sum(unseen.values()),
    })  # fmt: skip


def joint_exact_match(columns: Sequence[Predictions]) -> Measure:
    """Sentences of which every column of labels is right, as slots and intent.

    Raises:
        UsageError: there is no column, or they are not of the same sentences.
    """
    return Measure(exact_match_counts([(each.gold, each.predicted) for each in columns]), ratio)


def _has_spans(predictions: Predictions) -> bool:
    return predictions.level == "word" and predictions.scheme != "none"


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
        found["macro_f1"] = Measure(label_counts(gold, predicted), macro_f1)
    if predictions.level == "word":
        found["exact_match"] = joint_exact_match([predictions])
    if predictions.probabilities is not None:
        its = calibration_counts(gold, predicted, predictions.probabilities)
        found["ece"] = Measure(its, expected_error)
    return found


def _of_sets(predictions: Predictions) -> dict[str, Measure]:
    """Of texts that bear several labels."""
    matches = set_match_counts(predictions.gold, predictions.predicted)
    return _by_class(label_set_counts(predictions.gold, predictions.predicted)) | {
        "exact_match": Measure(matches, ratio)
    }


def _by_class(its: Counts) -> dict[str, Measure]:
    figures = {"precision": precision, "recall": recall, "f1": f1, "macro_f1": macro_f1}
    return {name: Measure(its, figure) for name, figure in figures.items()}


def _unseen(predictions: Predictions) -> dict[str, int] | None:
    """Gold labels that training never saw, the most frequent first; None where it is not known what
    training saw."""
    if predictions.training_labels is None:
        return None
    seen = set(predictions.training_labels)
    return dict(
        Counter(
            label for labels in predictions.gold for label in labels if label not in seen
        ).most_common()
    )
