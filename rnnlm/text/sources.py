"""Where text comes from: files, globs, standard input, compressed files, tables, and data sets of
the hub.

:func:`expand` turns what a person names into sources; :func:`read` yields each source's text,
either as raw bytes (text files: decoding and lines are the matter of :mod:`rnnlm.text.lines`) or as
records (one string per row of a table).
"""

import contextlib
import glob
import hashlib
import os
import socket
import stat
import urllib.parse
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

import rnnlm.corpora as corpora
from rnnlm.config import Checked
from rnnlm.errors import (
    SettingsError,
    TextError,
    UsageError,
    missing_package,
    nearest,
    notice,
    shown,
)
from rnnlm.files import tables
from rnnlm.files.compression import CHUNK_BYTES, without_suffix
from rnnlm.files.reading import opened, shown_name
from rnnlm.text.named_columns import check_length, usual_column

if TYPE_CHECKING:
    import datasets

RECORDS_PER_CHUNK = 4096
HUB = "hf:"
HUB_SECONDS = 5  # to wait for an answer


@dataclass(frozen=True)
class SourceSettings(Checked):
    """How tables and data sets are read."""

    column: Annotated[
        str | None, Meta(description="text column of JSON-lines, CSV, Parquet and data sets")
    ] = None
    split: Annotated[str, Meta(description="split of a data set")] = "train"
    delimiter: Annotated[
        str | None,
        Meta(description="what separates the cells of a table; none: as its header has it"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "delimiter", parse_delimiter(self.delimiter))

    def table_kind(self, source: str) -> str | None:
        """What table a file is read as, None where it is text.

        Raises:
            UsageError: a delimiter is given, and it is a table that has none.
        """
        return kind_with(self.delimiter, tables.kind_of(source), source)


def kind_with(delimiter: str | None, kind: str | None, source: str) -> str | None:
    """The kind of a table whose cells a `delimiter` is said to separate."""
    if delimiter and kind in (tables.JSON_LINES, tables.PARQUET):
        raise UsageError(f"{source} has no delimiter", f"it is {kind}", "leave --delimiter out")
    return tables.kind_with(delimiter, kind)


def parse_delimiter(text: str | None) -> str | None:
    """A delimiter as a person writes it: one character, or "tab" or "\\t"."""
    if text is None:
        return None
    character = "\t" if text in ("tab", "\\t") else text
    if len(character) != 1 or character in '"\r\n\0':
        raise SettingsError(
            f"delimiter = {shown(text)} is not valid",
            "one character is needed",
            "for instance ; or tab",
        )
    return character


def expand(names: tuple[str, ...]) -> list[str]:
    """The sources that `names` stand for: globs are expanded and sorted, `-` and `hf:...` kept."""
    sources = []
    for name in names:
        if name == "-" or name.startswith(HUB) or os.path.exists(name):
            sources.append(name)
        elif matches := sorted(
            match for match in glob.glob(name, recursive=True) if os.path.isfile(match)
        ):
            sources.extend(matches)
        elif glob.has_magic(name):
            raise TextError(f"no file matches {name}")
        else:
            raise TextError(f"no such file: {name}", hint=_bundled(name) or _similar_file(name))
    return sources


def expand_files(names: Iterable[str | os.PathLike[str]], what: str, suffix: str) -> list[str]:
    """The files that `names` stand for, and `-`. what: what they hold; suffix: of such files; both
    for messages."""
    found = expand(tuple(os.fspath(name) for name in names))
    if hub := next((name for name in found if name.startswith(HUB)), None):
        raise UsageError(
            f"{hub}: {what} of data sets of the hub are not read",
            hint="save it as Parquet or JSON-lines",
        )
    if folder := next((name for name in found if Path(name).is_dir()), None):
        raise TextError(f"{folder} is a directory", hint=f"name its files: '{folder}/*{suffix}'")
    return found


def read(
    source: str,
    settings: SourceSettings,
    errors: str = "strict",
    on_read: Callable[[int], None] | None = None,
) -> Iterator[bytes | list[str]]:
    """The text of one source: chunks of bytes, or lists of records (bad UTF-8 in them treated as
    `errors` says).

    on_read: called with the number of bytes read from a text file, each time some are read."""
    if source.startswith(HUB) or os.path.isdir(source):
        yield from dataset_records(source, settings)
        return
    kind = settings.table_kind(source)
    if kind == tables.CSV and not settings.column:
        raise TextError(
            f"{source} is a table", "its text column is not named", "name it with --column"
        )
    if kind and (kind != tables.TSV or settings.column):
        yield from _in_chunks(_texts_of(_rows(source, kind, settings, errors), settings))
        return
    with opened(source, on_read) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def is_plain(source: str, settings: SourceSettings) -> bool:
    """Whether the source is a file that holds its text as it is, neither compressed nor a table:
    one can begin to read it anywhere."""
    kind = settings.table_kind(source)
    is_text = not kind or (kind == tables.TSV and not settings.column)
    return is_text and without_suffix(source) == source and os.path.isfile(source)


def tell_of_text_files(names: Sequence[str | Path], settings: SourceSettings) -> None:
    """A notice of sources that are no tables, if a column is named: their lines are read whole."""
    if not settings.column or settings.delimiter:
        return
    expanded: list[str] = []
    with contextlib.suppress(TextError):  # one is missing, which whoever reads it says
        expanded = expand(tuple(map(str, names)))
    if found := [
        name
        for name in expanded
        if not (tables.kind_of(name) or name.startswith(HUB) or os.path.isdir(name))
    ]:
        notice(
            f"{' and '.join(map(shown_name, found))}: read line by line as text, "
            f"without regard to --column, which is for tables ({', '.join(tables.SUFFIXES)}); "
            "--delimiter reads any file as a table"
        )


def _rows(source: str, kind: str, settings: SourceSettings, errors: str) -> Iterator[tables.Row]:
    """The rows of a table; of a Parquet file the text column alone is read."""
    if kind == tables.PARQUET:
        return tables.parquet_rows(
            source, [column_of(tables.parquet_columns(source), source, settings)]
        )
    return tables.rows(
        source,
        kind,
        errors,
        delimiter=settings.delimiter,
        columns=[settings.column] if settings.column else (),
    )


def _in_chunks(records: Iterator[str]) -> Iterator[list[str]]:
    """The records, so many at a time, or as many as make a block of text."""
    chunk: list[str] = []
    characters = 0
    for record in records:
        chunk.append(record)
        characters += len(record)
        if len(chunk) == RECORDS_PER_CHUNK or characters >= CHUNK_BYTES:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def dataset_records(source: str, settings: SourceSettings) -> Iterator[list[str]]:
    """Rows of a data set of the hub (`hf:OWNER/NAME[@REVISION][#CONFIG]`) or of a local folder,
    streamed."""
    name, revision, config = source.removeprefix(HUB), None, None
    if not os.path.isdir(name):  # a local folder may have @ or # in its name
        name, revision, config = parse_hub_name(name)
    if os.path.isdir(name) and glob.glob(os.path.join(glob.escape(name), "weights-*.safetensors")):
        raise TextError(
            f"{source} is a model, not a text", hint="name a text; a model is named with -m"
        )
    if os.path.isdir(name) and glob.glob(os.path.join(glob.escape(name), "shard-*.safetensors")):
        raise TextError(
            f"{source} is a prepared text",
            "what is asked for needs the text itself, or that text alone",
            "name a text",
        )
    if os.path.isdir(name) and not _holds_data(name):
        raise TextError(
            f"{source} is a directory", "it holds no data set", f"name its files: '{name}/*.txt'"
        )
    try:
        if source.startswith(HUB) and not os.path.isdir(name):
            _check_hub_answers()
        rows = _load_dataset(name, revision, config, settings.split)
        where = f"{source} [{settings.split}]"
        yield from _in_chunks(_texts_of((tables.Row(where, row) for row in rows), settings))
    except TextError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)):
            raise missing from None
        # the datasets library raises many kinds; each is an unreadable source
        reason = str(error).strip() or type(error).__name__
        raise TextError(f"cannot load data set {source}", reason.splitlines()[0]) from None


def _check_hub_answers() -> None:
    """Raise an OSError at once where the hub cannot be reached: the datasets library tries for half
    a minute."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    url = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname or "", port), HUB_SECONDS).close()
    except OSError as error:
        raise OSError(f"{url.hostname} cannot be reached: {error}") from None


def _load_dataset(
    name: str, revision: str | None, config: str | None, split: str
) -> "datasets.Dataset | datasets.IterableDataset":
    import datasets

    datasets.disable_progress_bars()
    if os.path.exists(os.path.join(name, "dataset_dict.json")) or os.path.exists(
        os.path.join(name, "state.json")
    ):
        saved = datasets.load_from_disk(name)
        if isinstance(saved, datasets.DatasetDict):
            if split not in saved:
                raise TextError(
                    f"data set {name} has no split {split!r}", hint=nearest(split, saved)
                )
            return saved[split]
        return saved
    # it is called after its folder, and . has no name
    name = os.path.abspath(name) if os.path.isdir(name) else name
    return datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)


def parse_hub_name(text: str) -> tuple[str, str | None, str | None]:
    """`OWNER/NAME[@REVISION][#CONFIG]` as (name, revision, config)."""
    text, _, config = text.partition("#")
    name, _, revision = text.partition("@")
    if not name:
        raise UsageError("hf: names no data set", hint="write hf:OWNER/NAME[@REVISION][#CONFIG]")
    return name, revision or None, config or None


def _holds_data(folder: str) -> bool:
    """Whether files of a data set lie there; .json alone may be anything, a model's config.json for
    one."""
    suffixes = {
        Path(without_suffix(name)).suffix for _, _, names in os.walk(folder) for name in names
    }
    return bool(suffixes & {*tables.SUFFIXES, ".arrow"} - {".json"})


def column_of(names: list[str], where: str, settings: SourceSettings) -> str:
    """The column to read: the one asked for; else `text`, `sentence`, or the only one."""
    if settings.column:
        if settings.column in names:
            return settings.column
        raise TextError(
            f"{where}: no column {settings.column!r}", hint=nearest(settings.column, names)
        )
    usual = [name for name in tables.USUAL_COLUMNS if name in names]
    if len(usual) > 1:
        notice(f"{where}: the column {usual[0]} is read; --column {usual[1]} reads the other one")
    if usual:
        return usual[0]
    return usual_column(names, (), where, "the text", "--column")


def _texts_of(rows: Iterator[tables.Row], settings: SourceSettings) -> Iterator[str]:
    """The text of each row, in the column that the first of them decides on."""
    for row in rows:
        check_length(row)
        names = [str(name) for name in row.values]
        column = column_of(names, row.where, settings)
        settings = replace(settings, column=column)
        yield _as_text(row.values[column], row.where, column)


def _as_text(value: object, where: str, column: str) -> str:
    if not isinstance(value, str):
        held = "nothing" if value is None else type(value).__name__
        raise TextError(f"{where}: column {column!r} holds {held}, not text")
    return value


def _bundled(name: str) -> str:
    """What to do with the name of a bundled corpus, which only commands for labels and pairs
    take."""
    corpus = corpora.labelled(name) or corpora.paired(name)
    if corpus is None:
        return ""
    held = "labels" if corpora.labelled(name) else "pairs"
    return (
        f"the bundled corpus {name} has {held}: add --task {' or '.join(corpus.tasks)} to rnnlm "
        "train"
    )


def _similar_file(name: str) -> str:
    path = Path(name)
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    hint = nearest(path.name, siblings) if siblings else ""
    return hint if hint.startswith("did you mean") else ""


# ---- Sources that are given more than once: one file under two names or in two globs, or two files
# of the same bytes.
#
# That costs next to nothing: files are opened only where their sizes are equal, and read on only
# where their beginnings are, too; of large ones a few pieces are compared.

PIECES, PIECE_BYTES = 64, 1 << 16  # of a file that are compared: all of one that is not larger
MOST_COMPARED = 1000  # files: the bytes of more are not compared
MOST_SHOWN = 3


def warn_of_repeats(names: Sequence[str]) -> None:
    """Send a notice that names those of `names` (sources, or globs of them) that stand for the same
    text."""
    with contextlib.suppress(TextError):  # one is missing, which whoever reads it says
        if repeats := repeated(expand(tuple(names))):
            more = f"; and {len(repeats) - MOST_SHOWN:,} more" if len(repeats) > MOST_SHOWN else ""
            shown = "; ".join(map(_in_words, repeats[:MOST_SHOWN]))
            notice(f"the same text is given more than once, and read as often: {shown}{more}")


def repeated(found: Iterable[str]) -> list[list[str]]:
    """Those of the sources `found` that are the same text, together."""
    files: dict[Hashable, list[str]] = {}
    size_of: dict[Hashable, int] = {}
    for name in found:
        file, size = _file(name)
        files.setdefault(file, []).append(name)
        size_of[file] = size
    alike = _alike([[file for file, size in size_of.items() if size]], size_of)
    if sum(map(len, alike)) <= MOST_COMPARED:
        for pieces in (1, PIECES):
            digests = {
                file: _digest(files[file][0], size_of[file], pieces)
                for same in alike
                for file in same
            }
            alike = _alike(alike, digests)
        for first, *others in alike:
            files[first] += [name for file in others for name in files.pop(file)]
    return [names for names in files.values() if len(names) > 1]


def _alike(groups: list[list[Hashable]], keys: Mapping[Hashable, Hashable]) -> list[list[Hashable]]:
    """Of each group those of one key, where there are several."""
    found: dict[Hashable, list[Hashable]] = {}
    for number, group in enumerate(groups):
        for file in group:
            found.setdefault((number, keys[file]), []).append(file)
    return [same for same in found.values() if len(same) > 1]


def _file(name: str) -> tuple[Hashable, int]:
    """What tells the file `name` from others, and its size; 0 where it is no plain file, or
    empty."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):  # standard input, a data set of the hub
        return name, 0
    return (found.st_dev, found.st_ino), found.st_size if stat.S_ISREG(found.st_mode) else 0


def _digest(path: str, size: int, pieces: int) -> bytes | str:
    """The hash of the file's first piece, or of all PIECES: all of its bytes, or, if it is large,
    pieces at even distances, the first and the last among them. The path of a file that cannot be
    read, which whoever reads it says."""
    found = hashlib.sha256()
    is_small = size <= PIECES * PIECE_BYTES
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        for number in range(pieces):
            stream.seek(
                number * PIECE_BYTES if is_small else number * (size - PIECE_BYTES) // (PIECES - 1)
            )
            found.update(stream.read(PIECE_BYTES))
        return found.digest()
    return path


def _in_words(names: Sequence[str]) -> str:
    different = dict.fromkeys(names)
    return " and ".join(different) if len(different) > 1 else f"{names[0]} ({len(names)} times)"
