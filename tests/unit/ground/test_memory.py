"""Sizes as people write them, and what is told of the memory a process holds."""

import mmap
import sys

import pytest

from rnnlm.errors import SettingsError
from rnnlm.memory import held_bytes, parse_size, peak_bytes

SIZES = {
    "1": 1, "1000000": 10**6, "500M": 500 * 10**6, "2G": 2 * 10**9, "1.5G": 1_500_000_000, "800MiB": 800 * 2**20, "1.5GiB": 3 * 2**29,
    "10k": 10_000, "10KB": 10_000, "1Ki": 1024, "1TB": 10**12, "1TiB": 2**40, " 5 g ": 5 * 10**9, "12b": 12, "0.5k": 500,
}  # fmt: skip
NO_SIZES = [
    "", " ", "M", "0", "0.0G", "0.0001", "-1G", "+1G", "1e9", "1,5G", "1.G", ".5G", "1 0G", "2X", "2GG", "2 i", "2iB", "nan", "inf",
    "1.5.5G", "9" * 400, "9" * 400 + "G", "½G", "2G\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_read_in_every_unit(text):
    assert parse_size(text) == SIZES[text]


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_size_is_an_error_that_shows_the_forms(text):
    with pytest.raises(SettingsError, match="500M, 2G or 1.5GiB") as raised:
        parse_size(text)
    assert raised.value.what == f"memory = {text!r} is not understood"


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds now is told by Linux")
def test_memory_held_is_told_as_it_is_now_and_at_its_most():
    before = held_bytes()
    with mmap.mmap(-1, 64 << 20) as pages:  # memory of its own: what the process has freed before is not used again
        pages.write(bytes(64 << 20))
        assert held_bytes() - before > 60 << 20 and peak_bytes() >= held_bytes() - (8 << 20)
    assert held_bytes() - before < 30 << 20 and peak_bytes() - before > 60 << 20
