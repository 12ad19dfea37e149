"""Parallel files: a source on each line of one, its target on the same line of another, or of several."""

from collections.abc import Sequence

from rnnlm.text.file_lines import side_by_side
from rnnlm.text.parallel.collecting import PairCollector

SOURCE, TARGET = "source", "target"  # the names of their columns, so to say


def read_parallel_files(source: str, targets: Sequence[str], collector: PairCollector) -> tuple[str, str]:
    """Collect the pairs of a file of sources and one file of targets for each reference. Returns the names of both sides.

    Raises:
        TextError: a file cannot be read, has more lines than another, or has an empty line.
    """
    files = (source, *targets)
    for line, texts in side_by_side(files, collector.settings.encoding_errors, "targets"):
        collector.add(texts, [f"{file}, line {line}" for file in files], line, source)
    return SOURCE, TARGET
