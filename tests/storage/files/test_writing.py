"""Files that are read as a whole or decompressed; what cannot be written is named as asked for."""

import bz2
import errno
import gzip
import lzma
import os
import re
from functools import partial
from pathlib import Path

import pytest
import zstandard

from rnnlm.errors import ModelError, OutputError
from rnnlm.storage.files import lock, outputs, writing
from rnnlm.storage.files.folder import check_place
from rnnlm.storage.files.outputs import exported_folder
from rnnlm.storage.files.reading import MOST_SMALL_BYTES, read_json, read_small
from rnnlm.storage.files.writing import write_facts
from rnnlm.text.corpus import Corpus
from support.failing_files import Watch
from support.failures import contents
from support.systems import hole


def write(path: str, check: bool) -> None:
    """Look whether a file can be written, or write it."""
    if check:
        outputs.check_file(Path(path), overwrite=False)
    else:
        outputs.save_file(Path(path), [b"x"])


@pytest.mark.parametrize("check", [True, False], ids=["before the work", "when it is written"])
@pytest.mark.parametrize(("path", "why"), [
    ("no/out.jsonl", "there is no folder no"),
    ("folder", "not a plain file|Is a directory|Access"),
], ids=["no folder", "a folder"])  # fmt: skip
def test_impossible_output_file_is_named(here, path, why, check):
    Path("folder").mkdir()
    with pytest.raises(
        OutputError, match=f"^cannot write (to )?{path}; .*({why})".replace("/", r"[/\\]")
    ):
        write(path, check)
    assert [entry.name for entry in here.iterdir()] == ["folder"]


@pytest.mark.system("modes")
@pytest.mark.parametrize("check", [True, False], ids=["before the work", "when it is written"])
def test_read_only_folder_error_names_the_requested_file(here, check):
    here.chmod(0o555)
    why = r"(the folder /.* is read-only|Permission denied)"
    with pytest.raises(OutputError, match=rf"^cannot write (to )?out\.jsonl; {why}"):
        write("out.jsonl", check)


def test_disk_failure_error_names_the_requested_file(here, monkeypatch):

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    why = "No space left on device; free some space, or choose another folder"
    with pytest.raises(OutputError, match=rf"^cannot write to out\.jsonl; {why}$"):
        write("out.jsonl", check=False)
    assert not list(here.iterdir())


@pytest.mark.system("links")
def test_a_new_file_replaces_no_other(tmp_path, monkeypatch):
    """Who guesses the name has a link there: it is not followed, and stays."""
    (tmp_path / "theirs").write_text("theirs")
    monkeypatch.setattr(writing.secrets, "token_hex", lambda size: "0" * 2 * size)
    new = tmp_path / f"out.txt.{'0' * 16}.new"
    new.symlink_to("theirs")
    with pytest.raises(FileExistsError):
        writing.replace_file(tmp_path / "out.txt", b"ours")
    assert new.is_symlink() and (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.system("links")
def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "out.txt").symlink_to("theirs")
    outputs.save_file(tmp_path / "out.txt", [b"ours"])
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "out.txt").read_text() == "ours"
    with pytest.raises(OSError, match="symbolic links"):
        (tmp_path / "log").symlink_to("theirs")
        writing.open_appending(tmp_path / "log")


@pytest.mark.system("posix")  # on Windows, check_name refuses them, or no file can have them
@pytest.mark.parametrize("name", ["n" * 255, "\udcff\udcfe", "a\nb", "..."])
def test_odd_names_are_written(tmp_path, name):
    outputs.check_file(tmp_path / name, overwrite=False)
    outputs.save_file(tmp_path / name, [b"ours"])
    assert os.listdir(tmp_path) == [name]


def save_box(folder, index, overwrite, files, mark=""):
    """Write a folder of files, of which the index is the first."""
    with exported_folder(folder, "box", index, overwrite, mark):
        outputs.save_folder(folder, files)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "new"
    save_box(folder, "a", False, {"a": [b"1", b"2"], "b": [b"3"]})
    with pytest.raises(OutputError, match="new.a already exists; .*`overwrite=True`"):
        save_box(folder, "a", False, {"a": [b"1"]})
    with pytest.raises(OutputError, match="is not empty and holds no box; it contains a"):
        save_box(folder, "c", True, {"c": []})
    with lock.held(folder, "a test"), pytest.raises(OutputError, match="is writing"):
        save_box(folder, "a", True, {"a": []})

    def broken():
        yield b"4"
        raise OSError(errno.ENOSPC, "No space left on device")

    # What was there stays, and what was not does not come.
    before = contents(folder)
    for place in (folder, tmp_path / "newer"):
        with pytest.raises(OutputError, match=re.escape(f"cannot write to {place}; No space left")):
            save_box(place, "a", True, {"a": [b"5"], "b": broken()})
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert contents(folder) == before and before["a"] == b"12" and before["b"] == b"3"


def test_the_index_of_a_folder_goes_first_and_comes_last(tmp_path):
    save_box(tmp_path / "m", "index", False, {"index": [b"1"], "a": [b"1"], "mark": [b"1"]})
    calls = []
    with Watch(tmp_path, lambda *call: calls.append(call)):
        save_box(tmp_path / "m", "index", True, {"index": [b"2"], "a": [b"2"], "mark": [b"2"]})
    names = [os.path.basename(name) for kind, name, is_after in calls if kind == "unlink"]
    assert names[0] == "index"
    renamed = [Path(name).name.split(".")[0] for kind, name, is_after in calls
               if kind == "replace" and is_after]  # fmt: skip
    assert renamed == ["mark", "a", "index"]


def test_leftovers_of_ours_make_no_folder_foreign(tmp_path):
    left = [f"a.{'0' * 16}.new", ".a.run", "owner.json", ".b.owner.json"]
    for name in left:
        (tmp_path / name).write_text("")
    check_place(tmp_path, "box", lambda names: names)
    for name in ("a.new", "a.run", "my-owner.json", f"a.{'0' * 15}.new"):
        (tmp_path / name).write_text("a person's")
        with pytest.raises(OutputError, match=f"holds no box; it contains {name}"):
            check_place(tmp_path, "box", lambda names: names)
        (tmp_path / name).unlink()


def test_a_small_file_is_read_as_a_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert read_small(tmp_path / "a") == b"x" * 1000


@pytest.mark.system("holes")
def test_no_more_than_the_bound_is_read(tmp_path):
    hole(tmp_path / "a", 1 << 40)
    with pytest.raises(OSError) as caught:
        read_small(tmp_path / "a")
    assert caught.value.errno == errno.EFBIG
    hole(tmp_path / "a", MOST_SMALL_BYTES)
    assert len(read_small(tmp_path / "a")) == MOST_SMALL_BYTES


@pytest.mark.parametrize("old, new, is_whole", [
    (b" ", b"\t", True), (b"12", b"13", False), (b'"name"', b'"Name"', False), (b"{", b"[", False),
])  # fmt: skip
def test_a_file_of_facts_notices_any_change_of_its_content(tmp_path, old, new, is_whole):
    path = tmp_path / "facts.json"
    facts = {"name": "\udce4 and ä", "bytes": 12, "share": 0.1}
    write_facts(path, facts)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    if is_whole:
        assert read_json(path, dict, ModelError, "damaged", has_hash=True) == facts
    else:
        with pytest.raises(ModelError):
            read_json(path, dict, ModelError, "damaged", has_hash=True)


LINES = ["the cat", "sat on", "the m\u00e4t"]


def read(path) -> list[str]:
    return [line for block in Corpus((str(path),)).blocks() for line in block.lines]


@pytest.mark.parametrize(("suffix", "compress"), [
    (".gz", gzip.compress), (".xz", partial(lzma.compress, preset=0)),(".bz2", bz2.compress),
    (".zst", zstandard.ZstdCompressor().compress),
])  # fmt: skip
@pytest.mark.parametrize("parts", [
    [LINES], [["one"], ["two"]], [[]], [[f"line number {number}" for number in range(150_000)]],
], ids=["a text", "parts one after the other", "an empty text", "many megabytes"])  # fmt: skip
def test_compression_is_undone(tmp_path, suffix, compress, parts):
    path = tmp_path / f"text.txt{suffix}"
    texts = ["".join(f"{line}\n" for line in part) for part in parts]
    path.write_bytes(b"".join(compress(text.encode()) for text in texts))
    assert read(path) == [line for part in parts for line in part]
