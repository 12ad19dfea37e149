"""Texts, and runs that are forked of this process."""

import pytest

from rnnlm.cli.main import run
from support.killed_runs import Runs, command
from support.systems import need
from support.tiny_models import english_lines


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """Write a text of some 800 tokens, and one to validate on."""
    folder = tmp_path_factory.mktemp("texts")
    lines = english_lines(80)
    for name, some in {"text": lines[:60], "valid": lines[60:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(some) + "\n", encoding="utf-8")
    return folder / "text.txt", folder / "valid.txt"


@pytest.fixture(scope="session")
def warm(tmp_path_factory, texts):
    """Return what starts runs as forks of this process, which has imported all that they need."""
    need("fork")
    runs = Runs(tmp_path_factory.mktemp("warm"))
    assert run(command(*texts, runs.folder / "m", {}, budget="1steps")) == 0
    return runs


@pytest.fixture
def runs(warm, tmp_path):
    warm.folder = tmp_path
    return warm
