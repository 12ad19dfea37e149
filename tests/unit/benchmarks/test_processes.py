"""Commands in processes of their own: what they print, take, and say when they fail."""

import sys

import pytest

from rnnlm.benchmarks.growth import exponent, run


def test_output_time_and_memory_are_the_processs_own():
    done = run(
        "python",
        [
            sys.executable,
            "-c",
            "import time; x = bytearray(1 << 27); time.sleep(0.2); print(len(x))",
        ],
    )
    assert done.out == f"{1 << 27}\n"
    assert done.seconds > 0.2 and done.peak_bytes > 1 << 27


@pytest.mark.parametrize(
    "size, value, before, power",
    [(4, 8, (2, 2), 2), (4, 2, (2, 2), 0), (4, 8, None, None), (4, 8, (4, 2), None)],
)
def test_the_power_by_which_a_value_grows(size, value, before, power):
    assert exponent(size, value, before) == power
