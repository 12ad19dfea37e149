import contextlib
import json

import pytest

from rnnlm.errors import OutputError, RnnlmWarning, UsageError
from rnnlm.scoring import resumable_output
from rnnlm.scoring.sentences import Sentence
from support.failing_files import failing

RUN = {"model": "abc", "eos": "yes"}
CHUNKS = [[Sentence(f"{part} {n} \udcff", n) for n in range(3)] for part in "abcd"]


def write(file, chunks) -> None:
    """Write the chunks as lines of their texts; of those that are there already, nothing."""
    for chunk in chunks:
        is_there = file.sentences < file.done
        file.write(chunk, "" if is_there else "".join(f"{each.text[:3]}\n" for each in chunk))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores.tsv"


@pytest.fixture
def whole(tmp_path):
    file = resumable_output.begin(tmp_path / "whole.tsv", RUN, "header\n")
    write(file, CHUNKS)
    file.finish()
    return (tmp_path / "whole.tsv").read_bytes()


def test_a_file_that_is_done_stands_alone(whole, tmp_path):
    assert [each.name for each in tmp_path.iterdir()] == ["whole.tsv"]
    assert whole.startswith(b"header\na 0\na 1\na 2\nb 0\n") and whole.count(b"\n") == 13


@pytest.mark.parametrize("written", range(5))
@pytest.mark.parametrize("torn", ["", "half a li", "a line\nand a half"])
def test_an_interrupted_run_resumes_to_the_same_file(path, whole, written, torn):
    write(resumable_output.begin(path, RUN, "header\n"), CHUNKS[:written])
    with open(path, "a") as stream:
        stream.write(torn)
    with open(path.with_name("scores.tsv.run"), "a") as stream:
        stream.write(torn and '{"sentences": 3, "byt')
    file = resumable_output.resume(path, RUN, "header\n")
    assert file.done == 3 * written
    write(file, CHUNKS)
    file.finish()
    assert path.read_bytes() == whole and not path.with_name("scores.tsv.run").exists()


def test_a_truncated_file_resumes_from_an_earlier_entry(path, whole):
    write(resumable_output.begin(path, RUN, "header\n"), CHUNKS[:3])
    path.write_bytes(path.read_bytes()[:-5])
    file = resumable_output.resume(path, RUN, "header\n")
    assert file.done == 6
    write(file, CHUNKS)
    assert path.read_bytes() == whole


def test_another_run_or_other_sentences_are_refused(path):
    write(resumable_output.begin(path, RUN, "header\n"), CHUNKS[:2])
    before = path.read_bytes()
    with pytest.raises(UsageError, match="model was abc, is xyz"):
        resumable_output.resume(path, {**RUN, "model": "xyz"}, "header\n")
    with pytest.raises(UsageError, match="other sentences"):
        write(resumable_output.resume(path, RUN, "header\n"), [CHUNKS[0], CHUNKS[3]])
    with pytest.raises(UsageError, match="other sentences"):
        write(resumable_output.resume(path, RUN, "header\n"), [CHUNKS[0][:2]])
    file = resumable_output.resume(path, RUN, "header\n")
    write(file, CHUNKS[:1])
    with pytest.raises(UsageError, match="other sentences"):
        file.finish()
    assert path.read_bytes() == before


def test_what_cannot_be_resumed_or_replaced_is_refused(path, tmp_path):
    path.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        resumable_output.begin(path, RUN, "header\n")
    with pytest.raises(OutputError, match="cannot resume"):
        resumable_output.resume(path, RUN, "header\n")
    assert path.read_text() == "mine"
    with pytest.raises(UsageError, match="compressed"):
        resumable_output.begin(tmp_path / "a.tsv.gz", RUN, "")
    with pytest.raises(OutputError, match="not a plain file"):
        resumable_output.begin(tmp_path, RUN, "")
    resumable_output.begin(path, RUN, "header\n", overwrite=True)
    assert path.read_text() == "header\n"


@pytest.mark.parametrize("call", range(9))
def test_a_run_killed_as_it_begins_is_resumed(path, whole, call):
    """Whatever call of the system was its last, also where it replaces an earlier file."""
    path.write_text("an earlier file\n")
    with (
        contextlib.suppress(OutputError),
        failing(path.parent, ("open", "write", "replace"), calls=range(call, 99)),
    ):
        resumable_output.begin(path, RUN, "header\n", overwrite=True)
    if path.read_text() == "an earlier file\n" and not list(path.parent.glob("*.run")):
        return
    file = resumable_output.resume(path, RUN, "header\n")
    assert file.done == 0
    write(file, CHUNKS)
    assert path.read_bytes() == whole


def test_a_run_killed_before_it_began_begins(path, whole):
    with pytest.warns(RnnlmWarning, match="nothing to resume at .*scores.tsv"):
        file = resumable_output.resume(path, RUN, "header\n")
    write(file, CHUNKS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("field, value", [("bytes", -(1 << 63) - 1), ("sentences", -1)])
def test_a_journal_with_negative_numbers_is_refused(tmp_path, field, value):
    path = tmp_path / "scores.tsv"
    write(resumable_output.begin(path, RUN, "header\n"), CHUNKS[:2])
    journal = path.with_name("scores.tsv.run")
    lines = journal.read_text().splitlines(keepends=True)
    entry = json.loads(lines[-1]) | {field: value}
    journal.write_text("".join(lines[:-1]) + json.dumps(entry) + "\n")
    with pytest.raises(OutputError, match="cannot resume"):
        resumable_output.resume(path, RUN, "header\n")
