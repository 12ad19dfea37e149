"""A text as the words that get a vector: rarer ones and special symbols are taken out of its lines, before anything looks at what stands
beside what (as word2vec does)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.files.reading import shown_name
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, silent, watched
from rnnlm.text.tokenizers import TokenizerSettings

BLOCK_WORDS = 1 << 20


@dataclass(frozen=True)
class WordStream:
    """words: V, by descending count. counts_V: int64. ids_N: int32, the words of all lines. line_offsets: (lines + 1,) int64, where each
    line begins, and the end."""

    words: tuple[str, ...]
    counts_V: np.ndarray
    ids_N: np.ndarray
    line_offsets: np.ndarray

    def sentences(self) -> Iterator[list[str]]:
        """The words of each line that has any."""
        words = np.array(self.words, dtype=object)
        for lines in self._blocks():
            first = lines[0]
            read = words[self.ids_N[first : lines[-1]]].tolist()
            for start, end in zip((lines[:-1] - first).tolist(), (lines[1:] - first).tolist(), strict=True):
                if end > start:
                    yield read[start:end]

    def _blocks(self) -> Iterator[np.ndarray]:
        """The offsets of lines that hold about a million words together, and their end."""
        first, lines = 0, len(self.line_offsets) - 1
        while first < lines:
            last = int(np.searchsorted(self.line_offsets, self.line_offsets[first] + BLOCK_WORDS))
            last = min(max(last, first + 1), lines)
            yield self.line_offsets[first : last + 1]
            first = last


def word_stream(text: Text, tokenizer: TokenizerSettings, min_count: int, progress: Progress = silent) -> WordStream:
    """The words of a text that occur `min_count` times or more. tokenizer: how it is split, unless it is prepared with one.

    Raises:
        TextError: the text cannot be read, or holds fewer than two such words.
    """
    made: Tokenizer = text.tokenizer or tokenizers.train(tokenizer, watched(text.blocks(), progress))
    encoded = text.encode(made, progress)
    ids_N = known_ids(np.asarray(encoded.ids), made)
    symbols, counts_V = made.symbols(), np.bincount(ids_N, minlength=made.size)
    counts_V[[made.boundary_id, *([] if made.unk_id is None else [made.unk_id])]] = 0
    order = np.argsort(-counts_V, kind="stable")
    kept = order[: int((counts_V >= min_count).sum())]
    if len(kept) < 2:
        why = f"{len(kept)} of its words occur {min_count} times or more"
        raise TextError(f"too little text in {', '.join(map(shown_name, text.sources))}", why, "lower --min-count, or name more text")
    number_V = np.full(len(counts_V), -1, dtype=np.int32)
    number_V[kept] = np.arange(len(kept), dtype=np.int32)
    renumbered_N = number_V[ids_N]
    is_kept_N = renumbered_N >= 0
    before_N = np.concatenate(([0], np.cumsum(is_kept_N, dtype=np.int64)))
    offsets = before_N[np.asarray(encoded.line_offsets)]
    return WordStream(tuple(symbols[id] for id in kept), counts_V[kept], renumbered_N[is_kept_N], offsets)
