"""The probabilities of references given their sources."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from rnnlm.evaluation.comparison.intervals import LineSums
from rnnlm.events import never
from rnnlm.interface import Tokenizer
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.text.encoding import EncodedText, as_bytes, encode_block, joined
from rnnlm.text.lines import Block


def target_scores(model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never) -> np.ndarray | None:
    """Log-probability (nats, float64) of each token of the references given their sources, as `data.target.ids` has them; None where
    `stop`, asked before each batch, cut it off."""
    logprob_N = np.zeros(len(data.target.ids))
    offsets = data.target.offsets
    for chosen_B in model.batches(data):
        if stop():
            return None
        logprob_TB = model.score_pairs(data, chosen_B).double().cpu().numpy()
        for row, pair in enumerate(chosen_B.tolist()):
            start, end = offsets[pair], offsets[pair + 1]
            logprob_N[start:end] = logprob_TB[: end - start, row]
    return logprob_N


def references_of(data: PairedData, tokenizer: Tokenizer) -> EncodedText:
    """The references as a text of one line each, in the order of the data, with all that perplexities are taken per. tokenizer: of the
    target."""
    lines = [reference for pair in data.text.pairs for reference in pair.references]
    return joined([encode_block(Block(lines, []), as_bytes(lines), tokenizer)], data.lines_hash, "skip")


def source_sums(data: PairedData, encoded: EncodedText, logprob_N: np.ndarray) -> LineSums:
    """What each different source adds to the perplexity of the references, all of them together, in the order of `data.groups`."""
    number_of = {pair.source: number for number, pair in enumerate(data.groups)}
    source_P = [number_of[pair.source] for pair in data.text.pairs for _ in pair.references]
    of_pairs = LineSums.of(encoded, logprob_N)
    return LineSums(*(np.bincount(source_P, getattr(of_pairs, each.name), minlength=len(number_of)) for each in fields(LineSums)))
