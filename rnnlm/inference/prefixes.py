"""One word at a time through a model of any kind: what decoders and other programs ask, whose next question depends on the answer.

Where the model stands is a place, a value that is passed around. A model may offer steps of its own (`incremental`, as n-gram models
do). All others predict: the distribution after a place is kept, so that many words can be asked for there
at the price of one, and a place is read only when something after it is asked for.
"""

import functools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rnnlm.errors import TextError, notice
from rnnlm.inference import span_scoring
from rnnlm.inference.distributions import predict
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, LanguageModel, State, Tokenizer

UNBOUNDED = 2**31 - 1  # the order of a model that may remember everything
KEPT_BYTES = 1 << 27  # of distributions that are kept, and the states after them
FEWEST_KEPT = 16
KEPT_WORDS = 1 << 17
SPACED = ("char", "byte")  # tokenizers to which the space before a word is a token of that word


class Steps(Protocol):
    """Steps through a model. A place has `words`, which are equal where the model makes no difference between two places."""

    order: int

    def begin(self) -> Any:
        """The place at the start of a line."""
        ...

    def null(self) -> Any:
        """The place where nothing is known of what came before."""
        ...

    def step(self, place: Any, word: int) -> tuple[float, int, Any]:
        """log p (nats) of a token, the length of the n-gram that told it, and the place after it."""
        ...

    def line(self, place: Any, words: Sequence[int]) -> list[tuple[float, int]]:
        """The same for each of `words`, from the start of a line or nothing, without the places."""
        ...


def steps_of(model: LanguageModel) -> Steps:
    """The quickest way to step through `model`: its own (`incremental`), or through its predictions."""
    offered = getattr(model, "incremental", None)
    return offered() if offered else PredictedSteps(model)


@dataclass(frozen=True, slots=True)
class Place:
    """All that was read, the boundary first; and the model's state before the last of it."""

    words: tuple[int, ...]
    before: State = field(compare=False, repr=False)


class PredictedSteps:
    """Steps through a model that predicts. The length of an n-gram is that of all that was read, as nothing is forgotten by rule."""

    order = UNBOUNDED

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._begin = Place((model.tokenizer.boundary_id,), model.initial_state(1))
        self._kept: OrderedDict[tuple[int, ...], tuple[np.ndarray, State]] = OrderedDict()
        self._most_kept = FEWEST_KEPT  # until one shows how large they are
        self._is_told = False

    def begin(self) -> Place:
        return self._begin

    def null(self) -> Place:
        """The start of a line, told in a notice: such a model has learnt nothing without one."""
        if not self._is_told:
            self._is_told = True
            notice("only n-gram models know words without any context: this model takes them for the start of a line")
        return self._begin

    def step(self, place: Place, word: int) -> tuple[float, int, Place]:
        """After the boundary the next line begins, with nothing remembered.

        Raises:
            ModelError: the model's scores are no numbers.
        """
        logprob_V, after = self._distribution(place)
        tokenizer = self.model.tokenizer
        logprob = float(logprob_V[word if word < len(logprob_V) else tokenizer.unk_id])
        ended = word == tokenizer.boundary_id
        return logprob, len(place.words) + 1, self._begin if ended else Place((*place.words, word), after)

    def line(self, place: Place, words: Sequence[int]) -> list[tuple[float, int]]:
        """All at once."""
        ids = np.asarray(words, dtype=np.int64)
        bounds = np.unique([0, *(np.flatnonzero(ids == self.model.tokenizer.boundary_id) + 1), len(ids)])
        logprob_N = span_scoring.score_spans(self.model, ids, span_scoring.spans_between(bounds))
        span_scoring.check_scores(logprob_N)
        position_N = np.arange(len(ids)) - bounds[np.searchsorted(bounds, np.arange(len(ids)), side="right") - 1]
        return list(zip(logprob_N.tolist(), (position_N + 2).tolist(), strict=True))

    def _distribution(self, place: Place) -> tuple[np.ndarray, State]:
        """log p of every token after `place`, (V,), and the state there."""
        if place.words in self._kept:
            self._kept.move_to_end(place.words)
            return self._kept[place.words]
        [logprob_V], after = predict(self.model, np.array([place.words[-1]]), place.before)
        if not self._kept:
            state_bytes = sum(array.nbytes for array in after.to_arrays().values())  # with dynamic evaluation, a whole model
            self._most_kept = max(FEWEST_KEPT, KEPT_BYTES // (logprob_V.nbytes + state_bytes))
        self._kept[place.words] = logprob_V, after
        if len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)
        return logprob_V, after


class WordTokens:
    """The tokens of single words, as in a line in which one space stands between two."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.is_spaced = tokenizer.name in SPACED
        self.is_closed = tokenizer.name == "word"
        self._tokenizer = tokenizer
        self._is_plain = self.is_closed and tokenizer.keeps_text and not tokenizer.spells
        self._id_of = {symbol: id for id, symbol in enumerate(tokenizer.symbols())}
        self.of = functools.lru_cache(KEPT_WORDS)(self._of)

    def _of(self, word: str, is_first: bool = False) -> tuple[tuple[int, ...], bool]:
        """The ids of `word`, and whether the model knows it; `is_first`: nothing stands before it in its line.

        `</s>` is the boundary; what is no word, such as the empty one, is unknown where words can be.

        Raises:
            TextError: it is `<s>`, which nothing predicts.
        """
        tokenizer = self._tokenizer
        if word == SENTENCE_START:
            raise TextError(f"{SENTENCE_START} has no probability", "it is only a context", "leave it out: it is meant where bos is true")
        if word == BOUNDARY:
            return (tokenizer.boundary_id,), True
        if self._is_plain:
            id = self._id_of.get(word, tokenizer.unk_id)
            return (id,), id != tokenizer.unk_id
        if not word:
            return ((tokenizer.unk_id,), False) if self.is_closed else ((), True)
        encoded = tokenizer.encode([word if is_first or not self.is_spaced else f" {word}"])
        is_unknown = len(encoded.oov) or word == UNKNOWN and tokenizer.literal_unk == "symbol"
        return tuple(encoded.ids[:-1].tolist()), not is_unknown
