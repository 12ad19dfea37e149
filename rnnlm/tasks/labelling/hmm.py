"""A hidden Markov model as a tagger: counts instead of gradients (Rabiner 1989; Brants 2000).

    p(words, labels) = product over t of p(word_t | label_t) p(label_t | label_t-1)

The scores of labels are the logarithms of p(word | label), a row of a table for each word, and the
chain of a CRF holds those of p(label | label before), of the first label and of the end. So labels,
the n best sequences, marginals and metrics are found as those of a CRF.

Shapes: V words of the vocabulary, K labels of a column.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from rnnlm.config import ResolvedSettings, from_stored
from rnnlm.errors import SettingsError
from rnnlm.events import Event, Fitted, Started, Validated, never
from rnnlm.interface import PADDING, Shapes
from rnnlm.lm.base.loading import count_parameters
from rnnlm.lm.neural.shapes import typed, within
from rnnlm.lm.neural.trained_network import filled
from rnnlm.tasks.labelling.data import Codec, LabelledData, TaskData
from rnnlm.tasks.labelling.evaluation import evaluation
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks.heads import CrfHead
from rnnlm.tasks.labelling.networks.network import Features, TaskNetwork
from rnnlm.tasks.labelling.settings import HmmSettings
from rnnlm.tasks.labelling.weights import chain_shapes

TABLE = "table.weight"


class HmmHead(CrfHead):
    """The chain of a column, whose scores are K of the numbers in each word's row, from `begin`
    on."""

    def __init__(self, labels: int, begin: int) -> None:
        super().__init__(1, labels)
        self.output = nn.Identity()  # type: ignore[assignment]  # there is nothing to learn
        self.begin, self.end = begin, begin + labels

    def scores(self, features_TBH: Tensor, lengths_B: Tensor) -> Tensor:
        return super().scores(features_TBH[:, :, self.begin : self.end], lengths_B)


class HmmNetwork(TaskNetwork):
    """log p(word | label) of each column, looked up, and a chain for each column."""

    settings: HmmSettings  # type: ignore[assignment]

    def __init__(self, settings: HmmSettings, codec: Codec) -> None:
        nn.Module.__init__(self)  # it has no encoder
        self.settings = settings
        sizes = [len(column.symbols) for column in codec.columns]
        ends = np.cumsum(sizes).tolist()
        self.table = nn.Embedding(codec.size, ends[-1])
        heads = [HmmHead(size, end - size) for size, end in zip(sizes, ends, strict=True)]
        self.heads = nn.ModuleList(heads)

    def forward(self, inputs: tuple[Tensor, ...]) -> Features:
        return Features(self.table(inputs[0]), None, inputs[1][0])


def array_shapes(settings: Mapping[str, Any], codec: Codec, stored: Shapes | None = None) -> Shapes:
    """Return (safetensors type, shape) of the model's arrays by name."""
    sizes = [len(column.symbols) for column in codec.columns]
    arrays: dict[str, tuple[int, ...]] = {TABLE: (codec.size, sum(sizes))}
    for number, size in enumerate(sizes):
        arrays |= within(f"heads.{number}.chain", chain_shapes(size))
    return typed(arrays)


def from_arrays(
    settings: Mapping[str, Any],
    codec: Codec,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> TaskModel:
    """Make the model whose `to_arrays()` returned `arrays`; it computes on the CPU."""
    shape = from_stored(HmmSettings, settings)
    network = filled(lambda: HmmNetwork(shape, codec), arrays)
    return TaskModel(network.eval(), codec, fingerprint=fingerprint)


# ---- Counting.


def fit(
    resolved: ResolvedSettings,
    data: TaskData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Count words and labels, and validate once."""
    codec, train, valid = data.tokenizer, data.train, data.valid
    began = time.perf_counter()
    _check(codec, train)
    yield Started(
        model="hmm",
        parameters=count_parameters(array_shapes(resolved.values, codec)),
        vocabulary_size=codec.size,
        train_tokens=train.tokens,
        valid_tokens=valid.tokens if valid else 0,
        device="cpu",
        precision="fp32",
    )
    k = resolved.make(HmmSettings).additive_k
    model = from_arrays(resolved.values, codec, counted(codec, train, k), "cpu", None)

    # The one validation is the best.
    best, criterion = None, "loss_nats"
    found = evaluation.predict_with_loss(model, valid) if valid else None
    if valid and found:
        columns = evaluation.informative_columns(codec, valid)
        verdict = evaluation.verdict(model, valid, *found, "auto", columns)
        best, criterion = verdict.metric, verdict.name
        yield Validated(
            step=1,
            epoch=1.0,
            figures={criterion: best, **verdict.metrics},
            best=best,
            improved=True,
            seconds=time.perf_counter() - began,
            model=model,  # type: ignore[arg-type]
            criterion=criterion,
            is_share=verdict.is_share,
        )
    yield Fitted(
        step=1,
        steps=1,
        tokens=train.tokens,
        seconds=time.perf_counter() - began,
        stopped="complete",
        model=model,  # type: ignore[arg-type]
        best=best,
        criterion=criterion,
    )


def _check(codec: Codec, train: LabelledData) -> None:
    """Refuse what an HMM cannot learn."""
    if codec.text_columns:
        raise SettingsError(
            "an hmm labels words, and not whole texts",
            f"{codec.text_columns[0].name} is a label of texts",
            "set sentence_label_column=none",
        )
    if not train.words_encoded.is_by_word:
        raise SettingsError(
            "an hmm reads whole words", "this tokenizer splits them", "set tokenizer=word"
        )


def counted(codec: Codec, train: LabelledData, k: float) -> dict[str, np.ndarray]:
    """Return the weights by name: logarithms of smoothed relative frequencies, for each column

        p(w | y) = (c(w, y) + k) / (c(y) + n(y) + k V'),  p(y' | y) = (c(y, y') + k) / (c(y) + k K')

    with V' = V - 1, as no label emits `</s>`, and n(y) the words of label y that occur once in all.
    They are counted a second time as `<unk>`: a new word has the labels that rare words have (Good
    1953). Where there are none, a new word is as likely with one label as with another. What
    follows a label is one of K' = K + 1 things: a label or the end.
    """
    words_W, arrays, tables = train.words_encoded.ids, {}, []
    times_V = np.bincount(words_W, minlength=codec.size)
    emitted = codec.size - 1
    offsets = train.words_encoded.word_offsets
    for number, (column, labels_W) in enumerate(zip(codec.columns, train.labels, strict=True)):
        labels = len(column.symbols)
        is_known_W = labels_W != PADDING

        # Words with each label; those seen once also as unknown.
        counts_VK = np.zeros((codec.size, labels))
        np.add.at(counts_VK, (words_W[is_known_W], labels_W[is_known_W]), 1)
        unknown = codec.tokenizer.unk_id
        if unknown is not None:
            counts_VK[unknown] += counts_VK[times_V == 1].sum(axis=0)
            if not counts_VK[unknown].any():
                counts_VK[unknown] = counts_VK.sum(axis=0) / emitted
        tables.append(np.log(counts_VK + k) - np.log(counts_VK.sum(axis=0) + k * emitted))

        # Labels after each other, from a place before the first to one behind the last.
        after_XX = np.zeros((labels + 1, labels + 1))
        for begin, end in itertools.pairwise(offsets):
            path = np.concatenate([[labels], labels_W[begin:end], [labels]])
            is_pair = (path[:-1] != PADDING) & (path[1:] != PADDING)
            np.add.at(after_XX, (path[:-1][is_pair], path[1:][is_pair]), 1)
        log_XX = np.log(after_XX + k) - np.log((after_XX + k).sum(axis=1, keepdims=True))
        arrays[f"heads.{number}.chain.start_K"] = log_XX[labels, :labels]
        arrays[f"heads.{number}.chain.end_K"] = log_XX[:labels, labels]
        arrays[f"heads.{number}.chain.transitions_KK"] = log_XX[:labels, :labels]
    arrays[TABLE] = np.concatenate(tables, axis=1)
    return {name: array.astype(np.float32) for name, array in arrays.items()}
