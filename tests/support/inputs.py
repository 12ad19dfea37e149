"""What tests read from: standard input, chunks of a text, a folder for temporary files."""

import functools
import io
import tempfile

import pytest

from rnnlm.storage.files import reading
from rnnlm.text import sources


@pytest.fixture
def chunk_bytes(monkeypatch):
    """Return a function that sets how many bytes of a text are read at a time."""
    return functools.partial(monkeypatch.setattr, sources, "CHUNK_BYTES")


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that puts bytes into standard input."""

    def put(data: bytes) -> None:
        reading.standard_input.cache_clear()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    yield put
    reading.standard_input.cache_clear()


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """Return the empty folder that temporary files go to."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder for the files of a module's tests."""
    return tmp_path_factory.mktemp("place")
