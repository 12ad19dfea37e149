"""The vectors that a network has of its words: those it reads, and the weights of its output layer."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import UsageError
from rnnlm.interface import Tokenizer
from rnnlm.neural.embeddings.word_input import WordInput
from rnnlm.neural.outputs.base import OutputLayer

WORDS_AT_ONCE = 4096


class WordRows(NamedTuple):
    """symbols: V, as their tokenizer has them. rows_VE: float32, a vector for each. note: what sets them apart from plain word vectors, or
    nothing."""

    symbols: list[str]
    rows_VE: np.ndarray
    note: str


def input_rows(words: WordInput, tokenizer: Tokenizer) -> WordRows:
    """What a network reads for each word of the vocabulary: its vector. Where words are read as characters alone, what these make of it."""
    if (weight_VE := words.weight) is not None:
        note = "" if words.characters is None else "the characters that are read beside them are left out"
        return _rows(tokenizer, weight_VE, note)
    with torch.no_grad():
        parts = torch.arange(tokenizer.size, device=next(words.parameters()).device).split(WORDS_AT_ONCE)
        rows_VE = torch.cat([words.vectors(part_N.unsqueeze(0))[0] for part_N in parts])
    return _rows(tokenizer, rows_VE, f"made of the characters of each of the {tokenizer.size:,} words of the vocabulary")


def output_rows(output: OutputLayer, tied_VE: Tensor | None, tokenizer: Tokenizer) -> WordRows:
    """The weights of each word in a softmax.

    Raises:
        UsageError: the output layer is one that has no such weights.
    """
    rows_VE = output.word_rows(tied_VE)
    if rows_VE is None:
        why = f"its output layer, {type(output).__name__}, spreads a word over several groups, whose weights do not compare"
        raise UsageError("this model has no output vectors", why, "take its input vectors, which are the default")
    return _rows(tokenizer, rows_VE, "tied: input and output vectors are the same" if tied_VE is not None else "")


def _rows(tokenizer: Tokenizer, rows_VE: Tensor, note: str) -> WordRows:
    return WordRows(tokenizer.symbols(), rows_VE.detach().float().cpu().numpy(), note)
