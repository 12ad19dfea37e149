"""Tables of counts: read back by Python's csv, compressed by their suffix."""

import csv

import pytest
from hypothesis import given, strategies as st

from rnnlm.storage.files.reading import opened
from rnnlm.tools.counting.strings import count_lines, count_text, save
from support.tiny_models import LINES, Lines

word = st.sampled_from(["a", "a!", "b", "\u00a0x", "\\", '"', '""', '"a"'])
texts = st.lists(st.lists(word, min_size=1).map(" ".join), min_size=1, max_size=5)


def counted(lines, order: int) -> list[tuple[str, int]]:
    return list(count_text(Lines(lines), order=order))


def read(stream) -> list[tuple[str, int]]:
    return [(ngram, int(count)) for ngram, count in csv.reader(stream, delimiter="\t")]


@given(texts, st.integers(1, 4))
def test_quotation_marks_are_read_by_pythons_csv(tmp_path_factory, lines, order):
    path = tmp_path_factory.mktemp("table") / "counts"
    found = counted(lines, order)
    save(path, count_lines(found))
    with open(path, newline="", encoding="utf-8") as stream:
        assert read(stream) == found


@pytest.mark.parametrize("suffix", ["", ".txt", ".gz", ".bz2", ".xz", ".zst"])
def test_what_is_saved_reads_back(tmp_path, suffix):
    path = tmp_path / f"counts{suffix}"
    save(path, count_lines(counted(LINES, 3)))
    with opened(str(path)) as stream:
        assert read(stream.read().decode("utf-8").splitlines()) == counted(LINES, 3)
    assert (path.read_bytes()[:4] == b"</s>") == (suffix in ("", ".txt"))
