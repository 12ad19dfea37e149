"""A count in little memory that is killed at random moments goes on in its folder, and ends in the
same model, to the bit."""

import hashlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

import rnnlm
from rnnlm import system
from rnnlm.ngram.counting import room
from rnnlm.text.prepared import preparation

PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Write a text of a few shards, whose frequent words come again."""
    chance = random.Random(5)
    words = [f"w{number}" for number in range(2000)]
    weights = [1 / (1 + number) for number in range(2000)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = (chance.choices(words, weights, k=chance.randint(1, 25)) for _ in range(6000))
    path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def train(text: Path, folder: Path, temp: Path | None, memory: str | None) -> None:
    """Train a model in as little memory as asked for, whatever this process holds."""
    system.private_bytes = lambda: 0
    room.LEAST_BYTES = room.BYTES_PER_WORD = 0
    preparation.LEAST_MEMORY = preparation.LIBRARY_BYTES = 0
    preparation.SHARDS_BYTES, preparation.THREAD_SHARE = 0, 1e-3
    temporary = str(temp) if temp else None
    rnnlm.train(
        text, output=folder, model="ngram", order=4, memory=memory, temp=temporary, resume="auto"
    ).wait()


def killed_after(seconds: float, *arguments: object) -> bool:
    """Train in a process of its own, and kill it. Return whether it had come to its end."""
    process = PROCESSES.Process(target=train, args=arguments)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return False
    assert process.exitcode == 0
    return True


def weights(folder: Path) -> str:
    (path,) = folder.glob("weights-*")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="few"), pytest.param(20, id="many", marks=pytest.mark.soak)]
)
@pytest.mark.filterwarnings("ignore")
def test_a_killed_count_ends_in_the_same_model(text, tmp_path, kills):
    assert killed_after(600, text, tmp_path / "whole", None, None)
    expected = weights(tmp_path / "whole")
    began = time.perf_counter()
    assert killed_after(600, text, tmp_path / "unbroken", tmp_path / "temp", "2M")
    seconds = time.perf_counter() - began
    assert weights(tmp_path / "unbroken") == expected
    assert not (tmp_path / "temp").exists()

    chance = random.Random(kills)
    done = number = 0
    while done < kills:
        folder = tmp_path / f"{number}"
        memory = chance.choice(["2M", "4M", "9M"])
        if killed_after(chance.uniform(0, seconds), text, folder, tmp_path / "temp", memory):
            assert weights(folder) == expected
            number += 1
        else:
            done += 1
    assert killed_after(600, text, tmp_path / f"{number}", tmp_path / "temp", "2M")
    assert weights(tmp_path / f"{number}") == expected
    assert not (tmp_path / "temp").exists()
