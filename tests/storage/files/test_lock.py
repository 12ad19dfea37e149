"""One training at a time in a folder; locks that were left behind are known."""

import json
import os
import time
import warnings
from dataclasses import asdict, replace

import pytest

from rnnlm.errors import OutputError, RnnlmWarning
from rnnlm.storage.files import lock
from rnnlm.storage.files.lock import Owner


def held(folder):
    return lock.held(folder, "training")


def owned(folder, owner: Owner, seconds_ago: float = 0.0):
    """Make a lock left by `owner`, last touched so long ago."""
    path = folder / "owner.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


ELSEWHERE = Owner("far-away", "another machine", 4711, "2026-01-01T00:00:00+00:00", "")


def test_second_run_is_refused_and_shown_the_owner(tmp_path):
    folder = tmp_path / "m"
    shown = f"another process is writing .*m; process {os.getpid()} on {Owner.this().host}"
    with held(folder):
        for attempt in (lambda: held(folder).__enter__(), lambda: lock.check(folder)):
            with pytest.raises(OutputError, match=shown) as caught:
                attempt()
            assert caught.value.exit_code == 1
    lock.check(folder)


def test_run_that_wrote_nothing_leaves_nothing(tmp_path):
    with held(tmp_path / "new" / "m"):
        assert (tmp_path / "new" / "m" / "owner.json").exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m").mkdir()
    with pytest.raises(ZeroDivisionError), held(tmp_path / "m"):
        (tmp_path / "m" / "mine").touch()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["mine"]


def test_stale_lock_of_this_machine_is_taken_over(tmp_path):
    gone = replace(Owner.this(), process=4711)
    owned(tmp_path, gone)
    lock.check(tmp_path)
    with warnings.catch_warnings(action="error"), held(tmp_path):
        assert json.loads((tmp_path / "owner.json").read_bytes())["process"] == os.getpid()
    assert not (tmp_path / "training").exists()


def test_remote_lock_is_respected_while_heard_from(tmp_path):
    path = owned(tmp_path, ELSEWHERE, 30)
    shown = "process 4711 on far-away, since 2026-01-01.*last heard of (29|30|31) s ago; wait"
    for attempt in (lambda: held(tmp_path).__enter__(), lambda: lock.check(tmp_path)):
        with pytest.raises(OutputError, match=shown):
            attempt()
    assert [each.name for each in path.parent.iterdir()] == ["owner.json"]
    assert json.loads(path.read_bytes()) == asdict(ELSEWHERE)


def test_long_silent_remote_run_is_taken_as_gone(tmp_path):
    owned(tmp_path, ELSEWHERE, lock.SILENT_SECONDS + 20)
    with pytest.warns(RnnlmWarning, match="was locked by process 4711 on far-away"):
        held(tmp_path).__enter__()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b'{"host": 3}', b"\xff" * 99, b" " * (1 << 20)]
)
def test_a_damaged_lock_of_nobody_is_none(tmp_path, content):
    owned(tmp_path, ELSEWHERE).write_bytes(content)
    with held(tmp_path):
        assert json.loads((tmp_path / "owner.json").read_bytes())["process"] == os.getpid()


def test_a_run_is_heard_of_while_it_lasts(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.005)
    with held(tmp_path):
        path = tmp_path / "owner.json"
        os.utime(path, (0, 0))
        while not path.stat().st_mtime:
            time.sleep(0.005)


@pytest.mark.system("posix")  # Windows deletes no file that is locked, so this cannot happen
def test_foreign_lock_in_a_recreated_folder_stays(tmp_path):
    with held(tmp_path / "m"):
        (tmp_path / "m" / "owner.json").unlink()
        with held(tmp_path / "m"):
            inner = (tmp_path / "m" / "owner.json").stat().st_ino
            (tmp_path / "m" / "state").touch()
        owned(tmp_path / "m", ELSEWHERE)
    assert inner and (tmp_path / "m" / "owner.json").exists()


def test_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "m").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write to"), held(tmp_path / "m"):
        pass


@pytest.mark.system("links")
def test_a_link_as_lock_is_refused(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "owner.json").symlink_to(tmp_path / "theirs")
    for attempt in (lambda: held(tmp_path / "m").__enter__(), lambda: lock.check(tmp_path / "m")):
        with pytest.raises(OutputError, match="cannot lock .*m; .*owner.json is a link"):
            attempt()
    assert (tmp_path / "theirs").read_text() == "theirs"
