"""Look up words and their vectors: of a model, of a file in word2vec or GloVe format, or
learned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError, nearest, notice
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.registry import LabelModel
from rnnlm.storage.files import outputs
from rnnlm.tabular import Cell, Records, Row, html_table
from rnnlm.text.lines import WORD_SPACE
from rnnlm.text.vectors import read_all_vectors

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
