"""The words of sentences that were read together, each with its surprisal and what else is asked for."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.inference.shown_words import ShownWords
from rnnlm.interface import BOUNDARY, Encoded


@dataclass(frozen=True, slots=True)
class WordScore:
    """One word of a sentence, or `</s>`. surprisal_bits = -log2 p(word | what came before); None where that is infinite.

    is_oov: it has a part that is unknown. index: its number in the line from 1, what is given counted. `text[start:end]` of the
    sentence is the word; `</s>` is the empty span at its end. tokens: how many of the model's make the word.
    entropy_bits: of the model's prediction of the word's first token, before that is read. log10_frequency: of the share of the word among
    those of the training text (:mod:`rnnlm.scoring.word_frequency`). None where that is not asked for, or not known.
    """

    word: str
    surprisal_bits: float | None
    is_oov: bool
    index: int
    start: int
    end: int
    tokens: int
    entropy_bits: float | None = None
    log10_frequency: float | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen of the predictions at the shown words. log_boundary: log B (nats) where it is needed.

    entropy_bits: (W,), likeliest: (W, K, 2) ids and log-probabilities (nats) of tokens; empty where not asked for.
    """

    log_boundary: np.ndarray
    entropy_bits: np.ndarray
    likeliest: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, names: Sequence[str], is_boundary: np.ndarray) -> "Seen":
        """What was seen side by side, under these names in their order, the likeliest tokens last; is_boundary: where B is needed."""
        of_name = {name: columns[:, column] for column, name in enumerate(names)} if columns.ndim > 1 else {}
        log_boundary = of_name.get("log_boundary", np.zeros(len(is_boundary)))[is_boundary]
        likeliest = columns[:, len(names) - 1 :].reshape(len(columns), -1, 2) if "likeliest" in names else np.zeros(0)
        return cls(log_boundary, of_name.get("entropy_bits", np.zeros(0)), likeliest)


class WordColumns:
    """The figures of all shown words of a chunk, `</s>` among them, in lists."""

    def __init__(self, shown: ShownWords, encoded: Encoded, bits_W: np.ndarray, seen: Seen, frequency_W: np.ndarray) -> None:
        items = shown.items
        self.shown = shown
        self.bits = _nullable(bits_W)
        self.is_oov = _any_between(items.starts, items.ends, encoded.oov).tolist()
        self.tokens = (items.ends - items.starts).tolist()
        self.entropy, self.frequency = (
            _nullable(its_W) if len(its_W) else [None] * len(self.bits) for its_W in (seen.entropy_bits, frequency_W)
        )

    def of(self, index: int, text: str, eos: bool) -> tuple[WordScore, ...]:
        """The words of one line, which scores `text`; with its `</s>`, if asked for."""
        places, before = self.shown.places[index], self.shown.before[index]
        first, last = self.shown.items.line_bounds[index : index + 2].tolist()
        words = [text[start:end] for start, end in places]
        if eos:
            words, places = [*words, BOUNDARY], [*places, (len(text), len(text))]
        if not places:
            return ()
        bits, is_oov, *others = (each[first:last] for each in (self.bits, self.is_oov, self.tokens, self.entropy, self.frequency))
        numbers = self.shown.numbers.get(index)
        indices = [before + 1 + number for number in numbers] if numbers else itertools.count(before + 1)
        return tuple(map(WordScore, words, bits, is_oov, indices, *zip(*places, strict=True), *others))


def _any_between(starts_W: np.ndarray, ends_W: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether any of the ascending `places` lies between each start and end."""
    return np.searchsorted(places, ends_W) > np.searchsorted(places, starts_W)


def _nullable(values: np.ndarray) -> list[float | None]:
    return [value if finite else None for value, finite in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)]
