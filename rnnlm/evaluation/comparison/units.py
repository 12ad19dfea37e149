"""The places of a text at which models are compared: tokens, or words where the models' tokenizers differ.

A word's log-probability is the sum of its pieces', white space counted with the word behind it; the end of the line is a word of
its own. Words are cut by a reference: the tokenizer of the models, one of them that has words for tokens, or one made of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rnnlm.inference.word_surprisal import WordFinder
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.text import direction, tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText, known_ids
from rnnlm.text.tokenizers import TokenizerSettings


@dataclass(frozen=True)
class Units:
    """The U units of a text and what K models gave them. ids_U: of `tokenizer`, the reference. logprob_KU: nats.

    line_U counts from 0, position_U (in the line) from 1. unaligned_lines: so many lines are one unit each, with the id of unknown
    words, as the models' tokenizers see different numbers of words there. counts_V: how often the reference's symbols occurred in training,
    None where no model knows.
    """

    name: Literal["token", "word"]
    tokenizer: Tokenizer
    counts_V: np.ndarray | None
    ids_U: np.ndarray
    is_unknown_U: np.ndarray
    line_U: np.ndarray
    position_U: np.ndarray
    logprob_KU: np.ndarray
    unaligned_lines: int = 0


def units_of(text: Text, used: Sequence[Tokenizer], encoded: Sequence[EncodedText], scores: Sequence[np.ndarray]) -> Units:
    """The units of `text`, in the order of reading. used, encoded, scores: of each model its tokenizer, the text as that cuts it, and nats
    of each token."""
    read = [_in_reading_order(*each) for each in zip(used, encoded, scores, strict=True)]
    used, encoded, scores = zip(*read, strict=True)
    if len({tokenizer.fingerprint for tokenizer in used}) == 1:
        counts_V = next((tokenizer.counts_V for tokenizer in used if tokenizer.counts_V is not None), None)
        starts = [np.ones(encoded[0].tokens, dtype=bool)] * len(used)
        return _units("token", used[0], counts_V, encoded[0], encoded, starts, scores)
    words = next((k for k, tokenizer in enumerate(used) if tokenizer.name == "word"), None)
    if words is None:
        asked = used[0].to_settings()  # all read the text alike
        settings = TokenizerSettings(
            lowercase=not used[0].keeps_case, normalise=asked["normalise"], remove_punctuation=asked["remove_punctuation"]
        )
        reference = tokenizers.train(settings, text.blocks())
        reading, counts_V = text.encode(reference), None
    else:
        reference, reading, counts_V = used[words], encoded[words], used[words].counts_V
    starts = [_word_starts(each, tokenizer) for each, tokenizer in zip(encoded, used, strict=True)]
    return _units("word", reference, counts_V, reading, encoded, starts, scores)


def _in_reading_order(tokenizer: Tokenizer, encoded: EncodedText, logprob_N: np.ndarray) -> tuple[Tokenizer, EncodedText, np.ndarray]:
    if not tokenizer.is_reversed:
        return tokenizer, encoded, logprob_N
    at_N = direction.mirror(encoded.line_offsets)
    encoded = replace(encoded, ids=np.asarray(encoded.ids)[at_N], oov=np.sort(at_N[encoded.oov]))
    return tokenizer.in_direction(False), encoded, logprob_N[at_N]


def _units(
    name: Literal["token", "word"], tokenizer: Tokenizer, counts_V: np.ndarray | None, reading: EncodedText, encoded: Sequence[EncodedText],
    starts: Sequence[np.ndarray], scores: Sequence[np.ndarray],
) -> Units:  # fmt: skip
    """Units by the tokens of `reading`; `starts` say for each model where in its own tokens they begin."""
    units_S = np.diff(reading.line_offsets)
    begun = [np.add.reduceat(is_start_N, each.line_offsets[:-1], dtype=np.int64) for is_start_N, each in zip(starts, encoded, strict=True)]
    is_aligned_S = np.all([begun_S == units_S for begun_S in begun], axis=0)
    logprob_KU = np.stack([
        np.add.reduceat(logprob_N, np.flatnonzero(_whole_lines(is_start_N, each.line_offsets, is_aligned_S)))
        for is_start_N, each, logprob_N in zip(starts, encoded, scores, strict=True)
    ])  # fmt: skip
    kept = np.flatnonzero(_whole_lines(np.ones(reading.tokens, dtype=bool), reading.line_offsets, is_aligned_S))
    line_U = np.repeat(np.arange(reading.sentences), np.where(is_aligned_S, units_S, 1))
    is_unknown_U = np.isin(kept, reading.oov) | ~is_aligned_S[line_U]
    ids_U = known_ids(reading.ids, tokenizer).astype(np.int64)[kept]
    ids_U[~is_aligned_S[line_U]] = tokenizer.unk_id if tokenizer.unk_id is not None else tokenizer.boundary_id
    position_U = kept - reading.line_offsets[line_U] + 1
    return Units(name, tokenizer, counts_V, ids_U, is_unknown_U, line_U, position_U, logprob_KU, int((~is_aligned_S).sum()))


def _whole_lines(is_start_N: np.ndarray, line_offsets: np.ndarray, is_aligned_S: np.ndarray) -> np.ndarray:
    """Where units begin, lines that are not aligned being one unit each."""
    is_start_N = is_start_N & np.repeat(is_aligned_S, np.diff(line_offsets))
    is_start_N[line_offsets[:-1]] = True
    return is_start_N


def _word_starts(encoded: EncodedText, tokenizer: Tokenizer) -> np.ndarray:
    """(N,) bool: the first token of each word, of the white space before it where that is a token, and the ends of lines."""
    as_known = Encoded(known_ids(encoded.ids, tokenizer), encoded.line_offsets, encoded.oov)
    is_start_N = np.zeros(encoded.tokens, dtype=bool)
    is_start_N[WordFinder(tokenizer).find(as_known, encoded.line_offsets[:-1]).starts] = True
    return is_start_N
