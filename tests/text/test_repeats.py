"""The same text given more than once is told, however it is named, and no other text is."""

import os

import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.scoring.sentences import read_sentences
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.tasks.seq2seq.options import ParallelSettings
from rnnlm.tasks.seq2seq.pairs import read_pairs
from rnnlm.text import sources
from rnnlm.text.corpus import open_text
from rnnlm.tools.prepared.preparation import PreparationRequest, resolve_request
from support.failures import notices_of
from support.systems import need

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/prepared")

TOLD = "the same text is given more than once and read each time: "


@pytest.fixture
def there(tmp_path, monkeypatch):
    need("links")
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "copy.txt"):
        (tmp_path / name).write_text("one\n")
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "long.txt").write_text("one two\n")
    (tmp_path / "empty1").touch()
    (tmp_path / "empty2").touch()
    os.link("b.txt", "hard.txt")
    os.symlink("long.txt", "soft.txt")
    return tmp_path


@pytest.mark.parametrize(("names", "told"), [
    (["a.txt", "a.txt", "a.txt"], "a.txt (3 times)"), (["a.txt", "./a.txt"], "a.txt and ./a.txt"),
    (["b.txt", "hard.txt", "a.txt"], "b.txt and hard.txt"),
    (["long.txt", "soft.txt"], "long.txt and soft.txt"),
    (["copy.txt", "b.txt", "a.txt"], "copy.txt and a.txt"),
    (["a*.txt", "*a.txt"], "a.txt (2 times)"), (["-", "a.txt", "-"], "- (2 times)"),
    (["*.txt"], "a.txt and copy.txt; b.txt and hard.txt; long.txt and soft.txt"),
    (["*.txt", "hf:o/n", "hf:o/n"],
     "a.txt and copy.txt; b.txt and hard.txt; long.txt and soft.txt; and 1 more"),
    (["a.txt", "b.txt", "long.txt", "-", "hf:o/n", "empty1", "empty2"], None),
])  # fmt: skip
def test_repeats_are_named(there, names, told):
    assert notices_of(lambda: open_text(names)) == ([TOLD + told] if told else [])


@pytest.mark.filterwarnings("error")
def test_a_missing_text_is_an_error_before_repeats(there):
    names = ["a.txt", "a.txt", "missing.txt"]
    sources.warn_of_repeats(names)  # what reads them says which one is missing
    with pytest.raises(TextError, match="no such file: missing.txt"):
        open_text(names)


@pytest.mark.parametrize("names, targets, told", [
    (["a.txt", "copy.txt"], ["b.txt", "hard.txt"], "a.txt and copy.txt"),
    (["a.txt", "b.txt", "a.txt"], ["a.txt", "b.txt", "a.txt"], "a.txt (2 times)"),
    (["a.txt", "a.txt"], ["a.txt", "b.txt"], None),  # each has targets of its own
    (["a.txt", "b.txt"], ["a.txt", "a.txt"], None),
])  # fmt: skip
def test_texts_repeat_with_what_is_beside_them(there, names, targets, told):
    sent = notices_of(lambda: read_pairs(names, targets=[targets]))
    assert sent == ([TOLD + told] if told else [])


def test_large_files_are_compared_piece_by_piece(there):
    size = 2 * sources.PIECES * sources.PIECE_BYTES
    # The byte in the middle is in none of the pieces that are compared.
    for number, place in enumerate([None, None, 0, 9, size - 1, size // 2]):
        changed = bytearray(size)
        if place is not None:
            changed[place] = 1
        (there / f"{number}.bin").write_bytes(changed)
    names = [f"{number}.bin" for number in range(6)]
    assert sources.repeated(names) == [["0.bin", "1.bin", "5.bin"]]


def test_of_many_files_only_the_names_are_compared(there, monkeypatch):
    monkeypatch.setattr(sources, "MOST_COMPARED", 1)
    assert sources.repeated(["a.txt", "copy.txt", "a.txt"]) == [["a.txt", "a.txt"]]


@pytest.mark.parametrize("work", [
    lambda: list(read_sentences(("a.txt", "copy.txt"))),
    lambda: resolve_request(PreparationRequest(("a.txt", "copy.txt"), None)),
    lambda: read_labelled(("tags", "tags"), LabelledSettings(), "word"),
    lambda: read_labelled(("t.tsv", "t2.tsv"), LabelledSettings(), "text"),
    lambda: read_pairs(("t.tsv", "t2.tsv"), ParallelSettings(target_column="label")),
], ids=["score", "prepare", "tagging", "classification", "seq2seq"])  # fmt: skip
def test_whatever_reads_sources_tells_of_repeats(there, work):
    (there / "tags").write_text("one A\ntwo B\n")
    for name in ("t.tsv", "t2.tsv"):
        (there / name).write_text("text\tlabel\none two\tx\n")
    with pytest.warns(RnnlmWarning, match="the same text is given more than once"):
        work()
