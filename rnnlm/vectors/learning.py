"""Word vectors learned from a text: skip-gram, CBOW, or singular vectors of counts."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.errors import SettingsError, TextError, UsageError, nearest, require_package
from rnnlm.evaluation.perplexity import as_text
from rnnlm.files.reading import shown_name
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, TextSettings, silent, watched
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.text.vectors import svd_vectors
from rnnlm.vectors.word_vectors import WordVectors

# ---- What can be asked of word vectors that are learned from text.

Method = Literal["skipgram", "cbow", "svd"]


@dataclass(frozen=True)
class LearningSettings:
    """How word vectors are learned. window: the words on each side that count as context, of
    skip-gram and CBOW at most: their window is drawn for each word, from 1 on. min_count: rarer
    words get no vector. epochs, negative (words drawn for each word of the text), learning_rate and
    seed are of skip-gram and CBOW."""

    method: Method = "skipgram"
    width: int = 100
    window: int = 5
    min_count: int = 5
    epochs: int = 5
    negative: int = 5
    learning_rate: float = 0.025
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise SettingsError(
                f"unknown method {self.method!r}", hint=nearest(self.method, get_args(Method))
            )
        for name in ("width", "window", "min_count", "epochs", "negative", "threads"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} = {getattr(self, name)} is not valid", "1 or more is needed"
                )
        if not 0 < self.learning_rate < 1:
            raise SettingsError(
                f"learning_rate = {self.learning_rate} is not valid",
                "a number between 0 and 1 is needed",
            )
        if not 0 <= self.seed < 1 << 32:
            raise SettingsError(
                f"seed = {self.seed} is not valid", "0 or more, and less than 2^32, is needed"
            )


# ---- learning

CORPUS = "english"  # where no text is named


def learn_vectors(
    text: str | Path | Sequence[str | Path] | Text | None = None, *, method: Method = "skipgram",
    width: int = 100, window: int = 5,
    min_count: int = 5, epochs: int = 5, negative: int = 5, learning_rate: float = 0.025,
    tokenizer: TokenizerSettings | None = None,
    seed: int = 1, threads: int = 1, text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> WordVectors:  # fmt: skip
    """Learn vectors of the words of a text: a path, several, the name of a bundled corpus, or a
    text; without one the bundled corpus.

    method: "skipgram" or "cbow" (Mikolov et al. 2013), which need gensim; "svd": PPMI and its
    truncated singular value decomposition (Levy, Goldberg & Dagan 2015). width: numbers of a
    vector. window: words on each side that count as context; of skip-gram and CBOW at most, as
    their window is drawn for each word, from 1 on, and frequent words are left out at random.
    min_count: rarer words get no vector. epochs, negative, learning_rate: of skip-gram and CBOW.
    tokenizer: how text becomes words; None: split on white space, or as the text is prepared.
    threads: of skip-gram and CBOW; with one, the same seed gives the same vectors. progress: called
    with how far it is.

    Raises:
        SettingsError: a setting is out of range, or the width is more than the words allow.
            TextError: the text cannot be read, or holds too few words. UsageError: gensim is needed
            and not installed, or the text is prepared with another tokenizer.
    """
    settings = LearningSettings(
        method, width, window, min_count, epochs, negative, learning_rate, seed, threads
    )
    if not isinstance(text, Text):
        text = named_text(
            () if text is None else [text] if isinstance(text, (str, os.PathLike)) else text
        )
    opened = as_text(text, text_settings)
    if tokenizer is not None and opened.tokenizer is not None:
        raise UsageError(
            f"{opened.sources[0]} is a prepared text, which has its tokenizer",
            hint="leave the settings of a tokenizer out",
        )
    began = time.monotonic()
    stream = word_stream(opened, tokenizer or TokenizerSettings(), min_count, progress)
    progress(
        f"{len(stream.ids_N):,} words of text, {len(stream.words):,} different ones, read in "
        f"{time.monotonic() - began:.0f}s"
    )
    if method == "svd":
        matrix_VE = svd_vectors(
            stream.ids_N, stream.line_offsets, len(stream.words), width, window, seed, progress
        )
    else:
        matrix_VE = predicted_vectors(stream, settings, progress)
    return WordVectors(
        stream.words,
        matrix_VE,
        f"{method} vectors of {', '.join(map(corpora.title, opened.sources))}",
    )


def named_text(names: Sequence[str | Path]) -> tuple[str, ...]:
    """Texts by their names; a bundled corpus is its training part, unless there is a file of that
    name. None: the usual one."""
    return (
        corpora.sources(names, "train", corpora.names())
        if names
        else (str(corpora.part(CORPUS, "train")),)
    )


# ---- A text as the words that get a vector: rarer ones and special symbols are taken out of its
# lines, before anything looks at what stands beside what (as word2vec does).

BLOCK_WORDS = 1 << 20


@dataclass(frozen=True)
class WordStream:
    """words: V, by descending count. counts_V: int64. ids_N: int32, the words of all lines.
    line_offsets: (lines + 1,) int64, where each line begins, and the end."""

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
            for start, end in zip(
                (lines[:-1] - first).tolist(), (lines[1:] - first).tolist(), strict=True
            ):
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


def word_stream(
    text: Text, tokenizer: TokenizerSettings, min_count: int, progress: Progress = silent
) -> WordStream:
    """The words of a text that occur `min_count` times or more. tokenizer: how it is split, unless
    it is prepared with one.

    Raises:
        TextError: the text cannot be read, or holds fewer than two such words.
    """
    made: Tokenizer = text.tokenizer or tokenizers.train(
        tokenizer, watched(text.blocks(), progress)
    )
    encoded = text.encode(made, progress)
    ids_N = known_ids(np.asarray(encoded.ids), made)
    symbols, counts_V = made.symbols(), np.bincount(ids_N, minlength=made.size)
    counts_V[[made.boundary_id, *([] if made.unk_id is None else [made.unk_id])]] = 0
    order = np.argsort(-counts_V, kind="stable")
    kept = order[: int((counts_V >= min_count).sum())]
    if len(kept) < 2:
        why = f"{len(kept)} of its words occur {min_count} times or more"
        raise TextError(
            f"too little text in {', '.join(map(shown_name, text.sources))}",
            why,
            "lower --min-count, or name more text",
        )
    number_V = np.full(len(counts_V), -1, dtype=np.int32)
    number_V[kept] = np.arange(len(kept), dtype=np.int32)
    renumbered_N = number_V[ids_N]
    is_kept_N = renumbered_N >= 0
    before_N = np.concatenate(([0], np.cumsum(is_kept_N, dtype=np.int64)))
    offsets = before_N[np.asarray(encoded.line_offsets)]
    return WordStream(
        tuple(symbols[id] for id in kept), counts_V[kept], renumbered_N[is_kept_N], offsets
    )


# ---- Skip-gram and CBOW with negative sampling (Mikolov et al. 2013a, 2013b), by gensim.
#
# As in word2vec, the window of each word is drawn from 1 to the one that is asked for, so that
# nearer words count more; occurrences of words that are more than 1 in 1,000 of the text are left
# out at random; noise words are drawn by counts to the power 0.75.

SENTENCES_BETWEEN = 10_000  # two reports


def predicted_vectors(
    stream: WordStream, settings: LearningSettings, progress: Progress = silent
) -> np.ndarray:
    """Vectors (V, width) float32 of the words of a stream; with one thread the same for the same
    stream and seed.

    Raises:
        UsageError: gensim is not installed.
    """
    word2vec = require_package("gensim.models.word2vec", "vectors", "skip-gram and CBOW")
    model = word2vec.Word2Vec(
        vector_size=settings.width, window=settings.window, min_count=1,
        sg=int(settings.method == "skipgram"), negative=settings.negative,
        alpha=settings.learning_rate, min_alpha=min(0.0001, settings.learning_rate),
        seed=settings.seed, workers=settings.threads,
    )  # fmt: skip
    model.build_vocab_from_freq(dict(zip(stream.words, stream.counts_V.tolist(), strict=True)))
    sentences = _Sentences(stream, settings.epochs, progress)
    model.train(
        sentences,
        total_examples=sentences.count,
        total_words=len(stream.ids_N),
        epochs=settings.epochs,
    )
    rows = [model.wv.key_to_index[word] for word in stream.words]
    return np.ascontiguousarray(model.wv.vectors[rows], dtype=np.float32)


class _Sentences:
    """The lines of a stream, to be read once an epoch, which `progress` is told of."""

    def __init__(self, stream: WordStream, epochs: int, progress: Progress) -> None:
        self.stream, self.epochs, self.progress = stream, epochs, progress
        self.count = int((np.diff(stream.line_offsets) > 0).sum())
        self.epoch = 0

    def __iter__(self) -> Iterator[list[str]]:
        done, total = self.epoch * self.count, self.epochs * self.count
        self.epoch += 1
        for number, sentence in enumerate(self.stream.sentences(), start=1):
            yield sentence
            if number % SENTENCES_BETWEEN == 0 or number == self.count:
                self.progress(f"epoch {self.epoch}: {done + number:,} of {total:,} lines")
