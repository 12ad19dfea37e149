"""Skip-gram and CBOW with negative sampling (Mikolov et al. 2013a, 2013b), by gensim.

As in word2vec, the window of each word is drawn from 1 to the one that is asked for, so that nearer words count more; occurrences of words
that are more than 1 in 1,000 of the text are left out at random; noise words are drawn by counts to the power 0.75.
"""

from collections.abc import Iterator

import numpy as np

from rnnlm.errors import require_package
from rnnlm.text.lines import Progress, silent
from rnnlm.vectors.settings import LearningSettings
from rnnlm.vectors.word_stream import WordStream

SENTENCES_BETWEEN = 10_000  # two reports


def predicted_vectors(stream: WordStream, settings: LearningSettings, progress: Progress = silent) -> np.ndarray:
    """Vectors (V, width) float32 of the words of a stream; with one thread the same for the same stream and seed.

    Raises:
        UsageError: gensim is not installed.
    """
    word2vec = require_package("gensim.models.word2vec", "vectors", "skip-gram and CBOW")
    model = word2vec.Word2Vec(
        vector_size=settings.width, window=settings.window, min_count=1, sg=int(settings.method == "skipgram"), negative=settings.negative,
        alpha=settings.learning_rate, min_alpha=min(0.0001, settings.learning_rate), seed=settings.seed, workers=settings.threads,
    )  # fmt: skip
    model.build_vocab_from_freq(dict(zip(stream.words, stream.counts_V.tolist(), strict=True)))
    sentences = _Sentences(stream, settings.epochs, progress)
    model.train(sentences, total_examples=sentences.count, total_words=len(stream.ids_N), epochs=settings.epochs)
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
