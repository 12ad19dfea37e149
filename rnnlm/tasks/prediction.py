"""Predictions of a model: labels of words and of whole texts, with probabilities, and the n best label sequences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rnnlm.events import never
from rnnlm.tasks.codec import MULTI, LabelColumn
from rnnlm.tasks.data import EncodedWords, encode_texts
from rnnlm.tasks.model import Reading, TaskModel
from rnnlm.tasks.outputs.heads import TaggingHead, TextHead
from rnnlm.text.labelled.example import joined_labels

THRESHOLD = 0.5  # of the probability of a label, where a text has several


@dataclass(frozen=True)
class WordLabels:
    """A label of each word of a sentence, as the training data write them, and the log-probability (natural) of all of them together."""

    labels: tuple[str, ...]
    logprob_nats: float


@dataclass(frozen=True)
class ColumnPrediction:
    """The prediction for one label column.

    best: the best label sequences of a column of words, best first. label: the label in a column of texts. p_TK: the probability of each
    symbol for each word, (T, K), if asked for (marginals of a CRF); (1, K) for texts. symbols: the K symbols.
    """

    column: str
    symbols: tuple[str, ...]
    best: tuple[WordLabels, ...] = ()
    label: str = ""
    p_TK: np.ndarray | None = None


Prediction = tuple[ColumnPrediction, ...]  # of a text, in the order of the codec's columns


@dataclass(frozen=True)
class Search:
    """How labels are searched for. constrained: spans keep to their scheme; None: as the model was trained. beam: its width, with label
    feedback. nbest: how many label sequences are wanted. probabilities: whether those of each word's symbols are wanted."""

    constrained: bool | None = None
    beam: int = 1
    nbest: int = 1
    probabilities: bool = False


def predict(model: TaskModel, texts: Sequence[Sequence[str]], search: Search | None = None) -> list[Prediction]:
    """The prediction for each text, a list of words, in order. It does not depend on the other texts.

    Raises:
        UsageError: more label sequences are asked for than the beam of label feedback holds.
    """
    found: list[Prediction | None] = [None] * len(texts)
    encoded = encode_texts(model.codec, texts)
    for place, prediction in predictions(model, texts, encoded, search or Search()):
        found[place] = prediction
    return [each for each in found if each is not None]


def predictions(
    model: TaskModel, texts: Sequence[Sequence[str]], encoded: EncodedWords, search: Search, stop: Callable[[], bool] = never
) -> Iterator[tuple[int, Prediction]]:
    """(place of the text, its prediction), those of about the same length together; `encoded` are the words of `texts`."""
    for reading in model.read(encoded, stop):
        yield from of_reading(model, reading, texts, search)


def of_reading(model: TaskModel, reading: Reading, texts: Sequence[Sequence[str]], search: Search) -> Iterator[tuple[int, Prediction]]:
    """The predictions of the texts that were read together."""
    columns = []
    for column, head in zip(model.codec.columns, model.network.heads, strict=True):
        with model.reading():
            if isinstance(head, TextHead):
                assert reading.features.text_BH is not None
                columns.append(_of_texts(column, head.label_probabilities(reading.features.text_BH)))
            else:
                assert isinstance(head, TaggingHead)
                constrained = model.is_constrained if search.constrained is None else search.constrained
                columns.append(_of_words(column, head, reading, [texts[each] for each in reading.chosen], search, constrained))
    for number, place in enumerate(reading.chosen.tolist()):
        yield place, tuple(column[number] for column in columns)


def _of_words(
    column: LabelColumn, head: TaggingHead, reading: Reading, texts: Sequence[Sequence[str]], search: Search, constrained: bool
) -> list[ColumnPrediction]:
    features_TBH, _, lengths_B = reading.features
    assert features_TBH is not None
    paths = head.predict(features_TBH, lengths_B, column.constraints if constrained else None, search.beam, search.nbest)
    labels_nBT, logprob_nB = paths.labels_nTB.transpose(1, 2).cpu().numpy(), paths.logprob_nB.double().cpu().numpy()
    p_BTK = _numpy(head.label_probabilities(features_TBH, lengths_B).transpose(0, 1)) if search.probabilities else None
    found = []
    for row, words in enumerate(texts):
        best = tuple(
            WordLabels(column.decode_words(labels_nBT[rank, row, : len(words)].tolist(), words), float(logprob_nB[rank, row]))
            for rank in range(len(labels_nBT))
            if rank == 0 or np.isfinite(logprob_nB[rank, row])  # of weights that are no numbers there is one, too
        )
        found.append(ColumnPrediction(column.name, column.symbols, best, p_TK=None if p_BTK is None else p_BTK[row, : len(words)]))
    return found


def _of_texts(column: LabelColumn, p_BK: Tensor) -> list[ColumnPrediction]:
    found = []
    for p_K in _numpy(p_BK):
        if column.form == MULTI:
            label = joined_labels(column.symbols[each] for each in np.flatnonzero(p_K >= THRESHOLD).tolist())
        else:
            label = column.symbols[int(p_K.argmax())]
        found.append(ColumnPrediction(column.name, column.symbols, label=label, p_TK=p_K[None]))
    return found


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
