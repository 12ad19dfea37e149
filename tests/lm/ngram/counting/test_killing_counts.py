"""A count in little memory that is killed at random moments ends in the same model, to the bit."""

import random
import time
from pathlib import Path

import pytest

import rnnlm
from rnnlm.events import Counting
from rnnlm.storage.files import lock
from support.forks import killed_after
from support.killed_runs import cut_off, model_files
from support.random_texts import write_common_words

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Write a text of a few shards, whose frequent words come again."""
    return write_common_words(tmp_path_factory.mktemp("text") / "text.txt", seed=5)


def train(text: Path, folder: Path, temp: Path | None, memory: str | None) -> None:
    """Train a model in as little memory as asked for."""
    temporary = str(temp) if temp else None
    rnnlm.train(text, output=folder, model="ngram", order=4, memory=memory, temp=temporary).wait()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.filterwarnings("ignore")
def test_a_killed_count_ends_in_the_same_model(text, tmp_path, small, kills):
    assert killed_after(600, train, text, tmp_path / "whole", None, None)
    expected = model_files(tmp_path / "whole")
    began = time.perf_counter()
    assert killed_after(600, train, text, tmp_path / "unbroken", tmp_path / "temp", "2M")
    seconds = time.perf_counter() - began
    assert model_files(tmp_path / "unbroken") == expected
    assert not (tmp_path / "temp").exists()

    chance = random.Random(kills)
    done = number = 0
    while done < kills:
        folder = tmp_path / f"{number}"
        memory = chance.choice(["2M", "4M", "9M"])
        if killed_after(chance.uniform(0, seconds), train, text, folder, tmp_path / "temp", memory):
            assert model_files(folder) == expected
            number += 1
        else:
            done += 1
    assert killed_after(600, train, text, tmp_path / f"{number}", tmp_path / "temp", "2M")
    assert model_files(tmp_path / f"{number}") == expected
    assert not (tmp_path / "temp").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_count_resumed_in_more_memory_deletes_the_text_on_disk(text, tmp_path, small):
    settings = {"output": tmp_path / "m", "model": "ngram", "temp": str(tmp_path / "temp")}
    run = rnnlm.train(text, memory="2M", **settings)
    next(event for event in run if isinstance(event, Counting))
    cut_off(run)
    assert list((tmp_path / "temp").glob("*-text-*"))
    next((tmp_path / "temp").glob("*-text-*/text")).joinpath(lock.OWNER).touch()  # a kill's
    rnnlm.train(text, memory="9M", **settings).wait()
    assert not (tmp_path / "temp").exists()
