"""Read files of minimal pairs; their format is recognised by content, not by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.errors import TextError
from rnnlm.scoring.pairs.accuracy import TestSet
from rnnlm.scoring.pairs.pair import SENTENCES, TEMPLATES, WINOGRAD, Pair, RowFormat, pair_of
from rnnlm.storage.files import tables
from rnnlm.storage.files.compression import without_suffix
from rnnlm.storage.files.reading import decode, opened
from rnnlm.text import sources
from rnnlm.text.lines import single_spaced
from rnnlm.text.named_columns import columns_in_words

FORMATS = (SENTENCES, WINOGRAD, TEMPLATES)
DEFAULT_KIND = "pairs"
SHOWN_COLUMNS = 12  # in a message
_HINT = (
    "pairs need the columns good and bad (or BLiMP's sentence_good, sentence_bad); Winograd "
    "schemas sentence, option1, option2, answer; "
    "agreement templates sentence, verb_index, right, wrong"
)


def read_pairs(source: str | Path, encoding_errors: str = "strict", strip: bool = False) -> TestSet:
    """Read minimal pairs. A row that cannot be read becomes a pair whose `problem` holds the
    reason.

    Args:
        source: A file, a glob, a folder, whose tables and JSON files are read, or a bundled list:
            agreement, homophones or recency.
        encoding_errors: Invalid UTF-8 is an error ("strict"), or becomes U+FFFD ("replace").
        strip: Reduce white space to one space between words, and none at the ends of a sentence.

    Returns:
        The pairs, in the order of the files.

    Raises:
        TextError: A file does not exist, cannot be read or is not in the format that it claims, or
            files of different formats are mixed.
    """
    names = files_of(str(source))
    pairs: list[Pair] = []
    first_format = ""
    for name in names:
        kind = Path(without_suffix(name)).stem if len(names) > 1 else DEFAULT_KIND
        read = _read(name, kind, encoding_errors, strip)
        first_format = first_format or read.format
        if read.format != first_format:
            raise TextError(
                f"{source} mixes formats",
                f"{names[0]} holds {first_format}, {name} {read.format}",
                "name them one by one",
            )
        pairs.extend(read.pairs)
    return TestSet(first_format, tuple(pairs))


def files_of(source: str) -> list[str]:
    """Return the files that :func:`read_pairs` reads: one that is named, a bundled list, or those
    of a folder. TextError: there are none."""
    if source.startswith(sources.HUB):
        raise TextError(
            "pairs are read from files",
            f"{source} is a data set of the hub",
            "download it, and name its files",
        )
    folder = Path(source)
    if not folder.is_dir():
        return sources.expand((str(corpora.list_named(source)),))
    files = [path for path in folder.iterdir() if path.is_file()]
    # Any other file in the folder, such as a README, is no list.
    paths = sorted(str(path) for path in files if tables.kind_of(path.name))
    if not paths:
        raise TextError(
            f"{source} holds no pairs",
            "it is a folder without tables or JSON files",
            "the names of tables end in " + ", ".join(tables.SUFFIXES),
        )
    return paths


def _read(source: str, kind: str, errors: str, strip: bool) -> TestSet:
    # A file may be one JSON object as a whole.
    table = tables.kind_of(source) or _sniffed(source, errors)
    value = _json_value(source, errors) if table == tables.JSON_LINES else None
    if isinstance(value, dict):
        rows = [tables.Row(source, value)]
    else:
        rows = list(tables.rows(source, table, errors))
    if strip:
        rows = [row._replace(values=_spaced(row.values)) for row in rows]
    if not rows:
        raise TextError(f"{source} holds no pairs")
    format = _format(source, rows)
    return TestSet(format.name, tuple(pair_of(row.values, format, kind, row.where) for row in rows))


def _spaced(value: Any) -> Any:
    """Return the content of JSON or a table with its texts single-spaced."""
    if isinstance(value, str):
        return single_spaced(value)
    if isinstance(value, dict):
        return {name: _spaced(element) for name, element in value.items()}
    return list(map(_spaced, value)) if isinstance(value, list) else value


def _sniffed(source: str, errors: str) -> str:
    """Return the kind of table that the file begins like."""
    with opened(source, errors=errors) as stream:
        begins = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return tables.JSON_LINES if begins[:1] in (b"{", b"[") else tables.TSV


def _json_value(source: str, errors: str) -> object:
    """Return the file's value if it is one JSON value as a whole, else None."""
    import msgspec

    with opened(source, errors=errors) as stream:
        data = stream.read(tables.LARGEST_VALUE + 1)
    if len(data) > tables.LARGEST_VALUE:  # JSON-lines, perhaps
        return None
    try:
        return msgspec.json.decode(decode(data, source, 1, errors).removeprefix("\ufeff"))
    except (msgspec.DecodeError, RecursionError):
        return None


def _format(source: str, rows: Sequence[tables.Row]) -> RowFormat:
    in_order: dict[str, None] = {}
    for row in rows:
        in_order.update(dict.fromkeys(name for name in row.values if name is not None))
    columns = set(in_order)
    why = columns_in_words(list(in_order)[:SHOWN_COLUMNS])
    # A table may have a column that another format would need. So the first format all of whose
    # columns are there is taken, or else the first that fits; its missing columns are named.
    fitting = [format for format in FORMATS if format.fits(columns)]
    complete = [format for format in fitting if format.is_complete(columns)]
    format = next(iter(complete or fitting), None)
    if format is None:
        raise TextError(f"{source} does not have the columns of a list of pairs", why, _HINT)
    for names in format.needed:
        if columns.isdisjoint(names):
            raise TextError(f"{source} has no column {names[0]!r}", why, _HINT)
    return format
