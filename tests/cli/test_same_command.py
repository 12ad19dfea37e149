"""The same command again: it finds its result, and names what differs from another one."""

import os

import pytest

from support.failures import contents

COMMANDS = {
    "count to a file": "count text.txt -o OUT.tsv", "count to a folder": "count text.txt -o OUT",
    "count, added up": "count a b -o OUT",
    "embed": "embed -m {lstm} --input text.txt -o OUT.npy",
    "embed words": "embed -m {lstm} --input text.txt --words -o OUT.npy",
    "filter": "filter text.txt -m {unigram} --max-perplexity 900 -o OUT",
    "prepare": "prepare text.txt -o OUT --workers 1",
    "rescore": "rescore -m {unigram} --tune list.tsv -o OUT.txt --nbest-output OUT.tsv",
    "score": "score -m {unigram} --input text.txt -o OUT.tsv",
    "score, Parquet": "score -m {unigram} --input text.txt -o OUT.parquet",
    "vectors": "vectors text.txt --width 2 --min-count 1 -o OUT.vec",
}  # fmt: skip
LIST = """u\tREF\t\tthe man was here
u\t1\t-3\tthe men was here
u\t2\t-4\tthe man was here
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_command_finds_its_result(rnnlm, models, here, name):
    (here / "text.txt").write_text("the man was here\nthe boy was there\n" * 20)
    (here / "list.tsv").write_text(LIST)
    for folder in "ab" if "count a b" in COMMANDS[name] else "":
        assert rnnlm("count", "text.txt", "-o", folder).code == 0
    line = COMMANDS[name].format(lstm=models.lstm, unigram=models.unigram)
    first = rnnlm(line)
    assert first.code == 0, first.err
    before = contents(here)

    again = rnnlm(line)
    assert again.code == 0 and contents(here) == before, again.err
    notes = [note for note in again.err.splitlines() if note.startswith("note: OUT")]
    assert notes and all("is finished: " in note for note in notes), again.err
    assert all(note.endswith("; --overwrite makes it again") for note in notes)

    # What is read has changed, if only its time.
    for path in here.glob("[!.]*.t*"):
        if not path.name.startswith("OUT"):
            os.utime(path, ns=(1, 1))
    if "count a b" in line:
        os.utime("a/counts.json", ns=(1, 1))
    other = rnnlm(line)
    assert (other.code, other.out) == (1, "") and contents(here) == before
    assert (
        "already holds another result" in other.err and "1970-01-01" in other.err
    ) or "a b" in line
    assert "try: choose another -o, or replace it with --overwrite" in other.err
    assert rnnlm(f"{line} --overwrite").code == 0
    assert rnnlm(line).code == 0


@pytest.mark.parametrize("command, more, why", [
    ("embed", "--pooling last --layer features", None),
    ("embed", "--pooling mean", "--pooling was last and is now mean"),
    ("score", "--words", "--words differs"), ("rescore", "--no-oov", "--no-oov differs"),
    ("filter", "--column content", "--column was none and is now content"),
])  # fmt: skip
def test_what_differs_is_named_as_it_is_given(rnnlm, models, here, command, more, why):
    (here / "text.txt").write_text("the man was here\nthe boy was there\n" * 20)
    (here / "list.tsv").write_text(LIST)
    line = COMMANDS[command].format(lstm=models.lstm, unigram=models.unigram)
    assert rnnlm(line).code == 0
    again = rnnlm(f"{line} {more}")
    expected = (1, True) if why else (0, False)
    assert (again.code, f"why: {why}" in again.err) == expected, again.err
