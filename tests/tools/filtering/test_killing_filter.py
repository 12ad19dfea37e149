"""A filter that is killed at random goes on and writes the same bytes."""

import gzip
import random
from pathlib import Path

import pytest

from rnnlm.tools.filtering.run import FilterRequest, run
from rnnlm.tools.filtering.settings import FilterSettings
from support.failures import contents
from support.forks import killed_after
from support.tiny_models import fit, save

pytestmark = [pytest.mark.processes, pytest.mark.system("fork")]

SHARDS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus_lines):
    """Make a model, a reference and shards, some of them compressed."""
    folder = tmp_path_factory.mktemp("filter")
    lines = [line for line in corpus_lines if line.strip()]
    save(folder / "m", fit("ngram", lines[:300], order=3), "ngram", order=3)
    (folder / "reference.txt").write_text("\n".join(lines[:500]) + "\n", encoding="utf-8")
    chance = random.Random(3)
    for number in range(SHARDS):
        data = ("\n".join(chance.choices(lines, k=chance.randint(100, 1000))) + "\n").encode()
        if number % 2:
            (folder / f"{number}.txt.gz").write_bytes(gzip.compress(data))
        else:
            (folder / f"{number}.txt").write_bytes(data)
    return folder


def filter_shards(folder: Path, output: Path, workers: int) -> None:
    shards = tuple(str(path) for path in folder.glob("[0-9].txt*"))
    reference = (str(folder / "reference.txt"),)
    models = {"": str(folder / "m")}
    request = FilterRequest(
        shards, output, models, FilterSettings(), reference=reference, workers=workers
    )
    for _ in run(request):
        pass


def killed_at_random(folder: Path, output: Path, seed: int, kills: int, workers: int) -> None:
    filter_shards(folder, output / "unbroken", workers)
    expected = contents(output / "unbroken")
    assert len(expected) == 1 + 3 * SHARDS
    draw = random.Random(seed)
    done = number = 0
    while done < kills:
        killed = output / f"killed-{number}"
        if killed_after(draw.uniform(0.05, 0.4), filter_shards, folder, killed, workers):
            assert contents(killed) == expected
            number += 1
        else:
            done += 1
    assert killed_after(600, filter_shards, folder, killed, workers)
    assert contents(killed) == expected


def test_killed_filter_ends_like_an_uninterrupted_one(folder, tmp_path):
    killed_at_random(folder, tmp_path, seed=1, kills=1, workers=1)


@pytest.mark.soak
def test_fifty_kills_of_a_filter(folder, tmp_path):
    killed_at_random(folder, tmp_path, seed=2, kills=50, workers=2)
