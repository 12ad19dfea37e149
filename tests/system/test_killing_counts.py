"""A count in little memory that is killed at random moments goes on in its folder, and ends in the
same model, to the bit."""

import hashlib
import random
import time
from pathlib import Path

import pytest

import rnnlm
from rnnlm import system
from rnnlm.ngram.counting import room
from rnnlm.text.prepared import preparation
from support.forks import killed_after
from support.random_texts import write_common_words


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Write a text of a few shards, whose frequent words come again."""
    return write_common_words(tmp_path_factory.mktemp("text") / "text.txt", seed=5)


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


def weights(folder: Path) -> str:
    (path,) = folder.glob("weights-*")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="few"), pytest.param(20, id="many", marks=pytest.mark.soak)]
)
@pytest.mark.filterwarnings("ignore")
def test_a_killed_count_ends_in_the_same_model(text, tmp_path, kills):
    assert killed_after(600, train, text, tmp_path / "whole", None, None)
    expected = weights(tmp_path / "whole")
    began = time.perf_counter()
    assert killed_after(600, train, text, tmp_path / "unbroken", tmp_path / "temp", "2M")
    seconds = time.perf_counter() - began
    assert weights(tmp_path / "unbroken") == expected
    assert not (tmp_path / "temp").exists()

    chance = random.Random(kills)
    done = number = 0
    while done < kills:
        folder = tmp_path / f"{number}"
        memory = chance.choice(["2M", "4M", "9M"])
        if killed_after(chance.uniform(0, seconds), train, text, folder, tmp_path / "temp", memory):
            assert weights(folder) == expected
            number += 1
        else:
            done += 1
    assert killed_after(600, train, text, tmp_path / f"{number}", tmp_path / "temp", "2M")
    assert weights(tmp_path / f"{number}") == expected
    assert not (tmp_path / "temp").exists()
