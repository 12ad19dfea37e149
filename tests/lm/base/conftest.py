"""Shipped models of a test."""

import pytest

from rnnlm import checkpoints


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a function that makes a folder that of the shipped models, with these in it."""

    def ship(folder, *names):
        monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / folder)
        monkeypatch.setattr(checkpoints, "NAMES", names)
        return tmp_path / folder

    return ship
