"""Files that a command makes: the same command goes on, finds them finished, or refuses."""

import contextlib

import pytest

from rnnlm.errors import OutputError, RnnlmWarning, UsageError
from rnnlm.storage.files.result_file import (
    GrowingFile,
    RowsWritten,
    journal_beside,
    next_step_of_file,
    record_finished,
)
from rnnlm.storage.files.resuming import NextStep
from support.failing_files import failing

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


def shorten(path):
    path.write_bytes(b"head")


def change_a_byte(path):
    path.write_bytes(path.read_bytes().replace(b"a 1", b"a 7"))


def change_the_record(path):
    record = journal_beside(path).path
    record.write_bytes(record.read_bytes().replace(b'"rows": 3', b'"rows": 4'))


@pytest.mark.parametrize(
    "change, run, why",
    [
        (None, {**RUN, "model": "xyz"}, "`model` was abc and is now xyz"),
        (shorten, RUN, "it is shorter than before"),
        (change_a_byte, RUN, "its existing rows have been changed"),
        (change_the_record, RUN, "line 3 of .scores.tsv.run was changed"),
        (
            lambda path: journal_beside(path).path.unlink(),
            RUN,
            "there is no record of how it was made",
        ),
        (lambda path: journal_beside(path).write([]), RUN, "does not record what was started"),
        (
            lambda path: journal_beside(path).append(RowsWritten(-1, 9, "")),
            RUN,
            "Expected 'int' >= 0",
        ),
    ],
)
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


def test_a_file_that_was_written_as_a_whole_is_recognised(path):
    assert next_step_of_file(path, RUN, False) is NextStep.START
    path.write_bytes(b"all")
    record_finished(path, RUN, "3 letters")
    with pytest.warns(RnnlmWarning, match="scores.tsv is finished: 3 letters"):
        assert next_step_of_file(path, RUN, False) is NextStep.FINISHED


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
