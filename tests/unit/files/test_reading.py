import errno

import pytest

from rnnlm.files.reading import MOST_SMALL_BYTES, read_small


def test_a_small_file_is_read_as_a_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert read_small(tmp_path / "a") == b"x" * 1000


def test_no_more_than_the_bound_is_read(tmp_path):
    with open(tmp_path / "a", "wb") as stream:
        stream.truncate(1 << 40)  # a hole: no disk is taken
    with pytest.raises(OSError) as caught:
        read_small(tmp_path / "a")
    assert caught.value.errno == errno.EFBIG
    with open(tmp_path / "a", "wb") as stream:
        stream.truncate(MOST_SMALL_BYTES)
    assert len(read_small(tmp_path / "a")) == MOST_SMALL_BYTES
