"""Outputs that cannot be written, are in the way, or would replace what is read."""

import shutil

import pytest

from rnnlm.storage.files.outputs import Entry, record_of
from support.systems import has

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/mixtures", "tools/pairs", "tools/rescoring"
)

TINY = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 2steps"
WRITERS = {
    "train": "train {text} --model unigram -o OUT",
    "train a network": f"train {{text}} --model lstm {TINY} -o OUT",
    "import": "import {arpa} -o OUT",
    "mix": "mix {lstm} {ngram} --weights 0.5,0.5 -o OUT",
    "mix, static": "mix {ngram} {ngram} --static --weights 0.5,0.5 -o OUT",
    "prune": "prune -m {ngram} --max-order 1 -o OUT",
    "prepare": "prepare {text} -o OUT --workers 1",
}
FILES = {
    "count": "count {text} -o OUT", "ARPA": "export -m {ngram} --arpa OUT",
    "report": "report {unigram} -o OUT", "scores": "score -m {unigram} the -o OUT",
    "pairs": "score -m {unigram} --pairs {pairs} -o OUT",
    "1-best": "rescore -m {unigram} --tune {nbest} --output OUT",
    "n-best": "rescore -m {unigram} --tune {nbest} --nbest-output OUT",
    "weights": "rescore -m {unigram} --tune {nbest} --weights-output OUT",
}  # fmt: skip
FOLDERS = {  # where a folder cannot be written, and what is said
    "mine": "mine is not empty", "file": "", "file/m": "cannot write to file/m",
    "/proc/nothere": "cannot write to /proc/nothere", "m" * 300: "cannot write to mmm",
}  # fmt: skip
PLACES = {  # where a file cannot be written
    "mine.jsonl": "mine.jsonl already exists", "no/out.jsonl": "cannot write no/out.jsonl",
    "/proc/out.jsonl": "cannot write", "m" * 300 + ".jsonl": "cannot ",
}  # fmt: skip
if has("modes"):
    FOLDERS["closed/m"] = "cannot write"


@pytest.fixture(autouse=True)
def mine(here):
    """Put files of the user's in the way."""
    for name in ("mine", "folder.jsonl"):
        (here / name).mkdir()
        (here / name / "thesis.tex").write_text("years of work")
    for name in ("mine.jsonl", "file"):
        (here / name).write_text("years of work")
    (here / "closed").mkdir(mode=0o555)


@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("command", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_cannot_be_written_is_named(refused, command, place):
    refused(command.replace("OUT", place), FOLDERS[place])


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "prepare"])
def test_a_model_is_not_replaced_unasked(refused, there, here, name):
    shutil.copytree(there["unigram"], "m")
    what = "another result" if name.startswith("train") else "a model"
    refused(WRITERS[name].replace("OUT", "m"), f"m already holds {what}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_written_is_named(refused, name, place):
    if name == "report":  # which writes pages alone
        place = place.replace("/proc/out.jsonl", "/proc/out.html")
    refused(FILES[name].replace("OUT", place), PLACES.get(place, "cannot write to /proc/out.html"))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_not_replaced_by_a_file(refused, name):
    is_option = "rescore" in FILES[name]
    what = "folder.jsonl is not empty" if name == "count" else "cannot write folder.jsonl"
    line = FILES[name].replace("OUT", "folder.jsonl")
    refused(line, "Invalid value" if is_option else what, code=2 if is_option else 1)


MIX = "mix {ngram} {ngram} --static --weights 0.5,0.5"
OTHERS = {
    "train {text} --model unigram -o mine --overwrite": "mine is not empty",
    f"{MIX} -o out.arpa": "out.arpa already exists",
    f"{MIX} -o no/out.arpa.gz": "cannot write no/out.arpa.gz",
    f"{MIX} -o folder.arpa --overwrite": "cannot write folder.arpa",
    f"{MIX} -o out --memory 8G --temp file/t": "cannot write to file/t",
    "count {text} -o 'no/t\x1b]31m\u202e.txt'": "cannot write no/t\\x1b]31m",
}


@pytest.mark.parametrize(("line", "what"), OTHERS.items(), ids=map(ascii, OTHERS))
def test_what_is_in_the_way_is_kept(refused, here, line, what):
    (here / "out.arpa").write_text("years of work")
    (here / "folder.jsonl").rename("folder.arpa")
    refused(line, what)


INPUTS = {  # what would replace what it reads
    "mix m {ngram} --weights 0.5,0.5 -o m --overwrite": "",
    "count text -o text --overwrite": "text is also an input",
    "count *.txt -o link --overwrite": "link is also an input",
    "count text --plot p.svg --zipf p.svg": "p.svg is also an input, or is written twice",
    "eval -m {tagger} p.svg --plot p.svg --overwrite": "p.svg is also an input",
    "score -m {unigram} --input a.jsonl -o a.jsonl --overwrite": "a.jsonl is also an input",
    "score -m {unigram} --pairs a.jsonl -o a.jsonl --overwrite": "a.jsonl is also an input",
    "rescore -m {unigram} --tune n.tsv --nbest-output n.tsv --overwrite": "",
}


def test_what_a_record_says_is_shown_without_escapes(refused, here):
    (here / "run.jsonl").write_bytes(b"x\n")
    record_of(here / "run.jsonl").write([Entry("begun", {"model": "\033[31m"})])
    refused("score -m {unigram} the -o run.jsonl", "run.jsonl already holds another result")


@pytest.mark.system("links")
@pytest.mark.parametrize(("line", "what"), INPUTS.items(), ids=INPUTS)
def test_no_input_is_replaced(refused, there, here, line, what):
    shutil.copytree(there["lstm"], "m")
    shutil.copy(there["nbest"], "n.tsv")
    for name in ("text", "a.txt", "p.svg"):
        (here / name).write_bytes(b"the man\n")
    (here / "link").symlink_to("a.txt")
    (here / "a.jsonl").write_bytes(b'{"text": "a", "good": "a", "bad": "b"}\n')
    refused(line, what, code=2)


def test_a_model_may_be_replaced_by_what_is_made_of_it(harmless, there, here):
    shutil.copytree(there["ngram"], "m")
    harmless("mix m {ngram} --static --weights 0.5,0.5 -o m --overwrite")
    harmless("prune -m m -o m --max-order 1 --overwrite")


@pytest.mark.system("links")
def test_links_of_a_models_folder_are_not_followed(harmless, there, here):
    shutil.copytree(there["unigram"], "mine/model")
    shutil.copytree(there["lstm"], "m")
    (here / "m/part-1").symlink_to(here / "mine/model")
    for name in ("README.md", "metrics.jsonl"):
        (here / "m" / name).unlink()
        (here / "m" / name).symlink_to(here / "mine.jsonl")
    harmless(f"train {{text}} --model lstm {TINY} -o m --overwrite")
    assert (here / "mine.jsonl").read_text() == "years of work"
    harmless("train {text} --model unigram -o m --overwrite")
