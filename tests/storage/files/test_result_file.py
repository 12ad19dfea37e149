"""Files that a command makes: the same command goes on, finds them finished, or refuses."""

import contextlib
import itertools
import os
import signal

import pytest

from rnnlm.errors import OutputError, RnnlmWarning, UsageError
from rnnlm.storage.files.outputs import save_file
from rnnlm.storage.files.result_file import (
    GrowingFile,
    RowsWritten,
    journal_beside,
    next_step_of_file,
    whole_files,
)
from rnnlm.storage.files.resuming import NextStep
from support.failing_files import Watch, failing
from support.forks import FORK

RUN = {"model": "abc", "eos": "yes"}
CHUNKS = ["".join(f"{part} {n} \u00e4\n" for n in range(3)) for part in "abcd"]


def begin(path, run=RUN, overwrite=False):
    return GrowingFile(path, run, "header\n", next_step_of_file(path, run, overwrite))


def write(file, chunks) -> None:
    """Write the chunks, but for those that are there already."""
    for chunk in chunks[file.done // 3 :]:
        file.append(3, chunk)


def end(file) -> None:
    write(file, CHUNKS)
    file.finish("12 rows")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.tsv"


@pytest.fixture
def whole(tmp_path):
    end(begin(tmp_path / "whole.tsv"))
    return (tmp_path / "whole.tsv").read_bytes()


def test_a_finished_file_is_recognised(whole, tmp_path):
    assert whole.startswith("header\na 0 ä\na 1 ä\n".encode()) and whole.count(b"\n") == 13
    with pytest.warns(RnnlmWarning, match=r"whole.tsv is finished: 12 rows; .*overwrite=True"):
        assert next_step_of_file(tmp_path / "whole.tsv", RUN, False) is NextStep.FINISHED
    assert next_step_of_file(tmp_path / "whole.tsv", RUN, True) is NextStep.START
    (tmp_path / "whole.tsv").unlink()
    assert next_step_of_file(tmp_path / "whole.tsv", RUN, False) is NextStep.START


@pytest.mark.parametrize("written", range(5))
@pytest.mark.parametrize("torn", ["", "half a li", "a line\nand a half"])
def test_an_interrupted_run_goes_on_to_the_same_file(path, whole, written, torn):
    write(begin(path), CHUNKS[:written])
    with open(path, "a") as stream:
        stream.write(torn)
    with open(journal_beside(path).path, "a") as stream:
        stream.write(torn and '0123456789abcdef {"rows": 3, "byt')
    file = begin(path)
    assert file.done == 3 * written
    end(file)
    assert path.read_bytes() == whole
    with pytest.warns(RnnlmWarning, match="is finished"):
        assert next_step_of_file(path, RUN, False) is NextStep.FINISHED


def test_a_truncated_file_goes_on_from_an_earlier_entry(path, whole):
    write(begin(path), CHUNKS[:3])
    path.write_bytes(path.read_bytes()[:-5])
    file = begin(path)
    assert file.done == 6
    end(file)
    assert path.read_bytes() == whole


def replace(path, old, new):
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.parametrize("change, run, why", [
    (None, {**RUN, "model": "xyz"}, "`model` was abc and is now xyz"),
    (lambda path: path.write_bytes(b"head"), RUN, "it is shorter than before"),
    (lambda path: replace(path, b"a 1", b"a 7"), RUN, "its existing rows have been changed"),
    (lambda path: replace(journal_beside(path).path, b'"rows": 3', b'"rows": 4'), RUN,
        "line 3 of .scores.tsv.run was changed"),
    (lambda path: journal_beside(path).path.unlink(), RUN, "there is no record of how it was made"),
    (lambda path: journal_beside(path).write([]), RUN, "does not record what was started"),
    (lambda path: journal_beside(path).append(RowsWritten(-1, 9, "")), RUN, "Expected 'int' >= 0"),
])  # fmt: skip
def test_anything_else_is_kept_and_refused(path, change, run, why):
    write(begin(path), CHUNKS[:2])
    if change:
        change(path)
    before = path.read_bytes()
    with pytest.raises(
        OutputError, match="already (holds another result|exists)|changed since it was"
    ) as caught:
        begin(path, run)
    assert why in caught.value.why and path.read_bytes() == before
    begin(path, run, overwrite=True)
    assert path.read_text() == "header\n"


def test_what_was_changed_after_it_was_finished_is_refused(path, whole):
    end(begin(path))
    path.write_bytes(path.read_bytes() + b"mine")
    with pytest.raises(OutputError, match="has changed since it was written") as caught:
        next_step_of_file(path, RUN, False)
    assert caught.value.why == "its SHA-256 does not match the recorded one"


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match="compressed"):
        begin(tmp_path / "a.tsv.gz")
    with pytest.raises(OutputError, match="not a plain file"):
        begin(tmp_path)


PAIR = {"best.txt": b"the best\n", "list.tsv": b"all of them\n"}


def save_pair(folder, run=RUN, overwrite=False) -> bool:
    """Write two files together. Return whether they were finished."""
    wanted = {folder / name: {**run, "file": name} for name in PAIR}
    with whole_files(wanted, overwrite) as files:
        if not files.are_finished:
            for name, content in PAIR.items():
                save_file(folder / name, [content])
            files.finish("2 letters")
            return False
    return True


def test_files_that_are_written_as_a_whole_are_recognised(tmp_path):
    assert not save_pair(tmp_path)
    with pytest.warns(RnnlmWarning, match="list.tsv is finished: 2 letters"):
        assert save_pair(tmp_path)
    (tmp_path / "list.tsv").unlink()
    assert not save_pair(tmp_path)
    (tmp_path / "list.tsv").write_text("mine")
    with pytest.raises(OutputError, match="list.tsv has changed since it was written"):
        save_pair(tmp_path)


@pytest.mark.parametrize("kind, part, call", [
    ("write", ".tsv", 0), ("replace", ".tsv", 0), *(("write", ".run", call) for call in range(4)),
])  # fmt: skip
def test_an_error_leaves_files_and_records_as_they_were(tmp_path, kind, part, call):
    save_pair(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        pytest.raises((OutputError, OSError)),
        failing(tmp_path, (kind,), part=part, calls=range(call, call + 1)),
    ):
        save_pair(tmp_path, {"model": "xyz"}, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def kill_in_pair(folder, call, overwrite):
    count = 0

    def hear(kind, name, is_after):
        nonlocal count
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    with Watch(folder, hear):
        save_pair(folder, overwrite=overwrite)


@pytest.mark.processes
@pytest.mark.parametrize("earlier", [pytest.param(False, marks=pytest.mark.soak), True])
def test_whole_files_of_a_killed_run_are_made_again(tmp_path, earlier):
    """Whichever call of the system was its last (each third is tried); nothing is left behind."""
    for call in itertools.count(1 + earlier, 3):
        folder = tmp_path / str(call)
        folder.mkdir()
        if earlier:
            save_file(folder / "best.txt", [b"of another model"])
            save_pair(folder, {"model": "xyz"}, overwrite=True)
            (folder / "list.tsv").write_text("changed")
        process = FORK.Process(target=kill_in_pair, args=(folder, call, earlier))
        process.start()
        process.join()

        # Before the records are written, nothing has happened.
        has_begun = all(b"xyz" not in path.read_bytes() for path in folder.glob(".*.run"))
        save_pair(folder, overwrite=earlier and not has_begun)
        assert {name: (folder / name).read_bytes() for name in PAIR} == PAIR
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            [*PAIR, *(f".{name}.run" for name in PAIR)]
        )
        if process.exitcode == 0:
            break
    assert call > 30


@pytest.mark.parametrize("call", range(9))
def test_a_run_killed_as_it_begins_goes_on(path, whole, call):
    """Whatever call of the system was its last, also where it replaces an earlier file."""
    path.write_text("an earlier file\n")
    with (
        contextlib.suppress(OutputError),
        failing(path.parent, ("open", "write", "replace"), calls=range(call, 99)),
    ):
        begin(path, overwrite=True)
    if path.read_text() == "an earlier file\n" and not journal_beside(path).path.exists():
        return
    file = begin(path)
    assert file.done == 0
    end(file)
    assert path.read_bytes() == whole
