"""Counts as Parquet files for other programs: one file an order, its n-grams by context, then by
word.

Columns: `words`, list<string>, or `ids`, list<int32>, where `<s>` is -1; `count`, int64.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import OutputError
from rnnlm.files import lock, writing
from rnnlm.interface import SENTENCE_START, Tokenizer
from rnnlm.ngram.counting.levels import Level
from rnnlm.ngram.tables import split_keys

if TYPE_CHECKING:
    import pyarrow

ROWS = 1 << 20  # written at a time
START = -1  # the id of <s>
OURS = re.compile(r"order-\d+\.parquet")


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure that Parquet files can be written to `folder`, before time goes into them."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise OutputError(f"cannot write Parquet files to {folder}", "it is a file")
    names = sorted(os.listdir(folder)) if folder.exists() else []
    found = [name for name in names if OURS.fullmatch(name)]
    others = [name for name in names if name != lock.OWNER and not _is_ours(name)]
    if found and not overwrite:
        raise OutputError(
            f"{folder} already holds {found[0]}",
            hint="choose another folder with `output`, or replace it with `overwrite=True`",
        )
    if others and not found:
        raise OutputError(
            f"{folder} is not empty and holds no counts",
            f"it has {others[0]}",
            "choose another folder with `output`",
        )


def _is_ours(name: str) -> bool:
    return bool(OURS.fullmatch(writing.whole_name(name)))


def save(
    folder: Path,
    levels: Iterable[Level],
    tokenizer: Tokenizer,
    order: int,
    *,
    ids: bool = False,
    highest_only: bool = False,
    min_count: int = 1,
    overwrite: bool = False,
) -> None:
    """Write the n-grams up to `order`, or of that order alone, that occur `min_count` times. ids:
    write ids instead of words."""
    with lock.held(folder, "counting"), writing.writing(folder):
        check_output(folder, overwrite)
        before = [name for name in os.listdir(folder) if _is_ours(name)]
        written: list[str] = []
        known: list[Level] = []
        for level in levels:
            known.append(level)
            if highest_only and len(known) < order:
                continue
            written.append(f"order-{len(known)}.parquet")
            with writing.replacing(folder / written[-1]) as stream:
                _write(stream, known, tokenizer, ids, max(1, min_count))
        # Files of earlier counts that had more orders.
        for name in set(before) - set(written):
            (folder / name).unlink(missing_ok=True)


def _write(
    stream: object, levels: Sequence[Level], tokenizer: Tokenizer, ids: bool, min_count: int
) -> None:
    """Write the highest of the levels."""
    import pyarrow
    import pyarrow.parquet

    name, kind = ("ids", pyarrow.int32()) if ids else ("words", pyarrow.string())
    schema = pyarrow.schema([(name, pyarrow.list_(kind)), ("count", pyarrow.int64())])
    symbols = None if ids else pyarrow.array([*tokenizer.symbols(), SENTENCE_START])
    level = levels[-1]
    with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
        for start in range(0, len(level), ROWS):
            stop = min(start + ROWS, len(level))
            counts_M = np.asarray(level.counts_M[start:stop]).astype(np.int64)
            kept = np.flatnonzero(counts_M >= min_count)
            words_MN = _words(levels, start, stop)[kept]
            columns = [_lists(words_MN, symbols, level.size), pyarrow.array(counts_M[kept])]
            writer.write_table(pyarrow.table(columns, schema=schema))


def _words(levels: Sequence[Level], start: int, stop: int) -> np.ndarray:
    """Return the words of n-grams of the highest order; those of contexts are read a range at a
    time."""
    words_MN = np.empty((stop - start, len(levels)), dtype=np.int32)
    numbers_M = np.arange(start, stop)
    for place in range(len(levels) - 1, -1, -1):
        # Numbers ascend, as contexts do.
        first, last = int(numbers_M[0]), int(numbers_M[-1])
        keys = np.asarray(levels[place].keys_M[first : last + 1])
        numbers_M, words_MN[:, place] = split_keys(keys[numbers_M - first], levels[place].size)
    return words_MN


def _lists(words_MN: np.ndarray, symbols: "pyarrow.Array | None", size: int) -> "pyarrow.ListArray":
    import pyarrow

    rows, length = words_MN.shape
    offsets = pyarrow.array(np.arange(rows + 1, dtype=np.int32) * length)
    words = words_MN.reshape(-1)
    if symbols is None:
        values = pyarrow.array(np.where(words == size, np.int32(START), words))
    else:
        values = symbols.take(pyarrow.array(words))
    return pyarrow.ListArray.from_arrays(offsets, values)
