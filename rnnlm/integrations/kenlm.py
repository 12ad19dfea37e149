"""The interface of KenLM's Python package, over models of every kind: `import rnnlm.kenlm as
kenlm`, and code written for it runs.

Log-probabilities are to base 10. A model is an ARPA file, compressed or not, or a model of rnnlm,
by folder or name. Names and arguments are those of the package `kenlm` (Heafield 2011); on ARPA
files the answers are, too, but for `ngram_length` where a program has pruned n-grams whose longer
forms it kept: here it is the length of the longest n-gram that is there.

Models that are not made of n-grams answer the same questions. Their `order` is 2^31 - 1 and
`ngram_length` counts all that was read, `<s>` included. Their words without context (`bos=False`,
`NullContextWrite`) are those at the start of a line, with a notice. A word of several tokens has
the product of their probabilities; sentences are words with one space between them.
"""

import functools
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import ArgumentTypeError, RnnlmWarning, TextError, UsageError, given
from rnnlm.inference.prefixes import PrefixScorer, prefix_scorer
from rnnlm.inference.words import WordTokens
from rnnlm.interface import BOUNDARY, SENTENCE_START
from rnnlm.interface import LanguageModel as AnyModel
from rnnlm.models import loading
from rnnlm.ngram.arpa import writing
from rnnlm.text.lines import split_words

LOG10_PER_NAT = 1 / math.log(10)


class LoadMethod:
    """How KenLM maps its binaries into memory; taken and not needed."""

    LAZY, POPULATE_OR_LAZY, POPULATE_OR_READ, READ, PARALLEL_READ = range(5)


class ARPALoadComplain:
    """What is said about oddities of an ARPA file: NONE, nothing."""

    ALL, EXPENSIVE, NONE = range(3)


class Config:
    """Options of :class:`Model`. Only `arpa_complain` matters here."""

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
    """What of the words so far can change what comes next, written by a model. States are equal
    where it makes no difference."""

    __slots__ = ("_begins_line", "_prefix", "_scorer")

    def __init__(self) -> None:
        self._prefix: Any = None
        self._begins_line = False  # only where the space before a word is a token of it
        self._scorer: PrefixScorer | None = None

    def _key(self) -> tuple[object, ...]:
        words = () if self._prefix is None else self._prefix.words
        return self._prefix is not None, len(words), words, self._begins_line

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, State) else NotImplemented

    def __lt__(self, other: "State") -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __copy__(self) -> "State":
        copied = State()
        copied._prefix, copied._begins_line, copied._scorer = (
            self._prefix,
            self._begins_line,
            self._scorer,
        )
        return copied

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> "State":
        return self.__copy__()


class Model:
    """A language model as KenLM shows one.

    path: bytes, absolute. order: the longest n-gram.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        config: Config | None = None,
        *,
        device: str = "auto",
    ) -> None:
        """Raises:
        ModelError: there is no model, or it is damaged. DeviceError: `device` is not here.
        """
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
        """A model that is there already, such as a mixture or one that adapts itself, or its name.
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
        """Whether there are words that the model cannot know."""
        return self._words.is_closed

    def score(self, sentence: str | bytes, bos: bool = True, eos: bool = True) -> float:
        """log10 p of the words of `sentence` and, with `eos`, its end: after `<s>`, or without
        `bos` after nothing.

        Raises:
            TextError: `<s>` is one of them.
        """
        tokens = [id for ids, _ in self._tokens(sentence, eos) for id in ids]
        return LOG10_PER_NAT * math.fsum(logprob for logprob, _ in self._line(tokens, bos))

    def full_scores(
        self, sentence: str | bytes, bos: bool = True, eos: bool = True
    ) -> Iterator[tuple[float, int, bool]]:
        """(log10 p, n-gram length, whether it is unknown) of each word of `sentence` and, with
        `eos`, of its end.

        Raises:
            TextError: `<s>` is one of the words.
        """
        words = list(self._tokens(sentence, eos))
        answers, end = self._line([id for ids, _ in words for id in ids], bos), 0
        for ids, is_known in words:
            start, end = end, end + len(ids)
            yield (
                LOG10_PER_NAT * math.fsum(logprob for logprob, _ in answers[start:end]),
                answers[end - 1][1],
                not is_known,
            )

    def perplexity(self, sentence: str | bytes) -> float:
        """Per word of `sentence` and its end; infinite where that is not a finite number."""
        words = len(split_words(_text(sentence))) + 1
        try:
            return 10.0 ** (-self.score(sentence) / words)
        except OverflowError:
            return math.inf

    def BeginSentenceWrite(self, state: State) -> None:
        """`state` becomes that at the start of a sentence."""
        self._write(state, self._scorer.begin(), True)

    def NullContextWrite(self, state: State) -> None:
        """`state` becomes that of knowing nothing of what came before."""
        self._write(state, self._scorer.null(), True)

    def BaseScore(self, in_state: State, word: str, out_state: State) -> float:
        """log10 p(word | in_state); `out_state`, which may be the same, becomes the state after it.

        Raises:
            UsageError: nobody, or another model, wrote `in_state`. TextError: the word is `<s>`.
        """
        return self._advance(in_state, word, out_state)[0]

    def BaseFullScore(self, in_state: State, word: str, out_state: State) -> FullScoreReturn:
        """As :meth:`BaseScore`, with the length of the n-gram and whether the word is unknown."""
        return FullScoreReturn(*self._advance(in_state, word, out_state))

    def __contains__(self, word: str | bytes) -> bool:
        word = _text(word)
        return word == SENTENCE_START or self._words.of(word)[1]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {os.path.basename(os.fsdecode(self.path))}>"

    def __reduce__(self) -> tuple[object, ...]:
        if not self.path:
            raise UsageError(
                "this model cannot be pickled",
                "it was not read from a file",
                "save it, and open it by its path",
            )
        return type(self), (self.path,)

    def _tokens(self, sentence: str | bytes, eos: bool) -> Iterator[tuple[tuple[int, ...], bool]]:
        """The tokens of each word, and whether it is known."""
        is_first = self._words.is_spaced
        for word in split_words(_text(sentence)):
            yield self._words.of(word, is_first)
            is_first = self._words.is_spaced and word == BOUNDARY
        if eos:
            yield self._words.of(BOUNDARY)

    def _line(self, tokens: list[int], bos: bool) -> list[tuple[float, int]]:
        return self._scorer.line(self._scorer.begin() if bos else self._scorer.null(), tokens)

    def _advance(self, in_state: State, word: str, out_state: State) -> tuple[float, int, bool]:
        if not isinstance(in_state, State):
            raise ArgumentTypeError(f"in_state must be a State, not {given(in_state)}")
        if in_state._scorer is not self._scorer:
            whose = (
                "no model has written it"
                if in_state._scorer is None
                else "another model has written it"
            )
            raise UsageError(
                "this state cannot be used",
                whose,
                "write it first: BeginSentenceWrite, or BaseScore of this model",
            )
        ids, is_known = self._words.of(word, in_state._begins_line)
        prefix, total, length = in_state._prefix, 0.0, 1
        for id in ids:
            logprob, length, prefix = self._scorer.extend(prefix, id)
            total += logprob
        self._write(out_state, prefix, word == BOUNDARY)
        return total * LOG10_PER_NAT, length, not is_known

    def _write(self, state: State, prefix: object, begins_line: bool) -> None:
        state._prefix = prefix
        state._begins_line = begins_line and self._words.is_spaced
        state._scorer = self._scorer


class LanguageModel(Model):
    """The name of :class:`Model` in older code."""


def _text(text: str | bytes) -> str:
    """Raises: TextError: it is bytes, but not UTF-8. ArgumentTypeError (a TypeError): it is neither
    str nor bytes.
    """
    if not isinstance(text, (str, bytes)):
        raise ArgumentTypeError(f"a sentence or word must be a str, not {given(text)}")
    try:
        return text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise TextError(
            "the sentence is not UTF-8",
            f"byte {error.start} is {text[error.start]:#04x}",
            "decode it first",
        ) from None
