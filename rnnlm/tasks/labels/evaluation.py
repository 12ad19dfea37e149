"""Models of tasks evaluated on labelled data, and compared on it."""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.evaluation.label_evaluation import MAIN, ColumnFigures, LabelEvaluation
from rnnlm.evaluation.labels import (
    LabelSignature,
    Mode,
    Predictions,
    joint_exact_match,
    measures,
    report,
)
from rnnlm.evaluation.resampling import Measure
from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.events import never
from rnnlm.interface import BOUNDARY, PADDING, UNKNOWN, Tokenizer
from rnnlm.models import loading
from rnnlm.neural.fitting.contracts import Verdict
from rnnlm.tasks.batches import label_tensors
from rnnlm.tasks.labels.data import EDIT, MULTI, SOUNDS, WORD, LabelColumn, LabelledData
from rnnlm.tasks.labels.evaluation_data import labelled_data, open_data
from rnnlm.tasks.labels.model import (
    ColumnPrediction,
    Prediction,
    Search,
    TaskModel,
    of_reading,
    predict,
)
from rnnlm.text.labelled import schemes
from rnnlm.text.labelled.alignment import join
from rnnlm.text.labelled.example import LabelledText, labels_in

# ---- A model measured on labelled data: its loss, and accuracy, F1 or error rates for each label
# column.


@dataclass(frozen=True)
class Answers:
    """The answers of a model on labelled data. loss_nats: the sum over the labels of each column.
    predictions: in the order of the examples."""

    loss_nats: tuple[float, ...]
    predictions: tuple[Prediction, ...]


def answers(
    model: TaskModel,
    data: LabelledData,
    search: Search | None = None,
    stop: Callable[[], bool] = never,
) -> Answers | None:
    """The loss and the predictions of all examples; None where `stop`, asked before each batch, cut
    it off."""
    texts = [example.words for example in data.examples]
    found: list[Prediction] = [()] * len(texts)
    losses = np.zeros(len(model.codec.columns))
    for reading in model.read(data.words_encoded, stop):
        labels = label_tensors(data, reading.chosen, model.device)
        with model.reading():
            losses += [float(each) for each in model.network.losses(reading.features, labels)]
        for place, prediction in of_reading(model, reading, texts, search or Search()):
            found[place] = prediction
    return None if stop() else Answers(tuple(losses.tolist()), tuple(found))


def columns_of(
    model: TaskModel, data: LabelledData, found: Answers, mode: Mode = "conlleval"
) -> list[Predictions]:
    """Each column of labels as the data and the model have it. mode: how spans are counted."""
    columns = zip(model.codec.columns, model.codec.places, strict=True)
    return [
        (_of_words if column.level == WORD else _of_texts)(model, data, found, number, place, mode)
        for number, (column, place) in enumerate(columns)
    ]


def measure(
    model: TaskModel, data: LabelledData, mode: Mode = "conlleval", search: Search | None = None
) -> LabelEvaluation:
    """Evaluate a model on labelled data. mode: how spans are counted."""
    began = time.perf_counter()
    found = answers(model, data, search)
    assert found is not None  # nothing asked it to stop
    predictions = columns_of(model, data, found, mode)
    by_column = [measures(each) for each in predictions]
    columns = tuple(
        _figures(number, each, by_column[number], model, data)
        for number, each in enumerate(predictions)
    )
    joint = joint_exact_match(predictions).value if len(predictions) > 1 else columns[0].exact_match
    has_labels = all(bool((labels != PADDING).any()) for labels in data.labels)
    return LabelEvaluation(
        task=model.task,
        sentences=data.sentences,
        words=data.words,
        loss_nats=_mean_loss(model, data, found) if has_labels else None,
        columns=columns,
        exact_match=joint,
        signature=columns[0].signature,
        seconds=time.perf_counter() - began,
        predictions=tuple(predictions),
        measures=tuple(by_column),
    )


def _figures(
    number: int,
    column: Predictions,
    counted: Mapping[str, Measure],
    model: TaskModel,
    data: LabelledData,
) -> ColumnFigures:
    """Return the metrics of one of the codec's columns. Lemmas are no classes: there are no metrics
    of each."""
    found = report(column, counted)
    if model.codec.columns[number].form == EDIT:
        found = replace(found, macro_f1=None, by_type={})
    main = next(name for name in MAIN if getattr(found, name) is not None)
    spans = {} if found.mode is None else {"mode": found.mode, "scheme": column.scheme}
    named = column.column if len(model.codec.columns) > 1 else ""
    signature = LabelSignature(
        main,
        named,
        **spans,
        data=data.content_hash,
        model=loading.fingerprint_in_signature(model) if model.fingerprint else "",
    )
    return ColumnFigures(**vars(found), main=main, signature=str(signature))


def verdict(model: TaskModel, data: LabelledData, found: Answers, criterion: str) -> Verdict:
    """What a validation found. criterion: of
    :class:`rnnlm.tasks.labels.settings.TaskFittingSettings`; of several columns the mean of each
    one's figure counts."""
    loss = _mean_loss(model, data, found)
    if criterion == "loss":
        return Verdict(loss, loss, "loss_nats")
    figures, chosen, is_error = {"loss_nats": loss}, [], False
    predictions = columns_of(model, data, found)
    for each in predictions:
        its = {
            name: measure.value or 0.0
            for name, measure in measures(each).items()
            if name in (*MAIN, criterion)
        }
        name = criterion if criterion in its else next(name for name in MAIN if name in its)
        figures |= {
            f"{each.column}_{key}" if len(predictions) > 1 else key: value
            for key, value in its.items()
        }
        is_error = name == "word_error_rate"
        chosen.append(-its[name] if is_error and len(predictions) > 1 else its[name])
    return Verdict(
        loss, float(np.mean(chosen)), "mean" if len(predictions) > 1 else name,
        higher_is_better=not is_error or len(predictions) > 1, figures=figures,
    )  # fmt: skip


def _mean_loss(model: TaskModel, data: LabelledData, found: Answers) -> float:
    """Infinite where it is not a number."""
    loss = sum(found.loss_nats) / max(1, data.words if model.codec.word_columns else data.sentences)
    return math.inf if math.isnan(loss) else loss


def _of_words(
    model: TaskModel, data: LabelledData, found: Answers, number: int, place: int, mode: Mode
) -> Predictions:
    column = model.codec.columns[number]
    gold = [example.word_labels[place] for example in data.examples]
    predicted = [each[number].best[0].labels for each in found.predictions]
    if column.form == SOUNDS:
        return _of_sounds(column, data, gold, predicted)
    scheme = column.scheme
    if scheme not in (schemes.NONE, schemes.IOB1, schemes.BIO):
        scheme = schemes.BIOES
        gold, predicted = (
            [tuple(schemes.convert(row, column.scheme, scheme)) for row in rows]
            for rows in (gold, predicted)
        )
    is_known_W, offsets = data.words_encoded.is_known, data.words_encoded.word_offsets
    known = [is_known_W[start:end].tolist() for start, end in itertools.pairwise(offsets.tolist())]
    seen = None if column.form == EDIT else column.labels_in(scheme)
    return Predictions(
        "word", gold, predicted, column.name, scheme, mode, known=known, training_labels=seen
    )


def _of_sounds(
    column: LabelColumn,
    data: LabelledData,
    gold: list[tuple[str, ...]],
    predicted: list[tuple[str, ...]],
) -> Predictions:
    """Rows of the same letters are pronunciations of one word, of which the nearest counts."""
    references = defaultdict(list)
    for example, sounds in zip(data.examples, gold, strict=True):
        references[example.words].append(join(sounds))
    said = {
        example.words: join(labels)
        for example, labels in zip(data.examples, predicted, strict=True)
    }
    words = list(references)
    return Predictions(
        "word",
        [],
        [],
        column.name,
        references=[references[each] for each in words],
        symbols=[said[each] for each in words],
    )


def _of_texts(
    model: TaskModel, data: LabelledData, found: Answers, number: int, place: int, mode: Mode
) -> Predictions:
    column = model.codec.columns[number]
    is_multi = column.form == MULTI
    gold = [
        labels_in(each.text_labels[place]) if is_multi else (each.text_labels[place],)
        for each in data.examples
    ]
    predicted = [
        labels_in(each[number].label) if is_multi else (each[number].label,)
        for each in found.predictions
    ]
    sure = (
        None
        if is_multi
        else [
            [float(np.nan_to_num(cast(np.ndarray, each[number].p_TK).max()))]
            for each in found.predictions
        ]
    )
    return Predictions(
        "text",
        gold,
        predicted,
        column.name,
        multi_label=is_multi,
        training_labels=set(column.symbols),
        probabilities=sure,
    )


# ---- evaluation

Labelled = str | Path | Sequence[str | Path] | LabelledText | LabelledData


def opened(
    model: TaskModel,
    data: Labelled,
    labels: Sequence[str | Path] = (),
    reading: Mapping[str, Any] | None = None,
    called: str = "",
) -> LabelledData:
    """Labelled data as `model` reads them; what is given is as for
    :func:`rnnlm.evaluate`. called: the
    model, in notices, where there are several."""
    if isinstance(data, LabelledData):
        return data
    if isinstance(data, LabelledText):
        return labelled_data(model.codec, data, "the data", called)
    return open_data(
        model, [data] if isinstance(data, (str, PathLike)) else data, labels, reading, called
    )


# ---- What `rnnlm doctor` asks of a model of labels: probabilities that sum to one, and the same
# answer alone and in any company.
#
# It is asked about made-up sentences: words of its vocabulary, or of its tokens, drawn at random.

SENTENCES, LONGEST, LONGEST_WORD = 32, 20, 6
_SEARCH = Search(probabilities=True)


def checks(model: TaskModel, sample: int | None, seed: int) -> Iterator[Check]:
    """The checks of a model whose arrays are whole. sample: how many sentences are made up."""
    texts = _texts(model.codec.tokenizer, sample or SENTENCES, np.random.default_rng(seed))
    together = predict(model, texts, _SEARCH)
    yield Check(
        "labels",
        "ok",
        "; ".join(f"{len(each.symbols):,} of {each.name}" for each in model.codec.columns),
    )
    yield _sums(model, together)
    if any(_has_spans(model, column) for column in model.codec.columns):
        yield _spans(model, together)
    yield _padding(model, texts, together)


def _texts(tokenizer: Tokenizer, count: int, generator: np.random.Generator) -> list[list[str]]:
    """So many sentences of different lengths."""
    pieces = [
        each
        for each in tokenizer.symbols()
        if each not in (BOUNDARY, UNKNOWN) and len(each.split()) == 1
    ] or ["a"]
    lengths = 1 + np.arange(count) % LONGEST
    if tokenizer.name == "word":
        return [
            [pieces[each] for each in generator.integers(len(pieces), size=length)]
            for length in lengths
        ]
    sizes = [generator.integers(1, LONGEST_WORD + 1, size=length) for length in lengths]
    return [
        [
            "".join(pieces[each] for each in generator.integers(len(pieces), size=size))
            for size in row
        ]
        for row in sizes
    ]


def _sums(model: TaskModel, found: list[Prediction]) -> Check:
    """The sum of the probabilities of labels that is farthest from one; where a text has any number
    of labels, what is no probability."""
    worst, asked = 0.0, 0
    for number, column in enumerate(model.codec.columns):
        p_NK = np.concatenate([_p(each[number]) for each in found]).astype(np.float64)
        beyond = (
            np.abs(np.clip(p_NK, 0, 1) - p_NK).max()
            if column.form == MULTI
            else np.abs(p_NK.sum(axis=1) - 1).max()
        )
        worst, asked = max(worst, float(np.nan_to_num(beyond, nan=np.inf))), asked + len(p_NK)
    detail = (
        f"probabilities of {asked:,} labels of {len(found)} random sentences: farthest "
        f"from 1 by {worst:.1e}"
    )
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _has_spans(model: TaskModel, column: LabelColumn) -> bool:
    return column.level == WORD and column.scheme != schemes.NONE and model.is_constrained


def _spans(model: TaskModel, found: list[Prediction]) -> Check:
    """Whether the labels of spans keep to their scheme."""
    for number, column in enumerate(model.codec.columns):
        if not _has_spans(model, column):
            continue
        for each in found:
            labels = each[number].best[0].labels
            if tuple(schemes.convert(labels, column.scheme, column.scheme)) != labels:
                return Check(
                    "spans",
                    "failed",
                    f"{column.name}: {' '.join(labels)} is not in {column.scheme}",
                )
    return Check("spans", "ok", f"the labels of {len(found)} random sentences keep to their scheme")


def _padding(model: TaskModel, texts: list[list[str]], together: list[Prediction]) -> Check:
    """By how much the probabilities of a sentence change if it is read alone."""
    worst = 0.0
    for text, before in zip(texts, together, strict=True):
        [alone] = predict(model, [text], _SEARCH)
        differences = [
            np.abs(_p(one) - _p(other)).max() for one, other in zip(alone, before, strict=True)
        ]
        worst = max(worst, float(np.nan_to_num(max(differences), nan=np.inf)))
    detail = f"probabilities of a sentence alone and among others differ by {worst:.1e} at most"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _p(found: ColumnPrediction) -> np.ndarray:
    assert found.p_TK is not None  # they were asked for
    return found.p_TK
