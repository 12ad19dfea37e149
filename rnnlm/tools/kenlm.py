"""Offer the interface of KenLM's Python package, over models of every kind: with `import
rnnlm.tools.kenlm as kenlm`, code written for KenLM runs.

Log-probabilities are to base 10. A model is an ARPA file, compressed or not, or a model of rnnlm,
by folder or name. Names and arguments are the same as in the package `kenlm` (Heafield 2011). So
are the answers on ARPA files, except for `ngram_length` where a program has pruned n-grams but kept
longer ones that contain them: here it is the length of the longest n-gram in the file.

Models that are not made of n-grams answer the same questions. Their `order` is 2^31 - 1, and
`ngram_length` counts everything that was read, `<s>` included. Without context (`bos=False`,
`NullContextWrite`), their words count as the first of a line, with a notice. A word of several
tokens has the product of their probabilities; sentences are words with one space between them.
"""

import copy
import functools
import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import ArgumentTypeError, RnnlmWarning, TextError, UsageError, given
from rnnlm.interface import BOUNDARY, SENTENCE_START, LanguageModel as AnyModel
from rnnlm.lm.base import loading
from rnnlm.lm.base.words import WordTokens
from rnnlm.lm.ngram.arpa import writing
from rnnlm.scoring.prefixes import PrefixScorer, prefix_scorer
from rnnlm.text.lines import split_words

LOG10_PER_NAT = 1 / math.log(10)


class LoadMethod:
    """KenLM's ways to map its binary files into memory. Accepted and ignored."""

    LAZY, POPULATE_OR_LAZY, POPULATE_OR_READ, READ, PARALLEL_READ = range(5)


class ARPALoadComplain:
    """The oddities of an ARPA file to warn about. NONE is heeded: no warnings."""

    ALL, EXPENSIVE, NONE = range(3)


class Config:
    """Options of :class:`Model`. Only `arpa_complain` has an effect."""

    def __init__(self) -> None:
        self.load_method = LoadMethod.POPULATE_OR_READ
        self.show_progress = True
        self.arpa_complain = ARPALoadComplain.ALL


@dataclass(frozen=True, slots=True)
class FullScoreReturn:
    """log_prob: log10 p. ngram_length: of the n-gram that gave it. oov: the word is unknown."""

    log_prob: float
    ngram_length: int
    oov: bool


@functools.total_ordering
class State:
    """The part of the words so far that can change the next predictions, written by a model. Equal
    states give equal predictions."""

    __slots__ = ("_begins_line", "_prefix", "_scorer")

    def __init__(self) -> None:
        self._prefix: Any = None
        # Whether no word has been read. It matters, and is set, only for tokenizers whose words
        # begin with a space: the first word of a line has none.
        self._begins_line = False
        self._scorer: PrefixScorer | None = None

    def _key(self) -> tuple[object, ...]:
        is_written = self._prefix is not None
        token_ids = self._prefix.token_ids if is_written else ()
        return is_written, len(token_ids), token_ids, self._begins_line

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self._key() == other._key()

    def __lt__(self, other: "State") -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> "State":
        """Copy it as `copy.copy` does: prefixes and scorers are shared."""
        return copy.copy(self)


class Model:
    """A language model with the methods of KenLM's.

    path: absolute, as bytes. order: words of the longest n-gram.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        config: Config | None = None,
        *,
        device: str = "auto",
    ) -> None:
        """Load the model at `path`.

        Raises:
            ModelError: there is no model, or it is damaged.
            DeviceError: this machine has no such `device`.
        """
        # A file is an ARPA file; anything else is a folder or the name of a model.
        path = os.fsdecode(path)
        if os.path.isfile(path):
            with warnings.catch_warnings():
                if config is not None and config.arpa_complain == ARPALoadComplain.NONE:
                    warnings.simplefilter("ignore", RnnlmWarning)
                model: AnyModel = writing.load_arpa(path)
        else:
            path = str(loading.find(path))
            model = loading.language_model_of(path, device)
        self._set(model, os.path.abspath(path))

    @classmethod
    def of(cls, model: AnyModel | str | Path, path: str | Path = "") -> "Model":
        """Wrap a model in memory, such as a mixture or one that adapts itself, or load one by name.
        `path`: shown as its place.

        Raises:
            ModelError: there is no model of that name.
        """
        made = cls.__new__(cls)
        made._set(loading.language_model_of(model), str(path))
        return made

    def _set(self, model: AnyModel, path: str) -> None:
        self.model = model
        self.path = os.fsencode(path)
        self._scorer = prefix_scorer(model)
        self._words = WordTokens(model.tokenizer)

    @property
    def order(self) -> int:
        """The number of words of its longest n-grams."""
        return self._scorer.order

    @property
    def is_closed(self) -> bool:
        """Whether some words are unknown to the model."""
        return self._words.is_closed

    def score(self, sentence: str | bytes, bos: bool = True, eos: bool = True) -> float:
        """Return log10 p of the words of `sentence` and, with `eos`, of its end: after `<s>`, or
        without `bos` after no context.

        Raises:
            TextError: `<s>` is one of the words.
        """
        answers = self._line(self._tokens(sentence, eos), bos)
        return LOG10_PER_NAT * math.fsum(logprob for logprob, _ in answers)

    def full_scores(
        self, sentence: str | bytes, bos: bool = True, eos: bool = True
    ) -> Iterator[tuple[float, int, bool]]:
        """Yield (log10 p, n-gram length, whether it is unknown) of each word of `sentence` and,
        with `eos`, of its end.

        Raises:
            TextError: `<s>` is one of the words.
        """
        # The model reads the line at once, token by token.
        words = list(self._tokens(sentence, eos))
        answers = self._line(words, bos)

        # A word has the probability of its tokens; its n-gram is the n-gram of the last one.
        start = 0
        for ids, is_known in words:
            end = start + len(ids)
            log10_p = LOG10_PER_NAT * math.fsum(logprob for logprob, _ in answers[start:end])
            yield log10_p, answers[end - 1][1], not is_known
            start = end

    def perplexity(self, sentence: str | bytes) -> float:
        """Return the perplexity per word of `sentence` and its end; infinity if it is too large for
        a float."""
        # A float holds no more than 1e308, which a sentence of improbable words can exceed.
        words = len(split_words(_text(sentence))) + 1
        try:
            return 10.0 ** (-self.score(sentence) / words)
        except OverflowError:
            return math.inf

    def BeginSentenceWrite(self, state: State) -> None:
        """Make `state` the state at the start of a sentence."""
        self._write(state, self._scorer.begin(), True)

    def NullContextWrite(self, state: State) -> None:
        """Make `state` the state without any context."""
        self._write(state, self._scorer.null(), True)

    def BaseScore(self, in_state: State, word: str, out_state: State) -> float:
        """Return log10 p(word | in_state), and make `out_state`, which may be the same object, the
        state after the word.

        Raises:
            UsageError: no model, or another one, wrote `in_state`.
            TextError: the word is `<s>`.
        """
        return self._advance(in_state, word, out_state)[0]

    def BaseFullScore(self, in_state: State, word: str, out_state: State) -> FullScoreReturn:
        """Do as :meth:`BaseScore`, and also return the length of the n-gram and whether the word is
        unknown."""
        return FullScoreReturn(*self._advance(in_state, word, out_state))

    def __contains__(self, word: str | bytes) -> bool:
        word = _text(word)
        return word == SENTENCE_START or self._words.of(word)[1]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {os.path.basename(os.fsdecode(self.path))}>"

    def __reduce__(self) -> tuple[object, ...]:
        # Another process opens the model again by its path, as with KenLM.
        if not self.path:
            raise UsageError(
                "this model cannot be pickled",
                "it was not read from a file",
                "save it, and open it by its path",
            )
        return type(self), (self.path,)

    def _tokens(self, sentence: str | bytes, eos: bool) -> Iterator[tuple[tuple[int, ...], bool]]:
        """Yield the tokens of each word, and whether it is known."""
        # The first word of a line has no space before it, which may be a token.
        is_first = self._words.is_spaced
        for word in split_words(_text(sentence)):
            yield self._words.of(word, is_first)
            is_first = self._words.is_spaced and word == BOUNDARY
        if eos:
            yield self._words.of(BOUNDARY)

    def _line(
        self, words: Iterable[tuple[tuple[int, ...], bool]], bos: bool
    ) -> list[tuple[float, int]]:
        """Return log p and the n-gram length of each token of these words."""
        start = self._scorer.begin() if bos else self._scorer.null()
        tokens = itertools.chain.from_iterable(ids for ids, _ in words)
        return self._scorer.score_tokens(start, list(tokens))

    def _advance(self, in_state: State, word: str, out_state: State) -> tuple[float, int, bool]:
        if not isinstance(in_state, State):
            raise ArgumentTypeError(f"in_state must be a State, not {given(in_state)}")
        if in_state._scorer is not self._scorer:
            writer = "no model" if in_state._scorer is None else "another model"
            raise UsageError(
                "this state cannot be used",
                f"it was written by {writer}",
                "write it first: BeginSentenceWrite, or BaseScore of this model",
            )

        # A word may have several tokens; the n-gram of the last one counts.
        ids, is_known = self._words.of(word, in_state._begins_line)
        prefix, total, length = in_state._prefix, 0.0, 1
        for token_id in ids:
            logprob, length, prefix = self._scorer.extend(prefix, token_id)
            total += logprob

        # Only now write: both states may be one object.
        self._write(out_state, prefix, word == BOUNDARY)
        return total * LOG10_PER_NAT, length, not is_known

    def _write(self, state: State, prefix: object, begins_line: bool) -> None:
        state._prefix = prefix
        state._begins_line = begins_line and self._words.is_spaced
        state._scorer = self._scorer


class LanguageModel(Model):
    """The class that kenlm also calls :class:`Model`."""


def _text(text: str | bytes) -> str:
    """Return a sentence or word as a str; bytes must be UTF-8."""
    if isinstance(text, str):
        return text
    if not isinstance(text, bytes):
        raise ArgumentTypeError(f"a sentence or word must be a str, not {given(text)}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(
            "the sentence is not UTF-8",
            f"byte {error.start} is {text[error.start]:#04x}",
            "decode it first",
        ) from None
