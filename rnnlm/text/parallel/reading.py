"""Files of pairs read, whatever their format."""

from collections.abc import Iterable, Sequence
from itertools import chain
from os import PathLike

from rnnlm.errors import TextError, UsageError, notice
from rnnlm.files import tables
from rnnlm.text import sources
from rnnlm.text.parallel import pair_tables, parallel_files
from rnnlm.text.parallel.collecting import PairCollector
from rnnlm.text.parallel.formats import detect_format
from rnnlm.text.parallel.pair import ParallelText
from rnnlm.text.parallel.settings import ParallelSettings

PARALLEL = "parallel"
Paths = Iterable[str | PathLike[str]]


def read_pairs(paths: Paths, settings: ParallelSettings = ParallelSettings(), targets: Iterable[Paths] = ()) -> ParallelText:
    """The pairs of some files, in order. A notice says how many empty ones are left out, where that is asked for.

    paths: files, globs, `-`. targets: where those hold the sources alone, the files of the targets, line by line: for each reference as
    many files as `paths`.

    Raises:
        TextError: a file cannot be read, its format cannot be told, it lacks a column, or there are no pairs; files are not equally long;
            a source or target is empty. UsageError: what is asked for does not go together.
    """
    files = _expanded(paths)
    target_files = [_expanded(each) for each in targets]
    _check(files, target_files, settings)
    collector = PairCollector(settings)
    if target_files:
        for name, *of_name in zip(files, *target_files, strict=True):
            parallel_files.read_parallel_files(name, of_name, collector)
        names, format = (parallel_files.SOURCE, parallel_files.TARGET), PARALLEL
    else:
        names, format = _read_tables(files, collector)
    collector.tell_of_empty()
    if not collector.pairs:
        raise TextError(f"no pairs in {', '.join(files)}", "all of them are empty" if collector.pairs_left_out else "nothing stands in it")
    return ParallelText(tuple(collector.pairs), *names, format)


def _expanded(paths: Paths) -> list[str]:
    return sources.expand_files(paths, "pairs", ".tsv")


def _check(files: Sequence[str], targets: Sequence[Sequence[str]], settings: ParallelSettings) -> None:
    if unequal := next((each for each in targets if len(each) != len(files)), None):
        raise UsageError(f"{len(files)} files of sources and {len(unequal)} of targets", "each needs one", "name as many with --target")
    if (settings.format == PARALLEL and not targets) or (targets and settings.format not in ("auto", PARALLEL)):
        why = "targets are in files of their own" if targets else "there is no file with targets"
        raise UsageError(f"format {settings.format}: {why}", hint="--format parallel and --target go together")
    if not targets:
        return
    if settings.format == "auto" and (table := next(filter(tables.kind_of, (*files, *chain(*targets))), None)):
        why = "targets are in files of their own, line by line"
        raise UsageError(f"{table} is a table, {why}", hint="--format parallel reads each of its lines as a text")
    if settings.column or settings.target_column or settings.delimiter:
        notice(f"{', '.join(files)}: read line by line as text, without regard to --column, --target-column and --delimiter")


def _read_tables(files: Sequence[str], collector: PairCollector) -> tuple[pair_tables.Columns, str]:
    """Collect the pairs of tables. Returns the names of the columns, which are the same in all of them, and the format of the first."""
    found: list[tuple[str, pair_tables.Columns, str]] = []
    for name in files:
        format = detect_format(name, collector.settings)
        columns = pair_tables.read_pair_table(name, format, collector)
        if columns is None:
            continue
        found.append((name, columns, format))
        first, of_first, _ = found[0]
        if columns != of_first:
            what = f"{name}: pairs of {' and '.join(columns)}, but those of {first} are {' and '.join(of_first)}"
            raise TextError(what, hint="name them with --column and --target-column")
    return found[0][1:] if found else ((parallel_files.SOURCE, parallel_files.TARGET), "tsv")
