"""Look up words and their vectors: of a model, of a file in word2vec or GloVe format, or learned
from a text by singular vectors of counts, GloVe, skip-gram or CBOW.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from rnnlm import corpora
from rnnlm.amounts import plural
from rnnlm.errors import TextError, UsageError, keyword, nearest, notice
from rnnlm.evaluation.perplexity import as_text
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.registry import LabelModel
from rnnlm.storage.files import outputs
from rnnlm.storage.files.reading import shown_name
from rnnlm.tabular import Cell, Records, Row, html_table
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text, look_at
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import WORD_SPACE, Progress, TextSettings, silent, watched
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.vectors import cooccurrences, read_all_vectors, svd_vectors
from rnnlm.tools.vectors.settings import EPOCHS, LEARNING_RATES, WIDTH, LearningSettings, Method

# ---- Words and their vectors.

Which = Literal["input", "output"]
SPECIAL = {BOUNDARY, SENTENCE_START, UNKNOWN}  # never the answer to a question about words
_LIKE = 60  # per cent of edits that leave a word alike, for hints


@dataclass(frozen=True, eq=False, repr=False)
class WordVectors(Records):
    """The vectors of V words, with E dimensions.

    Attributes:
        words: V different words, the most frequent first if frequencies are known.
        matrix_VE: One row per word, (V, E) float32.
        source: Description of the vectors, for messages.
        note: A further remark, or "".
    """

    words: tuple[str, ...]
    matrix_VE: np.ndarray
    source: str = "word vectors"
    note: str = ""

    @property
    def width(self) -> int:
        """E, the number of dimensions."""
        return int(self.matrix_VE.shape[1])

    @property
    def width_in_words(self) -> str:
        """The width, for messages."""
        return "1 number each" if self.width == 1 else f"{self.width} numbers each"

    def to_rows(self) -> list[Row]:
        """Return one row per word: the word, then its numbers as `v1`, `v2` and so on."""
        names = ["word", *self._columns]
        vectors = zip(self.words, self.matrix_VE.tolist(), strict=True)
        return [dict(zip(names, [word, *vector], strict=True)) for word, vector in vectors]

    def to_columns(self, table: int | str | None = None) -> dict[str, list[Cell]]:
        """Return the columns by name: the words, and each dimension of their vectors.

        Args:
            table: Must be None: there is only one table.

        Raises:
            UsageError: A `table` is named, although there is only one.
        """
        if table is not None:
            return super().to_columns(table)
        columns = zip(self._columns, self.matrix_VE.T, strict=True)
        return {"word": list(self.words)} | {name: of_V.tolist() for name, of_V in columns}

    @property
    def _columns(self) -> list[str]:
        return [f"v{number}" for number in range(1, self.width + 1)]

    def __repr__(self) -> str:
        return f"<{self.source}: {plural(len(self.words), 'word')}, {self.width_in_words}>"

    def _repr_html_(self) -> str:
        facts = [("words", len(self.words)), ("numbers of each", self.width)]
        return html_table(self.source, (), [*facts, ("first words", ", ".join(self.words[:10]))])

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The row of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def unit_VE(self) -> np.ndarray:
        """The vectors scaled to length 1, float32; a vector of zeros stays zero."""
        length_V1 = np.linalg.norm(self.matrix_VE, axis=1, keepdims=True)
        return np.asarray(self.matrix_VE / np.where(length_V1 > 0, length_V1, 1), dtype=np.float32)

    @cached_property
    def is_word_V(self) -> np.ndarray:
        """True for rows of words, False for special symbols."""
        return np.array([word not in SPECIAL for word in self.words])

    def number(self, word: str) -> int:
        """Return the row of a word.

        Args:
            word: The word.

        Raises:
            UsageError: The word has no row; the hint suggests a similar word.
        """
        number = self.numbers.get(word)
        if number is not None:
            return number
        from rapidfuzz import fuzz, process

        found = process.extractOne(word, self.words, scorer=fuzz.ratio, score_cutoff=_LIKE)
        similar = word.lower() if word.lower() in self.numbers else found and found[0]
        raise UsageError(
            f"unknown word {word!r}",
            f"{self.source}: {plural(len(self.words), 'word')}",
            f"did you mean {similar!r}?" if similar else "",
        )

    def nearest(
        self, vector_E: np.ndarray, count: int, without: Sequence[int] = ()
    ) -> list[tuple[str, float]]:
        """Return the words whose vectors have the largest cosine with a vector, largest first.
        Special symbols are left out.

        Args:
            vector_E: The vector, (E,).
            count: Number of words to return.
            without: Numbers of further rows to leave out.

        Returns:
            Each word with its cosine.
        """
        length = float(np.linalg.norm(vector_E))
        cosine_V = self.unit_VE @ (vector_E / length if length else vector_E)
        cosine_V[~self.is_word_V] = -np.inf
        cosine_V[list(without)] = -np.inf
        best = np.argsort(-cosine_V, kind="stable")[:count]
        best = best[np.isfinite(cosine_V[best])]
        return [(self.words[row], float(cosine_V[row])) for row in best]

    def save(self, path: str | Path, overwrite: bool = False) -> int:
        """Write the vectors to a file in word2vec's text format. Symbols with white space inside,
        which the format cannot hold, are left out with a notice.

        Args:
            path: The file, compressed according to its suffix, or `-` for standard output.
            overwrite: Replace an existing file.

        Returns:
            The number of vectors written.

        Raises:
            OutputError: The file cannot be written, or it exists and `overwrite` is not set.
            UsageError: There are no vectors to write.
        """
        path = Path(path)
        outputs.check_file(path, overwrite)
        spaces = set(f"{WORD_SPACE}\n")
        rows = [row for row, word in enumerate(self.words) if word and not spaces & set(word)]
        if not rows:
            raise UsageError(
                "there are no vectors to write", f"{self.source}: no symbol without white space"
            )
        left = len(self.words) - len(rows)
        if left:
            what, are = plural(left, "symbol"), "is" if left == 1 else "are"
            notice(
                f"{what} with white space inside {are} left out: files of word2vec cannot hold them"
            )
        outputs.save_file(path, _pieces(self, rows))
        return len(rows)


def read_vectors(path: str | Path) -> WordVectors:
    """Read vectors in the text format of word2vec or GloVe.

    Args:
        path: The file, which may be compressed (.gz, .xz, .bz2, .zst).

    Returns:
        The words and their vectors.

    Raises:
        TextError: The file cannot be read, is binary, truncated or not UTF-8, or a vector is not
            made of numbers.
        SettingsError: The vectors differ in width from the first line.
    """
    words, matrix_VE = read_all_vectors(path)
    return WordVectors(tuple(words), matrix_VE, str(path))


def word_vectors(
    model: "LanguageModel | LabelModel | WordVectors | str | Path" = loading.SHIPPED,
    which: Which = "input",
) -> WordVectors:
    """Return a network's vectors for the tokens of its vocabulary: its input word vectors ("input")
    or its softmax weights ("output"). model: the network or its name; vectors themselves are
    returned.

    Raises:
        UsageError: the model has no such vectors.
        ModelError: there is no model of that name, or it is damaged.
    """
    if isinstance(model, WordVectors):
        return model
    if which not in get_args(Which):
        raise UsageError(f"unknown vectors {which!r}", hint=nearest(which, get_args(Which)))
    core = loading.load_if_named(model, "cpu")
    saved = loading.name_if_saved(model)
    name = "this model" if saved is None else Path(saved).name
    if not hasattr(core, "word_vectors"):
        raise UsageError(
            f"{name} has no word vectors",
            "only networks have them; n-gram models, mixtures and adapted models do not",
            "name a network",
        )
    rows = core.word_vectors(which)
    return WordVectors(tuple(rows.symbols), rows.rows_VE, f"{which} vectors of {name}", rows.note)


# Vectors are written as word2vec writes them, and as `--embeddings`, gensim and others read them:
# the first line is `COUNT WIDTH`; each other one a word and its numbers, between spaces. Numbers
# have as many digits as single precision needs, so that reading gives the written numbers.

_ROWS = 1000  # written at a time


def _pieces(vectors: WordVectors, rows: list[int]) -> Iterator[bytes]:
    yield f"{len(rows)} {vectors.width}\n".encode()
    for start in range(0, len(rows), _ROWS):
        lines = []
        for row in rows[start : start + _ROWS]:
            numbers = " ".join([f"{x:.9g}" for x in vectors.matrix_VE[row].tolist()])
            lines.append(f"{vectors.words[row]} {numbers}\n")
        yield "".join(lines).encode("utf-8")


# ---- Vectors learned from a text.

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
    kept = np.argsort(-counts_V, kind="stable")[: int((counts_V >= min_count).sum())]
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
        from rnnlm.tools.vectors.gradient_methods import Cells, glove_vectors

        counts_VV = cooccurrences(
            ids_N, line_offsets, size, settings.window, progress, by_distance=True
        )
        with torch_threads(settings.threads):
            return glove_vectors(Cells.of(counts_VV), size, **learning)

    from rnnlm.tools.vectors.gradient_methods import predicted_vectors

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
