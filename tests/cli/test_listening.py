"""Commands that start processes listen nowhere; a server listens on the loopback interface."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnnlm.lm.neural.training import ranks
from rnnlm.system import Rank
from support.commands import TINY, environment, program
from support.served_processes import serving

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc"),
]

LISTENS = "0A"  # the state of a socket
LOOPBACK = "0100007F"  # 127.0.0.1


def sockets_of(process: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
    return found


def children(process: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def descendants(process: int) -> list[int]:
    return [process, *(each for child in children(process) for each in descendants(child))]


def listening(process: int) -> set[str]:
    """Return the addresses, in hexadecimal, where a process and those that it started listen."""
    processes = descendants(process)
    sockets = set().union(*map(sockets_of, processes))
    if process not in processes:  # until a child runs its program, it holds its parent's sockets
        sockets -= sockets_of(process)
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                is_open = fields[3] == LISTENS or table.startswith("udp")
                if is_open and fields[9] in sockets:
                    found.add(fields[1].rpartition(":")[0])
    return found


def watched(commands, until, seconds=60.0, **environments) -> set[str]:
    """Run commands at once; return where they listen until they print `until` or have ended."""
    started, found = [], set()
    try:
        for command, more in commands:
            started.append(
                subprocess.Popen(
                    command, env=environment(**more), stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                )
            )  # fmt: skip
        said = b""
        os.set_blocking(started[0].stderr.fileno(), False)
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(process.poll() is None for process in started):
            for process in started:
                found |= listening(process.pid)
            said += started[0].stderr.read() or b""
            if until and until in said:
                break
            time.sleep(0.02)
        codes = [process.poll() for process in started]
        assert (until and until in said) or codes == [0] * len(started), (codes, said)
        return found
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture
def text(here):
    (here / "my.txt").write_text("the dog saw a cat\na cat saw the dog\n" * 2000)
    return "my.txt"


@pytest.mark.soak
def test_commands_with_workers_listen_nowhere(text, models):
    commands = [
        ("count", text, "--order", "3", "-o", "counts", "--workers", "2"),
        ("prepare", text, "-o", "prepared", "--workers", "2"),
        ("filter", text, "-m", models.unigram, "-o", "filtered", "--workers", "2", "--cutoffs",
         "10,20"),
        ("train", text, "--model", "ngram", "-o", "kn", "--workers", "2"),
    ]  # fmt: skip
    for arguments in commands:
        assert watched([(program(*arguments), {})], b"") == set(), arguments


def test_a_server_listens_on_loopback_unless_asked(models):
    for arguments, expected in (((), {LOOPBACK}), (("--host", "0.0.0.0"), {"00000000"})):
        with serving("-m", models.unigram, *arguments, RNNLM_TOKEN="secret" * 4) as server:
            assert listening(server.process.pid) == expected


@pytest.mark.soak
def test_ranks_that_torchrun_starts_listen_on_loopback(text, monkeypatch):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += ["2", "-m", "rnnlm", "train", text, "--valid", text, "--budget", "1000000steps"]
    command += ["--device", "cpu", "--precision", "fp32", *TINY, "-o", "pair"]
    # The port of torchrun itself is its own.
    monkeypatch.setitem(globals(), "descendants", children)
    assert watched([(command, {})], b"step ") == {LOOPBACK}


@pytest.mark.parametrize(("local_size", "chosen", "expected"), [
    ("2", None, "lo"), ("1", None, None), (None, None, None), ("2", "eth9", "eth9"),
])  # fmt: skip
def test_gloo_is_kept_on_one_machine(monkeypatch, local_size, chosen, expected):
    for name, value in (("LOCAL_WORLD_SIZE", local_size), ("GLOO_SOCKET_IFNAME", chosen)):
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    ranks._keep_gloo_local(Rank(0, 2, 0))
    assert os.environ.get("GLOO_SOCKET_IFNAME") == expected
