"""Word vectors as the text that word2vec writes, which `--embeddings`, gensim and others read.

The first line is `COUNT WIDTH`; each other one a word and its numbers, between spaces. Numbers have as many digits as single precision
needs, so that what is read again is what was written.
"""

from collections.abc import Iterator
from pathlib import Path

from rnnlm.errors import UsageError, notice
from rnnlm.files import writing
from rnnlm.text.lines import WORD_SPACE
from rnnlm.vectors.word_vectors import WordVectors

_ROWS = 1000  # written at a time


def save_vectors(vectors: WordVectors, path: str | Path, overwrite: bool = False) -> int:
    """Write vectors to a file, compressed as its suffix says, or to standard output (`-`); how many. A notice says how many symbols are
    left out: those with white space inside, which the format cannot hold.

    Raises:
        OutputError: the file cannot be written, or is there and not to be replaced. UsageError: there is no vector to write.
    """
    path = Path(path)
    writing.check_file(path, overwrite)
    spaces = set(f"{WORD_SPACE}\n")
    rows = [row for row, word in enumerate(vectors.words) if word and not spaces & set(word)]
    if not rows:
        raise UsageError("there are no vectors to write", f"{vectors.source}: no symbol without white space")
    if left := len(vectors.words) - len(rows):
        which = "1 symbol with white space inside is" if left == 1 else f"{left:,} symbols with white space inside are"
        notice(f"{which} left out: files of word2vec cannot hold them")
    writing.save_file(path, _pieces(vectors, rows))
    return len(rows)


def _pieces(vectors: WordVectors, rows: list[int]) -> Iterator[bytes]:
    yield f"{len(rows)} {vectors.width}\n".encode()
    for start in range(0, len(rows), _ROWS):
        chosen = rows[start : start + _ROWS]
        numbers = vectors.matrix_VE[chosen].tolist()
        lines = (" ".join([vectors.words[row], *(f"{x:.9g}" for x in its)]) for row, its in zip(chosen, numbers, strict=True))
        yield "".join(f"{line}\n" for line in lines).encode("utf-8")
