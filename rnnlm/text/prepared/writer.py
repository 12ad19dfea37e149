"""The folder while a text is prepared: what may be in it before, the tokenizer, shards one by one,
and the index at the end.

Each file is written under a new name, fsynced, renamed; then the journal that names it is replaced.
So a reader, and a run that goes on after a kill, see only what is whole.
"""

import contextlib
import os
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
    is_ours,
    is_prepared,
    read_index,
    shard_name,
    write_index,
)
from rnnlm.text.prepared.tokenizer_sample import TokenizerFiles


def check_output(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that a text may be prepared in `folder`.

    Raises:
        OutputError: one is there, something else is, or it cannot be written.
    """
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
    others = [name for name in names if not is_ours(name) and name != OWNER]
    if others and not _is_readable(folder):  # then index.json may be of something else
        raise OutputError(
            f"{folder} is not empty and holds no prepared text",
            f"it has {others[0]}",
            "choose another folder with -o",
        )
    if is_prepared(folder) and not resume and not overwrite:
        is_done = is_finished(folder)
        what = (
            "holds a prepared text already" if is_done else "holds a text that is prepared in part"
        )
        hint = "choose another folder with -o, or replace it with --overwrite"
        raise OutputError(
            f"{folder} {what}",
            hint=hint if is_done else "go on with --resume, or begin anew with --overwrite",
        )


def _is_readable(folder: Path) -> bool:
    """Whether there is a prepared text, whole or in part, with an index that can be read."""
    with contextlib.suppress(ModelError):
        return bool(read_index(folder, INDEX if is_finished(folder) else JOURNAL))
    return False


def remove(folder: Path) -> None:
    """What we wrote there goes, first what names the rest; a journal beside an index counts for
    nothing."""
    for name in (JOURNAL, INDEX, *os.listdir(folder)):
        if is_ours(name):
            (folder / name).unlink(missing_ok=True)


def begun(folder: Path, request: dict[str, Any]) -> Index | None:
    """What there is to go on from, finished or not, without the shards that are not whole; None:
    nothing.

    Raises:
        UsageError: it is of another request. ModelError: the journal is damaged.
    """
    if not is_prepared(folder):
        return None
    name = INDEX if is_finished(folder) else JOURNAL
    index = read_index(folder, name)
    keys = request.keys() | index.request.keys()
    # what came later was off
    differing = [
        key for key in keys if (request.get(key) or None) != (index.request.get(key) or None)
    ]
    if differing:
        key = min(differing)
        why = (
            f"{key} is {_text(index.request.get(key))} there, {_text(request.get(key))} "
            "was asked for"
        )
        raise UsageError(
            f"--resume goes on with what was begun in {folder}, and with nothing else",
            why,
            "begin anew with --overwrite",
        )
    if name == INDEX:
        return index
    whole = 0
    while (
        whole < len(index.shards)
        and safe_files.sha256(folder / index.shards[whole].name) == index.shards[whole].sha256
    ):
        whole += 1
    return index.with_shards(index.shards[:whole])


def begin(
    folder: Path,
    request: dict[str, Any],
    text: TextSettings,
    tokenizer: TokenizerFiles,
    sample: Sample,
) -> Index:
    """Write the tokenizer, and a journal without shards, in place of what we wrote there before.

    Raises:
        OutputError: it cannot be written.
    """
    files = {
        role: FileEntry(role, len(data), safe_files.digest([data]))
        for role, data in tokenizer.files.items()
    }
    settings = {name: getattr(text, name) for name in TextSettings.__dataclass_fields__}
    index = Index(
        request, settings, tokenizer.settings, tokenizer.fingerprint, tokenizer.size, files, sample
    )
    with writing(folder):
        write_index(folder, index, JOURNAL)  # where nothing can be written, what is there stays
        remove(folder)
        for role, data in tokenizer.files.items():
            replace_file(folder / role, data)
        write_index(folder, index, JOURNAL)
    return index


def add_shard(folder: Path, index: Index, shard: FullShard) -> Index:
    """Write a shard, then the journal that names it; the index with it.

    Raises:
        OutputError: it cannot be written; the earlier ones are whole.
    """
    name = shard_name(len(index.shards))
    pieces = list(tensors.chunks(shard.lines.to_arrays()))
    totals = shard.lines.totals()
    counts = Counts(
        lines=len(shard.lines),
        documents=len(shard.lines.document_lines),
        oov_tokens=len(shard.lines.oov),
        **totals,
    )
    with writing(folder):
        entry = Shard(
            name, sum(map(len, pieces)), safe_files.digest(pieces), shard.lines_hash, counts
        )
        replace_file(folder / name, pieces)
        index = index.with_shards([*index.shards, entry])
        write_index(folder, index, JOURNAL)
    return index


def finish(folder: Path, index: Index) -> None:
    """All is written: the index is put in place, and what it does not name goes.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(folder):
        write_index(folder, index)
        named = {INDEX, *index.files, *(shard.name for shard in index.shards)}
        for name in os.listdir(folder):
            if is_ours(name) and name not in named:
                with contextlib.suppress(OSError):
                    (folder / name).unlink()


def is_finished(folder: Path) -> bool:
    """Whether all of the text is there."""
    return (folder / INDEX).is_file()


def _text(value: object) -> str:
    return (
        "none"
        if value is None
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
