"""The tokens of single words, for callers that ask a model word by word."""

import functools

from rnnlm.errors import TextError
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, Tokenizer

CACHED_WORDS = 1 << 17
SPACED = ("char", "byte")  # tokenizers to which the space before a word is a token of that word


class WordTokens:
    """The tokens of single words, as in a line in which one space stands between two."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.is_spaced = tokenizer.name in SPACED
        self.is_closed = tokenizer.name == "word"
        self._tokenizer = tokenizer
        self._unknown = () if tokenizer.unk_id is None else (tokenizer.unk_id,)
        self._is_plain = self.is_closed and tokenizer.keeps_text and not tokenizer.spells
        self._id_of = {symbol: id for id, symbol in enumerate(tokenizer.symbols())}
        self.of = functools.lru_cache(CACHED_WORDS)(self._of)

    def _of(self, word: str, is_first: bool = False) -> tuple[tuple[int, ...], bool]:
        """The ids of `word`, and whether the model knows it; `is_first`: nothing stands before it in its line.

        `</s>` is the boundary; the empty word is unknown where words can be unknown.

        Raises:
            TextError: it is `<s>`, which nothing predicts.
        """
        tokenizer = self._tokenizer
        if word == SENTENCE_START:
            raise TextError(f"{SENTENCE_START} has no probability", "it is only a context", "leave it out: a line begins so")
        if word == BOUNDARY:
            return (tokenizer.boundary_id,), True
        if self._is_plain:
            ids = (self._id_of[word],) if word in self._id_of else self._unknown
            return ids, ids != self._unknown
        if not word:
            return (self._unknown, False) if self.is_closed else ((), True)
        encoded = tokenizer.encode([word if is_first or not self.is_spaced else f" {word}"])
        is_unknown = len(encoded.oov) or (word == UNKNOWN and tokenizer.literal_unk == "symbol")
        return tuple(encoded.ids[:-1].tolist()), not is_unknown
