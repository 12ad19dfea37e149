"""Evaluate taggers and classifiers on labelled data, check them for `rnnlm doctor`, and compare
them.
"""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np

from rnnlm.errors import ComparisonError, notice
from rnnlm.evaluation.comparison.pairing import ComparableMetrics, Comparer, Side
from rnnlm.evaluation.comparison.stored import StoredModel
from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.events import never
from rnnlm.interface import BOUNDARY, PADDING, UNKNOWN, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.neural.training.contracts import ValidationResult
from rnnlm.tasks.common.counted_metrics import CountedMetric
from rnnlm.tasks.labelling.batches import label_tensors
from rnnlm.tasks.labelling.data import (
    EDIT,
    MULTI,
    SOUNDS,
    TEXT,
    WORD,
    Codec,
    LabelColumn,
    LabelledData,
)
from rnnlm.tasks.labelling.evaluation.evaluation_data import labelled_data, open_data
from rnnlm.tasks.labelling.evaluation.label_evaluation import MAIN, ColumnMetrics, LabelEvaluation
from rnnlm.tasks.labelling.evaluation.label_metrics import (
    LABEL_METRICS,
    LabelSignature,
    Predictions,
    joint_exact_match,
    measures,
    report,
)
from rnnlm.tasks.labelling.formats import schemes
from rnnlm.tasks.labelling.formats.alignment import join
from rnnlm.tasks.labelling.formats.example import LabelledText, Tree, labels_in
from rnnlm.tasks.labelling.model import (
    ColumnPrediction,
    LabelSearch,
    Prediction,
    TaskModel,
    of_reading,
    predict,
)
from rnnlm.tasks.labelling.options import LabelOptions

# ---- A model measured on labelled data: its loss, and accuracy, F1 or error rates for each label
# column.


def predict_with_loss(
    model: TaskModel, data: LabelledData, stop: Callable[[], bool] = never
) -> tuple[float, list[Prediction]] | None:
    """Return the loss, summed over all labels, and the predictions of all examples; None if `stop`,
    asked before each batch, cut it off."""
    texts = [example.words for example in data.examples]
    predictions: dict[int, Prediction] = {}
    losses = np.zeros(len(model.codec.columns))
    for reading in model.read(data.words_encoded, stop):
        labels = label_tensors(data, reading.chosen, model.device)
        with model.reading():
            losses += [float(loss) for loss in model.network.losses(reading.features, labels)]
        predictions |= of_reading(model, reading, texts, LabelSearch())
    if stop():
        return None
    return sum(losses.tolist()), [predictions[place] for place in range(len(texts))]


def columns_of(
    model: TaskModel, data: LabelledData, predicted: Sequence[Prediction]
) -> list[Predictions]:
    """Return gold and predicted labels of each column."""
    by_level = {WORD: _of_words, TEXT: _of_texts}
    return [
        by_level[column.level](model, data, predicted, number)
        for number, column in enumerate(model.codec.columns)
    ]


def measure(model: TaskModel, data: LabelledData) -> LabelEvaluation:
    """Evaluate a model on labelled data."""
    began = time.perf_counter()
    measured = predict_with_loss(model, data)
    assert measured is not None  # nothing asked it to stop
    loss, predicted = measured

    # Each column is measured by itself.
    predictions = columns_of(model, data, predicted)
    by_column = [measures(column) for column in predictions]
    columns = tuple(
        _metrics(number, column, counted, model, data)
        for number, (column, counted) in enumerate(zip(predictions, by_column, strict=True))
    )

    # Of several columns, an example is right where all of them are.
    joint = columns[0].exact_match
    if len(predictions) > 1:
        joint = joint_exact_match(predictions).value
    # Labels that training never saw have no loss.
    has_loss = all(bool((labels != PADDING).any()) for labels in data.labels)
    return LabelEvaluation(
        task=model.task,
        sentences=data.sentences,
        words=data.words,
        loss_nats=_mean_loss(model, data, loss) if has_loss else None,
        columns=columns,
        exact_match=joint,
        signature=columns[0].signature,
        seconds=time.perf_counter() - began,
        predictions=tuple(predictions),
        measures=tuple(by_column),
    )


def _metrics(
    number: int,
    column: Predictions,
    counted: Mapping[str, CountedMetric],
    model: TaskModel,
    data: LabelledData,
) -> ColumnMetrics:
    """Return the metrics of one of the codec's columns."""
    metrics = report(column, counted)
    # Lemmas are no classes: there are no metrics of each.
    if model.codec.columns[number].form == EDIT:
        metrics = replace(metrics, macro_f1=None, by_type={})

    main = next(name for name in MAIN if getattr(metrics, name) is not None)
    signature = LabelSignature(
        main,
        column.column if len(model.codec.columns) > 1 else "",
        mode=metrics.mode or "",
        scheme=column.scheme if metrics.mode else "",
        data=data.content_hash,
        model=loading.fingerprint_in_signature(model) if model.fingerprint else "",
    )
    return ColumnMetrics(**vars(metrics), main=main, signature=str(signature))


def informative_columns(codec: Codec, data: LabelledData) -> tuple[int, ...]:
    """Return the numbers of the codec's columns whose metrics can distinguish good weights from bad
    ones.

    Columns with one label only cannot, such as O where there are no spans: a constant answer is
    right, and F1 is undefined. A notice names these columns.
    """
    # A column with several different labels can.
    telling: list[int] = []
    silent: list[str] = []
    for number, (column, place) in enumerate(zip(codec.columns, codec.places, strict=True)):
        answers: set[object] = set()
        for example in data.examples:
            if column.level == WORD:
                answers.update(example.word_labels[place])
            else:
                answers.add(frozenset(labels_in(example.text_labels[place])))

        # Say why another one cannot.
        if len(answers) > 1:
            telling.append(number)
        elif column.scheme != schemes.NONE:
            silent.append(f"no spans in column {column.name}")
        elif answers == {frozenset()}:
            silent.append(f"no labels in column {column.name}")
        else:
            silent.append(f"the same labels everywhere in column {column.name}")
    if silent:
        what = "the metrics of the other columns choose" if telling else "the loss chooses"
        notice(f"the validation data have {' and '.join(silent)}: {what} the weights")
    return tuple(telling)


def verdict(
    model: TaskModel,
    data: LabelledData,
    loss: float,
    predicted: Sequence[Prediction],
    criterion: str,
    telling: Collection[int],
) -> ValidationResult:
    """Return the results of a validation. loss: the sum over all labels. criterion: of
    :class:`rnnlm.tasks.labelling.settings.TaskFittingSettings`. telling: of several columns the
    ones whose mean counts; without any the loss counts.

    The loss is not a number where training saw none of the labels. A high one does not tell that
    the run diverged: a network may be confident of wrong labels and still right about most.
    """
    loss = _mean_loss(model, data, loss)
    is_measured = any((labels != PADDING).any() for labels in data.labels)
    metrics, chosen = {"loss_nats": loss if is_measured else math.nan}, []
    predictions = columns_of(model, data, predicted)
    has_several = len(predictions) > 1
    for number, column in enumerate(predictions):
        # A column that lacks the criterion is judged by its main metric.
        values = {
            name: metric.value or 0.0
            for name, metric in measures(column).items()
            if name in (*MAIN, criterion)
        }
        main = next(name for name in (criterion, *MAIN) if name in values)

        # In a mean, where higher is better, errors count negatively.
        is_error = not LABEL_METRICS[main].higher_is_better
        if number in telling:
            chosen.append(-values[main] if is_error and has_several else values[main])
        prefix = f"{column.column}_" if has_several else ""
        metrics |= {prefix + name: value for name, value in values.items()}
    if not chosen:
        return ValidationResult(loss, loss, "loss_nats", is_telling=False, metrics=metrics)
    return ValidationResult(
        loss,
        float(np.mean(chosen)),
        "mean" if has_several else main,
        higher_is_better=has_several or not is_error,
        is_telling=False,
        is_share=True,
        metrics=metrics,
    )


def _mean_loss(model: TaskModel, data: LabelledData, loss: float) -> float:
    """Return the loss per word, or of a classifier per text, or node that has a label; infinite
    where it is not a number."""
    if model.codec.word_columns:
        count = data.words
    elif data.labels[0].ndim == 1:
        count = int((data.labels[0] != PADDING).sum())
    else:
        count = data.sentences
    return math.inf if math.isnan(loss) else loss / max(1, count)


def _of_words(
    model: TaskModel, data: LabelledData, predicted_labels: Sequence[Prediction], number: int
) -> Predictions:
    """Return the labels of words of the codec's column `number`."""
    column, place = model.codec.columns[number], model.codec.places[number]
    gold = [example.word_labels[place] for example in data.examples]
    predicted = [prediction[number].best[0].labels for prediction in predicted_labels]
    if column.form == SOUNDS:
        # The sounds of each word. Rows of the same letters are pronunciations of one word; the
        # nearest of them counts.
        references = defaultdict(list)
        symbols = {}
        for example, sounds, labels in zip(data.examples, gold, predicted, strict=True):
            references[example.words].append(join(sounds))
            symbols[example.words] = join(labels)
        return Predictions(
            "word",
            [],
            [],
            column.name,
            references=list(references.values()),
            symbols=list(symbols.values()),
        )

    # Spans are counted in BIOES, unless their scheme is less precise.
    scheme = column.scheme
    if scheme not in (schemes.NONE, schemes.IOB1, schemes.BIO):
        scheme = schemes.BIOES
        gold = [tuple(schemes.convert(row, column.scheme, scheme)) for row in gold]
        predicted = [tuple(schemes.convert(row, column.scheme, scheme)) for row in predicted]

    # Words and labels that training never saw are also counted by themselves.
    is_known_W, offsets = data.words_encoded.is_known, data.words_encoded.word_offsets
    known = [is_known_W[start:end].tolist() for start, end in itertools.pairwise(offsets.tolist())]
    return Predictions(
        "word",
        gold,
        predicted,
        column.name,
        scheme,
        known=known,
        training_labels=None if column.form == EDIT else column.labels_in(scheme),
    )


def _of_texts(
    model: TaskModel, data: LabelledData, predicted_labels: Sequence[Prediction], number: int
) -> Predictions:
    """Return the labels of texts of the codec's column `number`."""
    column, place = model.codec.columns[number], model.codec.places[number]
    is_multi = column.form == MULTI
    gold_labels = [example.text_labels[place] for example in data.examples]
    found_labels = [prediction[number].label for prediction in predicted_labels]
    probabilities = None
    if is_multi:
        gold = [labels_in(label) for label in gold_labels]
        predicted = [labels_in(label) for label in found_labels]
    else:
        gold = [(label,) for label in gold_labels]
        predicted = [(label,) for label in found_labels]
        # Calibration compares how sure the model was with how often it was right.
        probabilities = [
            [float(np.nan_to_num(_p(prediction[number]).max()))] for prediction in predicted_labels
        ]

    # The nodes of trees, where the model predicts their labels.
    nodes: list[tuple[Sequence[str], Sequence[str]]] = []
    for example, prediction in zip(data.examples, predicted_labels, strict=True):
        p_NK = prediction[number].p_NK
        if isinstance(example.words, Tree) and p_NK is not None and not is_multi:
            nodes.append(
                (example.words.labels, [column.symbols[best] for best in p_NK.argmax(axis=1)])
            )
    return Predictions(
        "text",
        gold,
        predicted,
        column.name,
        multi_label=is_multi,
        training_labels=set(column.symbols),
        probabilities=probabilities,
        nodes=nodes,
    )


# ---- Labelled data, given in memory or as files, as a model reads them.

Labelled = str | Path | Sequence[str | Path] | LabelledText | LabelledData


def read(
    model: TaskModel, data: Labelled, options: LabelOptions | None = None, called: str = ""
) -> LabelledData:
    """Read labelled data as `model` reads them. called: the model, in notices, where there are
    several."""
    if isinstance(data, LabelledData):
        return data
    if isinstance(data, LabelledText):
        return labelled_data(model.codec, data, "the data", called)
    paths = [data] if isinstance(data, (str, PathLike)) else data
    return open_data(model, paths, (options or LabelOptions()).reading, called)


# ---- The checks of `rnnlm doctor` for a model of labels: probabilities that sum to one, and the
# same answer alone and in any company.
#
# It reads made-up sentences: words of its vocabulary, or of its tokens, drawn at random.

SENTENCES, LONGEST, LONGEST_WORD = 32, 20, 6
_SEARCH = LabelSearch(probabilities=True)


def checks(model: TaskModel, sample: int | None, seed: int) -> Iterator[Check]:
    """Yield the checks of a model whose arrays are whole. sample: how many sentences are made
    up."""
    texts = _texts(model.codec.tokenizer, sample or SENTENCES, np.random.default_rng(seed))
    together = predict(model, texts, _SEARCH)
    counts = [f"{len(column.symbols):,} of {column.name}" for column in model.codec.columns]
    yield Check("labels", "ok", "; ".join(counts))
    yield _sums(model, together)
    if any(_has_spans(model, column) for column in model.codec.columns):
        yield _spans(model, together)
    yield _padding(model, texts, together)


def _texts(tokenizer: Tokenizer, count: int, generator: np.random.Generator) -> list[list[str]]:
    """Make up `count` sentences of different lengths."""
    pieces = [
        symbol
        for symbol in tokenizer.symbols()
        if symbol not in (BOUNDARY, UNKNOWN) and len(symbol.split()) == 1
    ] or ["a"]

    def draw(number: int) -> list[str]:
        return [pieces[choice] for choice in generator.integers(len(pieces), size=number)]

    lengths = (1 + np.arange(count) % LONGEST).tolist()
    if tokenizer.name == "word":
        return [draw(length) for length in lengths]
    # Words are made of several tokens.
    sizes = [generator.integers(1, LONGEST_WORD + 1, size=length).tolist() for length in lengths]
    return [["".join(draw(size)) for size in row] for row in sizes]


def _sums(model: TaskModel, predictions: list[Prediction]) -> Check:
    """Check that the probabilities of labels sum to one; where a text has any number of labels,
    that each is a probability."""
    worst, count = 0.0, 0
    for number, column in enumerate(model.codec.columns):
        p_NK = np.concatenate([_p(prediction[number]) for prediction in predictions]).astype(
            np.float64
        )
        if column.form == MULTI:
            beyond = np.abs(np.clip(p_NK, 0, 1) - p_NK).max()
        else:
            beyond = np.abs(p_NK.sum(axis=1) - 1).max()
        worst = max(worst, float(np.nan_to_num(beyond, nan=np.inf)))
        count += len(p_NK)
    detail = (
        f"probabilities of {count:,} labels of {len(predictions)} random sentences: the largest "
        f"deviation from 1 is {worst:.1e}"
    )
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _has_spans(model: TaskModel, column: LabelColumn) -> bool:
    return column.level == WORD and column.scheme != schemes.NONE and model.is_constrained


def _spans(model: TaskModel, predictions: list[Prediction]) -> Check:
    """Check that the labels of spans keep to their scheme."""
    for number, column in enumerate(model.codec.columns):
        if not _has_spans(model, column):
            continue
        for prediction in predictions:
            labels = prediction[number].best[0].labels
            if tuple(schemes.convert(labels, column.scheme, column.scheme)) != labels:
                detail = f"{column.name}: {' '.join(labels)} is not in {column.scheme}"
                return Check("spans", "failed", detail)
    return Check(
        "spans", "ok", f"the labels of {len(predictions)} random sentences follow their scheme"
    )


def _padding(model: TaskModel, texts: list[list[str]], together: list[Prediction]) -> Check:
    """Check that a sentence has the same probabilities alone as in a batch."""
    worst = 0.0
    for text, before in zip(texts, together, strict=True):
        [alone] = predict(model, [text], _SEARCH)
        pairs = zip(alone, before, strict=True)
        differences = [np.abs(_p(separate) - _p(batched)).max() for separate, batched in pairs]
        worst = max(worst, float(np.nan_to_num(max(differences), nan=np.inf)))
    detail = f"probabilities of a sentence alone and in a batch differ by at most {worst:.1e}"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _p(prediction: ColumnPrediction) -> np.ndarray:
    assert prediction.p_TK is not None  # they were asked for, or are of a text
    return prediction.p_TK


# ---- Comparison by all metrics of labels, with sentences left out.

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
