"""Learn word vectors from a text: singular vectors of counts, GloVe, skip-gram or CBOW."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import corpora
from rnnlm.errors import TextError, UsageError, keyword, notice
from rnnlm.evaluation.perplexity import as_text
from rnnlm.storage.files.reading import shown_name
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text, look_at
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, TextSettings, silent, watched
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.vectors import cooccurrences, svd_vectors
from rnnlm.tools.vectors.settings import EPOCHS, LEARNING_RATES, WIDTH, LearningSettings, Method
from rnnlm.tools.vectors.word_vectors import WordVectors

# ---- Vectors of the words of a text.

CORPUS = "english"  # where no text is named


def learn_vectors(
    text: str | Path | Sequence[str | Path] | Text | None = None, *, method: Method = "svd",
    width: int | None = None, window: int = 5,
    min_count: int = 5, epochs: int | None = None, negative: int = 5,
    learning_rate: float | None = None,
    tokenizer: TokenizerSettings | None = None,
    seed: int = 1, threads: int = 1, text_settings: TextSettings | None = None,
    progress: Progress = silent,
) -> WordVectors:  # fmt: skip
    """Learn word vectors from a text.

    Args:
        text: One or more paths, the name of a bundled corpus, or a text object. None: the bundled
            corpus.
        method: "svd": PPMI and its truncated singular value decomposition (Levy, Goldberg & Dagan
            2015); "glove" (Pennington, Socher & Manning 2014); "skipgram" or "cbow" (Mikolov et al.
            2013).
        width: Number of dimensions. None: 100, or fewer with svd if a text has few words.
        window: Number of words on each side that count as context. Skip-gram and CBOW draw windows
            of up to this size, and skip frequent words at random.
        min_count: Words that occur fewer times get no vector.
        epochs: Number of epochs. None: 15 for GloVe, 5 for skip-gram and CBOW.
        negative: For skip-gram and CBOW, number of noise words per pair.
        learning_rate: Initial learning rate. None: 0.05 for GloVe, 0.025 for skip-gram and CBOW.
        tokenizer: How to split text into words. None: as ``rnnlm.train`` does, or as in the
            prepared text.
        seed: Random seed: the same seed and number of threads give the same vectors.
        threads: Number of threads, for all methods but svd.
        text_settings: How to read lines. None: the defaults.
        progress: Callback for the progress.

    Returns:
        The vectors of the words.

    Raises:
        SettingsError: A setting is out of range, or the width is more than the words allow.
        TextError: The text cannot be read, or holds too few words.
        UsageError: The text was prepared with another tokenizer.
    """
    settings = LearningSettings(
        method=method,
        width=width,
        window=window,
        min_count=min_count,
        epochs=epochs,
        negative=negative,
        learning_rate=learning_rate,
        seed=seed,
        threads=threads,
    )

    # Open the text, which may be given in several ways.
    if not isinstance(text, Text):
        text = named_text([text] if isinstance(text, (str, Path)) else text or ())
    opened = as_text(text, text_settings)
    if tokenizer is not None and opened.tokenizer is not None:
        raise UsageError(
            f"{opened.sources[0]} is a prepared text, which has its tokenizer",
            hint="leave the settings of a tokenizer out",
        )

    # Count its words, then learn.
    began = time.monotonic()
    stream = word_stream(opened, tokenizer or NewTokenizerSettings(), min_count, progress)
    progress(
        f"{len(stream.ids_N):,} words of text, {len(stream.words):,} different ones, read in "
        f"{time.monotonic() - began:.0f}s"
    )
    source = f"{method} vectors of {', '.join(map(corpora.title, opened.sources))}"
    return WordVectors(stream.words, _learned(stream, settings, progress), source)


def named_text(names: Sequence[str | Path]) -> tuple[str, ...]:
    """Return texts by their names; a bundled corpus is its training part, unless there is a file of
    that name. Without names it is the usual one."""
    if not names:
        return (str(corpora.part(CORPUS, "train")),)
    return corpora.sources(names, "train", corpora.names())


# ---- A text as the words that get a vector. Rarer words and special symbols are taken out of its
# lines before contexts are counted: the words around them become neighbours (as in word2vec).


@dataclass(frozen=True)
class WordStream:
    """words: V, by descending count. counts_V: int64. ids_N: int32, the words of all lines.
    line_offsets: (lines + 1,) int64, where each line begins, and the end."""

    words: tuple[str, ...]
    counts_V: np.ndarray
    ids_N: np.ndarray
    line_offsets: np.ndarray


def word_stream(
    text: Text, tokenizer: TokenizerSettings, min_count: int, progress: Progress = silent
) -> WordStream:
    """Return the words of a text that occur `min_count` times or more. tokenizer: how it is split,
    unless it is prepared with one. TextError: the text holds fewer than two such words."""
    made = text.tokenizer or look_at(text, tokenizer)
    if isinstance(made, TokenizerSettings):
        made = tokenizers.train(made, watched(text.blocks(), progress))
    encoded = text.encode(made, progress)
    ids_N = known_ids(np.asarray(encoded.ids), made)
    symbols, counts_V = made.symbols(), np.bincount(ids_N, minlength=made.size)

    # Special symbols count as never seen; the others are kept by descending count.
    counts_V[made.boundary_id] = 0
    if made.unk_id is not None:
        counts_V[made.unk_id] = 0
    order = np.argsort(-counts_V, kind="stable")
    kept = order[: int((counts_V >= min_count).sum())]
    if len(kept) < 2:
        raise TextError(
            f"too little text in {', '.join(map(shown_name, text.sources))}",
            f"{len(kept)} of its words occur {min_count} times or more",
            "lower " + keyword("min_count") + ", or name more text",
        )

    # Number them, and move the lines' offsets to the words that are left.
    number_V = np.full(len(counts_V), -1, dtype=np.int32)
    number_V[kept] = np.arange(len(kept), dtype=np.int32)
    renumbered_N = number_V[ids_N]
    is_kept_N = renumbered_N >= 0
    before_N = np.concatenate(([0], np.cumsum(is_kept_N, dtype=np.int64)))
    offsets = before_N[np.asarray(encoded.line_offsets)]
    words = tuple(symbols[id] for id in kept)
    return WordStream(words, counts_V[kept], renumbered_N[is_kept_N], offsets)


# ---- Each method, with its own input.


def _learned(stream: WordStream, settings: LearningSettings, progress: Progress) -> np.ndarray:
    """Learn the vectors (V, width) float32 of a stream by the method of the settings."""
    ids_N, line_offsets = stream.ids_N, stream.line_offsets
    size = len(stream.words)
    width = settings.width or WIDTH
    if settings.method == "svd":
        if settings.width is None and width >= size:
            width = size - 1
            notice(f"the vectors have {width} numbers: svd allows no more with {size} words")
        return svd_vectors(
            ids_N=ids_N,
            line_offsets=line_offsets,
            size=size,
            width=width,
            window=settings.window,
            seed=settings.seed,
            progress=progress,
        )

    # torch is imported for the methods that learn by gradients alone.
    from rnnlm.system import torch_threads

    learning: dict[str, Any] = {
        "width": width,
        "epochs": settings.epochs or EPOCHS[settings.method],
        "learning_rate": settings.learning_rate or LEARNING_RATES[settings.method],
        "seed": settings.seed,
        "progress": progress,
    }
    if settings.method == "glove":
        from rnnlm.tools.vectors.glove import Cells, glove_vectors

        counts_VV = cooccurrences(
            ids_N, line_offsets, size, settings.window, progress, by_distance=True
        )
        with torch_threads(settings.threads):
            return glove_vectors(Cells.of(counts_VV), size, **learning)

    from rnnlm.tools.vectors.negative_sampling import predicted_vectors

    with torch_threads(settings.threads):
        return predicted_vectors(
            ids_N,
            line_offsets,
            stream.counts_V,
            settings.method,
            window=settings.window,
            negative=settings.negative,
            **learning,
        )
