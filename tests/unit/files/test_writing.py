"""What cannot be written is named as it was asked for, before and while it is written."""

import errno
import os
from pathlib import Path

import pytest

from rnnlm.errors import OutputError
from rnnlm.files import writing


@pytest.mark.parametrize("check", [True, False], ids=["before the work", "when it is written"])
@pytest.mark.parametrize(
    ("path", "why"),
    [("no/out.jsonl", "there is no folder no"), ("folder", "not a plain file|Is a directory")],
    ids=["no folder", "a folder"],
)
def test_an_output_that_cannot_be_a_file_is_named(tmp_path, monkeypatch, path, why, check):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(OutputError, match=f"^cannot write (to )?{path}; .*({why})"):
        writing.check_file(Path(path), overwrite=False) if check else writing.save_file(
            Path(path), [b"x"]
        )
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.parametrize("check", [True, False], ids=["before the work", "when it is written"])
def test_a_read_only_folder_is_told_by_the_file_that_was_asked_for(tmp_path, monkeypatch, check):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    with pytest.raises(
        OutputError,
        match=r"^cannot write (to )?out\.jsonl; (the folder /.* is read-only|Permission denied)",
    ):
        writing.check_file(Path("out.jsonl"), overwrite=False) if check else writing.save_file(
            Path("out.jsonl"), [b"x"]
        )


def test_a_failing_disk_is_told_by_the_file_that_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError,
        match=r"^cannot write to out\.jsonl; No space left on device; make space, or choose "
        r"another folder$",
    ):
        writing.save_file(Path("out.jsonl"), [b"x"])
    assert not list(tmp_path.iterdir())
