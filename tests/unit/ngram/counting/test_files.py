"""Files of counts: sums of shards against the count of the whole, damage, and safe writing."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.ngram.counting.strings import count_lines, count_text, merge_counts, save
from support.tiny_models import LINES, Lines

texts = st.lists(
    st.lists(st.sampled_from(["a", "a!", "b", "\u00a0x", "\\", '"', '""', '"a"']), min_size=1).map(
        " ".join
    ),
    min_size=1,
    max_size=5,
)


def counted(lines, order: int, **more) -> list[tuple[str, int]]:
    return list(count_text(Lines(lines), order=order, **more))


@given(st.lists(texts, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 3))
def test_counts_of_shards_sum_to_the_whole(tmp_path_factory, shards, order, min_count):
    folder = tmp_path_factory.mktemp("shards")
    for number, lines in enumerate(shards):
        save(folder / f"{number}.gz", count_lines(counted(lines, order)))
    whole = counted([line for lines in shards for line in lines], order, min_count=min_count)
    assert list(merge_counts([str(folder / "*.gz")], min_count)) == whole


def test_counts_are_exact_beyond_machine_words(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"a\t%d\nb\t%d\n" % (2**31, 2**63))
    two.write_bytes(b"a\t%d\nb\t%d\n" % (2**31 - 1, 2**63 + 1))
    assert list(merge_counts([str(one), str(two)])) == [("a", 2**32 - 1), ("b", 2**64 + 1)]


def test_quotation_marks_are_read_by_pythons_csv(tmp_path):
    found = counted(['" a "b" "" "', 'a "b'], 2)
    save(tmp_path / "counts", count_lines(found))
    with open(tmp_path / "counts", newline="") as stream:
        assert [(ngram, int(count)) for ngram, count in csv.reader(stream, delimiter="\t")] == found
    (tmp_path / "by-hand").write_text('" a\t1\n"b" c\t2\n')
    assert list(merge_counts([str(tmp_path / "by-hand")])) == [('" a', 1), ('"b" c', 2)]


def test_an_empty_file_adds_nothing(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "counts").write_bytes(b"a\t2\n")
    assert list(merge_counts([str(tmp_path / "*")])) == [("a", 2)]


@pytest.mark.parametrize("suffix", ["", ".txt", ".gz", ".bz2", ".xz", ".zst"])
def test_what_is_saved_reads_back(tmp_path, suffix):
    path = tmp_path / f"counts{suffix}"
    save(path, count_lines(counted(LINES, 3)))
    assert list(merge_counts([str(path)])) == counted(LINES, 3)
    assert (path.read_bytes()[:4] == b"</s>") == (suffix in ("", ".txt"))
