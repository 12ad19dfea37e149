"""The folder while a text is prepared: what may be in it before, the tokenizer, shards one by one,
and the index at the end.

Each file is written under a new name, fsynced, renamed; then the journal that names it is replaced.
So a reader, and a run that resumes after a kill, see only whole files.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnnlm.errors import ModelError, OutputError, UsageError
from rnnlm.files import tensors
from rnnlm.files import writing as safe_files
from rnnlm.files.lock import OWNER
from rnnlm.files.writing import STANDARD_OUTPUT, FileEntry, replace_file, writing
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.encoder import FullShard
from rnnlm.text.prepared.index import (
    INDEX,
    JOURNAL,
    Counts,
    Index,
    Sample,
    Shard,
    index_name,
    is_ours,
    is_prepared,
    read_index,
    shard_name,
    write_index,
)
from rnnlm.text.prepared.tokenizer_sample import TokenizerFiles


def check_output(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that a text may be prepared in `folder`. An OutputError says what is in the way."""
    if folder == STANDARD_OUTPUT:
        raise OutputError(
            "a prepared text cannot be written to standard output",
            "it is a folder of files",
            "name a folder",
        )
    with writing(folder):
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputError(f"cannot write to {folder}", "it is a file")
        names = sorted(os.listdir(folder)) if folder.is_dir() else []

    # Files of others are left alone beside a prepared text; an unreadable index.json may be theirs.
    others = [name for name in names if not is_ours(name) and name != OWNER]
    if others and not _is_readable(folder):
        raise OutputError(
            f"{folder} is not empty and holds no prepared text",
            f"it has {others[0]}",
            "choose another folder with `output`",
        )

    # What is there already is only replaced or continued where that was asked for.
    if not is_prepared(folder) or resume or overwrite:
        return
    if is_finished(folder):
        raise OutputError(
            f"{folder} holds a prepared text already",
            hint="choose another folder with `output`, or replace it with `overwrite=True`",
        )
    raise OutputError(
        f"{folder} holds a partly prepared text",
        hint="continue with `resume=True`, or start again with `overwrite=True`",
    )


def _is_readable(folder: Path) -> bool:
    """Return whether the folder holds a prepared text, whole or in part, with a readable index."""
    with contextlib.suppress(ModelError):
        return bool(read_index(folder, index_name(folder)))
    return False


def remove(folder: Path) -> None:
    """Delete what we wrote there, first what names the rest: a journal beside an index counts for
    nothing."""
    unname(folder)
    for name in os.listdir(folder):
        if is_ours(name):
            (folder / name).unlink(missing_ok=True)


def unname(folder: Path) -> None:
    """Delete what says that the folder holds a prepared text, or a part of one."""
    for name in (JOURNAL, INDEX):
        (folder / name).unlink(missing_ok=True)


def remove_shards(folder: Path, names: Iterable[str]) -> None:
    """Delete shards. What is left is no prepared text any more."""
    unname(folder)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def remove_all(folder: Path) -> None:
    """Delete what we wrote there, and the folder unless other files are in it."""
    remove(folder)
    with contextlib.suppress(OSError):
        folder.rmdir()


def begun(folder: Path, request: dict[str, Any]) -> Index | None:
    """Return what the work can resume from, finished or not, without shards that are not whole;
    None where there is nothing. Raise UsageError where it belongs to another request."""
    if not is_prepared(folder):
        return None
    name = index_name(folder)
    index = read_index(folder, name)

    # A setting that was introduced later was off when this began.
    differing = []
    for key in request.keys() | index.request.keys():
        if (request.get(key) or None) != (index.request.get(key) or None):
            differing.append(key)
    if differing:
        key = min(differing)
        there, asked = _text(index.request.get(key)), _text(request.get(key))
        raise UsageError(
            f"`resume` cannot continue another preparation in {folder}",
            f"{key} is {there} there, {asked} was asked for",
            "start again with `overwrite=True`",
        )
    if name == INDEX:
        return index

    # A kill may have left the last shards in part; those before them count.
    whole: list[Shard] = []
    for shard in index.shards:
        if safe_files.sha256(folder / shard.name) != shard.sha256:
            break
        whole.append(shard)
    return index.with_shards(whole)


def begin(
    folder: Path,
    request: dict[str, Any],
    text: TextSettings,
    tokenizer: TokenizerFiles,
    sample: Sample,
) -> Index:
    """Write the tokenizer, and a journal without shards, in place of what we wrote there before.
    Return the index."""
    files = {}
    for role, data in tokenizer.files.items():
        files[role] = FileEntry(role, len(data), safe_files.digest([data]))
    settings = {name: getattr(text, name) for name in TextSettings.__dataclass_fields__}
    index = Index(
        request=request,
        text_settings=settings,
        tokenizer=tokenizer.settings,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.size,
        files=files,
        sample=sample,
    )
    with writing(folder):
        # The journal first: where nothing can be written, what was there stays.
        write_index(folder, index, JOURNAL)
        remove(folder)
        for role, data in tokenizer.files.items():
            replace_file(folder / role, data)
        write_index(folder, index, JOURNAL)
    return index


def add_shard(folder: Path, index: Index, shard: FullShard) -> Index:
    """Write a shard, then the journal that names it. Return the index with it."""
    counts = Counts(
        lines=len(shard.lines),
        documents=len(shard.lines.document_lines),
        oov_tokens=len(shard.lines.oov),
        **shard.lines.totals(),
    )
    name = shard_name(len(index.shards))
    pieces = list(tensors.chunks(shard.lines.to_arrays()))
    with writing(folder):
        size = sum(map(len, pieces))
        entry = Shard(name, size, safe_files.digest(pieces), shard.lines_hash, counts)
        replace_file(folder / name, pieces)
        index = index.with_shards([*index.shards, entry])
        write_index(folder, index, JOURNAL)
    return index


def finish(folder: Path, index: Index) -> None:
    """Put the index in place once all is written, and delete files of ours that it does not
    name."""
    with writing(folder):
        write_index(folder, index)
        named = {INDEX, *index.files, *(shard.name for shard in index.shards)}
        for name in os.listdir(folder):
            if is_ours(name) and name not in named:
                with contextlib.suppress(OSError):
                    (folder / name).unlink()


def is_finished(folder: Path) -> bool:
    """Return whether all of the text is there."""
    return index_name(folder) == INDEX


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
