"""Shipped models of a test."""

import pytest

from rnnlm import checkpoints


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a function that has the shipped models lie in a folder, under these names."""

    def ship(folder, *names):
        monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / folder)
        monkeypatch.setattr(checkpoints, "NAMES", names)
        return tmp_path / folder

    return ship
