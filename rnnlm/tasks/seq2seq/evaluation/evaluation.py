"""Encoder-decoders evaluated on pairs."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.tasks.evaluation.bundled_data import bundled_corpus_of
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings
from rnnlm.tasks.seq2seq.evaluation import figures
from rnnlm.tasks.seq2seq.evaluation.evaluation_data import Pathname, encoded_pairs, open_pairs
from rnnlm.tasks.seq2seq.evaluation.figures import PairEvaluation
from rnnlm.tasks.seq2seq.evaluation.hypotheses import GREEDY
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.text.parallel.pair import ParallelText

Pairs = Pathname | Sequence[Pathname] | ParallelText | PairedData


def evaluate(
    model: Seq2SeqModel | str | Path, data: Pairs | None = None, *, target: Sequence[Pathname] = (), decode: bool = True,
    decoding: DecodingSettings | None = None, reading: Mapping[str, Any] | None = None, device: str | Device = "auto",
) -> PairEvaluation:  # fmt: skip
    """The figures of a model, itself or by its name, on pairs: files, which are read as its training data were, or pairs that were read.

    data: None stands for the test part of the bundled corpus that the model was trained on.
    target: for each file one with its targets, where these are in files of their own; as many again for each further reference.
    decode: whether the sources are decoded; else perplexity is all that is found. decoding: how; None: greedily.
    reading: those of :class:`~rnnlm.text.parallel.settings.ParallelSettings` that are to differ from the training data's.

    Raises:
        TextError: a file cannot be read, lacks a column, or has another number of lines than its target. UsageError: the targets are not
            as many as the files, or the model cannot decode so. ModelError: there is no such model, or it is damaged. DeviceError:
            `device` is not available.
    """
    data = bundled_corpus_of(model, "test.tsv") if data is None else data
    its = cast(Seq2SeqModel, model if isinstance(model, Seq2SeqModel) else loading.load(model, device))
    return figures.measure(its, opened(its, data, target, reading), (decoding or GREEDY) if decode else None)


def opened(
    model: Seq2SeqModel, data: Pairs, target: Sequence[Pathname] = (), reading: Mapping[str, Any] | None = None, called: str = ""
) -> PairedData:
    """Pairs as `model` reads them; what is given is as for :func:`evaluate`. called: the model, in notices, where there are several."""
    if isinstance(data, PairedData):
        return data
    if isinstance(data, ParallelText):
        return encoded_pairs(model, data, called)
    return open_pairs(model, [data] if isinstance(data, (str, PathLike)) else data, target, reading, called)
