"""Read sources of text: files, globs, standard input, compressed files, tables, and data sets of
the hub.

:func:`expand` turns the names that a person gives into sources; :func:`read` yields each source's
text, either as raw bytes (of text files, which :mod:`rnnlm.text.lines` decodes and splits) or as
records (one string per row of a table).
"""

import contextlib
import functools
import glob
import hashlib
import itertools
import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import rnnlm.corpora as corpora
from rnnlm import registry, satellites
from rnnlm.config import ValidatedSettings, about
from rnnlm.errors import (
    TextError,
    UsageError,
    did_you_mean,
    keyword,
    missing_package,
    nearest,
    notice,
)
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import CHUNK_BYTES, is_compressed, without_suffix
from rnnlm.storage.files.reading import file_of, opened, shown_name
from rnnlm.text.named_columns import (
    KINDS,
    GroupNames,
    InputTable,
    cell,
    column_named,
    open_table,
    table_of,
    tell_of_empty,
    tell_of_guess,
    text_column,
    text_or_none,
)
from rnnlm.text.word_rows import sentences_of, tell_of_word_rows, word_column

if TYPE_CHECKING:
    import datasets

T = TypeVar("T")
RECORDS_PER_CHUNK = 4096
HUB = "hf:"
_UNFINISHED = "unfinished.json"  # in a folder of ours until all is there
HUB_SECONDS = 5  # how long to wait for an answer
# An address on the internet, perhaps one that was made a path
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


SentenceColumns = Annotated[
    tuple[str, ...],
    about(
        "columns that tell sentences apart in a table with a row a word; the words of each are put "
        "together. One may number the words: a sentence ends where it falls",
        title="NAME,NAME",
    ),
]


@dataclass(frozen=True)
class SourceSettings(ValidatedSettings):
    """How to read tables and data sets."""

    column: Annotated[
        str | None,
        about(
            "column that holds the text, in JSON Lines, CSV, Parquet and data sets", title="NAME"
        ),
    ] = None
    sentence_columns: SentenceColumns = ()
    split: Annotated[str, about("which split of a data set to read", title="NAME")] = "train"

    @property
    def wants_table(self) -> bool:
        """Whether a setting names a column, which only tables have."""
        return bool(self.column or self.sentence_columns)


@dataclass(frozen=True)
class GroupedSourceSettings(SourceSettings):
    """How to read tables whose rows belong to groups. group_by: the column that names the group."""

    group_by: str = ""

    @property
    def wants_table(self) -> bool:
        return True


class GroupedRow(str):
    """The text of a row. group: the cell that names its group; None: it is empty."""

    group: str | None


def expand(names: tuple[str, ...]) -> list[str]:
    """Return the sources that `names` refer to: globs are expanded and sorted, `-` and `hf:...`
    kept."""
    sources = []
    for name in names:
        # A file may be called like a glob, so existing names come first.
        if name == "-" or name.startswith(HUB) or os.path.exists(file_of(name)):
            sources.append(name)
            continue
        files = sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))
        if files:
            sources.extend(files)
        elif _ADDRESS.match(name):
            raise _address_refused(name)
        elif glob.has_magic(name):
            raise TextError(f"no file matches {name}")
        else:
            hint = _bundled(name) or _similar_file(name)
            if " " in name.strip() and not hint:
                hint = (
                    "for the sentences themselves, use rnnlm.Corpus.from_lines(sentences) in Python"
                )
            raise TextError(f"no such file: {name}", hint=hint)
    return sources


def check_names(names: Iterable[str | os.PathLike[str]]) -> None:
    """Make sure that there are texts of these names, before time goes into anything else. Nothing
    is read."""
    for source in expand(tuple(os.fspath(name) for name in names)):
        forms = [form for form in registry.text_folders() if form.is_text]
        is_text = any(_has_files(source, form.name) for form in forms)
        if os.path.isdir(source) and not is_text:
            _check_data_folder(source, source)


def check_files(names: Iterable[str]) -> None:
    """Make sure that there are files of these names, apart from names of bundled corpora."""
    expand(tuple(name for name in names if name not in corpora.names()))


def _address_refused(name: str) -> TextError:
    on_hub = re.match(r"https?://huggingface\.co/datasets/([\w.-]+/[\w.-]+)", name)
    hint = f"name it {HUB}{on_hub[1]}" if on_hub else "download it first"
    why = f"rnnlm reads files and {HUB} data sets, not URLs"
    return TextError(f"no such file: {name}", why, hint)


def expand_files(names: Iterable[str | os.PathLike[str]], what: str, suffix: str) -> list[str]:
    """Return the files that `names` refer to, and `-`. what: their content; suffix: of such files;
    both for messages."""
    sources = expand(tuple(os.fspath(name) for name in names))
    for name in sources:
        if name.startswith(HUB):
            raise UsageError(
                f"{name}: {what} cannot be read from data sets of the hub",
                hint="save it as Parquet or JSON lines",
            )
        if Path(name).is_dir():
            raise TextError(f"{name} is a directory", hint=f"name its files: '{name}/*{suffix}'")
    return sources


def settings_for(names: Sequence[str], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of training data as they suit other tables: of the kind that their names
    say, and where one has no header, without names of columns, as a notice says."""
    fitted = dict(stored)
    format = fitted.get("format")
    if format not in ("auto", *KINDS):
        return fitted
    files = expand(tuple(names))
    kinds = {file: tables.kind_of(file) or KINDS.get(format) for file in files}
    if set(kinds.values()) != {KINDS.get(format)}:
        fitted["format"] = "auto"

    # The first row of a table without a header holds none of the names.
    named = [value for name, value in fitted.items() if "column" in name and value]
    requested_columns = [
        name for name in ",".join(named).split(",") if name and not name.isdecimal()
    ]
    for file, kind in kinds.items():
        if not requested_columns or kind not in (tables.CSV, tables.TSV):
            continue
        errors = fitted["encoding_errors"]
        first_row = map(tables.folded, open_table(file, kind, errors, requested_columns).names)
        if set(map(tables.folded, requested_columns)).isdisjoint(first_row):
            columns = open_table(file, kind, errors).names
            if columns == list(map(str, range(1, len(columns) + 1))):
                notice(
                    f"{file} has no header: its columns are identified by content, not by the "
                    f"names of the training data ({', '.join(requested_columns)})"
                )
                return {name: fitted[name] for name in fitted if "column" not in name}
    return fitted


def read(
    source: str,
    settings: SourceSettings,
    errors: str = "strict",
    on_read: Callable[[int], None] | None = None,
    is_kept: bool = True,
) -> Iterator[bytes | list[str]]:
    """Yield the text of one source: chunks of bytes, or lists of records (bad UTF-8 in them treated
    as `errors` says).

    on_read: called with the number of bytes read from a file, each time some are read.
    is_kept: whether standard input or a pipe can be read again.
    """
    if source.startswith(HUB) or os.path.isdir(source):
        yield from dataset_records(source, settings)
        return

    # TSV may be plain text that holds tabs.
    kind = tables.kind_of(source)
    if kind and (kind != tables.TSV or settings.wants_table):
        texts = _texts_of_file(source, kind, settings, errors, on_read)
        yield from in_lists(texts, RECORDS_PER_CHUNK, CHUNK_BYTES, len)
        return

    with opened(source, on_read, is_kept=is_kept, errors=errors) as stream:
        tables.tell_read_as_text(source, stream)
        yield from iter(lambda: stream.read(CHUNK_BYTES), b"")


def is_plain(source: str, settings: SourceSettings) -> bool:
    """Return whether the source is a file that holds its text as it is, neither compressed nor a
    table, so that reading can begin anywhere in it."""
    kind = tables.kind_of(source)
    is_text = not kind or (kind == tables.TSV and not settings.wants_table)
    return is_text and os.path.isfile(source) and not is_compressed(source)


def tell_of_text_files(names: Sequence[str | Path], settings: SourceSettings) -> None:
    """Send a notice of sources that are no tables, if a column is named: their lines are read
    whole."""
    if not settings.wants_table:
        return
    expanded: list[str] = []
    with contextlib.suppress(TextError):  # one is missing, which reading it will say
        expanded = expand(tuple(map(str, names)))
    texts = [name for name in expanded if not _has_columns(name)]
    if texts and isinstance(settings, GroupedSourceSettings):
        raise TextError(
            f"{shown_name(texts[0])} has no columns",
            keyword("group_by") + f" is for tables ({', '.join(tables.SUFFIXES)})",
        )
    if texts:
        notice(
            f"{' and '.join(map(shown_name, texts))}: read line by line as text, ignoring "
            + keyword("column" if settings.column else "sentence_columns")
            + f", which is for tables ({', '.join(tables.SUFFIXES)})"
        )


def column_of(
    names: Sequence[str], settings: SourceSettings, errors: str
) -> tuple[str, int] | None:
    """Return the column that holds the text of all these tables, where none is named, and how many
    columns there are. None where a source is no file of a table, or they differ."""
    columns = set()
    for source in expand(tuple(names)):
        kind = tables.kind_of(source)
        is_read = kind and (kind != tables.TSV or settings.wants_table)
        if settings.column or not is_read or os.path.isdir(source):
            return None
        table = open_table(source, str(kind), errors, settings.sentence_columns)
        if not table.sample:
            return None
        columns.add(_column_in(table, settings))
        count = len(table.names)
    return (columns.pop(), count) if len(columns) == 1 else None


def _has_columns(source: str) -> bool:
    return source.startswith(HUB) or os.path.isdir(source) or tables.kind_of(source) is not None


def _texts_of_file(
    source: str,
    kind: str,
    settings: SourceSettings,
    errors: str,
    on_read: Callable[[int], None] | None,
) -> Iterator[str]:
    """Yield the text of each row of a table; of a Parquet file, its column alone is read."""
    named = [settings.column, *settings.sentence_columns, getattr(settings, "group_by", None)]
    table = open_table(source, kind, errors, named, on_read=on_read)
    if table.sample:
        yield from _texts_of(table, settings, errors, on_read)


def _column_in(table: InputTable, settings: SourceSettings) -> str:
    """Return the column of the text of a table, or of its words."""
    if settings.sentence_columns:
        return word_column(table, settings.column, settings.sentence_columns)
    return text_column(table.names, table.sample, table.where, settings.column)


def in_lists(
    items: Iterable[T], most: int, most_characters: int, characters: Callable[[T], int],
    waits: Callable[[], bool] | None = None,
) -> Iterator[list[T]]:  # fmt: skip
    """Yield lists of items to read together, which end at so many items or so many characters, or
    before an item that has to be waited for. characters: length of an item."""
    items_so_far: list[T] = []
    length = 0
    for item in items:
        items_so_far.append(item)
        length += characters(item)
        is_full = len(items_so_far) >= most or length >= most_characters
        if is_full or (waits is not None and waits()):
            yield items_so_far
            items_so_far, length = [], 0
    if items_so_far:
        yield items_so_far


def dataset_records(source: str, settings: SourceSettings) -> Iterator[list[str]]:
    """Yield rows of a data set of the hub (`hf:OWNER/NAME[@REVISION][#CONFIG]`) or of a local
    folder, streamed."""
    name = source.removeprefix(HUB)
    revision = config = None
    if not os.path.isdir(name):  # a local folder may have @ or # in its name
        name, revision, config = parse_hub_name(name)
    if os.path.isdir(name):
        _check_data_folder(source, name)

    try:
        if source.startswith(HUB) and not os.path.isdir(name):
            _check_hub_answers()
        where = f"{source} [{settings.split}]"
        records = _load_dataset(name, revision, config, settings.split)
        rows = (tables.Row(where, record) for record in records)
        table = table_of(source, rows)
        if table.sample:
            texts = _texts_of(table, settings, None)
            yield from in_lists(texts, RECORDS_PER_CHUNK, CHUNK_BYTES, len)
    except TextError:
        raise
    except Exception as error:
        missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else None
        if missing:
            raise missing from None
        # The datasets library raises many kinds of error; each means that the source is unreadable.
        reason = str(error).strip() or type(error).__name__
        raise TextError(f"cannot load data set {source}", reason.splitlines()[0]) from None


def _check_data_folder(source: str, folder: str) -> None:
    """Make sure that a folder may be a data set. An error names its real kind."""
    if _has_files(folder, "weights-*.safetensors"):
        raise TextError(f"{source} is a model, not a text", hint="name a text")
    for form in registry.text_folders():
        if _has_files(folder, form.name):
            raise form.refusal(source)
    gone = satellites.removed_folder(Path(folder))
    if gone:
        raise gone
    if _has_files(folder, _UNFINISHED):
        raise TextError(
            f"{source} is not finished",
            "the work there was interrupted, or is still running",
            "run the same command again to resume it",
        )
    if not _holds_data(folder):
        raise TextError(
            f"{source} is a directory", "it holds no data set", f"name its files: '{folder}/*.txt'"
        )


def _has_files(folder: str, pattern: str) -> bool:
    return bool(glob.glob(os.path.join(glob.escape(folder), pattern)))


def _check_hub_answers() -> None:
    """Raise an OSError at once where the hub cannot be reached; the datasets library would try for
    half a minute."""
    # Behind a proxy, a direct connection proves nothing.
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    url = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    import socket

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

    # Folders that save_to_disk wrote have their own reader.
    marks = ("dataset_dict.json", "state.json")
    if any(os.path.exists(os.path.join(name, mark)) for mark in marks):
        saved = datasets.load_from_disk(name)
        if not isinstance(saved, datasets.DatasetDict):
            return saved
        if split not in saved:
            raise TextError(f"data set {name} has no split {split!r}", hint=nearest(split, saved))
        return saved[split]

    # The data set is called after its folder, and "." has no name.
    if os.path.isdir(name):
        name = os.path.abspath(name)
    return datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)


def parse_hub_name(text: str) -> tuple[str, str | None, str | None]:
    """Split `OWNER/NAME[@REVISION][#CONFIG]` into (name, revision, config)."""
    text, _, config = text.partition("#")
    name, _, revision = text.partition("@")
    if not name:
        raise UsageError("hf: names no data set", hint="write hf:OWNER/NAME[@REVISION][#CONFIG]")
    return name, revision or None, config or None


def _holds_data(folder: str) -> bool:
    """Return whether a folder holds files of a data set. A .json alone may be anything, such as a
    model's config.json."""
    suffixes = {*tables.SUFFIXES, ".arrow"} - {".json", ".xlsx"}
    names = itertools.chain.from_iterable(names for _, _, names in os.walk(folder))
    return any(Path(without_suffix(name)).suffix in suffixes for name in names)


def _texts_of(
    table: InputTable,
    settings: SourceSettings,
    errors: str | None,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[str]:
    """Yield the text of each row, or the sentences of a table with a row a word, those of several
    subjects once. A row without text is a blank line; a notice counts them."""
    column = _column_in(table, settings)
    tell_of_guess(table.source, table.names, column, settings.column)
    columns = [column]
    if isinstance(settings, GroupedSourceSettings):
        columns.append(column_named(settings.group_by, table.names, table.where))

    groups = GroupNames()

    def in_group(text: str, row: tables.Row) -> str:
        if len(columns) == 1:
            return text
        grouped = GroupedRow(text)
        grouped.group = groups.of(row.values.get(columns[1]))
        return grouped

    if settings.sentence_columns:
        for sentence in sentences_of(table, column, settings.sentence_columns):
            if not sentence.is_repeated:
                for row in sentence.rows if len(columns) > 1 else ():
                    cells = (row.values.get(columns[1]), sentence.rows[0].values.get(columns[1]))
                    if len({*map(groups.of, cells)}) > 1:
                        raise TextError(
                            f"{row.where}: column {columns[1]!r} changes within a sentence",
                            "groups are of whole sentences",
                            "score the words: rnnlm score --words with the same columns, and take "
                            "means by group",
                        )
                words = " ".join(sentence.words)
                yield in_group(words, sentence.rows[0]) if words else ""
        groups.tell(f"{shown_name(table.source)}: column {columns[-1]!r}")
        return

    # All columns were read to look at them; of Parquet, one is read much faster.
    tell_of_word_rows(table, column)
    is_parquet = tables.kind_of(table.source) == tables.PARQUET and os.path.isfile(table.source)
    if is_parquet and len(table.names) > 1:
        table = open_table(
            table.source, tables.PARQUET, errors, columns, only_asked=True, on_read=on_read
        )
    rows = empty = 0
    for row in table.rows:
        rows += 1
        text = text_or_none(cell(row.values, column, row.where), row.where, column)
        empty += text is None
        yield in_group(text or "", row)
    tell_of_empty(table.source, empty, rows, "hold no text")
    groups.tell(f"{shown_name(table.source)}: column {columns[-1]!r}")


def _bundled(name: str) -> str:
    """Return a hint if the name belongs to a bundled corpus: to its folder or a file in it, or to
    one that only commands for labels and pairs take."""
    corpus = corpora.labelled(name) or corpora.paired(name)
    if corpus is None:
        # A name as from a checkout; a corpus of plain text stands for its training text.
        is_corpus = name in corpora.names()
        file = corpora.part(name, "train") if is_corpus else corpora.FOLDER.parent / name
        is_bundled = is_corpus or (name.startswith("corpora/") and ".." not in name)
        return f"the bundled text is {file}" if is_bundled and os.path.isfile(file) else ""
    held = "labels" if corpora.labelled(name) else "pairs"
    return (
        f"the bundled corpus {name} has {held}: add --task {' or '.join(corpus.tasks)} to rnnlm "
        "train"
    )


def _similar_file(name: str) -> str:
    path = Path(name)
    try:
        siblings = [entry for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    # Two short names must not count as similar for their suffix alone.
    similar = [entry.name for entry in siblings if did_you_mean(path.stem, [entry.stem])]
    return did_you_mean(path.name, similar)


# ---- Sources that are given more than once: one file under two names or in two globs, or two files
# of the same bytes.
#
# That costs next to nothing: files are opened only where their sizes are equal, and read on only
# where their beginnings are, too; of large ones a few pieces are compared.

PIECES, PIECE_BYTES = 64, 1 << 16  # so much of a file is compared; of a smaller one, all
MOST_COMPARED = 1000  # the bytes of more files are not compared
MOST_SHOWN = 3


def warn_of_repeats(names: Sequence[str], beside: Sequence[Sequence[str]] = ()) -> None:
    """Send a notice that lists which of `names` (sources, or globs of them) are the same text.
    beside: files that belong to each of them, such as targets, which must be the same, too.
    """
    # Group the texts that are the same, with all files beside them.
    alike: dict[tuple[str, ...], list[str]] = {}
    with contextlib.suppress(TextError):  # one is missing, which reading it will say
        columns, first_of = [], []
        for column in (names, *beside):
            columns.append(expand(tuple(column)))
            same = dict(zip(columns[-1], columns[-1], strict=True))
            for group in repeated(columns[-1]):
                same |= dict.fromkeys(group, group[0])
            first_of.append(same)
        for row in zip(*columns, strict=True):
            key = tuple(same[name] for same, name in zip(first_of, row, strict=True))
            alike.setdefault(key, []).append(row[0])

    # Show the first groups.
    repeats = [group for group in alike.values() if len(group) > 1]
    if not repeats:
        return
    shown = "; ".join(map(_in_words, repeats[:MOST_SHOWN]))
    if len(repeats) > MOST_SHOWN:
        shown += f"; and {len(repeats) - MOST_SHOWN:,} more"
    notice(f"the same text is given more than once and read each time: {shown}")


def repeated(sources: Iterable[str]) -> list[list[str]]:
    """Return the names among `sources` that are the same text, grouped."""
    # Names of one file belong together already.
    files: dict[Hashable, list[str]] = {}
    size_of: dict[Hashable, int] = {}
    for name in sources:
        file, size = _file(name)
        files.setdefault(file, []).append(name)
        size_of[file] = size

    # Compare files of one size by their beginnings, then those that are left by more pieces.
    alike = _alike([[file for file, size in size_of.items() if size]], size_of.__getitem__)
    if sum(map(len, alike)) <= MOST_COMPARED:
        for pieces in (1, PIECES):
            alike = _alike(alike, functools.partial(_digest, files, size_of, pieces))
        for first, *others in alike:
            for file in others:
                files[first] += files.pop(file)
    return [names for names in files.values() if len(names) > 1]


def _alike(
    groups: list[list[Hashable]], key: Callable[[Hashable], Hashable]
) -> list[list[Hashable]]:
    """Return the files of each group that share a key, where there are several."""
    groups_by_key: dict[Hashable, list[Hashable]] = {}
    for number, group in enumerate(groups):
        for file in group:
            groups_by_key.setdefault((number, key(file)), []).append(file)
    return [same for same in groups_by_key.values() if len(same) > 1]


def _file(name: str) -> tuple[Hashable, int]:
    """Return facts that distinguish the file `name` from others, and its size; 0 if it is no plain
    file, or empty."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):  # standard input, a data set of the hub
        return name, 0
    identity = status.st_dev, status.st_ino
    return identity, status.st_size if stat.S_ISREG(status.st_mode) else 0


def _digest(
    names: Mapping[Hashable, list[str]], sizes: Mapping[Hashable, int], pieces: int, file: Hashable
) -> bytes | str:
    """Return the hash of a file's first piece, or of all PIECES. These are all of its bytes, or,
    if it is large, pieces at even distances, the first and the last among them.

    The path replaces the hash of a file that cannot be read; reading it will report that.
    """
    # Large files that are equal in all of these pieces count as the same text.
    path, size = names[file][0], sizes[file]
    hashed = hashlib.sha256()
    is_small = size <= PIECES * PIECE_BYTES
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        for number in range(pieces):
            spread = number * (size - PIECE_BYTES) // (PIECES - 1)
            start = number * PIECE_BYTES if is_small else spread
            stream.seek(start)
            hashed.update(stream.read(PIECE_BYTES))
        return hashed.digest()
    return path


def _in_words(names: Sequence[str]) -> str:
    different = dict.fromkeys(names)
    if len(different) == 1:
        return f"{names[0]} ({len(names)} times)"
    return " and ".join(different)
