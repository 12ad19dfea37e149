"""Commands in processes of their own: what they print, hold, and say when they fail."""

import os
import sys
import tempfile

import pytest

from rnnlm.benchmarks.growth import exponent
from rnnlm.benchmarks.processes import Watch, bytes_on_disk, run
from rnnlm.errors import RnnlmError

MB = 1 << 20
LASTS = "import time; time.sleep(0.5)"
HOLDS = f"x = b'1' * {50 * MB}; {LASTS}"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def starts(program: str) -> str:
    """Return a program that starts another one."""
    return (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}], check=True)"
    )


def test_output_time_and_memory_are_the_processs_own():
    done = run(
        "python", python(f"import time; x = bytearray({MB << 7}); time.sleep(0.2); print(len(x))")
    )
    assert done.out == f"{MB << 7}\n"
    assert done.seconds > 0.2 and done.peak_bytes > MB << 7


@pytest.mark.parametrize("program", [HOLDS, starts(HOLDS), starts(starts(HOLDS))])
def test_memory_of_the_whole_tree_counts(program, tmp_path):
    held = run("python", python(program), temporary=tmp_path).held
    assert 50 * MB < held.private < 90 * MB


def test_the_first_sample_waits_for_no_thread(monkeypatch):
    monkeypatch.setattr(Watch, "_sample_until_over", lambda watch: None)
    with Watch(os.getpid()) as watch:
        pass
    assert watch.peak.private > 0


def test_mapped_pages_are_not_private(tmp_path):
    path = tmp_path / "mapped"
    path.write_bytes(bytes(50 * MB))
    program = f"""
import mmap
with open({str(path)!r}, "rb") as stream:
    pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
for place in range(0, len(pages), mmap.PAGESIZE):
    pages[place]
{LASTS}
"""
    held = run("python", python(program), temporary=tmp_path).held
    assert held.mapped > 50 * MB and held.private < 25 * MB


def test_two_processes_hold_their_sum(tmp_path):
    program = f"""
import subprocess, sys
both = [subprocess.Popen([sys.executable, "-c", {HOLDS!r}]) for _ in range(2)]
for each in both:
    each.wait()
"""
    assert run("python", python(program), temporary=tmp_path).held.private > 100 * MB


def test_deleted_files_take_disk_while_open(tmp_path):
    program = f"""
import os, subprocess, sys, tempfile
with tempfile.TemporaryFile(buffering=0) as nameless, open("listed", "wb", 0) as listed:
    nameless.write(bytes({2 * MB}))
    listed.write(bytes({MB}))
    os.link("listed", "another-name")
    subprocess.run([sys.executable, "-c", {LASTS!r}], pass_fds=[nameless.fileno()])
"""
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "temporary"
    elsewhere.mkdir()
    folder.mkdir()
    program = f"import os; os.chdir({str(folder)!r})\n{program}"
    temporary = run("python", python(program), temporary=folder).held.temporary
    assert 3 * MB <= temporary < 3.5 * MB
    assert MB <= bytes_on_disk(folder) < 1.5 * MB


def test_files_of_other_folders_are_not_temporary(tmp_path):
    program = f"""
import tempfile
with tempfile.TemporaryFile(buffering=0, dir={tempfile.gettempdir()!r}) as file:
    file.write(bytes({MB}))
    {LASTS}
"""
    assert run("python", python(program), temporary=tmp_path).held.temporary == 0


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(RnnlmError, match="sums failed") as raised:
        run("sums", python("import sys; sys.exit('error: no room')"), temporary=tmp_path)
    assert raised.value.why == "no room"


@pytest.mark.parametrize(
    "size, value, before, power",
    [(4, 8, (2, 2), 2), (4, 2, (2, 2), 0), (4, 8, None, None), (4, 8, (4, 2), None)],
)
def test_the_power_by_which_a_value_grows(size, value, before, power):
    assert exponent(size, value, before) == power
