"""Texts, and the process that runs are forked of."""

import pytest

from rnnlm import corpora
from support.killed_runs import Runs, command


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """Write a text of some 800 tokens, and one to validate on."""
    folder = tmp_path_factory.mktemp("texts")
    lines = [
        line
        for line in corpora.part("english", "valid").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    for name, some in {"text": lines[:60], "valid": lines[60:80]}.items():
        (folder / f"{name}.txt").write_text("\n".join(some) + "\n", encoding="utf-8")
    return folder / "text.txt", folder / "valid.txt"


@pytest.fixture(scope="session")
def warm(tmp_path_factory, texts):
    """Return a process that has imported everything, from which runs are forked."""
    runs = Runs(tmp_path_factory.mktemp("warm"))
    assert runs.run(command(*texts, runs.folder / "m", {}, budget="1steps")).code == 0
    return runs


@pytest.fixture
def runs(warm, tmp_path):
    warm.folder = tmp_path
    return warm
