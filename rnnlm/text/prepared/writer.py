"""Write the folder of a prepared text: check the files in it before, write the tokenizer, shards
one by one, and the index at the end.

Each file is written under a new name, fsynced, renamed; then the journal that names it is replaced.
So a reader, and a run that resumes after a kill, see only whole files.
"""

import contextlib
import itertools
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from rnnlm.errors import ModelError
from rnnlm.storage.files import tensors
from rnnlm.storage.files.folder import foreign_names, remove_files
from rnnlm.storage.files.resuming import ExistingWork
from rnnlm.storage.files.writing import FileEntry, digest, replace_file, sha256, writing
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.encoder import FullShard
from rnnlm.text.prepared.index import (
    INDEX,
    JOURNAL,
    PreparedIndex,
    Shard,
    TextCounts,
    TokenizerSample,
    files_of,
    index_name,
    is_ours,
    is_prepared,
    read_index,
    shard_name,
    write_index,
)
from rnnlm.text.prepared.prepared_text import tokenizer_files
from rnnlm.text.prepared.tokenizer_sample import TokenizerFiles


def foreign(folder: Path, names: list[str]) -> list[str]:
    """Return the names in a folder that are not ours. Other files are left alone beside a prepared
    text, whole or in part."""
    with contextlib.suppress(ModelError):
        read_index(folder, index_name(folder))
        return []
    return foreign_names(names, INDEX, is_ours)


def remove(folder: Path) -> None:
    """Delete the files that we wrote there, first the one that names the rest: a journal beside an
    index counts for nothing."""
    unname(folder)
    remove_files(folder, is_ours)


def unname(folder: Path) -> None:
    """Delete the files that mark the folder as a prepared text, or a part of one."""
    for name in (JOURNAL, INDEX):
        (folder / name).unlink(missing_ok=True)


def remove_shards(folder: Path, names: Iterable[str]) -> None:
    """Delete shards. The rest is no prepared text any more."""
    unname(folder)
    remove_files(folder, set(names).__contains__)


def remove_all(folder: Path) -> None:
    """Delete the files that we wrote there, and the folder unless other files are in it."""
    remove(folder)
    with contextlib.suppress(OSError):
        folder.rmdir()


def found(folder: Path) -> ExistingWork | None:
    """Return the state of a prepared text, for the rule of resuming."""
    if not is_prepared(folder):
        return None
    try:
        index = read_index(folder, index_name(folder))
        if index.files:
            tokenizer_files(folder, index)
        if is_finished(folder):
            for shard in index.shards:
                files_of(folder).plain_file(shard.name, shard.file_bytes)
    except ModelError as error:
        return ExistingWork(fault=error.why)
    return ExistingWork(index.identity, is_finished(folder))


def begun(folder: Path, identity: dict[str, str], text: TextSettings) -> PreparedIndex | None:
    """Return the state that the work resumes from, without incomplete shards; None if it was killed
    before there was a tokenizer. identity, text: of the work now, which may differ in free
    facts."""
    index = replace(read_index(folder, JOURNAL), identity=identity, text_settings=asdict(text))
    if not index.files:
        return None
    # A kill may have left the last shards in part; those before them count.
    whole = itertools.takewhile(
        lambda shard: sha256(folder / shard.name) == shard.sha256, index.shards
    )
    return index.with_shards(list(whole))


def begin(
    folder: Path,
    identity: dict[str, str],
    names: list[str],
    text: TextSettings,
    tokenizer: TokenizerFiles,
    sample: TokenizerSample,
) -> PreparedIndex:
    """Write the tokenizer, and a journal without shards, in place of our earlier files there.
    Return the index."""
    files = tokenizer.files.items()
    index = PreparedIndex(
        identity=identity,
        text=names,
        text_settings=asdict(text),
        tokenizer=tokenizer.settings,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.size,
        files={role: FileEntry(role, len(data), digest([data])) for role, data in files},
        sample=sample,
    )
    with writing(folder):
        # The journal first: if nothing can be written, the old files stay. It names no files before
        # they are there.
        write_index(folder, replace(index, files={}), JOURNAL)
        remove(folder)
        for role, data in files:
            replace_file(folder / role, data)
        write_index(folder, index, JOURNAL)
    return index


def add_shard(folder: Path, index: PreparedIndex, shard: FullShard) -> PreparedIndex:
    """Write a shard, then the journal that names it. Return the index with it."""
    counts = TextCounts(
        lines=len(shard.lines),
        documents=len(shard.lines.document_lines),
        oov_tokens=len(shard.lines.oov),
        **shard.lines.totals(),
    )
    name = shard_name(len(index.shards))
    pieces = list(tensors.chunks(shard.lines.to_arrays()))
    with writing(folder):
        size = sum(map(len, pieces))
        entry = Shard(name, size, digest(pieces), shard.lines_hash, counts)
        replace_file(folder / name, pieces)
        index = index.with_shards([*index.shards, entry])
        write_index(folder, index, JOURNAL)
    return index


def finish(folder: Path, index: PreparedIndex) -> None:
    """Put the index in place once all is written."""
    with writing(folder):
        write_index(folder, index)
    remove_unnamed(folder, index)


def remove_unnamed(folder: Path, index: PreparedIndex) -> None:
    """Delete files of ours that the index does not name, such as leftovers of a killed writer."""
    named = {INDEX, *index.files, *(shard.name for shard in index.shards)}
    remove_files(folder, lambda name: is_ours(name) and name not in named)


def is_finished(folder: Path) -> bool:
    """Return whether all of the text is there."""
    return index_name(folder) == INDEX
