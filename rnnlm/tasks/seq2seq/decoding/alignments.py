"""What the tokens of a line looked at in its source, and the source's words that are written in place of `<unk>`."""

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from rnnlm.interface import UNKNOWN
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.tasks.seq2seq.data import PairedData, joined
from rnnlm.tasks.seq2seq.decoding.results import Attention
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.text.parallel.pair import ParallelText

_NOWHERE = ParallelText((), "source", "target", "parallel")  # pairs that are in no file


def attended(model: Seq2SeqModel, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The weights of attention (T, S) of each pair of a source and a line, given as their tokens: one more pass over them."""
    data = PairedData(_NOWHERE, joined(sources), joined(targets))
    found: dict[int, np.ndarray] = {}
    for chosen_B in model.batches(data):
        found |= dict(zip(chosen_B.tolist(), model.attention(data, chosen_B), strict=True))
    return [found[number] for number in range(len(sources))]


class Aligner:
    """Makes tokens and weights readable with the tokenizers of a model."""

    def __init__(self, codec: PairCodec) -> None:
        self.codec = codec
        self.forward = codec.source.in_direction(False)
        self.symbols = codec.target.symbols()

    def aligned(self, source: str, ids: Sequence[int], weights_TS: np.ndarray, copies: bool) -> tuple[str, Attention]:
        """The text of a line's tokens, and what they looked at. copies: words of the source stand for `<unk>`."""
        weights_TS = self._in_own_order(weights_TS)
        tokens = [self.symbols[id] for id in ids]
        text = self.codec.target.decode(ids)
        if copies and self.codec.target.unk_id in ids:
            copied = self._copied(source, ids, weights_TS)
            shown = iter([word for word, token in zip(copied, tokens, strict=True) for _ in range(token.count(UNKNOWN))])
            text = re.sub(re.escape(UNKNOWN), lambda match: next(shown, UNKNOWN), text)
            tokens = [word if id == self.codec.target.unk_id else token for id, word, token in zip(ids, copied, tokens, strict=True)]
        return text, Attention(tuple(self.forward.surface(source)), tuple(tokens), weights_TS)

    def _in_own_order(self, weights_TS: np.ndarray) -> np.ndarray:
        """The weights of a source that is read from its end, as its text runs; `</s>` stays the last."""
        return np.append(weights_TS[:, -2::-1], weights_TS[:, -1:], axis=1) if self.codec.source.is_reversed else weights_TS

    def _copied(self, source: str, ids: Sequence[int], weights_TS: np.ndarray) -> list[str]:
        """For each token of a line what stands there if it is `<unk>`: what its largest weight is at, but for `</s>`."""
        pieces = self._pieces(source)
        if not pieces:
            return [UNKNOWN] * len(ids)
        return [pieces[place] for place in weights_TS[:, :-1].argmax(axis=1).tolist()]

    def _pieces(self, source: str) -> list[str]:
        """For each token of a source, but its `</s>`, the word that it is of; the token itself where the target is not made of words."""
        encoded = self.forward.encode([source])
        ids, unknown, surface = encoded.ids[:-1].tolist(), {*encoded.oov.tolist()}, self.forward.surface(source)
        parts = [surface[place].encode("utf-8") if place in unknown else self._bytes[id] for place, id in enumerate(ids)]
        starts = self.forward.starts_word_V[ids] if self._writes_words else np.ones(len(ids), dtype=bool)
        starts[:1] = True
        word_S = np.cumsum(starts) - 1
        words = [b""] * (word_S[-1] + 1 if len(ids) else 0)
        for word, part in zip(word_S.tolist(), parts, strict=True):
            words[word] += part
        return [words[word].decode("utf-8", "replace").strip() for word in word_S.tolist()]

    @cached_property
    def _bytes(self) -> list[bytes]:
        return self.forward.token_bytes()

    @cached_property
    def _writes_words(self) -> bool:
        return bool(self.codec.target.starts_word_V.all())
