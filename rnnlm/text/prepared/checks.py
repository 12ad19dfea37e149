"""What a prepared text is, and whether it is whole: for `rnnlm info` and `rnnlm doctor`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError
from rnnlm.files import writing
from rnnlm.text.encoding import compact_type
from rnnlm.text.prepared.index import INDEX, JOURNAL, Index, read_index
from rnnlm.text.prepared.prepared_text import Shards, load_tokenizer
from rnnlm.text.prepared.shard import EncodedLines


def describe(folder: Path) -> dict[str, Any]:
    """The counts, tokenizer and settings of the prepared text in `folder`; of one that is not finished, so far.

    Raises:
        ModelError: its index is damaged.
    """
    is_finished = (folder / INDEX).is_file()
    index = read_index(folder, INDEX if is_finished else JOURNAL)
    return {
        "folder": str(folder),
        "prepared text": "finished" if is_finished else "cut off: go on with rnnlm prepare ... --resume",
        "format_version": index.format_version,
        "text": index.request.get("text"),
        "tokenizer": f"{index.tokenizer.get('tokenizer')}:{index.tokenizer_fingerprint}",
        "vocabulary_size": index.vocabulary_size,
        "vocabulary of": msgspec.to_builtins(index.sample),
        "counts": msgspec.to_builtins(index.counts),
        "lines_hash": index.lines_hash,
        "shards": len(index.shards),
        "file_bytes": sum(shard.file_bytes for shard in index.shards),
        "settings": {**index.text_settings, **index.tokenizer},
    }


def problems(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(what is looked at, what is wrong with it or nothing, what was found) of index, tokenizer and each shard."""
    try:
        index = read_index(folder)
        yield "index", "", f"a prepared text of {index.counts.tokens:,} tokens, format {index.format_version}"
        tokenizer = load_tokenizer(folder, index)
        yield "tokenizer", "", f"{tokenizer.name}:{tokenizer.fingerprint}, {tokenizer.size:,} symbols"
    except ModelError as error:
        yield "index and tokenizer", "; ".join(filter(None, (error.what, error.why))), ""
        return
    shards = Shards(folder, index, compact_type(tokenizer))
    wrong = [problem for number in range(len(index.shards)) if (problem := _problem(folder, index, shards, number))]
    for problem in wrong:
        yield "shard", problem, ""
    if not wrong:
        yield "shards", "", f"{len(index.shards)} files, SHA-256 as recorded, counts as the index says"


def _problem(folder: Path, index: Index, shards: Shards, number: int) -> str:
    """What is wrong with a shard, or nothing."""
    shard = index.shards[number]
    if writing.sha256(folder / shard.name) != shard.sha256:
        return f"{shard.name} is missing, or has changed: its SHA-256 is not the one recorded"
    try:
        lines = shards.lines(number)
        found, recorded = lines.totals(), msgspec.to_builtins(shard.counts)
        if any(found[name] != recorded[name] for name in found) or not _is_sound(lines, index.vocabulary_size):
            return f"{shard.name} does not hold what the index says"
        drop_pages(lines.ids_N)
    except ModelError as error:
        return error.why
    return ""


def _is_sound(lines: EncodedLines, size: int) -> bool:
    """Whether ids are in the vocabulary, and positions in the shard."""
    ids_N = lines.ids_N
    in_order = all(bool(np.all(np.diff(each) > 0)) for each in (lines.oov, lines.document_lines))
    within = lines.oov.max(initial=-1) < len(ids_N) and lines.document_lines.max(initial=-1) < len(lines)
    return bool(ids_N.min(initial=0) >= 0 and ids_N.max(initial=0) < size and within and in_order)
