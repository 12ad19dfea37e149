"""A text for the runs of these tests."""

import pytest

from support.tiny_models import english_lines


@pytest.fixture
def lines():
    return english_lines(100)


@pytest.fixture
def text(tmp_path, lines, monkeypatch):
    """Write a small text into the working directory of the test, and return its path."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
