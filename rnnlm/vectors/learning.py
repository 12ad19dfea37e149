"""Word vectors learned from a text: skip-gram, CBOW, or singular vectors of counts."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.evaluation.perplexity import as_text
from rnnlm.text.corpus import Text
from rnnlm.text.counted_vectors import svd_vectors
from rnnlm.text.lines import Progress, TextSettings, silent
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.vectors.settings import LearningSettings, Method
from rnnlm.vectors.skipgram import predicted_vectors
from rnnlm.vectors.word_stream import word_stream
from rnnlm.vectors.word_vectors import WordVectors

CORPUS = "english"  # where no text is named


def learn_vectors(
    text: str | Path | Sequence[str | Path] | Text | None = None, *, method: Method = "skipgram", width: int = 100, window: int = 5,
    min_count: int = 5, epochs: int = 5, negative: int = 5, learning_rate: float = 0.025, tokenizer: TokenizerSettings | None = None,
    seed: int = 1, threads: int = 1, text_settings: TextSettings | None = None, progress: Progress = silent,
) -> WordVectors:  # fmt: skip
    """Learn vectors of the words of a text: a path, several, the name of a bundled corpus, or a text; without one the bundled corpus.

    method: "skipgram" or "cbow" (Mikolov et al. 2013), which need gensim; "svd": PPMI and its truncated singular value decomposition (Levy,
    Goldberg & Dagan 2015). width: numbers of a vector. window: words on each side that count as context; of skip-gram and CBOW at most,
    as their window is drawn for each word, from 1 on, and frequent words are left out at random. min_count: rarer words get no vector.
    epochs, negative, learning_rate: of skip-gram and CBOW. tokenizer: how text becomes words; None: split on white space, or as the
    text is prepared. threads: of skip-gram and CBOW; with one, the same seed gives the same vectors. progress: called with how far it
    is.

    Raises:
        SettingsError: a setting is out of range, or the width is more than the words allow. TextError: the text cannot be read, or holds
            too few words. UsageError: gensim is needed and not installed, or the text is prepared with another tokenizer.
    """
    settings = LearningSettings(method, width, window, min_count, epochs, negative, learning_rate, seed, threads)
    if not isinstance(text, Text):
        text = named_text(() if text is None else [text] if isinstance(text, (str, os.PathLike)) else text)
    opened = as_text(text, text_settings)
    if tokenizer is not None and opened.tokenizer is not None:
        raise UsageError(f"{opened.sources[0]} is a prepared text, which has its tokenizer", hint="leave the settings of a tokenizer out")
    began = time.monotonic()
    stream = word_stream(opened, tokenizer or TokenizerSettings(), min_count, progress)
    progress(f"{len(stream.ids_N):,} words of text, {len(stream.words):,} different ones, read in {time.monotonic() - began:.0f}s")
    if method == "svd":
        matrix_VE = svd_vectors(stream.ids_N, stream.line_offsets, len(stream.words), width, window, seed, progress)
    else:
        matrix_VE = predicted_vectors(stream, settings, progress)
    return WordVectors(stream.words, matrix_VE, f"{method} vectors of {', '.join(map(corpora.title, opened.sources))}")


def named_text(names: Sequence[str | Path]) -> tuple[str, ...]:
    """Texts by their names; a bundled corpus is its training part, unless there is a file of that name. None: the usual one."""
    return corpora.sources(names, "train", corpora.names()) if names else (str(corpora.part(CORPUS, "train")),)
