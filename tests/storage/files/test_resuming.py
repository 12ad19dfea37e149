"""Long work starts, goes on or is finished by one rule; a file that grows keeps it."""

import contextlib
import os
import re
from pathlib import Path

import pytest

from rnnlm.errors import OutputError
from rnnlm.storage.files.outputs import (
    Entry,
    GrowingFile,
    Journal,
    owned_file,
    record_of,
    save_file,
)
from rnnlm.storage.files.resuming import (
    ExistingWork,
    NextStep,
    in_one_spelling,
    merged,
    next_step,
    signature,
    text_signatures,
)
from support.failing_files import failing

PLACE = Path("kept")


@pytest.mark.parametrize("found, overwrite, step", [
    (None, False, NextStep.START), (ExistingWork({"order": "3"}), False, NextStep.RESUME),
    (ExistingWork({"order": "3", "workers": "8"}), False, NextStep.RESUME),
    (ExistingWork({"order": "3"}, is_finished=True), False, NextStep.FINISHED),
    (ExistingWork({"order": "5"}), True, NextStep.START),
    (ExistingWork(fault="a line was changed"), True, NextStep.START),
])  # fmt: skip
def test_the_rule_says_what_to_do(found, overwrite, step):
    assert next_step(PLACE, found, {"order": "3"}, overwrite, free={"workers"}) is step


@pytest.mark.parametrize("found, why", [
    (ExistingWork({"order": "5"}), "`order` was 5 and is now 3"),
    (ExistingWork({"order": "5"}, is_finished=True), "`order` was 5 and is now 3"),
    (ExistingWork({"order": "3", "text 2": "1 byte"}), "text 2 was 1 byte and is now not given"),
    (ExistingWork(), "there is no record of how it was made"),
    (ExistingWork({"order": "3"}, fault="a line was changed"), "a line was changed"),
])  # fmt: skip
def test_whatever_else_is_there_is_named_with_both_ways_out(found, why):
    with pytest.raises(OutputError) as caught:
        next_step(PLACE, found, {"order": "3"})
    expected = "already exists" if found == ExistingWork() else "already holds another result"
    if found.fault:
        expected = "has changed since it was written"
    assert caught.value.what == f"kept {expected}" and caught.value.why == why
    assert "`output`" in caught.value.hint and "`overwrite=True`" in caught.value.hint


@pytest.mark.parametrize("before, now, why", [
    (b"a b", b"a b c", r"the text has changed: 3 bytes before, 5 bytes now"),
    (b"a b", b"a c", r"the text has changed: changed 2.* before, changed 1970-.* now"),
    (b"a b", None, "the text comes from standard input or a pipe, so it cannot be checked"),
])  # fmt: skip
def test_the_difference_of_two_texts_is_a_sentence(tmp_path, before, now, why):
    path = tmp_path / "text"
    path.write_bytes(before)
    found = ExistingWork(text_signatures([str(path)]))
    wanted = text_signatures(["-"])
    if now is not None:
        path.write_bytes(now)
        os.utime(path, ns=(1, 1))
        wanted = text_signatures([str(path)])
    with pytest.raises(OutputError) as caught:
        next_step(PLACE, found, wanted)
    assert re.match(why, caught.value.why)


def test_another_kind_of_model_is_named_before_settings_of_both():
    before = {"order": "5", "seed": "1", "model": "ngram", "smoothing": "mkn"}
    now = {"seed": "2", "model": "lstm", "hidden_size": "8"}
    with pytest.raises(OutputError) as caught:
        next_step(PLACE, ExistingWork(before), now)
    assert caught.value.why == "`model` was ngram and is now lstm; `seed` was 1 and is now 2"


@pytest.mark.parametrize("before, now", [({}, {"model": "lstm"}), ({"model": "lstm"}, {})])
def test_a_model_on_one_side_alone_is_a_difference(before, now):
    with pytest.raises(OutputError, match="already holds another result"):
        next_step(PLACE, ExistingWork(before), now)


def test_few_of_many_differences_are_named():
    names = [f"setting_{number}" for number in range(9)]
    with pytest.raises(OutputError, match="`setting_2` was 1 and is now 2 and 6 more"):
        next_step(PLACE, ExistingWork(dict.fromkeys(names, "1")), dict.fromkeys(names, "2"))


@pytest.mark.parametrize("change", ["touch", "append", "first byte", "last byte", "none"])
def test_a_signature_tells_changed_texts_apart(tmp_path, change):
    path = tmp_path / "text.txt"
    content = bytearray(b"some words\n" * 300_000)
    path.write_bytes(content)
    os.utime(path, ns=(10**18, 10**18))
    before = signature(str(path))
    if change == "append":
        content += b"more\n"
    elif change.endswith("byte"):
        content[0 if change == "first byte" else -1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(10**18, 10**18 + 1000 * (change == "touch")))
    assert (signature(str(path)) == before) == (change == "none")


@pytest.mark.system("pipes")
def test_standard_input_and_pipes_are_never_the_same_text(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("-", str(tmp_path / "pipe")):
        assert text_signatures([name]) != text_signatures([name])


def test_a_folder_has_the_signature_of_its_files(tmp_path):
    (tmp_path / "shard").write_bytes(b"some")
    before = signature(str(tmp_path))
    (tmp_path / "owner.json").write_bytes(b"{}")
    assert signature(str(tmp_path)) == before
    (tmp_path / "shard").write_bytes(b"more of it")
    assert signature(str(tmp_path)) != before


@pytest.mark.system("links")
def test_the_signature_of_a_folder_follows_links(tmp_path):
    folder, elsewhere = tmp_path / "list", tmp_path / "elsewhere"
    for place in (folder, elsewhere / "deep"):
        place.mkdir(parents=True)
        (place / "scores").write_text("1")
    plain = signature(str(folder))
    (folder / "again").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (elsewhere / "back").symlink_to(folder)
    before = signature(str(folder))
    assert before == signature(str(folder)) != plain
    (elsewhere / "deep" / "scores").write_text("22")
    assert signature(str(folder)) != before


def test_the_format_that_a_name_says_is_signed(tmp_path):
    """Records of earlier versions have no formats, nor new settings that are off: neither counts."""
    (tmp_path / "a.txt").write_text("text,n\nthe man,1\n")
    before = {"text": signature(str(tmp_path / "a.txt"))}
    (tmp_path / "a.txt").rename(tmp_path / "a.csv")
    now = {"text": signature(str(tmp_path / "a.csv")), "quantize": "none"}
    with pytest.raises(OutputError, match="changed: read as text before, read as csv now"):
        next_step(PLACE, ExistingWork(before), now)
    earlier = {"text": before["text"].removesuffix(", read as text")}
    assert next_step(PLACE, ExistingWork(earlier, True), now) is NextStep.FINISHED


def test_a_name_twice_would_be_lost():
    with pytest.raises(ValueError, match="two parts called seed"):
        merged({"seed": "1", "width": "2"}, {"seed": "2"})


def test_a_journal_gives_back_its_entries_but_for_half_a_last_line(tmp_path):
    journal = Journal(tmp_path / "done.jsonl")
    journal.write([{"shard": "a"}])
    journal.append({"shard": "b"}, {"shard": "\udce4"})
    length = journal.path.stat().st_size
    journal.append({"shard": "d"})
    with open(journal.path, "rb+") as stream:
        stream.truncate(length + 30)
    assert journal.read(dict[str, str]) == [{"shard": name} for name in "ab\udce4"]


@pytest.mark.parametrize("place", range(0, 66, 3))
def test_a_changed_line_of_a_journal_is_named(tmp_path, place):
    journal = Journal(tmp_path / "done.jsonl")
    journal.write([{"bytes": 12_345}, {"bytes": 67_890}])
    data = bytearray(journal.path.read_bytes())
    data[place] ^= 1
    journal.path.write_bytes(data)
    with pytest.raises(ValueError, match=r"line \d of done.jsonl was changed"):
        journal.read(dict[str, int])


def test_equal_numbers_have_one_spelling_and_others_have_two():
    assert in_one_spelling(40) == in_one_spelling(40.0) == "40"
    assert in_one_spelling(10**16) == in_one_spelling(1e16)
    assert in_one_spelling(2**60) != in_one_spelling(2**60 + 1)  # seeds of many digits
    assert in_one_spelling((0.5, True, None, 3)) == "0.5,true,none,3"


def test_what_a_killed_writer_of_a_journal_left_goes_with_the_next_writing(tmp_path):
    (tmp_path / "work.run.0123456789abcdef.new").write_text("half")
    (tmp_path / "other.run.0123456789abcdef.new").write_text("half")
    Journal(tmp_path / "work.run").write([])
    assert {path.name for path in tmp_path.iterdir()} == {
        "work.run", "other.run.0123456789abcdef.new"
    }  # fmt: skip


RUN = {"model": "abc", "eos": "yes"}
CHUNKS = ["".join(f"{part} {n} \u00e4\n" for n in range(3)) for part in "abcd"]


def begin(path, run=RUN, overwrite=False):
    return GrowingFile(path, run, "header\n", overwrite)


def write(file, chunks) -> None:
    """Write the chunks, but for those that are there already."""
    for number in range(file.done // 3, len(chunks)):
        file.append(chunks[number], 3 * (number + 1))


def end(file) -> None:
    write(file, CHUNKS)
    file.finish()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.tsv"


@pytest.fixture
def whole(tmp_path):
    end(begin(tmp_path / "whole.tsv"))
    return (tmp_path / "whole.tsv").read_bytes()


def test_a_finished_file_is_recognised(whole, tmp_path):
    assert whole.startswith("header\na 0 ä\na 1 ä\n".encode()) and whole.count(b"\n") == 13
    finished = begin(tmp_path / "whole.tsv")
    assert (finished.is_finished, finished.done) == (True, 12)
    assert (tmp_path / "whole.tsv").read_bytes() == whole
    assert not begin(tmp_path / "whole.tsv", overwrite=True).is_finished
    (tmp_path / "whole.tsv").unlink()
    assert begin(tmp_path / "whole.tsv").done == 0


@pytest.mark.parametrize("written", range(5))
@pytest.mark.parametrize("torn", ["", "half a li", "a line\nand a half"])
def test_an_interrupted_run_goes_on_to_the_same_file(path, whole, written, torn):
    write(begin(path), CHUNKS[:written])
    with open(path, "a") as stream:
        stream.write(torn)
    with open(record_of(path).path, "a") as stream:
        stream.write(torn and '0123456789abcdef {"rows": 3, "byt')
    file = begin(path)
    assert file.done == 3 * written
    end(file)
    assert path.read_bytes() == whole
    assert begin(path).is_finished


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
    (lambda path: replace(record_of(path).path, b'"rows": 3', b'"rows": 4'), RUN,
        "line 3 of .scores.tsv.run was changed"),
    (lambda path: record_of(path).path.unlink(), RUN, "there is no record of how it was made"),
    (lambda path: record_of(path).write([]), RUN, "there is no record of how it was made"),
    (lambda path: record_of(path).append(Entry("written", rows=-1)), RUN, "Expected 'int' >= 0"),
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
        begin(path)
    assert caught.value.why == "its SHA-256 does not match the recorded one"


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="not a plain file"):
        begin(tmp_path)


def test_a_record_ends_with_its_file(path):
    end(begin(path))
    with (
        pytest.raises(OutputError, match="cannot write"),
        owned_file(path, overwrite=True),
        failing(path.parent, ("replace",), part=".tsv"),
    ):
        save_file(path, [b"of another command"])
    assert begin(path).is_finished
    with owned_file(path, overwrite=True):
        save_file(path, [b"of another command"])
    assert [left.name for left in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("call", range(9))
def test_a_run_killed_as_it_begins_goes_on(path, whole, call):
    """Whatever call of the system was its last, also where it replaces an earlier file."""
    path.write_text("an earlier file\n")
    with (
        contextlib.suppress(OutputError),
        failing(path.parent, ("open", "write", "replace"), calls=range(call, 99)),
    ):
        begin(path, overwrite=True)
    if path.read_text() == "an earlier file\n" and not record_of(path).path.exists():
        return
    file = begin(path)
    assert file.done == 0
    end(file)
    assert path.read_bytes() == whole
