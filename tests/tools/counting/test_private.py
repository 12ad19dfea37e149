"""Folders of this user alone: what is not ours is neither written nor deleted."""

import os
import shutil
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import OutputError
from rnnlm.storage.files import private
from support.random_texts import write_common_words

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def text(place):
    return write_common_words(place / "text.txt", seed=5)


def count(text, temp, order=2):
    """Count a text in little memory, with temporary files in a folder."""
    rnnlm.train(
        text, output=temp.parent / f"model-{order}", model="ngram", order=order, memory="2M",
        temp=str(temp), overwrite=True,
    ).wait()  # fmt: skip


def in_work(temp, monkeypatch, text):
    """Return the folders that a count has within `temp` while it is at work."""
    seen = []
    check = private._fault

    def noted(folder):
        seen.append(folder)
        return check(folder)

    with monkeypatch.context() as context:
        context.setattr(private, "_fault", noted)
        count(text, temp)
    assert {folder.parent for folder in seen} == {temp}
    return set(seen)


@pytest.mark.system("owners")
def test_a_folder_is_made_for_its_user_alone(tmp_path):
    folder = private.folder_in(tmp_path / "temp", "counts-1")
    assert folder == private.path_in(tmp_path / "temp", "counts-1")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert f"-{os.geteuid()}-" in folder.name
    assert private.folder_in(tmp_path / "temp", "counts-1") == folder


PLANTS = {
    "link": lambda folder, victim: folder.symlink_to(victim, target_is_directory=True),
    "open": lambda folder, victim: (folder.mkdir(), folder.chmod(0o777)),
    "file": lambda folder, victim: folder.write_text(""),
}


@pytest.mark.system("owners")
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.filterwarnings("ignore")
def test_what_others_have_planted_is_not_touched(text, tmp_path, monkeypatch, small, plant):
    temp, victim = tmp_path / "temp", tmp_path / "victim"
    victim.mkdir()
    precious = [victim / "run-0000000.safetensors", victim / "finished.jsonl"]
    for folder in in_work(temp, monkeypatch, text):
        for path in precious:
            path.write_text("precious")
        shutil.rmtree(temp, ignore_errors=True)  # the text of the refused count before
        temp.mkdir()
        PLANTS[plant](folder, victim)
        with pytest.raises(OutputError, match="cannot work in .*rnnlm-.*`temp`"):
            count(text, temp)
        assert [path.read_text() for path in precious] == ["precious"] * 2
        assert len(list(victim.iterdir())) == 2
        folder.rmdir() if plant == "open" else folder.unlink()


@pytest.mark.system("owners")
def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = private.path_in(tmp_path, "counts-1")
    folder.mkdir(mode=0o700)
    status = folder.stat()
    values = list(status)
    values[4] += 1  # the user's number
    monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat_result(values))
    with pytest.raises(OutputError, match="it belongs to another user"):
        private.folder_in(tmp_path, "counts-1")


@pytest.mark.system("fork")
def test_what_a_killed_process_left_goes_at_the_next_run(temp, monkeypatch):
    in_use = private.temporary()
    left = private.temporary()
    Path(left.name, "data").write_text("x")
    other = temp / "rnnlm-of-somebody-else"
    other.mkdir()
    pid = os.fork()
    if not pid:  # a child that is killed
        mine = private.temporary()
        Path(temp, "name").write_text(mine.name)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    killed = Path((temp / "name").read_text())
    assert killed.is_dir()
    # One that was just made may not be locked yet.
    private.temporary().cleanup()
    assert killed.is_dir()
    monkeypatch.setattr(private, "YOUNG_SECONDS", 0.0)
    private.temporary().cleanup()
    assert not killed.exists()
    assert Path(left.name, "data").exists() and Path(in_use.name).is_dir() and other.is_dir()
    left.cleanup()
    assert not Path(left.name).exists()


@pytest.mark.system("owners")
def test_a_place_where_all_may_replace_folders_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(OutputError, match=r"every user .* can replace .*chmod \+t"):
        private.folder_in(tmp_path, "counts-1")
    tmp_path.chmod(0o1777)
    assert private.folder_in(tmp_path, "counts-1").is_dir()


@pytest.mark.system("owners")
@pytest.mark.filterwarnings("ignore")
def test_each_work_has_its_folder(text, tmp_path, monkeypatch, small):
    temp = tmp_path / "temp"
    first = in_work(temp, monkeypatch, text)
    assert in_work(temp, monkeypatch, text) == first
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(private, "_fault", lambda folder: "")
    assert "-12345-" in private.folder_in(temp, "counts-1").name
    assert not Path(first.pop()).exists()


ON_DISK = "from rnnlm.tools.counting import counted_data; counted_data.TIMES_USUALLY = 1 << 40"


@pytest.mark.parametrize("command", [
    "count t.txt --order 2 -o made", "train t.txt --model ngram --order 2 -o made",
])  # fmt: skip
@pytest.mark.parametrize("temp", ["", " --temp tmp"], ids=["temporary", "--temp"])
def test_work_in_little_memory_leaves_nothing(spawn, here, tmp_path, monkeypatch, command, temp):
    """Neither while files are mapped, as Windows deletes none that is."""
    (here / "t.txt").write_text("the cat sat on the mat\na dog sat there\n" * 40)
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(elsewhere))
    ended = spawn(*f"{command} --memory 500M{temp}".split(), first=ON_DISK)
    assert ended.code == 0 and "next run" not in ended.err, ended.err
    assert [*elsewhere.glob("rnnlm-*"), *here.glob("tmp*")] == []
